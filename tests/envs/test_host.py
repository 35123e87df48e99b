"""Environments on the host: told as they were however they begin new episodes, kept frame by frame, never trusted."""

import dataclasses
import re
import time
from functools import partial

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import mdvi
from hostile import Continuous, Counter, Hostile, Mixed, Row, Several
from mdvi import envs
from mdvi.envs import names
from mdvi.envs.host.checked import CheckedEnv, CheckedEnvs, Spaces, Step, packed, unpacked
from mdvi.envs.host.hosted import step
from mdvi.envs.host.vector import Vector
from mdvi.learning.acting import numpy_acting
from mdvi.learning.agents import catalogue
from mdvi.learning.agents.agent import Noise, noise
from mdvi.learning.experience.frames import HostReplay, replay_bytes
from mdvi.learning.settings import changed, preset_of
from mdvi.learning.training import vmapped
from mdvi.learning.training.host import HostPopulation
from mdvi.learning.training.members import batched

GAMMA = 0.9
MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]
TINY = {"hidden": (8,), "batch": 8, "warmup": 40, "replay": 200, "target_period": 20, "log_period": 40}


def vector(make, count, mode):
    return SyncVectorEnv([make] * count, autoreset_mode=mode)


def told_by(worlds, rows, count):
    """The steps of a few environments, as lists of (obs, action, reward, terminated, truncated, following)."""
    everybody = np.ones(count, bool)
    first = worlds.reset(np.arange(count), everybody)
    obs, stories = first.fresh.copy(), [[] for _ in range(count)]
    assert first.began.all()
    for row in range(rows):
        actions = np.array([(row + i) % 3 for i in range(count)])
        told = step(worlds, actions, everybody)
        assert not any(told.wrong)
        for i in range(count):
            if told.real[i]:
                ends = (bool(told.terminated[i]), bool(told.truncated[i]))
                stories[i].append((obs[i].tolist(), told.reward[i], *ends, told.following[i].tolist()))
        obs, over = told.fresh.copy(), told.terminated | told.truncated
        if over.any() and not worlds.renews:
            began = worlds.reset(np.arange(count), over)
            assert (began.began == over).all()
            obs[over] = began.fresh[over]
    return stories


@pytest.mark.parametrize("mode", MODES)
def test_every_way_to_begin_episodes_tells_the_same_story(mode):
    make = partial(Counter, cut=(0, 3))
    mine = told_by(CheckedEnvs([CheckedEnv(make(), "counter", 100) for _ in range(3)]), 40, 3)
    other = told_by(Vector(vector(make, 3, mode)), 40, 3)
    for a, b in zip(mine, other, strict=True):
        assert len(b) >= 25
        assert a[: len(b)] == b
    assert mine[0][2] == ([0.0, 2.0], 3.0, False, True, [0.0, 3.0])  # the true last observation, and a truncation
    assert mine[0][3] == ([1.0, 0.0], 11.0, True, False, [1.0, 1.0])


def test_a_step_survives_its_way_through_a_pipe(rng):
    spaces = CheckedEnv(Counter(), "counter", 9).spaces
    columns = [rng.normal(size=(3, 2)).astype(np.float32) for _ in range(2)] + [rng.normal(size=3)]
    told = Step(*columns, *(rng.random(3) < 0.5 for _ in range(4)), ["", "Fehler: ü", "x" * 300])
    again = unpacked(packed(told, spaces), spaces)
    assert again.wrong == told.wrong
    for one, other in zip(told[:-1], again[:-1], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        ({"timeout": 60.0}, [2, 2, 2]),
        ({}, [2, 2, 2]),
        ({"processes": 2, "timeout": 0.0}, [4, 2]),
        ({"processes": 9}, [2, 2, 2]),
    ],
)
def test_environments_in_other_processes_tell_what_the_same_ones_do_here(monkeypatch, options, counts):
    monkeypatch.chdir("tests")
    isolated = envs.gymnasium("hostile:Counter", **options).source.worlds(3, 2)
    assert [process.count for process in isolated.processes] == counts
    story = told_by(isolated, 20, 6)
    isolated.close()
    assert story == told_by(CheckedEnvs([CheckedEnv(Counter(), "counter", 100) for _ in range(6)]), 20, 6)


