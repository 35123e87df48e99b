"""The Bellman operators of a finite model: backup, exact evaluation of a policy, regularised optimum.

A stationary regularised problem is described by a temperature t and an offset c:

    v = M_t(q + c) = max_π ⟨π, q⟩ + ⟨π, c⟩ − t Ω(π)

t = τ, c = 0 is entropy regularisation; t = λ + τ, c = λ log μ adds the KL to a fixed prior μ. With another Ω than
Shannon's, the dual variable of μ stands in the place of log μ.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from mdvi.mdp.model import FiniteMDP
from mdvi.regularizers import SHANNON, Regularizer, expectation
from mdvi.scheme import Scheme
from mdvi.types import Array, Reduced

Q = Float[Array, "states actions"]
V = Float[Reduced, " states"]


class BellmanOperator(eqx.Module):
    """r + γ P · of a model."""

    model: FiniteMDP

    def backup(self, v: V) -> Q:
        """R + γ P v; terminal states count as zero."""
        return self.model.reward + self.model.discount * self.model.expect(v)

    def evaluate(self, policy: Q, bonus: V) -> Q:
        """The fixed point of q ↦ r + γ P (⟨π, q⟩ + bonus), by one linear solve in the states."""
        return self.backup(policy_value(self.model, policy, bonus))


class Objective(eqx.Module):
    """The stationary problem that a scheme's policies are judged by: max_π E Σ γ^t (r + ⟨π, c⟩ − t Ω(π))."""

    temperature: Float[Array, ""]
    offset: Q
    regularizer: Regularizer = eqx.field(default=SHANNON, static=True)

    def maximum(self, q: Q, legal: Bool[Array, "states actions"]) -> V:
        """max_π ⟨π, q + c⟩ − t Ω(π)."""
        return self.regularizer.maximum(q + self.offset, self.temperature, legal)

    def greedy(self, q: Q, legal: Bool[Array, "states actions"]) -> Q:
        """The maximising policy."""
        return self.regularizer.policy(q + self.offset, self.temperature, legal)

    def bonus(self, policy: Q, log_policy: Q, legal: Bool[Array, "states actions"]) -> V:
        """⟨π, c⟩ − t Ω(π)."""
        omega = self.regularizer.omega(log_policy, legal)  # which may be infinite where it has no weight
        return expectation(policy, self.offset) - self.temperature * jnp.where(self.temperature > 0, omega, 0.0)


def objective_of(scheme: Scheme, log_prior: Q, legal: Bool[Array, "states actions"]) -> Objective:
    """What stays of a scheme's regularisation once the policy no longer moves.

    A KL term to the previous policy vanishes and −τΩ(π) stays; a KL term to a fixed prior stays too. With a schedule,
    the last coefficients count.
    """
    last = scheme.at(-1)
    temperature, offset = last.entropy, jnp.zeros_like(log_prior)
    if scheme.prior == "fixed":
        dual = scheme.regularizer.dual(log_prior, legal)
        temperature, offset = last.temperature, last.kl * jnp.where(legal, dual, 0.0)
    if scheme.reference is not None:
        offset = offset + last.entropy * scheme.pull(legal)
    return Objective(jnp.asarray(temperature), offset, scheme.regularizer)


def policy_value(mdp: FiniteMDP, policy: Q, bonus: V) -> V:
    """v_π, the solution of v = ⟨π, r⟩ + bonus + γ P_π v. Dense: for models of at most a few thousand states."""
    gain = jnp.where(mdp.terminal, 0.0, expectation(policy, mdp.reward) + bonus)
    chain = jnp.eye(mdp.states, dtype=gain.dtype) - mdp.discount * mdp.induced(policy)
    return jnp.linalg.solve(chain, gain)


def optimum(mdp: FiniteMDP, objective: Objective) -> Q:
    """q_* of the regularised problem, by policy iteration: Newton's method on v = M_t(r + γPv + c).

    The values rise from policy to policy; it stops when they rise by no more than the rounding of a linear solve.
    """

    def improve(v: V) -> V:
        policy = objective.greedy(operator.backup(v), mdp.legal)
        log_policy = jnp.where(policy > 0, jnp.log(jnp.where(policy > 0, policy, 1.0)), -jnp.inf)
        return policy_value(mdp, policy, objective.bonus(policy, log_policy, mdp.legal))

    def rises(carry: tuple[V, V]) -> Bool[Array, ""]:
        before, v = carry
        rounding = 4 * np.finfo(v.dtype).eps / (1 - mdp.discount)
        return (v - before).max() > rounding * jnp.abs(v).max()

    operator = BellmanOperator(mdp)
    first = improve(jnp.zeros(mdp.states, mdp.reward.dtype))
    _, v = jax.lax.while_loop(rises, lambda carry: (carry[1], improve(carry[1])), (first - jnp.inf, first))
    return operator.backup(v)
