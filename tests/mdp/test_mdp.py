"""Models: what is refused and in which words, the conventions, the families, and Gymnasium's tables."""

from fractions import Fraction

import gymnasium
import numpy as np
import pytest
import quantecon
import scipy.sparse

import mdvi
from mdvi import FiniteMDP, Scheme, iterate, mdp, solve
from mdvi.mdp.validation import normalized
from mdvi.planning.certificate import model_digest
from models import signed_garnet

HALF = np.full((2, 2, 2), 0.5)
ZERO = np.zeros((2, 2))


def changed(array, place, value):
    array = np.array(array, float)
    array[place] = value
    return array


BAD_MODELS = {
    "row too small": (lambda: FiniteMDP(changed(HALF, (1, 0, 1), 0.47), ZERO, 0.9), "state 1, action 0.*0.97"),
    "row too large": (lambda: FiniteMDP(changed(HALF, (1, 0, 1), 0.53), ZERO, 0.9), "state 1, action 0.*1.03"),
    "row off by 1e-9": (lambda: FiniteMDP(changed(HALF, (1, 0, 1), 0.5 + 1e-9), ZERO, 0.9), "sum to 1.000000001"),
    "negative": (lambda: FiniteMDP(changed(HALF, (0, 1), [1.5, -0.5]), ZERO, 0.9), "state 0, action 1.*-0.5"),
    "nan": (lambda: FiniteMDP(changed(HALF, (0, 1, 1), np.nan), ZERO, 0.9), "next state 1 has probability nan"),
    "inf": (lambda: FiniteMDP(changed(HALF, (0, 1, 1), np.inf), ZERO, 0.9), "next state 1 has probability inf"),
    "nan reward": (lambda: FiniteMDP(HALF, changed(ZERO, (1, 1), np.nan), 0.9), "state 1, action 1 has reward nan"),
    "inf reward": (lambda: FiniteMDP(HALF, changed(ZERO, (1, 1), -np.inf), 0.9), "use `legal` to forbid an action"),
    "reward shape": (lambda: FiniteMDP(HALF, np.zeros((2, 3)), 0.9), r"reward: expected shape \(2, 2\)"),
    "state reward shape": (lambda: FiniteMDP(HALF, np.zeros(3), 0.9), r"reward: expected shape \(2, 2\), \(2,\) or"),
    "reward of words": (lambda: FiniteMDP(HALF, [["a", 1], [2, 3]], 0.9), "real numbers, got .*'a'"),
    "transition shape": (lambda: FiniteMDP(np.ones((2, 2, 3)) / 3, ZERO, 0.9), "transition: expected shape"),
    "transition rank": (lambda: FiniteMDP(np.ones((2, 2)), ZERO, 0.9), "transition: expected shape"),
    "text": (lambda: FiniteMDP("FrozenLake", ZERO, 0.9), "transition: expected an array of real numbers"),
    "ragged": (lambda: FiniteMDP([[[1.0], [0.5, 0.5]]], ZERO, 0.9), "transition: expected an array"),
    "complex": (lambda: FiniteMDP(HALF.astype(complex), ZERO, 0.9), "transition: expected an array"),
    "discount above 1": (lambda: FiniteMDP(HALF, ZERO, 1.0 + 1e-15), r"discount: expected a number in \[0, 1\], got"),
    "discount of True": (lambda: FiniteMDP(HALF, ZERO, True), r"discount: expected a number in \[0, 1\], got True"),
    "negative discount": (lambda: FiniteMDP(HALF, ZERO, -0.1), "discount: .*-0.1"),
    "nan discount": (lambda: FiniteMDP(HALF, ZERO, float("nan")), "discount: .*nan"),
    "index too large": (lambda: FiniteMDP((np.full((2, 2, 1), 2), np.ones((2, 2, 1))), ZERO, 0.9), "next state 2"),
    "index negative": (lambda: FiniteMDP((np.full((2, 2, 1), -1), np.ones((2, 2, 1))), ZERO, 0.9), "next state -1"),
    "index fraction": (lambda: FiniteMDP((np.full((2, 2, 1), 0.5), np.ones((2, 2, 1))), ZERO, 0.9), "integers"),
    "duplicate": (lambda: FiniteMDP((np.ones((2, 2, 2), int), HALF), ZERO, 0.9), "lists next state 1 twice"),
    "table shapes": (lambda: FiniteMDP((np.ones((2, 2, 1), int), HALF), ZERO, 0.9), "transition probabilities"),
    "no legal action": (
        lambda: FiniteMDP(HALF, ZERO, 0.9, legal=np.array([[True, True], [False, False]])),
        "state 1 has no legal action",
    ),
    "mask of numbers": (lambda: FiniteMDP(HALF, ZERO, 0.9, legal=np.ones((2, 2))), "legal: expected Booleans"),
    "terminal shape": (lambda: FiniteMDP(HALF, ZERO, 0.9, terminal=[True]), r"terminal: expected shape \(2,\)"),
    "sparse shape": (lambda: FiniteMDP(scipy.sparse.csr_array((2, 3)), ZERO, 0.9), "sparse matrix needs shape"),
    "sparse row": (lambda: FiniteMDP(scipy.sparse.csr_array((4, 2)), ZERO, 0.9), "sum to 0, not 1"),
}


