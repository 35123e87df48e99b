"""Total rewards at discount 1: known answers, counter-examples, and intervals that hold the exact value."""

import collections
import itertools
import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest

import mdvi
from mdvi import mdp, solve
from mdvi.mdp import FiniteMDP
from mdvi.planning.methods import METHODS

INFINITE, UNDEFINED = math.inf, None


def undiscounted(model):
    """The same model with discount 1."""
    return model.changed(discount=np.float64(1.0))


def random_model(seed):
    """A model of one to five states with dyadic probabilities: loops that pay, cost, or do neither, ends and traps."""
    rng = np.random.default_rng([7, seed])
    states, actions = int(rng.integers(1, 6)), int(rng.integers(1, 4))
    p = np.zeros((states + 1, actions, states + 1))
    sharp = rng.random() < 0.5
    for s, a in np.ndindex(states, actions):
        targets = rng.choice(states + 1, 1 if sharp else min(int(rng.integers(1, 4)), states + 1), replace=False)
        cuts = {1: [1.0], 2: [0.25, 0.75], 3: [0.5, 0.25, 0.25]}[len(targets)]
        p[s, a, targets] = rng.permutation(cuts)
    kind = rng.choice(["costs", "mixed", "free", "prize", "rare"])
    r = rng.integers(-4, 5, (states + 1, actions)) / 4
    r = {
        "costs": -np.abs(r) - 0.25,
        "mixed": r,
        "free": np.where(rng.random(r.shape) < 0.6, 0.0, r),
        "prize": np.where(p[..., -1] > 0, np.abs(r) + 0.25, 0.0),
        "rare": np.where(rng.random(r.shape) < 0.8, -np.abs(r), r),
    }[str(kind)]
    legal = rng.random(r.shape) < 0.8
    legal[np.arange(states + 1), rng.integers(actions, size=states + 1)] = True
    return FiniteMDP(p, r, 1.0, terminal=np.arange(states + 1) == states, legal=legal)


def values_of_policy(model, choice):
    """The total reward of a deterministic policy from each state: a Fraction, ±∞, or None where it has no meaning."""
    n = model.states
    p = np.asarray(model.kernel.dense().probability)
    step = [
        {} if model.terminal[s] else {t: Fraction(float(p[s, choice[s], t])) for t in np.flatnonzero(p[s, choice[s]])}
        for s in range(n)
    ]
    gain = [Fraction(0) if model.terminal[s] else Fraction(float(model.reward[s, choice[s]])) for s in range(n)]
    reach = np.eye(n, dtype=bool)
    for s in range(n):
        reach[s, list(step[s])] = True
    for k in range(n):
        reach |= reach[:, k][:, None] & reach[k]
    recurrent = [all(reach[t, s] for t in range(n) if reach[s, t]) for s in range(n)]
    worth = [Fraction(0)] * n  # of a class for good
    for s in range(n):
        if recurrent[s] and not model.terminal[s]:
            members = [t for t in range(n) if reach[s, t]]
            share = stationary(members, step)
            mean = sum(x * gain[t] for x, t in zip(share, members, strict=True))
            worth[s] = (
                INFINITE
                if mean > 0
                else -INFINITE
                if mean < 0
                else UNDEFINED
                if any(gain[t] for t in members)
                else Fraction(0)
            )
    found = []
    for s in range(n):
        ends = {worth[t] for t in range(n) if reach[s, t] and recurrent[t]}
        if UNDEFINED in ends or {INFINITE, -INFINITE} <= ends:
            found.append(UNDEFINED)
        elif ends & {INFINITE, -INFINITE}:
            found.append((ends & {INFINITE, -INFINITE}).pop())
        else:
            found.append(total(s, n, step, gain, recurrent, reach))
    return found


def solved(matrix, right):
    """Gaussian elimination in fractions."""
    n = len(matrix)
    rows = [[*row, b] for row, b in zip(matrix, right, strict=True)]
    for i in range(n):
        pivot = next(k for k in range(i, n) if rows[k][i] != 0)
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for k in range(n):
            if k != i and rows[k][i] != 0:
                rows[k] = [x - rows[k][i] * y for x, y in zip(rows[k], rows[i], strict=True)]
    return [row[n] for row in rows]


