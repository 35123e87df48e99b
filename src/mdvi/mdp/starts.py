"""The distribution of the first states of episodes."""

from typing import Any

import numpy as np
from jaxtyping import Float

from mdvi.mdp.labels import place_of
from mdvi.mdp.model import FiniteMDP


def starts_of(mdp: FiniteMDP, given: Any) -> Float[np.ndarray, " states"]:
    """ρ, the probabilities of the first states of episodes.

    Raises:
        ValueError: if a state does not exist or is terminal, or if probabilities are not a distribution.
    """
    alive = ~np.asarray(mdp.terminal)
    if given is None:
        if not alive.any():
            raise ValueError("start: every state of the model is terminal")
        return alive / np.count_nonzero(alive)
    if isinstance(given, np.ndarray) and given.dtype.kind == "f":
        rho = given.astype(np.float64)
        if rho.shape != alive.shape or not (rho >= 0).all() or not abs(rho.sum() - 1) <= 1e-9:
            raise ValueError(f"start: expected probabilities of shape {alive.shape} that sum to 1, got {given!r}")
        return rho / rho.sum()
    names = mdp.names.states
    several = isinstance(given, list | np.ndarray | range) or (isinstance(given, tuple) and given not in names)
    places = [place_of("start", name, names, mdp.states) for name in (given if several else [given])]
    for state in places:
        if not alive[state]:
            raise ValueError(f"start: state {mdp.names.state(state)!r} is terminal")
    if not places:
        raise ValueError("start: expected at least one state")
    return np.bincount(places, minlength=mdp.states) / len(places)
