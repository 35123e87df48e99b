import numpy as np

import mdvi
from models import signed_garnet


def test_a():
    for e in (
        mdvi.errors.none(),
        mdvi.errors.gaussian(0.1),
        mdvi.errors.constant(0.1),
        mdvi.errors.alternating(0.1),
        mdvi.errors.worst_sign(0.1),
        mdvi.errors.sampled(2),
        mdvi.errors.greedy(0.1),
    ):
        for s in (
            mdvi.Scheme.of(0.1),
            mdvi.DualAveraging(mdvi.Scheme.of(0.1)),
            mdvi.Scheme.of(0.1, 0.1, backups=3),
            mdvi.Scheme.of(0.1, 0.1, backups=float("inf")),
        ):
            t = mdvi.iterate(signed_garnet(0), [s], 20, e, seed=[0, 1])
            assert np.isfinite(t.loss).all()
    t = mdvi.iterate(mdvi.mdp.gambler(10), mdvi.Scheme.of(0.1), 20, mdvi.errors.sampled(1), seed=[0, 1])
