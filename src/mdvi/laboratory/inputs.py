"""The arguments of `iterate`, checked and brought into shape."""

import inspect
import math
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jaxtyping import Bool, Float

from mdvi.checks import checked_policy, floats
from mdvi.dual_averaging import DualAveraging
from mdvi.laboratory.errors import Errors
from mdvi.mdp.model import FiniteMDP
from mdvi.mdp.names import model_of
from mdvi.mdp.validation import physical_memory
from mdvi.regularizers import SHANNON
from mdvi.regularizers.reference import check_own_reference, check_reference
from mdvi.scheme import Scheme
from mdvi.types import Array

T = TypeVar("T")


def is_batch(given: Any) -> bool:
    """Whether an argument is several of its kind."""
    several = isinstance(given, Sequence) and not isinstance(given, str)
    return several or (isinstance(given, np.ndarray) and given.ndim > 0)


def as_models(given: Any) -> FiniteMDP | list[FiniteMDP]:
    """One model or several, each given as such or by its name."""
    if is_batch(given):
        return [model_of(model) for model in given]
    return model_of(given)


def as_list(name: str, given: Any, kind: Any) -> list[Any]:
    """One or several of a kind, as a list."""
    items = list(given) if is_batch(given) else [given]
    if not items:
        raise ValueError(f"{name}: expected at least one, got an empty sequence")
    for item in items:
        if inspect.isfunction(item):
            raise ValueError(f"{name}: got the function {item.__name__}; call it, as in {item.__name__}()")
        if not isinstance(item, kind):
            raise ValueError(f"{name}: expected {getattr(kind, '__name__', 'a Scheme')}, got {type(item).__name__}")
    return items


def check_request(iterations: Any, record: Any, records: Sequence[str], dtype: Any) -> None:
    """How long to run, what to keep, and in which floating-point type."""
    if isinstance(iterations, bool) or not isinstance(iterations, int | np.integer) or iterations < 1:
        raise ValueError(f"iterations: expected an integer of at least 1, got {iterations!r}")
    for name in record if isinstance(record, list | tuple | set) else [record]:
        if name not in records or name is record:
            raise ValueError(f"record: expected several of {', '.join(records)}; got {name!r}")
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype: expected float32 or float64, got {dtype!r}")


def check_errors(
    errors: Any, scheme: Scheme | DualAveraging, live: Bool[np.ndarray, "models states actions"], iterations: int
) -> None:
    """The errors fit the models, the number of iterations and the scheme."""
    if not isinstance(errors, Errors):
        raise ValueError(f"errors: expected one of mdvi.errors, got {type(errors).__name__}")
    errors.check(live, iterations)
    if errors.perturb is not None and getattr(scheme, "maximum", None) is not None:
        raise ValueError("errors: a greedy-step error needs the maximum of a regularizer, not a function of one's own")


def check_references(schemes: Sequence[Scheme | DualAveraging], models: Sequence[FiniteMDP]) -> None:
    """References, of schemes and inside regularisers, have the shape of the models and fit their legal actions."""
    for given in schemes:
        scheme: Any = given.scheme if isinstance(given, DualAveraging) else given
        omega = scheme.regularizer
        known = scheme.reference is not None and not isinstance(scheme.reference, jax.core.Tracer)
        for model in models:
            masks = np.asarray(model.legal), np.asarray(model.terminal)
            check_own_reference(omega, *masks)
            if known:
                steep = bool(omega.floor(np.zeros((1, 1)))[0] == -np.inf)  # ∇Ω is infinite where a probability is zero
                check_reference("reference", np.asarray(scheme.reference), steep, *masks)


def stack(name: str, items: list[T]) -> T:
    """Several of the same structure and shape as one, with a leading axis on every array."""

    def shapes(item: T) -> list[tuple[int, ...]]:
        return [np.shape(leaf) for leaf in jax.tree.leaves(item)]

    structure: Any = jax.tree.structure(items[0])
    for i, item in enumerate(items):
        if jax.tree.structure(item) != structure or shapes(item) != shapes(items[0]):
            raise ValueError(f"{name}: number {i} differs from number 0 in structure or shape: {item} and {items[0]}")
    return jax.tree.map(lambda *leaves: np.stack(leaves), *items)


