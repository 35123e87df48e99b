"""Average rewards: gains against exact numbers, closed forms, and what is said of models that have none."""

import collections
import signal
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from average_truth import dyadic_case, exact_gain, regularized_gain, soft_case
from mdvi import FiniteMDP, evaluate, mdp, solve, unregularized_bounds
from mdvi.mdp.kernels import MatrixFree
from mdvi.planning.certificate import certificate_arrays, optimal_actions
from mdvi.planning.relative import METHODS, Relative
from mdvi.planning.solution import BELOW_FLOOR, CERTIFIED, UNDECIDED

GOLDEN = FiniteMDP(
    np.array([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]]),
    np.zeros((2, 2)),
    1.0,
    legal=[[True, True], [True, False]],
)
CYCLE = FiniteMDP(np.array([[[0.0, 1.0]], [[1.0, 0.0]]]), [[1.0], [0.0]], 1.0)


def average(model, **options):
    return solve(model, criterion="average", **options)


def gain_of(model, policy):
    """Of each state under a policy, from the powers of half its chain and half of staying."""
    n, ends = model.states, np.asarray(model.terminal)
    chain = np.einsum("sa,sat->st", policy, np.asarray(model.dense().kernel.probability))
    chain[ends] = np.eye(n)[ends]
    chain = (np.eye(n) + chain) / 2
    for _ in range(60):
        chain = chain @ chain
        chain /= chain.sum(-1, keepdims=True)
    return chain @ np.where(ends, 0.0, (policy * model.reward).sum(-1))


def check_hard(seed):
    """Every state's gain is in its interval, and the policy attains it; returns status and kind."""
    model, kind = dyadic_case(seed)
    truth, size = exact_gain(model), model.max_abs_reward or 1.0
    method = ("auto", "auto", "policy-iteration", "value-iteration", "modified-policy-iteration")[seed % 5]
    quick = method in ("auto", "policy-iteration")
    found = average(model, tolerance=1e-9 * size, method=method, time_limit=60 if quick else 0.05)
    for s, gain in enumerate(truth):
        assert Fraction(float(found.lower[s])) <= gain <= Fraction(float(found.upper[s])), (seed, s, found)
    assert not quick or found.status in (CERTIFIED, BELOW_FLOOR), (seed, found)
    assert found.gap <= (1e-9 if found.status == CERTIFIED else 1e-7) * size or not quick, (seed, found)
    narrowest = average(model, tolerance=1e-300, time_limit=0.2)  # as narrow as rounding lets it be
    for s, gain in enumerate(truth):
        assert Fraction(float(narrowest.lower[s])) <= gain <= Fraction(float(narrowest.upper[s])), (seed, s, narrowest)
    if quick and kind != "slow":
        lost = np.array([float(gain) for gain in truth]) - gain_of(model, found.policy)
        assert lost.max() <= 2e-9 * size, (seed, lost)
    return found.status, kind, "several gains" if len(set(truth)) > 1 else "one gain"


def check_soft(seed):
    """The same with a regulariser, against numbers of 30 digits."""
    model, kl, entropy, name = soft_case(seed)
    size = (model.max_abs_reward or 1.0) + kl + entropy
    truth = regularized_gain(model, kl, entropy, name)
    found = average(model, kl=kl, entropy=entropy, regularizer=name, tolerance=1e-9 * size, time_limit=60)
    with mpmath.workdps(60):
        off = mpmath.mpf(10) ** -22 * size  # what the limit is not yet
        for s, gain in enumerate(truth):
            bounds = mpmath.mpf(float(found.lower[s])) - off, mpmath.mpf(float(found.upper[s])) + off
            assert bounds[0] <= gain <= bounds[1], (seed, s, found)
    assert found.status in ((CERTIFIED, BELOW_FLOOR, UNDECIDED) if name == "lazy" else (CERTIFIED, BELOW_FLOOR)), seed
    return found.status, name, "several gains" if max(truth) - min(truth) > 1e-12 * size else "one gain"


