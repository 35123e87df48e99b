"""The paper's loop: (model, scheme, errors, seed) → trace, one compiled program over schemes × models × seeds."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from mdvi.algorithms import scheme_of
from mdvi.dual_averaging import DualAveraging
from mdvi.laboratory.bellman import BellmanOperator, Objective, objective_of, optimum, policy_value
from mdvi.laboratory.bounds import with_bound
from mdvi.laboratory.errors import Errors, Moment, errors_of
from mdvi.laboratory.inputs import (
    as_list,
    as_models,
    check_errors,
    check_memory,
    check_references,
    check_request,
    check_schedules,
    initial_log_policy,
    initial_q_of,
    lead_of,
    seeds_of,
    stack,
)
from mdvi.laboratory.trace import Trace, of_records
from mdvi.mdp.model import FiniteMDP
from mdvi.mdp.validation import check_discount
from mdvi.progress import shown
from mdvi.regularizers import expectation
from mdvi.scheme import Scheme
from mdvi.types import Array

Q = Float[Array, "states actions"]
AnyScheme = Scheme | DualAveraging

RECORDS = ("q", "log_policy", "errors", "loss", "normalized_loss", "bound")
_CHUNK = 100  # iterations between two looks at the clock


class _Run(NamedTuple):
    """One run of the grid: everything that does not change from iteration to iteration."""

    mdp: FiniteMDP
    dense: FiniteMDP | None
    scheme: AnyScheme
    objective: Objective
    optimal_q: Any
    errors: Errors
    key: jax.Array
    pattern: Q


class _Carry(eqx.Module):
    """What one iteration hands to the next; what no record asks for is None, and is not computed.

    Attributes:
        state: the scheme's own.
        log_policy: log π_k.
        error: ε_k, and what an inexact greedy step adds to it.
        average_error: (ε_1 + … + ε_k)/k when β = 1, (1 − β) Σ_j β^{k−j} ε_j when β < 1; weighted for a schedule.
        passed: ε_k − γ P ⟨π_k, e_k⟩ where the greedy step errs by e_k; else None.
        finite_until: the last iteration up to which every q was finite.
    """

    state: Any
    log_policy: Q | None
    error: Q | None
    average_error: Q | None
    passed: Q | None
    finite_until: Int[Array, ""]


def iterate(
    mdp: FiniteMDP | str | Sequence[FiniteMDP | str],
    scheme: AnyScheme | str | Sequence[AnyScheme],
    iterations: int,
    errors: Errors | str | None = None,
    seed: int | Sequence[int] | np.ndarray = 0,
    *,
    initial_q: Any = None,
    initial_policy: Any = None,
    record: Sequence[str] = RECORDS,
    dtype: Any = np.float64,
    progress: Callable[[int], None] | Literal[False] | None = None,
) -> Trace:
    """Run a scheme on a model for a number of iterations, with errors, and evaluate every policy exactly.

        π_{k+1} = G^{λ,τ}_{π_k}(q_k),     q_{k+1} = (T^{λ,τ}_{π_{k+1}|π_k})^m q_k + ε_{k+1},     k = 0 … K − 1

    Models, schemes and seeds may each be a sequence; the run is then one compiled program over their product, and
    the trace has one leading axis for each sequence, in the order scheme, model, seed. Runs that differ only in the
    scheme see the same random numbers.

    Args:
        mdp: a model, or several of the same shape and storage; or their names as `mdvi solve` takes them.
        scheme: a scheme, or several of the same structure (κ and β may differ; evaluation, m and form may not); or the
            name of an algorithm, as in "munchausen:alpha=0.9".
        iterations: K.
        errors: an error model, or its name as in "gaussian=0.1"; default none.
        seed: an integer, or several.
        initial_q: q_0, shape (states, actions), the same for all runs or with the leading axes of the trace;
            default 0.
        initial_policy: π_0, shape (states, actions); by default the policy of least Ω, which is uniform over legal
            actions for Shannon's Ω. With a "fixed" prior it is the prior, for all iterations.
        record: what to keep, among "q", "log_policy", "errors" (each K + 1 tables a run), "loss",
            "normalized_loss", "bound" (each K + 1 numbers a run). What is not kept is not computed.
        dtype: the floating-point type of the loop; the default is the only one meant for results.
        progress: called now and then with the number of iterations done; False for nothing. By default, runs of more
            than a second show a line of progress in terminals and notebooks.

    Raises:
        ValueError: for inputs of the wrong shape or value, naming them.
        FloatingPointError: when a q or log π stops being finite, naming the iteration and the run.
    """
    check_request(iterations, record, RECORDS, dtype)
    mdp = as_models(mdp)
    scheme = scheme_of(scheme) if isinstance(scheme, str) else scheme
    models = [model.table() for model in as_list("mdp", mdp, FiniteMDP)]
    for model in models:
        check_discount(model.discount)
    schemes = as_list("scheme", scheme, Scheme | DualAveraging)
    check_schedules(schemes, iterations)
    check_references(schemes, models)
    seeds = seeds_of(seed)
    tables = models[0].legal.shape
    shape = (len(schemes), len(models), len(seeds))
    mdps = stack("mdp", models)
    errors = errors_of(errors or "none", models[0], int(seeds[0])) if isinstance(errors, str | None) else errors
    check_errors(errors, schemes[0], np.stack([model.live for model in models]), iterations)
    exact = bool({"loss", "normalized_loss", "bound"} & set(record)) or errors.know_optimum
    check_memory(shape, tables, iterations, record, exact)
    q = initial_q_of(initial_q, lead_of(scheme, mdp, seed), shape, tables)
    log_policy = initial_log_policy(initial_policy, schemes[0], mdps.legal)
    dense = stack("mdp", [model.dense() for model in models]) if exact else None
    with jax.enable_x64(np.dtype(dtype) == np.float64):
        runs, carry = _prepare(
            tuple(record), mdps, dense, stack("scheme", schemes), errors, jnp.asarray(seeds), q, log_policy
        )
        with shown(progress, lambda done: (f"iteration {done} of {iterations}", done / iterations)) as told:
            records = _loop(runs, carry, int(iterations), tuple(record), told)
        optimal_q = None if runs.optimal_q is None else np.where(mdps.legal, runs.optimal_q, -np.inf)
    facts = {"uniform_start": initial_policy is None, "exact_greedy_step": errors.perturb is None}
    trace = of_records(mdp, scheme, seed, optimal_q, records, **facts)
    return with_bound(trace) if "bound" in record else trace


def _over_grid(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function(run, carry, …)` over schemes × models × seeds, with every table stored once per axis it varies on."""

    def varying(*fields: str) -> _Run:
        return _Run(*(0 if name in fields else None for name in _Run._fields))  # type: ignore[arg-type]

    for run in (
        varying("key", "pattern"),
        varying("mdp", "dense", "objective", "optimal_q", "key", "pattern"),
        varying("scheme", "objective", "optimal_q"),
    ):
        function = jax.vmap(function, in_axes=(run, 0, None))
    return function


