"""`mdvi solve`, `certify` and `convert`: exit codes, JSON, files that fit together, one line for bad input."""

import csv
import json
import re
import time

import checker
import numpy as np
import pytest

from bad_models import BAD_ARRAYS, BAD_ROWS, TEXT, files_of
from mdvi import FiniteMDP, cli, mdp, solve
from mdvi.mdp import FORMATS
from mdvi.words import from_cell
from model_files import LACK_DISCOUNT, text_files


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


CASSANDRA = """discount: 0.9
values: reward
states: far near
actions: -x go
T: * uniform
R: go : near : * : * 1
"""


def test_solutions_and_conversions_keep_names(monkeypatch, capsys, tmp_path):
    (tmp_path / "m.txt").write_text(CASSANDRA.replace("-x", "=x"))
    code, _, err = run(monkeypatch, capsys, "convert", tmp_path / "m.txt", tmp_path / "m.npz", "--from", "cassandra")
    assert code == 0, err
    assert mdp.read(tmp_path / "m.npz").names == mdp.Names(("far", "near"), ("=x", "go"))
    assert run(monkeypatch, capsys, "solve", tmp_path / "m.npz", "--out", tmp_path / "o.csv")[0] == 0
    with (tmp_path / "o.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["state_name"] for row in rows] == ["far", "near"]
    assert [from_cell(row["action_name"]) for row in rows] == ["=x", "go"]
    assert not any(cell.startswith(("=", "+", "@")) for row in rows for cell in (*row, *row.values()))
    assert [float(row["policy_go"]) for row in rows] == [0.5, 1]
    assert run(monkeypatch, capsys, "certify", tmp_path / "m.npz", "--policy", tmp_path / "o.csv", "--json")[0] == 0
    assert run(monkeypatch, capsys, "solve", tmp_path / "m.npz", "--out", tmp_path / "o.npz")[0] == 0
    assert np.load(tmp_path / "o.npz")["action_names"].tolist() == ["=x", "go"]


def test_rewards_of_a_file_are_chosen_by_name(monkeypatch, capsys, tmp_path):
    for name, text in {"m.tra": "2 2 2\n0 0 1 1\n1 0 0 1\n", "m1.srew": "2 1\n0 1\n", "m2.srew": "2 1\n0 3\n"}.items():
        (tmp_path / name).write_text(text)
    model = (tmp_path / "m.tra", "--discount", "0.5")

    def told(*arguments):
        code, _, err = run(monkeypatch, capsys, *arguments)
        assert code == 0, err
        return err.replace(str(tmp_path), "")

    assert "m1.srew is read, and not m2.srew" in told("solve", *model, "--json")
    assert "reward" not in told("solve", *model, "--json", "--reward", "2", "--out", tmp_path / "o.csv")
    assert (tmp_path / "o.csv").read_text().splitlines()[1].startswith("0,4")
    assert "reward" not in told("convert", *model, tmp_path / "m.csv", "--reward", "m2")
    assert mdp.read(tmp_path / "m.csv", 0.5).model.reward.tolist() == [[3], [0]]
    assert "every reward" not in told("iterate", *model, "-k", 2, "--reward", "none")
    assert "reward" not in told("certify", *model, "--policy", tmp_path / "o.csv", "--reward", "m2.srew")
    code, _, err = run(monkeypatch, capsys, "solve", *model, "--reward", "3")
    assert (code, err.count("\n")) == (2, 1)
    assert "known are none, m1, m2" in err


@pytest.mark.parametrize("option", ["--policy", "--prior"])
def test_policies_in_pipes_are_refused_at_once(monkeypatch, capsys, tmp_path, option):
    (tmp_path / "p.csv").write_text("0.5,0.5\n" * 50)
    (tmp_path / "pipe.csv").symlink_to("/dev/zero")
    command = ("certify", "garnet:states=50,actions=2", "--policy", tmp_path / "p.csv", option, tmp_path / "pipe.csv")
    code, _, err = run(monkeypatch, capsys, *command)
    assert (code, err.count("\n")) == (2, 1)
    assert "expected a file, found a device" in err


FAULTS = dict.fromkeys(TEXT, BAD_ROWS) | BAD_ARRAYS
FAULTS["cassandra"] = {case: fault for case, fault in BAD_ROWS.items() if case != "duplicate"}  # later entries override


@pytest.mark.parametrize(("name", "case"), [(name, case) for name in FAULTS for case in FAULTS[name]])
def test_a_malformed_model_is_one_line_and_exit_code_2_within_a_second(monkeypatch, capsys, tmp_path, name, case):
    bad, pattern = FAULTS[name][case]
    files = text_files(name, bad) if name in TEXT else files_of(bad)
    for suffix, data in files.items():
        (tmp_path / f"model{suffix}").write_bytes(data)
    source = tmp_path / f"model{FORMATS[name].suffixes[0]}"
    discount = () if name not in LACK_DISCOUNT or name == "toolbox" else ("--discount", "0.9")

    def seconds():
        begun = time.process_time()
        code, out, text = run(monkeypatch, capsys, "solve", source, *discount)
        assert (code, out, text.count("\n")) == (2, "", 1), text
        assert re.search(pattern, text), text
        return time.process_time() - begun

    assert any(seconds() < 1 for _ in range(3))  # garbage of other tests may be collected meanwhile, but not each time


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (np.array([[1.0, 0.0], [0.5, 0.5]]), "state 0, action 1"),
        (np.array([[0.7, 0.7], [0.5, 0.5]]), "state 0"),
        (np.array([[np.nan, 1.0], [0.5, 0.5]]), "state 0"),
        (np.full((2, 3), 1 / 3), "shape"),
    ],
)
def test_a_prior_that_cannot_be_is_one_line_too(monkeypatch, capsys, tmp_path, prior, message):
    model, file = tmp_path / "model.npz", tmp_path / "prior.npz"
    model.write_bytes(files_of({"transition": np.full((2, 2, 2), 0.5), "reward": np.zeros((2, 2))})[".npz"])
    np.savez(file, policy=prior)
    code, _, text = run(monkeypatch, capsys, "solve", model, "--kl", "0.1", "--prior", file)
    assert (code, text.count("\n")) == (2, 1), text
    assert message in text


def test_puterman_and_the_forest_have_their_published_values():
    p = np.array([[[0.5, 0.5], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    model = FiniteMDP(p, [[5.0, 10.0], [-1.0, 0.0]], 0.95, legal=np.array([[True, True], [True, False]]))
    np.testing.assert_allclose(solve(model, tolerance=1e-9).value, [-8.57142857, -20.0], atol=1e-8)
