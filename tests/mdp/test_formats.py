"""Files: every format by hand, there and back bit for bit, and what is refused in one line that names the place."""

import io
import os
import re
import time
import zipfile

import gymnasium
import numpy as np
import pytest
import scipy.sparse

from bad_models import ARRAYS, BAD_ARRAYS, BAD_ROWS, CSR, TABLE, TEXT, files_of, rows
from mdvi import FiniteMDP, mdp
from mdvi.mdp import FORMATS, FormatError
from mdvi.mdp.formats import Names
from mdvi.mdp.formats.arrays import save
from model_files import (
    EXPECTED,
    GOLDEN,
    LACK_DISCOUNT,
    P,
    R,
    as_json,
    gamma_for,
    random_model,
    read_bytes,
    same,
    text_files,
    written,
)


def put(folder, files, stem="model"):
    for suffix, data in files.items():
        (folder / f"{stem}{suffix}").write_bytes(data)
    return folder / f"{stem}{next(iter(files))}"


def refusal(files, name, discount=0.9):
    """The message of a refusal: one line that begins with the file's name, and soon."""
    begun = time.process_time()
    with pytest.raises(FormatError) as caught:
        read_bytes(files, name, discount)
    message = str(caught.value)
    assert time.process_time() - begun < 5
    assert "\n" not in message
    assert message.startswith("model.")
    assert len(message) < 600
    return message


@pytest.mark.parametrize("name", FORMATS)
def test_the_model_written_by_hand_is_read(name, tmp_path):
    read = mdp.read(put(tmp_path, GOLDEN[name]), 0.9 if name in LACK_DISCOUNT else None)
    assert read.format == name
    assert same(read.model, EXPECTED)
    assert all("\n" not in note for note in read.notes)


@pytest.mark.parametrize("name", FORMATS)
def test_there_and_back_is_the_same_bit_for_bit(name):
    rng = np.random.default_rng(3)
    for _ in range(300):
        model = random_model(rng)
        assert same(read_bytes(written(model, name), name, gamma_for(name, model)).model, model)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_there_and_back_everywhere(name):
    rng = np.random.default_rng(4)
    for _ in range(1000):
        model = random_model(rng, 20)
        assert same(read_bytes(written(model, name), name, gamma_for(name, model)).model, model)


@pytest.mark.parametrize("name", FORMATS)
def test_rare_actions_keep_their_numbers(name):
    """Three states with one legal action each out of sixty."""
    legal = np.zeros((3, 60), bool)
    legal[[0, 1, 2], [59, 3, 17]] = True
    model = FiniteMDP(np.full((3, 60, 3), [0.5, 0.25, 0.25]), np.ones(3), 0.9, legal=legal)
    assert same(read_bytes(written(model, name), name, gamma_for(name, model)).model, model)


@pytest.mark.parametrize("storage", ["dense", "csr", "table"])
def test_npz_keeps_the_storage_and_the_bytes(storage):
    p = random_model(np.random.default_rng(0)).dense().kernel.probability
    p = np.where(p.sum(-1, keepdims=True) > 0, p, np.eye(len(p))[:, None])
    forms = {
        "dense": p,
        "csr": scipy.sparse.csr_array(p.reshape(-1, len(p))),
        "table": (np.tile(np.arange(len(p)), (*p.shape[:2], 1)), p),
    }
    model = FiniteMDP(forms[storage], np.ones(p.shape[:2]), 0.5)
    files = written(model, "npz")
    assert files == written(model, "npz")
    assert type(read_bytes(files, "npz").model.kernel) is type(model.kernel)


def test_a_chain_of_all_formats_changes_nothing(tmp_path):
    model = mdp.gambler(12)
    for i, (name, record) in enumerate(FORMATS.items()):
        path = tmp_path / f"{i}{record.suffixes[0]}"
        assert isinstance(mdp.write(model, path, name), tuple)
        read = mdp.read(path, gamma_for(name, model))
        assert read.format == name
        assert same(read.model, model)
        model = read.model


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "npz"])
def test_missing_mass_goes_to_one_more_terminal_state(name):
    model = FiniteMDP(np.full((2, 2, 2), 0.25), np.ones((2, 2)), 0.9, substochastic=True)
    files, notes = FORMATS[name].write(model, Names())
    read = read_bytes(files, name, 0.9).model
    assert "one more terminal state" in notes[0]
    assert read.states == 3
    assert read.terminal.tolist() == [False, False, True]
    np.testing.assert_array_equal(read.kernel.row_sums()[:2], 1.0)
    assert same(read_bytes(written(model, "npz"), "npz").model, model)