@partial(jax.jit, static_argnames="record")
def _prepare(
    record: tuple[str, ...],
    mdps: FiniteMDP,
    dense: FiniteMDP | None,
    schemes: AnyScheme,
    errors: Errors,
    seeds: Any,
    q: Any,
    log_policy: Any,
) -> tuple[_Run, _Carry]:
    """The grid of runs and their states at k = 0."""

    def problem(scheme: AnyScheme, mdp: FiniteMDP, dense: FiniteMDP | None, log_policy: Q) -> tuple[Any, Any]:
        stationary = scheme.scheme if isinstance(scheme, DualAveraging) else scheme
        objective = objective_of(stationary, log_policy, mdp.legal)
        return objective, None if dense is None else optimum(dense, objective)

    def start(run: _Run, inputs: tuple[Q, Q], _: None) -> _Carry:
        q, log_policy = inputs
        q = jnp.where(run.mdp.live, q, 0.0)
        state = run.scheme.init(q, log_policy, run.mdp.legal)
        policies = {"log_policy", "loss", "normalized_loss"} & set(record)
        nothing = jnp.zeros_like(q)
        return _Carry(
            state=state,
            log_policy=log_policy if policies else None,
            error=nothing if {"errors", "bound"} & set(record) else None,
            average_error=nothing if "bound" in record else None,
            passed=nothing if errors.perturb is not None else None,
            finite_until=jnp.zeros((), int),
        )

    def luck(model: Any, seed: Any) -> tuple[jax.Array, Q]:
        once, always = jax.random.split(jax.random.fold_in(jax.random.key(seed), model))
        return always, jax.random.uniform(once, q.shape[-2:], q.dtype, -1.0, 1.0)

    over_models = jax.vmap(problem, in_axes=(None, 0, 0, 0))
    objective, optimal_q = jax.vmap(over_models, in_axes=(0, None, None, None))(schemes, mdps, dense, log_policy)
    key, pattern = jax.vmap(jax.vmap(luck, (None, 0)), (0, None))(jnp.arange(log_policy.shape[0]), seeds)
    runs = _Run(mdps, dense, schemes, objective, optimal_q, errors, key, pattern)
    spread = jnp.broadcast_to(log_policy[None, :, None], q.shape)
    return runs, _over_grid(start)(runs, (q, spread), None)


