"""Error models: where an iteration of the scheme may go wrong, and by how much.

    π_{k+1} = G^{λ,τ}_{π_k}(q_k + e_{k+1}),     q_{k+1} = regress( (T̂^{λ,τ}_{π_{k+1}|π_k})^m q_k )

`Errors` has one slot for each of the three places; an empty slot is exact. The theorems speak of the error
of the evaluation, ε_{k+1} = q_{k+1} − (T^{λ,τ}_{π_{k+1}|π_k})^m q_k, whatever slot it comes from. An error e_{k+1} of
the greedy step counts as e_{k+1} − γP⟨π_{k+1}, e_{k+1}⟩.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from mdvi.laboratory.sampling import empirical
from mdvi.mdp.kernels import Kernel
from mdvi.mdp.model import FiniteMDP
from mdvi.regularizers import soft_argmax
from mdvi.scheme import hash_of
from mdvi.types import Array
from mdvi.words import did_you_mean, integer_in, number_in, numbers

__all__ = [
    "ALL",
    "Errors",
    "Moment",
    "alternating",
    "constant",
    "errors_of",
    "gaussian",
    "given",
    "greedy",
    "none",
    "projection",
    "random_features",
    "sampled",
    "worst_sign",
]

Q = Float[Array, "states actions"]


class Moment(eqx.Module):
    """What an error may depend on.

    Attributes:
        iteration: k + 1, the index of the q that is being computed.
        key: random bits of this iteration.
        pattern: numbers uniform in (−1, 1), drawn once a run.
        legal: the legal actions.
        optimal_q: q_* of the problem the scheme settles on, where the errors or the trace ask for it.
    """

    iteration: Int[Array, ""]
    key: jax.Array
    pattern: Q
    legal: Bool[Array, "states actions"]
    optimal_q: Q | None


class _Function(eqx.Module):
    """A plain function in a slot."""

    function: Callable[..., Any] = eqx.field(static=True)

    def __call__(self, moment: Moment, subject: Any) -> Any:
        result = self.function(moment, subject)
        if isinstance(subject, jax.Array) and jnp.shape(result) != subject.shape:
            raise ValueError(f"errors: a function returned shape {jnp.shape(result)} for {subject.shape}")
        return result


def _shown(model: Any) -> str:
    """What is in a slot: the name of a function, or a name and the numbers it was made with."""
    if isinstance(model, _Function):
        return str(getattr(model.function, "__name__", repr(model.function)))
    named = ((field.name, getattr(model, field.name)) for field in dataclasses.fields(model))
    inside = (f"{name}={numbers(value) if isinstance(value, np.ndarray) else repr(value)}" for name, value in named)
    return f"{type(model).__name__.lstrip('_')}({', '.join(inside)})"


def _slot(model: Any) -> Any:
    return model if model is None or isinstance(model, eqx.Module) else _Function(model)


class Errors(eqx.Module):
    """The errors of a run, one slot per place; `None` is exact.

    A slot takes a function of JAX arrays, or an `equinox.Module` whose arrays may then differ without recompiling.

    Attributes:
        kernel: (moment, P) ↦ P̂, the transitions as far as they are known.
        regress: (moment, q) ↦ what is stored of q.
        perturb: (moment, x) ↦ the values that the greedy step sees.
    """

    kernel: Callable[[Moment, Kernel], Kernel] | None = eqx.field(default=None, converter=_slot)
    regress: Callable[[Moment, Q], Q] | None = eqx.field(default=None, converter=_slot)
    perturb: Callable[[Moment, Q], Q] | None = eqx.field(default=None, converter=_slot)

    __hash__ = hash_of

    def __repr__(self) -> str:
        slots = {slot: getattr(self, slot) for slot in ("kernel", "regress", "perturb")}
        return f"Errors({', '.join(f'{slot}={_shown(model)}' for slot, model in slots.items() if model is not None)})"

    def check(self, live: Bool[np.ndarray, "models states actions"], iterations: int) -> None:
        """Refuse errors made for other models or another number of iterations."""
        _, states, actions = live.shape
        if isinstance(self.regress, _Given) and self.regress.values.shape != (iterations, states, actions):
            raise ValueError(
                f"errors: given values have shape {self.regress.values.shape}, the runs {(iterations, states, actions)}"
            )
        if isinstance(self.regress, _Projection) and len(self.regress.basis) != states * actions:
            raise ValueError(f"errors: features of {len(self.regress.basis)} pairs for {states * actions} of the model")
        if isinstance(self.regress, _Projection):
            used = (self.regress.basis != 0).any(-1).reshape(states, actions)
            for _, s, a in np.argwhere(used & ~live)[:1]:
                raise ValueError(f"features: state {s}, action {a} is illegal or terminal; its features must be zero")

    @property
    def know_optimum(self) -> bool:
        """Whether the errors depend on q_*."""
        return isinstance(self.regress, _WorstSign)


class _Sampled(eqx.Module):
    samples: int = eqx.field(static=True)

    def __call__(self, moment: Moment, kernel: Kernel) -> Kernel:
        return empirical(kernel, moment.key, self.samples)


class _Gaussian(eqx.Module):
    scale: Float[Array, ""]

    def __call__(self, moment: Moment, q: Q) -> Q:
        return q + self.scale * jax.random.normal(moment.key, q.shape, q.dtype)


class _Constant(eqx.Module):
    scale: Float[Array, ""]
    alternate: bool = eqx.field(static=True)

    def __call__(self, moment: Moment, q: Q) -> Q:
        sign = jnp.where(moment.iteration % 2 == 0, -1.0, 1.0) if self.alternate else 1.0
        return q + self.scale * sign * moment.pattern


class _WorstSign(eqx.Module):
    scale: Float[Array, ""]

    def __call__(self, moment: Moment, q: Q) -> Q:
        assert moment.optimal_q is not None, "see Errors.know_optimum"
        optimal = soft_argmax(moment.optimal_q, 0.0, moment.legal) > 0
        return q + self.scale * jnp.where(optimal, -1.0, 1.0)


class _Given(eqx.Module):
    values: Float[Array, "iterations states actions"]

    def __call__(self, moment: Moment, q: Q) -> Q:
        return q + self.values[moment.iteration - 1]


class _Projection(eqx.Module):
    basis: Float[Array, "pairs dimension"]

    def __call__(self, moment: Moment, q: Q) -> Q:
        return (self.basis @ (self.basis.T @ q.ravel())).reshape(q.shape)


def none() -> Errors:
    """No error: q_{k+1} = (T^{λ,τ}_{π_{k+1}|π_k})^m q_k."""
    return Errors()


def gaussian(scale: float) -> Errors:
    """ε_k(s, a) ~ N(0, scale²), independent; `scale` in units of q."""
    return Errors(regress=_Gaussian(_scale(scale)))


def constant(scale: float) -> Errors:
    """ε_k(s, a) = scale · u(s, a) for all k, with u uniform in (−1, 1) drawn once a run: errors that add up."""
    return Errors(regress=_Constant(_scale(scale), alternate=False))


def alternating(scale: float) -> Errors:
    """ε_k(s, a) = (−1)^{k+1} scale · u(s, a), with u uniform in (−1, 1) drawn once a run: errors that cancel."""
    return Errors(regress=_Constant(_scale(scale), alternate=True))


def worst_sign(scale: float) -> Errors:
    """ε_k(s, a) = −scale on the optimal actions and +scale on all others: an adversary who knows q_*."""
    return Errors(regress=_WorstSign(_scale(scale)))


def given(values: Any) -> Errors:
    """ε_k = values[k − 1], for k = 1 … K.

    Args:
        values: shape (iterations, states, actions), finite, in units of q.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 3 or not np.isfinite(array).all():
        raise ValueError(f"values: expected finite numbers of shape (iterations, states, actions), got {array.shape}")
    return Errors(regress=_Given(array))


