"""`Trace`: what a run, or a grid of runs, went through. Index k is the paper's: q_k, π_k, ε_k, for k = 0 … K."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from mdvi.dual_averaging import DualAveraging
from mdvi.laboratory.inputs import is_batch
from mdvi.mdp import Names
from mdvi.scheme import Scheme
from mdvi.words import as_html, numbers

if TYPE_CHECKING:
    from mdvi.report.frames import Dataset
    from mdvi.report.plots import Figure

AXES = ("scheme", "mdp", "seed")


@dataclasses.dataclass(frozen=True, eq=False)
class Trace:
    """The record of `mdvi.iterate`.

    The leading axes, written `*grid`, are those of `axes`: one for each of scheme, mdp, seed that was a sequence.
    `trace[i, j]` picks one run out of the grid. What a loss is measured against is the problem the scheme settles
    on: maximal reward plus τ times entropy (minus λ times the KL to a fixed prior).

    Reading a series that `record` left out is a ValueError that says so. A trace is equal (`==`) to itself alone.

    Attributes:
        mdp: the model, or a list of them.
        scheme: the scheme, or a list of them.
        axes: the names of the leading axes.
        uniform_start: whether π_0 is uniform.
        exact_greedy_step: whether the greedy step made no error.
        records: the series by name; the properties below give them.
    """

    mdp: Any
    scheme: Any
    axes: tuple[str, ...]
    uniform_start: bool
    exact_greedy_step: bool
    records: Mapping[str, np.ndarray]

    def __repr__(self) -> str:
        series = [x for name, x in self.records.items() if name != "optimal_q"]
        *grid, _ = series[0].shape[: len(self.axes) + 1] if series else [0]
        lines = [", ".join(f"{axis}s={size}" for axis, size in zip(self.axes, grid, strict=False))]
        lines += [f"scheme={self.scheme!r}"] if "scheme" not in self.axes else []
        lines += [f"iterations={series[0].shape[len(self.axes)] - 1}"] if series else []
        if "loss" in self.records:
            last = self.records["loss"][..., -1]
            lines.append(f"last loss in [{last.min():.6g}, {last.max():.6g}]")
        lines.append(f"records={sorted(self.records)}")
        return f"Trace({', '.join(filter(None, lines))})"

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        facts: dict[str, object] = {"runs": " × ".join(map(str, self._grid)) + f" ({', '.join(self.axes)})"}
        if not self.axes:
            facts = {"scheme": repr(self.scheme), "bound": self.theorem or "no theorem covers this run"}
        if self.records.keys() - {"optimal_q"}:
            facts["iterations"] = self._iterations
        facts["records"] = ", ".join(sorted(self.records))
        for name in ("loss", "bound"):
            if name in self.records:
                last = self.records[name][..., -1]
                facts[f"last {name}"] = f"{last.min():.6g} … {last.max():.6g}" if self.axes else f"{last:.6g}"
        return as_html("Trace", facts)

    @property
    def _grid(self) -> tuple[int, ...]:
        """The sizes of `axes`."""
        series = next((x for name, x in self.records.items() if name != "optimal_q"), np.empty(0))
        return series.shape[: len(self.axes)]

    @property
    def _iterations(self) -> int:
        """K."""
        series = next(x for name, x in self.records.items() if name != "optimal_q")
        return int(series.shape[len(self.axes)]) - 1

    def plot(self, title: str = "") -> "Figure":
        """Loss beside its bound, both axes logarithmic, a curve for each scheme: means over models and seeds.

        Args:
            title: above the picture.

        Raises:
            ValueError: when `record` left out the losses.
            ModuleNotFoundError: when Matplotlib is not installed, with the command that installs it.
        """
        from mdvi.report.plots import traces_plot

        schemes = self.scheme if "scheme" in self.axes else [self.scheme]
        loss = self._by_scheme(self.loss)
        bound = self._by_scheme(self.records.get("bound", np.full_like(self.loss, np.inf)))
        labels = [_label(scheme) for scheme in schemes]
        if len(labels) == 1:  # which the title can name
            title, labels = title or labels[0], [""]
        return traces_plot(list(zip(labels, loss, bound, strict=True)), title)

    def _by_scheme(self, series: np.ndarray) -> np.ndarray:
        """Means over models and seeds, shape (schemes, k)."""
        others = tuple(i for i, axis in enumerate(self.axes) if axis != "scheme")
        return series.mean(others).reshape(-1, series.shape[-1])

    def to_xarray(self) -> "Dataset":
        """Every series as a data set of xarray, with the axes of the grid, "iteration", "state" and "action".

        Pairs (s, a) that cannot be met, in terminal states or by illegal actions, are missing values (NaN), so means
        leave them out. Coordinates are schemes, iterations, and names of states and actions if the models share them.

        Raises:
            ModuleNotFoundError: when xarray is not installed, with the command that installs it.
        """
        from mdvi.report.frames import dataset_of

        models = self.mdp if "mdp" in self.axes else [self.mdp]
        live = np.stack([np.asarray(model.live) for model in models])
        variables = {}
        for name, series in self.records.items():
            grid = [axis for axis in self.axes if name != "optimal_q" or axis != "seed"]
            axes = [*grid, *([] if name == "optimal_q" else ["iteration"])]
            if series.ndim > len(axes):
                axes += ["state", "action"]
                shape = [len(models) if axis == "mdp" else 1 for axis in axes[:-2]]
                series = np.where(live.reshape(*shape, *live.shape[1:]), series, np.nan)
            variables[name] = axes, series
        names = {model.names for model in models}
        called = names.pop() if len(names) == 1 else Names()
        coordinates: dict[str, Any] = {
            "state": called.states or range(live.shape[1]),
            "action": called.actions or range(live.shape[2]),
        }
        if any("iteration" in axes for axes, _ in variables.values()):
            coordinates["iteration"] = range(self._iterations + 1)
        if "scheme" in self.axes:
            coordinates["scheme"] = [_label(scheme) for scheme in self.scheme]
            return dataset_of(variables, coordinates, {})
        return dataset_of(variables, coordinates, {"scheme": _label(self.scheme)})

    @property
    def q(self) -> Float[np.ndarray, "*grid k states actions"]:
        """q_k, in units of reward; −∞ for illegal actions, 0 in terminal states."""
        return self._series("q")

    @property
    def log_policy(self) -> Float[np.ndarray, "*grid k states actions"]:
        """Log π_k; π_0 is the initial policy and π_{k+1} is greedy for q_k."""
        return self._series("log_policy")

    @property
    def errors(self) -> Float[np.ndarray, "*grid k states actions"]:
        """ε_k = q_k − (T^{λ,τ}_{π_k|π_{k−1}})^m q_{k−1}, whatever slot the error came from; ε_0 = 0.

        Where the greedy step errs by e_k, this is ε_k + e_k − γ P ⟨π_k, e_k⟩: what Theorem 1 averages.
        """
        return self._series("errors")

    @property
    def loss(self) -> Float[np.ndarray, "*grid k"]:
        """‖q_* − q_{π_k}‖_∞, by exact evaluation of π_k."""
        return self._series("loss")

    @property
    def normalized_loss(self) -> Float[np.ndarray, "*grid k"]:
        """‖q_* − q_{π_k}‖_1 / ‖q_*‖_1, the paper's measure; the numerator alone when q_* = 0."""
        return self._series("normalized_loss")

    @property
    def bound(self) -> Float[np.ndarray, "*grid k"]:
        """The theorem that covers the run, evaluated on it: loss[k] ≤ bound[k]; +∞ where none says anything."""
        return self._series("bound")

    @property
    def error_norm(self) -> Float[np.ndarray, "*grid k"]:
        """‖ε_k‖_∞; recorded with the bound."""
        return self._series("error_norm")

    @property
    def average_error_norm(self) -> Float[np.ndarray, "*grid k"]:
        """‖(ε_1 + … + ε_k)/k‖_∞ when β = 1, ‖(1 − β) Σ_j β^{k−j} ε_j‖_∞ when β < 1; recorded with the bound.

        A schedule that rescales s weighs ε_j with 1/λ_{j−1}. Where the greedy step errs by e_k, the latter has
        ε_{j−1} − γ P ⟨π_{j−1}, e_{j−1}⟩ + e_j in the place of ε_j: everything that π_k was made with.
        """
        return self._series("average_error_norm")

    @property
    def q_norm(self) -> Float[np.ndarray, "*grid k"]:
        """‖q_k‖_∞; recorded with the bound."""
        return self._series("q_norm")

    @property
    def q_gap(self) -> Float[np.ndarray, "*grid k"]:
        """‖q_* − q_k‖_∞; recorded with the bound."""
        return self._series("q_gap")

    @property
    def optimal_q(self) -> Float[np.ndarray, "*problems states actions"]:
        """q_*, with the axes scheme and mdp, −∞ for illegal actions; recorded with the losses and the bound."""
        return self._series("optimal_q")

    def _series(self, name: str) -> np.ndarray:
        if name not in self.records:
            source = name if name in ("q", "log_policy", "errors", "loss", "normalized_loss") else "bound"
            raise ValueError(f"the trace has no {name}: iterate with {source!r} in `record`")
        return self.records[name]

    def __getitem__(self, index: int | tuple[int, ...]) -> "Trace":
        """One run of the grid, by its place on each of `axes`."""
        index = index if isinstance(index, tuple) else (index,)
        if len(index) != len(self.axes) or not all(isinstance(i, int | np.integer) for i in index):
            raise IndexError(f"expected one integer for each of the axes {self.axes}, got {index}")
        place = dict(zip(self.axes, index, strict=True))
        problem = tuple(place[axis] for axis in self.axes if axis != "seed")
        return dataclasses.replace(
            self,
            mdp=self.mdp[place["mdp"]] if "mdp" in place else self.mdp,
            scheme=self.scheme[place["scheme"]] if "scheme" in place else self.scheme,
            axes=(),
            records={name: x[problem if name == "optimal_q" else index] for name, x in self.records.items()},
        )

    @property
    def theorem(self) -> str | None:
        """The theorem behind `bound`: "theorem 1", "theorem 2", "avi", or None when none covers the run."""
        if self.axes:
            raise ValueError("each run of a grid has its own theorem: ask trace[i, …].theorem")
        averages = isinstance(self.scheme, DualAveraging)  # in which an error of the greedy step does not stay
        scheme = self.scheme.scheme if averages else self.scheme
        if not (self.uniform_start and _fully_evaluated(scheme)) or (averages and not self.exact_greedy_step):
            return None
        if not np.any(scheme.temperature) and not np.any(scheme.beta):
            return "avi"
        largest = max(abs(scheme.regularizer.greatest(2)), abs(scheme.regularizer.least(2)))
        if not np.isfinite(largest):  # which the theorems are stated with
            return None
        if np.all(scheme.beta == 1):
            weighted = np.ndim(scheme.temperature) and scheme.rescale
            return None if weighted and not np.all(scheme.temperature) else "theorem 1"
        return None if np.ndim(scheme.temperature) or np.ndim(scheme.beta) else "theorem 2"


def _label(scheme: Scheme | DualAveraging) -> str:
    """λ and τ, and for schemes that differ in more, everything that they were made with."""
    if isinstance(scheme, Scheme) and scheme == Scheme.of(scheme.kl, scheme.entropy):
        return f"λ = {numbers(scheme.kl)}, τ = {numbers(scheme.entropy)}"
    return repr(scheme)


def _fully_evaluated(scheme: Scheme) -> bool:
    """M = 1 with every term that has a weight in the evaluation, a moving prior, the maximum of an Ω and no floor."""
    kl = scheme.evaluate_kl or bool(np.all(scheme.beta == 0))
    entropy = scheme.evaluate_entropy or bool(np.all(scheme.entropy == 0))
    standard = scheme.prior == "previous" and scheme.maximum is None and scheme.floor is None
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
    kept = {name: record.squeeze(dropped) for name, record in records.items()}
    if optimal_q is not None:
        kept["optimal_q"] = optimal_q.squeeze(tuple(i for i in dropped if i < 2))
    return Trace(
        mdp=list(mdp) if several["mdp"] else mdp,
        scheme=list(scheme) if several["scheme"] else scheme,
        axes=tuple(axis for axis in AXES if several[axis]),
        records=kept,
        **facts,
    )
