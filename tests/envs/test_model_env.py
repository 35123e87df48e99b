"""A model as a Gymnasium environment: what Gymnasium asks of one, and the model's own probabilities."""

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import mdvi
from mdvi import FiniteMDP, mdp
from mdvi.envs import as_gymnasium


@pytest.mark.filterwarnings("ignore:.*does not have a spec.*", "ignore:.*alternative render modes.*")
@pytest.mark.parametrize("render_mode", [None, "ansi"])
@pytest.mark.parametrize("name", ["lake", "chain", "forest", "gym:FrozenLake-v1"])
def test_gymnasium_finds_nothing_wrong(name, render_mode):
    check_env(as_gymnasium(mdvi.solve(name).mdp, render_mode=render_mode))


def played(env, policy, steps, seed):
    """State, action, next state, reward, end, of steps through episodes that begin anew."""
    state, info = env.reset(seed=seed)
    rows = []
    for _ in range(steps):
        following, reward, terminated, truncated, told = env.step(policy(state, info))
        rows.append((state, following, reward, terminated, truncated))
        state, info = env.reset() if terminated or truncated else (following, told)
    return np.array(rows)


def test_steps_have_the_probabilities_and_rewards_of_the_model():
    model = mdp.from_gymnasium("FrozenLake-v1")
    rows = played(as_gymnasium(model), lambda state, info: 2, 20_000, 0)
    count = np.zeros((17, 17))
    np.add.at(count, (rows[:, 0].astype(int), rows[:, 1].astype(int)), 1)
    met = count.sum(-1) > 500
    assert met.sum() > 5
    frequency = (count / count.sum(-1, keepdims=True).clip(1))[met]
    np.testing.assert_allclose(frequency, model.dense().kernel.probability[:, 2][met], atol=0.04)
    np.testing.assert_array_equal(rows[:, 2], model.reward[rows[:, 0].astype(int), 2])
    np.testing.assert_array_equal(rows[:, 3], rows[:, 1] == 16)
    assert not rows[:, 4].any()


def test_episodes_repeat_with_their_seed_and_end_at_the_limit():
    model = mdp.chain(states=6)
    one, other = (played(as_gymnasium(model, start=2, limit=7), lambda s, i: s % 2, 200, 5) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(np.flatnonzero(one[:, 4]), np.arange(6, 200, 7))
    assert (one[np.arange(0, 200, 7), 0] == 2).all()


def test_info_has_names_and_masks_and_illegal_actions_are_refused():
    legal = np.array([[True, False], [True, True]])
    model = FiniteMDP(
        np.full((2, 2, 2), 0.5), np.zeros((2, 2)), 0.9, legal=legal, states=["low", "high"], actions=["wait", "sell"]
    )
    env = as_gymnasium(model, start="low", render_mode="ansi")
    state, info = env.reset(seed=1)
    assert state == 0
    assert info["state"] == env.render() == "low"
    assert info["action_mask"].tolist() == env.action_masks().tolist() == [1, 0]
    assert info["action_mask"].dtype == np.int8
    with pytest.raises(ValueError, match=r"action: 'sell' is illegal in state 'low'; legal are \['wait'\]"):
        env.step(1)
    with pytest.raises(ValueError, match="action: expected a whole number from 0 to 1, got 2"):
        env.step(2)
    rows = played(env, lambda s, i: int(np.flatnonzero(i["action_mask"])[-1]), 50, 1)
    assert set(rows[:, 1]) == {0.0, 1.0}


def test_what_rows_miss_ends_the_episode():
    model = FiniteMDP(np.array([[[0.75]]]), np.ones((1, 1)), 0.9, substochastic=True)
    rows = played(as_gymnasium(model), lambda s, i: 0, 4000, 0)
    assert rows[:, 3].mean() == pytest.approx(0.25, abs=0.03)
    assert not rows[:, 1].any()


def test_what_is_wrong_is_named():
    for options, message in (
        ({"limit": 0}, "limit: expected a whole number"),
        ({"start": 9}, "start: 9 is outside 0…2"),
        ({"render_mode": "human"}, "render_mode: expected 'ansi' or None, got 'human'"),
    ):
        with pytest.raises(ValueError, match=message):
            as_gymnasium(mdp.forest(), **options)
    with pytest.raises(ValueError, match="call reset first"):
        as_gymnasium(mdp.forest()).step(0)