def test_ids_stay_in_this_process_unless_others_are_asked_for(monkeypatch):
    monkeypatch.chdir("tests")
    assert isinstance(envs.gymnasium("CartPole-v1").source.worlds(2, 1), CheckedEnvs)
    assert isinstance(envs.gymnasium("hostile:Counter", processes=0).source.worlds(2, 1), CheckedEnvs)


@pytest.mark.parametrize("mode", MODES)
def test_the_actions_that_follow_are_asked_for_first_unless_an_episode_ended(mode):
    make = partial(Counter, lasts=(4,))
    eager, plain, everybody = Vector(vector(make, 2, mode)), Vector(vector(make, 2, mode)), np.ones(2, bool)
    plan = np.random.default_rng(0).integers(3, size=(30, 2))
    for worlds in (eager, plain):
        worlds.reset(np.arange(2), everybody)
    went_on = []
    for row, actions in enumerate(plan[:-1]):
        if not eager.asked:
            eager.send(actions, everybody)
        told, expected = eager.recv(plan[row + 1]), step(plain, actions, everybody)
        for mine, other in zip(told, expected, strict=True):
            np.testing.assert_array_equal(mine, other)
        assert eager.asked == (not told.over.any())
        went_on.append(eager.asked)
        if told.over.any() and not eager.renews:
            for worlds in (eager, plain):
                worlds.reset(np.arange(2), told.over)
    assert {True, False} == set(went_on)
    assert eager.env.envs[0].unwrapped.taken == plain.env.envs[0].unwrapped.taken


def test_every_step_acts_on_random_numbers_of_its_own():
    agent, settings = (
        catalogue.find("dqn").agent(),
        changed(preset_of("small", "").settings, TINY | {"environments": 2}),
    )
    population = HostPopulation(settings, envs.made(Row), [(agent, 3), (agent, 4)], 400)
    population.advance(0.0)
    for population.steps in (2, 4, 126, 128, 130, 1000, 4):
        found, _ = population._chances_now()
        for member, key in enumerate(population.learner.key):
            key = jax.random.fold_in(jax.random.fold_in(key, 1), population.steps)
            for mine, right in zip(found, noise(key, 2, 1), strict=True):
                np.testing.assert_array_equal(mine[member], right)
    population.close()


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize("name", ["dqn", "munchausen", "md-direct", "md-indirect", "da"])
def test_numpy_acts_as_the_compiled_program_does(name, dtype):
    settings, generator = changed(preset_of("small", "").settings, TINY), np.random.default_rng(0)
    env = dataclasses.replace(envs.made(Counter), spaces=Spaces(4, (3,), np.dtype(dtype)))
    numbers = [{"epsilon": 0.2}, {"epsilon": 0.9}]
    if name != "dqn":
        numbers = [n | {"kl": kl, "entropy": 0.3} for n, kl in zip(numbers, (0.5, 2.0), strict=True)]
    batch, seeds = batched([(catalogue.find(name).agent(**n), seed) for seed, n in enumerate(numbers)])
    networks = vmapped.start(settings, env, batch, seeds).online
    obs = generator.integers(0, 200, (2, 500, 3)).astype(dtype)
    words = generator.integers(0, 2**32, (2, 500, 2), dtype=np.uint32)
    noise = Noise(generator.gumbel(size=(2, 500, 4)).astype(np.float32), generator.random((2, 500), np.float32), words)
    epsilon, masks = np.asarray(batch.epsilon), generator.random((2, 500, 4)) < 0.5
    masks[..., 1] |= ~masks.any(-1)
    policies, layers = numpy_acting.policies_of(env, batch), numpy_acting.layers_of(networks)
    for legal in (None, np.ones((2, 500, 4), bool), masks):
        mine = numpy_acting.act(policies, layers, noise, epsilon, obs, legal)
        np.testing.assert_array_equal(mine, vmapped.act(env, batch, networks, noise, epsilon, obs, legal))
        if legal is not masks:
            assert (np.abs(np.bincount(mine[1], minlength=4) - 125) < 60).all()  # ε = .9
    assert np.take_along_axis(masks, mine[..., None], -1).all()


