"""Export a policy: its arrays, and a program that evaluates them with NumPy alone."""

from importlib.resources import files
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from mdvi.envs.base import Interface
from mdvi.envs.spaces import actions_of
from mdvi.learning.agents.agent import Agent
from mdvi.learning.agents.networks import Networks
from mdvi.mdp.formats import arrays

_TAKEN = "from mdvi.observations import as_seen"


def program_beside(file: Path) -> Path:
    """The .py file next to a .npz file.

    Raises:
        ValueError: if the name of the file does not end in .npz.
    """
    if file.suffix != ".npz":
        raise ValueError(f"{file}: expected a name ending in .npz")
    return file.with_suffix(".py")


def files_of(file: Path, env: Interface, agent: Agent, networks: Networks) -> dict[Path, str | bytes]:
    """The contents of a .npz file and of the .py file next to it."""
    first, layout = actions_of(env).first, getattr(env, "observation_layout", "")
    return {program_beside(file): program(), file: arrays.save(exported(agent, networks, first, layout))}


def program() -> str:
    """The text of `numpy_policy.py`, with its import from mdvi replaced by the content of the imported file."""
    text = (files("mdvi.learning.acting") / "numpy_policy.py").read_text(encoding="utf-8")
    taken = (files("mdvi") / "observations.py").read_text(encoding="utf-8")
    return text.replace(_TAKEN, taken.split('"""', 2)[2].strip())


def exported(agent: Agent, networks: Networks, first: int = 0, layout: str = "") -> dict[str, np.ndarray]:
    """The policy as arrays for `numpy_policy.py`, which needs NumPy alone.

    Args:
        agent: the agent.
        networks: the networks of the agent.
        first: the number of the first action.
        layout: the layout of observations of several parts, see `mdvi.observations`.

    Raises:
        ValueError: if the agent has a network of the user, which is code.
    """
    if agent.network is not None:
        raise ValueError(
            "export: the network of this agent is code of your own; only policies with mdvi's layers can be exported"
        )
    network = networks.critic if networks.actor is None else networks.actor
    of = agent.construction.preferences(agent.scheme, jnp.ones((1, 1)))
    found: dict[str, np.ndarray] = {}
    found["temperature"] = np.asarray(of.temperature / of.x[0, 0], np.float32)  # x may be a multiple of the output
    scale = network.scale or (1.0,)
    found["scale"] = np.asarray(scale[0] if len(scale) == 1 else scale, np.float32)
    found["first"] = np.array(first, np.int64)
    if layout:
        found["layout"] = np.array(layout)
    found["strides"] = np.array([convolution.stride[0] for convolution in network.torso], np.int64)
    for i, convolution in enumerate(network.torso):
        found[f"kernel_{i}"], found[f"offset_{i}"] = np.asarray(convolution.weight), np.asarray(convolution.bias)
    for i, (weight, bias) in enumerate(network.dense()):
        found[f"weight_{i}"], found[f"bias_{i}"] = weight, bias
    return found
