"""Legal actions that environments on the host tell in `info["action_mask"]`: kept with frames, used everywhere."""

import dataclasses
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import mdvi
from hostile import Masked, allowed
from mdvi import envs
from mdvi.envs.base import Transition
from mdvi.envs.host.checked import CheckedEnv, CheckedEnvs, Spaces, Step, packed, unpacked
from mdvi.envs.host.hosted import step
from mdvi.envs.host.vector import Vector
from mdvi.learning.acting import export, numpy_acting, numpy_policy, play
from mdvi.learning.agents import catalogue, diagnostics
from mdvi.learning.agents.agent import noise
from mdvi.learning.experience.base import Batch
from mdvi.learning.experience.frames import HostReplay
from mdvi.learning.settings import changed, preset_of
from mdvi.learning.training import learner as learning
from mdvi.learning.training.host import HostPopulation

MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]
TINY = {"hidden": (8,), "batch": 8, "warmup": 40, "replay": 200, "target_period": 20, "log_period": 40}
ACTIONS = 11


def trained(env, agent="dqn", **options):
    run = mdvi.train(env, agent, **({"seeds": 2, "steps": 200, "epsilon": 0.5} | TINY | options))
    return [member["status"] for member in run.summary["members"]], run


def source(where, **options):
    make = partial(Masked, **options)
    if where == "here":
        return envs.made(make)
    if where == "processes":
        return envs.gymnasium("hostile:Masked", processes=2, **options)
    return envs.vectored(lambda n: SyncVectorEnv([make] * n, autoreset_mode=where))


def expected(obs, way, ended):
    """The legal actions on an observation, all where the environment told none or the process ended."""
    clock, episode = obs
    if ended or (way == "sometimes" and clock % 2 == 0):
        return np.ones(ACTIONS, bool)
    return allowed(clock, episode, ACTIONS)


@pytest.fixture
def here(monkeypatch):
    monkeypatch.chdir("tests")


@pytest.mark.parametrize("where", ["here", "processes", *MODES])
@pytest.mark.parametrize("way", ["always", "sometimes", "late"])
@pytest.mark.parametrize("epsilon", [0.5, 1.0])
def test_only_legal_actions_are_taken_and_what_is_kept_is_what_was_told(here, where, way, epsilon):
    statuses, run = trained(source(where, way=way, cut=(1, 3), start=4), epsilon=epsilon, environments=2)
    assert statuses == ["ok"] * 2
    if way == "late":
        return
    batch = run.population.replay.sample([np.random.default_rng(i) for i in range(2)], 300, 1, 0.9)
    for member in range(2):
        for i in range(300):
            obs, following = batch.obs[member, i], batch.next_obs[member, i]
            assert batch.legal[member, i].tolist() == expected(obs, way, False).tolist()
            ended = batch.discount[member, i] == 0
            assert batch.next_legal[member, i].tolist() == expected(following, way, ended).tolist()
            assert batch.legal[member, i, batch.action[member, i]]


@pytest.mark.parametrize(
    ("where", "way"),
    [(w, way) for w in ("here", *MODES) for way in ("as a list", "nothing at the end")]
    + [("here", "empty at the end")],
)
def test_masks_may_be_lists_and_say_anything_at_an_end(where, way):
    statuses, run = trained(source(where, way=way))
    assert statuses == ["ok"] * 2
    assert run.population.replay.forbidden is not None


@pytest.mark.parametrize("agent", ["munchausen", "md-direct", "md-indirect", "da", "al-dqn", "cvi"])
@pytest.mark.parametrize("options", [{}, {"n_step": 3, "double": True, "diagnostics": True}])
def test_every_agent_acts_and_learns_legally(agent, options):
    statuses, run = trained(envs.made(partial(Masked, cut=(2,)), stack=3), agent, **options)
    assert statuses == ["ok"] * 2
    for name in ("loss", "q", *(("policy_kl", "entropy_nats") if options and agent != "al-dqn" else ())):
        assert np.isfinite(run.metrics[name]).all(), name


