"""`solve`: the interval holds the truth, the status is honest, and the methods agree."""

import signal
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
from numba.core import event

from exact import exact_value
from mdvi import FiniteMDP, backward_induction, certify, mdp, native
from mdvi.planning import order
from mdvi.planning.chain import Chain
from mdvi.planning.criteria import CRITERIA
from mdvi.planning.linear import solved
from mdvi.planning.methods import METHODS, Turn
from mdvi.planning.problem import problem_of
from mdvi.planning.requests import log_prior_of
from mdvi.planning.solution import BELOW_FLOOR, CERTIFIED, NO_PROGRESS
from mdvi.planning.solve import solve
from mdvi.planning.sweeps import unsigned
from models import random_case

DISCOUNTED = CRITERIA["discounted"]


def check_truth(seed):
    """Solve to ten times the rounding floor of values as large as they may be, and compare with the exact values.

    And as far as rounding goes, where the tolerance is out of reach.
    """
    model, kl, entropy, prior = random_case(seed)
    method = ("auto", "auto", "value-iteration", "modified-policy-iteration", "gauss-seidel", "policy-iteration")[
        seed % 6
    ]
    problem = problem_of(model, kl, entropy, log_prior_of(model, kl, prior))
    scale = DISCOUNTED.forever(problem, problem.max_gain + problem.temperature * np.log(problem.widest))
    floor = max(DISCOUNTED.narrowest(problem, scale), 1e-300)  # rewards that are all the same leave nothing to find out
    truth = exact_value(model, kl, entropy, prior)
    if method not in ("auto", "policy-iteration") and float(model.discount) > 0.999:
        # Up to millions of sweeps, since each gains a factor γ: what is proved after a while must hold all the same.
        check_interval(
            seed, solve(model, kl, entropy, prior, tolerance=10 * floor, method=method, time_limit=0.1), truth
        )
        method = "auto"
    solution = solve(model, kl, entropy, prior, tolerance=10 * floor, method=method, time_limit=60)
    check_interval(seed, solution, truth)
    assert solution.status == CERTIFIED, (seed, solution)
    assert solution.gap <= solution.tolerance
    narrowest = solve(model, kl, entropy, prior, tolerance=1e-300, time_limit=60)
    check_interval(seed, narrowest, truth)
    assert narrowest.status == (BELOW_FLOOR if narrowest.gap > 0 else CERTIFIED), (seed, narrowest)
    assert narrowest.gap <= 2.1 * DISCOUNTED.narrowest(problem, float(np.abs(narrowest.value).max())), (seed, narrowest)


def check_interval(seed, solution, truth):
    """The exact values lie between the bounds, compared without rounding."""
    for s, v in enumerate(truth):
        lower, upper = (v.__class__(float(x)) for x in (solution.lower[s], solution.upper[s]))
        assert lower <= v <= upper, (seed, s, float(lower - v), float(v - upper), solution)


@pytest.mark.parametrize("block", range(20))
def test_the_interval_holds_the_truth(block):
    for seed in range(10 * block, 10 * block + 10):
        check_truth(seed)


@pytest.mark.certify
@pytest.mark.parametrize("block", range(100))
def test_the_interval_holds_the_truth_ten_thousand_times(block):
    for seed in range(100 * block, 100 * block + 100):
        check_truth(seed)
    print(f"100 models from number {100 * block}: every interval holds the truth")


def chain_and_matrix(probabilities, offsets, n):
    """A chain that moves by the offsets, with γ = .9999, and the same as a matrix."""
    matrix = scipy.sparse.diags_array(probabilities, offsets=offsets, shape=(n, n)).tocsr() * 0.9999
    parts = (unsigned(matrix.indptr), unsigned(matrix.indices), matrix.data)
    return Chain(*(part.copy() for part in parts)), matrix


