"""Evaluation during training: members play episodes periodically, and the best policy of each is kept."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mdvi.envs.base import Interface
from mdvi.learning.acting import play
from mdvi.learning.agents.agent import Agent
from mdvi.learning.agents.networks import Networks
from mdvi.learning.runs import checkpoint
from mdvi.learning.runs.member_log import Row
from mdvi.learning.runs.record import evaluation_seed
from mdvi.learning.settings import Settings

COLUMN = "evaluation_return"
LIMIT = 27_000  # steps after which an episode is stopped, as in `Run.evaluate`


class Best(NamedTuple):
    """The best policy of a member so far.

    Attributes:
        value: the mean return of the evaluation.
        step: the environment step of the evaluation.
        networks: the networks of the policy.
    """

    value: float
    step: int
    networks: Networks


class Evaluations:
    """The evaluations of all members.

    Attributes:
        best: the best policy of each member; None before its first evaluation.
    """

    def __init__(self, settings: Settings, env: Interface, seeds: np.ndarray) -> None:
        self.settings, self.env, self.seeds = settings, env, seeds
        self.best: list[Best | None] = [None] * len(seeds)
        self._last = [0] * len(seeds)

    def look(self, number: int, step: int, agent: Agent, networks: Networks) -> Row:
        """Evaluate a member if its evaluation is due; return the additional columns of its line of metrics."""
        period = self.settings.evaluation_period
        if not period or step // period <= self._last[number] // period:
            return {}
        self._last[number] = step
        seed = evaluation_seed(int(self.seeds[number]), step)
        returns, _ = play.evaluate(
            self.env, agent, networks, self.settings.evaluation_episodes, seed, sampled=False, epsilon=0.0, limit=LIMIT
        )
        value, best = float(returns.mean(dtype=np.float64)), self.best[number]
        if best is None or value > best.value:
            self.best[number] = Best(value, step, jax.tree.map(jnp.copy, networks))  # training overwrites them
        return {COLUMN: value}

    def best_of(self, number: int) -> Networks:
        """The best networks of a member.

        Raises:
            ValueError: before the first evaluation of the member.
        """
        best = self.best[number]
        if best is None:
            raise ValueError(f"member {number} was not evaluated during training; train with evaluation_period set")
        return best.networks

    def reached(self, number: int) -> bool:
        """Whether the best policy of a member has reached `stop_at`."""
        best = self.best[number]
        return best is not None and self.settings.stop_at is not None and best.value >= self.settings.stop_at

    def save(self) -> tuple[dict[str, np.ndarray], list[Any]]:
        """The state that `restore` needs: arrays, and a note of plain values."""
        arrays: dict[str, np.ndarray] = {}
        for number, best in enumerate(self.best):
            if best is not None:
                arrays |= checkpoint.flatten(best.networks, f"{number}.best")
        facts = [None if best is None else [best.value, best.step] for best in self.best]
        return arrays, [facts, self._last]

    def restore(self, template: Networks, arrays: dict[str, np.ndarray], note: list[Any]) -> None:
        """Restore the state of `save`; the template has the structure of the networks of a member.

        Raises:
            ValueError: if the arrays do not fit these members.
        """
        facts, last = note
        if not len(facts) == len(last) == len(self.best):
            raise ValueError(f"evaluations: expected {len(self.best)} members, got {len(facts)}")
        self._last = [int(step) for step in last]
        for number, found in enumerate(facts):
            if found is not None:
                networks = checkpoint.unflatten(template, arrays, f"{number}.best")
                self.best[number] = Best(float(found[0]), int(found[1]), networks)
