"""Files as other programs write them, and files made to do harm: rounded rows, names, rewards, sizes, pipes."""

import io
import os
import socket
import tracemalloc
import zipfile

import numpy as np
import pytest
import scipy.sparse

import mdvi
from bad_models import TEXT, rows
from mdvi import mdp
from mdvi.mdp import FORMATS, FormatError, Names
from mdvi.mdp.formats import Source, arrays, parse
from mdvi.mdp.formats.arrays import save
from model_files import EXPECTED, GOLDEN, LACK_DISCOUNT, R, as_json, random_model, read_bytes, same, text_files, written

THIRDS = np.full((3, 1, 3), [0.333333, 0.333333, 0.333335])  # sums to 1.000001


def rounded(p):
    """Dense rows in every format and storage, reward 1 everywhere, with nothing else that needs a note."""
    states, actions, _ = p.shape
    dense = {"transition": p, "reward": np.ones((states, actions)), "discount": np.array(0.5)}
    matrix = scipy.sparse.csr_array(p.reshape(-1, states))
    sparse = {"indptr": matrix.indptr, "indices": matrix.indices, "data": matrix.data}
    table = {"next_state": np.tile(np.arange(states), (states, actions, 1)), "probability": p}
    rest = {name: dense[name] for name in ("reward", "discount")}
    entries = [[str(s), str(a), str(t), repr(float(p[s, a, t])), "1"] for s, a, t in np.ndindex(p.shape)]
    outcomes = {
        s: {a: [[float(q), t, 1.0, False] for t, q in enumerate(p[s, a])] for a in range(actions)} for s in range(3)
    }
    drn = text_files("drn", entries)
    prism = text_files("prism", entries)
    cassandra = f"discount: 0.5\nstates: {states}\nactions: {actions}\nR: * : * : * : * 1\n"
    cassandra += "".join(f"T: {a} : {s} : {t} {q}\n" for s, a, t, q, _ in entries)
    csv = "state,action,next_state,probability,reward\n" + "\n".join(map(",".join, entries))
    return {
        "dense": ("npz", {".npz": save(dense)}),
        "sparse": ("npz", {".npz": save(sparse | rest | {"shape": np.array(matrix.shape)})}),
        "table": ("npz", {".npz": save(table | rest)}),
        "toolbox": ("toolbox", {".npz": save({"P": p.transpose(1, 0, 2), "R": np.ones(states)})}),
        "gym": ("gym", as_json(0.5, outcomes)),
        "csv": ("csv", {".csv": csv.encode()}),
        "prism": ("prism", prism),
        "drn": ("drn", drn),
        "cassandra": ("cassandra", {".mdp": cassandra.encode()}),
    }


@pytest.mark.parametrize("form", rounded(THIRDS))
def test_rows_of_a_few_decimals_are_rescaled_with_a_note(form):
    name, files = rounded(THIRDS)[form]
    read = read_bytes(files, name, 0.5)
    assert "3 rows of probabilities rescaled to sum to 1; the largest change was 1e-06" in read.notes
    np.testing.assert_allclose(read.model.dense().kernel.probability, THIRDS / 1.000001, rtol=1e-12)
    np.testing.assert_allclose(read.model.kernel.row_sums(), 1, atol=1e-15)


@pytest.mark.parametrize("factor", [0.9, 1 - 2e-4, 1 + 2e-4, 1.1])
@pytest.mark.parametrize("form", rounded(THIRDS))
def test_rows_that_are_off_by_more_are_refused(form, factor):
    name, files = rounded(np.full((3, 1, 3), 1 / 3) * factor)[form]
    with pytest.raises(FormatError, match="state 0, action 0 has probabilities that sum to"):
        read_bytes(files, name, 0.5)


@pytest.mark.parametrize("form", rounded(THIRDS))
def test_rows_that_sum_to_one_stay_as_they_are_without_a_note(form):
    p = np.random.default_rng(1).dirichlet(np.ones(3), (3, 2))
    name, files = rounded(p)[form]
    read = read_bytes(files, name, 0.5)
    assert not any("rescaled" in note for note in read.notes)
    np.testing.assert_array_equal(read.model.dense().kernel.probability, p)


