"""Studies: an experiment as a file, the store of its results, and the training of missing runs.

    study = mdvi.study.read(Path("studies/cartpole-quick.toml"))
    mdvi.study.run(study, Path("runs/quick"))

Every name is imported at its first use, so that a command that shows results does not import the training code.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from mdvi.extras import explained

if TYPE_CHECKING:
    from mdvi.study.execute import Watch
    from mdvi.study.execute import execute as run
    from mdvi.study.plan import plan_of
    from mdvi.study.spec import Study, read
    from mdvi.study.store import Store

__all__ = ["Store", "Study", "Watch", "plan_of", "read", "run"]

_PLACES = {
    "Store": "store.Store",
    "Study": "spec.Study",
    "Watch": "execute.Watch",
    "plan_of": "plan.plan_of",
    "read": "spec.read",
    "run": "execute.execute",
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module 'mdvi.study' has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(".")
    with explained():
        return getattr(import_module(f"mdvi.study.{module}"), attribute)


def __dir__() -> list[str]:
    return __all__
