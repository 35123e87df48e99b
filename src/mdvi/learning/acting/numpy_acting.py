"""Acting in NumPy, for networks without convolutions.

A processor runs compiled programs in the order of their calls, so a compiled choice of actions would wait for the
gradient step, which should overlap with the environments. For small networks, moreover, the call takes longer than
the computation.
"""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from mdvi.envs.base import Interface
from mdvi.learning import draws
from mdvi.learning.agents.agent import Agent, Noise
from mdvi.learning.agents.networks import Networks
from mdvi.learning.settings import Settings

Layers = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Policies:
    """The policies of all members as a function of network outputs: π ∝ exp(factor · output / temperature).

    Attributes:
        scale: the divisor of observations; None for no division.
        factor: shape (members, 1, 1).
        temperature: shape (members, 1, 1); zero for a greedy policy.
        sampled: whether actions are sampled; otherwise the most probable action is taken.
    """

    scale: np.ndarray | None
    factor: np.ndarray
    temperature: np.ndarray
    sampled: bool


def suits(settings: Settings, agents: Agent) -> bool:
    """Whether NumPy chooses actions faster than a compiled program: for dense networks on a processor."""
    return agents.network is None and settings.torso == "none" and jax.default_backend() == "cpu"


def policies_of(env: Interface, agents: Agent) -> Policies:
    """The policies in an environment, for agents whose leaves have an axis of members."""
    one = np.ones((1, 1), np.float32)
    unit = jax.vmap(lambda scheme: agents.construction.preferences(scheme, one))(agents.scheme)
    factor, temperature = (np.asarray(leaf).reshape(-1, 1, 1) for leaf in (unit.x, unit.temperature))
    scale = None if env.scale is None else np.array(env.scale, np.float32)
    return Policies(scale, factor, temperature, agents.sampled)


def layers_of(networks: Networks) -> Layers:
    """The weights and offsets of the networks that hold the policies, with a leading axis of members."""
    network = networks.critic if networks.actor is None else networks.actor
    return [(weight, bias[:, None]) for weight, bias in network.dense()]


@np.errstate(all="ignore")  # the metrics report a network that diverges
def scores_of(policies: Policies, layers: Layers, obs: np.ndarray) -> np.ndarray:
    """x of π ∝ exp(x / temperature), shape (members, each, actions), on observations of shape (members, each, …)."""
    x = obs.reshape(*obs.shape[:2], -1).astype(np.float32, copy=False)
    if policies.scale is not None:
        x = x / policies.scale
    for weight, offset in layers[:-1]:
        x = np.maximum(x @ weight + offset, 0)
    weight, offset = layers[-1]
    return policies.factor * (x @ weight + offset)


@np.errstate(all="ignore")
def act(
    policies: Policies,
    layers: Layers,
    drawn: Noise,
    epsilon: np.ndarray,
    obs: np.ndarray,
    legal: np.ndarray | None = None,
) -> np.ndarray:
    """`Agent.act_by` of every member, shape (members, each).

    Args:
        policies: the policies of the members.
        layers: the layers of the networks, shapes (members, inputs, outputs) and (members, 1, outputs).
        drawn: random numbers, shapes (members, each, …).
        epsilon: shape (members,).
        obs: shape (members, each, …).
        legal: shape (members, each, actions); None if all actions are legal.
    """
    scores = scores_of(policies, layers, obs)
    if policies.sampled:
        scores = scores + policies.temperature * drawn.gumbel
    words: Any = drawn.words
    if legal is None:
        anything = draws.below(words, np.uint32(scores.shape[-1]))
    else:
        scores, anything = np.where(legal, scores, -np.inf), draws.choice(words, legal)
    return np.where(drawn.uniform < epsilon[:, None], anything, scores.argmax(-1)).astype(np.int32)
