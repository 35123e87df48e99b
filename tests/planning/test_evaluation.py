"""Values and occupancies of policies against numbers of 60 digits, episodes against both, and warm starts."""

import mpmath
import numpy as np
import pytest

import mdvi
from exact import exact_value, exact_value_of_policy
from mdvi import FiniteMDP, mdp, solve
from mdvi.planning.certificate import certify
from mdvi.planning.evaluation import problem_of_policy
from mdvi.planning.occupancy import Flow
from models import random_case, regularized_case, signed_garnet


def random_policy(model, rng):
    """Probabilities over legal actions, of which some are zero."""
    weights = np.where(model.legal, rng.dirichlet(np.ones(model.actions), model.states), 0.0)
    if rng.random() < 0.3:
        weights = np.where(weights == weights.max(-1, keepdims=True), weights, 0.0)
    return weights / weights.sum(-1, keepdims=True)


def exact(model, pi, kl=0.0, entropy=0.0, prior=None):
    """I − γ P_π and ⟨π, r⟩ − λ KL(π‖μ) + τ H(π), without terminal states, as 60-digit numbers."""
    p, gamma = model.dense().kernel.probability, mpmath.mpf(float(model.discount))
    live = [s for s in range(model.states) if not model.terminal[s]]
    system, gain = mpmath.eye(len(live)), mpmath.matrix(len(live), 1)
    for i, s in enumerate(live):
        total = mpmath.fsum(map(mpmath.mpf, pi[s].tolist()))
        for a in np.flatnonzero(pi[s]):
            chance = mpmath.mpf(float(pi[s, a])) / total
            mu = 1 / mpmath.mpf(int(model.legal[s].sum())) if prior is None else mpmath.mpf(float(prior[s, a]))
            bonus = -mpmath.mpf(kl) * mpmath.log(chance / mu) - mpmath.mpf(entropy) * mpmath.log(chance)
            gain[i] += chance * (mpmath.mpf(float(model.reward[s, a])) + bonus)
            for j, t in enumerate(live):
                system[i, j] -= gamma * chance * mpmath.mpf(float(p[s, a, t]))
    return live, system, gain


@pytest.mark.parametrize("seed", range(40))
def test_intervals_and_errors_hold_the_exact_numbers(seed):
    model, kl, entropy, prior = random_case(1000 + seed)
    if model.terminal.all():
        return
    rng = np.random.default_rng(seed)
    pi = random_policy(model, rng)
    found = mdvi.evaluate(model, pi, kl, entropy, prior)
    visits = mdvi.occupancy(model, pi, normalize=seed % 2 == 0)
    with mpmath.workdps(60):
        live, system, gain = exact(model, pi, kl, entropy, prior)
        value = mpmath.lu_solve(system, gain)
        rho = mpmath.matrix([mpmath.mpf(1) / len(live)] * len(live))
        flow = mpmath.lu_solve(system.T, rho) * (1 - float(model.discount) if seed % 2 == 0 else 1)
        for i, s in enumerate(live):
            assert found.lower[s] <= value[i] <= found.upper[s]
        distance = mpmath.fsum(abs(flow[i] - float(visits.state[s])) for i, s in enumerate(live))
        assert distance <= visits.error
    assert not visits.state[model.terminal].any()
    assert visits.status != "certified" or visits.error <= 1e-6
    assert found.gap <= 1e-6 or found.status != "certified"
    np.testing.assert_allclose(visits.state_action.sum(-1), visits.state, rtol=1e-12)
    assert (visits.state_action[~model.legal] == 0).all()


@pytest.mark.parametrize("block", range(4))
def test_values_of_policies_hold_the_exact_numbers_with_every_regularizer(block):
    """Also of sparse policies, and of probabilities next to nothing."""
    for seed in range(15 * block, 15 * block + 15):
        model, kl, entropy, prior, name, reference = regularized_case(seed)
        rng = np.random.default_rng(seed)
        pi = random_policy(model, rng)
        if rng.random() < 0.4:
            rare = np.where(model.legal, pi * 10.0 ** -rng.integers(0, 200, pi.shape), 0.0)
            pi = rare / rare.sum(-1, keepdims=True)
        arguments = {"regularizer": name, "reference": reference, "tolerance": 1e-300}
        found = mdvi.evaluate(model, pi, kl, entropy, prior, **arguments)
        exact = exact_value_of_policy(model, pi, kl, entropy, prior, name, reference)
        for value, lower, upper in zip(exact, found.lower, found.upper, strict=True):
            assert mpmath.mpf(float(lower)) <= value <= mpmath.mpf(float(upper)), (seed, float(value), lower, upper)
        best = exact_value(model, kl, entropy, prior, name, reference)
        loss = max(0, *(high - low for high, low in zip(best, exact, strict=True)))
        proved = certify(model, pi, kl, entropy, prior, **arguments)
        assert proved.least_gap <= loss <= proved.gap, (seed, float(loss), proved)