def story(streams, steps, seed):
    """Steps with random ends as a host tells them; a frame is a number of its own; with late beginnings."""
    generator = np.random.default_rng(seed)
    frame = iter(range(1, 100_000))
    late = np.zeros(streams, bool)
    first = np.array([[next(frame)] for _ in range(streams)], np.float32)
    rows = []
    for _ in range(steps):
        kind = generator.choice(3, p=[0.8, 0.1, 0.1], size=streams)
        real, began = ~late, late.copy()
        following = np.array([[next(frame)] for _ in range(streams)], np.float32)
        fresh = following.copy()
        terminated, truncated = (kind == 1) & real, (kind == 2) & real
        over = terminated | truncated
        now = over & (
            generator.random(streams) < 0.5
        )  # some begin the next episode in the same step, others in the next
        for i in np.flatnonzero(now):
            fresh[i] = next(frame)
        began |= now
        late = over & ~now
        reward = generator.normal(size=streams)
        rows.append((Step(following, fresh, reward, terminated, truncated, real, began, [""] * streams),
                     generator.integers(3, size=streams)))  # fmt: skip
    return first, rows


def kept(stack, size, streams, steps, seed=0):
    """A replay that was told a story, and for each stream the list of its transitions with their stacks."""
    first, rows = story(streams, steps, seed)
    replay = HostReplay(streams, size, (1,), np.float32, stack)
    replay.begin(Step(first, first, *np.zeros((3, streams)), np.zeros(streams, bool), np.ones(streams, bool), []))
    lists = [[] for _ in range(streams)]
    episode = [[float(f)] for f in first[:, 0]]

    def stacked(frames):
        return ([0.0] * stack + frames)[-stack:]

    for told, actions in rows:
        replay.add(actions, told.reward, told)
        for i in range(streams):
            if told.real[i]:
                before = stacked(episode[i])
                episode[i].append(float(told.following[i, 0]))
                ends = bool(told.terminated[i]), bool(told.truncated[i])
                lists[i].append((before, int(actions[i]), told.reward[i], *ends, stacked(episode[i])))
            if told.began[i]:
                episode[i] = [float(told.fresh[i, 0])]
    latest = replay.latest().reshape(streams, -1)
    assert latest.tolist() == [stacked(frames) for frames in episode]
    return replay, lists


