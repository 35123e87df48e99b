"""Training: the same seed twice is the same run, another is another, neighbours do not matter, and nothing is lost."""

import errno
import itertools
import json
import os
import signal
from functools import partial
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mdvi
from mdvi import output
from mdvi.envs import CartPole, TimeLimit
from mdvi.learning.agents import catalogue
from mdvi.learning.runs import checkpoint, record
from mdvi.learning.runs.run import Report
from mdvi.learning.runs.signals import Interrupted
from mdvi.learning.settings import PRESETS, Settings, changed
from mdvi.learning.training import loop, population

TINY = {"hidden": (8,), "batch": 8, "warmup": 40, "replay": 200, "target_period": 20, "log_period": 40}
GOLDEN = Path(__file__).parents[1] / "golden" / "traces.json"
FAMILIES = ("md-direct", "md-indirect", "da", "munchausen")


def tiny(agent="munchausen", env="CartPole-v1", steps=400, **options):
    return mdvi.train(env, agent, steps=steps, **(TINY | options))


def leaves(run, member=0):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(run.networks(member)[1])]


def same(one, other):
    return all((a == b).all() for a, b in zip(one, other, strict=True))


def everything(run):
    """What two runs must share to be the same: the parameters and every metric, to the bit."""
    parameters = [leaf.tobytes() for member in range(len(run)) for leaf in leaves(run, member)]
    return parameters, {name: column.tobytes() for name, column in run.metrics.items()}


def test_the_same_seed_twice_is_the_same_run():
    assert everything(tiny(seeds=[5])) == everything(tiny(seeds=[5]))


def test_sixteen_seeds_differ_in_networks_first_actions_and_first_minibatch():
    settings = Settings(**TINY)
    env, agent = TimeLimit(CartPole(), 500), catalogue.find("md-direct").agent()
    start = jax.jit(partial(loop.init, settings))
    drawn = []
    for seed in range(16):
        member, _ = start(env, agent, seed)
        key = jax.random.split(jax.random.fold_in(member.learner.key, member.learner.updates), 3)[1]
        batch = member.replay.sample(key, 8, 1, 0.99)
        drawn.append({
            "critic": member.learner.online.critic.layers[0].weight,
            "actor": member.learner.online.actor.layers[0].weight,
            "actions": member.replay.steps.action[:40],
            "worlds": member.replay.steps.obs[:1],
            "batch": batch.obs,
        })  # fmt: skip
        assert not np.array_equal(drawn[-1]["critic"], drawn[-1]["actor"])
    for one, other in itertools.combinations(drawn, 2):
        for name in one:
            assert not np.array_equal(one[name], other[name]), name


def test_a_grid_compiles_once_and_its_members_do_not_depend_on_each_other():
    population._chunk.clear_cache()
    grid = tiny("md-direct", beta=(0.1, 0.3, 0.5, 0.7, 0.9), entropy=(0.01, 0.03, 0.1, 0.3, 1.0), steps=120)
    assert population._chunk._cache_size() == 1
    assert len(grid) == 25
    alone = tiny("md-direct", beta=0.7, entropy=0.03, steps=120)
    number = next(m["member"] for m in grid.summary["members"] if (m["beta"], m["entropy"]) == (0.7, 0.03))
    assert same(leaves(grid, number), leaves(alone))
    assert not same(leaves(grid, 0), leaves(alone))


def test_results_do_not_depend_on_how_the_population_is_split():
    """Threads, waves for lack of memory: to the bit. Members that share a call: to the rounding of another program."""
    one = tiny(seeds=4, steps=200, workers=1)
    assert everything(one) == everything(tiny(seeds=4, steps=200, workers=2))
    each = one.population.bytes_each
    waves = tiny(seeds=4, steps=200, memory=2.5 * each)
    assert waves.population.at_once == 2
    assert everything(one) == everything(waves)
    with jax.debug_key_reuse(False):  # it takes keys that are split under vmap and then scanned over for used
        wide = tiny(seeds=4, steps=200, width=4)
    for member in range(4):
        for a, b in zip(leaves(one, member), leaves(wide, member), strict=True):
            np.testing.assert_allclose(a, b, atol=2e-4)


