"""A `FiniteMDP` as a Gymnasium environment, for agents of any library."""

from functools import cache
from typing import Any

import numpy as np

from mdvi import door
from mdvi.checks import within
from mdvi.mdp.kernels import MatrixFree
from mdvi.mdp.model import FiniteMDP
from mdvi.mdp.starts import starts_of


def as_gymnasium(mdp: FiniteMDP, start: Any = None, limit: int | None = None, *, render_mode: str | None = None) -> Any:
    """A model as a Gymnasium environment: s' ~ P(·|s, a), reward r(s, a), terminated on reaching a terminal state.

    Observations and actions are the numbers of states and actions, in `Discrete` spaces. `info` has the name of the
    state as "state" and, if some actions of the model are illegal, "action_mask"; `env.action_masks()` returns the same
    mask for MaskablePPO of sb3-contrib. If the probabilities of a row sum to p < 1, the episode ends in its current
    state with probability 1 − p.

    >>> import mdvi
    >>> env = mdvi.envs.as_gymnasium(mdvi.mdp.chain(states=3), start=0)
    >>> env.reset(seed=0)
    (0, {'state': 0})

    Args:
        mdp: the model.
        start: the first state of episodes: a state by name or number, several states with equal probability, or
            probabilities as an array of floats of shape (states,). Default: all states that are not terminal, with
            equal probability.
        limit: steps after which an episode is truncated. Default: none.
        render_mode: "ansi", so that `render` returns the name of the state; or None.

    Raises:
        ValueError: if an argument is invalid; the message names it. In `step`: if an action is illegal in the state.
        ModuleNotFoundError: if Gymnasium is not installed; the message has the command that installs it.
    """
    if isinstance(mdp.kernel, MatrixFree):
        raise ValueError("mdp: a matrix-free model has no rows to draw from; build it with rows")
    if limit is not None:
        within("limit", limit, 1, 2**31 - 1)
    if render_mode not in (None, "ansi"):
        raise ValueError(f"render_mode: expected 'ansi' or None, got {render_mode!r}")
    return _kind()(mdp, starts_of(mdp, start), limit, render_mode)


@cache
def _kind() -> Any:
    """The class of environments; it is defined at the first use, because its base class needs Gymnasium."""
    gymnasium: Any = door.library()
    base: Any = gymnasium.Env

    class ModelEnv(base):
        """A finite model, sampled with NumPy."""

        metadata = {"render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012

        def __init__(self, mdp: FiniteMDP, starts: np.ndarray, limit: int | None, render_mode: str | None) -> None:
            self.mdp, self.starts, self.limit, self.render_mode = mdp, starts, limit, render_mode
            self.observation_space = gymnasium.spaces.Discrete(mdp.states)
            self.action_space = gymnasium.spaces.Discrete(mdp.actions)
            self._rows = mdp.kernel.csr()
            self._masked = not mdp.legal.all()
            self._state: int | None = None
            self._clock = 0

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
            super().reset(seed=seed)
            self._clock, self._state = 0, _drawn(self.starts, self.np_random)
            return self._state, self._info()

        def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
            state, mdp = self._current(), self.mdp
            if not self.action_space.contains(action):
                raise ValueError(f"action: expected a whole number from 0 to {mdp.actions - 1}, got {action!r}")
            if not mdp.legal[state, action]:
                legal = [mdp.names.action(a) for a in np.flatnonzero(mdp.legal[state])]
                raise ValueError(
                    f"action: {mdp.names.action(action)!r} is illegal in state {mdp.names.state(state)!r}; legal are "
                    f"{legal}, see info['action_mask']"
                )
            row = slice(*self._rows.indptr[[state * mdp.actions + action, state * mdp.actions + action + 1]])
            place = _drawn(self._rows.data[row], self.np_random)
            vanished = place < 0
            self._state = following = state if vanished else int(self._rows.indices[row][place])
            self._clock += 1
            terminated = vanished or bool(mdp.terminal[following])
            truncated = self.limit is not None and self._clock >= self.limit and not terminated
            return following, float(mdp.reward[state, action]), terminated, truncated, self._info()

        def render(self) -> str | None:
            return str(self.mdp.names.state(self._current())) if self.render_mode == "ansi" else None

        def action_masks(self) -> np.ndarray:
            """Which actions are legal, shape (actions,)."""
            return np.asarray(self.mdp.legal[self._current()])

        def _current(self) -> int:
            if self._state is None:
                raise ValueError("step: call reset first")
            return self._state

        def _info(self) -> dict[str, Any]:
            info: dict[str, Any] = {"state": self.mdp.names.state(self._current())}
            return info | ({"action_mask": self.action_masks().astype(np.int8)} if self._masked else {})

    return ModelEnv


def _drawn(probability: np.ndarray, rng: np.random.Generator) -> int:
    """An index drawn with its probability; −1 with probability 1 − Σp, if that is more than a rounding error."""
    total = np.cumsum(probability)
    whole = total[-1] if len(total) and abs(total[-1] - 1) < 1e-9 else 1.0
    place = int(np.searchsorted(total, rng.random() * whole, side="right"))
    return place if place < len(total) else -1