@pytest.mark.parametrize("name", ["tsallis:2", "divergence:2", "lazy", "tsallis:0.5"])
def test_the_regularized_value_of_the_optimum_is_the_regularized_optimum(name):
    model = signed_garnet(8)
    rho = np.random.default_rng(4).dirichlet(np.ones(4), 12)
    for reference in (None, None if name == "tsallis:0.5" else rho):
        best = solve(model, entropy=0.3, regularizer=name, reference=reference, tolerance=1e-9)
        found = certify(model, best, entropy=0.3, regularizer=name, reference=reference, tolerance=1e-9)
        np.testing.assert_allclose((found.lower + found.upper) / 2, best.value, atol=1e-7)
        assert found.gap <= 1e-7
        assert certify(model, best.policy, tolerance=1e-9).gap > 1e-4  # for which there is no price


def test_certify_and_evaluate_prove_the_same_interval():
    model = signed_garnet(3)
    pi = random_policy(model, np.random.default_rng(0))
    one, other = mdvi.evaluate(model, pi, 0.1, 0.2), certify(model, pi, 0.1, 0.2)
    np.testing.assert_array_equal(one.lower, other.lower)
    np.testing.assert_array_equal(one.upper, other.upper)


def test_what_stands_for_a_policy():
    model = signed_garnet(5)
    named = model.replace(names=mdp.Names(tuple("abcdefghijkl"), ("n", "e", "s", "w")))
    best = solve(named, tolerance=1e-9)
    chosen = {named.names.state(s): named.names.action(a) for s, a in enumerate(best.action)}
    want = mdvi.evaluate(named, best.policy).value
    np.testing.assert_allclose(want, best.value, atol=1e-6)
    for policy in (best, best.action, chosen, {s: int(a) for s, a in enumerate(best.action)}):
        np.testing.assert_allclose(mdvi.evaluate(named, policy).value, want, atol=1e-9)
    for policy, message in (
        (dict(list(chosen.items())[:-1]), "policy: state 'l' has no action"),
        (chosen | {"m": "n"}, "policy: state: unknown name 'm'"),
        (chosen | {"a": "N"}, "policy: action: unknown name 'N'; did you mean 'n'"),
        (best.action.astype(float), "policy: expected probabilities of shape"),
        (np.ones((12, 4)), "policy: state 0 has probabilities that sum to 4"),
    ):
        with pytest.raises(ValueError, match=message):
            mdvi.evaluate(named, policy)


def test_the_value_of_the_soft_optimum_is_the_soft_value():
    model = signed_garnet(7)
    best = solve(model, kl=0.3, entropy=0.2, tolerance=1e-9)
    found = mdvi.evaluate(model, best, kl=0.3, entropy=0.2)
    np.testing.assert_allclose(found.value, best.value, atol=1e-6)
    assert (mdvi.evaluate(model, best).lower <= solve(model).upper).all()
    np.testing.assert_allclose((found.policy * mdvi.evaluate(model, best).q).sum(-1), mdvi.evaluate(model, best).value,
                               atol=1e-6)  # fmt: skip


