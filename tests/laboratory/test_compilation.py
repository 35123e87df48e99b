"""What a scheme compiles to: the paper's four lines, and one program for a whole grid of λ and τ."""

import re
from collections import Counter
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdvi import Scheme, iterate, mdp, schedule
from mdvi.laboratory import iterate as loop
from mdvi.laboratory.bellman import BellmanOperator
from mdvi.regularizers import SHANNON, expectation
from mdvi.scheme import MirrorDescentState

MODEL = mdp.garnet(7, 3, 2, 0.9, seed=0)


def step(scheme, state):
    """One iteration as `iterate` composes it: the new q and s."""
    greedy = scheme.greedy(state, MODEL.legal)
    q = scheme.evaluate(state.q, greedy, BellmanOperator(MODEL))
    after = scheme.advance(state, greedy, q)
    return after.q, after.scaled_log_policy


def four_lines(scheme, state, full=True):
    """The same, written out for Shannon's Ω: x = q + βs, v = M_κ(x), s' = x − v, q' = r + γPv."""
    kappa, beta, legal = scheme.temperature, scheme.beta, MODEL.legal
    rescaled = kappa / jnp.where(state.temperature > 0, state.temperature, 1.0)
    anchor = state.scaled_log_policy * jnp.where(kappa == state.temperature, 1.0, rescaled)
    x = state.q + beta * anchor
    v = SHANNON.maximum(x, kappa, legal)
    s = jnp.where(legal, x - v[:, None], 0.0)
    if not full:
        policy = SHANNON.policy(x, kappa, legal)
        v = expectation(policy, state.q) + expectation(policy, jnp.zeros_like(policy) - beta * (s - anchor))
    return BellmanOperator(MODEL).backup(v), s


def operations(function, scheme, state):
    """The operations of the program that XLA has made of it, and the shapes of their results."""
    text = jax.jit(function).lower(scheme, state).compile().as_text()
    return Counter(re.findall(r"%\S+ = (\S+ [\w-]+)\(", text))


@pytest.mark.parametrize("full", [True, False])
def test_a_step_of_shannons_scheme_is_the_four_lines(full):
    """Nothing of other regularisers, references, floors, schedules or inexact steps is left in its program."""
    with jax.enable_x64(True):
        scheme = Scheme(jnp.asarray(0.3), jnp.asarray(0.5), evaluate_entropy=full)
        q = jnp.asarray(np.random.default_rng(0).normal(size=(7, 3)))
        state = MirrorDescentState(q, jnp.log(jax.nn.softmax(q)), jnp.asarray(0.3))
        ours, plain = (operations(program, scheme, state) for program in (step, partial(four_lines, full=full)))
        assert sum(ours.values()) > 20
        assert ours == plain


@pytest.mark.parametrize("omega", ["shannon", "tsallis:1.5", "lazy"])
def test_a_grid_of_weights_is_compiled_once_for_each_regulariser(omega):
    """λ, τ and schedules of them are arrays: other numbers run the same program, another Ω compiles another."""

    def run(*numbers, **structure):
        grid = [Scheme.of(kl, tau, regularizer=omega, **structure) for kl, tau in numbers]
        iterate(MODEL, grid, 3, record=("loss", "bound"))

    compiled = loop._advance._cache_size
    run((0.1, 0.0), (1.0, 0.2), (0.0, 0.3))
    before = compiled()
    run((0.7, 0.1), (0.3, 0.0), (0.0, 0.0))
    assert compiled() == before
    run((0.7, 0.1), (0.3, 0.0), (0.0, 0.0), evaluate_kl=False)
    assert compiled() == before + 1


def test_a_schedule_of_other_numbers_is_the_same_program():
    compiled = loop._advance._cache_size
    for rescale in (True, False):
        runs = []
        for scale in (1.0, 2.0):
            runs.append(iterate(MODEL, Scheme.of(schedule([1.0, scale, 0.5]), rescale=rescale), 3, record=("q",)))
            before = compiled() if scale == 1.0 else before
        assert compiled() == before
        assert not np.array_equal(runs[0].q, runs[1].q)
