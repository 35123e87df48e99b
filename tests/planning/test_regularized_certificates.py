"""Certificates of every regulariser: what is solved is proved by the independent checker, and what is false is not."""

import json
import math
import zipfile

import checker
import mpmath
import numpy as np
import pytest
from test_rows import SPARSE

import mdvi
from commands import run
from exact import exact_value
from mdvi import FiniteMDP
from mdvi.planning.certificate import certificate_arrays
from mdvi.planning.problem import problem_of
from mdvi.planning.solve import solve_problem
from mdvi.regularizers import Divergence, Lazy
from models import regularized_case, signed_garnet


def stored(model, path):
    """The model as a file, written without the library."""
    matrix = model.kernel.csr()
    masks = {"terminal": model.terminal, "legal": model.legal}
    rows = {"indptr": matrix.indptr, "indices": matrix.indices, "data": matrix.data}
    np.savez(path, **rows, **masks, reward=model.reward, discount=model.discount)
    return path


def verdict(tmp_path, model, arrays):
    np.savez(tmp_path / "certificate.npz", **arrays)
    return checker.main(stored(model, tmp_path / "model.npz"), tmp_path / "certificate.npz")


@pytest.mark.parametrize("block", range(8))
def test_what_is_solved_is_proved_and_the_next_number_beyond_the_truth_is_not(block, tmp_path, capsys):
    for seed in range(10 * block, 10 * block + 10):
        model, kl, entropy, prior, name, reference = regularized_case(seed)
        given = {"regularizer": name, "reference": reference, "time_limit": 5}
        for tolerance in (1e-6, 1e-300):
            solution = mdvi.solve(model, kl, entropy, prior, tolerance, **given)
            arrays = certificate_arrays(model, solution, kl, entropy, prior, reference)
            assert verdict(tmp_path, model, arrays) == 0, (seed, tolerance, capsys.readouterr())
        truth = exact_value(model, kl, entropy, prior, name, reference)
        for s in np.flatnonzero(~model.terminal)[:2]:
            for bound, other, toward in (("lower", "upper", math.inf), ("upper", "lower", -math.inf)):
                beyond = mpmath.mpf(float(truth[s]))
                while not (beyond > truth[s] if toward > 0 else beyond < truth[s]):
                    beyond = mpmath.mpf(math.nextafter(float(beyond), toward))
                forged = {name: arrays[name].copy() for name in ("lower", "upper", "v")}
                forged[bound][s] = forged["v"][s] = beyond
                forged[other][s] = (max if toward > 0 else min)(float(beyond), forged[other][s])
                assert verdict(tmp_path, model, arrays | forged) == 1, (seed, s, bound)


RHO = np.random.default_rng(3).dirichlet(np.ones(4), 12) + 0.05
RHO /= RHO.sum(-1, keepdims=True)
OTHER = np.roll(RHO, 1, axis=0)
NEAR = RHO + 1e-6 * np.array([1.0, -1.0, 0.0, 0.0])
CASES = {
    "tsallis:2": None,
    "tsallis:1.5": None,
    "tsallis:0.5": RHO,
    "shannon": RHO,
    "kl-to-uniform": None,
    "divergence:2": RHO,
    "divergence:0.5": None,
    "lazy": RHO,
}
TAMPERED = {
    "lower 1e-9 too high": lambda a: {"lower": a["upper"] + 1e-9 * np.abs(a["v"])},
    "one lower bound": lambda a: {"lower": a["lower"] + 2 * a["gap"] * (np.arange(12) == 3)},
    "upper 1e-9 too low": lambda a: {"upper": a["lower"] - 1e-9 * np.abs(a["v"])},
    "another index": lambda a: {"regularizer": np.array("tsallis:2.001")},
    "another family": lambda a: {
        "regularizer": np.array("divergence:3" if str(a["regularizer"]) == "tsallis:2" else "tsallis:2")
    },
    "another weight": lambda a: {"entropy": a["entropy"] * (1 + 1e-6)},
    "another reference": lambda a: {"reference": OTHER},
    "a reference next to it": lambda a: {"reference": NEAR},
    "a reference that sums to 1.1": lambda a: {"reference": 1.1 * RHO},
    "a negative reference": lambda a: {"reference": RHO - np.eye(4)[0]},
    "a reference of NaN": lambda a: {"reference": np.nan * RHO},
    "a reference for all states": lambda a: {"reference": RHO[0]},
}


