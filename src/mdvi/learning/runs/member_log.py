"""The log of the members of a population: lines of metrics, recent returns and failures."""

from typing import Any

import numpy as np

Row = dict[str, float]
RECENT = 100  # episodes in the moving average of returns


class MemberLog:
    """The metrics, the recent returns and the failures of all members.

    Attributes:
        rows: the lines of metrics of each member so far, by its number.
        recent: the returns of the last episodes of each member.
        status: the reason why each member failed, "" for a member that has not failed.
        well: whether each member has not failed.
        remarks: remarks that have not been reported yet.
        paid: whether each member has ever received a reward other than 0.
    """

    def __init__(self, members: int) -> None:
        self.rows: dict[int, list[Row]] = {number: [] for number in range(members)}
        self.recent: list[list[float]] = [[] for _ in range(members)]
        self.status = [""] * members
        self.well = np.ones(members, bool)
        self.remarks: list[str] = []
        self.paid = np.zeros(members, bool)
        self._warned = False

    def add(self, number: int, step: int, returns: np.ndarray, lengths: np.ndarray, means: Row) -> None:
        """Add a line of metrics: the episodes since the previous line, and the means of other measurements."""
        ended = returns.astype(np.float64)
        recent = self.recent[number] = [*self.recent[number], *ended.tolist()][-RECENT:]
        row = {
            "env_steps": float(step),
            "episodes": float(len(ended)),
            "episode_return": float(ended.mean()) if len(ended) else np.nan,
            "episode_length": float(lengths.mean()) if len(ended) else np.nan,
            "last_100": float(np.mean(recent)) if recent else np.nan,
        }
        self.rows[number].append(row | means)

    def fail(self, number: int, reason: str) -> None:
        """Store the reason why a member failed, unless it has failed before; "" stands for no failure."""
        self.status[number] = self.status[number] or reason
        self.well[number] = not self.status[number]

    def unpaid(self) -> str:
        """A remark, once, if members in training have never received a reward other than 0; otherwise ""."""
        who = [number for number, rows in self.rows.items() if rows and self.well[number] and not self.paid[number]]
        if self._warned or not who:
            return ""
        self._warned = True
        some = f" for {len(who)} of {len(self.rows)} members" if len(who) < len(self.rows) else ""
        return (
            f"all rewards were 0{some}, so there was nothing to learn from: explore more, or longer (epsilon, "
            "epsilon_steps), or check the rewards of the environment"
        )

    @property
    def columns(self) -> list[str]:
        """The names of all measurements; lines of a member that failed early may lack some of them."""
        return list(dict.fromkeys(name for rows in self.rows.values() for row in rows for name in row))

    def save(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The state that `restore` needs: arrays, and a note of plain values."""
        columns = self.columns
        arrays = {f"{n}.recent": np.asarray(recent, np.float64) for n, recent in enumerate(self.recent)}
        for number, rows in self.rows.items():
            arrays[f"{number}.rows"] = np.array(
                [[row.get(name, np.nan) for name in columns] for row in rows], np.float64
            )
        return arrays, {
            "columns": columns, "status": self.status, "paid": self.paid.tolist(), "warned": self._warned,
        }  # fmt: skip

    def restore(self, arrays: dict[str, np.ndarray], note: dict[str, Any]) -> None:
        """Restore the state of `save`."""
        self.status = list(note["status"])
        self.well = np.array([not status for status in self.status])
        self.paid = np.array(note.get("paid", [True] * len(self.status)), bool)  # version 0.1.0 did not store it
        self._warned = bool(note.get("warned", False))
        for number in self.rows:
            table = arrays[f"{number}.rows"].tolist()
            self.rows[number] = [dict(zip(note["columns"], row, strict=True)) for row in table]
            self.recent[number] = arrays[f"{number}.recent"].tolist()


class Averages:
    """Means of measurements over time; bit-identical, however often they are saved in between.

    A measurement may still be running on a device when it is added; `means` and `save` wait for it.
    """

    def __init__(self) -> None:
        self.sums: dict[str, np.ndarray] = {}
        self.count = 0
        self._new: list[dict[str, Any]] = []

    def add(self, part: dict[str, Any]) -> None:
        """Add a measurement, with an array of shape (members,) under each name."""
        self._new.append(part)

    def means(self) -> dict[str, np.ndarray]:
        """The means so far."""
        for part in self._new:
            for name, value in part.items():
                self.sums[name] = self.sums.get(name, 0.0) + np.asarray(value, np.float64)
            self.count += 1
        self._new = []
        return {name: total / self.count for name, total in self.sums.items()}

    def save(self) -> dict[str, np.ndarray]:
        """The arrays that `restore` needs."""
        self.means()
        return self.sums | {"": np.array(self.count)}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Restore the state of `save`."""
        self.sums = {name: value for name, value in arrays.items() if name}
        self.count = int(arrays[""])