@pytest.mark.parametrize("case", BAD_MODELS)
def test_a_bad_model_is_refused_in_one_line_that_names_the_place(case):
    make, message = BAD_MODELS[case]
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_sparse_matrix_with_an_index_outside_is_refused():
    matrix = scipy.sparse.csr_array(np.tile([0.5, 0.5], (4, 1)))
    matrix.indices[3] = 7  # SciPy itself accepts this, and reads outside the vector
    with pytest.raises(ValueError, match="next state 7"):
        FiniteMDP(matrix, ZERO, 0.9)


def test_a_sparse_matrix_with_a_duplicate_is_refused():
    entries = np.array([0.5, 0.5, 0.5, 0.5, 1.0, 1.0]), ([0, 0, 1, 1, 2, 3], [0, 1, 1, 1, 0, 1])
    with pytest.raises(ValueError, match="state 0, action 1 lists next state 1 twice"):
        FiniteMDP(scipy.sparse.coo_array(entries, shape=(4, 2)), ZERO, 0.9)


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil"])
def test_sparse_formats_make_the_same_model(form):
    p = signed_garnet(0).kernel.probability
    matrix = scipy.sparse.csr_array(p.reshape(-1, 12)).asformat(form)
    np.testing.assert_array_equal(FiniteMDP(matrix, np.zeros((12, 4)), 0.9).dense().kernel.probability, p)


def test_illegal_and_terminal_rows_are_not_looked_at():
    transition = changed(HALF, (0, 1), np.nan)
    transition[1] = 17.0
    model = FiniteMDP(
        transition,
        changed(ZERO, (0, 1), np.inf),
        0.9,
        legal=np.array([[True, False], [True, True]]),
        terminal=[False, True],
    )
    assert (np.asarray(model.kernel.probability)[~model.live] == 0).all()
    assert (model.reward[~model.live] == 0).all()


@pytest.mark.parametrize("padding", [-1, 7])
def test_padding_may_hold_any_index(padding):
    successor, probability = [[[0, 1]], [[1, padding]]], [[[0.5, 0.5]], [[1.0, 0.0]]]
    model = FiniteMDP((np.array(successor), np.array(probability)), np.ones((2, 1)), 0.9)
    assert model.expect(np.array([1.0, 3.0])).tolist() == [[2.0], [3.0]]
    assert model.dense().kernel.probability[1, 0].tolist() == [0, 1]


