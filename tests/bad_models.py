"""What is wrong with a model, as data: each fault in every form that can hold it, and what the refusal should say."""

import numpy as np

from mdvi.mdp.formats.arrays import save
from model_files import LOOPS

TEXT = ("csv", "prism", "drn", "cassandra", "gym")


def rows(*changes):
    """The transitions of a good model with some values replaced: (row, column, value)."""
    table = [
        ["0", "0", "1", "0.5", "1"],
        ["0", "0", "2", "0.5", "1"],
        ["0", "1", "0", "1.0", "-2"],
        ["1", "0", "0", "1.0", "0.5"],
        ["1", "1", "2", "1.0", "0"],
        ["2", "0", "2", "1.0", "0"],
        ["2", "1", "2", "1.0", "0"],
    ]
    for row, column, value in changes:
        table[row][column] = value
    return table


BAD_ROWS = {
    "sum below": (rows((0, 3, "0.47")), "state 0, action 0.*0.97"),
    "sum above": (rows((0, 3, "0.53")), "state 0, action 0.*1.03"),
    "negative": (rows((0, 3, "-0.5"), (1, 3, "1.5")), "state 0, action 0, next state 1 has probability -0.5"),
    "nan": (rows((1, 3, "nan")), "state 0, action 0, next state 2 has probability nan"),
    "inf": (rows((1, 3, "inf")), "next state 2 has probability inf"),
    "-inf": (rows((1, 3, "-inf")), "next state 2 has probability -inf"),
    "nan reward": (rows((3, 4, "nan")), "state 1, action 0.*reward nan"),
    "inf reward": (rows((3, 4, "inf")), "state 1, action 0.*reward inf"),
    "everything forbidden": (rows((3, 4, "-inf"), (4, 4, "-inf")), "state 1 has no action"),
    "next state outside": (rows((3, 2, "3")), "state 3 is outside|next state 3"),
    "next state far outside": (rows((3, 2, "99999999999999")), "99999999999999"),
    "next state negative": (rows((3, 2, "-1")), "-1"),
    "next state broken": (rows((3, 2, "1.5")), "1.5"),
    "next state of a million digits": (rows((3, 2, "9" * 10**6)), "99999|digits"),
    "text": (rows((3, 3, "much")), "much|JSON"),
    "state without action": (rows()[:3] + rows()[5:], "state 1 has no action"),
    "duplicate": ([*rows(), rows()[0]], "state 0, action 0"),
}


ARRAYS = {"transition": np.full((2, 2, 2), 0.5), "reward": np.zeros((2, 2)), "discount": np.array(0.9)}
CSR = {
    "indptr": np.array([0, 1, 2, 3, 4]),
    "indices": np.array([0, 1, 0, 1]),
    "data": np.ones(4),
    "shape": np.array([4, 2]),
    "reward": np.zeros((2, 2)),
    "discount": np.array(0.9),
}
TABLE = {
    "next_state": np.zeros((2, 2, 1), int),
    "probability": np.ones((2, 2, 1)),
    "reward": np.zeros(2),
    "discount": np.array(0.9),
}
BAD_ARRAYS = {
    "npz": {
        "sum": (ARRAYS | {"transition": np.full((2, 2, 2), 0.6)}, "state 0, action 0.*1.2"),
        "nan": (ARRAYS | {"transition": np.full((2, 2, 2), np.nan)}, "probability nan"),
        "huge": (ARRAYS | {"transition": np.full((2, 2, 2), 1e308)}, "sum to"),
        "rank": (ARRAYS | {"transition": np.ones((2, 2))}, "expected shape"),
        "complex": (ARRAYS | {"transition": np.ones((2, 2, 2), complex)}, "expected an array of numbers"),
        "reward shape": (ARRAYS | {"reward": np.zeros((2, 3))}, "reward: expected shape"),
        "nan reward": (ARRAYS | {"reward": np.full((2, 2), np.nan)}, "state 0, action 0 has reward nan"),
        "inf reward": (ARRAYS | {"reward": np.full((2, 2), np.inf)}, "state 0, action 0 has reward inf"),
        "discount": (ARRAYS | {"discount": np.array(1.5)}, "discount 1.5 is outside"),
        "discounts": (ARRAYS | {"discount": np.ones(2)}, "discount: expected one number"),
        "mask": (ARRAYS | {"legal": np.ones((2, 2))}, "legal: expected Booleans"),
        "no action": (ARRAYS | {"legal": np.array([[True, True], [False, False]])}, "state 1 has no legal action"),
        "two storages": (ARRAYS | {"indptr": np.zeros(3)}, "expected one storage, got 2"),
        "no reward": ({"transition": ARRAYS["transition"]}, "no array reward"),
        "pointers": (CSR | {"indptr": np.array([0, 3, 2, 3, 4])}, "row pointers decrease from 3 to 2 at row 1"),
        "pointer end": (CSR | {"indptr": np.array([0, 1, 2, 3, 9])}, "row pointers run from 0 to 9"),
        "index": (CSR | {"indices": np.array([0, 1, 0, 7])}, "state 1, action 1 names next state 7"),
        "negative index": (CSR | {"indices": np.array([0, -1, 0, 1])}, "state 0, action 1 names next state -1"),
        "fractions": (CSR | {"indices": np.array([0.0, 1, 0, 1])}, "indices: expected integers"),
        "empty row": (CSR | {"indptr": np.array([0, 0, 2, 3, 4])}, "state 0, action 0.*sum to 0"),
        "twice": (
            CSR | {"indptr": np.array([0, 2, 2, 3, 4]), "indices": np.array([1, 1, 0, 1])},
            "state 0, action 0 lists next state 1 twice",
        ),
        "overflow": (CSR | {"shape": np.array([2**33, 2**32])}, "32 bits"),
        "claim": (CSR | {"shape": np.array([2**31 - 2, 2])}, "do not fit a matrix"),
        "table index": (TABLE | {"next_state": np.full((2, 2, 1), 2)}, "next state 2, outside"),
        "table shape": (TABLE | {"probability": np.ones((2, 2, 2))}, "transition probabilities: expected shape"),
    },
    "toolbox": {
        "sum": ({"P": LOOPS * 0.9, "R": np.zeros(3)}, "state 0, action 0.*sum to 0.9"),
        "negative": ({"P": -LOOPS, "R": np.zeros(3)}, "probability -"),
        "nan": ({"P": LOOPS * np.nan, "R": np.zeros(3)}, "probability nan"),
        "zero row": ({"P": np.zeros((1, 2, 2)), "R": np.zeros(2)}, "state 0, action 0.*sum to 0"),
        "P shape": ({"P": np.ones((2, 3, 2)), "R": np.zeros(3)}, "P: expected shape"),
        "R shape": ({"P": LOOPS, "R": np.zeros((3, 3))}, "R: expected shape"),
        "R nan": ({"P": LOOPS, "R": np.full((3, 2), np.nan)}, "state 0, action 0.*reward nan"),
        "R inf": ({"P": LOOPS, "R": np.full((3, 2), np.inf)}, "state 0, action 0.*reward inf"),
        "all forbidden": ({"P": LOOPS, "R": np.full((3, 2), -np.inf)}, "state 0 has no action"),
    },
}


def files_of(arrays):
    """The arrays as an archive, with a discount where they have none."""
    return {".npz": save({"discount": np.array(0.9)} | arrays)}
