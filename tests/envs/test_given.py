"""What may be given to `mdvi.train` for an environment: classes, functions, and environments that are made already."""

import doctest
import functools
import json

import numpy as np
import pytest

import mdvi
from mdvi.envs import Hosted, given
from mdvi.envs.given import accepted

gymnasium = pytest.importorskip("gymnasium")

SMALL = {"hidden": (8,), "batch": 8, "warmup": 40, "replay": 200, "target_period": 20, "log_period": 100, "steps": 100}


class Walk(gymnasium.Env):
    """Left or right, until an end."""

    metadata = {"render_modes": ["rgb_array", "human"]}  # noqa: RUF012  as Gymnasium has it

    def __init__(self, size=3, render_mode=None):
        self.size, self.render_mode = size, render_mode
        self.observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.at += 2 * int(action) - 1
        over = abs(self.at) >= self.size
        return np.full(2, self.at / self.size, np.float32), float(self.at > 0), over, False, {}

    def render(self):
        return np.zeros((4, 4, 3), np.uint8)


class Silent(gymnasium.Wrapper):
    """A wrapper that does not record its arguments."""


@pytest.fixture(autouse=True)
def registered():
    gymnasium.register("Walk-v0", entry_point=Walk, max_episode_steps=30, kwargs={"size": 4})
    gymnasium.register("Maker-v0", entry_point=lambda **_: Walk())
    gymnasium.register("Versionless", entry_point=Walk)
    yield
    for name in ("Walk-v0", "Maker-v0", "Versionless"):
        del gymnasium.registry[name]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"id": "CartPole-v1"}, "CartPole-v1"),
        ({"id": "MountainCar-v0", "render_mode": "rgb_array"}, "MountainCar-v0"),
        ({"id": "FrozenLake-v1", "map_name": "8x8"}, "FrozenLake-v1:map_name=8x8"),
        ({"id": "FrozenLake-v1", "map_name": "4x4"}, "FrozenLake-v1"),
        ({"id": "Walk-v0"}, "Walk-v0"),
        ({"id": "Walk-v0", "size": 5}, "Walk-v0:size=5"),
        ({"id": "Walk-v0", "size": 2.5}, "Walk-v0:size=2.5"),
        ({"id": "Walk-v0", "max_episode_steps": 7}, "Walk-v0:max_episode_steps=7"),
    ],
)
def test_an_environment_of_the_registry_stands_for_its_text(options, text):
    assert accepted(gymnasium.make(**options)) == text


def test_a_text_makes_the_same_environment():
    env = gymnasium.make("Walk-v0", size=5, max_episode_steps=7)
    again = mdvi.envs.names.environment_of(accepted(env)).source.watched().envs[0].env
    assert again.unwrapped.size == 5
    assert again.spec.max_episode_steps == 7


def test_a_registered_id_goes_on_under_its_name(tmp_path):
    run = mdvi.train(gymnasium.make("Walk-v0"), out=tmp_path / "run", **SMALL)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["env"] == "Walk-v0"
    again = mdvi.train("Walk-v0", out=tmp_path / "run", **SMALL)
    np.testing.assert_array_equal(run.metrics["env_steps"], again.metrics["env_steps"])
    loaded = mdvi.load(tmp_path / "run", gymnasium.make("Walk-v0"))
    np.testing.assert_array_equal(loaded.policy(np.eye(2)), run.policy(np.eye(2)))
    with pytest.raises(ValueError, match="was trained in the environment Walk-v0, not Walk-v0:size=5"):
        mdvi.load(tmp_path / "run", gymnasium.make("Walk-v0", size=5))


@pytest.mark.parametrize(
    "make",
    [
        lambda: gymnasium.make("CartPole-v1", sutton_barto_reward=True),  # ours has no such argument
        lambda: gymnasium.wrappers.TimeAwareObservation(gymnasium.make("Walk-v0")),
        lambda: gymnasium.wrappers.RescaleObservation(gymnasium.make("Walk-v0"), np.float32(0), np.float32(1)),
        lambda: gymnasium.make("FrozenLake-v1", desc=["SF", "FG"]),
        lambda: gymnasium.make("Maker-v0"),
        lambda: gymnasium.make("Versionless"),
    ],
)
def test_what_has_no_text_is_made_again_from_its_specification(make):
    env = make()
    found = accepted(env)
    assert isinstance(found, Hosted)
    again = found.source.make()
    assert again.observation_space == env.observation_space
    assert again.unwrapped is not env.unwrapped
    assert again.spec.kwargs == env.spec.kwargs
    assert [w.name for w in again.spec.additional_wrappers] == [w.name for w in env.spec.additional_wrappers]


def test_a_wrapped_environment_is_the_same_when_it_is_given_again(tmp_path):
    def wrapped(size):
        return gymnasium.wrappers.TimeAwareObservation(gymnasium.make("Walk-v0", size=size))

    mdvi.train(wrapped(3), out=tmp_path / "run", **SMALL)
    assert mdvi.load(tmp_path / "run", wrapped(3)).summary["status"] == "ok"
    with pytest.raises(ValueError, match="was trained with the environment Hosted"):
        mdvi.load(tmp_path / "run", wrapped(4))


def test_pictures_are_kept_and_windows_are_not():
    wrap = gymnasium.wrappers.TimeAwareObservation
    found = accepted(wrap(gymnasium.make("Walk-v0", render_mode="rgb_array")))
    assert found.source.make().render_mode == "rgb_array"
    watched = found.source.watched()
    watched.reset(np.zeros(1, int), np.ones(1, bool))
    assert watched.picture().shape == (4, 4, 3)
    env = gymnasium.make("Walk-v0", render_mode="human")
    assert accepted(wrap(env)).source.make().render_mode is None


@pytest.mark.parametrize("maker", [Walk, lambda: Walk(4), functools.partial(Walk, size=4)])
def test_classes_and_functions_stand_for_what_they_make(maker):
    run = mdvi.train(maker, **SMALL)
    assert run.summary["status"] == "ok"
    assert isinstance(run.env.source.make(), Walk)


def test_a_class_is_the_same_as_what_makes_it(tmp_path):
    mdvi.train(Walk, out=tmp_path / "run", **SMALL)
    assert mdvi.load(tmp_path / "run", mdvi.envs.made(Walk)).config["env"].startswith("Hosted")


@pytest.mark.parametrize(
    ("env", "text"),
    [
        (lambda: Walk(), r"this Walk was not made by gymnasium.make, .* mdvi.envs.made\(lambda: Walk\(…\)\)"),
        (lambda: Silent(gymnasium.make("Walk-v0")), "the wrapper Silent does not record its arguments; every member"),
        (lambda: gymnasium.make_vec("CartPole-v1", 2), r"is a finished vector, .*mdvi.envs.vectored"),
        (lambda: mdvi.envs.CartPole, "got the class CartPole itself; pass an instance"),
        (lambda: 5, "expected a name, a class or a function .*, got int"),
        (lambda: None, "got NoneType"),
        (lambda: mdvi.mdp.lake(4), r"a FiniteMDP is a model; mdvi.envs.FiniteEnvironment\(model\)"),
    ],
)
def test_what_cannot_be_made_again_is_refused_with_the_way(env, text):
    with pytest.raises(ValueError, match=f"^env: .*{text}"):
        mdvi.train(env(), **SMALL)


def test_a_function_that_needs_arguments_is_named():
    with pytest.raises(ValueError, match="missing 1 required positional argument"):
        mdvi.train(lambda size: Walk(size), **SMALL)


def test_examples_in_docstrings_run():
    assert doctest.testmod(given).failed == 0
