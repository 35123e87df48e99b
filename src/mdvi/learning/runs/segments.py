"""A replay on disk in parts: each checkpoint writes only the transitions since the previous one."""

from pathlib import Path

import numpy as np

from mdvi.learning.experience.frames import HostReplay
from mdvi.learning.runs import checkpoint
from mdvi.learning.runs.record import REPLAY

_SPARE = 2**20  # bytes of a part beyond the arrays of the replay


class Segments:
    """The parts that together contain a replay.

    Attributes:
        known: for each part, its number, and the numbers of frames and transitions of every stream at its end.
    """

    def __init__(self) -> None:
        self.known: list[tuple[int, np.ndarray, np.ndarray]] = []

    def write(self, folder: Path, serial: int, replay: HostReplay) -> list[int]:
        """Add a part; if parts are missing from the folder, the new part has the whole replay.

        Returns:
            The numbers of the parts that contain the replay.
        """
        if not {number for number, _, _ in self.known} <= set(checkpoint.serials(folder / REPLAY)):
            self.known = []
        nothing = np.zeros_like(replay.filmed)
        _, filmed, taken = self.known[-1] if self.known else (serial, nothing, nothing)
        checkpoint.write(folder / REPLAY, serial, replay.since(filmed, taken), {}, kept=None)
        needed = [part for part in self.known if (part[1] > replay.filmed - replay.room).any()]
        self.known = [*needed, (serial, replay.filmed.copy(), replay.taken.copy())]
        return [number for number, _, _ in self.known]

    def read(self, folder: Path, serials: list[int], replay: HostReplay) -> None:
        """Fill an empty replay from its parts.

        Raises:
            ValueError: if a part is missing or damaged.
            OSError: if the machine cannot read one.
        """
        if serials != sorted(set(serials)):
            raise ValueError(f"expected parts of the replay in ascending order, got {str(serials)[:60]}")
        most = 2 * (replay.frames.nbytes + replay.age.nbytes + replay.steps.nbytes) + _SPARE
        for serial in serials:
            replay.extend(checkpoint.read(folder / REPLAY, serial, most)[0])
            self.known.append((serial, replay.filmed.copy(), replay.taken.copy()))