def stationary(members, step):
    """The stationary distribution of a recurrent class."""
    n = len(members)
    matrix = [[step[t].get(s, Fraction(0)) - (s == t) for t in members] for s in members]
    matrix[-1] = [Fraction(1)] * n
    return solved(matrix, [Fraction(0)] * (n - 1) + [Fraction(1)])


def total(state, n, step, gain, recurrent, reach):
    """The total reward from a state all of whose recurrent classes are worth 0."""
    inner = [t for t in range(n) if reach[state, t] and not recurrent[t]]
    if not inner:
        return Fraction(0)
    matrix = [[(s == t) - step[s].get(t, Fraction(0)) for t in inner] for s in inner]
    return solved(matrix, [gain[t] for t in inner])[inner.index(state)] if state in inner else Fraction(0)


def exact_total(model):
    """Max over deterministic policies of the total reward, state by state; None where one of them has no value."""
    choices = [np.flatnonzero(row) if not end else [0] for row, end in zip(model.legal, model.terminal, strict=True)]
    best = [-INFINITE] * model.states
    for choice in itertools.product(*choices):
        for s, v in enumerate(values_of_policy(model, choice)):
            best[s] = UNDEFINED if v is UNDEFINED or best[s] is UNDEFINED else max(best[s], v)
    return best


def without_a_choice(model):
    """States that go round for nothing for ever, with one legal action each: no regulariser counts there."""
    p, legal = np.asarray(model.kernel.dense().probability), np.asarray(model.legal)
    chain = p[np.arange(model.states), legal.argmax(-1)]
    free = (legal.sum(-1) == 1) & (np.where(legal, model.reward, 0).sum(-1) == 0) & ~np.asarray(model.terminal)
    while True:
        left = free & ~(chain[:, ~free] > 0).any(-1)
        if (left == free).all():
            return free
        free = left


def exact_soft(model, kl, entropy):
    """V* with a KL to the uniform policy and entropy, in 50 digits; None where some state cannot reach an end.

    Newton's method from the uniform policy, whose values it can only raise; infinite where they pass every bound.
    """
    p, t = np.asarray(model.kernel.dense().probability), mpmath.mpf(kl) + mpmath.mpf(entropy)
    over = np.asarray(model.terminal) | without_a_choice(model)
    live = np.flatnonzero(~over)
    if not len(live):
        return [mpmath.mpf(0)] * model.states
    acts = {s: np.flatnonzero(model.legal[s]) for s in live}
    gain = {
        (s, a): mpmath.mpf(float(model.reward[s, a])) - mpmath.mpf(kl) * mpmath.log(len(acts[s]))
        for s in live
        for a in acts[s]
    }
    chance = {(s, a): mpmath.mpf(1) / len(acts[s]) for s in live for a in acts[s]}
    v = [mpmath.mpf(0)] * model.states
    place = {s: i for i, s in enumerate(live)}
    for turn in range(300):
        matrix, right = mpmath.eye(len(live)), mpmath.matrix(len(live), 1)
        for s in live:
            for a in acts[s]:
                right[place[s]] += chance[s, a] * (gain[s, a] - t * mpmath.log(chance[s, a]))
                for u in np.flatnonzero(p[s, a]):
                    if u in place:
                        matrix[place[s], place[u]] -= chance[s, a] * mpmath.mpf(float(p[s, a, u]))
        try:
            x = mpmath.lu_solve(matrix, right)
        except (ZeroDivisionError, TypeError):  # mpmath finds no pivot
            return None
        new = [x[place[s]] if s in place else mpmath.mpf(0) for s in range(model.states)]
        if turn and max(abs(b - a) for a, b in zip(v, new, strict=True)) < mpmath.mpf(10) ** -40:
            return new
        if turn and min(b - a for a, b in zip(v, new, strict=True)) < -(mpmath.mpf(10) ** -30) * (
            1 + max(map(abs, new))
        ):
            return INFINITE  # values that fall are of policies that do not end
        if max(map(abs, new)) > 10**9:
            return INFINITE
        v = new
        for s in live:
            q = {
                a: gain[s, a] + sum(mpmath.mpf(float(p[s, a, u])) * v[u] for u in np.flatnonzero(p[s, a]))
                for a in acts[s]
            }
            top = max(q.values())
            weight = {a: mpmath.exp((q[a] - top) / t) for a in acts[s]}
            for a in acts[s]:
                chance[s, a] = weight[a] / sum(weight.values())
    return INFINITE


