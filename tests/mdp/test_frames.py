"""Models from tables with names: the same model whatever the frame is, and refusals that use the names."""

import numpy as np
import pytest

import mdvi
from mdvi import FiniteMDP, mdp

COLUMNS = {"state": "s", "action": "a", "next": "n", "probability": "p", "reward": "r"}
TABLE = {
    "s": ["low", "low", "high", "high", "high"],
    "a": ["wait", "order", "wait", "sell", "sell"],
    "n": ["low", "high", "high", "out", "low"],
    "p": [1.0, 1.0, 1.0, 0.5, 0.5],
    "r": [0.0, -2.0, 1.0, 10.0, 3.0],
}


def model_of(table, **options):
    return FiniteMDP.from_frame(table, 0.95, **COLUMNS | {"terminal": ["out"]} | options)


def pandas(table):
    return pytest.importorskip("pandas").DataFrame(table)


def polars(table):
    return pytest.importorskip("polars").DataFrame(table)


def arrow(table):
    return pytest.importorskip("pyarrow").table(table)


def arrays(table):
    return {name: np.array(column) for name, column in table.items()}


def records(table):
    kinds = [(name, np.array(column).dtype) for name, column in table.items()]
    return np.array(list(zip(*table.values(), strict=True)), kinds)


@pytest.mark.parametrize("frame", [dict, arrays, records, pandas, polars, arrow])
def test_every_kind_of_frame_gives_the_model_with_its_names(frame):
    model = model_of(frame(TABLE))
    assert model.names == mdp.Names(("low", "high", "out"), ("wait", "order", "sell"))
    p, r = np.zeros((3, 3, 3)), np.zeros((3, 3))
    p[0, 0, 0] = p[0, 1, 1] = p[1, 0, 1] = 1.0
    p[1, 2, 2] = p[1, 2, 0] = 0.5
    r[0, 1], r[1, 0], r[1, 2] = -2.0, 1.0, 6.5
    np.testing.assert_array_equal(model.dense().kernel.probability, p)
    np.testing.assert_array_equal(model.reward, r)
    np.testing.assert_array_equal(model.terminal, [False, False, True])
    np.testing.assert_array_equal(model.legal, [[True, True, False], [True, False, True], [True] * 3])


@pytest.mark.parametrize("name", ["m.npz", "m.csv", "m.json"])
def test_names_come_back_from_files(tmp_path, name):
    model = model_of(TABLE)
    mdp.write(model, tmp_path / name)
    found = mdp.read(tmp_path / name)
    assert found.model == model
    assert found.model.names == found.names == model.names
    assert mdvi.solve(found.model).problem.mdp.names == model.names


def test_names_that_are_no_text_are_text_in_files(tmp_path):
    table = TABLE | {"s": [1.5, 1.5, 9, 9, 9], "n": [1.5, 9, 9, -3, 1.5]}
    model = model_of(table, terminal=[-3])
    assert model.names.states == (-3, 1.5, 9)
    mdp.write(model, tmp_path / "m.npz")
    assert mdp.read(tmp_path / "m.npz").model.names.states == ("-3", "1.5", "9")
    twins = FiniteMDP(np.full((2, 1, 2), 0.5), np.zeros((2, 1)), 0.9, states=[1, "1"])
    with pytest.raises(mdp.FormatError, match="names of states: expected different names"):
        mdp.write(twins, tmp_path / "m.npz")


def test_the_order_of_states_and_actions():
    numbers = {"s": [3, 0, 2], "a": [1, 0, 0], "n": [0, 2, 1], "p": [1, 1, 1]}
    options = {"reward": None, "terminal": [1]}
    model = model_of(numbers, **options)
    assert model.names == mdp.Names()  # every state is its number
    np.testing.assert_array_equal(model.dense().kernel.probability[3, 1], [1, 0, 0, 0])
    pairs = {"s": [1, 0], "x": [0, 5], "a": ["z", "y"], "n": [0, 1], "m": [5, 0], "p": [1, 1]}
    model = model_of(pairs, state=["s", "x"], next=["n", "m"], reward=None, terminal=[])
    assert model.names == mdp.Names(((0, 5), (1, 0)), ("z", "y"))
    chosen = model_of(TABLE, states=["out", "high", "low"], actions=["sell", "wait", "order", "call"])
    assert chosen.names == mdp.Names(("out", "high", "low"), ("sell", "wait", "order", "call"))
    assert not chosen.legal[1:, 3].any()
    assert chosen.dense().kernel.probability[1, 0].tolist() == [0.5, 0.0, 0.5]


