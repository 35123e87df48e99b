"""The scheme: one program, of which every algorithm in `mdvi.algorithms` is a value.

With κ = λ + τ, β = λ/κ and the scaled log-policy s = κ log π carried from step to step, MD-VI(λ, τ) is

    x  = q + β s
    v  = M_κ(x)              κ log Σ_a exp(x/κ), and max x at κ = 0
    s' = x − v               κ log π'
    q' = r + γ P v + ε

Nothing in these lines divides by κ, so κ = 0 is a point like any other, and (κ, β) rather than (λ, τ) is what is
stored: at κ = 0, β = 0 is value iteration, 0 < β < 1 Advantage Learning and β = 1 Speedy Q-learning, which
λ = τ = 0 cannot tell apart.

`DualAveraging` is the same scheme written with averages of past q instead, as in the paper's analysis. It shares no
line of the greedy step with `Scheme` and serves as its twin.

Source: Vieillard et al., "Leverage the Average" (2020), sections 3 and 4, equations of MD-MPI and DA-MPI.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from mdvi.regularizers import KL_TO_UNIFORM, SHANNON, Regularizer, expectation, mellowmax, soft_maximum
from mdvi.regularizers.names import beside
from mdvi.regularizers.reference import Reference
from mdvi.types import Array, Reduced, Scalar, namespace
from mdvi.words import as_html, did_you_mean, numbers

Q = Float[Array, "states actions"]
V = Float[Reduced, " states"]
Legal = Bool[Array, "states actions"]
Coefficient = Float[Array, "*schedule"] | float


_OWNERS: tuple[tuple[Any, Regularizer], ...] = ((soft_maximum, SHANNON), (mellowmax, KL_TO_UNIFORM))


class Schedule(np.ndarray):
    """One number for each iteration, see `schedule`: an array that says what it is for."""


def schedule(values: Any) -> Schedule:
    """One number for each iteration, as a coefficient of `Scheme`; a list of schemes is a grid instead.

    >>> Scheme.of(kl=schedule([1.0, 0.5, 0.25]))
    Scheme.of(kl=[1, 0.5, 0.25], entropy=[0, 0, 0])

    Args:
        values: shape (iterations,).

    Raises:
        ValueError: for anything else than a sequence of numbers.
    """
    try:
        numbers = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"schedule: expected a sequence of numbers, got {values!r}") from None
    if numbers.ndim != 1 or not numbers.size:
        raise ValueError(f"schedule: expected one number for each iteration, got an array of shape {numbers.shape}")
    return numbers.view(Schedule)


def hash_of(tree: Any) -> int:
    """A hash of a module that holds arrays: equal ones have it in common, and no array is read."""
    return hash((type(tree), *map(np.shape, jax.tree.leaves(tree))))


@runtime_checkable
class Bellman(Protocol):
    """What a scheme needs of a model: exact, sampled or learned."""

    def backup(self, v: V) -> Q:
        """R + γ P v."""

    def evaluate(self, policy: Q, bonus: V) -> Q:
        """The fixed point of q ↦ r + γ P (⟨π, q⟩ + bonus)."""


class GreedyStep(eqx.Module):
    """π_{k+1} and how it was reached.

    Attributes:
        policy: π_{k+1}, shape (states, actions).
        scaled_log_policy: s' = κ log π_{k+1}, up to a constant per state if `maximum` is not the soft maximum.
        anchor: κ log π_k, the scaled log of the policy that the KL term refers to.
        log_policy: log π_{k+1}.
        v: M_κ(x), the regularised value of q_k under π_{k+1}; None when π_{k+1} is not the exact maximiser.
        error: e_{k+1}, what `perturb` added to x; None without it.
        pull: τ (∇Ω(ρ) − Ω*(∇Ω(ρ))) of a reference ρ, which x contains; None without a reference.
    """

    policy: Q
    scaled_log_policy: Q
    anchor: Q
    log_policy: Q
    v: V | None
    error: Q | None = None
    pull: Q | None = None


class MirrorDescentState(eqx.Module):
    """q_k and s_k = κ log π_k, with the κ it was scaled by; s is 0 on illegal actions."""

    q: Q
    scaled_log_policy: Q
    temperature: Float[Array, ""]


class Scheme(eqx.Module):
    """MD-MPI(λ, τ), stored as (κ, β); `Scheme.of(kl=…, entropy=…)` is the form people type.

        π_{k+1} = G^{λ,τ}_{π_k}(q_k),     q_{k+1} = (T^{λ,τ}_{π_{k+1}|π_k})^m q_k + ε_{k+1}

    At κ = 0 the policy is uniform over the maximisers; the limit κ → 0 from any other π_0 weighs ties by it.

    Attributes:
        temperature: κ = λ + τ ≥ 0, in units of q; a number or a `schedule`.
        beta: β = λ / (λ + τ) in [0, 1]; a number or a `schedule`.
        evaluate_kl: whether the evaluation subtracts λ KL(π_{k+1}‖π_k).
        evaluate_entropy: whether the evaluation adds τ H(π_{k+1}).
        backups: m, the applications of the evaluation operator per iteration; `math.inf` for its fixed point.
        prior: the policy the KL term refers to: the "previous" one, or the initial one, "fixed".
        maximum: what stands for M_κ in v = M_κ(x), where that is no maximum of any Ω, such as `boltzmann_average`; None
            for the regularizer's own. `soft_maximum` and `mellowmax` are names for their regularizers here.
        regularizer: Ω, whose maximum M_κ and policy ∇M_κ the greedy step uses, or its name as in "tsallis:1.5". The KL
            becomes D_Ω, see `greedy`, and the entropy −Ω.
        reference: ρ, shape (states, actions), which replaces the entropy term by −τ D_Ω(π‖ρ); for Shannon's Ω that is
            −τ KL(π‖ρ). A divergence, or "lazy", takes it as its own reference, or default policy, and it is a part of
            `regularizer` then. None for −τ Ω(π).
        floor: None for the lazy form, which keeps s' = x − v; "own" for the agile form s' = max(x − v, κ ∇Ω at
            probability zero), mirror descent with the Bregman divergence to the last policy. They differ where
            policies reach probability zero (α > 1), and there the theorems hold for the lazy form alone.
        rescale: what a schedule does with s. True scales it by κ_{k+1}/κ_k, so that the KL term refers to the previous
            policy. False keeps it, so that at τ = 0 the policy is ∇Ω*((q_0 + … + q_k)/λ_k): follow the regularised
            leader, as Politex with a moving rate does.

    Raises:
        ValueError: for a negative or NaN number, β outside [0, 1], backups below 1, a schedule that leaves κ = 0, or
            fields that have no meaning together.
    """

    temperature: Coefficient
    beta: Coefficient = 0.0
    evaluate_kl: bool = eqx.field(default=True, static=True)
    evaluate_entropy: bool = eqx.field(default=True, static=True)
    backups: float = eqx.field(default=1, static=True)
    prior: Literal["previous", "fixed"] = eqx.field(default="previous", static=True)
    maximum: Callable[..., Any] | None = eqx.field(default=None, static=True)
    regularizer: Regularizer = eqx.field(default=SHANNON, static=True)
    reference: Q | None = None
    floor: Literal["own"] | None = eqx.field(default=None, static=True)
    rescale: bool = eqx.field(default=True, static=True)

    def __init__(
        self,
        temperature: Any,
        beta: Any = 0.0,
        evaluate_kl: bool = True,
        evaluate_entropy: bool = True,
        backups: float = 1,
        prior: Literal["previous", "fixed"] = "previous",
        maximum: Callable[..., Any] | None = None,
        regularizer: Regularizer | str = SHANNON,
        reference: Any = None,
        floor: Literal["own"] | None = None,
        rescale: bool = True,
    ) -> None:
        """Arguments as the attributes."""
        self.temperature, self.beta = _number("temperature", temperature), _number("beta", beta)
        self.evaluate_kl, self.evaluate_entropy = evaluate_kl, evaluate_entropy
        self.backups, self.prior = backups, prior
        owner = next((omega for own, omega in _OWNERS if own is maximum), None)
        self.regularizer, reference = beside(owner or regularizer, reference)
        self.reference = None if reference is None else _probabilities(reference)
        self.floor, self.rescale = floor, rescale
        self.maximum = maximum if owner is None else None

    __hash__ = hash_of

    def __repr__(self) -> str:
        limit = isinstance(self.temperature, np.ndarray) and not self.temperature.any()
        of, names = ("", ("temperature", "beta")) if limit and np.any(self.beta) else (".of", ("kl", "entropy"))
        shown = [f"{name}={numbers(getattr(self, name))}" for name in names]
        for field in dataclasses.fields(self)[2:]:
            value = getattr(self, field.name)
            if field.name == "reference" and value is not None:
                shown.append(f"reference=<policy of shape {np.shape(value)}>")
            elif value != field.default:
                shown.append(f"{field.name}={getattr(value, '__name__', repr(value))}")
        return f"Scheme{of}({', '.join(shown)})"

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        facts = {
            "λ (kl)": numbers(self.kl),
            "τ (entropy)": numbers(self.entropy),
            "κ = λ + τ": numbers(self.temperature),
            "β = λ / κ": numbers(self.beta),
            "evaluation": self.evaluation,
            "backups": self.backups,
            "prior": self.prior,
            "regularizer": self.regularizer.name + (" (agile)" if self.floor else ""),
        }
        return as_html("Scheme", facts)

    def __check_init__(self) -> None:
        whole = isinstance(self.backups, int | float | np.integer) and self.backups >= 1
        if not (whole and (self.backups == math.inf or self.backups == int(self.backups))):
            raise ValueError(f"backups: expected an integer of at least 1, or inf, got {self.backups!r}")
        if self.prior not in ("previous", "fixed"):
            raise ValueError(f"prior: expected 'previous' or 'fixed', got {self.prior!r}")
        if self.maximum is not None and not (self.backups == 1 and self.evaluate_kl and self.evaluate_entropy):
            raise ValueError("maximum: a function of one's own needs backups=1 and full evaluation")
        if self.floor not in (None, "own"):
            raise ValueError(f"floor: expected None (lazy) or 'own' (agile), got {self.floor!r}")
        for name in ("reference", "floor"):
            if getattr(self, name) is not None and not self.regularizer.differentiable:
                raise ValueError(f"{name}: {self.regularizer.name} has no Bregman divergence; leave {name} out")
            if getattr(self, name) is not None and self.maximum is not None:
                raise ValueError(f"{name}: it has no meaning beside a maximum of one's own; leave one of them out")
        if self.reference is not None and not np.any(self._entropic_weight()):
            raise ValueError("reference: its weight is the entropy, which is 0; set entropy, or leave reference out")
        if not self.rescale:
            if isinstance(self.temperature, np.ndarray) and not self.temperature.ndim:
                raise ValueError("rescale: it has a meaning for a schedule of κ only; leave it out")
            if self.prior == "fixed" or self.floor is not None or self.maximum is not None:
                raise ValueError("rescale=False: it needs prior='previous', the maximum of a regularizer, and no floor")
            if self.evaluate_kl != self.evaluate_entropy:
                raise ValueError("rescale=False: keep both terms in the evaluation, or neither of them")
        if isinstance(self.temperature, np.ndarray) and isinstance(self.beta, np.ndarray):
            if np.any(self.beta > 1):
                raise ValueError(f"beta: expected numbers in [0, 1], got {self.beta.max()}")
            schedule = np.atleast_1d(self.temperature)
            if self.rescale and np.any((schedule[:-1] == 0) & (schedule[1:] > 0)):
                raise ValueError("temperature: a schedule that reaches 0 must stay there, or use rescale=False")
            if self.temperature.ndim and self.beta.ndim and self.temperature.shape != self.beta.shape:
                raise ValueError(f"schedules differ in length: {self.temperature.shape[0]} and {self.beta.shape[0]}")

    @classmethod
    def of(cls, kl: Any = 0.0, entropy: Any = 0.0, **structure: Any) -> "Scheme":
        """The scheme MD-MPI(λ, τ): κ = λ + τ and β = λ/κ, or 0 when both are 0.

        Args:
            kl: λ ≥ 0, a number or a `schedule`.
            entropy: τ ≥ 0, a number or a `schedule`.
            structure: the other fields of `Scheme`.

        Raises:
            TypeError: for a name that is no field of `Scheme`, and for `temperature` and `beta`.
        """
        known = [field.name for field in dataclasses.fields(cls)[2:]]
        for name in structure.keys() - set(known):
            if name == "beta":
                raise TypeError("Scheme.of takes kl and entropy, not beta; at β and τ, kl is β τ / (1 − β)")
            raise TypeError(f"Scheme.of has no argument {name!r}{did_you_mean(name, ['kl', 'entropy', *known])}")
        kl, entropy = _number("kl", kl), _number("entropy", entropy)
        if np.ndim(kl) and np.ndim(entropy) and len(kl) != len(entropy):
            raise ValueError(f"schedules differ in length: {len(kl)} and {len(entropy)}")
        with np.errstate(over="ignore"):  # an infinite sum is refused by name
            temperature = kl + entropy
        beta = kl / np.where(temperature > 0, temperature, 1.0)
        if isinstance(beta, np.ndarray | np.floating) and np.any((beta == 1) & (entropy > 0)):
            raise ValueError(f"entropy: {np.max(entropy):g} is lost to rounding beside kl {np.max(kl):g}")
        if np.ndim(temperature):
            temperature, beta = schedule(temperature), schedule(beta)
        return cls(temperature, beta, **structure)

    def _entropic_weight(self) -> Any:
        """τ where it is known, 1 where it is traced."""
        known = isinstance(self.temperature, np.ndarray) and isinstance(self.beta, np.ndarray)
        return self.entropy if known else 1.0

    @property
    def entropic(self) -> bool:
        """Whether Ω is the negative entropy, without a reference, as most constructions of deep agents need it."""
        return self.maximum is None and self.regularizer == SHANNON and self.reference is None

    @property
    def kl(self) -> Any:
        """λ = βκ."""
        return self.beta * self.temperature

    @property
    def entropy(self) -> Any:
        """τ = (1 − β)κ."""
        return (1 - self.beta) * self.temperature

    @property
    def evaluation(self) -> str:
        """Which terms the evaluation keeps: "kl+entropy" (the paper's w/), "kl", "entropy" or "none" (w/o)."""
        kept = [name for name, on in (("kl", self.evaluate_kl), ("entropy", self.evaluate_entropy)) if on]
        return "+".join(kept) or "none"

    def at(self, iteration: Any) -> "Scheme":
        """The scheme of one iteration: its entry of a schedule, itself otherwise."""

        def now(leaf: Any) -> Any:
            return jnp.asarray(leaf)[iteration] if jnp.ndim(leaf) else leaf

        return eqx.tree_at(lambda scheme: (scheme.temperature, scheme.beta), self, replace_fn=now)

    def averaged(self, iteration: Any) -> Any:
        """How many errors of the weight of the newest one are averaged at β = 1: k + 1, or Σ_{j≤k} κ_k/κ_j.

        The latter is for a schedule that rescales s, where the iteration j has the weight 1/κ_j.
        """
        if not (jnp.ndim(self.temperature) and self.rescale):
            return iteration + 1
        temperature = jnp.asarray(self.temperature)
        past = jnp.where((jnp.arange(len(temperature)) <= iteration) & (temperature > 0), temperature, jnp.inf)
        return (temperature[iteration] / past).sum()

    def init(self, q: Q, log_policy: Q, legal: Legal) -> MirrorDescentState:
        """The state (q_0, π_0), with s_0 = κ (∇Ω(π_0) − Ω*(∇Ω(π_0))), which is κ log π_0 for Shannon's Ω."""
        first = self.at(0)
        temperature = jnp.asarray(first.temperature, q.dtype)
        return MirrorDescentState(q, scaled(temperature, self.regularizer.dual(log_policy, legal), legal), temperature)

    def greedy(self, state: MirrorDescentState, legal: Legal, perturb: Callable[[Q], Q] | None = None) -> GreedyStep:
        """π_{k+1} = G^{λ,τ}_{π_k}(q_k), as x = q + βs, v = M_κ(x), s' = x − v.

        π_{k+1} maximises ⟨π, q⟩ − λ D_Ω(π‖π_k) − τ Ω(π), with D_Ω(π‖π_k) = Ω(π) − ⟨π, s/κ⟩; with a reference ρ, x has
        τ (∇Ω(ρ) − Ω*(∇Ω(ρ))) added and the last term is −τ D_Ω(π‖ρ).
        """
        anchor = state.scaled_log_policy
        if self.rescale:
            rescaled = self.temperature / jnp.where(state.temperature > 0, state.temperature, 1.0)
            anchor = anchor * jnp.where(self.temperature == state.temperature, 1.0, rescaled)
        x = state.q + self.beta * anchor
        pull = None
        if self.reference is not None:
            pull = self.entropy * self.pull(legal)
            x = x + pull
        step = greedy_step(self, x, anchor, legal, perturb)
        return step if pull is None else dataclasses.replace(step, pull=pull)

    def pull(self, legal: Legal) -> Q:
        """∇Ω(ρ) − Ω*(∇Ω(ρ)) of the reference, log ρ for Shannon's Ω; 0 on illegal actions."""
        assert self.reference is not None
        xp = namespace(self.reference, legal)
        rho = xp.asarray(self.reference)
        log_rho = xp.where(rho > 0, xp.log(xp.where(rho > 0, rho, 1.0)), -xp.inf)
        pull = self.regularizer.dual(log_rho, legal)
        return xp.where(
            legal & xp.isfinite(pull), pull, 0.0
        )  # zeros of ρ where no finite one gives them: where it ends

    def bonus(self, step: GreedyStep) -> V:
        """−λ KL(π_{k+1}‖π_k) + τ H(π_{k+1}), with the terms that the evaluation keeps."""
        # λ KL(π'‖π) = ⟨π', β(s' − s)⟩ and τ H(π') = −⟨π', (1 − β)s'⟩: no division, hence no corner, at κ = 0.
        terms = jnp.zeros_like(step.policy)
        if self.evaluate_kl:
            terms = terms - self.beta * (step.scaled_log_policy - step.anchor)
        if self.evaluate_entropy:
            terms = terms - (1 - self.beta) * step.scaled_log_policy
            terms = terms if step.pull is None else terms + step.pull
        return expectation(step.policy, terms)

    def value(self, q: Q, step: GreedyStep) -> V:
        """⟨π_{k+1}, q⟩ and the bonus: M_κ(x) where the greedy step is exact and all terms are kept."""
        if step.v is not None and self.evaluate_kl and self.evaluate_entropy:
            return step.v
        return expectation(step.policy, q) + self.bonus(step)

    def evaluate(self, q: Q, step: GreedyStep, bellman: Bellman) -> Q:
        """(T^{λ,τ}_{π_{k+1}|π_k})^m q, with the terms that the evaluation keeps."""
        if self.backups == 1:
            return bellman.backup(self.value(q, step))
        bonus = self.bonus(step)
        if self.backups == math.inf:
            return bellman.evaluate(step.policy, bonus)
        return jax.lax.fori_loop(
            0, int(self.backups), lambda _, q: bellman.backup(expectation(step.policy, q) + bonus), q
        )

    def advance(self, state: MirrorDescentState, step: GreedyStep, q: Q) -> MirrorDescentState:
        """The next state, given π_{k+1} and q_{k+1}."""
        if self.prior == "fixed":
            return MirrorDescentState(q, state.scaled_log_policy, state.temperature)
        return MirrorDescentState(q, step.scaled_log_policy, jnp.asarray(self.temperature, q.dtype))


def greedy_step(scheme: Scheme, x: Q, anchor: Q, legal: Legal, perturb: Callable[[Q], Q] | None) -> GreedyStep:
    """v = M_κ(x) and s' = x − v, with what `perturb` makes of x in place of it."""
    error = None
    if perturb is not None:
        seen = perturb(x)
        x, error = seen, jnp.where(legal, seen - x, 0.0)
    omega = scheme.regularizer
    v = (scheme.maximum or omega.maximum)(x, scheme.temperature, legal)
    log_policy = omega.log_policy(x, scheme.temperature, legal)
    s = x - v[:, None]
    if scheme.floor is not None:
        s = jnp.maximum(s, scheme.temperature * omega.floor(log_policy, legal)[:, None])
    return GreedyStep(
        policy=omega.policy(x, scheme.temperature, legal),
        scaled_log_policy=jnp.where(legal, s, 0.0),
        anchor=anchor,
        log_policy=log_policy,
        v=v if perturb is None else None,
        error=error,
    )


def scaled(temperature: Scalar, log_policy: Q, legal: Legal) -> Q:
    """κ log π, with 0 on illegal actions, where log π is −∞."""
    return temperature * jnp.where(legal, log_policy, 0.0)


def _probabilities(reference: Any) -> Any:
    """ρ as an array in float64; a traced one passes unseen."""
    if isinstance(reference, jax.Array):
        return reference
    given = Reference(reference)
    table = np.where(given.empty[..., None], 0.0, given.table)
    if table.ndim != 2:
        raise ValueError(f"reference: expected probabilities of shape (states, actions), got shape {table.shape}")
    return table


def _number(name: str, value: Any) -> Any:
    """A coefficient as a float64 array of at most one dimension; traced values pass unseen."""
    if isinstance(value, jax.core.Tracer):
        return value
    try:
        number = value if isinstance(value, Schedule) else np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: expected a number, got {value!r}") from None
    if number.ndim and not isinstance(value, Schedule):
        raise ValueError(
            f"{name}: expected a number, got an array of shape {number.shape}; mdvi.schedule([…]) is one number for "
            "each iteration, and a list of schemes is a grid"
        )
    for bad in number[~(np.isfinite(number) & (number >= 0))].ravel()[:1]:
        raise ValueError(f"{name}: expected a finite number of at least 0, got {bad}")
    return number