def test_rows_that_do_not_count_are_not_counted():
    p = np.full((2, 2, 2), 0.5)
    p[0, 1], p[1] = 0.49999, 0.49998
    arrays = {"transition": p, "reward": np.ones(2), "legal": np.array([[True, False]] * 2), "discount": np.array(0.5)}
    assert read_bytes({".npz": save(arrays | {"terminal": np.array([False, True])})}, "npz").notes == ()
    assert "1 row of" in read_bytes({".npz": save(arrays)}, "npz").notes[0]


def test_arrays_in_python_are_not_rescaled():
    with pytest.raises(ValueError, match="sum to"):
        mdp.from_toolbox(THIRDS.transpose(1, 0, 2), np.ones(3), 0.5)


@pytest.mark.parametrize("name", ["csv", "cassandra", "gym"])
def test_a_discount_of_one_is_read_and_solved(name):
    model = read_bytes(text_files(name, rows(), "1"), name).model
    assert model.discount == 1
    assert np.isfinite(mdvi.backward_induction(model, 5).value).all()
    assert mdvi.solve(model).status == "certified"


# The same two rows and rewards, as different programs write them.
HEAD = "discount: 0.9\nvalues: reward\nstates: near far\nactions: rest run\nT: rest identity\n"
USUAL = """T: run : near : near 0.75
T: run : near : far 0.25
T: run : far : near 1
R: run : far : near : * 6
R: rest : near : * : * -1
"""
SPELLINGS = {
    "colon before numbers": USUAL.replace("near 0.75", "near : 0.75").replace("* 6", "* : 6").replace("* -1", "*:-1"),
    "no spaces": USUAL.replace(" : ", ":").replace("T: ", "T:").replace("R: ", "R:"),
    "many spaces": USUAL.replace(":", "  :\t"),
    "number below": USUAL.replace(" 0.75", "\n0.75").replace("* 6", "* :\n  6"),
    "rows": "T: run : near\n0.75 0.25\nT: run : far 1 0\nR: run : far\n6 0\nR: rest : near : * : * -1\n",
    "rows after colons": "T: run : near : 0.75 0.25\nT: run : far :\n1.0 0.0\nR: run : far : 6. 0\nR: rest:near:* -1\n",
    "matrix": "T: run\n0.75 0.25\n1 0\nR: run : far : near 6\nR: rest : near : * -1\n",
    "matrix after a colon": "T: run : 0.75 0.25\n1 0\nR: run : far : near : 6\nR: rest : near : * : -1\n",
    "numbers for names": "T: 1 : 0 : 0 : 0.75\nT: 1:0:1:0.25\nT: 1 : 1 : 0 : 1\nR: 1:1:0:*:6\nR: 0 : 0 : * : * : -1\n",
    "signs and exponents": USUAL.replace("0.75", "+7.5e-1")
    .replace("0.25", ".25")
    .replace("far : near 1", "far : near 1."),
    "fractions": USUAL.replace("0.75", "3/4").replace("0.25", "1/4"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_cassandras_statements_are_read_however_they_are_spelt(spelling):
    model = read_bytes({".mdp": (HEAD + SPELLINGS[spelling]).encode()}, "cassandra").model
    assert same(model, read_bytes({".mdp": (HEAD + USUAL).encode()}, "cassandra").model)
    np.testing.assert_array_equal(model.dense().kernel.probability[:, 1], [[0.75, 0.25], [1, 0]])
    assert model.reward.tolist() == [[-1, 0], [0, 6]]


@pytest.mark.parametrize("head", ["Discount : 0.9\nValues : Rewards", "discount:0.9\nvalues:reward", "discount 0.9\n"])
def test_cassandras_preamble_is_read_however_it_is_spelt(head):
    text = HEAD.replace("discount: 0.9\nvalues: reward", head).replace("states:", "States :") + USUAL
    assert same(
        read_bytes({".mdp": text.encode()}, "cassandra").model,
        read_bytes({".mdp": (HEAD + USUAL).encode()}, "cassandra").model,
    )


@pytest.mark.parametrize(("word", "sign"), [("reward", 1), ("rewards", 1), ("cost", -1), ("costs", -1), ("Costs", -1)])
def test_rewards_and_costs_in_both_numbers(word, sign):
    text = HEAD.replace("values: reward", f"values: {word}") + USUAL
    model = read_bytes({".mdp": text.encode()}, "cassandra").model
    assert model.reward.tolist() == [[sign * -1, 0], [0, sign * 6]]


@pytest.mark.parametrize(
    "statement",
    [
        "T: rest : near : far : near : 1",
        "T: rest near : far 1",
        "T: :",
        "R: rest",
        "T: nobody : near : far 1",
        "R: a::b 1",
    ],
)
def test_what_is_no_statement_is_refused_in_its_line(statement):
    with pytest.raises(FormatError, match=r"^model\.mdp:6: "):
        read_bytes({".mdp": (HEAD + statement + "\n" + USUAL).encode()}, "cassandra")


def test_rewards_of_observations_are_averaged_as_a_naive_loop_does():
    rng = np.random.default_rng(5)
    states, actions, seen = 4, 3, 3
    moves = rng.dirichlet(np.ones(states), (actions, states))
    sees = rng.dirichlet(np.ones(seen), (actions, states))
    reward = np.zeros((actions, states, states, seen))
    text = [f"discount: 0.9\nstates: {states}\nactions: {actions}\nobservations: {seen}"]
    text += [f"O: {a}\n" + "\n".join(" ".join(map(repr, row.tolist())) for row in sees[a]) for a in range(actions)]
    for _ in range(60):
        place = [int(rng.integers(size)) if rng.random() < 0.7 else None for size in (actions, states, states, seen)]
        kind, block = rng.integers(3), tuple(slice(None) if i is None else slice(i, i + 1) for i in place)
        names = ["*" if i is None else str(i) for i in place]
        if kind == 0:
            value = float(rng.normal())
            reward[block] = value
            text.append(f"R: {' : '.join(names)} {value!r}")
        else:
            value = rng.normal(size=(seen,) if kind == 1 else (states, seen))
            reward[block[: 4 - kind]] = value
            text.append(f"R: {' : '.join(names[: 4 - kind])}\n" + " ".join(map(repr, value.ravel().tolist())))
    text += [f"T: {a}\n" + "\n".join(" ".join(map(repr, row.tolist())) for row in moves[a]) for a in range(actions)]
    read = read_bytes({".pomdp": "\n".join(text).encode()}, "cassandra")
    np.testing.assert_allclose(read.model.reward, np.einsum("ast,ato,asto->sa", moves, sees, reward), atol=1e-12)
    assert any("averaged with O" in note for note in read.notes)


def test_rewards_that_do_not_differ_need_no_observation_probabilities():
    text = b"discount: 0.5\nstates: 1\nactions: 1\nobservations: a b\nT: 0 identity\nR: 0 : 0 : 0\n3 3\n"
    assert read_bytes({".pomdp": text}, "cassandra").model.reward.tolist() == [[3]]
    text += b"O: 0 : 0 : a : 1.0\nR: 0 : 0 : 0 : b -9\n"  # b is never seen
    assert read_bytes({".pomdp": text}, "cassandra").model.reward.tolist() == [[3]]


SILENT = {
    "prism": {".tra": b"2 2 2\n0 0 1 1\n1 0 0 1\n", ".lab": b'0="init" 1="target" 2="done"\n0: 0\n1: 1 2\n'},
    "drn": {
        ".drn": b"@type: MDP\n@nr_states\n2\n@model\n"
        b"state 0 init\naction 0\n1 : 1\nstate 1 target done\naction 0\n0 : 1\n"
    },
    "csv": {".csv": b"# discount=0.9\nstate,action,next_state,probability\n0,0,1,1\n1,0,0,1\n"},
    "cassandra": {".mdp": b"discount: 0.9\nstates: 2\nactions: 1\nT: 0\n0 1\n1 0\n"},
}


@pytest.mark.parametrize("name", SILENT)
def test_a_file_without_rewards_says_so(name):
    (note,) = (note for note in read_bytes(SILENT[name], name, 0.9).notes if "every reward is 0" in note)
    if name in LACK_DISCOUNT:
        assert "labels not read: 'done', 'target'" in note or "labels not read: 'target', 'done'" in note
        main, *_ = SILENT[name]
        siblings = {suffix: data for suffix, data in SILENT[name].items() if suffix != main}
        assert parse(Source(SILENT[name][main], 0.9, siblings, "none"), name).notes == ()


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in LACK_DISCOUNT])
def test_formats_with_one_reward_take_no_name_of_one(name, tmp_path):
    mdp.write(EXPECTED, tmp_path / "x", name)
    with pytest.raises(FormatError, match="--reward 'time': only"):
        mdp.read(tmp_path / "x", format=name, reward="time")


