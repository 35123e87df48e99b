"""The theorems' right-hand sides, evaluated on a trace: what the analysis promises beside what happened.

Every function returns one entry per k, to be compared with the loss of π_k; entries about which the theorem is
silent are +∞, and a run that the theorem does not cover is a ValueError. Errors, policies and norms are those of the
trace. Theorems 1 and 2 are stated for iterates within v_max; they are evaluated with the smallest radius Q ≥ v_max for
which that is true of this trace, which is v_max itself unless q_0, or for Theorem 1 the errors, leave it.

The paper has Shannon's entropy. Both theorems hold for every convex Ω in the lazy form, with R(Ω), the largest Ω of a
deterministic policy less the least Ω, in the place of log|A| in Theorem 1, and sup|Ω| in its place in Theorem 2. With a
reference ρ, Ω is D_Ω(·‖ρ) there. An infinite R or sup|Ω| is no theorem.

Theorem 1 also holds for a schedule of λ, with weights w_j of the iterations and a total W_k = w_0 + … + w_{k−1}: w_j =
1/λ_j where the schedule rescales s, and w_j = 1 where it does not. An error e_k of the greedy step acts as the error
e_k − γP⟨π_k, e_k⟩ of the evaluation, in both theorems: the scheme makes no other error when it reads q_{k−1} + e_k.

Three formulas differ from the printed ones, which are kept under `printed=True` and labelled so: see each docstring.

Source: Vieillard et al., "Leverage the Average" (2020), Theorems 1 and 2 and their proofs.
"""

import dataclasses
import itertools
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from mdvi.dual_averaging import DualAveraging
from mdvi.laboratory.trace import Trace
from mdvi.mdp.model import FiniteMDP
from mdvi.mdp.validation import check_discount
from mdvi.regularizers import SHANNON, Regularizer, regularizer_of
from mdvi.scheme import Scheme

__all__ = [
    "avi",
    "azuma",
    "entropy_bias",
    "norm_bound",
    "theorem1",
    "theorem1_norm",
    "theorem1_sharp",
    "theorem2",
    "theorem2_initial",
    "theorem2_norm",
    "with_bound",
]

Series = Float[np.ndarray, " k"]
Tables = Float[np.ndarray, "k states actions"]


def norm_bound(trace: Trace) -> Series:
    """The sup-norm bound of the theorem that covers the run, +∞ throughout when none does."""
    match trace.theorem:
        case "theorem 1":
            return theorem1_norm(trace)
        case "theorem 2":
            return theorem2_norm(trace)
        case "avi":
            return avi(trace)
    return np.full(len(trace.error_norm), np.inf)


def with_bound(trace: Trace) -> Trace:
    """The trace with `bound` filled in, run by run."""
    series = np.empty_like(trace.error_norm)
    for index in np.ndindex(series.shape[:-1]):
        series[index] = norm_bound(trace[index])
    return dataclasses.replace(trace, records={**trace.records, "bound": series})


def avi(trace: Trace, *, printed: bool = False) -> Series:
    """Approximate value iteration: ‖q_* − q_{π_{k+1}}‖ ≤ 2γ/(1−γ) Σ_{j≤k} γ^{k−j}‖ε_j‖ + 2γ^{k+1}/(1−γ) ‖q_* − q_0‖.

    Printed, for π_k: 2γ/(1−γ)² · (1−γ)Σ_{j≤k} γ^{k−j}‖ε_j‖ + 2/(1−γ) γ^k v_max. Its initial term presumes
    ‖q_* − q_0‖ ≤ v_max, which ‖q_0‖ ≤ v_max alone does not give: it can be exceeded by a factor 2 − γ.
    """
    _check_covered(trace, "avi")
    gamma = float(trace.mdp.discount)
    errors = trace.error_norm
    k = np.arange(len(errors))
    if printed:
        discounted = 2 * gamma / (1 - gamma) * _decayed(gamma, errors)
        return _from(1, discounted + 2 / (1 - gamma) * gamma**k * _v_max(trace.mdp))
    initial = _next(2 * gamma ** (k + 1) / (1 - gamma) * trace.q_gap[0])
    return initial + 2 * gamma / (1 - gamma) * np.where(np.isfinite(initial), _entering(trace), 0.0)