def test_memory_is_estimated_before_the_start():
    with pytest.raises(ValueError, match=r"would need .* GB of memory and .* GB are available: lower replay"):
        tiny(memory=1000.0)
    run = tiny(steps=40)
    state = jax.eval_shape(partial(loop.init, Settings(**TINY)), TimeLimit(CartPole(), 500), run.networks()[0], 0)[0]
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    assert size <= run.population.bytes_each <= 2 * size


@pytest.mark.parametrize("agent", FAMILIES)
def test_stopped_and_resumed_is_never_stopped(tmp_path, agent):
    """At three places, by a signal: parameters and metrics to the bit."""
    options = {"seeds": 2, "diagnostics": True, "workers": 2}
    straight = everything(tiny(agent, **options))
    for stop in (1, 4, 8):
        folder = tmp_path / f"{stop}"

        def progress(done, goal, stop=stop):
            if done >= stop:
                os.kill(os.getpid(), signal.SIGTERM)

        with pytest.raises(Interrupted) as caught:
            patient(partial(tiny, agent, **options, out=folder, report=Report(progress=progress)))
        assert caught.value.number == signal.SIGTERM
        assert everything(tiny(agent, **options, out=folder)) == straight
        loaded = mdvi.load(folder)
        assert everything(loaded) == straight
        assert loaded.summary["status"] == "ok"


def patient(work, monkey=population.Population.advance):
    """Work in rounds of one chunk, so that a small run can be stopped inside."""
    population.Population.advance = lambda self, seconds, stopping=lambda: False: monkey(self, 0.0, stopping)
    try:
        return work()
    finally:
        population.Population.advance = monkey


def test_policies_before_saving_and_after_loading_agree_on_a_thousand_observations(tmp_path):
    run = tiny("da", seeds=2, out=tmp_path / "run")
    obs = np.random.default_rng(0).normal(size=(1000, 4)).astype(np.float32)
    again = mdvi.load(tmp_path / "run")
    for member in range(2):
        np.testing.assert_array_equal(run.policy(obs, member), again.policy(obs, member))
        assert again.policy(obs[0], member) == run.policy(obs, member)[0]
    with pytest.raises(ValueError, match="obs: expected shape"):
        run.policy(obs[:, :3])
    with pytest.raises(ValueError, match="member: expected"):
        run.policy(obs, 2)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path):
    folder = tmp_path / "run"
    straight = everything(tiny())
    seen = []

    def progress(done, goal):
        seen.append(done)
        if done == 6:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        patient(lambda: tiny(out=folder, checkpoint_every=0.0, report=Report(progress=progress)))
    older, newest = sorted((folder / "checkpoint").iterdir())
    newest.write_bytes(newest.read_bytes()[:-100])
    remarks = []
    assert everything(tiny(out=folder, report=Report(remark=remarks.append))) == straight
    assert any(newest.name in line and "damaged" in line for line in remarks)
    for path in (folder / "checkpoint").iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no checkpoint in this folder can be read"):
        tiny(out=folder)
    assert older != newest


def test_every_truncation_and_many_bit_flips_are_noticed(tmp_path):
    generator = np.random.default_rng(0)
    arrays = {"a": generator.normal(size=(5, 3)), "b": np.array([True, False]), "c": np.arange(4, dtype=np.uint32)}
    checkpoint.write(tmp_path, 1, arrays, {"note": "x"})
    path = next(tmp_path.iterdir())
    data = path.read_bytes()
    found, note, remarks = checkpoint.latest(tmp_path, 2**20)
    assert (note, remarks) == ({"note": "x"}, [])
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    broken = [data[:end] for end in range(len(data))]
    for place in generator.integers(8 * len(data), size=2000):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << (place % 8)
        broken.append(bytes(flipped))
    for content in broken:
        path.write_bytes(content)
        with pytest.raises(ValueError, match="damaged"):
            checkpoint.latest(tmp_path, 2**20)


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    straight = everything(tiny())
    write, calls = output.write, []

    def full(path, content, links=True):
        calls.append(path)
        if "checkpoint" in str(path) and len(calls) > 6:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, content, links)

    monkeypatch.setattr(output, "write", full)
    with pytest.raises(OSError, match="No space left"):
        patient(lambda: tiny(out=folder, checkpoint_every=0.0))
    monkeypatch.undo()
    assert everything(tiny(out=folder)) == straight