@pytest.mark.parametrize("n", [1, 3, 5])
@pytest.mark.parametrize(("stack", "size", "streams", "steps"), [(1, 40, 1, 25), (4, 30, 2, 200), (3, 16, 4, 77)])
def test_samples_equal_the_steps_counted_by_hand(n, stack, size, streams, steps):
    replay, lists = kept(stack, size, streams, steps)
    members = 2 if streams > 1 else 1
    draws = [np.random.default_rng([7, i]) for i in range(members)]
    batch = replay.sample(draws, 3000, n, GAMMA)
    each = streams // members
    for member in range(members):
        mine = range(member * each, (member + 1) * each)
        known = {(i, t): lists[i][t] for i in mine for t in range(replay.oldest[i], len(lists[i]) - n + 1)}
        by_frame = {step[0][-1]: key for key, step in known.items()}
        seen = set()
        for j in range(3000):
            obs = np.asarray(batch.obs[member, j]).reshape(-1)
            i, t = by_frame[float(obs[-1])]
            seen.add((i, t))
            total, factor = 0.0, 1.0
            for k in range(n):
                step = lists[i][t + k]
                total, factor = total + factor * step[2], factor * GAMMA
                if step[3] or step[4]:
                    break
            assert obs.tolist() == lists[i][t][0]
            assert batch.action[member, j] == lists[i][t][1]
            np.testing.assert_allclose(batch.returns[member, j], total, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(batch.discount[member, j], 0.0 if step[3] else factor, rtol=1e-6)
            assert np.asarray(batch.next_obs[member, j]).reshape(-1).tolist() == step[5]
        assert seen == set(known)  # everything that is whole, and nothing else
    for i in range(streams):
        assert len(lists[i]) - replay.oldest[i] <= size


def one_stream(events):
    """A replay of one stream that was told of steps: a reward, whether it was truncated, whether another began."""
    replay, frame = HostReplay(1, 20, (1,), np.float32, 1), iter(range(1, 100))

    def told(truncated, real, began):
        frames = (np.array([[next(frame)]], np.float32) for _ in range(2))
        flags = (np.array([flag]) for flag in (False, truncated, real, began))
        return Step(*frames, np.zeros(1), *flags, [""])

    replay.begin(told(False, False, True))
    for reward, truncated, anew in events:
        replay.add(np.zeros(1, int), np.array([reward]), told(truncated, True, False))
        if anew:
            replay.begin(told(False, False, True))
    return replay


@pytest.mark.parametrize("truncated", [False, True])
def test_n_step_returns_keep_to_their_episode_whatever_parts_it_from_the_next(truncated):
    """Begun anew without an end, or cut while frames go on following each other: rewards are of one side."""
    rewards = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    replay = one_stream([(reward, truncated and i == 2, not truncated and i == 2) for i, reward in enumerate(rewards)])
    batch = replay.sample([np.random.default_rng(0)], 400, 3, 0.5)
    right = {1 + 1 + 1: 0.125, 2 + 2: 0.25, 4: 0.5, 8 + 8 + 8: 0.125}
    assert {float(total): float(rest) for total, rest in zip(batch.returns[0], batch.discount[0], strict=True)} == right


def test_a_replay_written_in_parts_is_the_same_replay():
    first, rows = story(3, 150, 1)
    whole, again = (HostReplay(3, 20, (1,), np.float32, 4) for _ in range(2))
    whole.begin(Step(first, first, *np.zeros((3, 3)), np.zeros(3, bool), np.ones(3, bool), []))
    filmed, taken = np.zeros(3, int), np.zeros(3, int)
    for t, (told, actions) in enumerate(rows):
        whole.add(actions, told.reward, told)
        if t % 13 == 0 or t > 140:
            again.extend(whole.since(filmed, taken))
            filmed, taken = whole.filmed.copy(), whole.taken.copy()
            for name in ("oldest", "filmed", "taken"):
                np.testing.assert_array_equal(getattr(whole, name), getattr(again, name))
            draws = [[np.random.default_rng(t)] for _ in range(2)]
            one, other = (r.sample(d, 50, 3, GAMMA) for r, d in zip((whole, again), draws, strict=True))
            for a, b in zip(
                (one.obs, one.returns, one.next_obs), (other.obs, other.returns, other.next_obs), strict=True
            ):
                np.testing.assert_array_equal(a, b)


def test_a_million_atari_transitions_fit_into_what_they_should():
    size = sum(replay_bytes(1_000_000, (84, 84), np.uint8))
    assert size <= 7.1e9 * 1.05
    small = HostReplay(2, 100, (84, 84), np.uint8, 4)
    arrays = (small.frames, small.age, small.steps)
    assert sum(array.nbytes for array in arrays) == 2 * sum(replay_bytes(100, (84, 84), np.uint8))


def learned(env, steps, n_step, seed=0):
    sizes = {"hidden": (16,), "batch": 64, "replay": 1000, "warmup": 200, "epsilon": 0.5, "target_period": 20}
    sizes |= {"learning_rate": 1e-3, "optimizer_epsilon": 1e-8, "log_period": 2000, "n_step": n_step, "environments": 4}
    run = mdvi.train(env, "dqn", steps=steps, seeds=[seed], **sizes)
    assert run.summary["status"] == "ok"
    _, networks = run.networks(0)
    return np.asarray(networks.critic(np.eye(env.observation.shape[0], dtype=np.float32)))


@pytest.mark.parametrize("n_step", [1, 3, 5])
@pytest.mark.parametrize("end", ["terminated", "truncated"])
@pytest.mark.parametrize("mode", [None, *MODES])
def test_truncation_is_not_termination(mode, end, n_step):
    """7 steps of reward 1: worth (1 − γ^7)/(1 − γ) if they end there, 1/(1 − γ) if one only stops looking."""
    make = partial(Row, end)
    env = envs.made(make, 0.5) if mode is None else envs.vectored(partial(vector, make, mode=mode), 0.5)
    right = [[(1 - 0.5 ** (7 - i)) / 0.5] for i in range(7)] if end == "terminated" else [[2.0]]
    np.testing.assert_allclose(learned(env, 6000, n_step), right, atol=1e-3)


def test_members_have_environments_and_seeds_of_their_own_and_a_run_repeats():
    def one():
        return mdvi.train(envs.gymnasium("CartPole-v1"), "md-direct", seeds=3, beta=[0.5, 0.9], steps=400, **TINY)

    first, second = one(), one()
    for name, column in first.metrics.items():
        np.testing.assert_array_equal(column, second.metrics[name])
    assert len(set(first.metrics["loss"][-6:])) == 6
    assert first.summary["status"] == "ok"
    obs = first.population.replay.frames[:, :40].reshape(6, -1)
    for i in range(3):
        np.testing.assert_array_equal(first.population.replay.frames[i, 0], first.population.replay.frames[i + 3, 0])
        for j in range(i):
            assert not np.array_equal(obs[i], obs[j])


def test_several_environments_a_member():
    run = mdvi.train(envs.gymnasium("CartPole-v1"), "dqn", seeds=2, environments=4, steps=400, **TINY)
    assert run.population.replay.taken.tolist() == [100] * 8
    assert run.metrics["env_steps"].tolist() == sorted(run.metrics["env_steps"].tolist())
    assert int(run.metrics["env_steps"][-1]) == 400


WAYS = {
    "nan reward": "the reward was nan",
    "infinite reward": "the reward was inf",
    "nan observation": "the observation was not finite",
    "wrong shape": r"an observation has shape \(3,\), but its space has shape \(2,\)",
    "wrong dtype": "an observation has dtype",
    "wrong flags": "terminated and truncated: expected Booleans, got 'no'",
    "no tuple": "TypeError",
    "raises": "ZeroDivisionError: division by zero",
    "leaves": "SystemExit: 3",
    "raises at reset": "RuntimeError: no more",
}
"""What a status says of each way to misbehave."""


def fates(env, **options):
    """Statuses of four members, and the environment steps of each."""
    run = mdvi.train(env, "dqn", seeds=[0, 2, 1, 7], steps=400, **(TINY | options))
    rows = [run.metrics["env_steps"][run.metrics["member"] == m] for m in range(4)]
    return [member["status"] for member in run.summary["members"]], rows, run


@pytest.mark.parametrize("way", list(WAYS))
def test_a_member_whose_environment_misbehaves_is_named_and_the_others_go_on(way):
    statuses, rows, run = fates(envs.made(partial(Hostile, way)))
    bad = [number for number, status in enumerate(statuses) if status != "ok"]
    assert bad == [0, 2]
    replay = run.population.replay
    for number, status in enumerate(statuses):
        if number in bad:
            when = "its reset after environment step 60" if way == "raises at reset" else "environment step 60, action"
            assert re.match(f"env_error: {WAYS[way]}.*at {when}", status)
            assert replay.taken[number] == (60 if way == "raises at reset" else 59)  # all that was sound is kept
            assert replay.steps["reward"][number, :59].tolist() == [1.0] * 59
            assert rows[number].tolist() == [60]
        else:
            assert rows[number].tolist() == [80, 120, 160, 200, 240, 280, 320, 360, 400]
    assert run.summary["status"] == f"{len(bad)} of 4 members failed"


@pytest.mark.parametrize(
    ("way", "words"), [("dies", "its process ended with exit code 7"), ("hangs", "it gave no answer for 1 s")]
)
def test_an_environment_that_hangs_or_dies_in_a_process_of_its_own_takes_nobody_along(way, words, monkeypatch):
    monkeypatch.chdir("tests")
    began = time.monotonic()
    statuses, rows, _ = fates(envs.gymnasium("hostile:Hostile", timeout=1.0, way=way))
    assert time.monotonic() - began < 60
    bad = [number for number, status in enumerate(statuses) if status != "ok"]
    assert bad == [0, 2]
    for number, status in enumerate(statuses):
        assert words in status if number in bad else rows[number][-1] == 400


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", ["nan reward", "nan observation"])
def test_one_of_a_vector_is_given_up_alone_and_an_error_of_the_vector_is_everybodys(mode, way):
    statuses, rows, run = fates(envs.vectored(partial(vector, partial(Hostile, way), mode=mode)))
    for number, status in enumerate(statuses):
        assert re.match(WAYS[way], status.removeprefix("env_error: ")) if number in (0, 2) else status == "ok"
    assert rows[1][-1] == rows[3][-1] == 400
    assert (run.population.replay.steps["reward"][[0, 2]] <= 1).all()
    statuses, _, _ = fates(envs.vectored(partial(vector, partial(Hostile, "raises"), mode=mode)))
    assert all("ZeroDivisionError: division by zero" in status for status in statuses)


def test_a_member_that_fails_at_once_does_not_blind_the_diagnostics_of_the_others():
    statuses, _, run = fates(envs.made(partial(Hostile, "raises", after=1)), diagnostics=True)
    assert [status == "ok" for status in statuses] == [False, True, False, True]
    well = np.isin(run.metrics["member"], (1, 3))
    assert np.isfinite(run.metrics["bellman_error"][well]).all()


def test_odd_but_lawful_environments_are_learned_in():
    for way in ("ends twice", "ends at once", "never ends"):
        env = envs.made(partial(Hostile, way, always=True), limit=25)
        statuses, _, run = fates(env)
        assert statuses == ["ok"] * 4, way
        replay = run.population.replay
        ends = replay.steps["terminated"] | replay.steps["truncated"]
        assert not (replay.steps["terminated"] & replay.steps["truncated"]).any()
        assert ends.any()
        if way == "never ends":
            assert replay.steps["truncated"].any()
    shrinking = envs.gymnasium("hostile:Shrinking", processes=0, way="ends at once")
    statuses, _, _ = fates(shrinking)
    assert any("the number of actions changed from 2 to 1" in status for status in statuses)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Continuous, "its actions are continuous"),
        (Several, "its actions are MultiDiscrete; mdvi learns with Discrete actions only"),
        (
            Mixed,
            "its observations are Text; mdvi learns from Box, Discrete, MultiDiscrete and MultiBinary, and from Dict",
        ),
    ],
)
def test_other_spaces_are_refused_in_one_line(make, words):
    with pytest.raises(ValueError, match=words):
        envs.made(make)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("LunarLandr-v3", "LunarLandr-v3: .*LunarLander"),
        ("Pendulum-v1", "Pendulum-v1: its actions are continuous"),
        ("nowhere:Nothing", "nowhere:Nothing: ModuleNotFoundError: No module named 'nowhere'"),
        ("hostile:Nothing", "has no attribute 'Nothing'"),
        ("hostile:Row:end=truncated,depth=3", "unexpected keyword argument 'depth'"),
        ("CartPole-v9", "CartPole-v9"),
        ("LunarLander-v2", "is deprecated. Please use `LunarLander-v3` instead"),
        ("os:getcwd:timeout=0", r"os:getcwd: expected a subclass of gymnasium\.Env, .* got "),
        ("LunarLander-v3:stack=two", "stack: expected an integer, got 'two'"),
        ("LunarLander-v3:discount=1.5", "discount"),
        ("LunarLander-v3:processes=-1", "processes: expected at least 0, got -1"),
        ("LunarLander-v3:processes=1.5", "processes: expected an integer, got '1.5'"),
        ("LunarLander-v3:timeout=-1", r"timeout: expected 0 to 1e\+06 seconds, got -1"),
        ("LunarLander-v3:timeout=5,processes=0", "timeout: 5 s needs worker processes, but processes=0"),
    ],
)
def test_names_that_cannot_be_meant_are_refused(text, words, monkeypatch):
    monkeypatch.chdir("tests")
    with pytest.raises(ValueError, match=words):
        names.environment_of(text)