def theorem1_norm(trace: Trace) -> Series:
    """‖q_* − q_{π_k}‖ ≤ 2/(1−γ) ‖(ε_1 + … + ε_k)/k‖ + 4/(1−γ) v^λ_max/k, for DA-VI(λ, 0).

    For a schedule, with q_max = max_{j≤k} ‖q_j‖ and V_k = w_0 + Σ_{0<j<k} |w_j − w_{j−1}| + w_{k−1},

        ‖q_* − q_{π_k}‖ ≤ 2/((1−γ)W_k) ‖Σ_{j≤k} w_{j−1} ε_j‖ + (2 V_k q_max + γ R)/((1−γ)W_k)              w_j = 1/λ_j
        ‖q_* − q_{π_k}‖ ≤ 2/(1−γ) ‖(ε_1 + … + ε_k)/k‖
                          + (4 q_max + γ λ_{k−1} R + max(Δ_k, 0) + max(−Δ_k, 0))/((1−γ)k)                  s is kept

    Δ_k = γ(λ_{k−1} − λ_0) P min Ω is what the regulariser adds to the values while its weight changes.
    """
    _check_covered(trace, "theorem 1")
    gamma = float(trace.mdp.discount)
    average = 2 / (1 - gamma) * trace.average_error_norm
    return _from(1, average + _theorem1_initial(trace))


def theorem1(trace: Trace) -> Tables:
    """q_* − q_{π_k} ≤ |A¹_k E_k/k| + 4/(1−γ) v^λ_max/k, component-wise, for DA-VI(λ, 0).

    A¹_k = (I − γP_{π_*})⁻¹ − (I − γP_{π_k})⁻¹ and E_k = −(ε_1 + … + ε_k). For a schedule E_k/k is the weighted average,
    and the second term that of `theorem1_norm`.
    """
    _check_covered(trace, "theorem 1")
    return _from(1, np.abs(_theorem1_propagated(trace)) + _theorem1_initial(trace)[:, None, None])


def theorem1_sharp(trace: Trace) -> Tables:
    """The signed inequality that Theorem 1 follows from by absolute values; needs no bound on q_k.

    q_* − q_{π_k} ≤ A¹_k E_k/k + (I − γP_{π_*})⁻¹ (q_k − q_0 + γλR)/k − (I − γP_{π_k})⁻¹ (q_k − q_0)/k, where R = log|A|
    for Shannon's Ω. For a schedule it is

        A¹_k (E_k + D_k + Δ_k)/W_k + (I − γP_{π_*})⁻¹ γρ_k R/W_k,     D_k = Σ_{j<k} w_j (q_{j+1} − q_j),

    with ρ_k = 1 and Δ_k = 0 where it rescales s; otherwise ρ_k = λ_{k−1} and Δ_k = γ(λ_{k−1} − λ_0) P min Ω.
    Source: step (iii) of the proof of Theorem 1, before its last line.
    """
    _check_covered(trace, "theorem 1")
    mdp, q = trace.mdp, np.where(trace.mdp.legal, trace.q, 0.0)
    optimal, policies = _optimal_resolvent(trace), np.exp(trace.log_policy)
    bound, averages = _theorem1_propagated(trace), _averages_of(trace)
    moved = averages.mean(np.diff(q, axis=0)) + averages.drift(trace) / averages.total[:, None, None]
    price = float(mdp.discount) * spread(mdp, _scheme(trace).regularizer) * averages.price / averages.total
    for k in range(1, len(bound)):
        bound[k] += optimal(moved[k] + price[k]) - _resolvent(mdp, policies[k])(moved[k])
    return _from(1, bound)


