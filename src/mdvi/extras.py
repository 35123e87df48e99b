"""Optional packages: which extra of mdvi brings each of them, and the command that installs it.

The core (models, planning, formats, statistics) needs NumPy, SciPy and Numba. Everything else is an extra of the
distribution, as in `pip install '.[learn]'`. The command in a message names the packages of the extra with their lowest
versions, as the metadata of the installed mdvi have them, so it works wherever mdvi itself was installed from.
"""

import contextlib
import re
import shlex
import sys
from collections.abc import Iterator

PACKAGES = {
    "learn": ("jax", "jaxlib", "equinox", "optax", "safetensors", "pydantic", "psutil"),
    "plots": ("matplotlib", "jinja2"),
    "envs": ("gymnasium", "Box2D", "pgx"),
    "atari": ("ale_py",),
    "video": ("PIL", "imageio", "imageio_ffmpeg"),
    "ray": ("ray",),
    "parquet": ("pyarrow",),
    "frames": ("pandas", "xarray", "networkx"),
    "tracking": ("tensorboardX", "wandb", "mlflow"),
}  # the names under which mdvi imports them


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Import optional packages in this block, or call what imports them, so that a missing one is explained.

    Raises:
        ModuleNotFoundError: when a package of an extra is missing, with the command that installs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if extra_of(package) is None:
            raise
        raise ModuleNotFoundError(missing(package), name=error.name) from None


def check_installed(*packages: str) -> None:
    """Whether these packages are there, asked before long work whose last step needs them.

    Raises:
        ModuleNotFoundError: for the first that is not, with the command that installs it.
    """
    from importlib.util import find_spec

    for package in packages:
        if find_spec(package) is None:
            raise ModuleNotFoundError(missing(package), name=package)


def extra_of(package: str) -> str | None:
    """The extra that brings a package, by the name under which it is imported; None for any other package."""
    return next((extra for extra, packages in PACKAGES.items() if package in packages), None)


def missing(package: str) -> str:
    """One sentence: this package is not installed, and this command installs it."""
    extra = extra_of(package)
    packages = requirements(extra) if extra else []
    install = shlex.join([sys.executable, "-m", "pip", "install", *(packages or [package])])
    return f"{package} is not installed; to install the packages of mdvi's extra [{extra}], run: {install}"


def requirements(extra: str) -> list[str]:
    """The packages of an extra with their lowest versions, as pip takes them: `["matplotlib>=3.9", "jinja2>=3.1"]`.

    They come from the metadata of the installed mdvi; the list is empty where there are none.
    """
    from importlib.metadata import PackageNotFoundError, requires  # takes a while, and few messages need it

    try:
        lines = requires("mdvi") or []
    except PackageNotFoundError:
        return []
    parts = (line.partition(";") for line in lines)
    return [package.strip() for package, _, marker in parts if re.search(rf"extra == ['\"]{extra}['\"]", marker)]
