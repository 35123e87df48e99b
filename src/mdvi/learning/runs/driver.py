"""What trains members, wherever their environments run: all that a run knows of it."""

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
    """What members may use.

    Attributes:
        width: members that share a call; None for as many as suit.
        workers: calls at a time; None for as many as suit.
        memory: bytes; None for four fifths of what is free.
        scratch: a folder for frames that are kept on disk; None for that of temporary files.
    """

    width: int | None = None
    workers: int | None = None
    memory: float | None = None
    scratch: Path | None = None


class Driver(Protocol):
    """Members side by side, from their first step to their last.

    Attributes:
        settings: sizes and periods.
        env: the environment.
        agents: those of the members.
        log: metrics, recent returns and status of each member.
        takes_turns: whether members that memory has no room for wait until others are done.
        unit: what `done` and `goal` count.
        waves: that not all members run at the same time, in words; "" where they do.
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
            members: an agent and a seed for each; agents may differ in their leaves only.
            steps: environment steps of each, rounded up to whole lines of metrics.
            room: what they may use.
            start: the networks that each member starts from; default random ones.

        Raises:
            ValueError: for what members in such environments cannot have, and where there is no room for them.
        """

    @property
    def agents(self) -> Sequence[Agent]:
        """See above."""

    @property
    def waves(self) -> str:
        """See above."""

    @property
    def bytes_needed(self) -> float:
        """Of memory, at the peak."""

    @property
    def bytes_kept(self) -> float:
        """The most that a checkpoint takes, but for the lines of metrics and a replay beside it."""

    @property
    def done(self) -> int:
        """How much is done, of `goal`."""

    @property
    def goal(self) -> int:
        """How much is asked for."""

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""

    @property
    def stuck(self) -> bool:
        """Whether more is asked for than was done, and nothing was kept to go on from."""

    def advance(self, seconds: float, stopping: Callable[[], bool] = lambda: False) -> None:
        """Work for about so many seconds."""

    def networks(self, number: int) -> tuple[Agent, Networks]:
        """The agent of a member, and its networks as they are now."""

    def best(self, number: int) -> tuple[Agent, Networks]:
        """The agent of a member, and the networks that did best in evaluations during training.

        Raises:
            ValueError: for a member that was not evaluated.
        """

    def save(self, folder: Path | None = None, serial: int = 0) -> Saved:
        """Everything that `restore` needs; a large replay is put beside it, in the folder."""

    def restore(self, arrays: dict[str, np.ndarray], note: dict[str, Any], folder: Path | None = None) -> None:
        """Take up where `save` was called; without a folder, what only more training needs is left out.

        Raises:
            ValueError: when the arrays are not those of these members.
        """

    def close(self) -> None:
        """Let go of what runs outside of `advance`."""
