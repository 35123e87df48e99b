"""A replay on disk in parts: what it gained between two checkpoints is written once, however large it is."""

from pathlib import Path

import numpy as np

from mdvi.deep import checkpoint
from mdvi.deep.host_replay import HostReplay

_FOLDER = "replay"


class Segments:
    """The parts that together are what a replay holds.

    Attributes:
        known: for each part, its number, and the counts of frames and transitions of every stream at its end.
    """

    def __init__(self) -> None:
        self.known: list[tuple[int, np.ndarray, np.ndarray]] = []

    def write(self, folder: Path, serial: int, replay: HostReplay) -> list[int]:
        """Add a part, and remove those that neither this checkpoint nor the one before needs.

        Returns:
            The numbers of the parts that make the replay.
        """
        nothing = np.zeros_like(replay.filmed)
        last, filmed, taken = self.known[-1] if self.known else (serial, nothing, nothing)
        checkpoint.write(folder / _FOLDER, serial, replay.since(filmed, taken), {}, kept=None)
        needed = [part for part in self.known if part[0] == last or (part[1] > filmed - replay.room).any()]
        for part in self.known:
            if part[0] not in {number for number, _, _ in needed}:
                checkpoint.remove(folder / _FOLDER, part[0])
        self.known = [*needed, (serial, replay.filmed.copy(), replay.taken.copy())]
        return [number for number, _, _ in self.known]

    def read(self, folder: Path, serials: list[int], replay: HostReplay) -> None:
        """Fill an empty replay from its parts.

        Raises:
            ValueError: when one of them is missing or damaged.
        """
        for serial in serials:
            replay.extend(checkpoint.read(folder / _FOLDER, serial)[0])
            self.known.append((serial, replay.filmed.copy(), replay.taken.copy()))

    def clear(self, folder: Path) -> None:
        """Remove all parts, when nobody will learn from them any more."""
        for serial, _, _ in self.known:
            checkpoint.remove(folder / _FOLDER, serial)
        self.known = []