def test_rows_of_a_narrow_type_are_divided_by_their_sum():
    rows = np.full((30, 1, 30), 1 / 30, np.float16)
    model = FiniteMDP(rows, np.ones(30), 0.9)
    np.testing.assert_allclose(model.kernel.probability.sum(-1), 1, rtol=1e-15)
    with pytest.raises(ValueError, match="sum to"):
        FiniteMDP(np.full((30, 1, 30), 1.1 / 30, np.float16), np.ones(30), 0.9)


def stored(rows, storage):
    """An array of transitions as each storage takes it."""
    states, actions, _ = rows.shape
    if storage == "table":
        return np.broadcast_to(np.arange(states), rows.shape), rows
    return rows if storage == "dense" else scipy.sparse.csr_array(rows.reshape(states * actions, states))


@pytest.mark.parametrize("storage", ["dense", "table", "sparse"])
def test_one_rounding_of_a_long_sum_is_accepted_as_it_is_and_accounted_for(storage):
    for off in (1e-12, 3e-12, -3e-12, 9e-11):
        rows = changed(np.full((4, 1, 4), 0.25), (slice(None), 0, 0), 0.25 + off)
        model = FiniteMDP(stored(rows, storage), np.ones((4, 1)), 0.9)
        np.testing.assert_array_equal(model.dense().kernel.probability, rows)
        total = sum(map(Fraction, rows[0, 0].tolist()))
        exact = 1 / (1 - Fraction(0.9) * total)
        solution = solve(model, tolerance=1e-12)
        assert all(Fraction(x) <= exact <= Fraction(y) for x, y in zip(solution.lower, solution.upper, strict=True))
        assert solution.gap < 1e-11


@pytest.mark.parametrize("storage", ["dense", "table", "sparse"])
def test_rows_of_decimals_are_rescaled_when_asked_for(storage):
    rows = np.array([[[0.333333, 0.333333, 0.333333]], [[0.5, 0.5, 0.0]], [[0.2, 0.3, 0.50005]]])
    with pytest.raises(
        ValueError, match=r"state 0, action 0 .* sum to 0.999999, not 1.*; normalize=True rescales rows"
    ):
        FiniteMDP(stored(rows, storage), np.zeros((3, 1)), 0.9)
    model = FiniteMDP(stored(rows, storage), np.zeros((3, 1)), 0.9, normalize=True).dense()
    np.testing.assert_allclose(model.kernel.probability, rows / rows.sum(-1, keepdims=True), rtol=1e-15)
    np.testing.assert_array_equal(model.kernel.probability[1], rows[1])
    for off in (1e-3, -1e-3, 0.1):
        wrong = stored(changed(rows, (1, 0, 1), 0.5 + off), storage)
        with pytest.raises(ValueError, match=r"state 1, action 0 has probabilities that sum to [^;]*$"):
            FiniteMDP(wrong, np.zeros((3, 1)), 0.9, normalize=True)


def test_rescaling_counts_rows_and_names_the_largest_change():
    rows = np.array([[[0.333333, 0.333333, 0.333333]], [[0.5, 0.5, 0.0]], [[0.2, 0.3, 0.50005]]])
    kernel, count, change = normalized(mdp.Dense(rows))
    assert count == 2
    assert change == pytest.approx(5e-5)
    np.testing.assert_allclose(kernel.row_sums(), 1, rtol=1e-15)
    kernel, count, _ = normalized(mdp.Dense(rows), least=1e-5)
    assert count == 1
    np.testing.assert_array_equal(kernel.probability[0], rows[0])
    with pytest.raises(ValueError, match=r"next state 1 has probability -0\.5"):
        normalized(mdp.Dense(np.array([[[1.5, -0.5]], [[0.0, 1.0]]])))


def test_rewards_of_transitions_are_averaged_over_rescaled_rows():
    rows = np.full((3, 1, 3), 0.333333)
    model = FiniteMDP(rows, np.full((3, 1, 3), 5.0), 0.9, normalize=True)
    np.testing.assert_allclose(model.reward, 5.0, rtol=1e-15)


