"""The interface between a run and the program that trains its members, in JAX or with environments on the host."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from mdvi.learning.agents.agent import Agent
from mdvi.learning.agents.networks import Networks
from mdvi.learning.runs.member_log import MemberLog
from mdvi.learning.settings import Settings

Members = Sequence[tuple[Agent, int]]  # an agent and a seed for each
Saved = tuple[dict[str, np.ndarray], dict[str, Any]]  # arrays, and a note of plain values


class Room(NamedTuple):
    """The resources that members may use.

    Attributes:
        width: members that share a compiled call; None for the default of the device.
        workers: calls that run at a time; None for the default of the device.
        memory: bytes; None for four fifths of the free memory.
        scratch: a folder for frames that are kept on disk; None for the folder of temporary files.
    """

    width: int | None = None
    workers: int | None = None
    memory: float | None = None
    scratch: Path | None = None


class Driver(Protocol):
    """Train members side by side, from their first step to their last.

    Attributes:
        settings: sizes and periods.
        env: the environment.
        agents: the agents of the members.
        log: metrics, recent returns and status of each member.
        takes_turns: whether members that do not fit into memory wait until others have finished.
        unit: the unit of `done` and `goal`.
        waves: a remark if not all members run at the same time; otherwise "".
    """

    settings: Settings
    env: Any
    log: MemberLog
    takes_turns: bool
    unit: str

    @classmethod
    def arranged(
        cls, settings: Settings, env: Any, members: Members, steps: int, room: Room,
        start: Sequence[Networks] | None = None,
    ) -> "Driver":  # fmt: skip
        """The members, before their first step.

        Args:
            settings: sizes and periods.
            env: the environment.
            members: an agent and a seed for each member; agents may differ in their leaves only.
            steps: environment steps of each member, rounded up to whole lines of metrics.
            room: the resources that members may use.
            start: the networks that each member starts from; default: random networks.

        Raises:
            ValueError: if the driver does not support a setting, or if the members do not fit into memory.
        """

    @property
    def agents(self) -> Sequence[Agent]:
        """See above."""

    @property
    def waves(self) -> str:
        """See above."""

    @property
    def bytes_needed(self) -> float:
        """The peak of memory in bytes."""

    @property
    def bytes_kept(self) -> float:
        """The largest size of a checkpoint in bytes, without the lines of metrics and without a separate replay."""

    @property
    def done(self) -> int:
        """The work that is done, in the unit of `goal`."""

    @property
    def goal(self) -> int:
        """The work that was requested."""

    @property
    def finished(self) -> bool:
        """Whether all work is done."""

    @property
    def stuck(self) -> bool:
        """Whether more work was requested than was done, but no state was kept to continue from."""

    def advance(self, seconds: float, stopping: Callable[[], bool] = lambda: False) -> None:
        """Work for about this many seconds."""

    def networks(self, number: int) -> tuple[Agent, Networks]:
        """The agent of a member, and the current networks of the member."""

    def best(self, number: int) -> tuple[Agent, Networks]:
        """The agent of a member, and the networks with the best evaluation during training.

        Raises:
            ValueError: if the member was not evaluated.
        """

    def save(self, folder: Path | None = None, serial: int = 0) -> Saved:
        """The state that `restore` needs; a large replay is written to separate files in the folder."""

    def restore(self, arrays: dict[str, np.ndarray], note: dict[str, Any], folder: Path | None = None) -> None:
        """Restore the state of `save`; without a folder, state that only further training needs is left out.

        Raises:
            ValueError: if the arrays do not fit these members.
        """

    def close(self) -> None:
        """Close everything that runs outside of `advance`, such as environments."""
