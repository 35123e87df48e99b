"""The policy of a trained member, as a function of observations."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from mdvi.envs.base import Interface
from mdvi.envs.spaces import actions_of
from mdvi.learning.acting import numpy_acting, play
from mdvi.learning.agents.agent import Agent
from mdvi.learning.agents.networks import Networks
from mdvi.observations import as_seen
from mdvi.regularizers import log_soft_argmax

Actions = np.ndarray | np.int64


class Policy:
    """π(·|obs) of a trained member, for one observation or for several along a first axis.

    Dense networks are evaluated by NumPy, at once; those with convolutions by a program that is compiled at the first
    call.

    Attributes:
        first: the number of the first action, as the action space of the environment counts.
        rng: what `predict` samples with; `np.random.default_rng(0)` at first.

    Examples:
        >>> import mdvi, numpy as np
        >>> run = mdvi.train("probe-matched", steps=2000, hidden=(16,), batch=16, epsilon=0.5)
        >>> policy = run.predictor()
        >>> policy([True, False, False]), policy([False, True, False])
        (np.int64(0), np.int64(1))
        >>> policy.probabilities([True, False, False]).round(2)
        array([1., 0.])
    """

    def __init__(self, env: Interface, agent: Agent, networks: Networks, *, dense: bool) -> None:
        """Prepare a policy.

        Args:
            env: the environment that the agent was trained in.
            agent: the agent.
            networks: what it has learned.
            dense: whether the networks have fully connected layers alone, and NumPy is to evaluate them.
        """
        self._env, self._agent, self._networks = env, agent, networks
        self._actions = actions_of(env)
        self.first, self.rng = self._actions.first, np.random.default_rng(0)
        self._dense: Any = None
        if dense:
            agents, members = jax.tree.map(lambda leaf: np.asarray(leaf)[None], (agent, networks))
            self._dense = numpy_acting.policies_of(env, agents), numpy_acting.layers_of(members)

    def __repr__(self) -> str:
        return f"Policy({self._env.observation.shape} → {self._actions.count} actions)"

    def __call__(self, obs: Any, *, seed: int | None = None, legal: Any = None) -> Actions:
        """The action for an observation, or the actions for several, as the action space counts them.

        Args:
            obs: as for `probabilities`.
            seed: sample the policy with this seed; default the most probable action.
            legal: as for `probabilities`.

        Raises:
            ValueError: as `probabilities` does.
        """
        rng = None if seed is None else np.random.default_rng(seed)
        return self._chosen(obs, rng, legal)

    def predict(
        self,
        obs: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
        action_masks: Any = None,
    ) -> tuple[Actions, Any]:
        """Actions as Stable-Baselines3 asks for them, so that its `evaluate_policy(run.predictor(), env)` works.

        Args:
            obs: as for `probabilities`.
            state: what a recurrent policy would remember; given back as it is.
            episode_start: where episodes begin, which makes no difference to a policy without memory.
            deterministic: take the most probable action, or else sample the policy with `rng`.
            action_masks: which actions are legal, the `legal` of `probabilities`; as in the maskable agents of
                sb3-contrib.

        Returns:
            The actions and the state.

        Raises:
            ValueError: as `probabilities` does.

        Source: Raffin et al. (2021), "Stable-Baselines3: Reliable Reinforcement Learning Implementations".
        """
        return self._chosen(obs, None if deterministic else self.rng, action_masks), state

    def probabilities(self, obs: Any, legal: Any = None) -> Float[np.ndarray, "*batch actions"]:
        """π(·|obs), shape (actions,) or (batch, actions): exactly 0 on illegal actions, and every row sums to 1.

        Args:
            obs: an observation, or several along a first axis, as the environment has them or flattened.
            legal: which actions are legal on each observation, as in `info["action_mask"]`; default those that the
                environment reads off observations, which are all of an environment on the host.

        Raises:
            ValueError: for an observation of the wrong shape, or that is not made of finite numbers; for legal actions
                of another shape than (batch, actions), or none at all; for networks that diverged.
        """
        batch, single = self._batch(obs)
        weights = np.exp(self._log_policy(batch, single, legal).astype(np.float64))
        found = weights / weights.sum(-1, keepdims=True)
        return found[0] if single else found

    def _chosen(self, obs: Any, rng: np.random.Generator | None, legal: Any) -> Actions:
        """The most probable actions, or samples of the policy."""
        batch, single = self._batch(obs)
        log_policy = self._log_policy(batch, single, legal)
        if rng is None:
            chosen = log_policy.argmax(-1)
        else:
            reached = np.exp(log_policy.astype(np.float64)).cumsum(-1)  # rises at legal actions only
            chosen = (rng.random((len(batch), 1)) * reached[:, -1:] < reached).argmax(-1)
        chosen = chosen.astype(np.int64) + self.first
        return chosen[0] if single else chosen

    def _batch(self, obs: Any) -> tuple[np.ndarray, bool]:
        """Observations along a first axis, and whether it was a single one."""
        layout, shape = getattr(self._env, "layout", ""), self._env.observation.shape
        obs = as_seen(layout, obs) if layout else np.asarray(obs)
        if obs.dtype.kind not in "buif" or not np.isfinite(obs).all():
            raise ValueError("obs: expected finite numbers")
        if obs.shape[-len(shape) :] != shape or obs.ndim not in (len(shape), len(shape) + 1):
            raise ValueError(f"obs: expected shape {shape} or (batch, {', '.join(map(str, shape))}), got {obs.shape}")
        single = obs.ndim == len(shape)
        return (obs[None] if single else obs), single

    def _log_policy(self, batch: np.ndarray, single: bool, legal: Any) -> np.ndarray:
        """Log π, shape (batch, actions); −∞ on illegal actions."""
        count = self._actions.count
        told = None if legal is None else checked_legal(legal, (count,) if single else (len(batch), count))
        if not len(batch):
            return np.zeros((0, count), np.float32)
        if self._dense is None:
            found = np.asarray(play.log_policy(self._env, self._agent, self._networks, jnp.asarray(batch), told))
        else:
            policies, layers = self._dense
            scores = numpy_acting.scores_of(policies, layers, batch[None])[0]
            legal = np.asarray(_legal(self._env, batch)) if told is None else told
            found = np.asarray(log_soft_argmax(scores, policies.temperature.reshape(()), legal))
        if not np.isfinite(found.max(-1)).all():
            raise ValueError("the networks of this member diverged: they hold numbers that are not finite")
        return found


@jax.jit
def _legal(env: Interface, obs: Any) -> Any:
    """The actions that an environment reads off observations."""
    return env.legal(obs)


def checked_legal(legal: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Masks of legal actions, with an axis of observations.

    Raises:
        ValueError: unless they have this shape, hold Booleans, or 0 and 1, and allow an action on each observation.
    """
    mask = np.asarray(legal)
    if mask.shape != shape or mask.dtype.kind not in "bui" or ((mask != 0) & (mask != 1)).any():
        raise ValueError(f"legal: expected Booleans, or 0 and 1, of shape {shape}, got {mask.dtype} of {mask.shape}")
    if not mask.any(-1).all():
        raise ValueError("legal: expected one legal action at least on every observation, got none")
    return mask.astype(bool).reshape(-1, shape[-1])