def put(folder, **files):
    for name, text in files.items():
        (folder / name.replace("__", "-").replace("_", ".")).write_text(text)
    return folder


def test_one_of_several_files_of_rewards_is_chosen_by_its_name(tmp_path):
    put(
        tmp_path,
        m_tra="2 2 2\n0 0 1 1\n1 0 0 1\n",
        m1_srew='# Reward structure: "time"\n2 1\n0 1\n',
        m2_trew="2 2 1\n1 0 0 5\n",
    )
    put(tmp_path, m2_srew="2 1\n0 2\n", m10_srew="2 1\n0 10\n", m__cost_rew="2 1\n0 20\n")

    def rewards(**options):
        read = mdp.read(tmp_path / "m.tra", 0.9, **options)
        return read.model.reward.ravel().tolist(), read.notes

    paid, notes = rewards()
    assert paid == [1, 0]
    assert notes == (
        "several files of rewards: m1.srew is read, and not m2.srew, m2.trew, m10.srew, m-cost.rew; "
        "--reward NAME chooses",
    )
    for name in ("1", "m1", "m1.srew", "time"):
        assert rewards(reward=name) == ([1, 0], ())
    assert rewards(reward="2") == ([2, 5], ())
    assert rewards(reward="cost") == ([20, 0], ())
    assert rewards(reward="none") == ([0, 0], ())
    with pytest.raises(FormatError, match="there is no 'tme'; known are none, time, m2, m10, m-cost"):
        rewards(reward="tme")
    (tmp_path / "m10.tra").write_text("2 2 2\n0 0 1 1\n1 0 0 1\n")  # which m10.srew belongs to
    assert "m10" not in rewards()[1][0]
    (tmp_path / "m.srew").write_text("2 1\n0 7\n")
    assert rewards()[0] == [7, 0]
    (tmp_path / "m2.trew").write_text("2 2 1\n9 0 0 5\n")
    with pytest.raises(FormatError, match=r"m2.trew:2: state 9"):
        rewards(reward="2")