@pytest.mark.parametrize("name", CASES)
def test_the_checker_refuses_what_was_tampered_with(name, tmp_path, capsys):
    model, reference = signed_garnet(4), CASES[name]
    solution = mdvi.solve(model, entropy=0.4, regularizer=name, reference=reference, tolerance=1e-10)
    arrays = certificate_arrays(model, solution, 0.0, 0.4, None, reference)
    assert verdict(tmp_path, model, arrays) == 0
    assert arrays["kind"] == "mdvi certificate 2"
    for case, change in TAMPERED.items():
        forged = arrays | change(arrays)
        forged |= {"upper": np.maximum(forged["upper"], forged["lower"])} if "lower" in case else {}
        forged |= {"lower": np.minimum(forged["lower"], forged["upper"])}
        forged |= {"v": (forged["lower"] + forged["upper"]) / 2, "gap": np.array(1.0)}
        assert verdict(tmp_path, model, forged) == 1, case
        assert "NOT PROVED" in capsys.readouterr().out
    zero = np.where(np.arange(4) == 1, 0.0, RHO)
    assert verdict(tmp_path, model, arrays | {"reference": zero / zero.sum(-1, keepdims=True)}) == 1
    refused = "the reference is not positive on every legal action" in capsys.readouterr().out
    assert refused == (name not in ("tsallis:2", "tsallis:1.5", "lazy"))
    lacking = {key: value for key, value in arrays.items() if key != "regularizer"}
    assert verdict(tmp_path, model, lacking) == 1
    assert "the certificate has no regularizer" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["tsalis:2", "tsallis", "tsallis:two", "tsallis:nan", "tsallis:-1", "divergence:0", "lazy:2", "", "sparse"]
)
def test_an_operator_without_a_name_is_unreadable(name, tmp_path, capsys):
    model = signed_garnet(4)
    arrays = certificate_arrays(model, mdvi.solve(model, entropy=0.4), 0.0, 0.4, None)
    assert verdict(tmp_path, model, arrays | {"regularizer": np.array(name)}) == 2
    assert "unreadable" in capsys.readouterr().err


def test_a_certificate_of_shannon_is_what_it_was_before_there_were_others(tmp_path):
    model = signed_garnet(4)
    arrays = certificate_arrays(model, mdvi.solve(model, 0.1, 0.2, RHO), 0.1, 0.2, RHO)
    assert arrays["kind"] == "mdvi certificate 1"
    assert arrays["regularizer"] == "shannon"
    earlier = {key: value for key, value in arrays.items() if key != "regularizer"}
    assert verdict(tmp_path, model, earlier) == verdict(tmp_path, model, arrays) == 0


def test_a_value_with_a_reference_has_it_in_its_certificate(tmp_path):
    model = signed_garnet(4)
    for omega in (Divergence(2, RHO), Divergence(1 / 3, RHO[0]), Lazy(RHO), Lazy([0.0, 0.5, 0.5, 0.0])):
        arrays = certificate_arrays(model, mdvi.solve(model, entropy=0.4, regularizer=omega), 0.0, 0.4, None)
        assert arrays["reference"].shape == (12, 4)
        assert verdict(tmp_path, model, arrays) == 0
    sparse = solve_problem(problem_of(model, 0.0, 0.4, regularizer=SPARSE), 1e-6)
    with pytest.raises(ValueError, match="the checker has no operator for this solution's sparse"):
        certificate_arrays(model, sparse, 0.0, 0.4, None)
    solution = mdvi.solve(model, entropy=0.4, regularizer="divergence:2", reference=RHO)
    with pytest.raises(ValueError, match="another reference than the one given"):
        certificate_arrays(model, solution, 0.0, 0.4, None, OTHER)
    for weights in ((0.1, 0.4), (0.0, 0.5)):
        with pytest.raises(ValueError, match="the solution is for other weights"):
            certificate_arrays(model, solution, *weights, None, RHO)