def seeds_of(seed: Any) -> np.ndarray:
    """One or several seeds as an array of integers."""
    seeds = np.atleast_1d(np.asarray(seed))
    if seeds.ndim != 1 or seeds.dtype.kind not in "iu" or seeds.size == 0:
        raise ValueError(f"seed: expected an integer or a sequence of integers, got {seed!r}")
    return seeds


def check_schedules(schemes: list[Scheme | DualAveraging], iterations: int) -> None:
    """A schedule has one coefficient per iteration."""
    for given in schemes:
        scheme = given.scheme if isinstance(given, DualAveraging) else given
        for leaf in map(np.asarray, (scheme.temperature, scheme.beta)):
            if leaf.ndim and len(leaf) != iterations:
                raise ValueError(f"scheme: a schedule of {len(leaf)} coefficients for {iterations} iterations")


def check_memory(
    shape: tuple[int, int, int], tables: tuple[int, int], iterations: int, record: Sequence[str], exact: bool
) -> None:
    """The trace, and the dense systems of an exact evaluation, fit into the memory of this machine."""
    states, actions = tables
    runs, models = math.prod(shape), shape[1]
    kept = len({"q", "log_policy", "errors"} & set(record)) * states * actions + 4
    trace = 2 * 8 * runs * (iterations + 1) * kept
    dense = 2 * 8 * (runs + models * actions) * states**2 if exact else 0
    available = physical_memory()
    if trace + dense > available:
        raise ValueError(
            f"record: the trace would need {trace / 2**30:.1f} GiB and the exact evaluation of {states} states "
            f"{dense / 2**30:.1f} GiB of {available / 2**30:.1f} GiB; record less, or split the runs"
        )


def initial_q_of(given: Any, lead: tuple[int, ...], shape: tuple[int, ...], tables: tuple[int, int]) -> np.ndarray:
    """q_0 of every run, from nothing, one table, or one table per run."""
    q = np.zeros(tables) if given is None else floats("initial_q", given)
    if q.shape not in (tables, lead + tables):
        raise ValueError(f"initial_q: expected shape {tables}, got {q.shape}")
    for place in np.argwhere(~np.isfinite(q))[:1]:
        state, action = place[-2:]
        raise ValueError(f"initial_q: state {state}, action {action} has value {q[tuple(place)]}")
    return np.broadcast_to(q, shape + tables) if q.ndim == 2 else q.reshape(shape + tables)


def initial_log_policy(
    given: Any, scheme: Scheme | DualAveraging, legal: Bool[Array, "models states actions"]
) -> Float[Array, "models states actions"]:
    """Log π_0 of every model: unless given, the policy of least Ω, which is uniform for Shannon's Ω."""
    omega = scheme.scheme.regularizer if isinstance(scheme, DualAveraging) else scheme.regularizer
    if given is None:
        if omega == SHANNON:
            return np.where(legal, -np.log(legal.sum(-1, keepdims=True)), -np.inf)
        mask = np.asarray(legal)
        return np.stack([omega.log_policy(np.zeros(allowed.shape), 1.0, allowed) for allowed in mask])
    if isinstance(scheme, DualAveraging):
        raise ValueError(
            "initial_policy: dual averaging starts from the policy of least Ω, uniform for Shannon's; use a Scheme"
        )
    if not omega.differentiable:
        raise ValueError(f"initial_policy: {omega.name} starts from its default policy only; leave initial_policy out")
    for allowed in np.asarray(legal):
        policy = checked_policy("initial_policy", given, allowed, np.zeros(len(allowed), bool), positive=True)
    return np.broadcast_to(np.log(np.where(policy > 0, policy, 1.0)) + np.where(policy > 0, 0.0, -np.inf), legal.shape)


def lead_of(*given: Any) -> tuple[int, ...]:
    """The leading axes of a trace: one for each argument that is several."""
    return tuple(len(item) for item in given if is_batch(item))
