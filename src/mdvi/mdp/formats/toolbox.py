"""The arrays of MDPtoolbox and its versions in Python: P of shape (actions, states, states) and R.

R has shape (states,), (states, actions) or (actions, states, states). The .npz file may have a `discount`. The format
has neither terminal states nor illegal actions: an absorbing state that pays nothing is terminal, and a reward of -inf
makes an action illegal. `state_names` and `action_names` are optional arrays of text.
"""

from typing import Any

import numpy as np
import scipy.sparse

from mdvi.mdp.formats.arrays import load, save
from mdvi.mdp.formats.npz import NAMES, names_as_arrays, names_in, scalar
from mdvi.mdp.formats.text import Format, Result, Source, terminal_notes
from mdvi.mdp.labels import Names
from mdvi.mdp.listing import Transitions, assemble, count, listing
from mdvi.mdp.memory import memory_left
from mdvi.mdp.model import FiniteMDP
from mdvi.mdp.validation import NEARLY, physical_memory

_LISTED = 160  # bytes of a transition during the checks


def from_toolbox(P: Any, R: Any, discount: float) -> FiniteMDP:
    """The model of arrays of MDPtoolbox.

    Args:
        P: P[a, s, s'], an array, or a list with one SciPy sparse matrix for each action.
        R: rewards of states, of pairs (s, a), or of transitions (a, s, s').
        discount: γ in [0, 1).

    Raises:
        ValueError: for an invalid number; the message names the state, the action and the value.
    """
    return _import(P, R, discount, False)[0]


def to_toolbox(model: FiniteMDP) -> tuple[np.ndarray, np.ndarray]:
    """P of shape (actions, states, states) and R of shape (states, actions), -inf for illegal actions."""
    P, R, _ = _export(model)
    return P, R


def _import(P: Any, R: Any, discount: float, rescale: bool) -> tuple[FiniteMDP, tuple[str, ...]]:
    sparse = isinstance(P, list | tuple) and len(P) and all(scipy.sparse.issparse(matrix) for matrix in P)
    matrices = [scipy.sparse.coo_array(matrix) for matrix in P] if sparse else []
    if sparse:
        shape: tuple[int, ...] = (len(matrices), *matrices[0].shape)
        if any(matrix.shape != shape[1:] for matrix in matrices):
            raise ValueError("P: the matrices of the actions differ in shape")
    else:
        P = np.asarray(P)
        shape = P.shape
        if P.ndim != 3 or P.dtype.kind not in "biuf":
            raise ValueError(f"P: expected numbers of shape (actions, states, states), got {P.dtype} of {P.shape}")
    actions, states = shape[:2]
    if states != shape[2] or 0 in shape:
        raise ValueError(f"P: expected shape (actions, states, states), got {shape}")
    R = np.asarray(R)
    _check_rewards(R, actions, states)
    if sparse:
        action = np.repeat(np.arange(actions), [matrix.nnz for matrix in matrices])
        state, successor = (np.concatenate([m.coords[i] for m in matrices]).astype(np.int64) for i in (0, 1))
        probability = np.concatenate([matrix.data for matrix in matrices])
    else:
        _check_dense(P, R)
        action, state, successor = np.nonzero(P)
        probability = P[action, state, successor]
    reward = _entry_rewards(R, action, state, successor)
    given = Transitions(np.zeros_like(state), state, action, successor, probability.astype(float), reward)
    pairs = np.bincount(state * actions + action, minlength=states * actions)
    for pair in np.flatnonzero(pairs == 0)[:1]:
        raise ValueError(f"P: state {pair // actions}, action {pair % actions} has probabilities that sum to 0, not 1")
    advice = "set a reward above -inf for an action"
    return assemble(given, (states, actions), discount, absorbing=True, rescale=rescale, advice=advice)


def _check_dense(P: np.ndarray, R: np.ndarray) -> None:
    """Check before listing the transitions that no row sums to more than 1 and that they fit into memory."""
    if not P.min() >= 0:
        a, s, t = np.unravel_index(int(P.argmin()), P.shape)
        raise ValueError(f"P: state {s}, action {a}, next state {t} has probability {P[a, s, t]}")
    best = R.max(-1) if R.ndim == 3 else np.broadcast_to(R.T, P.shape[:2])
    total = P.sum(-1, dtype=float)
    for a, s in np.argwhere((best > -np.inf) & (total > 1 + NEARLY))[:1]:
        raise ValueError(f"P: state {s}, action {a} has probabilities that sum to {total[a, s]:.6g}, not 1")
    needed, left = _LISTED * int(np.count_nonzero(P)), memory_left()
    if needed > left:
        raise ValueError(f"the model needs {needed / 2**30:.1f} GiB of memory, and {left / 2**30:.1f} GiB are left")


def _check_rewards(R: np.ndarray, actions: int, states: int) -> None:
    """Check that R has numbers and one of the three shapes."""
    if R.dtype.kind not in "biuf":
        raise ValueError(f"R: expected numbers, got {R.dtype}")
    shapes = (states,), (states, actions), (actions, states, states)
    if R.shape not in shapes:
        raise ValueError(f"R: expected shape {shapes[0]}, {shapes[1]} or {shapes[2]}, got {R.shape}")


def _entry_rewards(R: np.ndarray, action: np.ndarray, state: np.ndarray, successor: np.ndarray) -> np.ndarray:
    """The reward of every transition, for each of the three shapes of R."""
    if R.ndim == 3:
        return R[action, state, successor].astype(float)
    return (R[state, action] if R.ndim == 2 else R[state]).astype(float)


def _export(model: FiniteMDP) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    what = listing(model, loops=True)
    states, actions = what.reward.shape
    if 16 * actions * states**2 > physical_memory():
        raise ValueError(f"P of shape {(actions, states, states)} does not fit into memory; use another format")
    P = np.zeros((actions, states, states))
    given = what.transitions
    P[given.action, given.state, given.successor] = given.probability
    s, a = np.nonzero(~what.legal)
    P[a, s, s] = 1.0
    R = np.where(what.legal, what.reward, -np.inf)
    notes = what.notes + terminal_notes(int(what.terminal.sum()), "written with loops that pay nothing")
    if len(s):
        notes += (f"{count(len(s), 'illegal action')} written as loops with reward -inf",)
    return P, R, notes


def read(source: Source) -> Result:
    """The model of a .npz file with P and R."""
    source.check_reward()
    arrays = load(source.data, ("P", "R", "discount", *NAMES))
    for name in ("P", "R"):
        if name not in arrays:
            raise ValueError(f"there is no array {name}")
    model, notes = _import(arrays["P"], arrays["R"], source.gamma(scalar(arrays, "discount")), True)
    return model, notes, names_in(arrays)


def write(model: FiniteMDP, names: Names) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """P, R, the discount and the names."""
    P, R, notes = _export(model)
    arrays = {"P": P, "R": R, "discount": np.asarray(float(model.discount))}
    return {".npz": save(arrays | names_as_arrays(names._replace(states=names.states_of(len(R)))))}, notes


FORMAT = Format("toolbox", (".npz",), "MDPtoolbox's arrays P (actions, states, states) and R", read, write)
