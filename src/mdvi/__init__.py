"""mdvi: planning and learning with KL and entropy regularisation, one scheme, two numbers.

>>> import mdvi
>>> trace = mdvi.iterate(mdvi.mdp.garnet(), mdvi.Scheme.of(kl=0.1), 200, mdvi.errors.sampled(1))
>>> bool(trace.loss[-1] < trace.bound[-1])
True
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mdvi import mdp, named, regularizers
    from mdvi.mdp import FiniteMDP
    from mdvi.planning import bounds, errors
    from mdvi.planning.iterate import iterate
    from mdvi.planning.trace import Trace
    from mdvi.scheme import DualAveraging, Scheme

__version__ = version("mdvi")

__all__ = [
    "DualAveraging",
    "FiniteMDP",
    "Scheme",
    "Trace",
    "__version__",
    "bounds",
    "errors",
    "iterate",
    "mdp",
    "named",
    "regularizers",
]

_MODULES = {
    "bounds": "mdvi.planning.bounds",
    "errors": "mdvi.planning.errors",
    "mdp": "mdvi.mdp",
    "named": "mdvi.named",
    "regularizers": "mdvi.regularizers",
}
_MEMBERS = {
    "DualAveraging": "mdvi.scheme",
    "FiniteMDP": "mdvi.mdp",
    "Scheme": "mdvi.scheme",
    "Trace": "mdvi.planning.trace",
    "iterate": "mdvi.planning.iterate",
}


def __getattr__(name: str) -> Any:
    """Public names are imported when first used, so that `mdvi --help` does not wait for JAX."""
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name in _MEMBERS:
        return getattr(import_module(_MEMBERS[name]), name)
    raise AttributeError(f"module 'mdvi' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