def check_soft(seed):
    """What a solve with KL and entropy says is true; its status."""
    model, rng = random_model(seed), np.random.default_rng([8, seed])
    kl, entropy = [(0.0, 0.05), (0.0, 0.5), (0.5, 0.0), (0.2, 0.1), (0.0, 1e-3)][int(rng.integers(5))]
    found = solve(model, kl=kl, entropy=entropy, criterion="total", method=("auto", *METHODS)[seed % 5], time_limit=20)
    with mpmath.workdps(60):
        truth = exact_soft(model, kl, entropy)
        if truth is None or truth is INFINITE:
            assert found.status in ("unbounded", "undecided"), (seed, found)
        else:
            assert found.status != "unbounded", (seed, found, truth)
            for s, v in enumerate(truth):
                assert found.lower[s] <= v <= found.upper[s], (seed, s, v, found)
    return found.status, truth is INFINITE or truth is None


def check(seed):
    """What a solve says of a random model is true; whether it says anything."""
    model, truth = random_model(seed), exact_total(random_model(seed))
    method = ("auto", *METHODS)[seed % 5]
    found = solve(model, method=method, criterion="total", time_limit=20)
    known = [v is not UNDEFINED and math.isfinite(v) for v in truth]
    if found.status == "unbounded":
        assert len(found.component)
        for s in found.component:
            assert truth[s] is UNDEFINED or truth[s] == found.value[s], (seed, s, truth, found)
    for s, v in enumerate(truth):
        if v is UNDEFINED:
            continue
        lower, upper = (x if math.isinf(x) else Fraction(float(x)) for x in (found.lower[s], found.upper[s]))
        assert lower <= v <= upper, (seed, s, v, found.lower[s], found.upper[s], found)
    if found.status == "certified":
        assert all(v is UNDEFINED or math.isfinite(v) for v in truth), (seed, truth, found)
        assert found.gap <= 1e-6
        if UNDEFINED not in truth:
            policy = [int(a) for a in found.action]
            attained = values_of_policy(model, policy)
            assert all(abs(float(x - v)) <= 1e-6 for x, v in zip(attained, truth, strict=True)), (seed, attained, truth)
    return found.status, all(known)


@pytest.mark.parametrize("block", range(4))
def test_what_is_said_of_total_rewards_is_true(block):
    for seed in range(20 * block, 20 * block + 20):
        check(seed)
    for seed in range(6 * block, 6 * block + 6):
        check_soft(seed)


@pytest.mark.certify
@pytest.mark.parametrize("block", range(50))
def test_what_is_said_of_total_rewards_is_true_thousands_of_times(block):
    counts = collections.Counter()
    for seed in range(80 * block, 80 * block + 80):
        counts[check(seed)[0]] += 1
    for seed in range(20 * block, 20 * block + 20):
        counts[check_soft(seed)[0] + ", soft"] += 1
    print(f"100 models from number {100 * block}, at discount 1: nothing that is false; {dict(sorted(counts.items()))}")


def grid_world():
    """The 4 × 4 grid of Sutton and Barto: two ends, a cost of 1 for each step, walls that stop it."""
    p = np.zeros((16, 4, 16))
    for s, (a, move) in itertools.product(range(16), enumerate(((0, 1), (0, -1), (1, 0), (-1, 0)))):
        y, x = s // 4 + move[0], s % 4 + move[1]
        p[s, a, 4 * y + x if 0 <= y < 4 and 0 <= x < 4 else s] = 1.0
    return FiniteMDP(p, -np.ones((16, 4)), 1.0, terminal=np.isin(np.arange(16), [0, 15]))


