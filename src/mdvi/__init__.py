"""mdvi: planning and learning with KL and entropy regularisation, one scheme, two numbers.

>>> import mdvi
>>> trace = mdvi.iterate(mdvi.mdp.garnet(), mdvi.Scheme.of(kl=0.1), 200, mdvi.errors.sampled(1))
>>> bool(trace.loss[-1] < trace.bound[-1])
True
"""

from importlib import import_module

TYPE_CHECKING = False  # `python -m mdvi` reads this file while the current folder may stand for any module
if TYPE_CHECKING:
    from mdvi import algorithms, envs, mdp, regularizers, study
    from mdvi import algorithms as named
    from mdvi.dual_averaging import DualAveraging
    from mdvi.laboratory import bounds, errors
    from mdvi.laboratory.iterate import iterate
    from mdvi.laboratory.trace import Trace
    from mdvi.learning.agents import catalogue as agents
    from mdvi.learning.runs.run import Report
    from mdvi.learning.runs.signals import Interrupted
    from mdvi.learning.train import Run, load, train
    from mdvi.mdp import FiniteMDP
    from mdvi.planning.certificate import certify, optimal_actions, unregularized_bounds
    from mdvi.planning.horizon import backward_induction
    from mdvi.planning.solution import Solution
    from mdvi.planning.solve import solve
    from mdvi.scheme import Scheme, schedule

    __version__: str

__all__ = [
    "DualAveraging",
    "FiniteMDP",
    "Interrupted",
    "Report",
    "Run",
    "Scheme",
    "Solution",
    "Trace",
    "__version__",
    "agents",
    "algorithms",
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
    "schedule",
    "solve",
    "study",
    "train",
    "unregularized_bounds",
]

_MODULES = {
    "agents": "mdvi.learning.agents.catalogue",
    "algorithms": "mdvi.algorithms",
    "bounds": "mdvi.laboratory.bounds",
    "envs": "mdvi.envs",
    "errors": "mdvi.laboratory.errors",
    "mdp": "mdvi.mdp",
    "named": "mdvi.algorithms",  # its name before version 0.2
    "regularizers": "mdvi.regularizers",
    "study": "mdvi.study",
}
_MEMBERS = {
    "DualAveraging": "mdvi.dual_averaging",
    "FiniteMDP": "mdvi.mdp",
    "Interrupted": "mdvi.learning.runs.signals",
    "Report": "mdvi.learning.runs.run",
    "Run": "mdvi.learning.train",
    "Scheme": "mdvi.scheme",
    "Solution": "mdvi.planning.solution",
    "Trace": "mdvi.laboratory.trace",
    "backward_induction": "mdvi.planning.horizon",
    "certify": "mdvi.planning.certificate",
    "iterate": "mdvi.laboratory.iterate",
    "load": "mdvi.learning.train",
    "optimal_actions": "mdvi.planning.certificate",
    "schedule": "mdvi.scheme",
    "solve": "mdvi.planning.solve",
    "train": "mdvi.learning.train",
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