def test_occupancies_turn_rewards_into_returns_from_any_start():
    model = mdp.from_gymnasium("FrozenLake-v1").replace(names=mdp.Names(tuple(f"cell {i}" for i in range(17))))
    pi = random_policy(model, np.random.default_rng(1))
    value = mdvi.evaluate(model, pi, tolerance=1e-9).value
    rho = np.eye(17)[8] * 0.25 + np.eye(17)[1] * 0.75
    for start, worth in (
        (0, value[0]),
        ("cell 4", value[4]),
        (["cell 0", "cell 4"], (value[0] + value[4]) / 2),
        (None, value[:16].mean()),
        (rho, value @ rho),
    ):
        visits = mdvi.occupancy(model, pi, start, tolerance=1e-9)
        assert (visits.state_action * model.reward).sum() == pytest.approx(worth, abs=1e-8)
    endless = mdp.garnet(states=20, discount=0.95)
    assert mdvi.occupancy(endless, [0] * 20).state.sum() == pytest.approx(20)
    assert mdvi.occupancy(endless, [0] * 20, normalize=True).state.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (16, "start: state 16 is terminal"),
        (99, r"start: 99 is outside 0…16"),
        ("goal", r"start: unknown name 'goal'; known are 0…16"),
        (True, "start: unknown name True"),
        ([], "start: expected at least one state"),
        (np.full(17, 0.5), "start: expected probabilities"),
        (np.array([0.5, 0.5]), "start: expected probabilities"),
    ],
)
def test_a_start_that_is_none_is_refused(start, message):
    model = mdp.from_gymnasium("FrozenLake-v1")
    for use in (mdvi.occupancy, mdvi.simulate):
        with pytest.raises(ValueError, match=message):
            use(model, np.zeros(17, int), start=start)


def test_occupancies_where_no_linear_solver_helps(monkeypatch):
    """Sweeps alone come as close, and what is unreachable by rounding is a status."""
    model = mdp.chain(states=50, discount=0.9)
    monkeypatch.setattr(Flow, "_solved", lambda self, watch: np.full(50, 7.0))
    swept = mdvi.occupancy(model, [1] * 50)
    monkeypatch.undo()
    assert swept.status == "certified"
    np.testing.assert_allclose(swept.state, mdvi.occupancy(model, [1] * 50).state, atol=2e-6)
    floor = mdvi.occupancy(model, [1] * 50, tolerance=1e-30)
    assert floor.status == "tolerance below rounding floor"
    assert 0 < floor.error < 1e-11
    assert "1e-30 was asked for" in floor.message
    flow = Flow(problem_of_policy(model, np.eye(2)[[1] * 50]), np.eye(50)[0])
    assert flow.error > abs(flow.visits - mdvi.occupancy(model, [1] * 50, 0).state).sum()


def test_time_limits_of_occupancies_are_statuses():
    model = mdp.maze(60, 60, discount=0.9999)
    early = mdvi.occupancy(model, [1] * 3600, time_limit=1e-9)
    assert early.status == "time limit"
    assert early.error > 1e-6


def test_episodes_have_the_frequencies_of_the_model():
    model, _, _, _ = random_case(2)
    rng = np.random.default_rng(0)
    pi = random_policy(model, rng)
    played = mdvi.simulate(model, pi, 40, 20_000, seed=3)
    p = model.dense().kernel.probability
    count = np.zeros((model.states, model.actions))
    moved = np.zeros((*count.shape, model.states + 1))
    taken = played.action >= 0
    s, a, t = played.state[:, :-1][taken], played.action[taken], played.state[:, 1:][taken]
    np.add.at(count, (s, a), 1)
    np.add.at(moved, (s, a, t), 1)
    assert (count[~model.legal | (pi == 0)] == 0).all()
    met = count.sum(-1) > 1000
    np.testing.assert_allclose((count / count.sum(-1, keepdims=True).clip(1))[met], pi[met], atol=0.03)
    often = count > 1000
    assert often.any()
    np.testing.assert_allclose((moved[..., :-1] / count.clip(1)[..., None])[often], p[often], atol=0.03)
    np.testing.assert_array_equal(played.reward[taken], model.reward[s, a])


@pytest.mark.parametrize("seed", range(12))
def test_returns_are_the_values_in_the_mean(seed):
    model, _, _, _ = random_case(50 + seed)
    if model.terminal.all():
        return
    model = model.replace(discount=min(float(model.discount), 0.9))
    pi = random_policy(model, np.random.default_rng(seed))
    played = mdvi.simulate(model, pi, 200, 4000, seed=seed)
    worth = mdvi.evaluate(model, pi).value[~model.terminal].mean()
    deviation = 5 * played.returns.std() / np.sqrt(4000) + 1e-5 * (1 + model.max_abs_reward)
    assert abs(played.returns.mean() - worth) <= deviation
    assert not np.isnan(played.reward).any()