def test_rescaling_needs_rows_that_are_meant_to_sum_to_one():
    with pytest.raises(ValueError, match="normalize: conflicts with substochastic=True"):
        FiniteMDP(HALF, ZERO, 0.9, normalize=True, substochastic=True)
    free = mdp.MatrixFree(lambda v: np.repeat(v[:, None], 2, axis=1), (2, 2), 1)
    with pytest.raises(ValueError, match="normalize does not apply to a matrix-free model"):
        FiniteMDP(free, ZERO, 0.9, normalize=True)


def test_arrays_may_have_the_actions_first(rng):
    rows = rng.dirichlet(np.ones(4), (4, 3))
    paid = rng.normal(size=(4, 3, 4))
    model = FiniteMDP(rows, paid, 0.9)
    other = FiniteMDP(rows.swapaxes(0, 1), paid.swapaxes(0, 1), 0.9, order="ass")
    np.testing.assert_array_equal(other.kernel.probability, rows)
    np.testing.assert_array_equal(other.reward, model.reward)
    listed = FiniteMDP(rows.swapaxes(0, 1).tolist(), model.reward, 0.9, order="ass")
    np.testing.assert_array_equal(listed.reward, model.reward)
    states = np.broadcast_to(np.arange(4), (3, 4, 4))
    table = FiniteMDP((states, rows.swapaxes(0, 1)), model.reward, 0.9, order="ass")
    np.testing.assert_array_equal(table.dense().kernel.probability, rows)


def test_arrays_with_the_actions_first_are_told_apart_where_they_can_be(rng):
    rows = rng.dirichlet(np.ones(4), (3, 4))
    names = "order='ass'.*from_toolbox"
    with pytest.raises(ValueError, match=r"expected shape \(states, actions, states\), got \(3, 4, 4\); .*" + names):
        FiniteMDP(rows, np.zeros((4, 3)), 0.9)
    with pytest.raises(ValueError, match="3 states and 4 actions do not fit the reward; .*" + names):
        FiniteMDP((np.zeros((3, 4, 1), int), np.ones((3, 4, 1))), np.zeros((4, 3)), 0.9)
    with pytest.raises(
        ValueError, match=r"order='ass' is for arrays only; .* list with one sparse matrix .* each action"
    ):
        FiniteMDP(scipy.sparse.csr_array(np.tile(np.eye(3), (2, 1))), np.zeros((3, 2)), 0.9, order="ass")
    with pytest.raises(ValueError, match="order: expected 'sas' or 'ass', got 'ssa'"):
        FiniteMDP(rows, np.zeros((4, 3)), 0.9, order="ssa")


@pytest.mark.parametrize("form", ["csr", "coo", "csc", "lil"])
def test_one_sparse_matrix_for_each_action(rng, form):
    rows = rng.dirichlet(np.ones(4), (4, 3))
    rows[:, :, 2] = 0.0
    rows /= rows.sum(-1, keepdims=True)
    matrices = [scipy.sparse.csr_array(rows[:, a]).asformat(form) for a in range(3)]
    for order in ("sas", "ass"):
        model = FiniteMDP(matrices, rng.normal(size=(4, 3)), 0.9, order=order)
        np.testing.assert_array_equal(model.dense().kernel.probability, rows)
    with pytest.raises(ValueError, match=r"of shape \(4, 4\) for each action; action 1 has .*\(3, 3\)"):
        FiniteMDP([matrices[0], scipy.sparse.csr_array(np.eye(3))], np.zeros((4, 2)), 0.9)
    with pytest.raises(ValueError, match=r"action 1 has ndarray of shape \(4, 4\)"):
        FiniteMDP([matrices[0], np.eye(4)], np.zeros((4, 2)), 0.9)
    twice = scipy.sparse.coo_array((np.array([0.5, 0.5, 1.0]), ([0, 0, 1], [1, 1, 1])), shape=(2, 2))
    with pytest.raises(ValueError, match="state 0, action 0 lists next state 1 twice"):
        FiniteMDP([twice], np.zeros((2, 1)), 0.9)