class Broken(eqx.Module):
    """CartPole with a reward or an observation that is not a number once the cart has moved far enough."""

    what: str = eqx.field(static=True)
    inner: CartPole = CartPole()

    actions = property(lambda self: 2)
    observation = property(lambda self: self.inner.observation)
    scale = property(lambda self: None)
    discount = property(lambda self: 0.99)

    def reset(self, key):
        return self.inner.reset(key)

    def observe(self, state):
        return jnp.where((jnp.abs(state[1]) > 0.5) & (self.what == "observation"), jnp.nan, state)

    def step(self, state, action, key):
        state, reward, terminated, truncated = self.inner.step(state, action, key)
        return (
            state,
            jnp.where((jnp.abs(state[1]) > 0.5) & (self.what == "reward"), jnp.nan, reward),
            terminated,
            truncated,
        )

    def legal(self, obs):
        return self.inner.legal(obs)


@pytest.mark.parametrize("what", ["reward", "observation"])
def test_an_environment_that_is_not_finite_is_named(what):
    remarks = []
    run = tiny("dqn", Broken(what), report=Report(remark=remarks.append))
    assert run.summary["status"] == "1 of 1 members failed"
    assert run.summary["members"][0]["status"].startswith(f"env_error: the {what} was not finite at environment step")
    assert len(remarks) == 1
    assert remarks[0].startswith("member 0: env_error")


def test_a_member_that_diverges_leaves_its_neighbours_alone():
    rates = (1e-3, 1e30)
    both = tiny("dqn", learning_rate=rates, seeds=2)
    assert both.summary["status"] == "2 of 4 members failed"
    states = [member["status"] for member in both.summary["members"]]
    assert states[:2] == ["ok", "ok"]
    assert all(state.startswith("diverged: the loss was not finite at environment step") for state in states[2:])
    assert both.summary["members"][2]["env_steps"] < both.summary["members"][0]["env_steps"]  # it is not trained on
    alone = tiny("dqn", learning_rate=1e-3, seeds=2)
    for member in range(2):
        assert same(leaves(both, member), leaves(alone, member))
    with jax.debug_key_reuse(False):
        wide = tiny("dqn", learning_rate=rates, seeds=2, width=4)
    assert [member["status"] for member in wide.summary["members"]][:2] == ["ok", "ok"]
    assert all(np.isfinite(leaf).all() for leaf in leaves(wide, 0))


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        output.write(tmp_path / "table.csv", "1,2")
    assert caught.value.filename == str(tmp_path / "table.csv")
    assert not list(tmp_path.iterdir())


def test_folders_that_hold_something_else_are_refused(tmp_path):
    folder = tmp_path / "run"
    tiny(out=folder, steps=80)
    with pytest.raises(ValueError, match="was made with steps = 80, not 60"):
        tiny(out=folder, steps=60)
    with pytest.raises(ValueError, match="--fresh needs an empty folder"):
        tiny(out=folder, steps=80, fresh=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="holds no run"):
        tiny(out=tmp_path / "other")
    with pytest.raises(ValueError, match="is it the folder of a training run"):
        mdvi.load(tmp_path / "other")
    assert (tmp_path / "other" / "thesis.tex").read_text() == "years of work"


def test_damage_to_a_folder_is_named(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    tiny(out=folder, steps=80)
    config = json.loads((folder / "config.json").read_text())
    for name, value in (("steps", "many"), ("settings", 3), ("agent", 5)):
        (folder / "config.json").write_text(json.dumps(config | {name: value}))
        with pytest.raises(ValueError, match=rf"config.json: damaged: {name} is"):
            mdvi.load(folder)
    (folder / "config.json").write_text(json.dumps(config | {"seeds": [0, 1]}))
    with pytest.raises(ValueError, match=r"config.json: does not match the checkpoints"):
        mdvi.load(folder)
    known = checkpoint.latest_note(folder / "checkpoint")["config"]
    monkeypatch.setattr(record, "digest_of", lambda config: known)  # as in a run of another version
    with pytest.raises(ValueError, match=r"config.json: declares 2 members, but the checkpoints have another number"):
        mdvi.load(folder)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "summary.json").write_text("")
    with pytest.raises(ValueError, match=r"summary.json: damaged"):
        mdvi.load(folder)


