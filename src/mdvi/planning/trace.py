"""`Trace`: what a run, or a grid of runs, went through. Index k is the paper's: q_k, π_k, ε_k, for k = 0 … K."""

import dataclasses
from typing import Any, Self

import numpy as np
from jaxtyping import Float

from mdvi.mdp.model import FiniteMDP
from mdvi.planning.inputs import is_batch
from mdvi.scheme import DualAveraging, Scheme

AXES = ("scheme", "mdp", "seed")


@dataclasses.dataclass(frozen=True)
class Trace:
    """The record of `mdvi.iterate`; fields that were not asked for are None.

    The leading axes, written `*grid`, are those of `axes`: one for each of scheme, mdp, seed that was a sequence.
    `trace[i, j]` picks one run out of the grid. What a loss is measured against is the problem the scheme settles
    on: maximal reward plus τ times entropy (minus λ times the KL to a fixed prior).

    Attributes:
        mdp: the model or models.
        scheme: the scheme or schemes.
        axes: the names of the leading axes.
        optimal_q: q_*, with the axes scheme and mdp.
        q: q_k, in units of reward.
        log_policy: log π_k; π_0 is the initial policy and π_{k+1} is greedy for q_k.
        errors: ε_k = q_k − (T^{λ,τ}_{π_k|π_{k−1}})^m q_{k−1}, clipping and regression included; ε_0 = 0.
        loss: ‖q_* − q_{π_k}‖_∞, by exact evaluation of π_k.
        normalized_loss: ‖q_* − q_{π_k}‖_1 / ‖q_*‖_1, the paper's measure.
        bound: the theorem that covers the run, evaluated on it: loss[k] ≤ bound[k]; +∞ where none says anything.
        error_norm: ‖ε_k‖_∞.
        average_error_norm: ‖(ε_1 + … + ε_k)/k‖_∞ when τ = 0, ‖(1 − β) Σ_j β^{k−j} ε_j‖_∞ when τ > 0.
        q_norm: ‖q_k‖_∞.
        q_gap: ‖q_* − q_k‖_∞.
        uniform_start: whether π_0 is uniform.
        exact_greedy_step: whether the greedy step made no error.
    """

    mdp: FiniteMDP | list[FiniteMDP]
    scheme: Any
    axes: tuple[str, ...]
    uniform_start: bool
    exact_greedy_step: bool
    optimal_q: Float[np.ndarray, "*grid states actions"] | None = None
    q: Float[np.ndarray, "*grid k states actions"] | None = None
    log_policy: Float[np.ndarray, "*grid k states actions"] | None = None
    errors: Float[np.ndarray, "*grid k states actions"] | None = None
    loss: Float[np.ndarray, "*grid k"] | None = None
    normalized_loss: Float[np.ndarray, "*grid k"] | None = None
    bound: Float[np.ndarray, "*grid k"] | None = None
    error_norm: Float[np.ndarray, "*grid k"] | None = None
    average_error_norm: Float[np.ndarray, "*grid k"] | None = None
    q_norm: Float[np.ndarray, "*grid k"] | None = None
    q_gap: Float[np.ndarray, "*grid k"] | None = None

    def __getitem__(self, index: int | tuple[int, ...]) -> Self:
        """One run of the grid, by its place on each of `axes`."""
        index = index if isinstance(index, tuple) else (index,)
        if len(index) != len(self.axes) or not all(isinstance(i, int | np.integer) for i in index):
            raise IndexError(f"expected one integer for each of the axes {self.axes}, got {index}")
        place = dict(zip(self.axes, index, strict=True))
        problem = tuple(place[axis] for axis in self.axes if axis != "seed")
        tables = {
            field.name: value[problem if field.name == "optimal_q" else index]
            for field in dataclasses.fields(self)
            if isinstance(value := getattr(self, field.name), np.ndarray)
        }
        mdp = self.mdp[place["mdp"]] if isinstance(self.mdp, list) else self.mdp
        scheme = self.scheme[place["scheme"]] if isinstance(self.scheme, list) else self.scheme
        return dataclasses.replace(self, mdp=mdp, scheme=scheme, axes=(), **tables)

    @property
    def theorem(self) -> str | None:
        """The theorem behind `bound`: "theorem 1", "theorem 2", "avi", or None when none covers the run."""
        if self.axes:
            raise ValueError("each run of a grid has its own theorem: ask trace[i, …].theorem")
        scheme = self.scheme.scheme if isinstance(self.scheme, DualAveraging) else self.scheme
        covered = self.uniform_start and self.exact_greedy_step and _fully_evaluated(scheme)
        if not covered or np.ndim(scheme.temperature) or np.ndim(scheme.beta):
            return None
        if scheme.beta == 1:
            return "theorem 1"
        return "theorem 2" if scheme.temperature > 0 or scheme.beta > 0 else "avi"


def _fully_evaluated(scheme: Scheme) -> bool:
    """m = 1 with every term that has a weight in the evaluation, a moving prior and the soft maximum."""
    kl = scheme.evaluate_kl or bool(np.all(scheme.beta == 0))
    entropy = scheme.evaluate_entropy or bool(np.all(scheme.entropy == 0))
    standard = scheme.prior == "previous" and scheme.maximum is Scheme(0.0).maximum
    return scheme.backups == 1 and kl and entropy and standard


def of_records(
    mdp: Any,
    scheme: Any,
    seed: Any,
    optimal_q: np.ndarray | None,
    records: dict[str, np.ndarray],
    **facts: bool,
) -> Trace:
    """A trace from records that have all three axes, of which those of single arguments are dropped."""
    several = dict(zip(AXES, map(is_batch, (scheme, mdp, seed)), strict=True))
    dropped = tuple(i for i, axis in enumerate(AXES) if not several[axis])
    return Trace(
        mdp=list(mdp) if several["mdp"] else mdp,
        scheme=list(scheme) if several["scheme"] else scheme,
        axes=tuple(axis for axis in AXES if several[axis]),
        optimal_q=None if optimal_q is None else optimal_q.squeeze(tuple(i for i in dropped if i < 2)),
        **facts,
        **{name: record.squeeze(dropped) for name, record in records.items()},
    )