def test_replace_keeps_the_kernel_and_checks_what_is_new(rng):
    legal = np.array([[True, False], [True, True], [True, True]])
    model = FiniteMDP(
        rng.dirichlet(np.ones(3), (3, 2)), np.zeros((3, 2)), 0.9, legal=legal, terminal=np.arange(3) == 2,
        states=["a", "b", "c"],
    )  # fmt: skip
    paid = rng.normal(size=(3, 2))
    other = model.replace(reward=paid, discount=0.5)
    assert other.kernel is model.kernel
    assert other.names == model.names
    assert float(other.discount) == 0.5
    np.testing.assert_array_equal(other.reward, np.where(model.live, paid, 0.0))
    rewards = rng.normal(size=(3, 2, 3))
    same = FiniteMDP(model.kernel, rewards, 0.9, legal=legal, terminal=model.terminal)
    assert model.replace(reward=rewards) == same
    assert model.replace(names=mdp.Names(("x", "y", "z"))) == model
    assert float(model.discount) == 0.9
    with pytest.raises(ValueError, match="reward: state 1, action 0 has reward nan"):
        model.replace(reward=np.where(np.arange(3) == 1, np.nan, 0.0))
    with pytest.raises(ValueError, match="discount: expected"):
        model.replace(discount=1.5)
    with pytest.raises(ValueError, match="names of states: expected 3 names, got 2"):
        model.replace(names=mdp.Names(("x", "y")))


def test_names_are_for_people(rng):
    rows = rng.dirichlet(np.ones(2), (2, 2))
    model = FiniteMDP(rows, np.zeros((2, 2)), 0.9, states=[(0, 1), (0, 2)], actions=["left", "right"])
    assert model.names == ((((0, 1), (0, 2))), ("left", "right"))
    bare = FiniteMDP(rows, np.zeros((2, 2)), 0.9)
    assert bare.names == ((), ())
    assert model == bare
    assert hash(model) == hash(bare)
    assert model_digest(model) == model_digest(bare)
    assert model.table().names == model.dense().names == model.names
    for names, message in (
        ({"states": ["a"]}, "names of states: expected 2 names, got 1"),
        ({"actions": ["a", "a"]}, "names of actions: expected different names"),
        ({"states": "ab"}, "states: expected a list of names, got 'ab'"),
        ({"states": [["a"], ["b"]]}, r"states: expected text, numbers or tuples as names, got \['a'\]"),
    ):
        with pytest.raises(ValueError, match=message):
            FiniteMDP(rows, np.zeros((2, 2)), 0.9, **names)


def test_a_square_array_is_taken_as_documented_unless_only_the_other_order_fits(rng):
    rows = rng.dirichlet(np.ones(3), (3, 3))
    np.testing.assert_array_equal(FiniteMDP(rows, np.zeros((3, 3)), 0.9).kernel.probability, rows)
    legal = np.array([[True, False, True], [True, True, True], [True, True, True]])
    with_gap = rows * legal.T[..., None]  # action 1 is missing in state 0, and the actions come first
    with pytest.raises(
        ValueError, match=r"state 1, action 0 does not sum to 1, but action 1, state 0 does; .*order='ass'"
    ):
        FiniteMDP(with_gap, np.zeros((3, 3)), 0.9, legal=legal)
    assert FiniteMDP(with_gap, np.zeros((3, 3)), 0.9, legal=legal, order="ass").states == 3


