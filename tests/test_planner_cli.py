"""`mdvi solve`, `certify` and `convert`: exit codes, JSON, files that fit together, one line for bad input."""

import json

import checker
import numpy as np
import pytest

from mdvi import FiniteMDP, cli, solve


def run(monkeypatch, capsys, *arguments):
    """Exit code, stdout, stderr."""
    monkeypatch.setattr("sys.argv", ["mdvi", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code, *capsys.readouterr()


def test_a_model_is_converted_solved_checked_and_its_policy_certified(monkeypatch, capsys, tmp_path):
    model, proof, out = (tmp_path / name for name in ("lake.npz", "proof.npz", "out.npz"))
    assert run(monkeypatch, capsys, "convert", "gym:FrozenLake-v1", model)[0] == 0
    arguments = ("solve", model, "--entropy", 0.01, "--certificate", proof, "--out", out, "--json")
    code, text, _ = run(monkeypatch, capsys, *arguments)
    facts = json.loads(text)
    assert code == 0
    assert facts["status"] == "certified"
    assert facts["lower_max_error"] <= facts["gap"] <= facts["tolerance"] == 1e-6
    assert checker.main(model, proof) == 0
    assert "proved" in capsys.readouterr().out
    code, text, _ = run(monkeypatch, capsys, "certify", model, "--policy", out, "--entropy", 0.01, "--json")
    assert code == 0
    assert json.loads(text)["gap"] < 3e-6


def test_what_is_not_certified_says_so(monkeypatch, capsys):
    code, text, _ = run(monkeypatch, capsys, "solve", "garnet", "--tolerance", 1e-15, "--json")
    assert code == 3
    assert json.loads(text)["status"] == "tolerance below rounding floor"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("garnett",), "did you mean"),
        (("gym:FrozenLake-v99",), "FrozenLake-v99"),
        (("missing.drn",), "missing.drn"),
        (("garnet", "--tolerance", "0"), "tolerance: expected a finite number above 0"),
        (("garnet", "--method", "magic"), "method: expected one of"),
        (("garnet", "--discount", "1"), "discount"),
        (("garnet", "--out", "x.txt"), "x.txt"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(monkeypatch, capsys, arguments, message):
    code, _, text = run(monkeypatch, capsys, "solve", *arguments)
    assert code == 2
    assert message in text
    assert text.count("\n") == 1


def test_puterman_and_the_forest_have_their_published_values():
    p = np.array([[[0.5, 0.5], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    model = FiniteMDP(p, [[5.0, 10.0], [-1.0, 0.0]], 0.95, legal=np.array([[True, True], [True, False]]))
    np.testing.assert_allclose(solve(model, tolerance=1e-9).value, [-8.57142857, -20.0], atol=1e-8)
