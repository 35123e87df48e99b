"""Backward induction: a finite number of decisions, one backup each, with the rounding of all of them bounded."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from mdvi.checks import floats
from mdvi.mdp.model import FiniteMDP
from mdvi.mdp.names import model_of
from mdvi.mdp.validation import physical_memory
from mdvi.planning.problem import Problem, problem_of
from mdvi.planning.requests import check_weights, log_prior_of
from mdvi.planning.views import first_states, size_of
from mdvi.words import as_html


@dataclass(frozen=True, eq=False)
class HorizonSolution:
    """The optimal values with h = 0 … H decisions behind one.

    Attributes:
        value: v_h, shape (horizon + 1, states); value[0] is where H decisions are left, value[H] the final value.
        lower: proved lower bound, the same shape.
        upper: proved upper bound.
        action: an optimal action of decision h, shape (horizon, states).
        problem: the model with (λ, τ) and the prior, ready for backups.

    A solution is equal (`==`) to itself alone.
    """

    value: Float[np.ndarray, "stages states"]
    lower: Float[np.ndarray, "stages states"]
    upper: Float[np.ndarray, "stages states"]
    action: Int[np.ndarray, "decisions states"]
    problem: Problem

    def __repr__(self) -> str:
        decisions, states = self.action.shape
        return (
            f"HorizonSolution(decisions={decisions}, states={states}, gap={np.max(self.upper - self.lower):.3g},\n"
            f"                value[0] in [{self.value[0].min():.6g}, {self.value[0].max():.6g}])"
        )

    def _repr_html_(self) -> str:
        """The same for notebooks, with the first states."""
        mdp = self.problem.mdp
        facts = {
            "decisions": len(self.action),
            "interval": f"at most {np.max(self.upper - self.lower):.3g} wide",
            "model": size_of(mdp),
        }
        columns = {"value": self.value[0], "lower": self.lower[0], "upper": self.upper[0]}
        return as_html("HorizonSolution", facts, *first_states(mdp, columns, self.action[0]))

    def policy(self, stage: int) -> Float[np.ndarray, "states actions"]:
        """π_h of decision h = `stage`, the probabilities behind `log_policy`: exactly 0 for illegal actions."""
        return np.exp(self.log_policy(stage))

    def log_policy(self, stage: int) -> Float[np.ndarray, "states actions"]:
        """Log π_h of decision h = `stage`; uniform over ties when λ = τ = 0."""
        live, legal = np.asarray(self.problem.mdp.live), np.asarray(self.problem.mdp.legal)
        x = np.where(live, self.problem.action_values(self.value[stage + 1]), 0.0)
        return np.asarray(self.problem.regularizer.log_policy(x, self.problem.temperature, legal))


def backward_induction(
    mdp: FiniteMDP | str | Path,
    horizon: int,
    kl: float = 0.0,
    entropy: float = 0.0,
    prior: Any = None,
    final_value: Any = None,
) -> HorizonSolution:
    """The optimum of a finite number of decisions.

        v_H = final value,     v_h = M_{λ+τ}(r + λ log μ + γ P v_{h+1}),     h = H − 1 … 0

    Args:
        mdp: the model, or its name as `solve` takes it; its discount may be 1.
        horizon: H ≥ 1.
        kl: λ, the weight of the KL to the prior.
        entropy: τ.
        prior: μ, shape (states, actions); default uniform over legal actions.
        final_value: shape (states,); default 0. Terminal states are worth 0 whatever it says.

    Raises:
        ValueError: for bad arguments, naming them.

    Source: Puterman (1994), section 4.5.
    """
    mdp = model_of(mdp)
    if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer) or horizon < 1:
        raise ValueError(f"horizon: expected an integer of at least 1, got {horizon!r}")
    if 32 * (horizon + 1) * mdp.states > physical_memory():
        raise ValueError(f"horizon: {horizon} decisions in {mdp.states} states do not fit into memory")
    check_weights(kl, entropy)
    problem = problem_of(mdp, kl, entropy, log_prior_of(mdp, kl, prior))
    value = np.zeros((horizon + 1, mdp.states))
    if final_value is not None:
        given = floats("final_value", final_value)
        if given.shape != (mdp.states,) or not np.isfinite(given).all():
            raise ValueError(f"final_value: expected {mdp.states} finite numbers, got shape {given.shape}")
        value[horizon] = np.where(mdp.terminal, 0.0, given)
    scale = problem.max_gain + problem.temperature * (1 + math.log(problem.widest))
    largest = (float(np.abs(value[horizon]).max()) + horizon * scale) * max(problem.greatest_factor, 1.0) ** horizon
    if not largest < 1e300:
        raise ValueError(f"reward: values of up to {largest:.3g} overflow; scale the rewards down")
    action = np.zeros((horizon, mdp.states), np.int32)
    error = np.zeros(horizon + 1)
    for h in reversed(range(horizon)):
        backup = problem.backup(value[h + 1])
        value[h], action[h] = backup.value, backup.best
        rounding = problem.rounding(float(np.abs(value[h + 1]).max()))
        error[h] = (problem.greatest_factor * error[h + 1] + rounding) * (1 + 1e-15)
    width = np.where(mdp.terminal, 0.0, error[:, None])
    return HorizonSolution(value, value - 2 * width, value + 2 * width, action, problem)
