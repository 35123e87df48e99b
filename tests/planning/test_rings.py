"""Rings, chains and cycles: values go all the way round, and nothing damps them but the discount."""

import numpy as np
import pytest
import scipy.sparse
from scipy.sparse.linalg import splu

from mdvi import FiniteMDP, solve
from mdvi.planning import ladder
from mdvi.planning.chain import Chain, chain_of, matrix_of, renumbered, residual
from mdvi.planning.order import banded, filled
from mdvi.planning.problem import problem_of
from mdvi.planning.solution import BELOW_FLOOR, CERTIFIED
from mdvi.planning.sweeps import unsigned

DISCOUNTS = (0.99, 0.999, 0.9999, 1 - 1e-6)
KINDS = ("ring", "back", "stride", "slipping", "walk", "drift", "into a cycle of two", "map", "permutation")
PAYS = ("every third", "one", "all", "both signs", "costs")
SOLVING = ("auto", "policy-iteration")


def moves(kind, n):
    """The transitions of a single action, as a matrix."""
    rng, here = np.random.default_rng(n), np.arange(n)
    steps = {
        "ring": [(1.0, (here + 1) % n)],
        "back": [(1.0, (here - 1) % n)],
        "stride": [(1.0, (here + 7) % n)],
        "slipping": [(0.9, (here + 1) % n), (0.1, here)],
        "walk": [(0.5, (here + 1) % n), (0.5, (here - 1) % n)],
        "drift": [(0.9, (here + 1) % n), (0.1, (here - 1) % n)],
        "into a cycle of two": [(1.0, np.append(here[1:], max(n - 2, 0)))],
        "map": [(1.0, rng.integers(n, size=n))],
        "permutation": [(1.0, rng.permutation(n))],
    }[kind]
    return sum(scipy.sparse.coo_array((np.full(n, p), (here, to)), shape=(n, n)) for p, to in steps).tocsr()


def pays(where, n):
    rng = np.random.default_rng(n)
    return {
        "every third": (np.arange(n) % 3 == 0) * 1.0,
        "one": (np.arange(n) == n // 2) * 1.0,
        "all": np.ones(n),
        "both signs": rng.normal(size=n),
        "costs": -rng.random(n),
    }[where]


def check(matrix, reward, discount, method, most, entropy=0.0, **masks):
    """Certified, or as narrow as rounding lets it be, in a few backups; and a factorisation's values are inside."""
    model = FiniteMDP(matrix, reward[:, None], discount, **masks)
    found = solve(model, entropy=entropy, method=method, tolerance=1e-6, time_limit=60)
    assert found.status in (CERTIFIED, BELOW_FLOOR), found.message
    assert found.backups <= most, (found.backups, found.trace)
    live = ~masks.get("terminal", np.zeros(len(reward), bool))
    chain = discount * matrix[live][:, live]
    factors = splu((scipy.sparse.eye_array(live.sum()) - chain).tocsc())
    right = factors.solve(reward[live])
    right += factors.solve(reward[live] + chain @ right - right)
    error = 1e-15 * np.abs(right).max() / (1 - discount)  # of the factorisation
    assert (found.lower[live] <= right + error).all()
    assert (right - error <= found.upper[live]).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("discount", DISCOUNTS)
def test_rings_and_chains_take_a_few_backups_however_they_pay(kind, discount):
    for i, where in enumerate(PAYS):
        n = (2, 100, 997, 1000, 3000)[(i + KINDS.index(kind)) % 5]
        for method in SOLVING:
            check(moves(kind, n), pays(where, n), discount, method, most=12)


@pytest.mark.parametrize("kind", KINDS)
def test_rings_and_chains_have_no_order(kind, rng):
    n = 1000
    to = rng.permutation(n)
    matrix = moves(kind, n)[to][:, to]
    for method in SOLVING:
        check(matrix, pays("every third", n)[to], 0.9999, method, most=12)


@pytest.mark.parametrize("kind", KINDS)
def test_rings_and_chains_that_may_end(kind, rng):
    n = 600
    ends = rng.random(n) < 0.01
    for method in SOLVING:
        check(moves(kind, n), pays("both signs", n), 0.9999, method, most=12, terminal=ends)
        loses = moves(kind, n).multiply(rng.choice([1.0, 0.97], n)[:, None]).tocsr()
        check(loses, pays("every third", n), 0.9999, method, most=12, substochastic=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("entropy", [0.0, 0.01])
def test_a_choice_between_two_ways_round(kind, entropy):
    """The best of two actions, which move and pay differently; methods agree."""
    n = 500
    matrix = scipy.sparse.vstack([moves(kind, n), moves("back", n)]).tocsr()
    matrix = matrix[np.arange(2 * n).reshape(2, n).T.ravel()]
    reward = np.stack([pays("every third", n), pays("both signs", n)], 1)
    found = [
        solve(FiniteMDP(matrix, reward, 0.999), entropy=entropy, tolerance=1e-5, method=m, time_limit=60)
        for m in (*SOLVING, "gauss-seidel")
    ]
    for one in found[:2]:
        assert one.status in (CERTIFIED, BELOW_FLOOR), one.message
        assert one.backups <= 40
        for other in found:
            assert (one.lower <= other.upper).all()
            assert (other.lower <= one.upper).all()


def chain_of_matrix(matrix):
    matrix = scipy.sparse.csr_array(matrix)
    return Chain(unsigned(matrix.indptr), unsigned(matrix.indices), matrix.data)


def ladder_of(chain, *rungs):
    found = ladder.Ladder(np.arange(len(chain.first) - 1, dtype=np.int32), onward=False)
    found.rungs = [getattr(found, rung) if isinstance(rung, str) else rung for rung in rungs]
    return found


def climbed(found, chain, b):
    return found.climbed(chain, b, 1e-9, lambda: None)


@pytest.mark.parametrize("rung", ["in_bands", "directly"])
@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200])
@pytest.mark.parametrize("kind", KINDS)
def test_a_solve_has_the_residual_that_was_asked_for_at_every_scale(kind, rung, size, rng):
    chain, b = chain_of_matrix(0.9999 * moves(kind, 300)), rng.normal(size=300) * size
    x = climbed(ladder_of(chain, rung), chain, b)
    assert residual(chain, b / size, x / size) <= 1e-8