def test_episodes_are_seeded_and_end_where_the_model_ends():
    lake = mdp.from_gymnasium("FrozenLake-v1")
    one, other = (mdvi.simulate(lake, [2] * 17, 30, 50, start=0, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one.state, other.state)
    generator = np.random.default_rng(4)
    np.testing.assert_array_equal(mdvi.simulate(lake, [2] * 17, 30, 50, start=0, seed=generator).state, one.state)
    assert (mdvi.simulate(lake, [2] * 17, 30, 50, start=0, seed=5).state != one.state).any()
    shorter = mdvi.simulate(lake, [2] * 17, 10, 50, start=0, seed=4)
    np.testing.assert_array_equal(shorter.state, one.state[:, :11])
    for state, action, reward, length, over in zip(
        one.state, one.action, one.reward, one.length, one.terminated, strict=True
    ):
        assert (action[:length] == 2).all()
        assert (action[length:] == -1).all()
        assert (state[: length + 1] >= 0).all()
        assert (state[length + 1 :] == -1).all()
        assert not reward[length:].any()
        assert over == (state[length] == 16)
    assert "terminated=50" in repr(one)
    leaky = FiniteMDP(np.array([[[0.5]]]), np.ones((1, 1)), 0.9, substochastic=True)
    played = mdvi.simulate(leaky, [0], 100, 4000)
    assert played.terminated.all()
    assert played.length.mean() == pytest.approx(2.0, abs=0.1)


def test_frames_of_episodes_and_occupancies_have_names():
    pytest.importorskip("pandas")
    model = FiniteMDP(
        np.array([[[0.0, 0.5]], [[1.0, 0.0]]]), np.array([[1.0], [2.0]]), 0.9, states=["on", "off"], actions=["go"],
        substochastic=True,
    )  # fmt: skip
    frame = mdvi.simulate(model, [0, 0], 5, 30, seed=1).to_frame()
    assert set(frame["state"]) == {"on", "off"}
    assert set(frame["action"]) == {"go"}
    assert frame["next_state"].isna().any()
    assert (frame.loc[frame["state"] == "off", "reward"] == 2.0).all()
    visits = mdvi.occupancy(model, [0, 0])
    assert visits.to_frame().columns.tolist() == ["state", "visits"]
    assert visits.to_frame(pairs=True)["action"].tolist() == ["go", "go"]
    assert mdvi.evaluate(model, [0, 0]).to_frame().columns.tolist() == ["state", "value", "lower", "upper"]
    assert visits.plot()._repr_png_()
    assert mdvi.evaluate(model, [0, 0]).plot()._repr_png_()
    for result in (visits, mdvi.evaluate(model, [0, 0]), mdvi.simulate(model, [0, 0]), certify(model, [0, 0])):
        assert result._repr_html_().startswith("<div>")
        assert len(repr(result)) < 400
        assert result == result


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("method", ["auto", "value-iteration"])
def test_an_interval_is_proved_from_any_start(seed, method):
    model, kl, entropy, prior = random_case(300 + seed)
    model = model.replace(discount=min(float(model.discount), 0.99))
    rng = np.random.default_rng(seed)
    plain = solve(model, kl, entropy, prior, tolerance=1e-3)
    for start in (
        plain,
        rng.normal(size=model.states) * 10.0 ** rng.integers(-300, 300),
        np.full(model.states, np.inf),
    ):
        found = solve(model, kl, entropy, prior, tolerance=1e-3, method=method, start=start)
        assert (found.lower <= plain.upper).all()
        assert (plain.lower <= found.upper).all()
        assert found.status == plain.status or method != "auto"


def test_a_close_start_saves_backups_and_a_strange_one_is_refused():
    model = mdp.garnet(states=200, discount=0.99)
    best = solve(model, method="value-iteration")
    again = solve(model, method="value-iteration", start=best)
    near = solve(model.replace(reward=model.reward * 1.001), method="value-iteration", start=best)
    assert again.backups <= 2
    assert near.backups < 0.7 * best.backups
    with pytest.raises(ValueError, match=r"start: expected a solution or values of shape \(200,\), got shape \(3,\)"):
        solve(model, start=[1, 2, 3])
    with pytest.raises(ValueError, match="start: state 7 has value nan"):
        solve(model, start=np.where(np.arange(200) == 7, np.nan, 0.0))
