"""Episodes of a policy in a model, drawn at random, many at a time."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int

from mdvi.checks import within
from mdvi.mdp.listing import missing
from mdvi.mdp.model import FiniteMDP
from mdvi.mdp.names import model_of
from mdvi.mdp.starts import starts_of
from mdvi.mdp.validation import physical_memory
from mdvi.planning.evaluation import policy_table
from mdvi.planning.views import size_of
from mdvi.words import as_html

if TYPE_CHECKING:
    from mdvi.report.frames import DataFrame

NOTHING = -1  # the state and the action after the end of an episode


@dataclass(frozen=True, eq=False)
class Episodes:
    """Episodes side by side. They are equal (`==`) to themselves alone.

    Attributes:
        state: s_0, s_1, …, shape (episodes, steps + 1); −1 after the end.
        action: a_0, a_1, …, shape (episodes, steps); −1 after the end.
        reward: r(s_t, a_t), shape (episodes, steps); 0 after the end.
        length: the number of actions taken, shape (episodes,).
        terminated: whether the episode ended by itself, shape (episodes,); the others were cut off.
        mdp: the model.
    """

    state: Int[np.ndarray, "episodes times"]
    action: Int[np.ndarray, "episodes steps"]
    reward: Float[np.ndarray, "episodes steps"]
    length: Int[np.ndarray, " episodes"]
    terminated: Bool[np.ndarray, " episodes"]
    mdp: FiniteMDP = field(repr=False)

    @property
    def returns(self) -> Float[np.ndarray, " episodes"]:
        """Σ_t γ^t r_t of each episode, as far as it was followed."""
        return self.reward @ float(self.mdp.discount) ** np.arange(self.reward.shape[1])

    def __repr__(self) -> str:
        return "Episodes(" + ", ".join(f"{name}={value}" for name, value in self._facts().items()) + ")"

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        return as_html("Episodes", self._facts() | {"model": size_of(self.mdp)})

    def _facts(self) -> dict[str, object]:
        episodes, steps = self.action.shape
        mean = self.returns.mean()
        return {
            "episodes": episodes,
            "steps": f"at most {steps}",
            "terminated": int(self.terminated.sum()),
            "mean return": f"{mean:.6g}",
        }

    def to_frame(self) -> "DataFrame":
        """A row for each action taken: episode, step, state, action, reward and next state, by their names.

        The next state is missing where an episode ended without one, in a model whose rows sum to less than 1.
        """
        from mdvi.report.frames import frame_of

        episode, step = np.nonzero(self.action != NOTHING)
        names = self.mdp.names
        following = self.state[episode, step + 1]
        return frame_of(
            {
                "episode": episode,
                "step": step,
                "state": [names.state(s) for s in self.state[episode, step]],
                "action": [names.action(a) for a in self.action[episode, step]],
                "reward": self.reward[episode, step],
                "next_state": [None if s == NOTHING else names.state(s) for s in following],
            }
        )


def simulate(
    mdp: FiniteMDP | str | Path,
    policy: Any,
    steps: int = 100,
    episodes: int = 1,
    *,
    start: Any = None,
    seed: int | np.random.Generator = 0,
) -> Episodes:
    """Episodes of a policy, until a terminal state or after a number of steps.

        s_0 ~ ρ,     a_t ~ π(·|s_t),     s_{t+1} ~ P(·|s_t, a_t)

    >>> import mdvi
    >>> lake = mdvi.mdp.from_gymnasium("FrozenLake-v1")
    >>> played = mdvi.simulate(lake, mdvi.solve(lake), steps=500, episodes=2000, start=0, seed=1)
    >>> bool(abs(played.returns.mean() - 0.542) < 0.02)
    True

    Args:
        mdp: the model, or its name as `solve` takes it.
        policy: whatever `evaluate` takes for a policy.
        steps: the most actions of an episode.
        episodes: how many.
        start: ρ, as `occupancy` takes it; default every state that is not terminal alike.
        seed: of the random numbers, or a generator of NumPy's. Equal seeds give equal episodes.

    Raises:
        ValueError: for bad arguments, naming them.
    """
    mdp = model_of(mdp)
    within("steps", steps, 1, 2**31 - 1)
    within("episodes", episodes, 1, 2**31 - 1)
    needed = 24 * (steps + 1) * episodes
    if needed > physical_memory():
        raise ValueError(f"steps: {steps} steps of {episodes} episodes would need {needed / 2**30:.1f} GiB")
    if not isinstance(seed, np.random.Generator):
        within("seed", seed, 0, 2**63 - 1)
    rng = np.random.default_rng(seed)
    matrix, pi = mdp.kernel.csr(), policy_table(mdp, policy)
    reward, ends = np.asarray(mdp.reward), np.asarray(mdp.terminal)
    choices = _Rows(np.arange(mdp.states + 1) * mdp.actions, pi.ravel(), whole=True)
    moves = _Rows(matrix.indptr, matrix.data, whole=not missing(mdp).any())
    state = np.full((episodes, steps + 1), NOTHING)
    action, paid = np.full((episodes, steps), NOTHING), np.zeros((episodes, steps))
    state[:, 0] = here = _Rows(np.array([0, mdp.states]), starts_of(mdp, start), whole=True).drawn(
        np.zeros(episodes, np.int64), rng.random(episodes)
    )
    alive, terminated = np.arange(episodes), np.zeros(episodes, bool)
    for step in range(steps):
        # As many numbers in every step, so that episodes do not depend on each other.
        drawn = rng.random((2, episodes))[:, alive]
        chosen = choices.drawn(here, drawn[0]) - here * mdp.actions
        entry = moves.drawn(here * mdp.actions + chosen, drawn[1])
        there = np.where(entry == NOTHING, NOTHING, matrix.indices[entry])
        action[alive, step], paid[alive, step], state[alive, step + 1] = chosen, reward[here, chosen], there
        over = (there == NOTHING) | ends[there]
        terminated[alive[over]] = True
        alive, here = alive[~over], there[~over]
        if not len(alive):
            break
    return Episodes(state, action, paid, (action != NOTHING).sum(-1), terminated, mdp)


class _Rows:
    """Rows of probabilities, one after the other, to draw places from by inversion."""

    def __init__(self, first: np.ndarray, probability: np.ndarray, *, whole: bool) -> None:
        """Rows that begin at `first`; those that are not `whole` may sum to less than 1."""
        self.first = first.astype(np.int64)
        total = np.concatenate([[0.0], np.cumsum(probability, dtype=np.longdouble)])
        row = np.repeat(np.arange(len(first) - 1), np.diff(self.first))
        self.below = (total[1:] - total[self.first[row]]).astype(float)  # of each entry and those before it in its row
        self.whole = whole

    def drawn(self, row: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """The place of the first entry of each row whose sum exceeds a number in [0, 1); −1 where none does."""
        low, end = self.first[row], self.first[row + 1]
        top = np.where(end > low, self.below[np.maximum(end, 1) - 1], 0.0)
        sought, high = uniform * (top if self.whole else 1.0), end.copy()
        while (low < high).any():
            middle = (low + high) // 2
            right = self.below[np.minimum(middle, len(self.below) - 1)] <= sought
            low, high = np.where((low < high) & right, middle + 1, low), np.where((low < high) & ~right, middle, high)
        return np.where(low < end, low, NOTHING)