def theorem2_norm(trace: Trace, *, printed: bool = False) -> Series:
    """‖q^τ_* − q^τ_{π_{k+1}}‖ ≤ 2/(1−γ)² (1−γ)Σ_{j≤k} γ^{k−j}‖E^β_j‖ + g²(k), for DA-VI(λ, τ), τ > 0.

    E^β_k = (1−β)Σ_{j≤k} β^{k−j} ε_j. Printed: g² without its factor 2, see `theorem2_initial`.
    """
    _check_covered(trace, "theorem 2")
    gamma = float(trace.mdp.discount)
    return 2 / (1 - gamma) * _entering(trace) + _next(_theorem2_initial(trace, printed))


def theorem2(trace: Trace, *, printed: bool = False) -> Tables:
    """q^τ_* − q^τ_{π_{k+1}} ≤ Σ_{j≤k} γ^{k−j} |A²_{k:j} E^β_j| + g²(k), component-wise, for DA-VI(λ, τ), τ > 0.

    A²_{k:j} = P_{π_*}^{k−j} − (I − γP_{π_{k+1}})⁻¹ P_{π_k} … P_{π_{j+1}} (I − γP_{π_j}). Printed: with a plus
    between the two parts, which a model with one state violates without limit (`mdvi.mdp.wrong_sign`), and
    with g² without its factor 2.

    Raises:
        ValueError: for a run that another theorem or none covers, and for one whose greedy step is not exact.
    """
    _check_covered(trace, "theorem 2")
    if not trace.exact_greedy_step:
        raise ValueError("theorem 2 is evaluated component-wise for exact greedy steps only; use theorem2_norm")
    mdp, beta = trace.mdp, float(_scheme(trace).beta)
    gamma, errors = float(mdp.discount), trace.errors
    policies = np.exp(trace.log_policy)
    optimal = _optimal_policy(trace)
    averages = (1 - beta) * _decayed(beta, errors)
    sign = 1.0 if printed else -1.0
    bound = np.zeros_like(errors)
    optimal_path = np.zeros((0, *errors.shape[1:]))  # γ^{k−j} P_*^{k−j} E_j, for j = 1 … k
    actual_path = np.zeros_like(optimal_path)  # γ^{k−j} P_{π_k} … P_{π_{j+1}} (I − γP_{π_j}) E_j
    for k in range(1, len(errors) - 1):
        optimal_path = gamma * _follow(mdp, optimal, optimal_path)
        actual_path = gamma * _follow(mdp, policies[k], actual_path)
        newest = averages[k] - gamma * _follow(mdp, policies[k], averages[k][None])[0]
        optimal_path = np.concatenate([optimal_path, averages[k][None]])
        actual_path = np.concatenate([actual_path, newest[None]])
        actual = _resolvent(mdp, policies[k + 1])(actual_path)
        bound[k] = np.abs(optimal_path + sign * actual).sum(0)
    return _next(bound + _theorem2_initial(trace, printed)[:, None, None])


def theorem2_initial(discount: float, beta: float, v_max: float, iterations: int, *, printed: bool = False) -> Series:
    """g²(k) = 2 γ^k (1 + (1−β)/(1−γ)) Σ_{j≤k} (β/γ)^j v^τ_max, for k = 0 … iterations.

    The printed g² has no factor 2 and is violated by a factor up to 1.9 without any error; see
    `mdvi.mdp.late_start`. The factor is what the sizes in step (v) of the proof add up to.
    """
    _check_nonnegative(beta=beta, v_max=v_max)
    check_discount(discount)
    k = np.arange(iterations + 1.0)
    # γ^k Σ_j (β/γ)^j = Σ_j β^j γ^{k−j}, which neither overflows nor divides by γ − β.
    powers = _decayed(discount, beta**k)
    return (1.0 if printed else 2.0) * (1 + (1 - beta) / (1 - discount)) * powers * v_max


