"""Solutions and policies in files: .npz for programs, .csv for people and spreadsheets."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdvi import input
from mdvi.mdp.formats import arrays
from mdvi.mdp.formats.npz import names_as_arrays
from mdvi.mdp.memory import memory_left
from mdvi.words import to_cell

if TYPE_CHECKING:
    from mdvi.planning.solution import Solution


def solution_file(solution: "Solution", suffix: str) -> bytes:
    """Value, bounds and policy, with names where there are any, as a .npz of arrays or a .csv with a line per state."""
    names = solution.problem.mdp.names.as_text()
    if suffix == ".npz":
        fields = ("value", "lower", "upper", "action", "q", "log_policy")
        return arrays.save({name: getattr(solution, name) for name in fields} | names_as_arrays(names))
    policy = np.exp(solution.log_policy)
    states, actions = policy.shape
    called = names.actions or range(actions)
    columns: dict[str, Iterable[Any]] = {"state": range(states)}
    if names.states:
        columns["state_name"] = names.states
    columns |= {"value": solution.value, "lower": solution.lower, "upper": solution.upper, "action": solution.action}
    if names.actions:
        columns["action_name"] = [names.actions[a] for a in solution.action]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*columns, *(f"policy_{name}" for name in called)])
    writer.writerows(map(_cell, row) for row in zip(*columns.values(), *policy.T, strict=True))
    return file.getvalue().encode()


def _cell(value: Any) -> Any:
    return f"{value:.17g}" if isinstance(value, np.number) else to_cell(value)


def policy_in(path: Path) -> np.ndarray:
    """π or μ, shape (states, actions), out of a file.

    A .npz has it as `policy`, `prior` or `log_policy`; a .csv has one column per action, all of its columns or those
    called policy_…, in the order of the actions, as `solution_file` writes them.

    Raises:
        ValueError: naming the file.
    """
    if path.suffix not in (".npz", ".csv"):
        raise ValueError(f"{path}: expected a .npz or .csv file with a policy")
    data = input.read(path, memory_left() // 8)
    try:
        return _from_npz(data) if path.suffix == ".npz" else _from_csv(data.decode("utf-8-sig"))
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}: {error}") from None


def _from_npz(data: bytes) -> np.ndarray:
    found = arrays.load(data, ("policy", "prior", "log_policy"))
    for name, array in found.items():
        if array.ndim != 2 or array.dtype.kind not in "fiu":
            raise ValueError(
                f"{name}: expected real numbers of shape (states, actions), got {array.dtype} {array.shape}"
            )
        return np.exp(array) if name == "log_policy" else array
    raise ValueError("expected an array called policy, prior or log_policy")


def _from_csv(text: str) -> np.ndarray:
    rows = [(number, row) for number, row in enumerate(csv.reader(io.StringIO(text, newline="")), 1) if any(row)]
    if not rows:
        raise ValueError("the file is empty")
    header = [name.strip() for name in rows[0][1]]
    wanted = [i for i, name in enumerate(header) if name.startswith("policy_")]
    body = rows[1:] if wanted else rows
    if not body:
        raise ValueError("there are no lines of numbers")
    for number, row in body:
        if len(row) != len(header):
            raise ValueError(f"row {number} has {len(row)} columns, the first has {len(header)}")
    try:
        return np.array([[float(row[i]) for i in wanted or range(len(row))] for _, row in body])
    except ValueError as error:
        raise ValueError(f"expected numbers: {error}") from None
