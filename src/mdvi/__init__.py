"""mdvi: planning and learning with KL and entropy regularisation, one scheme, two numbers.

>>> import mdvi
>>> trace = mdvi.iterate(mdvi.mdp.garnet(), mdvi.Scheme.of(kl=0.1), 200, mdvi.errors.sampled(1))
>>> bool(trace.loss[-1] < trace.bound[-1])
True
"""

from importlib import import_module

TYPE_CHECKING = False  # `python -m mdvi` reads this file while the current folder may stand for any module
if TYPE_CHECKING:
    from mdvi import envs, mdp, named, regularizers
    from mdvi.mdp import FiniteMDP
    from mdvi.planning import bounds, errors
    from mdvi.planning.certificate import certify, optimal_actions, unregularized_bounds
    from mdvi.planning.horizon import backward_induction
    from mdvi.planning.iterate import iterate
    from mdvi.planning.solve import Solution, solve
    from mdvi.planning.trace import Trace
    from mdvi.scheme import DualAveraging, Scheme
    from mdvi.study.learn import Run, load, train

    __version__: str

__all__ = [
    "DualAveraging",
    "FiniteMDP",
    "Run",
    "Scheme",
    "Solution",
    "Trace",
    "__version__",
    "backward_induction",
    "bounds",
    "certify",
    "envs",
    "errors",
    "iterate",
    "load",
    "mdp",
    "named",
    "optimal_actions",
    "regularizers",
    "solve",
    "train",
    "unregularized_bounds",
]

_MODULES = {
    "bounds": "mdvi.planning.bounds",
    "envs": "mdvi.envs",
    "errors": "mdvi.planning.errors",
    "mdp": "mdvi.mdp",
    "named": "mdvi.named",
    "regularizers": "mdvi.regularizers",
}
_MEMBERS = {
    "DualAveraging": "mdvi.scheme",
    "FiniteMDP": "mdvi.mdp",
    "Run": "mdvi.study.learn",
    "Scheme": "mdvi.scheme",
    "Solution": "mdvi.planning.solve",
    "Trace": "mdvi.planning.trace",
    "backward_induction": "mdvi.planning.horizon",
    "certify": "mdvi.planning.certificate",
    "iterate": "mdvi.planning.iterate",
    "load": "mdvi.study.learn",
    "optimal_actions": "mdvi.planning.certificate",
    "solve": "mdvi.planning.solve",
    "train": "mdvi.study.learn",
    "unregularized_bounds": "mdvi.planning.certificate",
}


def __getattr__(name: str) -> object:
    """Public names are imported when first used, so that `mdvi --help` does not wait for JAX."""
    if name == "__version__":
        return import_module("importlib.metadata").version("mdvi")
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name in _MEMBERS:
        return getattr(import_module(_MEMBERS[name]), name)
    raise AttributeError(f"module 'mdvi' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
