"""A `FiniteMDP` as an environment of Gymnasium's, for agents of any library."""

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

    Observations and actions are the numbers of states and actions, spaces `Discrete`. `info` has the name of the state
    as "state" and, where some actions are illegal, "action_mask"; `env.action_masks()` gives that mask too, as
    MaskablePPO of sb3-contrib asks for it. Probability that a row lacks ends the episode in the state that it was in.

    >>> import mdvi
    >>> env = mdvi.envs.as_gymnasium(mdvi.mdp.chain(states=3), start=0)
    >>> env.reset(seed=0)
    (0, {'state': 0})

    Args:
        mdp: the model.
        start: where episodes begin: a state, by its name or its number, several of them with equal probability, or
            probabilities, an array of floats of shape (states,). Default: every state that is not terminal alike.
        limit: steps after which an episode is truncated. Default: none.
        render_mode: "ansi", with which `render` gives the name of the state; or None.

    Raises:
        ValueError: for bad arguments, naming them; and in `step` for an action that is illegal in the state.
        ModuleNotFoundError: when Gymnasium is not installed, with the command that installs it.
    """
    if isinstance(mdp.kernel, MatrixFree):
        raise ValueError("mdp: a matrix-free model has no rows to draw from")
    if limit is not None:
        within("limit", limit, 1, 2**31 - 1)
    if render_mode not in (None, "ansi"):
        raise ValueError(f"render_mode: expected 'ansi' or None, got {render_mode!r}")
    return _kind()(mdp, starts_of(mdp, start), limit, render_mode)


@cache
def _kind() -> Any:
    """The class, which needs Gymnasium."""
    gymnasium: Any = door.library()
    base: Any = gymnasium.Env

    class ModelEnv(base):
        """A finite model that is sampled with NumPy."""

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
                    f"{legal}, as info['action_mask'] says"
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
    """A place with its probability; −1 with what the probabilities miss to a sum of 1, beyond rounding."""
    total = np.cumsum(probability)
    whole = total[-1] if len(total) and abs(total[-1] - 1) < 1e-9 else 1.0
    place = int(np.searchsorted(total, rng.random() * whole, side="right"))
    return place if place < len(total) else -1