def test_one_of_several_reward_models_is_chosen_by_its_name(tmp_path):
    path = put(tmp_path, m_drn=GOLDEN["drn"][".drn"].decode()) / "m.drn"
    first, note = mdp.read(path, 0.9).model, mdp.read(path, 0.9).notes[0]
    assert "2 reward models, of which the first is read: 'cost'; --reward chooses another: 'other'" in note
    assert same(mdp.read(path, 0.9, reward="cost").model, first)
    other = mdp.read(path, 0.9, reward="other")
    assert other.model.reward[:2].tolist() == [[9, 9], [0, 0]]
    assert not any("reward model" in note for note in other.notes)
    assert not mdp.read(path, 0.9, reward="none").model.reward.any()
    with pytest.raises(FormatError, match="there is no 'costs'; known are none, cost, other"):
        mdp.read(path, 0.9, reward="costs")
    path.write_text(path.read_text().replace("[-3, 2]", "[-3]"))
    with pytest.raises(FormatError, match=r"m.drn:16: expected at least 2 rewards in a bracket, got 1"):
        mdp.read(path, 0.9, reward="other")


NAMES = Names(("begin", "far-end", "goal_1"), ("left", "right.now"))


@pytest.mark.parametrize("name", FORMATS)
def test_names_go_there_and_back(name):
    files, notes = FORMATS[name].write(EXPECTED, NAMES)
    read = read_bytes(files, name, 0.9)
    assert same(read.model, EXPECTED)
    assert read.names == NAMES
    assert not any("not written" in note for note in notes if "discount" not in note)
    assert read_bytes(written(EXPECTED, name), name, 0.9).names == Names()


