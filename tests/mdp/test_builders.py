"""Models from functions, from state–action pairs and from QuantEcon, and models as graphs."""

import numpy as np
import pytest
import quantecon
import scipy.sparse

import mdvi
from mdvi import FiniteMDP, mdp, solve
from models import random_case


def stakes(capital):
    return range(1, min(capital, 10 - capital) + 1)


def bet(capital, stake):
    return {capital + stake: 0.4, capital - stake: 0.6}


def test_functions_give_the_model_that_arrays_give():
    want = mdp.gambler(goal=10, heads=0.4, discount=0.99)
    options = {"reward": lambda capital, stake, then: float(then == 10), "discount": 0.99}
    for states, more in (
        (range(11), {"terminal": [0, 10]}),
        ([5], {"terminal": lambda capital: capital in (0, 10), "explore": True}),
    ):
        model = FiniteMDP.from_functions(states, stakes, bet, **options, **more)
        assert model.names == mdp.Names((), (1, 2, 3, 4, 5))
        np.testing.assert_allclose(model.dense().kernel.probability, want.dense().kernel.probability, rtol=1e-15)
        np.testing.assert_allclose(model.reward, want.reward, rtol=1e-15)
        np.testing.assert_array_equal(model.legal, want.legal)
        np.testing.assert_array_equal(model.terminal, want.terminal)


def test_states_and_actions_may_be_anything_that_can_be_hashed():
    moves = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1)}

    def step(cell, move):
        row, column = (min(max(x + d, 0), 2) for x, d in zip(cell, moves[move], strict=True))
        return [((row, column), 0.8), (cell, 0.2)]

    def paid(cell, move):
        return -1.0

    options = {"explore": True, "terminal": [(2, 2)], "duplicates": "sum"}
    model = FiniteMDP.from_functions([(1, 1)], moves, step, paid, 0.9, **options)
    assert model.names.states == tuple((i, j) for i in range(3) for j in range(3))
    assert model.names.actions == ("up", "right", "down", "left")
    assert (model.reward[~model.terminal] == -1).all()
    assert model.dense().kernel.probability[0, 0, 0] == 1.0  # into a wall: twice the same cell
    assert mdvi.simulate(model, solve(model), start=(0, 0)).state[0, 0] == 0
    with pytest.raises(ValueError, match=r"state \(0, 0\), action 'up', next state \(0, 0\) is listed twice"):
        FiniteMDP.from_functions([(1, 1)], moves, step, paid, 0.9, explore=True, terminal=[(2, 2)])
    first = FiniteMDP.from_functions(["b", "a"], ["x"], lambda s, a: {s: 1.0}, None, 0.9)
    assert first.names == mdp.Names(("b", "a"), ("x",))
    assert not first.reward.any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"states": range(9)}, "transitions: state 5, action 4 leads to 9, .*not in states.* explore=True"),
        ({"transitions": lambda s, a: {s + a: 0.4}}, "state 5, action 1 has probabilities that sum to 0.4, not 1"),
        ({"transitions": lambda s, a: [s + a]}, r"transitions: state 5, action 1 returned \[6\]; expected .*\{next"),
        ({"transitions": lambda s, a: s + a}, r"transitions: state 5, action 1 returned 6; expected .*\{next state"),
        ({"transitions": lambda s, a: [([s], 1.0)]}, r"transitions: state 5, action 1 returned \[\(\[5\], 1.0\)\]"),
        ({"transitions": lambda s, a: [(s, "x")]}, r"transitions: state 5, action 1 returned \[\(5, 'x'\)\]"),
        ({"reward": lambda s: 1.0}, r"reward: expected a function of \(s, a\) or \(s, a, s'\), got one with 1 arg"),
        ({"reward": lambda s, a: np.nan}, "state 1, action 1, next state 0 has reward nan"),
        ({"terminal": [10]}, "state 0 has no action; .*terminal="),
        ({"terminal": [10, 77]}, "state 0 has no action; .*terminal="),
        ({"states": [], "explore": True}, "a model needs at least one transition"),
        ({"most": 5}, "the search found more than 5 states"),
        ({"duplicates": "keep"}, "duplicates: expected 'refuse' or 'sum'"),
    ],
)
def test_what_is_wrong_with_functions_is_named(changes, message):
    given = {"states": [5], "actions": stakes, "transitions": bet, "reward": None, "discount": 0.9}
    given |= {"terminal": [0, 10], "explore": changes.get("states") != range(9)} | changes
    if changes.get("states") == range(9):
        given["states"] = [5, *range(5), *range(6, 9)]
        given["actions"] = lambda s: [4] if s == 5 else [0]
        given["transitions"] = lambda s, a: {s + a: 1.0}
    with pytest.raises(ValueError, match=message):
        FiniteMDP.from_functions(**given)