def test_another_environment_is_not_taken_for_the_one_before(tmp_path):
    def env(seed):
        return TimeLimit(mdvi.envs.FiniteEnvironment(mdvi.mdp.garnet(5, 2, 2, 0.9, seed=seed)), 20)

    tiny(env=env(0), out=tmp_path / "run", steps=80)
    assert tiny(env=env(0), out=tmp_path / "run", steps=80).summary["status"] == "ok"
    with pytest.raises(ValueError, match="was trained with the environment TimeLimit"):
        tiny(env=env(1), out=tmp_path / "run", steps=80)


def test_settings_are_checked_and_named():
    for name, value, words in (
        ("hidden", (0,), "hidden: widths"),
        ("target_period", 30, "target_period: 30 is not a multiple of update_period, 4"),
        ("warmup", 10**9, "warmup: expected"),
        ("batch", 0, "batch: .*, got 0"),
        ("batch", 201, "batch: expected at most replay = 200 transitions, got 201"),
        ("torso", "resnet", "torso: .*, got 'resnet'"),
        ("torso", "minatar", "torso: minatar needs observations of shape"),
    ):
        with pytest.raises(ValueError, match=words):
            tiny(**{name: value})
    with pytest.raises(ValueError, match="unknown setting 'bach'; did you mean 'batch'"):
        tiny(bach=3)
    with pytest.raises(ValueError, match="unknown preset 'smal'; did you mean 'small'"):
        tiny(preset="smal")
    with pytest.raises(ValueError, match="learning_rate: expected a positive number"):
        tiny(learning_rate=-1.0)
    with pytest.raises(ValueError, match=r"epsilon: expected a number in \[0, 1\]"):
        tiny(epsilon=2.0)
    for arguments, words in (
        ({"env": 7}, "env: expected a name, a .*, got int"),
        ({"seeds": -1}, "seeds: expected a whole number of at least 0, got -1"),
    ):
        with pytest.raises(ValueError, match=words):
            tiny(**arguments)
    assert all(changed(settings, {}) == settings for settings, _, _ in PRESETS.values())


def test_steps_are_rounded_up_to_whole_lines_of_metrics():
    settings = Settings(**TINY)
    assert [settings.steps_after(settings.chunks(steps)) for steps in (1, 40, 41, 80, 81)] == [80, 80, 80, 80, 120]
    run = tiny(steps=81)
    assert run.metrics["env_steps"].tolist() == [80, 120]


def trace(agent):
    """Sums of parameters and target parameters after 0, 1, 10 and 1000 gradient steps, and the mean loss."""
    settings = Settings(**(TINY | {"update_period": 1, "target_period": 1, "log_period": 1}))
    env = mdvi.envs.native.probes.matched()
    value = catalogue.find(agent).agent(learning_rate=1e-3, epsilon=0.2)
    member, _ = jax.jit(partial(loop.init, settings))(env, value, 0)
    step = jax.jit(partial(loop.chunk, settings))
    found = {}
    for updates in range(1001):
        if updates in (0, 1, 10, 1000):
            found[str(updates)] = [
                float(sum(np.abs(np.asarray(leaf, np.float64)).sum() for leaf in jax.tree.leaves(tree)))
                for tree in (member.learner.online, member.learner.optimizer)
            ]
        member, _, _ = step(env, value, member)
    return found


@pytest.mark.parametrize("agent", FAMILIES)
def test_golden_traces(agent):
    """Numbers written by an earlier version; `MDVI_WRITE_GOLDEN=1 pytest` renews them."""
    found = trace(agent)
    known = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("MDVI_WRITE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(json.dumps(known | {agent: found}, indent=1, sort_keys=True) + "\n")
        return
    for updates, numbers in known[agent].items():
        np.testing.assert_allclose(found[updates], numbers, rtol=1e-5 if int(updates) <= 10 else 1e-3)
