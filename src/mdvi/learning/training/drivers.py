"""The driver for each type of environment; `DRIVERS` is the only registry."""

from typing import Any

from mdvi.envs.host.hosted import Hosted
from mdvi.learning.runs.driver import Driver
from mdvi.learning.training.host import HostPopulation
from mdvi.learning.training.population import Population

DRIVERS: dict[type, type[Driver]] = {Hosted: HostPopulation, object: Population}


def driver_of(env: Any) -> type[Driver]:
    """The driver for an environment: the entry of its type, or of the nearest base class."""
    return next(DRIVERS[kind] for kind in type(env).__mro__ if kind in DRIVERS)
