"""The format of mdvi: the arrays of a `FiniteMDP` by name in a .npz file.

| array | shape | |
| --- | --- | --- |
| `transition` | (states, actions, states) | dense storage |
| `indptr`, `indices`, `data`, `shape` | | compressed rows: row s · actions + a; `shape` is (states · actions, states) |
| `next_state`, `probability` | (states, actions, branching) | a table of successors, padded with probability 0 |
| `reward` | (states, actions) or (states,) | required |
| `discount` | () | γ; optional if it is given separately |
| `terminal` | (states,) | Boolean; optional |
| `legal` | (states, actions) | Boolean; optional |
| `state_names`, `action_names` | (states,), (actions,) | text; optional |
| `substochastic` | () | Boolean: rows may sum to less than 1, and the missing probability ends the episode; optional |

Exactly one of the three storages is required. Other arrays are not read.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
import scipy.sparse

from mdvi.mdp.formats.arrays import load, names, save
from mdvi.mdp.formats.text import Format, Result, Source
from mdvi.mdp.kernels import Dense, MatrixFree, Sparse
from mdvi.mdp.labels import Names
from mdvi.mdp.listing import missing, rescaling_note, rows_to_rescale
from mdvi.mdp.model import FiniteMDP
from mdvi.mdp.validation import check_row_starts

NAMES = ("state_names", "action_names")
STORAGES = (("transition",), ("indptr", "indices", "data", "shape"), ("next_state", "probability"))
TABLES = ("reward", "discount", "terminal", "legal", "substochastic", *NAMES)


def read(source: Source) -> Result:
    """The model, in the storage that the file has."""
    source.check_reward()
    known = (*TABLES, *(name for storage in STORAGES for name in storage))
    arrays = load(source.data, known)
    unread = [name for name in names(source.data) if name not in known]
    storages = [storage for storage in STORAGES if any(name in arrays for name in storage)]
    if len(storages) != 1:
        known_storages = " or ".join(" ".join(s) for s in STORAGES)
        raise ValueError(f"expected one storage, got {len(storages)}: {known_storages}")
    for name in (*storages[0], "reward"):
        if name not in arrays:
            raise ValueError(f"there is no array {name}")
    masks: dict[str, Any] = {name: arrays[name] for name in ("terminal", "legal") if name in arrays}
    short = bool(scalar(arrays, "substochastic") or False)
    gamma = source.gamma(scalar(arrays, "discount"))
    transition = _transition(arrays)
    notes = () if short else _notes(transition, masks)
    model = FiniteMDP(transition, arrays["reward"], gamma, substochastic=short, normalize=bool(notes), **masks)
    if unread:
        notes += (f"arrays not read: {', '.join(unread)}"[:200],)
    return model, notes, names_in(arrays)


def _notes(transition: Any, masks: dict[str, np.ndarray]) -> tuple[str, ...]:
    """The note on rows that must be rescaled, if any; later checks report other defects."""
    if isinstance(transition, scipy.sparse.csr_array):
        states = transition.shape[1]
        if transition.shape[0] % states:
            return ()
        probability = transition.data
        total, terms = (
            (transition @ np.ones(states)).reshape(states, -1),
            int(np.diff(transition.indptr).max(initial=1)),
        )
    else:
        probability = transition[1] if isinstance(transition, tuple) else transition
        if probability.ndim != 3:
            return ()
        total, terms = probability.sum(-1, dtype=float), probability.shape[-1]
    epsilon = np.finfo(probability.dtype if probability.dtype.kind == "f" else float).eps
    rows = rows_to_rescale(total, terms, float(epsilon))
    for mask, dead in (("legal", False), ("terminal", True)):
        if mask in masks and masks[mask].shape == rows.shape[: masks[mask].ndim]:
            rows[masks[mask] == dead] = False
    return rescaling_note(total, rows)


def names_in(arrays: dict[str, np.ndarray]) -> Names:
    """The names of states and actions, if the file has any."""
    for name in NAMES:
        if name in arrays and (arrays[name].ndim != 1 or arrays[name].dtype.kind != "U"):
            raise ValueError(f"{name}: expected text of one dimension, got {arrays[name].dtype} {arrays[name].shape}")
    return Names(*(tuple(arrays[name].tolist()) if name in arrays else () for name in NAMES))


def names_as_arrays(names: Names) -> dict[str, np.ndarray]:
    """The arrays that `names_in` reads."""
    return {name: np.array(each, str) for name, each in zip(NAMES, names, strict=True) if each}


def scalar(arrays: dict[str, np.ndarray], name: str) -> float | None:
    """The number in an array of one element, or None if there is no array of that name."""
    if name not in arrays:
        return None
    if arrays[name].size != 1:
        raise ValueError(f"{name}: expected one number, got shape {arrays[name].shape}")
    return float(arrays[name].ravel()[0])


def _transition(arrays: dict[str, np.ndarray]) -> Any:
    if "transition" in arrays:
        return arrays["transition"]
    if "next_state" in arrays:
        return arrays["next_state"], arrays["probability"]
    for name in ("indptr", "indices", "shape"):
        if not np.issubdtype(arrays[name].dtype, np.integer):
            raise ValueError(f"{name}: expected integers, got {arrays[name].dtype}")
    for name in STORAGES[1]:
        if arrays[name].ndim != 1:
            raise ValueError(f"{name}: expected one dimension, got shape {arrays[name].shape}")
    indptr, indices, data, shape = (arrays[name] for name in STORAGES[1])
    if len(shape) != 2 or shape.min() < 1 or shape.max() > np.iinfo(np.int32).max or shape[1] > shape[0]:
        raise ValueError(f"shape: expected (states · actions, states) in 32 bits, got {shape[:4].tolist()}")
    for name, array in (("indptr", indptr), ("indices", indices)):
        if len(array) and array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"{name}: {array.max()} is too large")
    indptr, indices = indptr.astype(np.int64), indices.astype(np.int64)
    rows, states = (int(size) for size in shape)
    check_row_starts(SimpleNamespace(indptr=indptr, indices=indices, data=data, shape=(rows, states)))
    for entry in np.flatnonzero((indices < 0) | (indices >= states))[:1]:
        s, a = divmod(int(np.searchsorted(indptr, entry, side="right")) - 1, max(rows // states, 1))
        raise ValueError(f"state {s}, action {a} names next state {indices[entry]}, outside 0…{states - 1}")
    return scipy.sparse.csr_array((data, indices, indptr), shape=(rows, states))


def write(model: FiniteMDP, names: Names) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Write all arrays as they are stored."""
    kernel = model.kernel
    if isinstance(kernel, MatrixFree):
        raise ValueError("a matrix-free model has no arrays and cannot be written")
    if isinstance(kernel, Dense):
        arrays = {"transition": kernel.probability}
    elif isinstance(kernel, Sparse):
        shape = np.array([len(kernel.start) - 1, kernel.states])
        arrays = {"indptr": kernel.start, "indices": kernel.state, "data": kernel.probability, "shape": shape}
    else:
        arrays = {"next_state": kernel.state, "probability": kernel.probability}
    arrays |= {"reward": model.reward, "discount": model.discount, "terminal": model.terminal, "legal": model.legal}
    if missing(model).any():
        arrays["substochastic"] = np.asarray(True)
    arrays |= names_as_arrays(names)
    return {".npz": save({name: np.asarray(array) for name, array in arrays.items()})}, ()


FORMAT = Format("npz", (".npz",), "mdvi's own arrays: transition, reward, discount, terminal, legal", read, write)
