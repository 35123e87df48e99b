"""Observations of several parts: seen as the vector that Gymnasium flattens them to, in training and in acting."""

import contextlib
import doctest
import json
import runpy
from functools import partial

import numpy as np
import pytest

import mdvi
from mdvi import envs, observations
from mdvi.envs.host import checked, hosted
from mdvi.learning import pictures
from mdvi.observations import as_seen, flattened

gymnasium = pytest.importorskip("gymnasium")
from gymnasium import spaces  # noqa: E402

SMALL = {"hidden": (8,), "batch": 8, "warmup": 40, "replay": 200, "target_period": 20, "log_period": 100, "steps": 200}
BOX = spaces.Box(-1, 1, (2, 3), np.float32)
SPACES = {
    "discrete": spaces.Discrete(5),
    "counted from 2": spaces.Discrete(4, start=2),
    "several": spaces.MultiDiscrete([3, 2, 4]),
    "several from": spaces.MultiDiscrete([3, 2], start=[1, -4]),
    "rows of several": spaces.MultiDiscrete([[3, 2], [4, 5]]),
    "bits": spaces.MultiBinary(4),
    "rows of bits": spaces.MultiBinary((2, 3)),
    "dictionary": spaces.Dict({"b": BOX, "a": spaces.Discrete(3, start=1), "c": spaces.MultiBinary(2)}),
    "tuple": spaces.Tuple([spaces.Discrete(3), BOX, spaces.MultiDiscrete([2, 2])]),
    "nested": spaces.Dict({"z": spaces.Tuple([BOX, spaces.Dict({"y": spaces.Discrete(2)})]), "x": spaces.Discrete(2)}),
}


