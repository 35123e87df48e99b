"""Files that version 0.1.0 wrote still mean what they meant; the README beside each tells how it was made."""

from pathlib import Path

import checker
import numpy as np
import pytest

import mdvi

CERTIFICATES = Path(__file__).parents[1] / "fixtures" / "0.1.0" / "certificates"


@pytest.mark.parametrize(
    ("model", "certificate", "weights"),
    [("lake", "lake-hard", {}), ("garnet", "garnet-soft", {"kl": 0.1, "entropy": 0.01})],
)
def test_certificates_of_0_1_0_are_proved_and_agree_with_a_new_solve(model, certificate, weights):
    assert checker.main(CERTIFICATES / f"{model}.npz", CERTIFICATES / f"{certificate}.npz") == 0
    with np.load(CERTIFICATES / f"{certificate}.npz") as claim, np.load(CERTIFICATES / "prior.npz") as file:
        prior = file["prior"] if weights else None
        solution = mdvi.solve(mdvi.mdp.read(CERTIFICATES / f"{model}.npz").model, **weights, prior=prior)
        assert solution.status == "certified"
        assert (solution.lower <= claim["upper"]).all()
        assert (claim["lower"] <= solution.upper).all()


def test_a_certificate_of_another_model_is_refused():
    assert checker.main(CERTIFICATES / "lake.npz", CERTIFICATES / "garnet-soft.npz") == 1