def azuma(mdp: FiniteMDP, kl: float, iterations: int, failure: float) -> Series:
    """‖q_* − q_{π_k}‖ ≤ 2γ v_max/(1−γ) √(2 log(2|S||A|/δ)/k) + 4 v^λ_max/((1−γ)k), for each k with probability 1 − δ.

    For sampled MD-VI(λ, 0) with one next state per (s, a) and iteration, from ‖q_0‖ ≤ v_max: the errors are
    martingale differences within γ v_max, and Theorem 1 meets the Azuma–Hoeffding inequality.

    Args:
        mdp: the model.
        kl: λ.
        iterations: K; entries 0 … K, the first +∞.
        failure: δ in (0, 1).
    """
    if not 0 < failure < 1:
        raise ValueError(f"failure: expected a probability in (0, 1), got {failure!r}")
    _check_nonnegative(kl=kl)
    gamma, v_max = check_discount(mdp.discount), _v_max(mdp)
    with np.errstate(divide="ignore"):
        inverse = 1 / np.arange(iterations + 1.0)
    pairs = int(np.count_nonzero(mdp.live))
    deviation = gamma * v_max * np.sqrt(2 * np.log(2 * pairs / failure) * inverse)
    v_kl = v_max + kl * mdp.log_actions / (1 - gamma)
    return 2 / (1 - gamma) * deviation + 4 / (1 - gamma) * v_kl * inverse


def entropy_bias(mdp: FiniteMDP, entropy: float, regularizer: Regularizer | str = SHANNON) -> float:
    """‖q_* − q_{π^τ_*}‖ ≤ τR/(1−γ): what the regularised optimum loses of the reward; R = log|A| for Shannon's Ω.

    Args:
        mdp: the model, whose rows sum to 1 where Ω is not 0 at every deterministic policy.
        entropy: τ.
        regularizer: Ω.

    Raises:
        ValueError: if R is infinite.
    """
    _check_nonnegative(entropy=entropy)
    return entropy * spread(mdp, regularizer_of(regularizer)) / (1 - check_discount(mdp.discount))


def spread(mdp: FiniteMDP, regularizer: Regularizer) -> float:
    """R = max_s (max Ω over deterministic policies − min Ω), over the numbers of legal actions of the states.

    Raises:
        ValueError: if it is infinite, naming the regulariser.
    """
    ranges = [regularizer.at_vertices(n)[1] - regularizer.least(n) for n in _counts(mdp)]
    return _finite(max(ranges), regularizer, "R = max Ω − min Ω")


def largest_omega(mdp: FiniteMDP, scheme: Scheme) -> float:
    """sup|Ω|, or with a reference the largest D_Ω(π‖ρ).

    Raises:
        ValueError: if it is infinite, naming the regulariser.
    """
    omega, legal = scheme.regularizer, np.asarray(mdp.legal)
    if scheme.reference is None:
        largest = max(max(abs(omega.least(n)), abs(omega.greatest(n))) for n in _counts(mdp))
        return _finite(largest, omega, "sup|Ω|")
    pull = np.asarray(scheme.pull(legal))  # D_Ω is convex: it is largest at a deterministic policy
    worth = np.full(legal.shape, -np.inf)
    for a in range(mdp.actions):
        alone = np.where(np.arange(mdp.actions) == a, 0.0, -np.inf) + np.zeros(legal.shape)
        worth[:, a] = omega.omega(alone, legal) - pull[:, a]
    return _finite(float(worth[np.asarray(mdp.live)].max(initial=0.0)), omega, "sup D_Ω")


def _counts(mdp: FiniteMDP) -> list[int]:
    """How many legal actions a state may have."""
    live = np.asarray(mdp.live).sum(-1)
    return np.unique(live[live > 0]).tolist() or [1]


def _finite(value: float, regularizer: Regularizer, what: str) -> float:
    if not np.isfinite(value):
        raise ValueError(f"regularizer: {what} of {regularizer.name} is infinite, and the theorem says nothing")
    return value


