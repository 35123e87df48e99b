"""The left panel of Figure 1 with other regularisers: do sampling errors average out, in the lazy and the agile form?

Sampled MD-VI(λ, 0) on Garnets as in the paper, with other Ω than Shannon's. Theorem 1 covers the lazy form, s' = x − v,
with every bounded Ω. The agile form is mirror descent with the Bregman divergence to the last policy. For α ≤ 1 it is
the same; for α > 1 it forgets the errors of actions that its policy drops, and no theorem covers it.

Source: the paper, section 5.1, for the experiment; `mdvi.bounds` for the bound.
"""

from collections.abc import Callable

import numpy as np

from mdvi.laboratory import errors
from mdvi.laboratory.iterate import iterate
from mdvi.report.curves import Curve
from mdvi.scheme import Scheme
from mdvi.study.figure1 import curve_of, models, told

KLS = (0.1, 1.0)
FORMS = (
    ("shannon", "lazy"),
    ("tsallis:0.5", "lazy"),
    ("tsallis:1.5", "lazy"),
    ("tsallis:1.5", "agile"),
    ("tsallis:2", "lazy"),
    ("tsallis:2", "agile"),
    ("lazy", "lazy"),
)


def run(
    garnets: int = 20,
    iterations: int = 800,
    seed: int = 1000,
    progress: Callable[[str, int], None] | None = None,
) -> list[Curve]:
    """All curves: of AVI, which has no regulariser, and of each regulariser and form at each λ.

    Args:
        garnets: the number of Garnets(30, 4, 4), made from the seeds seed, seed + 1, …
        iterations: K.
        seed: the seed of the Garnets and of the sampling.
        progress: called with the regulariser and its form, and the iterations done.
    """
    mdps, curves = models(garnets, seed, iterations, len(KLS) + 1), []
    for regularizer, form in FORMS:
        kls = (0.0, *KLS) if regularizer == "shannon" else KLS
        floor = "own" if form == "agile" else None
        trace = iterate(
            mdps,
            [Scheme.of(kl, regularizer=regularizer, floor=floor) for kl in kls],
            iterations,
            errors.sampled(1),
            seed,
            record=("normalized_loss", "bound"),
            progress=told(progress, f"{regularizer}, {form}"),
        )
        scale = np.abs(trace.optimal_q).mean((-1, -2))[:, :, None]
        for i, scheme in enumerate(trace.scheme):
            name = (regularizer, form) if scheme.kl > 0 else ("none", "lazy")
            curves.append(curve_of(*name, scheme, trace.normalized_loss[i], trace.bound[i] / scale[i]))
    return curves