def test_duplicates_are_summed_on_request_and_their_rewards_averaged():
    twice = {name: [*column, column[-1]] for name, column in TABLE.items()}
    twice["p"][-2:] = [0.2, 0.3]
    twice["r"][-2:] = [1.0, 6.0]
    model = model_of(twice, duplicates="sum")
    np.testing.assert_allclose(model.dense().kernel.probability[1, 2], [0.5, 0, 0.5])
    assert model.reward[1, 2] == pytest.approx(0.5 * 10 + 0.2 * 1 + 0.3 * 6)
    with pytest.raises(
        ValueError, match=r"state 'high', action 'sell', next state 'low' is listed twice .*4 and 5.*'sum'"
    ):
        model_of(twice)


def test_rows_that_are_nearly_1_are_divided_on_request_only():
    near = TABLE | {"p": [1, 1, 1, 0.5, 0.49995]}
    np.testing.assert_allclose(model_of(near, normalize=True).kernel.row_sums()[1, 2], 1, rtol=1e-15)
    with pytest.raises(ValueError, match=r"state 'high', action 'sell' .*sum to 0.99995.*normalize=True"):
        model_of(near)
    with pytest.raises(ValueError, match=r"state 'high', action 'sell' has probabilities that sum to 0.999, not 1"):
        model_of(TABLE | {"p": [1, 1, 1, 0.5, 0.499]}, normalize=True)
    truncated = TABLE | {"p": [1, 1, 1, 0.5, 0.4999999999974]}  # a Poisson distribution without its tail
    assert model_of(truncated) != model_of(TABLE)


def test_a_reward_of_minus_infinity_forbids():
    model = model_of(TABLE | {"r": [0, -2, -np.inf, 10, 3]})
    assert not model.legal[1, 0]


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {"terminal": []}, r"state 'out' has no action; .* terminal=\[…\]"),
        ({}, {"terminal": ["uot"]}, "terminal: unknown name 'uot'; did you mean 'out'"),
        ({}, {"terminal": "out"}, "terminal: expected a list of names, got 'out'"),
        ({}, {"state": "S"}, r"state: there is no column 'S'; did you mean 's'\? state='…' says which one it is"),
        ({}, {"next": "following"}, "next: there is no column 'following'; the columns are s, a, n, p, r; next='…'"),
        ({}, {"reward": "pay"}, "reward: there is no column 'pay'.*reward=None sets rewards of 0"),
        ({}, {"states": ["low", "high"]}, r"next: row 3 has 'out', which is not in states=\[…\]"),
        ({}, {"actions": ["wait"]}, r"action: row 1 has 'order', which is not in actions=\[…\]"),
        ({}, {"duplicates": "keep"}, "duplicates: expected 'refuse' or 'sum', got 'keep'"),
        ({"n": ["low", None, "high", "out", "low"]}, {}, "next: row 1 of column 'n' has no value"),
        ({"s": [1, np.nan, 1, 1, 1]}, {}, "state: row 1 of column 's' has no value"),
        ({"s": [[1]] * 5}, {}, "states and actions must be text, numbers or tuples"),
        ({"p": ["x"] * 5}, {}, "probability: column 'p' has values that are not numbers"),
        ({"p": [1, 1, 1, 1.5, -0.5]}, {}, "state 'high', action 'sell', next state 'low' has probability -0.5"),
        ({"r": [0, 0, np.inf, 0, 0]}, {}, "state 'high', action 'wait', next state 'high' has reward inf"),
    ],
)
def test_what_is_wrong_is_called_by_its_name(changes, options, message):
    with pytest.raises(ValueError, match=message):
        model_of(TABLE | changes, **options)


def test_what_is_no_frame_is_refused():
    for frame in ("table", 3, np.zeros((3, 5))):
        with pytest.raises(ValueError, match="frame: expected a data frame or a mapping of columns"):
            model_of(frame)
    with pytest.raises(ValueError, match="at least one transition"):
        model_of({name: [] for name in TABLE}, terminal=[])


def test_missing_values_of_pandas_are_found():
    frame = pandas(TABLE)
    frame["s"] = frame["s"].astype("string")
    frame.loc[2, "s"] = None
    with pytest.raises(ValueError, match="state: row 2 of column 's' has no value"):
        model_of(frame)