def _check_nonnegative(**numbers: float) -> None:
    for name, number in numbers.items():
        if not 0 <= number < np.inf:
            raise ValueError(f"{name}: expected a finite number of at least 0, got {number!r}")


def _check_covered(trace: Trace, theorem: str) -> None:
    """The trace is one run, of a scheme and with errors that the theorem speaks of."""
    if trace.axes:
        raise ValueError("bounds are evaluated on one run: pick it with trace[i, …]")
    if trace.theorem != theorem:
        raise ValueError(f"{theorem} does not cover this run; {trace.theorem or 'no theorem'} does")


def _scheme(trace: Trace) -> Scheme:
    return trace.scheme.scheme if isinstance(trace.scheme, DualAveraging) else trace.scheme


def _v_max(mdp: FiniteMDP) -> float:
    return mdp.max_abs_reward / (1 - float(mdp.discount))


def _decayed(factor: float, values: np.ndarray) -> np.ndarray:
    """Σ_{j≤k} factor^{k−j} values[j], for every k."""
    sums: list[np.ndarray] = list(itertools.accumulate(values, lambda total, value: factor * total + value))
    return np.stack(sums)


def _from(first: int, values: np.ndarray) -> Any:
    """`values` with the entries before `first` set to +∞."""
    values = values.copy()
    values[:first] = np.inf
    return values


def _next(values: np.ndarray) -> Any:
    """Entry k moved to k + 1: statements about π_{k+1}."""
    return np.concatenate([np.full_like(values[:1], np.inf), values[:-1]])


def _entering(trace: Trace) -> Series:
    """Σ_{j≤k} γ^{k−j}‖E^β_j‖ with what π_{k+1} was made from, at the place of π_{k+1}."""
    discounted = _decayed(float(trace.mdp.discount), trace.average_error_norm)
    return _next(discounted) if trace.exact_greedy_step else _from(1, discounted)


class _Averages(NamedTuple):
    """How Theorem 1 weighs the iterations: w_j for j < K, and W_k and ρ_k, what R is multiplied by, for k ≤ K."""

    weight: Series
    total: Series
    price: Series

    def mean(self, tables: Tables) -> Tables:
        """Σ_{j<k} w_j x_j / W_k for k = 0 … K, with 0 for k = 0."""
        sums = np.cumsum(self.weight[:, None, None] * tables, axis=0) / self.total[1:, None, None]
        return np.concatenate([np.zeros_like(sums[:1]), sums])

    def drift(self, trace: Trace) -> Any:
        """Δ_k = γ(λ_{k−1} − λ_0) P min Ω, where the price of the regulariser moves."""
        mdp, omega = trace.mdp, _scheme(trace).regularizer
        least = np.array([omega.least(max(int(n), 1)) for n in np.asarray(mdp.live).sum(-1)])
        moved = self.price - self.price[1]
        return moved[:, None, None] * float(mdp.discount) * np.asarray(mdp.expect(least))


def _averages_of(trace: Trace) -> _Averages:
    """The weights of the run's scheme."""
    scheme, steps = _scheme(trace), len(trace.error_norm) - 1
    lambdas = np.broadcast_to(np.asarray(scheme.kl, np.float64), steps)
    weighted = np.ndim(scheme.temperature) > 0 and scheme.rescale
    weight = 1 / lambdas if weighted else np.ones(steps)
    total = np.concatenate([[1.0], np.cumsum(weight)])  # the entry of k = 0 is not used
    return _Averages(weight, total, np.ones(steps + 1) if weighted else np.concatenate([lambdas[:1], lambdas]))