def test_memory_is_refused_before_the_start():
    with pytest.raises(
        ValueError, match=r"2 members would need 1\d\.\d GB of memory and 1 GB are available: lower replay"
    ):
        mdvi.train(envs.made(Picture), "dqn", seeds=2, preset="atari", memory=1e9)


class Picture(gymnasium.Env):
    """Pictures of 84 × 84 bytes."""

    action_space = gymnasium.spaces.Discrete(4)
    observation_space = gymnasium.spaces.Box(0, 255, (84, 84, 1), np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.clock = 0
        return np.zeros((84, 84, 1), np.uint8), {}

    def step(self, action):
        self.clock += 1
        return np.full((84, 84, 1), self.clock, np.uint8), float(action), self.clock == 30, False, {}


def test_pictures_are_learned_from_and_the_replay_may_lie_on_disk(tmp_path):
    options = {"batch": 4, "warmup": 40, "replay": 100, "target_period": 20, "log_period": 20, "hidden": (16,)}
    first, second = (
        mdvi.train(envs.made(Picture), "dqn", preset="atari", steps=60, replay_on_disk=disk, **options)
        for disk in (False, True)
    )
    assert isinstance(second.population.replay.frames, np.memmap)
    np.testing.assert_array_equal(first.metrics["loss"], second.metrics["loss"])
