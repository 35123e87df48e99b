"""Functions compiled to machine code, with a cache on the disk if possible."""

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
    """Seconds on a clock that excludes compilation, so that time limits apply to the computation only."""
    return time.monotonic() - (_compilation.duration if _compilation.done else 0.0)


class _Kept(FunctionCache):
    """The cache of Numba; if a file cannot be read or written, the function is compiled again."""

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
    """`numba.njit`; `cache` uses the cache on the disk if possible.

    Numba stores machine code next to the source, or in a folder of the user. In a container, or for a package that
    another user installed, both may be read-only.
    """

    def compile(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        if cache:
            with suppress(RuntimeError):  # no folder is writable
                dispatcher._cache = _Kept(function)  # type: ignore[no-untyped-call]
        return dispatcher

    return compile