def _theorem1_initial(trace: Trace) -> Series:
    """4/(1−γ) (Q + λR/(1−γ))/k, with Q ≥ ‖q_0‖, ‖q_k‖, v_max; the proof needs no other iterate bounded."""
    mdp, scheme, norms = trace.mdp, _scheme(trace), trace.q_norm
    gamma, bias = float(mdp.discount), spread(mdp, scheme.regularizer)
    if np.ndim(scheme.kl):
        averages = _averages_of(trace)
        turns = np.concatenate([[0.0, 0.0], np.cumsum(np.abs(np.diff(averages.weight)))])
        variation = averages.weight[0] + turns + np.concatenate([[0.0], averages.weight])
        drift = averages.drift(trace)
        shifted = np.maximum(drift, 0).max((1, 2)) + np.maximum(-drift, 0).max((1, 2))
        moved = 2 * variation * np.maximum.accumulate(norms) + gamma * averages.price * bias + shifted
        return moved / ((1 - gamma) * averages.total)
    radius = np.maximum(np.maximum(norms[0], norms), _v_max(mdp))
    v_kl = radius + float(scheme.kl) * bias / (1 - gamma)
    return 4 / (1 - gamma) * v_kl / np.maximum(np.arange(len(norms)), 1)


def _theorem2_initial(trace: Trace, printed: bool) -> Series:
    mdp, norms = trace.mdp, trace.q_norm
    scheme = _scheme(trace)
    most = float(scheme.entropy) * largest_omega(mdp, scheme) / (1 - float(mdp.discount))
    radius = max(_v_max(mdp) + most, float(norms[0]))
    return theorem2_initial(float(mdp.discount), float(scheme.beta), radius, len(norms) - 1, printed=printed)


def _theorem1_propagated(trace: Trace) -> Tables:
    """A¹_k E_k/W_k."""
    policies, errors = np.exp(trace.log_policy), trace.errors
    optimal = _optimal_resolvent(trace)
    averages = -_averages_of(trace).mean(errors[1:])
    return np.stack(
        [optimal(e) - _resolvent(trace.mdp, policy)(e) for e, policy in zip(averages, policies, strict=True)]
    )


def _optimal_policy(trace: Trace) -> Float[np.ndarray, "states actions"]:
    """π_* as the theorems use it: π^τ_*, which is deterministic when τ = 0."""
    q, mdp, scheme = trace.optimal_q, trace.mdp, _scheme(trace)
    entropy, legal = float(np.ravel(scheme.entropy)[-1]), np.asarray(mdp.legal)
    if entropy > 0:
        pull = 0.0 if scheme.reference is None else entropy * np.asarray(scheme.pull(legal))
        return np.asarray(scheme.regularizer.policy(q + pull, entropy, legal))
    return np.eye(mdp.actions)[np.where(mdp.legal, q, -np.inf).argmax(-1)]


def _optimal_resolvent(trace: Trace) -> Any:
    return _resolvent(trace.mdp, _optimal_policy(trace))


def _follow(mdp: FiniteMDP, policy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """P_π x = P⟨π, x⟩ for a stack of tables x."""
    v = np.where(mdp.terminal, 0.0, (policy * np.where(mdp.legal, x, 0.0)).sum(-1))
    probability = mdp.kernel.dense().probability
    return np.einsum("sat,nt->nsa", probability, v)


def _resolvent(mdp: FiniteMDP, policy: np.ndarray) -> Any:
    """X ↦ (I − γP_π)⁻¹ x, for one table or a stack of them, by one solve in the states: w = ⟨π, x⟩ + γP_π w."""
    chain = np.einsum("sa,sat->st", policy, mdp.kernel.dense().probability) * ~mdp.terminal
    return partial(_resolved, mdp, policy, np.linalg.inv(np.eye(mdp.states) - float(mdp.discount) * chain))


def _resolved(mdp: FiniteMDP, policy: np.ndarray, inverse: np.ndarray, x: np.ndarray) -> np.ndarray:
    alive = ~mdp.terminal
    w = (policy * x).sum(-1) * alive @ inverse.T
    return x + float(mdp.discount) * np.einsum("sat,...t->...sa", mdp.kernel.dense().probability, w * alive)