ODD = [
    Names(("a b", "c,d;e", 'q"='), ("x y", "=1+1")),
    Names(("T", "O", "R"), ("uniform", "states")),
    Names(("1", "0", "2"), ("a1", "a0")),
    Names((" pad", "new\nline", "(x)"), ("[x]", "{y}")),
    Names(("é", "漢", "\x1b[2J"), ("λ", "\u202e")),
    Names(("# x", "// y", ":"), ("#", "//")),
    Names(actions=("only", "actions")),
    Names(states=("only", "the", "states")),
]


@pytest.mark.parametrize("odd", range(len(ODD)))
@pytest.mark.parametrize("name", FORMATS)
def test_odd_names_are_kept_or_left_out_with_a_note(name, odd):
    files, notes = FORMATS[name].write(EXPECTED, ODD[odd])
    read = read_bytes(files, name, 0.9)
    assert same(read.model, EXPECTED)
    for kind, there in zip(Names._fields, read.names, strict=True):
        lost = any(f"names of {kind} not written" in note for note in notes)
        assert there == (() if lost else getattr(ODD[odd], kind))
    if name in ("npz", "toolbox", "csv", "gym"):
        assert read.names == ODD[odd]


def test_a_cell_of_a_name_is_no_formula():
    text = written(EXPECTED, "csv", Names(("a,=cmd()", "b;=1", "c\t=2"), ()))[".csv"].decode()
    assert all(line.startswith("# state ") and "," not in line and ";" not in line for line in text.splitlines()[4:7])


@pytest.mark.parametrize("name", FORMATS)
def test_the_state_that_is_added_has_a_name_too(name):
    model = mdp.FiniteMDP(np.full((2, 2, 2), 0.25), np.ones((2, 2)), 0.9, substochastic=True)
    read = read_bytes(written(model, name, Names(("end", "b"), ("x", "y"))), name, 0.9)
    assert read.names == Names(("end", "b") if name == "npz" else ("end", "b", "end0"), ("x", "y"))


@pytest.mark.parametrize("names", [Names(("a",)), Names(("a", "a", "b")), Names(actions=("x",))])
def test_names_that_do_not_fit_are_refused(names, tmp_path):
    with pytest.raises(FormatError, match=r"names of (states|actions)"):
        mdp.write(EXPECTED, tmp_path / "x.csv", names=names)
    files = save({"transition": np.ones((1, 1, 1)), "reward": np.ones(1), "state_names": np.array(["a", "b"])})
    with pytest.raises(FormatError, match="names of states: expected 1 names, got 2"):
        read_bytes({".npz": files}, "npz", 0.9)


def test_names_of_other_programs_tell_actions_apart():
    prism = b"3 4 4\n0 0 1 1 go\n0 1 2 1 wait\n1 0 2 1 wait\n2 0 0 1 go\n"
    read = read_bytes(
        {".tra": prism, ".srew": b"3 1\n0 1\n", ".sta": b"(x,y)\n0:(0,0)\n1:(0,1)\n2:(1,0)\n"}, "prism", 0.9
    )
    assert read.names == Names(("(0,0)", "(0,1)", "(1,0)"), ("go", "wait"))
    assert read.model.legal.tolist() == [[True, True], [False, True], [True, False]]
    read = read_bytes({".tra": prism.replace(b"1 wait\n1", b"1 go\n1"), ".srew": b"3 1\n0 1\n"}, "prism", 0.9)
    assert read.names == Names()
    assert any("names of actions not read" in note for note in read.notes)
    storm = b"@type: MDP\n@nr_states\n1\n@model\nstate 0\n//[x=3]\naction go [1]\n// no name\n0 : 1\n"
    assert read_bytes({".drn": storm}, "drn", 0.9).names == Names(("[x=3]",), ("go",))


