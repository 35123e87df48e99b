"""The paper's Figure 1: the effect of KL and entropy on sampling errors, on Garnets, with the bounds of the theorems.

The figure has three panels with curves over k, averaged over Garnets with one run each:

    left     sampled MD-VI(λ, 0) for several λ, and AVI; Theorem 1 (for AVI, its own bound)
    middle   error-free MD-VI(λ, τ) from a corner of the ball ‖q_0‖ ≤ v_max, for several β; g²(k) of Theorem 2
    right    sampled MD-VI(λ, τ) for several β at the same τ; Theorem 2

The loss is ‖q_* − q_{π_k}‖_1/‖q_*‖_1, as in the paper. A bound on the sup norm, divided by the mean of |q_*|, bounds
this loss.

Source: Vieillard et al., "Leverage the Average" (2020), section 5.1, Algorithm 1 and Figure 1. The values of λ and β
in the original figure are not known; the values used here span the same regimes.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from mdvi.laboratory import errors
from mdvi.laboratory.inputs import check_memory
from mdvi.laboratory.iterate import iterate
from mdvi.mdp import FiniteMDP, garnet
from mdvi.report.curves import Curve
from mdvi.report.stats import interval
from mdvi.scheme import Scheme

KLS = (0.0, 0.01, 0.1, 1.0, 10.0)
BETAS = (0.0, 0.5, 0.9, 0.95, 0.99)
ENTROPY = 1e-3
DISCOUNT = 0.9


def run(
    garnets: int = 100,
    iterations: int = 800,
    seed: int = 1000,
    progress: Callable[[str, int], None] | None = None,
) -> list[Curve]:
    """All curves of the figure.

    Args:
        garnets: the number of Garnets(30, 4, 4), made from the seeds seed, seed + 1, …
        iterations: K.
        seed: the seed of the Garnets, of the sampling, and of the corner q_0 in the middle panel.
        progress: called with the panel and the iterations done.
    """
    mdps = models(garnets, seed, iterations, len(BETAS))
    kls = {("AVI" if kl == 0 else f"λ = {kl:g}"): Scheme.of(kl) for kl in KLS}
    betas = {f"β = {beta:g}": Scheme.of(beta * ENTROPY / (1 - beta), ENTROPY) for beta in BETAS}
    panels = {
        "left": (kls, errors.sampled(1)),
        "middle": (betas, errors.none()),
        "right": (betas, errors.sampled(1)),
    }
    curves = []
    for panel, (schemes, error_model) in panels.items():
        trace = iterate(
            mdps,
            list(schemes.values()),
            iterations,
            error_model,
            seed,
            initial_q=_corners(mdps, len(schemes), seed) if panel == "middle" else None,
            record=("normalized_loss", "bound"),
            progress=told(progress, panel),
        )
        scale = np.abs(trace.optimal_q).mean((-1, -2))[:, :, None]
        for i, (label, scheme) in enumerate(schemes.items()):
            curves.append(curve_of(panel, label, scheme, trace.normalized_loss[i], trace.bound[i] / scale[i]))
    return curves


def told(progress: Callable[[str, int], None] | None, part: str) -> Callable[[int], None] | Literal[False]:
    """The callback of a part of the experiment."""
    return False if progress is None else lambda done: progress(part, done)


def models(garnets: int, seed: int, iterations: int, schemes: int) -> list[FiniteMDP]:
    """The Garnets of the paper, if so many runs of so many schemes fit into memory.

    Raises:
        ValueError: for fewer than two Garnets, a negative seed, or a trace that does not fit into memory.
    """
    if garnets < 2:
        raise ValueError(f"garnets: expected at least 2, for an interval of the mean, got {garnets}")
    if seed < 0:
        raise ValueError(f"seed: expected an integer of at least 0, got {seed}")
    check_memory((schemes, garnets, 1), (30, 4), iterations, (), exact=True)
    return [garnet(30, 4, 4, DISCOUNT, seed=seed + i) for i in range(garnets)]


def _corners(mdps: list[FiniteMDP], schemes: int, seed: int) -> np.ndarray:
    """q_0 = ±v_max with random signs, one per Garnet: the largest initial error that Theorem 2 allows."""
    rng = np.random.default_rng(seed)
    v_max = np.array([mdp.max_abs_reward for mdp in mdps])[:, None, None] / (1 - DISCOUNT)
    corners = v_max * rng.choice([-1.0, 1.0], (len(mdps), *mdps[0].reward.shape))
    return np.broadcast_to(corners, (schemes, *corners.shape))


def curve_of(panel: str, label: str, scheme: Scheme, losses: np.ndarray, bounds: np.ndarray) -> Curve:
    """The mean over Garnets with its interval; losses and bounds have the shape (garnets, k)."""
    mean, margin = interval(losses.T)
    return Curve(
        panel,
        label,
        float(scheme.kl),
        float(scheme.entropy),
        mean,
        mean - margin,
        mean + margin,
        bounds.mean(0),
    )