def test_a_compiled_program_acts_legally_too(monkeypatch):
    monkeypatch.setattr(numpy_acting, "suits", lambda settings, agents: False)
    for agent in ("dqn", "munchausen"):
        assert trained(envs.made(Masked), agent, environments=2)[0] == ["ok"] * 2


@pytest.mark.parametrize("where", ["here", "processes"])
@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("too short", r"has shape \(10,\); expected \(11,\)"),
        ("a matrix", r"has shape \(1, 11\); expected \(11,\)"),
        ("a number", r"has shape \(\); expected \(11,\)"),
        ("fractions", "has dtype float64; expected bool, or 0 and 1 as int8"),
        ("text", r"has shape \(\)"),
        ("twos", "holds 2; expected 0 and 1"),
        ("nothing", "allows no action; at least one must be legal"),
    ],
)
def test_a_member_whose_masks_cannot_be_meant_is_named(here, where, way, words):
    statuses, run = trained(source(where, way=way))
    for status in statuses:
        assert status.startswith("env_error: info['action_mask'] ")
        assert re.search(words, status)
    assert run.population.replay.taken.tolist() == [29, 29]  # all that was sound is kept


@pytest.mark.parametrize("mode", MODES)
def test_one_of_a_vector_whose_mask_allows_nothing_is_given_up_alone(mode):
    def make(n):
        ways = [partial(Masked, way="always" if i else "nothing") for i in range(n)]
        return SyncVectorEnv(ways, autoreset_mode=mode)

    statuses, _ = trained(envs.vectored(make))
    assert "allows no action" in statuses[0]
    assert statuses[1] == "ok"


def test_masks_survive_their_way_through_a_pipe(rng):
    spaces = Spaces(ACTIONS, (2,), np.dtype(np.float32))
    columns = [rng.normal(size=(3, 2)).astype(np.float32) for _ in range(2)] + [rng.normal(size=3)]
    told = Step(*columns, *(rng.random(3) < 0.5 for _ in range(4)), [""] * 3)
    masks = [rng.random((3, ACTIONS)) < 0.5 for _ in range(2)]
    for legal, fresh in ((None, None), tuple(masks), (None, masks[1])):
        again = unpacked(packed(told._replace(legal=legal, fresh_legal=fresh), spaces), spaces)
        for sent, found in ((legal, again.legal), (fresh, again.fresh_legal)):
            if legal is None and fresh is None:
                assert found is None
            else:
                np.testing.assert_array_equal(found, np.ones((3, ACTIONS)) if sent is None else sent)


def stories(worlds, rows):
    """The masks on which actions were chosen, and the observations beside them."""
    everybody, anything = np.ones(2, bool), np.ones((2, ACTIONS), bool)
    told = worlds.reset(np.arange(2), everybody)
    obs, legal, found = told.fresh.copy(), told.fresh_legal, [[] for _ in range(2)]
    for _ in range(rows):
        told = step(worlds, legal.argmax(-1), everybody)
        assert not any(told.wrong)
        masks = (anything if mask is None else mask for mask in (told.legal, told.fresh_legal))
        following, fresh = (np.array(mask) for mask in masks)
        for i in np.flatnonzero(told.real):
            found[i].append((obs[i].tolist(), legal[i].tolist(), told.following[i].tolist(), following[i].tolist()))
        obs, legal, over = told.fresh.copy(), fresh, told.over
        if over.any() and not worlds.renews:
            began = worlds.reset(np.full(2, -1), over)
            obs[over], legal[over] = began.fresh[over], began.fresh_legal[over]
    return found


@pytest.mark.parametrize("mode", MODES)
def test_every_way_to_begin_episodes_tells_the_same_masks(mode):
    make = partial(Masked, cut=(1, 3))
    mine = stories(CheckedEnvs([CheckedEnv(make(), "masked", 100) for _ in range(2)]), 60)
    other = stories(Vector(SyncVectorEnv([make] * 2, autoreset_mode=mode)), 60)
    for a, b in zip(mine, other, strict=True):
        assert len(b) >= 40
        assert a[: len(b)] == b


