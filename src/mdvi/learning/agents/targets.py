"""The scheme on network outputs: policies, steps between policies, and the regression target of the critic.

`Preferences` turns the output of a network into a policy: π = softmax(x/t), with the scaled log-policy
s = w·(x − M_t(x)) = κ log π. The equation below is the evaluation of `mdvi.scheme`, on batches (B, A) instead of tables
(S, A):

    critic   y = G + γ^m (1 − d) v(s'),     v = ⟨π', q̄⟩ − λ KL(π'‖π̄) + τ H(π')       [each term switchable]

Bars mark target networks. The losses of actors, and the Munchausen term of an implicit agent, are in the files of
`agents.constructions`.

Source: Vieillard et al. (2020), section 5 and appendix D.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from mdvi.regularizers import log_soft_argmax, soft_argmax, soft_maximum
from mdvi.scheme import GreedyStep, MirrorDescentState, Scheme
from mdvi.types import Array, Reduced

Outputs = Float[Array, "batch actions"]
Legal = Bool[Array, "batch actions"]
Numbers = Float[Reduced, " batch"]


class Preferences(eqx.Module):
    """A policy as π = softmax(x/t), and its scaled log-policy as s = w·(x − M_t(x)).

    Attributes:
        x: one number per action.
        temperature: t ≥ 0; at 0 the policy is greedy.
        weight: w, such that w·t = κ.
    """

    x: Outputs
    temperature: Any
    weight: Any


def scaled_log_policy(of: Preferences, legal: Legal) -> Outputs:
    """s = κ log π, and 0 on illegal actions."""
    return jnp.where(legal, of.weight * (of.x - jnp.expand_dims(soft_maximum(of.x, of.temperature, legal), -1)), 0.0)


def log_policy(of: Preferences, legal: Legal) -> Outputs:
    """log π, −∞ on illegal actions."""
    return log_soft_argmax(of.x, of.temperature, legal)


def follow(new: Preferences, old: Preferences, legal: Legal) -> GreedyStep:
    """The step from one policy to another; neither policy needs to be greedy."""
    return GreedyStep(
        policy=soft_argmax(new.x, new.temperature, legal),
        scaled_log_policy=scaled_log_policy(new, legal),
        anchor=scaled_log_policy(old, legal),
        log_policy=log_policy(new, legal),
        v=None,
    )


def critic_target(scheme: Scheme, returns: Numbers, discount: Numbers, q: Outputs, step: GreedyStep) -> Numbers:
    """y = G + γ^m (1 − d) v(s'), with the terms that the evaluation keeps."""
    return returns + discount * scheme.value(q, step)


def action_gap(of: Preferences, legal: Legal) -> Numbers:
    """The largest x minus the second largest; 0 with one action."""
    best = jnp.where(legal, of.x, -jnp.inf).max(-1)
    winner = jnp.argmax(jnp.where(legal, of.x, -jnp.inf), -1)[:, None] == jnp.arange(of.x.shape[-1])[None, :]
    rest = jnp.where(legal & ~winner, of.x, -jnp.inf).max(-1)
    return jnp.where(rest == -jnp.inf, 0.0, best - rest)


def at(table: Outputs, action: Int[Array, " batch"]) -> Numbers:
    """The entries of a table at the actions taken; by a mask, since the derivative of a gather is a slow scatter."""
    taken = jnp.arange(table.shape[-1])[None, :] == action[:, None]
    return jnp.where(taken, table, 0.0).sum(-1)


def state_of(scheme: Scheme, q: Outputs, scaled: Outputs) -> MirrorDescentState:
    """The state of the scheme at (q, s)."""
    return MirrorDescentState(q, scaled, jnp.asarray(scheme.temperature, q.dtype))