@pytest.mark.parametrize("method", ["auto", "value-iteration", "policy-iteration"])
def test_a_discount_of_1_is_for_finite_horizons_only(method):
    model = FiniteMDP(HALF, ZERO + 1.0, 1)
    assert mdvi.backward_induction(model, 5).value[0].tolist() == [5.0, 5.0]
    for use in (lambda: solve(model, method=method), lambda: mdvi.certify(model, [0, 0])):
        with pytest.raises(ValueError, match="discount: at 1 episodes have to end somewhere"):
            use()
    refused = r"discount: expected a number in \[0, 1\), got 1.0; solve, evaluate, certify and backward_"
    for use in (
        lambda: iterate(model, Scheme.of(), 3),
        lambda: mdvi.bounds.entropy_bias(model, 0.1),
        lambda: mdvi.bounds.azuma(model, 0.1, 10, 0.1),
        lambda: mdp.late_start(1.0),
        lambda: mdvi.envs.FiniteEnvironment(model),
    ):
        with pytest.raises(ValueError, match=refused):
            use()


def test_models_say_what_they_are_in_a_line_and_can_be_compared():
    model = mdp.garnet(states=500)
    assert len(repr(model)) < 200
    assert model == mdp.garnet(states=500)
    assert model != mdp.garnet(states=500, seed=1)
    assert len({model, mdp.garnet(states=500), mdp.garnet(states=7)}) == 2
    assert hash(model.kernel) == hash(mdp.garnet(states=500).kernel)


def test_families_refuse_what_does_not_fit_into_memory():
    for family in (mdp.garnet, mdp.chain, mdp.deep_sea, mdp.gambler, mdp.forest):
        with pytest.raises(ValueError, match=r"would need .* GiB of"):
            family(10**10)
    for family in (mdp.grid, mdp.cliff):
        with pytest.raises(ValueError, match=r"would need .* GiB of"):
            family(10**7, 10**7)


def test_float32_rows_sum_to_one_in_float32():
    third = np.full((3, 1, 3), 1 / 3, np.float32)
    assert FiniteMDP(third, np.zeros((3, 1)), 0.9).states == 3


def test_storages_agree(rng):
    dense = signed_garnet(0)
    p = dense.kernel.probability
    sparse = FiniteMDP(scipy.sparse.csr_array(p.reshape(-1, dense.states)), dense.reward, 0.9)
    v, policy = rng.normal(size=dense.states), rng.dirichlet(np.ones(dense.actions), dense.states)
    assert type(sparse.kernel) is mdp.Sparse
    np.testing.assert_allclose(sparse.expect(v), dense.expect(v), atol=1e-15)
    np.testing.assert_allclose(sparse.induced(policy), dense.induced(policy), atol=1e-15)
    np.testing.assert_array_equal(sparse.dense().kernel.probability, p)
    np.testing.assert_array_equal(sparse.kernel.csr().toarray(), p.reshape(-1, dense.states))
    np.testing.assert_array_equal(dense.kernel.csr().toarray(), p.reshape(-1, dense.states))
    runs = [iterate(model, Scheme.of(0.1, 0.01), 50) for model in (dense, sparse)]
    np.testing.assert_allclose(runs[0].q, runs[1].q, atol=1e-12)


def test_rewards_of_states_and_of_transitions_become_those_of_pairs(rng):
    p = signed_garnet(0).kernel.probability
    by_state, by_transition = rng.normal(size=12), rng.normal(size=p.shape)
    np.testing.assert_array_equal(FiniteMDP(p, by_state, 0.9).reward, np.repeat(by_state[:, None], 4, 1))
    np.testing.assert_allclose(FiniteMDP(p, by_transition, 0.9).reward, (p * by_transition).sum(-1))


def test_garnet_is_the_papers():
    model = mdp.garnet(30, 4, 4, 0.9, seed=1)
    p = model.dense().kernel.probability
    assert ((p > 0).sum(-1) == 4).all()
    np.testing.assert_allclose(p.sum(-1), 1.0)
    assert (model.reward == model.reward[:, :1]).all()
    assert (model.reward[:, 0] > 0).sum() == 3
    assert model.max_abs_reward < 1
    assert (mdp.garnet(seed=1).reward == model.reward).all()
    assert (mdp.garnet(seed=2).reward != model.reward).any()


