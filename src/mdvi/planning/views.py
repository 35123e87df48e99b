"""What people see of a result of planning: data frames, pictures, and tables in notebooks, with names if there are any.

Pairs (s, a) that cannot be met are left out of frames and stay blank in pictures.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mdvi.mdp.kernels import MatrixFree
from mdvi.mdp.labels import COMPASS, Layout
from mdvi.mdp.model import FiniteMDP

if TYPE_CHECKING:
    from mdvi.report.frames import DataFrame
    from mdvi.report.plots import Figure

_SHOWN = 8  # states in a notebook
_ORDERED = 400  # states, up to which a picture has a row for each
_WALLED = 60  # cells in a row, up to which walls are drawn


def states_frame(mdp: FiniteMDP, columns: Mapping[str, np.ndarray], action: np.ndarray | None = None) -> "DataFrame":
    """A row for each state: its name, the columns, and the name of an action, missing in terminal states."""
    from mdvi.report.frames import frame_of

    named: dict[str, Any] = {"state": state_names(mdp), **columns}
    if action is not None:
        named["action"] = chosen_names(mdp, action)
    return frame_of(named)


def pairs_frame(mdp: FiniteMDP, columns: Mapping[str, np.ndarray]) -> "DataFrame":
    """A row for each legal action of each state that is not terminal, with columns of shape (states, actions)."""
    from mdvi.report.frames import frame_of

    s, a = np.nonzero(mdp.live)
    named: dict[str, Any] = {
        "state": [mdp.names.state(state) for state in s],
        "action": [mdp.names.action(action) for action in a],
    }
    return frame_of(named | {name: column[s, a] for name, column in columns.items()})


def state_names(mdp: FiniteMDP) -> list[Any]:
    """The names of all states, or their numbers."""
    return list(mdp.names.states) or list(range(mdp.states))


def action_names(mdp: FiniteMDP) -> list[Any]:
    """The names of all actions, or their numbers."""
    return list(mdp.names.actions) or list(range(mdp.actions))


def chosen_names(mdp: FiniteMDP, action: np.ndarray) -> list[Any]:
    """The name of the action of each state, None in terminal states, where nothing is chosen."""
    ends = np.asarray(mdp.terminal)
    return [None if end else mdp.names.action(a) for a, end in zip(action, ends, strict=True)]


def first_states(
    mdp: FiniteMDP, columns: Mapping[str, np.ndarray], action: np.ndarray | None = None
) -> tuple[list[str], list[list[str]]]:
    """The head and the first rows of a table for a notebook, with a row of dots where there are more states."""
    head = ["state", *columns, *(["action"] if action is not None else [])]
    rows = []
    for s in range(min(mdp.states, _SHOWN)):
        row = [str(mdp.names.state(s)), *(f"{column[s]:.6g}" for column in columns.values())]
        if action is not None:
            row.append("" if mdp.terminal[s] else str(mdp.names.action(action[s])))
        rows.append(row)
    if mdp.states > _SHOWN:
        rows.append([f"… {mdp.states - _SHOWN} more", *[""] * (len(head) - 1)])
    return head, rows


def size_of(mdp: FiniteMDP) -> str:
    """How large a model is, in words."""
    ends = int(np.count_nonzero(mdp.terminal))
    return f"{mdp.states} states ({ends} terminal), {mdp.actions} actions, γ = {float(mdp.discount):g}"


def picture(
    mdp: FiniteMDP,
    value: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    policy: np.ndarray,
    title: str,
    label: str = "value",
) -> "Figure | None":
    """A map where the states lie on one, else a row for each state; None where there are too many for that."""
    from mdvi.report.maps import grid_plot, states_plot

    layout = mdp.layout
    if layout is not None:
        blank = _blank(mdp, layout)
        walls = _walls(mdp, layout, blank)
        return grid_plot(value, policy, blank, layout[:2], layout.moves, title, layout.marks, walls, label)
    if mdp.states > _ORDERED:
        return None
    shown = np.where(mdp.live, policy, np.nan)
    names = list(map(str, state_names(mdp))), list(map(str, action_names(mdp)))
    return states_plot(value, lower, upper, shown, *names, title, label)


def _blank(mdp: FiniteMDP, layout: Layout) -> np.ndarray:
    """The cells in which nothing is chosen.

    These are terminal, or they only stand on the map: where episodes of Gymnasium's end in a cell, the model has one
    more state, and nothing leads to the cell.
    """
    ends = np.asarray(mdp.terminal)
    cells = layout.rows * layout.columns
    if len(ends) == cells or isinstance(mdp.kernel, MatrixFree):
        return ends
    matrix = mdp.kernel.csr()
    reached = np.isin(np.arange(len(ends)), matrix.indices[matrix.data != 0])
    reached[: len(layout.marks)] |= [mark == "S" for mark in layout.marks]  # where an episode starts
    return ends | ~reached


def _walls(mdp: FiniteMDP, layout: Layout, blank: np.ndarray) -> np.ndarray | None:
    """The sides between neighbouring cells that no action crosses and that stop some action in both of them."""
    rows, columns = layout[:2]
    if set(layout.moves) != set(COMPASS) or max(rows, columns) > _WALLED or isinstance(mdp.kernel, MatrixFree):
        return None
    matrix = mdp.kernel.csr().tocoo()
    row, column = matrix.coords
    ways = set(zip((row // mdp.actions).tolist(), column.tolist(), strict=True))
    lines = []
    for cell in range(rows * columns):
        y, x = divmod(cell, columns)
        for inside, other, ends in (
            (x + 1 < columns, cell + 1, ((y - 0.5, x + 0.5), (y + 0.5, x + 0.5))),
            (y + 1 < rows, cell + columns, ((y + 0.5, x - 0.5), (y + 0.5, x + 0.5))),
        ):
            closed = inside and not (blank[cell] or blank[other]) and not {(cell, other), (other, cell)} & ways
            if closed and {(cell, cell), (other, other)} <= ways:
                lines.append(ends)
    return np.array(lines).reshape(-1, 2, 2)
