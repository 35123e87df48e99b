"""Functions compiled to machine code, which is kept on the disk where there is a place for it."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numba
from numba import prange
from numba.core import event
from numba.core.caching import FunctionCache

__all__ = ["clock", "njit", "prange"]

_compilation = event.TimingListener()  # type: ignore[no-untyped-call]
event.register("numba:compile", _compilation)  # type: ignore[no-untyped-call]


def clock() -> float:
    """Seconds on a clock that stands still while functions are compiled: a limit of time is meant for the work."""
    return time.monotonic() - (_compilation.duration if _compilation.done else 0.0)


class _Kept(FunctionCache):
    """Numba's cache, where a file that cannot be read or written costs a compilation and nothing else."""

    def load_overload(self, sig, target_context):  # type: ignore[no-untyped-def]
        with suppress(Exception):  # a damaged file may raise anything
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        with suppress(OSError):
            self.flush()  # type: ignore[no-untyped-call]
        return None

    def save_overload(self, sig, data):  # type: ignore[no-untyped-def]
        with suppress(Exception):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]


def njit(*, cache: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit`, where `cache` asks for the disk but does not need it.

    Numba keeps machine code beside the source, or in a folder of the user. A container, or a package that somebody else
    installed, may let its user write into neither.
    """

    def compile(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        if cache:
            with suppress(RuntimeError):  # no folder may be written
                dispatcher._cache = _Kept(function)  # type: ignore[no-untyped-call]
        return dispatcher

    return compile