def npy(array):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array)
    return stream.getvalue()


def packed(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in members.items():
            out.writestr(f"{name}.npy", content)
    return {".npz": stream.getvalue()}


def header(text, size):
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + b"\0" * size


@pytest.mark.parametrize("kind", ["|u1", "|b1", "<f2", "<f4", "<i8"])
@pytest.mark.parametrize(("name", "array"), [("npz", "transition"), ("toolbox", "P")])
def test_what_does_not_fit_is_refused_before_it_is_unpacked(monkeypatch, name, array, kind):
    monkeypatch.setattr(arrays, "memory_left", lambda: 10**9)
    monkeypatch.setattr(arrays, "_array", lambda *_: pytest.fail("unpacked"))
    width = int(kind[2:])
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': (3000, 4, 3000), }}"
    small = npy(np.zeros((3000, 4)))
    files = packed({array: header(text, 3000 * 4 * 3000 * width), "reward": small, "R": small})
    tracemalloc.start()
    with pytest.raises(FormatError, match=r"does not fit into memory: it needs 1\.1 GiB, and 0\.9 GiB are left"):
        read_bytes(files, name, 0.9)
    assert tracemalloc.get_traced_memory()[1] < 2 * len(files[".npz"]) + 10**6
    tracemalloc.stop()


@pytest.mark.parametrize("kind", [np.uint8, np.float16, np.float64])
@pytest.mark.parametrize("name", ["npz", "toolbox"])
def test_a_model_takes_little_more_memory_than_its_numbers(name, kind):
    states = 500
    p = np.zeros((states, 4, states), kind)
    p[:, :, 0] = 1
    if name == "npz":
        files = packed(
            {"transition": npy(p), "reward": npy(np.ones((states, 4), kind)), "discount": npy(np.array(0.9))}
        )
    else:
        files = packed(
            {"P": npy(p.transpose(1, 0, 2)), "R": npy(np.ones(states, kind)), "discount": npy(np.array(0.9))}
        )
    tracemalloc.start()
    read_bytes(files, name)
    assert tracemalloc.get_traced_memory()[1] < 2.7 * 8 * p.size
    tracemalloc.stop()


def test_rows_that_are_too_full_are_refused_before_they_are_listed():
    for filled in (np.ones((4, 300, 300), np.uint8), np.tile(np.array([1, -1], np.int8), (4, 300, 150))):
        files = packed({"P": npy(filled), "R": npy(np.array([-np.inf, *[1.0] * 299]))})
        tracemalloc.start()
        with pytest.raises(FormatError, match=r"sum to 300, not 1|has probability -1"):
            read_bytes(files, "toolbox", 0.9)
        assert tracemalloc.get_traced_memory()[1] < 8 * filled.size
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("descr", "shape", "size"),
    [
        ("<U0", "(1000000000000000000,)", 0),
        ("<U9999", "(2,)", 9),
        ("<f8", "(1000000000, 1000000000)", 8),
        ("<f8", "(0, 1000000000000000000)", 0),
        ("|V9999", "(1,)", 9999),
        ("<m8[s]", "(1,)", 8),
        ("<i3", "(1,)", 3),
        ("|O", "(1,)", 8),
    ],
)
@pytest.mark.parametrize("array", ["transition", "reward", "state_names", "discount"])
def test_headers_that_lie_or_name_odd_types_are_refused(array, descr, shape, size):
    good = {"transition": npy(np.ones((1, 1, 1))), "reward": npy(np.ones(1)), "discount": npy(np.array(0.9))}
    bad = header(f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}", size)
    tracemalloc.start()
    with pytest.raises(FormatError):
        read_bytes(packed(good | {array: bad}), "npz")
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