def sampled(samples: int = 1) -> Errors:
    """A generative model: each iteration draws `samples` next states per (s, a) and uses their average for P.

    Source: the paper, Algorithm 1 (sampled MD-VI) with samples = 1.
    """
    if isinstance(samples, bool) or not isinstance(samples, int | np.integer) or samples < 1:
        raise ValueError(f"samples: expected an integer of at least 1, got {samples!r}")
    return Errors(kernel=_Sampled(int(samples)))


def projection(features: Any) -> Errors:
    """q_{k+1} = Φ(ΦᵀΦ)⁻¹Φᵀ (T^m q_k): least squares on linear features.

    Args:
        features: Φ, shape (states, actions, dimension), finite, and zero on illegal and terminal pairs, which the
            fit then leaves out.
    """
    phi = np.asarray(features, np.float64)
    if phi.ndim != 3 or not np.isfinite(phi).all():
        raise ValueError(f"features: expected finite numbers of shape (states, actions, dimension), got {phi.shape}")
    left, singular, _ = np.linalg.svd(phi.reshape(-1, phi.shape[-1]), full_matrices=False)
    rounding = np.finfo(float).eps * max(left.shape) * singular.max(initial=0)
    return Errors(regress=_Projection(left[:, singular > rounding]))


def random_features(mdp: FiniteMDP, dimension: int, seed: int = 0) -> np.ndarray:
    """Φ(s, a) ~ N(0, I) on possible pairs, 0 on others; shape (states, actions, dimension), for `projection`."""
    if isinstance(dimension, bool) or not isinstance(dimension, int | np.integer) or dimension < 1:
        raise ValueError(f"dimension: expected an integer of at least 1, got {dimension!r}")
    features = np.random.default_rng(seed).standard_normal((mdp.states, mdp.actions, dimension))
    return np.where(np.asarray(mdp.live)[..., None], features, 0.0)


def greedy(scale: float) -> Errors:
    """e_k(s, a) ~ N(0, scale²) on the values that the greedy step sees; the evaluation stays exact."""
    return Errors(perturb=_Gaussian(_scale(scale)))


def _scale(scale: float) -> np.ndarray:
    number = np.asarray(scale, np.float64)
    if number.ndim or not (np.isfinite(number) and number >= 0):
        raise ValueError(f"scale: expected a finite number of at least 0, got {scale!r}")
    return number


ALL: dict[str, Callable[..., Errors]] = {
    model.__name__: model
    for model in (none, gaussian, constant, alternating, worst_sign, given, sampled, projection, greedy)
}


def errors_of(text: str, model: FiniteMDP, seed: int) -> Errors:
    """NAME or NAME=NUMBER as an error model; random features for a projection are drawn from the seed."""
    name, _, number = text.partition("=")
    if name not in ALL:
        raise ValueError(f"unknown error model {name!r}{did_you_mean(name, ALL)}")
    if name == "none" and not number:
        return none()
    if name == "sampled":
        return sampled(integer_in(name, number or "1"))
    if not number:
        raise ValueError(f"--errors {name}: needs a number, as in {name}=0.1")
    if name == "none":
        raise ValueError(f"--errors none: takes no number, got {number}")
    if name == "given":
        raise ValueError("--errors given: needs arrays; it is for Python")
    if name == "projection":
        return projection(random_features(model, integer_in(name, number), seed))
    return ALL[name](number_in(name, number))