@pytest.mark.parametrize("block", range(4))
def test_gains_of_all_kinds_of_chains_hold_the_truth(block):
    for seed in range(10 * block, 10 * block + 10):
        check_hard(seed)


@pytest.mark.parametrize("block", range(4))
def test_gains_with_regularizers_hold_the_truth(block):
    for seed in range(10 * block, 10 * block + 10):
        check_soft(seed)


@pytest.mark.parametrize(
    ("check", "seed"),
    [
        (check_hard, 112),  # a component whose interval is not its middle
        (check_hard, 131),  # bounds from two backups: the policy is that of the lower one
        (check_hard, 136),
        (check_hard, 531),  # the way to a better class costs more than a thousand steps in it bring
        (check_soft, 50),  # a divergence to the uniform policy, of which a component keeps a part
        (check_soft, 174),
    ],
)
def test_gains_that_were_hard_to_get_right(check, seed):
    check(seed)


@pytest.mark.certify
@pytest.mark.parametrize("check", [check_hard, check_soft])
@pytest.mark.parametrize("block", range(10))
def test_gains_hold_the_truth_a_thousand_times(check, block):
    counts = collections.Counter()
    for seed in range(100 + 100 * block, 200 + 100 * block):
        counts.update(check(seed))
    undecided = counts["undecided"]
    print(
        f"100 models from number {100 + 100 * block}: every interval holds the truth; {undecided} % undecided; {counts}"
    )


def test_entropy_of_the_golden_mean_graph():
    """Paths in which no second state follows itself: their number grows as the golden ratio."""
    found = average(GOLDEN, entropy=1.0, tolerance=1e-12)
    golden = np.log((1 + np.sqrt(5)) / 2)
    assert found.status == CERTIFIED
    assert found.lower.max() <= golden <= found.upper.min()
    np.testing.assert_allclose(found.policy[0], [2 / (1 + np.sqrt(5)), 4 / (1 + np.sqrt(5)) ** 2], atol=1e-10)
    assert golden == pytest.approx(0.481211825060, abs=1e-12)


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_a_period_does_no_harm(method):
    found = average(CYCLE, tolerance=1e-12, method=method)
    assert found.status == CERTIFIED
    np.testing.assert_allclose(found.value, 0.5, atol=1e-12)
    assert found.bias[0] - found.bias[1] == pytest.approx(0.5)


def queue(capacity, arrives, serves, admits):
    """Customers in a queue, one event at a time (uniformised); a customer costs 1 per event, one admitted pays 12."""
    n = capacity + 1
    p, r = np.zeros((n, 2, n)), np.zeros((n, 2))
    for s in range(n):
        r[s] = -s
        p[s, :, max(s - 1, 0)] += serves
        p[s, 0, s] += arrives
        p[s, 1, min(s + 1, capacity)] += arrives
        r[s, 1] += 12 * arrives if s < capacity else -1
    return FiniteMDP(p, r, 1.0, legal=np.ones((n, 2), bool) if admits else np.arange(2) == np.ones((n, 1)))


def test_a_queue_has_the_mean_length_of_its_birth_and_death_chain():
    found = average(queue(30, 0.4, 0.6, admits=False), tolerance=1e-10)
    share = (2 / 3) ** np.arange(31)
    share /= share.sum()
    pays = -np.arange(31.0) + 12 * 0.4
    pays[-1] = -30 - 1
    np.testing.assert_allclose(found.value, share @ pays, atol=1e-10)
    assert share @ np.arange(31) == pytest.approx(0.4 / (0.6 - 0.4), abs=1e-3)  # λ / (μ − λ), of a queue without end


def test_admission_stops_at_the_best_threshold():
    """All customers below a length and none from it on: of these policies the best is the best of all."""
    gains = []
    for stop in range(31):
        share = np.where(np.arange(31) <= stop, (2 / 3) ** np.arange(31), 0.0)
        share /= share.sum()
        gains.append(share @ (-np.arange(31.0) + np.where(np.arange(31) < stop, 12 * 0.4, 0.0)))
    found = average(queue(30, 0.4, 0.6, admits=True), tolerance=1e-10)
    assert found.status == CERTIFIED
    np.testing.assert_allclose(found.value, max(gains), atol=1e-10)
    best = int(np.argmax(gains))
    assert 0 < best < 30
    assert found.action[: best + 1].tolist() == [1] * best + [0]