@pytest.mark.parametrize("drift", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_walks_are_solved_exactly_whichever_way_they_drift(drift):
    chain, matrix = chain_and_matrix([1 - drift, 0.1 * drift, 0.9 * drift], [-1, 0, 1], 3000)
    b = np.random.default_rng(0).random(3000)
    x = solved(chain, b, 1e-2, lambda: None)
    assert np.linalg.norm(b + matrix @ x - x) < 1e-9 * np.linalg.norm(b)


@pytest.mark.parametrize("width", [2, 10, 50, 300])
def test_linear_solves_reach_their_accuracy_where_values_diffuse(width):
    chain, matrix = chain_and_matrix([0.3, 0.2, 0.1, 0.2, 0.2], [-width, -1, 0, 1, width], 9000)
    b = np.random.default_rng(0).standard_normal(9000)
    x = solved(chain, b, 1e-2, lambda: None)
    assert np.linalg.norm(b + matrix @ x - x) < 5e-2 * np.linalg.norm(b)


@pytest.mark.parametrize("stays", [lambda backup: backup.v, lambda backup: backup.v + 1e3, lambda backup: -backup.v])
def test_a_method_that_makes_no_progress_ends_and_says_so(monkeypatch, stays):
    monkeypatch.setitem(METHODS, "policy-iteration", lambda problem, backup, aim, watch: Turn(stays(backup), 0.0))
    found = solve(mdp.chain(50, discount=0.99), method="policy-iteration", time_limit=60)
    assert found.status == NO_PROGRESS
    assert found.backups <= 120
    assert "policy-iteration does not get any further" in found.message
    right = solve(mdp.chain(50, discount=0.99))
    assert (found.lower <= right.upper).all()
    assert (right.lower <= found.upper).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("entropy", [0.0, 0.1])
def test_an_interval_is_never_wider_than_before(method, entropy):
    """However few backups there were, it lies within what is known without any, and only becomes narrower."""
    model = mdp.maze(12, 12, discount=0.999)
    known = DISCOUNTED.known(problem_of(model, 0.0, entropy))
    widest, before = known[1] - known[0], None
    for count in (1, 2, 3, 5, 8):
        stopped = stopped_after(model, count, method=method, entropy=entropy)
        live = ~np.asarray(model.terminal)
        assert known[0] <= stopped.lower[live].min()
        assert stopped.upper[live].max() <= known[1]
        assert stopped.gap <= widest * (1 + 1e-15)
        assert stopped.gap == stopped.trace[-1]
        assert (np.diff(stopped.trace) <= 0).all()
        assert (stopped.upper - stopped.lower).max() <= stopped.gap
        assert (stopped.lower <= stopped.value).all()
        assert (stopped.value <= stopped.upper).all()
        if before is not None:
            assert (before.lower <= stopped.lower).all()
            assert (stopped.upper <= before.upper).all()
        before = stopped


def stopped_after(model, count, **options):
    def stop(backups, gap):
        if backups >= count:
            signal.raise_signal(signal.SIGINT)

    return solve(model, progress=stop, tolerance=1e-9, **options)


@pytest.mark.parametrize("scale", [1e145, 1e160, 1e250])
@pytest.mark.parametrize("entropy", [0.0, 1.0])
def test_rewards_whose_squares_overflow(scale, entropy):
    for method in ("auto", "policy-iteration", "gauss-seidel"):
        ring = scipy.sparse.csr_array(np.roll(np.eye(300), 1, 1))
        reward = scale * (1 + (np.arange(300) % 7 == 0))
        model = FiniteMDP(ring, reward[:, None], 0.99)
        found = solve(model, entropy=entropy, method=method, tolerance=scale * 1e-9)
        right = scipy.sparse.linalg.spsolve((scipy.sparse.eye_array(300) - 0.99 * ring).tocsc(), reward)
        assert found.status == CERTIFIED
        np.testing.assert_allclose(found.value, right, rtol=1e-11)


def test_small_models_are_swept_on_one_thread():
    """Numba has not even started its threads after a model of nearly 100 000 transitions; it has after a larger one."""
    program = """
import numba, numpy as np
from mdvi import FiniteMDP, mdp, solve

def started():
    try:
        return bool(numba.threading_layer())
    except ValueError:
        return False

assert mdp.garnet(4990, 4, 5, 0.99).nonzeros > 99_000
for method in ("auto", "policy-iteration", "gauss-seidel"):
    for entropy in (0.0, 0.1):
        solve(mdp.garnet(4990, 4, 5, 0.99), entropy=entropy, method=method)
assert not started()
solve(mdp.garnet(5010, 4, 5, 0.99))
assert started()
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def turns(model, monkeypatch, **options):
    """How often each method had its turn on the way to a certified answer."""
    counts = dict.fromkeys(METHODS, 0)

    def counted(name, method, *arguments):
        counts[name] += 1
        return method(*arguments)

    for name, method in METHODS.items():
        monkeypatch.setitem(METHODS, name, partial(counted, name, method))
    assert solve(model, **options).status == CERTIFIED
    return counts


@pytest.mark.parametrize("entropy", [0.0, 0.01])
def test_chains_of_many_successors_are_swept_where_they_mix_and_solved_where_they_do_not(monkeypatch, entropy):
    taken = turns(mdp.inventory(300, 10, 50, 50.0), monkeypatch, entropy=entropy)
    assert taken["modified-policy-iteration"] > 0 == taken["policy-iteration"]
    rng = np.random.default_rng(0)
    p = np.zeros((1000, 2, 1000))
    for s, a in np.ndindex(1000, 2):
        near = np.arange(max(s - 11, 0), min(s + 12, 1000))
        p[s, a, near] = rng.random(len(near))
    p /= p.sum(-1, keepdims=True)
    walk = FiniteMDP(scipy.sparse.csr_array(p.reshape(2000, 1000)), rng.normal(size=(1000, 2)), 0.9999)
    taken = turns(walk, monkeypatch, entropy=entropy, tolerance=1e-3)
    assert taken["policy-iteration"] > 0
    assert sum(taken.values()) < 30


@pytest.mark.parametrize("entropy", [0.0, 0.01])
def test_a_policy_that_still_moves_is_not_evaluated(monkeypatch, entropy):
    taken = turns(mdp.garnet(3000, 4, 5, 0.99), monkeypatch, entropy=entropy)
    assert 2 <= taken["value-iteration"] <= 8
    assert 2 <= taken["modified-policy-iteration"] <= 8
    assert sum(taken.values()) == taken["value-iteration"] + taken["modified-policy-iteration"]


@pytest.mark.parametrize("entropy", [0.0, 0.001])
def test_a_policy_that_goes_round_in_circles_is_evaluated_all_the_same(monkeypatch, entropy):
    """Two states that lead to each other, and many that choose between them: every sweep changes which is better."""
    p, r = np.zeros((100, 2, 100)), np.zeros((100, 2))
    p[0, :, 1] = p[1, :, 0] = p[2:, 0, 0] = p[2:, 1, 1] = 1.0
    r[0], r[2:, 1] = 1.0, 0.5
    taken = turns(FiniteMDP(p, r, 0.9999), monkeypatch, entropy=entropy)
    assert sum(taken.values()) < 50


@pytest.mark.parametrize("discount", [0.99, 0.9999])
@pytest.mark.parametrize("rows", [60, 73, 100])
def test_an_empty_room_takes_one_turn_of_ordered_sweeps(monkeypatch, rows, discount):
    """The far wall included, where improvements travel against the order."""
    assert turns(mdp.grid(rows, 60, discount=discount), monkeypatch)["gauss-seidel"] == 1


def test_ordered_sweeps_are_not_tried_where_transitions_lead_far_ahead(monkeypatch):
    taken = turns(mdp.forest(5000, discount=0.99), monkeypatch)
    assert taken["policy-iteration"] > 0 == taken["gauss-seidel"]
    taken = turns(mdp.maze(70, 70), monkeypatch)
    assert taken["gauss-seidel"] > 0 == taken["policy-iteration"]


def without_cycles(rng, states, jump, staying=False):
    """A model in which every step leads onward, some perhaps nowhere; numbered at random, two states end it."""
    number = rng.permutation(states)
    p, terminal = np.zeros((states, 2, states)), np.zeros(states, bool)
    terminal[number[-2:]] = True
    for s, a in np.ndindex(states - 2, 2):
        onward = number[np.minimum(s + rng.integers(1, jump, 2), states - 1)]
        np.add.at(p[number[s], a], onward, [0.5, 0.3])
        p[number[s], a, number[s] if staying and s % 3 == 0 else onward[0]] += 0.2
    p[number[-2:], :, number[-1]] = 1.0
    matrix = scipy.sparse.csr_array(p.reshape(-1, states))
    return FiniteMDP(matrix, rng.normal(size=(states, 2)), 0.9999, terminal=terminal)


def test_states_that_lead_into_no_cycle_come_after_their_successors(rng):
    problem = problem_of(without_cycles(rng, 200, 20, staying=True))
    rank = np.empty(200, int)
    rank[order.outward(problem)] = np.arange(200)
    start, state, _ = problem.rows
    for s in range(200):
        later = state[start[2 * s] : start[2 * s + 2]].astype(int)
        assert (rank[later[later != s]] < rank[s]).all()


@pytest.mark.parametrize("entropy", [0.0, 0.01])
def test_a_model_without_cycles_takes_one_turn_however_it_is_numbered(rng, monkeypatch, entropy):
    model = without_cycles(rng, 1000, 10)
    with monkeypatch.context() as patch:
        patch.setattr(order, "_NEARLY_ACYCLIC", 1.0)
        before = turns(model, patch, entropy=entropy)
    taken = turns(model, monkeypatch, entropy=entropy)
    assert taken["policy-iteration"] + taken["gauss-seidel"] == 1 < before["policy-iteration"]


def test_the_clock_of_a_solve_stands_still_while_functions_are_compiled(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(event, "timer", lambda: now[0])
    monkeypatch.setattr(native, "time", SimpleNamespace(monotonic=lambda: now[0]))
    before = native.clock()
    now[0] += 5.0
    assert native.clock() == pytest.approx(before + 5.0, abs=1e-9)
    with event.trigger_event("numba:compile"):
        now[0] += 1000.0
    assert native.clock() == pytest.approx(before + 5.0, abs=1e-9)
    now[0] += 1.0
    assert native.clock() == pytest.approx(before + 6.0, abs=1e-9)


def test_models_are_named_as_in_the_shell(tmp_path):
    given = mdp.garnet(15, 3, 2, seed=4)
    for name in ("garnet:states=15,actions=3,branching=2,seed=4", str(tmp_path / "m.npz"), tmp_path / "m.npz"):
        if "m.npz" in str(name):
            mdp.write(given, tmp_path / "m.npz")
        np.testing.assert_array_equal(solve(name).value, solve(given).value)
    action = solve(given).action
    assert certify("garnet:states=15,actions=3,branching=2,seed=4", action).gap <= 2e-6
    np.testing.assert_array_equal(
        backward_induction("chain:states=4", 3).value, backward_induction(mdp.chain(4), 3).value
    )
    with pytest.raises(ValueError, match=r"unknown model 'garnett'.*did you mean 'garnet'"):
        solve("garnett")
    with pytest.raises(ValueError, match="mdp: expected a FiniteMDP or the name of one, got int"):
        solve(3)
    with pytest.raises(ValueError, match=r"got ndarray; mdvi.FiniteMDP\(transition, reward, discount\) makes one"):
        solve(np.ones((2, 1, 2)) / 2)


def test_what_was_translated_when_a_named_model_was_read_is_a_warning(tmp_path):
    text = "discount: 0.5\nvalues: reward\nstates: 1\nactions: 1\nT: 0 : 0 : 0 0.99999\nR: 0 : 0 : 0 : * 1\n"
    (tmp_path / "m.mdp").write_text(text)
    with pytest.warns(UserWarning, match="1e-05"):
        solution = solve(tmp_path / "m.mdp")
    np.testing.assert_allclose(solution.value, 2.0, atol=1e-6)
