"""What an environment shows reaches the network as it is meant: integers by their bounds, pixels as pictures."""

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import mdvi
from forged import forge
from mdvi import envs
from mdvi.learning.acting.export import exported
from mdvi.learning.acting.numpy_policy import Policy
from mdvi.learning.arrange import _settings
from mdvi.learning.request import Request
from mdvi.learning.runs.run import Report

TINY = {"hidden": (8,), "batch": 8, "warmup": 40, "replay": 200, "target_period": 20, "log_period": 40}


class Shows(gymnasium.Env):
    """Shows samples of a space; an episode has five steps; reward 1 for the first action."""

    def __init__(self, space, actions=None):
        self.observation_space, self.action_space, self.kinds = space, actions or Discrete(3), set()

    def look(self):
        return self.np_random.integers(self.observation_space.low, self.observation_space.high, endpoint=True).astype(
            self.observation_space.dtype
        )

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.clock = 0
        return self.look(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        assert type(action) is type(self.action_space.sample())
        self.clock += 1
        return self.look(), float(action == self.action_space.start), self.clock == 5, False, {}


def shown(low, high, shape=(3,), dtype=np.uint8, stack=1):
    if isinstance(low, list):
        low, high = np.array(low, dtype), np.array(high, dtype)
        shape = None
    return envs.made(lambda: Shows(Box(low, high, shape, dtype)), stack=stack)


@pytest.mark.parametrize(
    ("env", "scale"),
    [
        (shown(0, 1), None),
        (shown(0, 255), (255.0,)),
        (shown(0, 255, (84, 84, 3)), (255.0,)),
        (shown(0, 7, (4, 4)), (7.0,)),
        (shown(-5, 5, dtype=np.int8), (5.0,)),
        (shown(-128, 127, dtype=np.int8), (128.0,)),
        (shown(0, 1000, dtype=np.int32), (1000.0,)),
        (shown(-20, 3, dtype=np.int64), (20.0,)),
        (shown(0, 65535, dtype=np.uint16), (65535.0,)),
        (shown(0, 0), None),
        (shown([0, 0, 0], [1, 10, 0]), (1.0, 10.0, 1.0)),
        (shown([0, 0], [2, 4], stack=3), (2.0, 2.0, 2.0, 4.0, 4.0, 4.0)),
        (shown(-np.inf, np.inf, dtype=np.int16), None),
        (shown(-np.inf, np.inf, dtype=np.int32), None),
        (shown(np.iinfo(np.int32).min, np.iinfo(np.int32).max, dtype=np.int32), None),
        (shown(0, np.iinfo(np.int64).max, dtype=np.int64), None),
        (shown(0, 255, dtype=np.float32), None),
        (shown(0, 1, dtype=bool), None),
    ],
)
def test_integers_are_divided_by_their_bounds_and_other_numbers_stay(env, scale):
    assert env.scale == scale


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_vectors_and_processes_tell_the_same_bounds(mode, monkeypatch):
    space = Box(0, 4, (2,), np.uint8)
    env = envs.vectored(lambda n: SyncVectorEnv([lambda: Shows(space)] * n, autoreset_mode=mode))
    assert env.scale == (4.0,)
    assert mdvi.train(env, "dqn", steps=80, **TINY).summary["status"] == "ok"  # and actions are those of the space
    monkeypatch.chdir("tests")
    here, there = (envs.gymnasium("shapes:Levels", processes=processes).scale for processes in (0, 1))
    assert here == there == (1.0, 9.0)


def test_a_scale_is_the_runs_own_wherever_it_goes(tmp_path, monkeypatch):
    """What divided observations in training divides them ever after, also when bounds have changed meanwhile."""

    monkeypatch.chdir("tests")
    folder = tmp_path / "run"
    mdvi.train("shapes:Levels", "dqn", steps=80, out=folder, **TINY)
    forge(folder, lambda note: note.update(scale=[4.0]))
    run = mdvi.load(folder, "shapes:Levels")
    assert run.env.scale == (4.0,)
    again = mdvi.train("shapes:Levels", "dqn", steps=80, out=folder, **TINY)
    assert again.env.scale == (4.0,)
    obs = np.array([[0, 2], [1, 4]], np.uint8)
    critic = run.networks()[1].critic
    first = np.maximum(obs / 4.0 @ np.asarray(critic.layers[0].weight) + np.asarray(critic.layers[0].bias), 0)
    right = first @ np.asarray(critic.layers[1].weight) + np.asarray(critic.layers[1].bias)
    np.testing.assert_allclose(critic(obs), right, rtol=1e-4, atol=1e-5)
    np.savez(tmp_path / "p.npz", **exported(*run.networks()))
    for row, scores in zip(obs, right, strict=True):
        np.testing.assert_allclose(Policy(tmp_path / "p.npz").scores(row), scores, rtol=1e-4, atol=1e-5)


def test_bytes_of_two_kinds_are_learned_from_as_well_as_numbers():
    class Signs(Shows):
        def look(self):
            self.sign = int(self.np_random.integers(3))
            return np.eye(3, dtype=self.observation_space.dtype)[self.sign]

        def step(self, action):
            paid = float(action == self.sign)
            obs, _, *rest = super().step(action)
            return obs, paid, *rest

    sizes = TINY | {"hidden": (16,), "epsilon": 0.5, "replay": 600, "log_period": 400, "batch": 16}
    runs = [
        mdvi.train(envs.made(lambda kind=kind: Signs(Box(0, 1, (3,), kind)), 0.5), "dqn", steps=600, **sizes)
        for kind in (np.uint8, np.float32)
    ]
    assert runs[0].evaluate(20)[0].mean() == runs[1].evaluate(20)[0].mean() == 5.0
    np.testing.assert_array_equal(runs[0].metrics["loss"], runs[1].metrics["loss"])


def chosen(env, preset=None, **settings):
    return _settings(Request.of("a", "dqn", preset=preset, **settings), env)[0].torso


@pytest.mark.parametrize(
    ("env", "shape", "torso"),
    [
        (shown(0, 255, (84, 84, 3)), (84, 84, 3), "nature"),
        (shown(0, 255, (210, 160, 3)), (210, 160, 3), "nature"),
        (shown(0, 255, (84, 84), stack=4), (84, 84, 4), "nature"),
        (shown(0, 255, (210, 160), stack=2), (210, 160, 2), "nature"),
        (shown(0, 255, (84, 84, 3), stack=4), (84, 84, 12), "nature"),
        (shown(0, 255, (84, 84, 1), stack=4), (84, 84, 4), "nature"),
        (shown(0, 255, (210, 160, 3), stack=60), (210, 160, 180), "nature"),
        (shown(0, 1, (10, 10, 4)), (10, 10, 4), "minatar"),
        (shown(0, 1, (8, 8, 111)), (8, 8, 111), "minatar"),
        (shown(0, 1, (84, 84, 3), np.float32), (84, 84, 3), "nature"),
        (shown(0, 255, (128,)), (128,), "none"),
        (shown(0, 255, (128,), stack=4), (128, 4), "none"),
        (shown(0, 1, (6, 7)), (6, 7), "none"),
        (shown(0, 9, (50, 40), np.float32), (50, 40), "none"),
    ],
)  # fmt: skip
def test_pictures_are_recognised(env, shape, torso):
    assert env.observation.shape == shape
    assert chosen(env) == torso


@pytest.mark.parametrize(
    ("shape", "stack", "words"),
    [
        ((4, 84, 84), 1, r"channels must come last, .*wrappers\.TransformObservation.*shape=\(84, 84, 4\).*stack=4"),
        ((3, 210, 160), 1, r"shape=\(210, 160, 3\)"),
        ((3, 84, 84), 4, r"shape=\(84, 84, 3\)"),
        ((1, 96, 96), 1, "channels must come last"),
        ((84, 4, 84), 1, "channels must come last"),
        ((84, 84), 1, r"no axis of channels: .*wrappers\.ReshapeObservation\(env, \(84, 84, 1\)\), .* stack=4"),
        ((12, 12), 1, "no axis of channels"),
        ((4, 84, 84, 3), 1, r"more axes .*leave out gymnasium\.wrappers\.FrameStackObservation, .* stack=4"),
        ((84 * 84,), 1, r"are flat: leave out gymnasium\.wrappers\.FlattenObservation"),
    ],
)
def test_pixels_that_convolutions_would_misread_are_refused(shape, stack, words):
    env = shown(0, 255, shape, stack=stack)
    with pytest.raises(ValueError, match=words) as told:
        mdvi.train(env, "dqn", steps=100)
    assert "\n" not in str(told.value)
    assert f"torso=none for a dense network on all {np.prod(env.observation.shape)} numbers" in str(told.value)
    assert chosen(env, torso="none") == "none"
    if len(shape) == 3:
        with pytest.raises(ValueError, match="channels must come last"):
            chosen(env, preset="atari")


def test_the_wrappers_that_are_named_exist_and_help():
    flat = Shows(Box(0, 255, (40, 40), np.uint8))
    assert chosen(envs.made(lambda: gymnasium.wrappers.ReshapeObservation(flat.__class__(flat.observation_space),
                                                                          (40, 40, 1)))) == "nature"  # fmt: skip
    space = Box(0, 255, (40, 40, 3), np.uint8)

    def moved():
        env = Shows(Box(0, 255, (3, 40, 40), np.uint8))
        return gymnasium.wrappers.TransformObservation(env, lambda obs: np.moveaxis(obs, 0, -1), space)

    assert chosen(envs.made(moved)) == "nature"
    assert hasattr(gymnasium.wrappers, "FrameStackObservation")
    assert hasattr(gymnasium.wrappers, "FlattenObservation")


@pytest.mark.parametrize(
    ("env", "preset", "settings", "said"),
    [
        (shown(0, 255, (40, 40, 3)), "small", {}, True),
        (shown(0, 255, (40, 40, 3)), "paper", {}, True),
        (shown(0, 255, (40, 40)), "small", {}, True),
        (shown(0, 1, (40, 40), np.float32), None, {}, True),
        (shown(0, 255, (40, 40, 3)), None, {"torso": "none"}, False),
        (shown(0, 255, (5,)), None, {}, False),
        (shown(0, 1, (6, 7)), None, {}, False),
    ],
)
def test_a_dense_network_on_pixels_is_never_without_a_word(env, preset, settings, said):
    remarks = []
    report = Report(remark=remarks.append)
    mdvi.train(env, "dqn", preset=preset, steps=80, report=report, **{**TINY, **settings})
    assert any("a dense network sees observations" in line for line in remarks) == said


def test_a_stack_of_colours_is_the_channels_of_all_frames():
    """Channel 3c … of frame t is at 4c + t: as many frames as the stack, the last one last."""

    class Clock(Shows):
        def look(self):
            return np.full((4, 4, 3), [10, 20, 30], np.uint8) + np.uint8(self.clock)

        def reset(self, *, seed=None, options=None):
            self.clock = 0
            return super().reset(seed=seed)

    env = envs.made(lambda: Clock(Box(0, 255, (4, 4, 3), np.uint8)), stack=4)
    sizes = TINY | {"batch": 4}
    run = mdvi.train(env, "dqn", steps=60, torso="minatar", **sizes)
    batch = run.population.replay.sample([np.random.default_rng(0)], 200, 1, 0.9)
    assert batch.obs.shape == (1, 200, 4, 4, 12)
    wanted = {
        tuple(colour + t if t >= 0 else 0 for colour in (10, 20, 30) for t in range(clock - 3, clock + 1))
        for clock in range(5)
    }
    assert set(map(tuple, np.asarray(batch.obs)[0, :, 1, 2].tolist())) == wanted
    assert run.evaluate(2)[1].tolist() == [5, 5]
    np.testing.assert_array_equal(run.policy(batch.obs[0]).shape, (200,))


def test_a_run_of_the_version_before_keeps_what_it_saw(tmp_path):
    """Where a checkpoint tells no scale, bytes are divided by 255 and pixels go where that version sent them."""
    make = lambda: Shows(Box(0, 1, (40, 40, 3), np.uint8))  # noqa: E731
    options = {"stack": 2}
    dense = mdvi.train(envs.made(make, **options), "dqn", preset="small", steps=80, out=tmp_path / "run", **TINY)
    forge(tmp_path / "run", lambda note: [note.pop(name) for name in ("scale", "earlier")], preset=None)  # its default
    remarks = []
    loaded = mdvi.load(tmp_path / "run", envs.made(make, **options), remarks.append)
    assert loaded.env.scale == loaded.networks()[1].critic.scale == (255.0,)
    assert loaded.population.settings.torso == "none"
    assert dense.env.scale is None
    for one, other in zip(jax.tree.leaves(loaded.networks()[1]), jax.tree.leaves(dense.networks()[1]), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("start", "kind"), [(0, np.int64), (5, np.int64), (-2, np.int32)])
def test_actions_are_those_of_the_space(start, kind, tmp_path):
    actions = Discrete(3, start=start, dtype=kind)
    env = envs.made(lambda: Shows(Box(0, 1, (2,), np.uint8), actions), 0.5)
    run = mdvi.train(env, "dqn", steps=400, **TINY | {"epsilon": 0.5})
    obs = np.zeros((4, 2), np.uint8)
    one, several = run.policy(obs[0]), run.policy(obs)
    np.savez(tmp_path / "p.npz", **exported(*run.networks(), run.first_action))
    policy = Policy(tmp_path / "p.npz")
    for action in (
        one,
        several[0],
        policy.act(obs[0]),
        policy.act(obs[0], np.random.default_rng(0)),
        run.policy(obs, seed=1)[0],
    ):
        assert type(action) is np.int64
        assert start <= action < start + 3
    assert several.dtype == np.int64
    assert run.policy(obs[:0]).dtype == np.int64
    assert one == several[0] == policy.act(obs[0]) == start  # which pays


def test_one_object_for_all_is_refused():
    env = Shows(Box(0, 1, (2,), np.uint8))
    for make in (lambda: env, lambda: gymnasium.wrappers.TimeLimit(env, 9)):
        with pytest.raises(ValueError, match="Shows: the function returned the same object twice"):
            envs.made(make)
    with pytest.raises(ValueError, match="the function returned the same object twice"):
        mdvi.train(envs.vectored(lambda n: SyncVectorEnv([lambda: env] * n)), "dqn", seeds=2, steps=80, **TINY)


@pytest.mark.parametrize("processes", [0, 1])
def test_one_object_of_a_module_is_refused(monkeypatch, processes):
    monkeypatch.chdir("tests")
    with pytest.raises(ValueError, match="the function returned the same object twice"):
        mdvi.train(envs.gymnasium("shapes:one", processes=processes), "dqn", environments=2, steps=80, **TINY)