def listed(model):
    """The pairs of a model without terminal states: state, action, rows and rewards, in a mixed order."""
    s, a = np.nonzero(model.legal)
    order = np.random.default_rng(0).permutation(len(s))
    s, a = s[order], a[order]
    return s, a, model.dense().kernel.probability[s, a], model.reward[s, a]


@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array, scipy.sparse.lil_matrix])
def test_pairs_give_the_model_that_they_list(form):
    for seed in range(30):
        model, _, _, _ = random_case(seed)
        if model.terminal.any() or (model.kernel.row_sums()[model.legal] < 0.999).any():
            continue
        s, a, rows, paid = listed(model)
        found = FiniteMDP.from_pairs(s, a, form(rows), paid, float(model.discount))
        width = found.actions
        np.testing.assert_array_equal(found.dense().kernel.probability, model.dense().kernel.probability[:, :width])
        np.testing.assert_array_equal(found.reward, model.reward[:, :width])
        np.testing.assert_array_equal(found.legal, model.legal[:, :width])
    named = FiniteMDP.from_pairs([0, 1, 0], [0, 0, 1], form(np.eye(2)[[1, 0, 0]]), [1, 2, -np.inf], 0.5,
                                 states=["a", "b"], actions=["x", "y"], terminal=np.array([False, True]))  # fmt: skip
    assert named.names == mdp.Names(("a", "b"), ("x", "y"))
    assert named.live.tolist() == [[True, False], [False, False]]


def test_quantecon_agrees():
    s, a = np.array([0, 0, 1]), np.array([0, 1, 0])
    rows, paid = np.array([[0.5, 0.5], [0.0, 1.0], [0.0, 1.0]]), np.array([5.0, 10.0, -1.0])
    pairs = quantecon.markov.DiscreteDP(paid, scipy.sparse.csr_matrix(rows), 0.95, s, a)
    product = quantecon.markov.DiscreteDP(
        np.array([[5.0, 10.0], [-1.0, -np.inf]]), np.array([[[0.5, 0.5], [0, 1]], [[0, 1], [0.5, 0.5]]]), 0.95
    )
    for ddp in (pairs, product):
        model = mdp.from_quantecon(ddp)
        solution = solve(model, tolerance=1e-9)
        np.testing.assert_allclose(solution.value, ddp.solve("policy_iteration").v, atol=1e-7)
        np.testing.assert_array_equal(solution.action, ddp.solve("policy_iteration").sigma)
        assert model.legal.tolist() == [[True, True], [True, False]]
    with pytest.raises(ValueError, match="ddp: expected a DiscreteDP of QuantEcon, got dict without R"):
        mdp.from_quantecon({})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"state": [0, 0, 2]}, r"state: pair 2 has state 2, outside 0…1"),
        ({"state": [0, 1]}, "state: expected 3 whole numbers"),
        ({"action": [0.0, 1.0, 0.0]}, "action: expected 3 whole numbers"),
        ({"action": [0, -1, 0]}, "action: expected 3 whole numbers"),
        ({"action": [0, 0, 0]}, "state 0, action 0 is listed 2 times"),
        ({"reward": [1.0]}, r"reward: expected shape \(3,\)"),
        ({"transition": [[1.0, 0.0]] * 2 + [[0.3, 0.3]]}, "state 1, action 0 has probabilities that sum to 0.6"),
    ],
)
def test_what_is_wrong_with_pairs_is_named(changes, message):
    given = {"state": [0, 0, 1], "action": [0, 1, 0], "transition": np.eye(2)[[0, 1, 1]], "reward": [1.0, 2.0, 3.0]}
    with pytest.raises(ValueError, match=message):
        FiniteMDP.from_pairs(**given | changes, discount=0.9)


def test_graphs_have_the_transitions_with_their_names():
    networkx = pytest.importorskip("networkx")
    for seed in range(20):
        model, _, _, _ = random_case(seed)
        graph = mdp.to_networkx(model)
        p = np.zeros((len(graph), model.actions, len(graph)))
        for s, t, a, edge in graph.edges(keys=True, data=True):
            p[s, a, t] = edge["probability"]
            assert edge["reward"] == model.reward[s, a]
        size = model.states
        want = model.dense().kernel.probability
        np.testing.assert_array_equal(p[:size, :, :size], want)
        np.testing.assert_allclose(p[:size].sum(-1)[model.live], 1, rtol=1e-9)
        assert [graph.nodes[s]["terminal"] for s in range(size)] == model.terminal.tolist()
    named = FiniteMDP(np.array([[[0.0, 0.5]], [[1.0, 0.0]]]), np.ones((2, 1)), 0.9, states=["on", "end"],
                      actions=["go"], substochastic=True)  # fmt: skip
    graph = mdp.to_networkx(named)
    assert list(graph) == ["on", "end", "end0"]
    assert graph["on"]["end"]["go"] == {"action": "go", "probability": 0.5, "reward": 1.0}
    assert graph["on"]["end0"]["go"]["probability"] == 0.5
    assert networkx.is_weakly_connected(graph)