def loops(rewards, ends=True):
    """One state with a loop for each reward but the last, which is for the way out."""
    p = np.zeros((2, len(rewards), 2))
    p[0, :-1, 0] = 1.0
    p[0, -1, 1 if ends else 0] = 1.0
    return FiniteMDP(p, np.array([rewards, [0.0] * len(rewards)]), 1.0, terminal=[False, True])


def test_known_values():
    r = 0.45 / 0.55
    lake4 = mdp.from_gymnasium("FrozenLake-v1", discount=0.9)
    lake8 = mdp.from_gymnasium("FrozenLake-v1", discount=0.9, map_name="8x8")
    for model, state, value in (
        (undiscounted(mdp.gambler(100, 0.4)), 50, 0.4),
        (undiscounted(mdp.gambler(100, 0.55)), 50, (1 - r**50) / (1 - r**100)),
        (undiscounted(lake4), 0, 14 / 17),
        (undiscounted(lake8), 0, 1.0),
        (grid_world(), 6, -4.0 + 1.0),
    ):
        found = solve(model, tolerance=1e-7)
        assert found.status == "certified"
        assert found.lower[state] <= value <= found.upper[state]
        assert found.value[state] == pytest.approx(value, abs=1e-7)


def test_known_values_with_entropy_and_kl():
    assert solve(loops([-1.0, -1.0, 0.0]), entropy=1.4, tolerance=1e-9).value[0] == pytest.approx(5.414092, abs=1e-6)
    p, r, ends = np.zeros((13, 2, 13)), np.full((13, 2), -0.3), np.isin(np.arange(13), [0, 12])
    p[np.arange(1, 12), 0, np.arange(11)] = p[np.arange(1, 12), 1, np.arange(2, 13)] = 1.0
    walk = FiniteMDP(p, r, 1.0, terminal=ends)
    theta = math.acosh(math.exp(0.3 / 0.5))
    exact = 0.5 * np.log(np.cosh(theta * (np.arange(13) - 6)) / math.cosh(6 * theta))
    found = solve(walk, kl=0.5, tolerance=1e-9)
    assert found.status == "certified"
    assert (found.lower[~ends] <= exact[~ends] + 1e-12).all()
    assert (exact[~ends] <= found.upper[~ends] + 1e-12).all()
    assert found.value[6] == pytest.approx(-3.276106, abs=1e-6)


def test_what_has_no_finite_value_says_so_and_why():
    for model, weights, value in (
        (loops([-1.0, -1.0, 0.0]), {"entropy": 1.5}, math.inf),
        (loops([0.5, 0.0]), {}, math.inf),
        (loops([-1.0, -1.0], ends=False), {"criterion": "total"}, -math.inf),
    ):
        found = solve(model, **weights)
        assert found.status == "unbounded"
        assert found.component.tolist() == [0]
        assert found.value[0] == value
        assert not np.isnan(found.value).any()
        assert "for ever" in found.message
    p = np.zeros((3, 2, 3))
    p[0, 0, 1] = p[1, 0, 0] = p[0, 1, 2] = p[1, 1, 2] = 1.0
    found = solve(FiniteMDP(p, np.array([[1.0, 0], [-1, 0], [0, 0]]), 1.0, terminal=[False, False, True]))
    assert found.status == "undecided"  # rewards of 1 and −1 in turn have no total
    assert found.message.startswith("no proof was found")


