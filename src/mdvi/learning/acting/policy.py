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

    NumPy evaluates dense networks, without compilation; networks with convolutions are compiled at the first call.

    Attributes:
        first: the number of the first action in the action space of the environment.
        rng: the generator that `predict` samples with; initially `np.random.default_rng(0)`.

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
            networks: the networks of the agent.
            dense: whether the networks have only fully connected layers, so that NumPy can evaluate them.
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
        """The action for an observation, or the actions for several, as numbers of the action space.

        Args:
            obs: as in `probabilities`.
            seed: sample the policy with this seed; default: take the most probable action.
            legal: as in `probabilities`.

        Raises:
            ValueError: as in `probabilities`.
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
        """Actions by the interface of Stable-Baselines3, so that its `evaluate_policy(run.predictor(), env)` works.

        Args:
            obs: as in `probabilities`.
            state: the state of a recurrent policy; returned unchanged.
            episode_start: where episodes begin; ignored, because the policy has no memory.
            deterministic: take the most probable action; otherwise sample the policy with `rng`.
            action_masks: which actions are legal, as `legal` in `probabilities`; sb3-contrib uses this name.

        Returns:
            The actions and the state.

        Raises:
            ValueError: as in `probabilities`.

        Source: Raffin et al. (2021), "Stable-Baselines3: Reliable Reinforcement Learning Implementations".
        """
        return self._chosen(obs, None if deterministic else self.rng, action_masks), state

    def probabilities(self, obs: Any, legal: Any = None) -> Float[np.ndarray, "*batch actions"]:
        """π(·|obs), shape (actions,) or (batch, actions): exactly 0 on illegal actions, and every row sums to 1.

        Args:
            obs: an observation, or several along a first axis, as the environment returns them or flattened.
            legal: which actions are legal on each observation, as in `info["action_mask"]`. By default an environment
                in JAX reads the legal actions off the observation, and in an environment on the host all are legal.

        Raises:
            ValueError: if an observation has the wrong shape or is not finite; if `legal` does not have the shape
                (batch, actions), or allows no action; if the networks diverged.
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
            reached = np.exp(log_policy.astype(np.float64)).cumsum(-1)  # increases at legal actions only
            chosen = (rng.random((len(batch), 1)) * reached[:, -1:] < reached).argmax(-1)
        chosen = chosen.astype(np.int64) + self.first
        return chosen[0] if single else chosen

    def _batch(self, obs: Any) -> tuple[np.ndarray, bool]:
        """Observations along a first axis, and whether a single observation was passed."""
        layout, shape = getattr(self._env, "observation_layout", ""), self._env.observation.shape
        obs = as_seen(layout, obs) if layout else np.asarray(obs)
        if obs.dtype.kind not in "buif" or not np.isfinite(obs).all():
            raise ValueError("obs: expected finite numbers, got other values, NaN or infinity")
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
            raise ValueError("the networks of this member diverged: some of their numbers are not finite")
        return found


@jax.jit
def _legal(env: Interface, obs: Any) -> Any:
    """The legal actions that an environment reads off observations."""
    return env.legal(obs)


def checked_legal(legal: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Masks of legal actions, with an axis of observations.

    Raises:
        ValueError: unless `legal` has this shape, holds Booleans, or 0 and 1, and allows an action on each observation.
    """
    mask = np.asarray(legal)
    if mask.shape != shape or mask.dtype.kind not in "bui" or ((mask != 0) & (mask != 1)).any():
        raise ValueError(f"legal: expected Booleans, or 0 and 1, of shape {shape}, got {mask.dtype} of {mask.shape}")
    if not mask.any(-1).all():
        raise ValueError("legal: expected at least one legal action on every observation, got none")
    return mask.astype(bool).reshape(-1, shape[-1])