@pytest.mark.parametrize("seed", range(6))
def test_many_actions_and_references_next_to_zero_are_proved(seed, tmp_path, capsys):
    rng = np.random.default_rng([33, seed])
    rows = rng.dirichlet(np.ones(3), (3, 300))
    model = FiniteMDP(rows, 10.0 ** rng.integers(-3, 3) * rng.normal(size=(3, 300)), 0.9)
    rho = rng.dirichlet(np.ones(300) * 0.05, 3) + 10.0 ** rng.integers(-9, -3)
    rho /= rho.sum(-1, keepdims=True)
    for name in ("tsallis:0.5", "tsallis:1", "tsallis:1.5", "tsallis:2", "tsallis:7", "divergence:0.5", "divergence:2"):
        for tau in (1e-9, 1.0, 1e5):
            reference = rho if name.startswith("divergence") else None
            solution = mdvi.solve(model, entropy=tau, regularizer=name, reference=reference, tolerance=1e-300)
            arrays = certificate_arrays(model, solution, 0.0, tau, None, reference)
            assert verdict(tmp_path, model, arrays) == 0, (name, tau, capsys.readouterr())


def test_the_commands_solve_and_certify_with_references(tmp_path, capsys, monkeypatch):
    model = signed_garnet(4)
    source, proof, rho, policy = (tmp_path / f"{name}.npz" for name in ("model", "proof", "rho", "policy"))
    mdvi.mdp.write(model, source)
    np.savez(rho, policy=RHO)

    def command(*arguments):
        return run(capsys, monkeypatch, *arguments)

    for name in ("divergence:2", "lazy", "tsallis:2", "shannon"):
        options = ["--entropy", "0.4", "--regularizer", name, "--reference", rho]
        code, out, _ = command("solve", source, *options, "--out", policy, "--certificate", proof, "--json")
        assert (code, json.loads(out)["status"]) == (0, "certified")
        with np.load(policy) as found, np.load(proof) as claimed:
            expected = mdvi.solve(model, entropy=0.4, regularizer=name, reference=RHO)
            np.testing.assert_array_equal(found["value"], expected.value)
            assert str(claimed["regularizer"]) == name
        assert checker.main(source, proof) == 0
        capsys.readouterr()
        code, out, _ = command("certify", source, "--policy", policy, *options, "--json")
        assert code == 0
        assert json.loads(out)["gap"] < 1e-5
    code, _, err = command("solve", source, "--regularizer", "lazy", "--reference", rho)
    assert code == 2
    assert "reference: its weight is the entropy, which is 0" in err
    code, _, err = command("solve", source, *options[:2], "--regularizer", "lazy", "--prior", rho, "--kl", "1")
    assert code == 2
    assert "prior: lazy has no Bregman divergence" in err


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_references_of_fewer_digits_are_checked_with_all_digits(kind, tmp_path, capsys):
    """Sums and logarithms in half precision would err by far more than float64 rounds, which is all that is allowed."""
    prior = np.array([[0.25, 0.75], [0.625, 0.375]])
    model = FiniteMDP(np.array([[[0.5, 0.5]] * 2] * 2), np.array([[0.3, 0.7], [1.0, 0.1]]), 0.5)
    solution = mdvi.solve(model, kl=1.0, prior=prior, tolerance=1e-12)
    claim = certificate_arrays(model, solution, 1.0, 0.0, prior)
    for shift, code in ((0.0, 0), (-1e-4, 1), (1e-4, 1), (-1e-9, 1)):
        forged = claim | {"prior": prior.astype(kind), "lower": claim["lower"] + shift, "upper": claim["upper"] + shift}
        assert verdict(tmp_path, model, forged) == code


def test_a_header_that_is_no_literal_is_unreadable(tmp_path, capsys):
    stored(FiniteMDP(np.ones((1, 1, 1)), np.zeros((1, 1)), 0.5), tmp_path / "model.npz")
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as file:
        for name in checker.CLAIMS:
            file.writestr(f"{name}.npy", b"\x93NUMPY\x02\x00" + (9000).to_bytes(4, "little") + b"(" * 9000)
    assert checker.main(tmp_path / "model.npz", tmp_path / "c.npz") == 2
    assert capsys.readouterr().err.startswith("unreadable")
