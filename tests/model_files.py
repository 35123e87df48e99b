"""Models in files, for the tests of the formats: one model written by hand in all of them, and random models."""

import json

import numpy as np
import scipy.sparse

from mdvi.mdp import FORMATS, FiniteMDP
from mdvi.mdp.formats import NO_NAMES, Source, parse
from mdvi.mdp.formats.arrays import save

LACK_DISCOUNT = ("prism", "drn")
P = np.array([[[0, 0.5, 0.5], [1, 0, 0]], [[1, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]])
R = np.array([[1.0, -2.0], [0.5, 0.0], [0.0, 0.0]])
LEGAL = np.array([[True, True], [True, False], [True, True]])
EXPECTED = FiniteMDP(P, R, 0.9, terminal=[False, False, True], legal=LEGAL)
LOOPS = np.array([P[:, 0], P[:, 1]]) + np.stack([np.diag([0, 0, 1]), np.diag([0, 1, 1])])

GOLDEN = {
    "npz": {
        ".npz": save(
            {"transition": P, "reward": R, "discount": np.array(0.9), "terminal": EXPECTED.terminal, "legal": LEGAL}
        )
    },
    "toolbox": {".npz": save({"P": LOOPS, "R": np.where(LEGAL, R, -np.inf), "discount": np.array(0.9)})},
    "gym": {
        ".json": b"""{"discount": 0.9, "P": {
  "0": {"0": [[0.5, 1, 1, false], [0.5, 2, 1.0, true]], "1": [[1.0, 0, -2.0, false]]},
  "1": {"0": [[0.25, 0, 0.5, false], [0.75, 0, 0.5, false]], "1": []},
  "2": {"0": [[1.0, 2, 0, true]], "1": [[1.0, 2, 0, true]]}}}
"""
    },
    "csv": {
        ".csv": b"""# discount=0.9
# terminal=2
action,state,next_state,reward,probability
0,0,1,1,0.5
0,0,2,1,0.5

1,0,0,-2,1
0,1,0,0.5,1
"""
    },
    "prism": {
        ".tra": b"3 4 5\n0 0 1 0.5 a0\n0 0 2 0.5 a0\n0 1 0 1 a1\n1 0 0 1 a0\n2 0 2 1 a0\n",
        ".lab": b'0="init" 1="deadlock" 2="goal"\n0: 0\n1: 2\n2: 1 2\n',
        ".srew": b"3 1\n1 0.5\n",
        ".trew": b"3 4 3\n0 0 1 1\n0 0 2 1\n0 1 0 -2\n",
    },
    "drn": {
        ".drn": b"""// Exported by storm
@type: MDP
@parameters

@reward_models
cost other
@nr_states
3
@nr_choices
4
@model
state 0 [1, 7] init
\taction a0 [0, 2]
\t\t1 : 1/2
\t\t2 : 0.5
\taction a1 [-3, 2]
\t\t0 : 1
state 1 [0.5, 0]
\taction a0 [0, 0]
\t\t0 : 1
state 2 [0, 0] terminal
\taction a0
\t\t2 : 1
"""
    },
    "cassandra": {
        ".mdp": b"""# by hand
discount: 0.9
values: cost
states: here there end
actions: go stay
start: 1 0 0

T: * identity
T: go : here
0.0 0.5 0.5
T: go : there : * 0.0   # overridden below
T: go : there : here 1.0
R: go : here : * : * 7
R: go : here : * : * -1
R: stay : here : here : * 2.0
R: go : there
-0.5 3 3
R: stay : there : * : * inf
"""
    },
}


def read_bytes(files, name, discount=None):
    """The model in files by suffix, through the reader on bytes."""
    main, *rest = files
    return parse(Source(files[main], discount, {suffix: files[suffix] for suffix in rest}), name, f"model{main}")


def written(model, name, names=NO_NAMES):
    return FORMATS[name].write(model, names)[0]


def gamma_for(name, model):
    return float(model.discount) if name in LACK_DISCOUNT else None


def same(one, other):
    """Equal bit for bit, whatever the storage."""
    matrices = [model.kernel.csr().copy() for model in (one, other)]
    for matrix in matrices:
        matrix.eliminate_zeros()
    tables = [
        (m.indptr.astype(np.int64), m.indices.astype(np.int64), m.data, *map(np.asarray, rest))
        for m, rest in zip(matrices, [(x.reward, x.discount, x.terminal, x.legal) for x in (one, other)], strict=True)
    ]
    return all(a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in zip(*tables, strict=True))


def random_model(rng, largest=7):
    """Any storage, masks, terminal states, rewards of all sizes; no state that is absorbing without saying so."""
    states, actions = rng.integers(1, largest + 1), rng.integers(1, 5)
    weight = rng.exponential(size=(states, actions, states)) * (rng.random((states, actions, states)) < 0.5)
    weight[..., 0] += weight.sum(-1) == 0
    p = weight / weight.sum(-1, keepdims=True)
    reward = rng.normal(size=(states, actions)) * 10.0 ** rng.integers(-20, 20, (states, actions))
    reward[rng.random(reward.shape) < 0.3] = rng.choice([0.0, 1.0, -1.0])
    terminal = rng.random(states) < rng.choice([0, 0.3])
    legal = rng.random((states, actions)) < rng.choice([1, 0.6])
    legal[np.arange(states), rng.integers(0, actions, states)] = True
    legal[0] = True  # an action that is legal nowhere has no place in some formats
    stuck = (p[np.arange(states), :, np.arange(states)] == 1) & (reward == 0)
    reward[stuck] = 0.1
    storage = rng.integers(3)
    if storage == 0:
        transition = p
    elif storage == 1:
        transition = scipy.sparse.csr_array(p.reshape(-1, states))
    else:
        transition = (np.tile(np.arange(states), (states, actions, 1)), p)
    return FiniteMDP(transition, reward, rng.random(), terminal=terminal, legal=legal)


def text_files(name, rows, discount="0.9"):
    """Transitions [s, a, s', p, r] as they are, right or wrong, in a format of text; state 2 is terminal."""
    pairs = {}
    for s, a, t, p, r in rows:
        pairs.setdefault(s, {}).setdefault(a, []).append((t, p, r))
    if name == "csv":
        head = [f"# discount={discount}", "# states=3", "# actions=2", "# terminal=2"]
        text = [*head, "state,action,next_state,probability,reward", *map(",".join, rows)]
        return {".csv": "\n".join(text).encode()}
    if name == "prism":
        sizes = f"3 {sum(map(len, pairs.values()))} {len(rows)}"
        return {
            ".tra": "\n".join([sizes, *(f"{s} {a} {t} {p}" for s, a, t, p, _ in rows)]).encode(),
            ".trew": "\n".join([sizes, *(f"{s} {a} {t} {r}" for s, a, t, _, r in rows)]).encode(),
        }
    if name == "drn":
        out = ["@type: MDP", "@parameters", "", "@reward_models", "r", "@nr_states", "3", "@nr_choices", "", "@model"]
        for s in ("0", "1", "2"):
            out.append(f"state {s}")
            for a, entries in pairs.get(s, {}).items():
                out += [f"action {a} [{entries[0][2]}]", *(f"{t} : {p}" for t, p, _ in entries)]
        return {".drn": "\n".join(out).encode()}
    if name == "cassandra":
        out = [f"discount: {discount}", "values: reward", "states: 3", "actions: 2"]
        for s, a, t, p, r in rows:
            out += [f"T: {a} : {s} : {t} {p}", f"R: {a} : {s} : {t} : * {r}"]
        return {".mdp": "\n".join(out).encode()}
    words = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    table = []
    for s in ("0", "1", "2"):
        lists = []
        for a in ("0", "1"):
            outcomes = [
                f"[{words.get(p, p)}, {t}, {words.get(r, r)}, {'true' if s == t == '2' else 'false'}]"
                for t, p, r in pairs.get(s, {}).get(a, [])
            ]
            lists.append("[" + ", ".join(outcomes) + "]")
        table.append("[" + ", ".join(lists) + "]")
    return {".json": f'{{"discount": {discount}, "P": [{", ".join(table)}]}}'.encode()}


def as_json(discount, table):
    return {".json": json.dumps({"discount": discount, "P": table}).encode()}
