"""Members of a population as one tree of arrays."""

from typing import Any

import jax
import numpy as np

from mdvi.learning.agents.agent import Agent
from mdvi.learning.runs.driver import Members


def batched(members: Members) -> tuple[Agent, np.ndarray]:
    """The agents of members with a leading axis on their leaves, and the seeds.

    Raises:
        ValueError: if agents differ in structure.
    """
    if len({jax.tree.structure(agent) for agent, _ in members}) != 1:
        raise ValueError("agents of one population must differ in numbers only, not in structure")
    stacked = jax.tree.map(lambda *leaves: np.asarray(np.stack(leaves), np.float32), *(agent for agent, _ in members))
    return stacked, np.array([seed for _, seed in members], np.uint32)


def single(leaf: Any) -> Any:
    """An array with 32-bit numbers instead of 64-bit numbers; any other value unchanged."""
    narrow = {"float64": np.float32, "int64": np.int32}
    return leaf.astype(narrow.get(leaf.dtype.name, leaf.dtype)) if isinstance(leaf, np.ndarray) else leaf