def _step(run: _Run, carry: _Carry, k: Int[Array, ""]) -> _Carry:
    """From q_k and π_k to q_{k+1} and π_{k+1}."""
    scheme, errors = run.scheme.at(k), run.errors
    keys = jax.random.split(jax.random.fold_in(run.key, k), 3)
    sampling, regression, vision = (Moment(k + 1, key, run.pattern, run.mdp.legal, run.optimal_q) for key in keys)

    perturb = None if errors.perturb is None else partial(errors.perturb, vision)
    step = scheme.greedy(carry.state, run.mdp.legal, perturb)
    exact = scheme.evaluate(carry.state.q, step, BellmanOperator(run.mdp))
    q = exact
    if errors.kernel is not None:
        known = run.mdp.changed(kernel=errors.kernel(sampling, run.mdp.kernel))
        q = scheme.evaluate(carry.state.q, step, BellmanOperator(known))
    if errors.regress is not None:
        q = jnp.where(run.mdp.live, errors.regress(regression, q), 0.0)

    error, passed = q - exact, carry.passed
    recent = error  # what enters the moving average that π_{k+1} is made from, or π_{k+2} of an exact greedy step
    if step.error is not None and passed is not None:
        recent = passed + step.error
        passed = error - run.mdp.discount * run.mdp.expect(expectation(step.policy, step.error))
        error = passed + step.error
    average_error = carry.average_error
    if average_error is not None:
        mean = average_error + (error - average_error) / jnp.asarray(run.scheme.averaged(k), q.dtype)
        moving = scheme.beta * average_error + (1 - scheme.beta) * recent
        average_error = jnp.where(scheme.beta == 1, mean, moving)
    finite = jnp.isfinite(q).all() & jnp.isfinite(step.scaled_log_policy).all()
    so_far = (carry.finite_until == k) & finite
    return _Carry(
        state=scheme.advance(carry.state, step, q),
        log_policy=None if carry.log_policy is None else step.log_policy,
        error=None if carry.error is None else error,
        average_error=average_error,
        passed=passed,
        finite_until=jnp.where(so_far, k + 1, carry.finite_until),
    )


