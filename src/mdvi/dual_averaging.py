"""The scheme written with averages of past q, as in the paper's analysis: the twin of `Scheme`."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float

from mdvi.scheme import Bellman, GreedyStep, Legal, Q, Scheme, greedy_step, hash_of, scaled
from mdvi.types import Array


class DualAveragingState(eqx.Module):
    """q_k, the average h_k of q_0 … q_k, and s_k = κ log π_k for the KL term."""

    q: Q
    h: Q
    scaled_log_policy: Q
    iteration: Float[Array, ""]


class DualAveraging(eqx.Module):
    """DA-MPI(λ, τ): the policy from the average of past q instead of from the previous policy.

        τ = 0:  h_k = (q_0 + … + q_k)/(k + 1),          π_{k+1} = softmax((k + 1) h_k / λ)
        τ > 0:  h_k = (1 − β) Σ_{j≤k} β^{k−j} q_j,       π_{k+1} = softmax(h_k / τ)

    With another regulariser Ω, ∇Ω*(·) = ∇M_1(·) stands in the place of softmax, and with a reference ρ the averages are
    those of q + τ (∇Ω(ρ) − Ω*(∇Ω(ρ))). Equal to MD-MPI(λ, τ), policy by policy, without errors in the greedy step and
    from the π_0 of least Ω. Meant for float64: it subtracts large numbers where `Scheme` does not.

    Source: the paper, equations 4 and 5, Proposition 1.

    Attributes:
        scheme: the point (κ, β), with constant coefficients, a moving prior, the maximum of its Ω and no floor.
    """

    scheme: Scheme

    __hash__ = hash_of

    def __repr__(self) -> str:
        return f"DualAveraging({self.scheme!r})"

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        return self.scheme._repr_html_().replace("Scheme", "DualAveraging", 1)

    def __check_init__(self) -> None:
        if self.scheme.prior == "fixed" or self.scheme.maximum is not None or self.scheme.floor is not None:
            raise ValueError("dual averaging needs prior='previous', the maximum of a regularizer, and no floor")
        if jnp.ndim(self.scheme.temperature) or jnp.ndim(self.scheme.beta):
            raise ValueError("dual averaging needs constant coefficients; schedules have no average form here")

    @property
    def beta(self) -> Any:
        """β = λ / (λ + τ)."""
        return self.scheme.beta

    def at(self, iteration: Any) -> "DualAveraging":
        """The scheme of one iteration, which is the same for all."""
        return self

    def averaged(self, iteration: Any) -> Any:
        """How many errors are averaged at β = 1."""
        return self.scheme.averaged(iteration)

    def init(self, q: Q, log_policy: Q, legal: Legal) -> DualAveragingState:
        """h_0 = q_0 when τ = 0; h_0 = (1 − β)q_0 when τ > 0, because h_{−1} = 0."""
        beta = self.scheme.beta
        h = jnp.where(beta == 1, q, (1 - beta) * q)
        s = scaled(self.scheme.temperature, self.scheme.regularizer.dual(log_policy, legal), legal)
        return DualAveragingState(q, h, s, jnp.zeros((), q.dtype))

    def greedy(self, state: DualAveragingState, legal: Legal, perturb: Callable[[Q], Q] | None = None) -> GreedyStep:
        """∇Ω*((k + 1)h/λ) or ∇Ω*(h/τ), both written as ∇Ω*(x/κ)."""
        beta = self.scheme.beta
        weight = jnp.where(beta == 1, state.iteration + 1, 1 / jnp.where(beta == 1, 1.0, 1 - beta))
        x, pull = weight * state.h, None
        if self.scheme.reference is not None:
            pull = self.scheme.entropy * self.scheme.pull(legal)
            x = x + pull * weight * (1 - beta ** (state.iteration + 1))
        step = greedy_step(self.scheme, x, state.scaled_log_policy, legal, perturb)
        return dataclasses.replace(step, v=None, pull=pull)

    def evaluate(self, q: Q, step: GreedyStep, bellman: Bellman) -> Q:
        """(T^{λ,τ}_{π_{k+1}|π_k})^m q, always from its definition."""
        return self.scheme.evaluate(q, step, bellman)

    def advance(self, state: DualAveragingState, step: GreedyStep, q: Q) -> DualAveragingState:
        """h_{k+1} = ((k + 1)h_k + q_{k+1})/(k + 2), or βh_k + (1 − β)q_{k+1}."""
        k, beta = state.iteration, self.scheme.beta
        mean = ((k + 1) * state.h + q) / (k + 2)
        moving = beta * state.h + (1 - beta) * q
        h = jnp.where(beta == 1, mean, moving)
        return DualAveragingState(q, h, step.scaled_log_policy, state.iteration + 1)
