"""The identity of an environment or an agent that is given as an object: two objects with the same code and state have
the same identity.

The identity is a digest of everything that the class or the function refers to, and the classes of the objects that it
makes: the instructions of functions, their defaults, closures, the globals that they read, methods and attributes of
classes and of their bases, and the state of objects. Names of files and modules, lines, comments and docstrings, the
order of sets and dictionaries, and addresses do not count. Installed packages (in site-packages), the standard library
and mdvi are compared by name. Code is compared as compiled bytecode, which differs between versions of Python, so the
version is part of the identity.

Each comparison reports the parts that cannot be compared: C code, random generators, and state that the code itself
assigns.
"""

import copyreg
import dis
import enum
import functools
import hashlib
import importlib.util
import inspect
import itertools
import platform
import random
import re
import sys
import sysconfig
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mdvi.envs import Hosted
from mdvi.envs.host.gymnasium import Named

_VERSION = 2  # version of the comparison; version 0.1.0 of mdvi wrote no number
_PYTHON = ".".join(platform.python_version_tuple()[:2])
_FORM = re.compile(r"(\w+) (?:(\d+) (\S+) )?([0-9a-f]{16})")
_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()
_QUIET = ("NOP", "RESUME", "CACHE", "EXTENDED_ARG")  # instructions that do nothing
_ABOUT = ("__doc__", "__qualname__", "__module__", "__firstlineno__", "__static_attributes__")  # metadata of a class
_MAKERS = ("__init__", "__new__", "__post_init__", "__setstate__")  # methods that construct an object
_KINDS = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS | inspect.CO_GENERATOR | inspect.CO_COROUTINE
_PLAIN = (bool, int, float, complex, str, bytes, types.NoneType, types.EllipsisType)


class Identity(NamedTuple):
    """The identity of an object: its name in config.json, its kind, and the parts that could not be compared."""

    name: str
    what: str
    unknown: tuple[str, ...]

    @property
    def remark(self) -> str:
        """A line about the parts that could not be compared; "" if there are none."""
        if not self.unknown:
            return ""
        return f"parts of the {self.what} cannot be compared with the run: {'; '.join(self.unknown)}"


def identity_of(value: Any, what: str = "environment") -> Identity:
    """The identity of an environment, or of an agent."""
    reader = _Reader()
    digest = reader.digest(value).hex()[:16]
    return Identity(f"{type(value).__name__} {_VERSION} {_PYTHON} {digest}", what, tuple(reader.unknown))


def fingerprint(value: Any) -> str:
    """The name of the identity of an object."""
    return identity_of(value).name


def is_object(name: str) -> bool:
    """Whether a name in config.json is the fingerprint of an object."""
    return _FORM.fullmatch(name) is not None


def same(known: str, now: str, what: str = "environment") -> str | None:
    """Compare an environment, or an agent, with the one that a run was made with, by their names.

    Returns:
        "" if they are the same; a line if they cannot be compared, because another version of mdvi or of Python wrote
        the name; None if they differ.
    """
    if known == now:
        return ""
    one, other = _FORM.fullmatch(known), _FORM.fullmatch(now)
    if one is None or other is None or one[1] != other[1] or one.group(2, 3) == other.group(2, 3):
        return None
    writer = "mdvi 0.1.0" if one[2] is None else f"Python {one[3]}" if one[2] == other[2] else "another version of mdvi"
    return f"the fingerprint of the {what} was written by {writer} and cannot be compared"