def masked_step(frames, legal, **changes):
    """A step of one stream with these frames."""
    following, fresh = (np.array([[frame]], np.float32) for frame in frames)
    no, yes = np.zeros(1, bool), np.ones(1, bool)
    told = Step(following, fresh, np.ones(1), no, no, yes, no, [""], legal[None], legal[None])
    return told._replace(**changes)


def test_frames_before_the_first_mask_allow_everything_and_a_row_used_again_forgets():
    replay = HostReplay(1, 4, (1,), np.float32, 1, actions=3)
    mask, none = np.array([True, False, True]), None
    start = masked_step((0, 0), mask, began=np.ones(1, bool), real=np.zeros(1, bool), fresh_legal=none)
    replay.begin(start)
    assert replay.latest_legal() is None
    replay.add(np.zeros(1, int), np.ones(1), masked_step((1, 1), mask))
    assert replay.latest_legal().tolist() == [mask.tolist()]
    found = replay.sample([np.random.default_rng(0)], 5, 1, 0.9)
    assert found.legal.all()
    assert (found.next_legal == mask).all()
    for frame in range(2, 3 * replay.room):
        told = masked_step((frame, frame), mask)
        replay.add(np.zeros(1, int), np.ones(1), told if frame < replay.room else told._replace(legal=none))
    assert replay.latest_legal().all()


class Reads:
    """An environment whose observations begin with what is legal on them."""

    actions, scale, discount = 4, None, 0.9
    observation = jax.ShapeDtypeStruct((6,), jnp.float32)

    @staticmethod
    def legal(obs):
        return obs[:, :4] > 0


class Blind(Reads):
    """The same, where observations do not tell."""

    @staticmethod
    def legal(obs):
        return jnp.ones((len(obs), 4), bool)