def test_free_loops_do_not_keep_a_policy_from_its_goal():
    """Value iteration from above stops at 1 on the lake; its policy has to leave where it could slide for ever."""
    lake = undiscounted(mdp.from_gymnasium("FrozenLake-v1", discount=0.9))
    found = solve(lake)
    for policy in (found.policy, np.eye(lake.actions)[found.action]):
        policy = np.where(lake.live, policy, 0.0)
        chain = np.einsum("sa,sat->st", policy, lake.kernel.dense().probability) * ~np.asarray(lake.terminal)
        v = np.linalg.solve(np.eye(lake.states) - chain, (policy * lake.reward).sum(-1))
        assert v[0] == pytest.approx(14 / 17, abs=1e-9)
    p = np.zeros((3, 2, 3))
    p[0, 0, 0] = p[0, 1, 2] = p[1, 0, 0] = p[1, 1, 2] = 1.0
    staying = solve(FiniteMDP(p, np.array([[0.0, -0.5], [-1, -0.2], [0, 0]]), 1.0, terminal=[False, False, True]))
    assert staying.status == "certified"
    np.testing.assert_allclose(staying.value, [0, -0.2, 0], atol=1e-6)
    assert staying.action[:2].tolist() == [0, 1]


def test_every_regulariser_has_total_rewards():
    for name in ("tsallis:2", "tsallis:1.5", "lazy"):
        found = solve(grid_world(), entropy=0.1, regularizer=name, tolerance=1e-9)
        assert found.status == "certified", name
        close = solve(grid_world().changed(discount=np.float64(0.999999)), entropy=0.1, regularizer=name)
        np.testing.assert_allclose(found.value, close.value, atol=1e-4)


def test_criteria_that_do_not_fit_are_refused():
    model = grid_world()
    for given, arguments, message in (
        (model, {"criterion": "mean"}, "criterion: expected 'discounted', 'total' or 'average', got 'mean'"),
        (model, {"criterion": "discounted"}, "criterion: discounted needs a discount below 1"),
        (mdp.garnet(), {"criterion": "total"}, "criterion: total needs discount 1, got 0.9"),
        (undiscounted(mdp.garnet()), {}, "discount: at 1 episodes have to end somewhere"),
    ):
        with pytest.raises(ValueError, match=message):
            solve(given, **arguments)


def test_policies_are_valued_by_their_total_reward():
    model = grid_world()
    uniform = np.where(model.live, 0.25, 0.0) + np.where(model.live, 0.0, 0.25)
    found = mdvi.evaluate(model, uniform)
    assert found.status == "certified"
    assert found.value[[1, 2, 3, 5]] == pytest.approx([-14, -20, -22, -18], abs=1e-6)  # Sutton and Barto, figure 4.1
    best = mdvi.evaluate(model, solve(model))
    np.testing.assert_allclose(best.value, solve(model).value, atol=1e-6)
    lost = mdvi.certify(model, uniform)
    assert lost.status == "certified"
    assert lost.gap == pytest.approx(19, abs=1e-5)
    stuck = np.zeros((16, 4))
    stuck[:, 0] = 1.0
    endless = mdvi.evaluate(model, stuck)
    assert endless.status == "unbounded"
    assert endless.value[4] == -math.inf
    assert mdvi.certify(model, stuck).gap == math.inf


def test_infinite_values_have_no_policy():
    found = solve(loops([0.5, 0.0]))
    for ask in (lambda: found.policy, lambda: found.q, found.plot):
        with pytest.raises(ValueError, match="values are infinite"):
            ask()
    assert "inf" in repr(found)


def test_a_start_and_a_time_limit():
    model = grid_world()
    assert solve(model, start=solve(model)).status == "certified"
    assert solve(model, start=np.full(16, -1e6)).status == "certified"
    stopped = solve(undiscounted(mdp.gambler(1000, 0.4)), time_limit=1e-9)
    assert stopped.status == "time limit"
    assert (stopped.lower <= 0.4).all()


def test_a_divergence_to_the_uniform_policy_over_all_actions_is_paid_inside_a_loop():
    """A loop that earns less than the KL of staying in it: with the KL to the loop's own actions it would pay."""
    for reward, finite in ((0.005, True), (0.02, False)):
        model = loops([reward, -1.0, -1.0, 0.0])
        for name in ("kl-to-uniform", "divergence:1"):
            found = solve(model, entropy=0.01, regularizer=name)
            assert (found.status == "certified") == finite, (reward, name, found)
        assert (solve(model, kl=0.01).status == "certified") == finite
    assert solve(loops([1.0, 1.0, 0.0]), entropy=2.0, regularizer="divergence:2").status == "unbounded"