def _observe(run: _Run, carry: _Carry, record: tuple[str, ...]) -> dict[str, Any]:
    """What the trace keeps of one iteration."""
    q = carry.state.q
    legal_q = jnp.where(run.mdp.legal, q, -jnp.inf)
    seen: dict[str, Any] = {"q": legal_q, "log_policy": carry.log_policy, "errors": carry.error}
    seen = {name: table for name, table in seen.items() if name in record}
    if "loss" in record or "normalized_loss" in record:
        loss, normalized = _losses(run, carry.log_policy)
        seen |= {"loss": loss} if "loss" in record else {}
        seen |= {"normalized_loss": normalized} if "normalized_loss" in record else {}
    if "bound" in record:
        tables = {
            "error_norm": carry.error,
            "average_error_norm": carry.average_error,
            "q_norm": q,
            "q_gap": run.optimal_q - q,
        }
        seen |= {name: jnp.abs(table).max() for name, table in tables.items()}
    return seen


def _losses(run: _Run, log_policy: Any) -> tuple[Array, Array]:
    """‖q_* − q_π‖_∞, and ‖q_* − q_π‖_1 / ‖q_*‖_1."""
    assert run.dense is not None, "made when a loss is recorded"
    policy = jnp.exp(log_policy)
    v = policy_value(run.dense, policy, run.objective.bonus(policy, log_policy, run.mdp.legal))
    lost = jnp.abs(run.optimal_q - BellmanOperator(run.dense).backup(v))
    largest = jnp.abs(run.optimal_q).max()
    unit = jnp.where(largest > 0, largest, 1.0)  # sums of the largest numbers would overflow
    size = (jnp.abs(run.optimal_q) / unit).sum()
    return lost.max(), (lost / unit).sum() / jnp.where(size > 0, size, 1.0)


@partial(jax.jit, static_argnames="record")
def _observe_grid(runs: _Run, carry: _Carry, record: tuple[str, ...]) -> dict[str, Array]:
    return _over_grid(lambda run, carry, _: _observe(run, carry, record))(runs, carry, None)


@partial(jax.jit, static_argnames=("length", "record"))
def _advance(
    runs: _Run, carry: _Carry, first: Any, length: int, record: tuple[str, ...]
) -> tuple[_Carry, dict[str, Array]]:
    """`length` iterations of every run."""

    def one(run: _Run, carry: _Carry, first: Any) -> tuple[_Carry, dict[str, Array]]:
        def body(carry: _Carry, k: Any) -> tuple[_Carry, dict[str, Array]]:
            carry = _step(run, carry, k)
            return carry, _observe(run, carry, record)

        return jax.lax.scan(body, carry, first + jnp.arange(length))

    return _over_grid(one)(runs, carry, first)


def _loop(
    runs: _Run,
    carry: _Carry,
    iterations: int,
    record: tuple[str, ...],
    progress: Callable[[int], None] | None,
) -> dict[str, np.ndarray]:
    """Chunks of equal length, so that one program serves them all; the last may overshoot, and is cut."""
    chunks = math.ceil(iterations / _CHUNK)
    length = math.ceil(iterations / chunks)
    pieces = [jax.tree.map(lambda leaf: np.asarray(leaf)[:, :, :, None], _observe_grid(runs, carry, record))]
    for first in range(0, chunks * length, length):
        carry, seen = _advance(runs, carry, jnp.asarray(first), length, record)
        pieces.append(jax.tree.map(np.asarray, seen))
        done = min(first + length, iterations)
        _check_finite(np.asarray(carry.finite_until), done)
        if progress is not None:
            progress(done)
    return {
        name: np.concatenate([piece[name] for piece in pieces], axis=3)[:, :, :, : iterations + 1] for name in pieces[0]
    }


def _check_finite(finite_until: np.ndarray, done: int) -> None:
    for scheme, model, seed in np.argwhere(finite_until < done)[:1]:
        raise FloatingPointError(
            f"q or log π stopped being finite at iteration {finite_until[scheme, model, seed] + 1} "
            f"(scheme {scheme}, model {model}, seed {seed} of the grid): the errors grow faster than the discount "
            "shrinks them, or the rewards are too large for the floating-point type"
        )