def test_tables_and_arrays_in_memory():
    model = mdp.cliff()
    p, r = mdp.to_toolbox(model)
    assert same(mdp.from_toolbox(p, r, float(model.discount)), model)
    assert same(mdp.from_toolbox([scipy.sparse.csr_array(x) for x in p], r, float(model.discount)), model)
    rewards = np.broadcast_to(r.T[:, :, None], p.shape)
    assert same(mdp.from_toolbox(p, rewards, float(model.discount)), model)
    table = mdp.from_gymnasium(mdp.to_gymnasium(model), float(model.discount))
    assert table.states == model.states + 1
    lake = gymnasium.make("FrozenLake-v1").unwrapped.P
    read = read_bytes(as_json(0.9, {s: {a: lake[s][a] for a in lake[s]} for s in lake}), "gym")
    assert read.model.terminal.sum() == 5
    assert any("added up" in note for note in read.notes)


@pytest.mark.parametrize("name", TEXT)
def test_the_table_of_transitions_is_good_as_it_stands(name):
    model = read_bytes(text_files(name, rows()), name, 0.9).model
    assert model.terminal.tolist() == [False, False, True]
    assert model.reward.tolist() == [[1, -2], [0.5, 0], [0, 0]]


@pytest.mark.parametrize("case", BAD_ROWS)
@pytest.mark.parametrize("name", TEXT)
def test_bad_transitions_are_refused(name, case):
    bad, pattern = BAD_ROWS[case]
    if name == "cassandra" and case == "duplicate":
        pytest.skip("later entries override")
    message = refusal(text_files(name, bad), name)
    assert re.search(pattern, message), message


@pytest.mark.parametrize("name", ["csv", "prism", "cassandra", "gym"])
def test_a_reward_of_minus_infinity_forbids_the_action_or_is_refused(name):
    read = read_bytes(text_files(name, rows((3, 4, "-inf"))), name, 0.9)
    assert not read.model.legal[1, 0]
    assert any("illegal" in note for note in read.notes)
    assert "-inf for some next states only" in refusal(text_files(name, rows((1, 4, "-inf"))), name)


@pytest.mark.parametrize("discount", ["1.5", "-0.1", "NaN", '"x"', "1e400"])
@pytest.mark.parametrize("name", ["csv", "cassandra", "gym"])
def test_discounts_outside_are_refused(name, discount):
    files = text_files(name, rows(), discount)
    assert "discount" in refusal(files, name, None)
    assert read_bytes(files, name, 0.5).model.discount == 0.5 if discount in ("1.5", "-0.1") else True


@pytest.mark.parametrize("name", LACK_DISCOUNT)
def test_formats_without_a_discount_ask_for_one(name):
    assert "no discount; give one with --discount" in refusal(text_files(name, rows()), name, None)


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_no_file_of_the_format_is_refused(name):
    suffix = FORMATS[name].suffixes[0]
    noise = np.random.default_rng(0).integers(0, 256, 5000, np.uint8).tobytes()
    for data in (b"", b"\n\n", noise, b"\x00" * 100, b"9" * 10**7, b"[" * 10**5, b"# x\n", b"{}", b"PK\x03\x04"):
        refusal({suffix: data}, name)


