"""Solutions and policies in files: .npz for programs, .csv for people and spreadsheets."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mdvi.mdp.formats import arrays

if TYPE_CHECKING:
    from mdvi.planning.solve import Solution


def solution_file(solution: "Solution", suffix: str) -> bytes:
    """Value, bounds and policy, as a .npz of arrays or a .csv with a line per state."""
    if suffix == ".npz":
        names = ("value", "lower", "upper", "action", "q", "log_policy")
        return arrays.save({name: getattr(solution, name) for name in names})
    policy = np.exp(solution.log_policy)
    columns = [np.arange(len(policy)), solution.value, solution.lower, solution.upper, solution.action, *policy.T]
    header = ["state", "value", "lower", "upper", "action", *(f"policy_{a}" for a in range(policy.shape[1]))]
    buffer = io.StringIO()
    np.savetxt(buffer, np.column_stack(columns), "%.17g", delimiter=",", header=",".join(header), comments="")
    return buffer.getvalue().encode()


def policy_in(path: Path) -> np.ndarray:
    """π or μ, shape (states, actions), out of a file.

    A .npz has it as `policy`, `prior` or `log_policy`; a .csv has one column per action, all of them or those
    called policy_0, policy_1, …, as `solution_file` writes them.

    Raises:
        ValueError: naming the file.
    """
    if path.suffix not in (".npz", ".csv"):
        raise ValueError(f"{path}: expected a .npz or .csv file with a policy")
    data = path.read_bytes()
    try:
        return _from_npz(data) if path.suffix == ".npz" else _from_csv(data.decode("utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _from_npz(data: bytes) -> np.ndarray:
    found = arrays.load(data, ("policy", "prior", "log_policy"))
    for name, array in found.items():
        if array.ndim != 2 or array.dtype.kind != "f":
            raise ValueError(
                f"{name}: expected real numbers of shape (states, actions), got {array.dtype} {array.shape}"
            )
        return np.exp(array) if name == "log_policy" else array
    raise ValueError("expected an array called policy, prior or log_policy")


def _from_csv(text: str) -> np.ndarray:
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise ValueError("the file is empty")
    header = [name.strip() for name in lines[0].split(",")]
    wanted = [i for i, name in enumerate(header) if name.startswith("policy_")]
    body = lines[1:] if wanted else lines
    for number, line in enumerate(body, start=1 + bool(wanted)):
        if line.count(",") + 1 != len(header):
            raise ValueError(f"line {number} has {line.count(',') + 1} columns, the first has {len(header)}")
    if not body:
        raise ValueError("there are no lines of numbers")
    try:
        table = np.loadtxt(body, delimiter=",", ndmin=2)
    except ValueError as error:
        raise ValueError(f"expected numbers: {error}") from None
    return table[:, wanted] if wanted else table
