"""Agents of one's own: an algorithm, a construction and numbers that are no entry of a table, passed as values."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mdvi as library
from commands import run
from mdvi.algorithms import Algorithm
from mdvi.envs.spaces import actions_of
from mdvi.learning.acting.export import exported
from mdvi.learning.agents.catalogue import ALL, IMPLICIT, Entry
from mdvi.learning.agents.constructions.implicit import Implicit

SIZES = {"hidden": (8, 8), "batch": 16, "warmup": 100, "replay": 500, "target_period": 20, "log_period": 100}


def tempered(kl=0.05, entropy=0.02):
    """Munchausen's point of the scheme at other numbers."""
    return library.Scheme.of(kl=kl, entropy=entropy)


@dataclass(frozen=True)
class Shifted(Implicit):
    """The implicit construction whose critic is trained on targets that are all larger by one."""

    def critic_target(self, agent, y, target, batch, legal):
        return 1.0 + super().critic_target(agent, y, target, batch, legal)


MINE = Entry("mine", IMPLICIT, Algorithm("tempered", tempered, "(λ, τ)", ""))
SHIFTED = Entry("shifted", Shifted(), MINE.row)


def trained(agent, out=None, **numbers):
    return library.train("CartPole-v1", agent, seeds=2, steps=300, out=out, **SIZES, **numbers)


def parameters(run):
    return [np.asarray(leaf) for member in (0, 1) for leaf in jax.tree.leaves(run.networks(member)[1].critic)]


def test_an_algorithm_that_is_a_value_trains_as_the_entry_that_it_equals():
    theirs, mine = trained("munchausen", kl=0.05, entropy=0.02, lowest=-np.inf), trained(MINE)
    for one, other in zip(parameters(theirs), parameters(mine), strict=True):
        np.testing.assert_array_equal(one, other)
    assert mine.metrics["kl"][0] == pytest.approx(0.05)
    assert set(trained(MINE, kl=[0.1, 0.2]).metrics["kl"].round(9)) == {0.1, 0.2}


def test_a_construction_that_is_a_value_says_what_its_networks_are_trained_on():
    plain, shifted = trained(MINE), trained(SHIFTED)
    assert any((one != other).any() for one, other in zip(parameters(plain), parameters(shifted), strict=True))
    assert shifted.summary["status"] == "ok"


def test_a_run_of_an_agent_of_ones_own_goes_on_and_is_opened_with_that_agent_only(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "run"
    first, again = trained(MINE, folder), trained(MINE, folder)
    assert again.config == first.config
    loaded = library.load(folder, agent=MINE)
    for one, other in zip(parameters(first), parameters(loaded), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(
        ValueError, match=r"was trained with an agent object, which is not stored; pass it: .*agent=agent"
    ):
        library.load(folder)
    with pytest.raises(ValueError, match=r"was trained with the agent Entry .*, not Entry"):
        library.load(folder, agent=SHIFTED)
    with pytest.raises(ValueError, match=r"was trained with the agent Entry .*, not Entry"):
        trained(Entry("mine", IMPLICIT, MINE.row, lowest=-0.5), folder)
    with pytest.raises(ValueError, match="was made with agent"):
        trained("munchausen", folder)
    for command in (("train", "--out", folder), ("evaluate", folder)):
        code, _, err = run(capsys, monkeypatch, *command)
        assert code == 2
        assert "this run was trained with an agent object, which is not stored" in err


def test_whether_a_run_of_a_name_is_one_of_an_object_cannot_be_told(tmp_path):
    trained("munchausen", tmp_path / "run")
    with pytest.warns(UserWarning, match="the agent of the run is munchausen; an object cannot be compared"):
        library.load(tmp_path / "run", agent=MINE)
    with pytest.raises(ValueError, match="expected a name or an `Entry`"):
        trained(Shifted())


class Wide(eqx.Module):
    """One layer, and a cosine of it."""

    weight: jax.Array
    out: jax.Array
    activation: Any = eqx.field(static=True, default=jnp.cos)

    def __call__(self, obs):
        return self.activation(obs @ self.weight) @ self.out


def wide(env, key):
    one, other = jax.random.split(key)
    size = env.observation.shape[0]
    return Wide(jax.random.normal(one, (size, 16)), jax.random.normal(other, (16, actions_of(env).count)))


@pytest.mark.parametrize("agent", ["munchausen", "md-direct"])
@pytest.mark.parametrize("env", ["CartPole-v1", "Acrobot-v1"])
def test_networks_of_ones_own_learn_act_and_go_on(agent, env, tmp_path):
    mine = dataclasses.replace(ALL[agent], network=wide)
    ask = {"seeds": 2, "steps": 300, **SIZES}
    run = library.train(env, mine, out=tmp_path / "run", **ask)
    assert run.summary["status"] == "ok"
    assert isinstance(run.networks(0)[1].critic, Wide)
    first = library.train(env, mine, **ask | {"steps": 120})
    assert any((one != other).any() for one, other in zip(parameters(first), parameters(run), strict=True))
    loaded = library.load(tmp_path / "run", agent=mine)
    returns, _ = loaded.evaluate(3, limit=50)
    np.testing.assert_array_equal(returns, run.evaluate(3, limit=50)[0])
    with pytest.raises(ValueError, match="export: the network of this agent is code of your own"):
        exported(*run.networks(0))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda env, key: Wide(jnp.ones((3, 2)), jnp.ones((2, 2))), "network: fails on a batch of observations"),
        (
            lambda env, key: Wide(jnp.ones((4, 2)), jnp.ones((2, 3))),
            r"network: expected float32 of shape .* for observations",
        ),
        (lambda env, key: eqx.nn.MLP(4, 2, 8, 1, key=key), r"network: MLP.activation: expected an array of floats"),
    ],
)
def test_networks_that_do_not_fit_are_refused(network, message):
    with pytest.raises(ValueError, match=message):
        trained(dataclasses.replace(ALL["dqn"], network=network))


@pytest.mark.parametrize(
    "structure", [{"regularizer": "tsallis:2"}, {"reference": np.full((3, 2), 0.5)}, {"floor": "own"}], ids=str
)
def test_schemes_whose_policies_are_no_softmax_are_refused(structure):
    def row(kl=0.05, entropy=0.02):
        return library.Scheme.of(kl=kl, entropy=entropy, **structure)

    entry = Entry("sparse", IMPLICIT, Algorithm("row", row, "(λ, τ)", ""))
    with pytest.raises(ValueError, match="deep agents act by softmax, so they take the regularizers 'shannon' and"):
        entry.agent()
