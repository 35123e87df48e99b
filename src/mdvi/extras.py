"""Optional packages: the extra of mdvi that contains each package, and the command that installs it.

The core (models, planning, formats, statistics) needs NumPy, SciPy and Numba. All other packages belong to extras of
the distribution, as in `pip install '.[learn]'`. The command in a message lists the packages of the extra with their
lowest versions, from the metadata of the installed mdvi, so it works for every kind of installation.
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
}  # the names that mdvi imports


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """A block that imports optional packages, directly or in a call; a missing package raises an explained error.

    Raises:
        ModuleNotFoundError: if a package of an extra is missing; the message has the command that installs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if extra_of(package) is None:
            raise
        raise ModuleNotFoundError(missing(package), name=error.name) from None


def check_installed(*packages: str) -> None:
    """Check that packages are installed, before long work whose last step needs them.

    Raises:
        ModuleNotFoundError: for the first missing package; the message has the command that installs it.
    """
    from importlib.util import find_spec

    for package in packages:
        if find_spec(package) is None:
            raise ModuleNotFoundError(missing(package), name=package)


def extra_of(package: str) -> str | None:
    """The extra that contains a package, by the name that mdvi imports; None for any other package."""
    return next((extra for extra, packages in PACKAGES.items() if package in packages), None)


def missing(package: str) -> str:
    """The message that a package is not installed, with the command that installs it."""
    extra = extra_of(package)
    packages = requirements(extra) if extra else []
    install = shlex.join([sys.executable, "-m", "pip", "install", *(packages or [package])])
    return f"{package} is not installed; to install the packages of mdvi's extra [{extra}], run: {install}"


def requirements(extra: str) -> list[str]:
    """The packages of an extra with their lowest versions, for pip: `["matplotlib>=3.9", "jinja2>=3.1"]`.

    They come from the metadata of the installed mdvi; without metadata, the list is empty.
    """
    from importlib.metadata import PackageNotFoundError, requires  # a slow import that few messages need

    try:
        lines = requires("mdvi") or []
    except PackageNotFoundError:
        return []
    parts = (line.partition(";") for line in lines)
    return [package.strip() for package, _, marker in parts if re.search(rf"extra == ['\"]{extra}['\"]", marker)]