class _Reader:
    """Digests of values; each value is read once.

    Attributes:
        unknown: descriptions of the parts that could not be compared.
    """

    def __init__(self) -> None:
        self.unknown: dict[str, None] = {}
        self._done: dict[int, bytes] = {}
        self._within: list[int] = []  # values that are being read, the outermost first
        self._alive: list[Any] = []  # keeps objects alive, so that no address is reused
        self._assigned: dict[int, set[str]] = {}  # globals of modules that functions assign, by address

    def digest(self, value: Any) -> bytes:
        """The digest of a value."""
        if type(value) in _PLAIN:
            return _hashed([f"{type(value).__name__} {value!r}".encode()])
        if (key := id(value)) in self._done:
            return self._done[key]
        if key in self._within:
            return _hashed([b"within", str(self._within.index(key)).encode()])
        self._alive.append(value)
        self._within.append(key)
        try:
            found = _hashed(self._parts(value))
        except Exception:  # attributes of foreign objects may raise anything
            self._note([f"an object of type {type(value).__name__}"])
            found = _hashed([b"opaque"])
        self._within.pop()
        self._done[key] = found
        return found

    def _all(self, tag: str, *values: Any) -> Iterator[bytes]:
        yield tag.encode()
        yield from map(self.digest, values)

    @functools.singledispatchmethod
    def _parts(self, value: Any) -> Iterable[bytes]:
        """The parts of a value; this method handles objects of any class."""
        kind = type(value)
        state = _state(value)
        if state is None:
            return self._opaque(value)
        assigned = set() if _installed(kind) else _assigned(kind)
        skipped = [name for name in state if name in assigned]
        self._note(f"{kind.__name__}.{name}, which its methods assign" for name in skipped)
        kept = {name: state[name] for name in state if name not in assigned and name != "_np_random"}
        return self._all("object", kind, kept)

    def _opaque(self, value: Any) -> Iterable[bytes]:
        """The parts of an object without attributes: its reduction for copies."""
        if hasattr(value, "__wrapped__"):  # a compiled function, or a function with a cache
            return self._all("wrapped", type(value), value.__wrapped__)
        try:
            reduce = copyreg.dispatch_table.get(type(value))
            made = value.__reduce_ex__(4) if reduce is None else reduce(value)
        except Exception:
            self._note([f"an object of type {type(value).__name__}"])
            return self._all("opaque", type(value))
        if isinstance(made, str):
            return self._all("global", type(value), made)
        return self._all("object", type(value), *(list(part) if isinstance(part, Iterator) else part for part in made))

    def _note(self, unknown: Iterable[str]) -> None:
        self.unknown |= dict.fromkeys(unknown)

    def _named(self, value: Any) -> Iterable[bytes]:
        """The parts of a value that is compared by name."""
        home = "mdvi" if _top(value.__module__) == "mdvi" else value.__module__
        return [f"name {home} {value.__qualname__}".encode()]

    @_parts.register(Hosted)
    def _(self, value: Any) -> Iterable[bytes]:
        spaces, source = value.spaces, value.source
        own = [kind for kind in spaces.classes if _top(kind.__module__) not in ("gymnasium", "mdvi")]
        self._note(f"{kind.__name__}, whose package is installed" for kind in own if _installed(kind))
        if isinstance(source, Named) and ":" in source.name and not spaces.classes:
            self._note([f"{source.name}, which runs in another process"])
        parts = [spaces.layout] if spaces.layout else []  # without a layout, identities of earlier versions stay valid
        return self._all("row", source, spaces[:3], spaces.classes, value.discount, value.stack, value.clip, *parts)

    @_parts.register(tuple)
    @_parts.register(list)
    def _(self, value: Any) -> Iterable[bytes]:
        return self._all("row", *self._kind(value, (tuple, list)), *value)

    @_parts.register(set)
    @_parts.register(frozenset)
    def _(self, value: Any) -> Iterable[bytes]:
        return [*self._all("set", *self._kind(value, (set, frozenset))), *sorted(map(self.digest, value))]

    @_parts.register(dict)
    @_parts.register(types.MappingProxyType)
    def _(self, value: Any) -> Iterable[bytes]:
        pairs = (self.digest(key) + self.digest(entry) for key, entry in value.items())
        return [*self._all("dictionary", *self._kind(value, (dict, types.MappingProxyType))), *sorted(pairs)]

    @staticmethod
    def _kind(value: Any, known: tuple[type, ...]) -> list[Any]:
        """The class and the attributes of a container, if the class is derived from a built-in one."""
        return [] if type(value) in known else [type(value), getattr(value, "__dict__", None)]

    @_parts.register(np.ndarray)
    @_parts.register(np.generic)
    @_parts.register(jax.Array)
    def _(self, value: Any) -> Iterable[bytes]:
        if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            value = jax.random.key_data(value)
        array = np.asarray(value)
        if not array.ndim or array.dtype == object:
            return self._all("numbers", array.shape, array.tolist())
        return [f"array {array.dtype.str} {array.shape}".encode(), np.ascontiguousarray(array).tobytes()]

    @_parts.register(np.dtype)
    def _(self, value: Any) -> Iterable[bytes]:
        return [f"dtype {value.str} {value.descr if value.names else ''}".encode()]

    @_parts.register(types.ModuleType)
    def _(self, value: Any) -> Iterable[bytes]:
        name = "mdvi" if _top(value.__name__) == "mdvi" else value.__name__
        return [f"module {name if _installed(value) else ''}".encode()]

    @_parts.register(type)
    def _(self, value: Any) -> Iterable[bytes]:
        if _installed(value):
            return self._named(value)
        assigned = _assigned(value)
        content = {name: part for name, part in vars(value).items() if _counts(name, part)}
        state = [name for name, part in content.items() if name in assigned and not callable(part)]
        self._note(f"{value.__name__}.{name}, which its methods assign" for name in state)
        kept = {name: part for name, part in content.items() if name not in state}
        return self._all("class", type(value), value.__bases__, kept)

    @_parts.register(types.FunctionType)
    def _(self, value: Any) -> Iterable[bytes]:
        enclosed = [_content(cell) for cell in value.__closure__ or ()]
        if _installed(value):
            return [*self._named(value), *self._all("encloses", enclosed)]
        kept = {name: part for name, part in vars(value).items() if not name.startswith("__")}
        parts = value.__code__, value.__defaults__, value.__kwdefaults__, enclosed, kept
        return [*self._all("function", *parts), *self._globals(value)]

    def _globals(self, function: types.FunctionType) -> Iterator[bytes]:
        """The globals that a function, and the functions inside it, read from their module."""
        read, attributes, imported = set[str](), set[str](), set[str]()
        for one in _instructions(function.__code__):
            if one.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                read.add(one.argval)
            elif one.opname in ("LOAD_ATTR", "LOAD_METHOD"):
                attributes.add(one.argval)
            elif one.opname == "IMPORT_NAME":
                imported.add(one.argval)
        own = (name or "a module" for name in sorted(imported) if not _is_installed(name))
        self._note(f"{name}, imported inside of a function" for name in own)
        known = function.__globals__
        if id(known) not in self._assigned:
            self._alive.append(known)
            self._assigned[id(known)] = _assigned_globals(known)
        state = read & self._assigned[id(known)]
        self._note(f"{name}, which functions assign" for name in sorted(state))
        for name in sorted((read & known.keys()) - state):
            yield name.encode()
            yield self._seen(known[name], attributes)

    def _seen(self, value: Any, attributes: set[str], within: tuple[Any, ...] = ()) -> bytes:
        """The digest of a global; for a module of the user, of the attributes that the function reads."""
        if not isinstance(value, types.ModuleType) or _installed(value) or value in within:
            return self.digest(value)
        names = sorted(attributes & vars(value).keys())
        within = (*within, value)
        parts = (name.encode() + self._seen(vars(value)[name], attributes, within) for name in names)
        return _hashed([b"module", *parts])

    @_parts.register(types.CodeType)
    def _(self, value: Any) -> Iterable[bytes]:
        arguments = value.co_argcount + value.co_kwonlyargcount
        facts = (value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount, value.co_flags & _KINDS)
        yield from self._all("code", facts, value.co_varnames[:arguments], value.co_exceptiontable)
        found = [one for one in dis.get_instructions(value) if one.opname not in _QUIET]
        place = {one.offset: number for number, one in enumerate(found)}
        for one, following in zip(found, [*found[1:], None], strict=True):
            about = following if following is not None and following.opname == "STORE_NAME" else one
            if about.opname == "STORE_NAME" and about.argval in _ABOUT:
                continue
            yield one.opname.encode()
            if one.opcode in dis.hasconst:
                yield self.digest(one.argval)
            elif one.opcode in dis.hasjrel or one.opcode in dis.hasjabs:
                yield str(sum(start < one.argval for start in place)).encode()
            else:
                yield str(one.argval if one.opcode in dis.hasname else one.arg).encode()

    @_parts.register(types.MethodType)
    def _(self, value: Any) -> Iterable[bytes]:
        return self._all("method", value.__func__, value.__self__)

    @_parts.register(types.BuiltinFunctionType)
    def _(self, value: Any) -> Iterable[bytes]:
        home = value.__self__
        if not isinstance(home, types.ModuleType | None):
            return self._all("method", value.__qualname__, home)
        if not _is_installed(value.__module__ or "builtins"):
            self._note([f"{value.__qualname__}, a function in C"])
        return self._named(value)

    @_parts.register(staticmethod)
    @_parts.register(classmethod)
    def _(self, value: Any) -> Iterable[bytes]:
        return self._all(type(value).__name__, value.__func__)

    @_parts.register(property)
    def _(self, value: Any) -> Iterable[bytes]:
        return self._all("property", value.fget, value.fset, value.fdel)

    @_parts.register(functools.cached_property)
    def _(self, value: Any) -> Iterable[bytes]:
        return self._all("property", value.func)

    @_parts.register(functools.partial)
    def _(self, value: Any) -> Iterable[bytes]:
        return self._all("partial", value.func, value.args, value.keywords)

    @_parts.register(enum.Enum)
    def _(self, value: Any) -> Iterable[bytes]:
        return self._all("member", type(value).__name__, value.name, value.value)

    @_parts.register(np.random.Generator)
    @_parts.register(np.random.BitGenerator)
    @_parts.register(np.random.RandomState)
    @_parts.register(random.Random)
    def _(self, value: Any) -> Iterable[bytes]:
        self._note([f"a random generator, {type(value).__name__}"])
        return self._all("generator", type(value).__name__)