@pytest.mark.parametrize("name", TEXT)
def test_byte_order_marks_and_carriage_returns_are_read(name):
    files = GOLDEN[name]
    other = {suffix: b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n") for suffix, data in files.items()}
    assert same(read_bytes(other, name, 0.9).model, EXPECTED)


CLAIMS = {
    "csv": b"# discount=0.9\n# states=%d\nstate,action,next_state,probability\n0,0,0,1\n",
    "prism": b"%d 1 1\n0 0 0 1\n",
    "drn": b"@type: MDP\n@nr_states\n%d\n@model\nstate 0\naction 0\n0 : 1\n",
    "cassandra": b"discount: 0.9\nstates: %d\nactions: 2\nT: * uniform\n",
}


@pytest.mark.parametrize("name", CLAIMS)
@pytest.mark.parametrize("claim", [10**4, 10**9, 10**14, 10**30])
def test_claims_beyond_the_file_are_refused(name, claim):
    refusal({FORMATS[name].suffixes[0]: CLAIMS[name] % claim}, name)


ABSURD = [
    ("cassandra", b"states: 1000\nactions: 1\n" + b"T: * uniform\n" * 8000),
    ("cassandra", b"states: 1000\nactions: 100\n" + b"T: * : * : 0 1\n" * 7000),
    ("cassandra", b"states: 10000\nactions: 10\n" + b"T: * identity\n" * 7000),
    ("cassandra", b"states: 2\nactions: 2\nT: 0" + b" : 0" * 25000),
    ("csv", b"state,action,next_state,probability\n" + b"".join(b"%d,%d,0,1\n" % (i, i * 99) for i in range(9000))),
    ("csv", b"state,action,next_state,probability\n0,0,0,1\n0,9999999,0,1\n"),
    ("drn", b"@type: MDP\n@x\n" + b"y\n" * 50000),
    ("gym", b'{"P":[' + b"[]," * 30000 + b"[]]}"),
    ("gym", b'{"P":' * 20000),
    ("gym", b'{"discount":' + b"9" * 100000 + b"}"),
]


@pytest.mark.parametrize(("name", "data"), ABSURD, ids=range(len(ABSURD)))
def test_small_files_never_take_long(name, data):
    refusal({FORMATS[name].suffixes[0]: data}, name)


WATCHED = b"discount: 0.5\nstates: 1\nactions: 1\nobservations: 2\nT: 0 identity\n"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("csv", b"state,action,nextstate,probability\n", "did you mean next_state"),
        ("csv", b"state,action,next_state\n", "no column probability"),
        (
            "csv",
            b"state,action,next_state,probability\n0,0,0\n",
            "csv:2: expected 4 values, one for each column, got 3",
        ),
        ("csv", b"state,action,next_state,probability\n0,0,0,.5\n0,0,0,.5\n", r"lines 2 and 3"),
        ("csv", b"# terminal=5\n# states=2\nstate,action,next_state,probability\n0,0,0,1\n", "csv:1: terminal state 5"),
        ("prism", b"1 1 2\n0 0 0 1\n", "declares 2 transitions, but there are 1"),
        ("prism", b"1 2 1\n0 0 0 1\n", "declares 2 choices, but there are 1"),
        ("drn", b"@type: CTMC\n", "drn:1: @type: expected MDP or DTMC, got 'CTMC'"),
        ("drn", b"@type: MDP\n@parameters\np q\n@nr_states\n1\n@model\nstate 0\n", "has parameters"),
        ("drn", b"@type: MDP\n@nr_states\n1\n@model\nstate 0 {1}\n", "partially observable"),
        ("drn", b"@type: MDP\n@nr_states\n1\n@model\nstate 0\naction 0\n0 : 1/0\n", "drn:7: probability '1/0'"),
        ("cassandra", b"T: 0 identity\n", "states should be declared before"),
        ("cassandra", b"states: 2\nactions: 1\nT: 0\n1 0 0\n", "mdp:3: expected 2 × 2 values, got 3"),
        ("cassandra", b"states: a b\nactions: 1\nT: 0 : c : a 1\n", "'c' is not one of the 2 states"),
        ("cassandra", WATCHED + b"R: 0 : 0 : 0 : 2 3\n", "mdp:6: observation 2 is outside 0…1"),
        ("cassandra", WATCHED + b"R: 0 : 0 : 0 : 1 3\n", "O: .*action 0, state 0 sum to 0, not 1"),
        ("cassandra", WATCHED + b"O: 0 : 0 0.5 0.25\nR: 0 : 0 : 0 : 1 3\n", "O: .*sum to 0.75, not 1"),
        (
            "cassandra",
            WATCHED + b"O: 0 : 0 : 0.5 1 2\nR: 0 : 0 : 0 : 1 3\n",
            "mdp:6: '0.5' is not one of the 2 observations",
        ),
        ("cassandra", WATCHED + b"O: 0 uniform\nR: 0 : 0 : 0 : 1 -inf\n", "-inf for some observations only"),
        ("gym", b'{"P": {"0": {"1": []}}}', "no entry 0"),
        ("gym", b'{"P": [[[[1, 0, 0]]]]}', "state 0, action 0: expected .probability"),
        ("gym", b'{"P": [[[[1, 0, 0, 1]]]]}', "state 0, action 0: expected .probability"),
        ("gym", b'{"P": {"0": {}, "0": {}}}', "occurs twice"),
        ("gym", b'{"P": [[[]], [[], []]]}', "state 1 has 2 entries, expected 1"),
    ],
)
def test_errors_say_what_to_do(name, data, message):
    assert re.search(message, refusal({FORMATS[name].suffixes[0]: data}, name))


def test_errors_in_siblings_name_the_sibling():
    files = dict(GOLDEN["prism"])
    assert refusal(files | {".lab": b'0="init"\n9: 0\n'}, "prism").startswith("model.lab:2:")
    assert refusal(files | {".trew": b"3 1 1\n0 0 0 1\n"}, "prism").startswith("model.trew:2:")


@pytest.mark.parametrize(("name", "case"), [(name, case) for name in BAD_ARRAYS for case in BAD_ARRAYS[name]])
def test_bad_arrays_are_refused(name, case):
    arrays, pattern = BAD_ARRAYS[name][case]
    assert re.search(pattern, refusal(files_of(arrays), name, None))


