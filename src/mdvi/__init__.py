"""mdvi: planning and learning with KL and entropy regularisation by one scheme with two numbers, λ and τ.

>>> import mdvi
>>> trace = mdvi.iterate(mdvi.mdp.garnet(), mdvi.Scheme.of(kl=0.1), 200, mdvi.errors.sampled(1))
>>> bool(trace.loss[-1] < trace.bound[-1])
True
"""

from importlib import import_module

TYPE_CHECKING = False  # `python -m mdvi` executes this file while the current folder may shadow any module
if TYPE_CHECKING:
    from mdvi import agents, algorithms, bounds, envs, errors, mdp, regularizers, study
    from mdvi import algorithms as named
    from mdvi.dual_averaging import DualAveraging
    from mdvi.laboratory.iterate import iterate
    from mdvi.laboratory.trace import Trace
    from mdvi.learning.compare import compare
    from mdvi.learning.runs.run import Report
    from mdvi.learning.runs.signals import Interrupted
    from mdvi.learning.train import Run, load, train
    from mdvi.mdp import FiniteMDP
    from mdvi.planning.certificate import certify, optimal_actions, unregularized_bounds
    from mdvi.planning.evaluation import Evaluation, evaluate
    from mdvi.planning.horizon import backward_induction
    from mdvi.planning.occupancy import Occupancy, occupancy
    from mdvi.planning.simulation import Episodes, simulate
    from mdvi.planning.solution import Solution
    from mdvi.planning.solve import solve
    from mdvi.scheme import Scheme, schedule

    __version__: str

__all__ = [
    "DualAveraging",
    "Episodes",
    "Evaluation",
    "FiniteMDP",
    "Interrupted",
    "Occupancy",
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
    "compare",
    "envs",
    "errors",
    "evaluate",
    "iterate",
    "load",
    "mdp",
    "named",
    "occupancy",
    "optimal_actions",
    "regularizers",
    "schedule",
    "simulate",
    "solve",
    "study",
    "train",
    "unregularized_bounds",
]

_MODULES = ("agents", "algorithms", "bounds", "envs", "errors", "mdp", "named", "regularizers", "study")
_MEMBERS = {
    "DualAveraging": "mdvi.dual_averaging",
    "Episodes": "mdvi.planning.simulation",
    "Evaluation": "mdvi.planning.evaluation",
    "FiniteMDP": "mdvi.mdp",
    "Interrupted": "mdvi.learning.runs.signals",
    "Occupancy": "mdvi.planning.occupancy",
    "Report": "mdvi.learning.runs.run",
    "Run": "mdvi.learning.train",
    "Scheme": "mdvi.scheme",
    "Solution": "mdvi.planning.solution",
    "Trace": "mdvi.laboratory.trace",
    "backward_induction": "mdvi.planning.horizon",
    "certify": "mdvi.planning.certificate",
    "compare": "mdvi.learning.compare",
    "evaluate": "mdvi.planning.evaluation",
    "iterate": "mdvi.laboratory.iterate",
    "load": "mdvi.learning.train",
    "occupancy": "mdvi.planning.occupancy",
    "optimal_actions": "mdvi.planning.certificate",
    "schedule": "mdvi.scheme",
    "simulate": "mdvi.planning.simulation",
    "solve": "mdvi.planning.solve",
    "train": "mdvi.learning.train",
    "unregularized_bounds": "mdvi.planning.certificate",
}


def __getattr__(name: str) -> object:
    """Import public names at their first use, so that `mdvi --help` does not import JAX."""
    if name == "__version__":
        return import_module("importlib.metadata").version("mdvi")
    if name in _MODULES or name in _MEMBERS:
        from mdvi.extras import explained

        with explained():
            if name in _MODULES:
                return import_module(f"mdvi.{name}")
            return getattr(import_module(_MEMBERS[name]), name)
    if name.startswith("_"):  # asked for by tools, not by people
        raise AttributeError(f"module 'mdvi' has no attribute {name!r}")
    from mdvi.words import nearest

    near = nearest(name, __all__)
    raise AttributeError(f"module 'mdvi' has no attribute {name!r}" + (f"; did you mean {near!r}?" if near else ""))


def __dir__() -> list[str]:
    return __all__