def _hashed(parts: Iterable[bytes]) -> bytes:
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "big") + part)
    return found.digest()


def _content(cell: Any) -> Any:
    """The content of a closure; `...` if it is not filled yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return ...


def _state(value: Any) -> dict[str, Any] | None:
    """The attributes of an object, from its dictionary and its slots; None if it has neither."""
    slots = [name for kind in type(value).__mro__ for name in _slots(kind) if name not in ("__dict__", "__weakref__")]
    if not hasattr(value, "__dict__") and not slots:
        return None
    found = {name: getattr(value, name) for name in slots if hasattr(value, name)} | getattr(value, "__dict__", {})
    # The value of a cached property follows from the other attributes, and is absent before its first use.
    return {
        name: part
        for name, part in found.items()
        if not isinstance(inspect.getattr_static(type(value), name, None), functools.cached_property)
    }


def _slots(kind: type) -> Iterable[str]:
    slots = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else slots


def _counts(name: str, part: Any) -> bool:
    """Whether an attribute of a class is part of its behaviour, and not metadata."""
    if name.startswith("__") and name.endswith("__"):
        return isinstance(part, types.FunctionType | staticmethod | classmethod | property)
    return name != "_abc_impl"


def _instructions(code: types.CodeType) -> Iterator[dis.Instruction]:
    """The instructions of code, and of the code objects inside it."""
    yield from dis.get_instructions(code)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _instructions(constant)


def _bare(part: Any) -> Any:
    """The function in a static or class method; any other value unchanged."""
    return part.__func__ if isinstance(part, staticmethod | classmethod) else part


def _assigned(kind: type) -> set[str]:
    """The attributes that methods of a class assign, other than attributes of `self` that constructors assign."""
    found = set()
    for base in (base for base in kind.__mro__ if not _installed(base)):
        for name, part in vars(base).items():
            method = getattr(part, "__func__", part)
            if isinstance(method, types.FunctionType):
                own = method.__code__.co_varnames[:1] if name in _MAKERS else ()
                steps = list(_instructions(method.__code__))
                for before, one in itertools.pairwise(steps):
                    loaded = before.argval if isinstance(before.argval, tuple) else (before.argval,)
                    if one.opname == "STORE_ATTR" and loaded[-1:] != own:
                        found.add(one.argval)
    return found


def _assigned_globals(module: dict[str, Any]) -> set[str]:
    """The globals of a module that its functions, and the methods of its classes, assign."""
    classes = [part for part in module.values() if isinstance(part, type) and not _installed(part)]
    parts = (part for place in (module, *map(vars, classes)) for part in place.values())
    codes = (
        one.__code__ for one in map(_bare, parts) if isinstance(one, types.FunctionType) and one.__globals__ is module
    )
    return {one.argval for code in codes for one in _instructions(code) if one.opname == "STORE_GLOBAL"}


def _top(name: str | None) -> str:
    """The first part of the name of a module."""
    return (name or "").partition(".")[0]


def _installed(value: Any) -> bool:
    """Whether a class, function or module belongs to an installed package."""
    return _is_installed(value.__name__ if isinstance(value, types.ModuleType) else value.__module__)


@functools.cache
def _is_installed(name: str | None) -> bool:
    """Whether a module belongs to the standard library, to mdvi, or to an installed package."""
    top = _top(name)
    module: Any = sys.modules.get(top)
    if module is None:
        try:
            module = importlib.util.find_spec(top)
        except (ImportError, ValueError):
            return False
    file = getattr(module, "__file__", None) or getattr(module, "origin", None)
    places = [Path(place).resolve() for place in (file, *getattr(module, "__path__", ())) if place]
    if top == "mdvi" or not places:
        return top in sys.builtin_module_names or top in ("mdvi", "zipimport")
    return any(
        place.is_relative_to(_LIBRARY) or not {"site-packages", "dist-packages"}.isdisjoint(place.parts)
        for place in places
    )