def optimal(model):
    return iterate(model, Scheme.of(), 1, record=("bound",)).optimal_q


def test_families_have_the_values_one_can_compute_by_hand():
    n, gamma = 10, 0.9
    right_end = optimal(mdp.chain(n, slip=0.0, discount=gamma)).max(-1)
    np.testing.assert_allclose(right_end, gamma ** np.arange(n - 1, -1, -1) / (1 - gamma))
    room = optimal(mdp.grid(3, 4, slip=0.0, discount=0.95)).max(-1)
    assert room[0] == pytest.approx(0.95**4)
    edge = optimal(mdp.cliff(discount=0.99)).max(-1)
    assert edge[36] == pytest.approx(-(1 - 0.99**13) / (1 - 0.99))
    sea = optimal(mdp.deep_sea(5, discount=0.99)).max(-1)
    assert sea[0] == pytest.approx(0.99**4 - 0.01 / 5 * (1 - 0.99**5) / (1 - 0.99))
    wait = optimal(mdp.forest(3, fire=0.1))
    assert wait[2, 0] > wait[2, 1]
    coin = optimal(mdp.gambler(4, heads=0.4, discount=0.999)).max(-1)
    np.testing.assert_allclose(coin[[0, 2, 4]], [0, 0.4, 0], atol=1e-12)


def test_gambler_masks_stakes_beyond_capital_and_goal():
    legal = mdp.gambler(10).legal
    assert legal[1:10].sum(-1).tolist() == [1, 2, 3, 4, 5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    ("family", "parameters", "message"),
    [
        (mdp.garnet, {"branching": 31}, "branching: expected at most the number of states, 30, got 31"),
        (mdp.garnet, {"states": 0}, "states: expected an integer"),
        (mdp.garnet, {"seed": -1}, "seed: expected an integer of at least 0, got -1"),
        (mdp.chain, {"slip": 1.5}, "slip: expected a probability"),
        (mdp.grid, {"rows": 1, "columns": 1}, "cells"),
        (mdp.forest, {"fire": float("nan")}, "fire: expected a probability"),
    ],
)
def test_families_refuse_bad_parameters(family, parameters, message):
    with pytest.raises(ValueError, match=message):
        family(**parameters)


def test_the_softmax_operator_has_two_fixed_points_and_the_regularised_one_has_one():
    model = mdp.softmax_two_fixed_points()
    softmax = Scheme.of(entropy=1 / 17, evaluate_kl=False, evaluate_entropy=False)
    starts = [np.array([[x, x], [0.0, 0.0]]) for x in (0.0, 0.9)]
    ends = [iterate(model, softmax, 3000, initial_q=q, record=("q",)).q[-1, 0] for q in starts]
    values = [float((np.exp(17 * q) / np.exp(17 * q).sum() * q).sum()) for q in ends]
    np.testing.assert_allclose(values, [0.6078, 0.8769], atol=1e-4)
    soft = [iterate(model, Scheme.of(entropy=1 / 17), 3000, initial_q=q, record=("q",)).q[-1] for q in starts]
    np.testing.assert_allclose(soft[0], soft[1], atol=1e-12)


def quantecon_values(table, gamma):
    """Policy iteration by QuantEcon on P[s][a], with one absorbing state of value 0 for every ended episode."""
    states, actions = len(table), len(table[0])
    p, r = np.zeros((states + 1, actions, states + 1)), np.zeros((states + 1, actions))
    p[states, :, states] = 1.0
    for s in range(states):
        for a in range(actions):
            for probability, successor, reward, ended in table[s][a]:
                p[s, a, states if ended else successor] += probability
                r[s, a] += probability * reward
    return quantecon.markov.DiscreteDP(r, p, gamma).solve(method="policy_iteration").v


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("FrozenLake-v1", {}),
        ("FrozenLake-v1", {"map_name": "8x8"}),
        ("FrozenLake-v1", {"map_name": "8x8", "is_slippery": False}),
        ("Taxi-v4", {}),
        ("CliffWalking-v1", {}),
    ],
)
@pytest.mark.parametrize("gamma", [0.9, 0.99])
def test_gymnasium_models_have_the_values_quantecon_finds(name, options, gamma):
    table = gymnasium.make(name, **options).unwrapped.P
    ours = optimal(mdp.from_gymnasium(name, gamma, **options)).max(-1)
    np.testing.assert_allclose(ours, quantecon_values(table, gamma), rtol=0, atol=1e-9)