@pytest.mark.parametrize("arrays", [ARRAYS, CSR, TABLE])
def test_any_byte_order_and_memory_order_is_read(arrays):
    other = {name: np.asfortranarray(a.astype(a.dtype.newbyteorder(">"))) for name, a in arrays.items()}
    stream = io.BytesIO()
    np.savez(stream, **other)
    assert same(read_bytes({".npz": stream.getvalue()}, "npz").model, read_bytes({".npz": save(arrays)}, "npz").model)


class Malicious:
    """Pickled, it would make a folder."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


def test_objects_in_arrays_never_run(tmp_path):
    stream = io.BytesIO()
    np.savez(stream, **(ARRAYS | {"reward": np.array([Malicious(tmp_path / "ran")], object)}))
    assert "objects are not read" in refusal({".npz": stream.getvalue()}, "npz")
    assert not (tmp_path / "ran").exists()


def npy(header, body=b""):
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


def archive(members, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as out:
        for name, content in members:
            out.writestr(name, content)
    return {".npz": stream.getvalue()}


def test_claims_of_arrays_are_checked_before_memory_is_taken():
    terabytes = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,), }")
    assert "declares shape" in refusal(archive([("transition.npy", terabytes), ("reward.npy", terabytes)]), "npz")
    record = npy("{'descr': [('x', '<f8')], 'fortran_order': False, 'shape': (1,), }", b"\0" * 8)
    assert "expected an array of numbers" in refusal(archive([("transition.npy", record)]), "npz")
    for name in ("../transition.npy", "a/transition.npy", "transition.txt"):
        assert "members should be called" in refusal(archive([(name, b"")]), "npz")


def test_files_are_told_by_suffix_and_arrays(tmp_path):
    for name, message in (("x.cvs", "did you mean .csv"), ("x", "the formats are npz")):
        with pytest.raises(FormatError, match=message):
            mdp.write(EXPECTED, tmp_path / name)
    (tmp_path / "x.csv").touch()
    with pytest.raises(FormatError, match="did you mean csv"):
        mdp.read(tmp_path / "x.csv", format="csvv")
    for place in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(FormatError, match=r"expected a file, found a folder|cannot be read"):
            mdp.read(place, format="csv")
    with pytest.raises(FormatError, match="cannot be written"):
        mdp.write(EXPECTED, tmp_path / "x.csv" / "y.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.csv"]
    mdp.write(EXPECTED, tmp_path / "new" / "x.csv")  # a folder that is missing is made, as for every result
    assert same(mdp.read(tmp_path / "new" / "x.csv").model, EXPECTED)


def test_a_matrix_free_model_is_not_written(tmp_path):
    kernel = mdp.MatrixFree(lambda v: np.repeat(v[:, None], 2, axis=1), (2, 2), 1)
    model = FiniteMDP(kernel, np.ones((2, 2)), 0.9)
    for name in FORMATS:
        with pytest.raises(FormatError, match="matrix-free"):
            mdp.write(model, tmp_path / f"x{FORMATS[name].suffixes[0]}", name)


def test_observations_and_chains():
    pomdp = b"discount: 0.5\nstates: 2\nactions: 1\nobservations: 2\nT: 0\nuniform\nO: 0 uniform\nR: 0 : 0 : * : * 1\n"
    read = read_bytes({".pomdp": pomdp}, "cassandra")
    assert read.model.reward.tolist() == [[1.0], [0.0]]
    assert any("2 observations not read" in note for note in read.notes)
    chain = read_bytes({".tra": b"2 2\n0 1 1\n1 0 1\n", ".rew": b"2 1\n1 3\n"}, "prism", 0.5).model
    assert chain.reward.tolist() == [[0.0], [3.0]]
    storm = b"@type: DTMC\n@nr_states\n2\n@model\nstate 0\n\t1 : 1\nstate 1 [2]\n\t0 : 1\n"
    assert read_bytes({".drn": storm}, "drn", 0.5).model.reward.tolist() == [[0.0], [2.0]]
    assert (P.sum(), R.sum()) == (3, -0.5)


def test_cassandras_shorthands_mean_what_they_spell():
    short = b"""discount: 0.5
states: 3
actions: 2
T: 0
0 1 0
0 0 1
1 0 0
T: 1 uniform
T: 1 : 2
0.5 0.5 0
T: 1 : 0 uniform
R: * : * : * : * 1
R: 1 : 2
1 2 3
R: 0 : * : 1 : * 5
"""
    model = read_bytes({".mdp": short}, "cassandra").model.dense()
    third = [1 / 3] * 3
    assert model.kernel.probability[:, 0].tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert model.kernel.probability[:, 1].tolist() == [third, third, [0.5, 0.5, 0]]
    assert model.reward.tolist() == [[5, 1], [1, 1], [1, 1.5]]