@pytest.mark.parametrize("seed", range(5))
def test_deterministic_moves_under_kl_have_the_perron_root_as_their_gain(seed):
    """e^{g/λ} is the largest eigenvalue of μ e^{r/λ}."""
    rng = np.random.default_rng(seed)
    there, reward, weight = rng.integers(0, 6, (6, 3)), rng.normal(size=(6, 3)), float(rng.uniform(0.1, 2))
    there[:, 0] = (np.arange(6) + 1) % 6
    prior, matrix = rng.dirichlet(np.ones(3), 6), np.zeros((6, 6))
    for s, a in np.ndindex(6, 3):
        matrix[s, there[s, a]] += prior[s, a] * np.exp(reward[s, a] / weight)
    root = weight * np.log(np.abs(np.linalg.eigvals(matrix)).max())
    found = average(FiniteMDP(np.eye(6)[there], reward, 1.0), kl=weight, prior=prior, tolerance=1e-11)
    assert found.status == CERTIFIED
    np.testing.assert_allclose(found.value, root, atol=1e-10)


@pytest.mark.parametrize("entropy", [0.0, 0.1])
def test_gains_are_what_discounted_values_come_to(entropy):
    model = mdp.garnet(200, 3, 4, 1 - 1e-6)
    values = solve(model, entropy=entropy, tolerance=1e-2).value
    found = average(model.replace(discount=1), entropy=entropy, tolerance=1e-9)
    np.testing.assert_allclose(1e-6 * values, found.value, atol=2e-5)
    assert np.ptp(found.value) <= 1e-9


def several():
    """From state 0, stay for .4, or go: to 1 (worth 1) or 2 (worth 0) by chance. State 3 stays for .45 or goes to 0."""
    p = np.zeros((4, 2, 4))
    p[0, 0, 0] = p[3, 0, 3] = p[3, 1, 0] = 1
    p[0, 1, 1:3] = 0.5
    p[1, :, 1] = p[2, :, 2] = 1
    return p, np.array([[0.4, 5.0], [1.0, 1.0], [0.0, 0.0], [0.45, 0.0]])


def test_gains_of_several_end_components():
    found = average(FiniteMDP(*several(), 1.0), tolerance=1e-10)
    assert found.status == CERTIFIED
    np.testing.assert_allclose(found.value, [0.5, 1.0, 0.0, 0.5], atol=1e-10)
    assert found.action[[0, 3]].tolist() == [1, 1]
    np.testing.assert_allclose(gain_of(found.mdp, found.policy), found.value, atol=1e-10)
    soft = average(FiniteMDP(*several(), 1.0), entropy=0.1, tolerance=1e-10)
    extra = 0.1 * np.log(2)  # two ways to stay in 1, and in 2; what is paid on the way does not count
    np.testing.assert_allclose(soft.value, [0.5 + extra, 1 + extra, extra, 0.5 + extra], atol=1e-10)


def test_a_soft_policy_stays_where_it_gains():
    """Leaving state 0 pays more at once, and then nothing for ever: the entropy of trying it is not worth it."""
    p = np.zeros((2, 2, 2))
    p[0, 0, 0] = p[0, 1, 1] = p[1, :, 1] = 1
    found = average(FiniteMDP(p, np.array([[1.0, 9.0], [0.0, 0.0]]), 1.0), entropy=0.1, tolerance=1e-10)
    np.testing.assert_allclose(found.value, [1.0, 0.1 * np.log(2)], atol=1e-10)
    assert found.policy.tolist() == [[1.0, 0.0], [0.5, 0.5]]
    assert found.q[0].tolist() == [1.0, -np.inf]


