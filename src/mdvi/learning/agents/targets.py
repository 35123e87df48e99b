"""Regression targets and policy losses: the scheme, read on network outputs.

A network's output becomes a policy by `Preferences`: π = softmax(x/t), with s = w·(x − M_t(x)) = κ log π its scaled
log-policy. With that, the lines below are those of `mdvi.scheme`, on batches (B, A) instead of tables (S, A):

    critic   y = G + γ^m (1 − d) v(s'),     v = ⟨π', q̄⟩ − λ KL(π'‖π̄) + τ H(π')       [each term switchable]
    direct   −⟨Π, q̄⟩ + λ KL(Π‖Π̄) − τ H(Π)                                             = κ KL(Π‖G_Π̄(q̄)) + constant
    indirect  KL(G_Π̄(q̄)‖Π)
    dual      (H − [β H̄ + (1 − β) q̄])²
    implicit  no actor: the critic holds x = q + βs, and y gains β·s'(s, a) = β κ log π'(a|s)

Bars are target networks. Source: Vieillard et al. (2020), section 5 and appendix D; the implicit form is that of
Vieillard, Pietquin and Geist, "Munchausen RL" (2020), equation 2.
"""

import dataclasses
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from mdvi.regularizers import kl_divergence, log_soft_argmax, soft_argmax, soft_maximum
from mdvi.scheme import GreedyStep, MirrorDescentState, Scheme
from mdvi.types import Array, Reduced

Construction = Literal["direct", "indirect", "dual", "implicit"]
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


def preferences(scheme: Scheme, construction: Construction, output: Outputs) -> Preferences:
    """The policy that a network's output stands for.

    The critic's of an implicit agent is x itself; an actor's is a vector of logits if direct or indirect, and the
    average h of past q if dual, where x = h/(1 − β).
    """
    if construction == "implicit":
        return Preferences(output, scheme.temperature, 1.0)
    if construction == "dual":
        return Preferences(output / (1 - scheme.beta), scheme.temperature, 1.0)
    return Preferences(output, 1.0, scheme.temperature)


def scaled_log_policy(of: Preferences, legal: Legal) -> Outputs:
    """s = κ log π, and 0 on illegal actions."""
    return jnp.where(legal, of.weight * (of.x - jnp.expand_dims(soft_maximum(of.x, of.temperature, legal), -1)), 0.0)


def log_policy(of: Preferences, legal: Legal) -> Outputs:
    """log π, −∞ on illegal actions."""
    return log_soft_argmax(of.x, of.temperature, legal)


def follow(new: Preferences, old: Preferences, legal: Legal) -> GreedyStep:
    """The step from one policy to another, neither of which need be greedy."""
    return GreedyStep(
        policy=soft_argmax(new.x, new.temperature, legal),
        scaled_log_policy=scaled_log_policy(new, legal),
        anchor=scaled_log_policy(old, legal),
        log_policy=log_policy(new, legal),
        v=None,
    )


def implicit_step(scheme: Scheme, x: Outputs, legal: Legal) -> GreedyStep:
    """The exact greedy step that x = q + βs implies; since x holds βs already, it starts from s = 0."""
    return scheme.greedy(_state(scheme, x, jnp.zeros_like(x)), legal)


def critic_target(scheme: Scheme, returns: Numbers, discount: Numbers, q: Outputs, step: GreedyStep) -> Numbers:
    """y = G + γ^m (1 − d) v(s'), with the terms that the evaluation keeps."""
    return returns + discount * scheme.value(q, step)


def munchausen_term(scheme: Scheme, step: GreedyStep, action: Int[Array, " batch"], lowest: Any) -> Numbers:
    """β · max(κ log π'(a|s), lowest)."""
    return scheme.beta * jnp.maximum(at(step.scaled_log_policy, action), lowest)


def direct_loss(scheme: Scheme, q: Outputs, step: GreedyStep) -> Numbers:
    """−⟨Π, q̄⟩ + λ KL(Π‖Π̄) − τ H(Π): the greedy step's own objective, whatever the evaluation keeps."""
    return -dataclasses.replace(scheme, evaluate_kl=True, evaluate_entropy=True).value(q, step)


def indirect_loss(scheme: Scheme, q: Outputs, step: GreedyStep, legal: Legal) -> Numbers:
    """KL(Π̂‖Π) with Π̂ = G_Π̄(q̄), computed on logarithms."""
    greedy = scheme.greedy(_state(scheme, q, step.anchor), legal)
    return kl_divergence(greedy.log_policy, step.log_policy)


def dual_target(scheme: Scheme, h: Outputs, q: Outputs) -> Outputs:
    """β h̄ + (1 − β) q̄."""
    return scheme.beta * h + (1 - scheme.beta) * q


def action_gap(of: Preferences, legal: Legal) -> Numbers:
    """The largest x minus the second largest; 0 with one action."""
    best = jnp.where(legal, of.x, -jnp.inf).max(-1)
    winner = jnp.argmax(jnp.where(legal, of.x, -jnp.inf), -1)[:, None] == jnp.arange(of.x.shape[-1])[None, :]
    rest = jnp.where(legal & ~winner, of.x, -jnp.inf).max(-1)
    return jnp.where(rest == -jnp.inf, 0.0, best - rest)


def at(table: Outputs, action: Int[Array, " batch"]) -> Numbers:
    """Its entries at the actions taken: by a mask, because the derivative of a gather is a scatter, which is slow."""
    taken = jnp.arange(table.shape[-1])[None, :] == action[:, None]
    return jnp.where(taken, table, 0.0).sum(-1)


def _state(scheme: Scheme, q: Outputs, scaled: Outputs) -> MirrorDescentState:
    return MirrorDescentState(q, scaled, jnp.asarray(scheme.temperature, q.dtype))