@pytest.mark.parametrize("agent", list(catalogue.ALL))
def test_told_masks_give_the_targets_losses_and_diagnostics_of_masks_that_are_read(agent, rng):
    settings, value = changed(preset_of("small", "").settings, TINY), catalogue.find(agent).agent()
    if agent in ("dqn", "munchausen"):
        value = dataclasses.replace(value, double=agent == "dqn")
    learner, _ = learning.start(settings, Reads(), value, 0)
    target = jax.tree.map(lambda leaf: leaf + jnp.float32(0.1), learner.online)
    obs, following = (rng.normal(size=(64, 6)).astype(np.float32) for _ in range(2))
    for seen in (obs, following):
        seen[np.arange(64), rng.integers(4, size=64)] = 1.0
    legal, next_legal = np.asarray(Reads.legal(obs)), np.asarray(Reads.legal(following))
    plain = (obs, legal.argmax(-1).astype(np.int32), np.ones(64, np.float32), np.full(64, 0.9, np.float32), following)
    read, told, blind = Batch(*plain), Batch(*plain, legal, next_legal), Batch(*plain)

    def numbers(env, batch):
        found = [value.critic_target(env, learner.online, target, batch)]
        if value.has_actor:
            found.append(value.actor_loss(env, learner.online.actor, learner.online, target, batch))
        steps = Transition(
            batch.obs, batch.action, batch.returns, np.zeros(64, bool), np.zeros(64, bool), batch.next_obs,
            batch.legal, batch.next_legal,
        )  # fmt: skip
        _, seen = diagnostics.observe(env, value, learner.online, target, diagnostics.start_probe(steps))
        return found + list(seen.values())

    right = numbers(Reads(), read)
    for mine, other in zip(numbers(Blind(), told), right, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert not np.array_equal(numbers(Blind(), blind)[0], right[0])
    assert all(np.isfinite(number).all() or agent in ("dqn", "al-dqn", "modqn", "dpp") for number in right)


def test_random_actions_are_uniform_over_the_legal_ones():
    value = catalogue.find("dqn").agent(epsilon=1.0)
    settings = changed(preset_of("small", "").settings, TINY)
    networks = learning.start(settings, Reads(), value, 0)[0].online
    legal = jnp.broadcast_to(jnp.array([True, False, True, True]), (9000, 4))
    drawn = value.act_by(noise(jax.random.key(1), 9000, 4), networks, jnp.zeros((9000, 6)), legal, 1.0)
    counts = np.bincount(drawn, minlength=4)
    assert counts[1] == 0
    assert (np.abs(counts[[0, 2, 3]] - 3000) < 5 * np.sqrt(3000)).all()


@pytest.mark.parametrize("where", ["here", "processes"])
def test_a_masked_run_goes_on_to_the_bit(here, where, tmp_path):
    agent = catalogue.find("munchausen").agent(epsilon=0.3)
    settings = changed(preset_of("small", "").settings, TINY | {"diagnostics": True})

    def population():
        env = source(where, way="sometimes", cut=(1,))
        return HostPopulation(settings, env, [(agent, 3), (agent, 4)], 240)

    whole = population()
    while not whole.finished:
        whole.advance(60.0)
    part = population()
    for serial, stop in enumerate((1, 33, 75, 131, 190), 1):
        while part.steps < stop:
            part.advance(0.0)
        arrays, note = part.save(tmp_path, serial)
        part.close()
        part = population()
        part.restore(arrays, note, tmp_path)
    while not part.finished:
        part.advance(60.0)
    assert [line for lines in part.log.rows.values() for line in lines] == [
        line for lines in whole.log.rows.values() for line in lines
    ]
    for one, other in zip(*(jax.tree.leaves(p.learner.online) for p in (part, whole)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_environments_without_masks_keep_none():
    _, run = trained(envs.made(partial(Masked, way="never")))
    assert run.population.replay.forbidden is None
    assert run.population.replay.latest_legal() is None


@pytest.mark.parametrize("where", ["here", *MODES])
def test_a_policy_is_evaluated_and_asked_with_masks(where):
    _, run = trained(source(where, cut=(1, 3)), "munchausen")
    for options in ({}, {"sampled": True}, {"epsilon": 1.0}):
        returns, lengths = run.evaluate(20, seed=3, **options)  # `Masked` raises where an action is not legal
        assert (lengths >= 3).all()
        assert (returns > 0).any()
    obs = np.array([[0.0, 1.0], [2.0, 3.0]], np.float32)
    masks = np.zeros((2, ACTIONS), np.int8)
    masks[0, 7] = masks[1, 2] = 1
    assert run.policy(obs, legal=masks).tolist() == [7, 2]
    assert run.policy(obs[0], legal=masks[0], seed=5) == 7
    for wrong in (masks[:1], masks[0], masks * 2, masks * 0.5, masks * 0):
        with pytest.raises(ValueError, match="legal: expected"):
            run.policy(obs, legal=wrong)


def test_an_exported_policy_takes_masks(tmp_path, rng):
    _, run = trained(envs.made(Masked), "munchausen")
    np.savez(tmp_path / "policy.npz", **export.exported(*run.networks()))
    exported = numpy_policy.Policy(tmp_path / "policy.npz")
    for _ in range(50):
        obs, mask = rng.integers(0, 6, 2).astype(np.float32), (rng.random(ACTIONS) < 0.3).astype(np.int8)
        mask[rng.integers(ACTIONS)] = 1
        assert exported.act(obs, legal=mask) == run.policy(obs, legal=mask)
        assert mask[exported.act(obs, np.random.default_rng(0), legal=mask)]
        log = play.log_policy(run.env, *run.networks(), jnp.asarray(obs[None]), mask[None].astype(bool))
        np.testing.assert_allclose(exported.probabilities(obs, mask), np.exp(log[0]), atol=1e-5)
    with pytest.raises(ValueError, match=r"legal: expected shape \(11,\), got \(1,\)"):
        exported.act(obs, legal=[1])


def test_masks_that_do_not_fit_into_the_memory_are_refused_before_the_start():
    make = partial(Masked, actions=80_000)
    with pytest.raises(ValueError, match=r"would need .* GB of memory and"):
        trained(envs.made(make), replay=100_000, batch=1, memory=1.2e9)
    assert (
        trained(envs.made(partial(make, way="never")), replay=100_000, batch=1, memory=1.2e9, steps=60)[0] == ["ok"] * 2
    )