def test_the_policy_is_one_that_attains_what_is_proved(monkeypatch):
    """However bad the last v was."""
    model = mdp.garnet(50, 3, 4, 0.9).replace(discount=1)
    swept = Relative._swept

    def noisy(search, backup, watch):
        v = swept(search, backup, watch)
        return v if len(search.proof.trace) < 6 else np.random.default_rng(0).normal(size=50)

    monkeypatch.setattr(Relative, "_swept", noisy)
    found = average(model, tolerance=1e-14, method="modified-policy-iteration", time_limit=1)
    assert gain_of(model, found.policy).min() >= found.lower.max() - 1e-12


def test_rows_count_as_if_they_summed_to_1():
    """Up to 10⁻¹⁰ may be missing, which is as much as it is times the relative values."""
    n, missing = 200, 5e-11
    p, r = np.zeros((n, 1, n)), np.zeros((n, 1))
    for s in range(n):
        p[s, 0, max(s - 1, 0)] += 0.5
        p[s, 0, min(s + 1, n - 1)] += 0.5 - (missing if s == n - 1 else 0.0)
    r[-1] = 1.0
    found = average(FiniteMDP(p, r, 1.0), tolerance=1e-300)
    last = p[-1, 0, -2:] / p[-1, 0].sum()  # the last row as it counts; elsewhere the chain is even
    share = np.r_[np.full(n - 1, 1.0), 0.5 / last[0]]
    assert found.lower.max() <= share[-1] / share.sum() <= found.upper.min()
    assert found.gap >= missing * np.ptp(found.bias) / 2


def test_a_terminal_state_is_worth_0_for_ever():
    found = average(FiniteMDP(*several(), 1.0, terminal=[False, False, True, False]), tolerance=1e-10)
    np.testing.assert_allclose(found.value, [0.5, 1.0, 0.0, 0.5], atol=1e-10)
    assert found.value[2] == 0
    ending = average(mdp.grid(4, 4, discount=1.0))
    assert ending.status == CERTIFIED
    costly = FiniteMDP(np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]]), [[-1.0, -9.0], [0, 0]], 1.0,
                       terminal=[False, True])  # fmt: skip
    np.testing.assert_allclose(average(costly).value, 0.0, atol=1e-12)
    assert average(costly).action[0] == 1


def test_what_is_long_on_the_way_is_solved_by_policies():
    """A ring of 3 000 states that is left once in 100 steps: sweeps would take millions."""
    n = 3000
    p = np.zeros((n, 1, 2)), np.zeros((n, 1, 2))
    place = np.arange(n)
    p[0][:, 0, 0], p[0][:, 0, 1] = place, (place + 1) % n
    p[1][:, 0] = [0.99, 0.01]
    found = average(FiniteMDP((p[0].astype(int), p[1]), (place == 0).astype(float)[:, None], 1.0), tolerance=1e-9)
    assert found.status == CERTIFIED
    assert found.backups < 30
    np.testing.assert_allclose(found.value, 1 / n, atol=1e-9)


def test_starting_from_the_bias_takes_one_backup():
    model = mdp.garnet(300, 3, 4, 0.9).replace(discount=1)
    first = average(model, tolerance=1e-8)
    assert average(model, tolerance=1e-7, start=first).backups == 1 < first.backups


@pytest.mark.parametrize("entropy", [0.0, 0.1])
def test_stopping_keeps_what_is_proved(entropy):
    model = mdp.garnet(300, 3, 4, 0.9).replace(discount=1)
    best = average(model, entropy=entropy, tolerance=1e-9)

    def stop(backups, gap):
        if backups >= 3:
            signal.raise_signal(signal.SIGINT)

    found = average(model, entropy=entropy, tolerance=1e-9, progress=stop)
    assert found.status == "interrupted"
    assert found.backups == 3
    assert (found.lower <= best.upper).all()
    assert (best.lower <= found.upper).all()
    assert average(model, entropy=entropy, tolerance=1e-12, time_limit=1e-9).status == "time limit"
    several_gains = average(FiniteMDP(*several(), 1.0), entropy=entropy, time_limit=1e-9)
    assert several_gains.status == "time limit"
    gains = np.array([0.5, 1, 0, 0.5]) + entropy * np.log(2)
    assert (several_gains.lower <= gains).all()
    assert (gains <= several_gains.upper).all()