def test_text_that_is_no_text_is_refused():
    good = {"transition": npy(np.ones((1, 1, 1))), "reward": npy(np.ones(1)), "discount": npy(np.array(0.9))}
    text = header("{'descr': '<U1', 'fortran_order': False, 'shape': (1,), }", 0) + b"\xff" * 4
    with pytest.raises(FormatError, match="a text has invalid characters"):
        read_bytes(packed(good | {"state_names": text}), "npz")


HUGE = {
    "csv": b"# states=%d\nstate,action,next_state,probability\n0,0,0,1\n",
    "csv actions": b"# actions=%d\nstate,action,next_state,probability\n0,0,0,1\n",
    "csv state": b"state,action,next_state,probability\n%d,0,0,1\n",
    "cassandra": b"discount: 0.9\nstates: %d\nactions: 2\nT: * uniform\n",
    "cassandra actions": b"discount: 0.9\nstates: 2\nactions: %d\nT: * uniform\n",
    "cassandra observations": b"states: 1\nactions: 1\nobservations: %d\nT: * uniform\nR: 0 : 0 : 0 : 0 1\n",
    "prism": b"%d 1 1\n0 0 0 1\n",
    "prism choice": b"1 1 1\n0 %d 0 1\n",
    "drn": b"@type: MDP\n@nr_states\n%d\n@model\nstate 0\naction 0\n0 : 1\n",
    "drn action": b"@type: MDP\n@nr_states\n1\n@model\nstate 0\naction a0\n0 : 1\naction a%d\n0 : 1\n",
    "gym": b'{"P": [[[[1, %d, 0, false]]]]}',
}


@pytest.mark.parametrize("claim", [10**8, 10**9, 2**31, 10**14, 10**30])
@pytest.mark.parametrize("case", HUGE)
def test_huge_numbers_take_no_memory(case, claim):
    name = case.split()[0]
    tracemalloc.start()
    try:
        read = read_bytes({FORMATS[name].suffixes[0]: HUGE[case] % claim}, name, 0.9)
        assert read.model.states * read.model.actions < 100
    except FormatError:
        pass
    assert tracemalloc.get_traced_memory()[1] < 4 * 10**7
    tracemalloc.stop()


@pytest.mark.parametrize("name", FORMATS)
def test_pipes_devices_sockets_and_folders_are_refused_at_once(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    os.mkdir("folder")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        for place in ("pipe", "folder", "zero", "loop", "socket", "missing"):
            with pytest.raises(FormatError, match=rf"^{place}: (expected a file, found a|cannot be read)"):
                mdp.read(place, 0.9, name)
    files = GOLDEN[name]
    for suffix in FORMATS[name].siblings:
        main = FORMATS[name].suffixes[0]
        (tmp_path / f"m{main}").write_bytes(files[main])
        (tmp_path / f"m{suffix}").unlink(missing_ok=True)
        os.mkfifo(tmp_path / f"m{suffix}")
        with pytest.raises(FormatError, match=rf"m{suffix}: expected a file, found a pipe"):
            mdp.read(tmp_path / f"m{main}", 0.9)
        (tmp_path / f"m{suffix}").unlink()


@pytest.mark.parametrize("name", TEXT)
def test_what_a_message_quotes_is_only_shown(name):
    files = text_files(name, rows((3, 3, "\x1b[2J\x9b1m")))
    with pytest.raises(FormatError) as caught:
        read_bytes(files, name, 0.9)
    assert str(caught.value).isprintable()


def test_every_random_model_keeps_its_names():
    rng = np.random.default_rng(8)
    for _ in range(20):
        model = random_model(rng)
        names = Names(tuple(f"s-{i}" for i in range(model.states)), tuple(f"act{i}" for i in range(model.actions)))
        for name in FORMATS:
            read = read_bytes(written(model, name, names), name, 0.5 if name in LACK_DISCOUNT else None)
            assert read.names.states == names.states
            assert read.names.actions in (names.actions, ()) if name in LACK_DISCOUNT else names.actions
    assert R.shape == (3, 2)
