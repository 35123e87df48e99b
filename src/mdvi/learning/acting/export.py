"""A policy taken elsewhere, as arrays."""

import jax.numpy as jnp
import numpy as np

from mdvi.learning.agents.agent import Agent
from mdvi.learning.agents.networks import Networks


def exported(agent: Agent, networks: Networks, first: int = 0) -> dict[str, np.ndarray]:
    """The policy as arrays for `numpy_policy.py`, which needs NumPy alone; `first` is the first action.

    Raises:
        ValueError: for a network of one's own, which is code.
    """
    if agent.network is not None:
        raise ValueError("export: the network is code of your own, which arrays alone cannot hold")
    network = networks.critic if networks.actor is None else networks.actor
    of = agent.construction.preferences(agent.scheme, jnp.ones((1, 1)))
    arrays: dict[str, np.ndarray] = {}
    arrays["temperature"] = np.asarray(of.temperature / of.x[0, 0], np.float32)  # x may be a multiple of the output
    scale = network.scale or (1.0,)
    arrays["scale"] = np.asarray(scale[0] if len(scale) == 1 else scale, np.float32)
    arrays["first"] = np.array(first, np.int64)
    arrays["strides"] = np.array([convolution.stride[0] for convolution in network.torso], np.int64)
    for i, convolution in enumerate(network.torso):
        arrays[f"kernel_{i}"], arrays[f"offset_{i}"] = np.asarray(convolution.weight), np.asarray(convolution.bias)
    for i, layer in enumerate(network.layers):
        arrays[f"weight_{i}"], arrays[f"bias_{i}"] = np.asarray(layer.weight), np.asarray(layer.bias)
    return arrays