def test_a_policy_has_a_gain_too():
    model = mdp.garnet(50, 3, 4, 0.9).replace(discount=1)
    best = average(model, tolerance=1e-9)
    own = evaluate(model, best, criterion="average", tolerance=1e-9)
    np.testing.assert_allclose(own.value, best.value, atol=3e-9)
    worse = evaluate(model, np.full((50, 3), 1 / 3), criterion="average", tolerance=1e-9)
    np.testing.assert_allclose(worse.value, gain_of(model, np.full((50, 3), 1 / 3)), atol=1e-8)
    assert worse.upper.max() < best.lower.min()


def test_a_matrix_free_model_is_iterated_on():
    rows = np.asarray(mdp.garnet(40, 2, 3, 0.9).dense().kernel.probability)
    reward = np.random.default_rng(0).normal(size=(40, 2))
    free = MatrixFree(lambda v: rows @ v, (40, 2), 40)
    found = average(FiniteMDP(free, reward, 1.0), tolerance=1e-8)
    assert found.status == CERTIFIED
    np.testing.assert_allclose(found.value, average(FiniteMDP(rows, reward, 1.0), tolerance=1e-8).value, atol=2e-8)
    with pytest.raises(ValueError, match="average needs the rows of P of a model with terminal states"):
        average(FiniteMDP(free, reward, 1.0, terminal=np.arange(40) == 3))


def test_a_default_policy_that_leaves_a_component_is_left_undecided():
    found = average(FiniteMDP(*several(), 1.0), entropy=0.1, regularizer="lazy")
    assert found.status == UNDECIDED
    assert "state 0 has actions that leave one: lazy" in found.message
    assert found.lower.min() >= -0.2
    assert found.upper.max() <= 5.2
    alone = average(FiniteMDP(several()[0][1:3, :, 1:3], several()[1][1:3], 1.0), entropy=0.1, regularizer="lazy")
    np.testing.assert_allclose(alone.value, [1.0, 0.0], atol=1e-6)  # nothing leaves these


def test_a_solution_says_that_values_are_gains():
    found = average(CYCLE)
    assert "gain in [0.5, 0.5]" in repr(found)
    assert found.least_error == 0
    assert optimal_actions(found).all()
    with pytest.raises(ValueError, match="average rewards have no certificate"):
        certificate_arrays(CYCLE, found, 0.0, 0.0, None)
    with pytest.raises(ValueError, match="average rewards"):
        unregularized_bounds(found)
    assert solve(mdp.chain(5)).bias is None


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"discount": 0.9}, {}, r"average has no discount, and the model has 0\.9; take model.replace\(discount=1\)"),
        ({}, {"method": "gauss-seidel"}, "gauss-seidel is not for criterion='average'; take auto, value-iteration"),
        ({"reward": [[1e301], [0.0]]}, {}, "average rewards overflow; scale the rewards down"),
    ],
)
def test_what_has_no_average_is_refused_by_name(change, options, message):
    with pytest.raises(ValueError, match=message):
        average(CYCLE.replace(**change), **options)


def test_rows_that_end_episodes_are_refused_with_the_way_out():
    leaky = FiniteMDP(np.array([[[0.5, 0.25]], [[1.0, 0.0]]]), [[1.0], [0.0]], 1.0, substochastic=True)
    message = r"state 0, action 0 sums to 0\.75; let the rest lead to a terminal state.*criterion='total'"
    with pytest.raises(ValueError, match=message):
        average(leaky)
    with pytest.raises(ValueError, match="expected 'discounted', 'total' or 'average', got 'mean'"):
        solve(CYCLE, criterion="mean")
    with pytest.raises(ValueError, match="criterion='average' if they never end"):
        solve(CYCLE)