@pytest.mark.parametrize("rules", [{"sab": True}, {"sab": False}, {"sab": False, "natural": True}])
def test_blackjack_returns_what_the_environment_pays(rules):
    """Hit below 16, stick from 16: the model's value against the mean of played games."""
    model = mdp.from_gymnasium("Blackjack-v1", 1 - 1e-12, **rules)
    hands = [(total, False) for total in range(4, 22)] + [(total, True) for total in range(12, 22)]
    totals = np.array([total for total, _ in hands] + [21]).repeat(10)
    sticks = np.append(totals >= 16, True)
    policy = np.stack([sticks, ~sticks], -1).astype(float)
    chain = model.induced(policy)
    v = np.linalg.solve(np.eye(model.states) - chain, (policy * model.reward).sum(-1))
    index = {hand: i for i, hand in enumerate(hands)}
    environment = gymnasium.make("Blackjack-v1", **rules)
    environment.reset(seed=0)
    returns, expected = [], []
    for _ in range(8000):
        (total, dealer, ace), _ = environment.reset()
        natural = total == 21
        expected.append(v[(28 if natural else index[total, bool(ace)]) * 10 + dealer - 1])
        ended = False
        while not ended:
            (total, dealer, ace), reward, ended, _, _ = environment.step(int(total < 16))
        returns.append(reward)
    noise = np.std(np.array(returns) - expected) / np.sqrt(len(returns))
    assert abs(np.mean(returns) - np.mean(expected)) < 4 * noise


def test_gymnasium_environments_without_a_table_are_refused():
    with pytest.raises(ValueError, match="no transition table"):
        mdp.from_gymnasium("CartPole-v1")
    with pytest.raises(ValueError, match="FrozenLake-v99"):
        mdp.from_gymnasium("FrozenLake-v99")
    with pytest.raises(ValueError, match="nonsense"):
        mdp.from_gymnasium("FrozenLake-v1", nonsense=1)


@pytest.mark.parametrize("size", [20, 300])
def test_the_goal_of_a_maze_can_be_reached_from_every_cell(size):
    maze = mdp.maze(size, size, discount=0.9)
    matrix = maze.kernel.csr()
    pair = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    ways = scipy.sparse.csr_array((matrix.data, (matrix.indices, pair // 4)), shape=2 * (maze.states,))
    reached = scipy.sparse.csgraph.breadth_first_order(ways, maze.states - 1, return_predecessors=False)
    assert len(reached) == maze.states
    assert maze.reward.max() > 0


@pytest.mark.parametrize("size", [2, 4, 8, 30])
def test_the_goal_of_a_lake_can_be_reached_from_the_start(size):
    assert solve(mdp.lake(size), tolerance=1e-12).value[0] > 0
    with pytest.raises(ValueError, match=r"holes: with 0\.95"):
        mdp.lake(12, holes=0.95)


def test_a_square_array_whose_rows_may_leak_is_never_refused():
    transition = np.full((2, 2, 2), 0.5)
    transition[1, 0] *= 0.5  # the other order would have this row in terminal state 0
    model = FiniteMDP(transition, np.ones((2, 2)), 0.9, terminal=[True, False], substochastic=True)
    np.testing.assert_allclose(mdvi.solve(model).value, [0.0, 1 / (1 - 0.45)])
    with pytest.raises(ValueError, match="order='ass'"):
        FiniteMDP(transition, np.ones((2, 2)), 0.9, terminal=[True, False])
