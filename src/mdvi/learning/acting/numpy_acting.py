"""Acting in NumPy, for networks without convolutions.

A processor runs compiled programs in the order they were asked for. The choice of actions would wait for the gradient
step that is to run while the environments go on; and for small networks the call takes longer than what it computes.
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
    """What the outputs of the networks of all members mean: π ∝ exp(factor · output / temperature).

    Attributes:
        scale: what observations are divided by; None for ones.
        factor: shape (members, 1, 1).
        temperature: the same; zero for a greedy policy.
        sampled: whether they act by a sample, or by the most probable action.
    """

    scale: np.ndarray | None
    factor: np.ndarray
    temperature: np.ndarray
    sampled: bool


def suits(settings: Settings, agents: Agent) -> bool:
    """Whether actions are better chosen here than in a compiled program."""
    return agents.network is None and settings.torso == "none" and jax.default_backend() == "cpu"


def policies_of(env: Interface, agents: Agent) -> Policies:
    """What the outputs mean in an environment, for agents whose leaves have an axis of members."""
    one = np.ones((1, 1), np.float32)
    unit = jax.vmap(lambda scheme: agents.construction.preferences(scheme, one))(agents.scheme)
    factor, temperature = (np.asarray(leaf).reshape(-1, 1, 1) for leaf in (unit.x, unit.temperature))
    scale = None if env.scale is None else np.array(env.scale, np.float32)
    return Policies(scale, factor, temperature, agents.sampled)


def layers_of(networks: Networks) -> Layers:
    """Weights and offsets of the networks that act, with a leading axis of members."""
    network = networks.critic if networks.actor is None else networks.actor
    return [(weight, bias[:, None]) for weight, bias in network.dense()]


@np.errstate(all="ignore")  # a network that diverges is found out by its numbers
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
        policies: what the outputs mean.
        layers: of the networks, shapes (members, inputs, outputs) and (members, 1, outputs).
        drawn: shapes (members, each, …).
        epsilon: shape (members,).
        obs: shape (members, each, …).
        legal: shape (members, each, actions); None where all actions are.
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