def test_a_solve_of_nothing_is_nothing():
    chain = chain_of_matrix(0.9 * moves("ring", 5))
    assert climbed(ladder_of(chain, "in_bands"), chain, np.zeros(5)).tolist() == [0.0] * 5


@pytest.mark.parametrize("wrong", [None, np.nan, np.inf, 0.0, 1e9])
def test_what_does_not_solve_is_not_believed_and_comes_last_the_next_time(wrong):
    def fails(chain, b, accuracy, watch):
        return None if wrong is None else np.full(len(b), wrong)

    chain, b = chain_of_matrix(0.999 * moves("ring", 300)), pays("one", 300)
    two = ladder_of(chain, fails, "directly")
    assert residual(chain, b, climbed(two, chain, b)) < 1e-9
    assert two.rungs == [two.directly, fails]
    left = residual(chain, b, climbed(ladder_of(chain, fails), chain, b))  # swept, when nothing else is left
    assert left == pytest.approx(0.999**201, rel=1e-9)


@pytest.mark.parametrize("error", [RuntimeError("Factor is exactly singular"), MemoryError()])
def test_a_factorisation_that_fails_is_told(error, monkeypatch):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(ladder, "splu", fails)
    chain, b = chain_of_matrix(0.9 * moves("ring", 30)), pays("one", 30)
    assert ladder_of(chain).directly(chain, b, 1e-9, lambda: None) is None
    monkeypatch.setattr(ladder, "solved", lambda *_: None)
    found = solve(FiniteMDP(moves("ring", 300), pays("one", 300)[:, None], 0.99), method="policy-iteration")
    assert found.status == CERTIFIED  # by sweeps
    assert found.backups >= 3


def test_the_fill_of_a_factorisation_is_counted_and_refused_where_it_is_too_much(rng, monkeypatch):
    for n, kind in ((200, "walk"), (200, "map"), (200, "permutation"), (300, "stride")):
        matrix = scipy.sparse.csr_array(moves(kind, n) + moves("walk", n)) / 2
        chain = chain_of_matrix(matrix)
        order = banded(chain.first, chain.to)
        assert sorted(order) == list(range(n))
        fill, work = filled(chain.first, chain.to, order, 1e9)
        there = ((matrix + matrix.T).toarray() + np.eye(n))[order][:, order] > 0
        for i in range(n):  # what elimination fills, by definition
            below = np.flatnonzero(there[i + 1 :, i]) + i + 1
            there[np.ix_(below, below)] = True
        column = np.tril(there, -1).sum(0)
        assert fill == there.sum() == 2 * column.sum() + n
        assert work == column @ column
        assert filled(chain.first, chain.to, order, fill - n - 1) == (np.inf, np.inf)
    n = 60_000
    wild = scipy.sparse.csr_array((np.full(3 * n, 0.333), rng.integers(n, size=3 * n), np.arange(0, 3 * n + 1, 3)))
    chain = chain_of_matrix(wild)
    monkeypatch.setattr(ladder, "splu", None)  # not even called
    assert ladder_of(chain).directly(chain, np.ones(n), 1e-3, lambda: None) is None


@pytest.mark.parametrize("size", [99, 1000])
@pytest.mark.parametrize("stalls", [False, True])
def test_cycles_that_lead_into_cycles(size, stalls, monkeypatch):
    """Rings of so many states, each of which is left one time in ten for the next; many of them stall Krylov solves."""
    if stalls:
        monkeypatch.setattr(ladder, "solved", lambda *_: None)
    n = 20_000
    here = np.arange(n)
    onward = np.minimum(here + 1, n - 1)
    home = np.where(here % size == size - 1, here - size + 1, onward)
    steps = [(0.9, home), (0.1, onward)]
    matrix = sum(scipy.sparse.coo_array((np.full(n, p), (here, to)), shape=(n, n)) for p, to in steps).tocsr()
    check(matrix, pays("every third", n), 0.9999, "auto", most=12)


def test_a_renumbered_chain_is_the_same_chain(rng):
    matrix = scipy.sparse.csr_array(rng.random((40, 40)) * (rng.random((40, 40)) < 0.2))
    twice = Chain(unsigned(2 * matrix.indptr), unsigned(np.repeat(matrix.indices, 2)), np.repeat(matrix.data / 2, 2))
    order = rng.permutation(40).astype(np.int32)
    found = renumbered(twice, order)
    assert len(found.weight) == matrix.nnz
    np.testing.assert_allclose(matrix_of(found).toarray(), matrix.toarray()[order][:, order], rtol=1e-15)


def test_the_equations_of_every_policy_are_those_of_its_greedy_actions(rng):
    model = FiniteMDP(moves("walk", 50), pays("both signs", 50)[:, None], 0.9)
    problem = problem_of(model)
    backup = problem.backup(rng.normal(size=50))
    np.testing.assert_allclose(matrix_of(chain_of(problem, backup)).toarray(), 0.9 * moves("walk", 50).toarray())