class Parts(gymnasium.Env):
    """Draws its observations from a space; what pays is the action whose parity is that of the flattened vector."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    action_space = spaces.Discrete(2)

    def __init__(self, kind, wrong=None, render_mode=None):
        self.observation_space, self.render_mode = SPACES[kind] if isinstance(kind, str) else kind, render_mode
        self.wrong = wrong

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.clock = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.clock += 1
        obs = self.observation_space.sample()
        obs = self.wrong if self.wrong is not None and self.clock > 5 else obs
        return obs, float(action), self.clock >= 9, False, {}

    def render(self):
        return np.zeros((4, 4, 3), np.uint8)


def layout_of(space):
    return checked.spaces_of(Parts(space), "it").layout


@pytest.mark.parametrize("kind", SPACES)
def test_vectors_are_those_of_gymnasium(kind):
    space = SPACES[kind]
    space.seed(3)
    layout, flat = layout_of(space), spaces.flatten_space(space)
    assert observations.numbers_in(layout) == flat.shape[0]
    many = [space.sample() for _ in range(20)]
    for obs in many:
        np.testing.assert_array_equal(flattened(layout, obs), spaces.flatten(space, obs))
        np.testing.assert_array_equal(as_seen(layout, obs), spaces.flatten(space, obs))
    batch = gymnasium.vector.utils.concatenate(space, many, gymnasium.vector.utils.create_empty_array(space, 20))
    wanted = np.stack([spaces.flatten(space, obs) for obs in many])
    np.testing.assert_array_equal(flattened(layout, batch), wanted)
    np.testing.assert_array_equal(as_seen(layout, batch), wanted)
    np.testing.assert_array_equal(as_seen(layout, wanted.astype(np.float32)), wanted)


@pytest.mark.parametrize(
    ("kind", "obs", "words"),
    [
        ("discrete", 5, r"obs: expected \[0\] to \[4\], got \[5\]"),
        ("discrete", -1, r"got \[-1"),
        ("counted from 2", 1, r"expected \[2\] to \[5\], got \[1\]"),
        ("discrete", 2.0, "obs: expected whole numbers, got float64"),
        ("several", [1, 1], r"obs: expected shape \(3,\), got \(2,\)"),
        ("several", [0, 2, 0], r"got \[0, 2, 0"),
        ("dictionary", {"a": 1, "b": BOX.low}, r"obs: expected a dictionary with \['a', 'b', 'c'\], got \['a', 'b'\]"),
        ("dictionary", 3, "got int"),
        ("dictionary", {"a": 1, "b": BOX.low.T, "c": [0, 1]}, r"obs\['b'\]: expected shape \(2, 3\), got \(3, 2\)"),
        ("dictionary", {"a": 1, "b": BOX.low, "c": ["0", "1"]}, r"obs\['c'\]: expected numbers, got <U1"),
        (
            "dictionary",
            {"a": [1, 2], "b": BOX.low, "c": [0, 1]},
            "expected the same number of observations in all parts",
        ),
        ("tuple", (1, BOX.low), "obs: expected 3 parts, got tuple"),
        ("nested", {"z": (BOX.low, {"y": 2}), "x": 0}, r"obs\['z'\]\[1\]\['y'\]: expected \[0\] to \[1\], got \[2\]"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_part(kind, obs, words):
    with pytest.raises(ValueError, match=words):
        flattened(layout_of(SPACES[kind]), obs)


def test_an_answer_that_does_not_fit_ends_its_member():
    run = mdvi.train(envs.made(partial(Parts, "dictionary", wrong={"a": 9, "b": BOX.low, "c": [0, 1]})), **SMALL)
    assert "obs['a']: expected [1] to [3], got [9]" in run.population.log.status[0]


@pytest.mark.parametrize("kind", ["several from", "dictionary", "tuple"])
def test_they_are_learned_from_and_acted_on_as_they_are_or_flattened(kind, tmp_path):
    space = SPACES[kind]
    told = []
    env = envs.made(partial(Parts, kind, render_mode="rgb_array"))
    run = mdvi.train(env, report=mdvi.Report(remark=told.append), out=tmp_path / "run", **SMALL)
    assert run.summary["status"] == "ok"
    assert [
        line
        for line in told
        if line.startswith(f"observations are flattened into one vector of {run.env.spaces.shape[0]}")
    ]
    many = [space.sample() for _ in range(12)]
    flat = np.stack([spaces.flatten(space, obs) for obs in many]).astype(np.float32)
    wanted = run.policy(flat)
    np.testing.assert_array_equal([run.policy(obs) for obs in many], wanted)
    np.testing.assert_array_equal([run.policy(vector) for vector in flat], wanted)
    batch = gymnasium.vector.utils.concatenate(space, many, gymnasium.vector.utils.create_empty_array(space, 12))
    np.testing.assert_array_equal(run.policy(batch), wanted)
    run.export(tmp_path / "policy.npz")
    exported = runpy.run_path(str(tmp_path / "policy.py"))["Policy"](tmp_path / "policy.npz")
    np.testing.assert_array_equal([exported.act(obs) for obs in many], wanted)
    np.testing.assert_array_equal([exported.act(vector) for vector in flat], wanted)
    assert run.evaluate(3)[1].tolist() == [9] * 3
    assert len(run.film()[0]) == 10
    again = mdvi.load(tmp_path / "run", envs.made(partial(Parts, kind, render_mode="rgb_array")))
    np.testing.assert_array_equal(again.policy(batch), wanted)


@pytest.mark.parametrize("mode", ["NEXT_STEP", "SAME_STEP", "DISABLED"])
@pytest.mark.parametrize("kind", ["discrete", "nested"])
def test_vectors_of_environments_have_parts_too(kind, mode):
    modes, space = gymnasium.vector.AutoresetMode, SPACES[kind]

    def make(count):
        return gymnasium.vector.SyncVectorEnv([partial(Parts, kind)] * count, autoreset_mode=modes[mode])

    env = envs.vectored(make)
    worlds = env.source.worlds(2, 1)
    with contextlib.closing(worlds):
        told, everybody = worlds.reset(np.arange(2), np.ones(2, bool)), np.ones(2, bool)
        space.seed(1)  # of the last environment, which shares the space: so it draws what we draw
        wanted = spaces.flatten(space, space.sample())
        np.testing.assert_array_equal(told.fresh[1], wanted)
        for _ in range(12):
            if not worlds.renews and told.over.any():
                told = worlds.reset(np.array([3, 3]), told.over)
            told = hosted.step(worlds, np.zeros(2, int), everybody)
            assert told.wrong == ["", ""]
            for vector in (*told.following[told.real], *told.fresh[told.began]):
                assert space.contains(spaces.unflatten(space, vector.astype(spaces.flatten_space(space).dtype)))
                assert vector.any()


def test_an_environment_of_the_registry_runs_in_another_process_too():
    env = envs.gymnasium("FrozenLake-v1", timeout=30, processes=1)
    here = envs.gymnasium("FrozenLake-v1")
    assert env.spaces.layout == here.spaces.layout == '["choices", [], [16], [0]]'
    assert env.spaces.dtype == np.bool_
    worlds = env.source.worlds(1, 1)
    with contextlib.closing(worlds):
        told = worlds.reset(np.array([0]), np.ones(1, bool))
        np.testing.assert_array_equal(told.fresh[0], np.arange(16) == 0)
    run = mdvi.train("FrozenLake-v1:is_slippery=false", **SMALL)
    assert run.policy(3) == run.policy(np.eye(16, dtype=bool)[3])
    assert run.policy(np.arange(16)).shape == (16,)
    with pytest.raises(ValueError, match=r"got \[16\]"):
        run.policy(16)


def test_parts_of_whole_numbers_are_scaled_each_by_its_bound():
    space = spaces.Dict({"a": spaces.Box(0, 255, (2,), np.uint8), "b": spaces.Discrete(2), "c": BOX})
    found = checked.spaces_of(Parts(space), "it")
    assert found.scale == (255.0, 255.0, *[1.0] * 8)
    assert found.dtype == np.float32
    assert checked.spaces_of(Parts(spaces.Dict({"b": spaces.MultiBinary((2, 3)), "a": BOX})), "it").scale is None
    run = mdvi.train(envs.made(partial(Parts, space)), **SMALL)
    obs = {"a": np.array([255, 0], np.uint8), "b": 1, "c": BOX.low}
    layers = run.networks()[1].critic.layers
    x = np.concatenate([[1.0, 0.0, 0.0, 1.0], BOX.low.ravel()])
    scores = np.maximum(x @ layers[0].weight + layers[0].bias, 0) @ layers[1].weight + layers[1].bias
    assert run.policy(obs) == scores.argmax()


def test_observations_that_are_stacked_are_given_flattened():
    env = envs.made(partial(Parts, "discrete"), stack=2)
    run = mdvi.train(env, **SMALL)
    assert run.policy(np.zeros((5, 2))).shape == ()
    with pytest.raises(ValueError, match=r"obs: expected shape \(5, 2\)"):
        run.policy(3)


def test_pictures_among_the_parts_are_refused_with_the_wrapper_that_helps():
    space = spaces.Dict({"see": spaces.Box(0, 255, (40, 40, 3), np.uint8), "speed": spaces.Box(-1, 1, (1,))})
    env = envs.made(partial(Parts, space))
    with pytest.raises(ValueError, match=r"hold a picture, obs\['see'\] of shape \(40, 40, 3\)") as caught:
        mdvi.train(env, **SMALL)
    wrapper = str(caught.value).partition("alone with ")[2].partition(", or set")[0]
    alone = eval(wrapper, {"gymnasium": gymnasium, "env": Parts(space)})  # noqa: S307  what the message says works
    assert alone.observation_space.shape == (40, 40, 3)
    assert alone.reset()[0].shape == (40, 40, 3)
    pictures.check_seen(env, "none", named=True)
    small = spaces.Dict({"see": spaces.Box(0, 255, (7, 7, 3), np.uint8), "way": spaces.Discrete(4)})
    found = envs.made(partial(Parts, small))
    pictures.check_seen(found, "none", named=False)
    assert found.spaces.shape == (151,)


def test_what_no_vector_can_hold_is_refused():
    with pytest.raises(ValueError, match="it: its observations are Text; mdvi learns from Box, Discrete"):
        checked.spaces_of(Parts(spaces.Dict({"a": spaces.Text(3)})), "it")
    with pytest.raises(ValueError, match="would be flattened to 1000000000000 numbers; expected 1 to 16777216"):
        checked.spaces_of(Parts(spaces.Discrete(10**12)), "it")
    with pytest.raises(ValueError, match="would be flattened to 0 numbers"):
        checked.spaces_of(Parts(spaces.Tuple([])), "it")


def test_other_layouts_are_other_environments(tmp_path):
    one = spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Discrete(3)})
    other = spaces.Dict([("b", spaces.Discrete(3)), ("a", spaces.Discrete(2))])
    assert json.loads(layout_of(one)) != json.loads(layout_of(other))
    with pytest.raises(ValueError, match="environments from one source must have the same spaces"):
        checked.agreed([checked.spaces_of(Parts(space), "it") for space in (one, other)])


def test_examples_in_docstrings_run():
    assert doctest.testmod(observations).failed == 0
