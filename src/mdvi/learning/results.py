"""The result of training: `mdvi.Run`, the members with their policies, metrics and pictures."""

import copy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from mdvi import output
from mdvi.checks import within
from mdvi.envs.spaces import actions_of
from mdvi.learning.acting import export, play  # `play` finds the kind of environment when it is called
from mdvi.learning.acting.policy import Actions, Policy
from mdvi.learning.agents.agent import Agent
from mdvi.learning.agents.networks import Networks
from mdvi.learning.runs import record
from mdvi.learning.runs.driver import Driver
from mdvi.report.learning import COLUMNS, Results, curve_of, curves_of, grid_of, lines_of, results_of
from mdvi.report.stats import averaged, in_words
from mdvi.words import as_html

if TYPE_CHECKING:
    from mdvi.report.frames import DataFrame
    from mdvi.report.plots import Figure

_WHOLE = ("env_steps", "member", "seed", "episodes")  # columns of whole numbers


class Run:
    r"""A trained population: its members' policies, its metrics and its summary.

    `len(run)` is the number of members; each member is one seed of one cell, and a cell is one point of the grid of
    numbers. An interrupted run has the policies and metrics up to the interruption.

    Attributes:
        population: the members.
        env: the environment of the members.
        config: the content of config.json: the request that the run was made for.
        summary: the content of summary.json: status and returns; empty for a run that is not finished.
        metrics: the lines of metrics, by column.

    Examples:
        >>> import mdvi
        >>> sizes = {"hidden": (16,), "batch": 16, "warmup": 100, "log_period": 200, "epsilon": 0.5}
        >>> run = mdvi.train("probe-matched", "munchausen", kl=[0.01, 0.1], seeds=3, steps=1000, **sizes)
        >>> print(repr(run).partition(",\n")[0])
        Run('munchausen' in 'probe-matched', members=6 (2 cells), steps=1100
        >>> run.predictor(5)([False, True, False])
        np.int64(1)
        >>> [(results.cell["kl"], results.seeds) for results in run.results]
        [(0.01, (0, 1, 2)), (0.1, (0, 1, 2))]
    """

    def __init__(
        self, population: Driver, config: dict[str, Any], columns: list[dict[str, Any]], summary: dict[str, Any]
    ) -> None:
        """Args: see the attributes; `columns` has, for each member, the columns that identify its lines of metrics."""
        self.population, self.env = population, population.env
        self.config, self.summary = config, summary
        self.metrics = record.columns_of(record.metrics_csv(population.log, columns).splitlines())
        self._members = record.summary_of(population.log, population.settings, columns)["members"]
        self._predictors: dict[int, Policy] = {}
        self._best = False  # whether the run has the best policies instead of the last ones

    def __len__(self) -> int:
        return len(self.population.agents)

    def __repr__(self) -> str:
        cells = f" ({len(self.results)} cells)" if len(self.results) > 1 else ""
        return (
            f"Run({self.config['agent']!r} in {self.config['env']!r}, members={len(self)}{cells}, "
            f"steps={self._steps},\n    status={self.status!r}, last_100={self._score})"
        )

    def _repr_html_(self) -> str:
        """The summary for notebooks, with the results of each cell."""
        facts = {
            "environment": self.config["env"],
            "agent": self.config["agent"],
            "members": len(self),
            "environment steps of each": f"{self._steps} of at least {self.config['steps']} requested",
            "status": self.status,
        }
        return as_html("Run", facts, COLUMNS, [results.row for results in self.results])

    @property
    def status(self) -> str:
        """How training ended: "ok", how many members failed, or "not finished"."""
        return str(self.summary.get("status", "not finished"))

    @cached_property
    def results(self) -> list[Results]:
        """The results of each cell, in the order of the first members, without members that failed."""
        return results_of(self._members)

    @property
    def _steps(self) -> int:
        """The largest number of environment steps of any member."""
        return max(member["env_steps"] for member in self._members)

    @property
    def curves(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each of `results`: steps, and the mean returns of the last hundred episodes, shape (steps, seeds)."""
        return [curve_of(lines_of(self.metrics, one.members)) for one in self.results]

    @property
    def _score(self) -> str:
        """The mean return of the last hundred episodes: of the only cell, or of the worst and the best cell."""
        texts = {mean: in_words(mean, reach) for mean, reach in (averaged(r.last_100) for r in self.results)}
        known = sorted(mean for mean in texts if np.isfinite(mean))
        if not known:
            return "unknown"
        return texts[known[0]] if len(self.results) == 1 else f"{known[0]:.4g} … {known[-1]:.4g}"

    def networks(self, member: int = 0) -> tuple[Agent, Networks]:
        """The agent and the networks of a member.

        Raises:
            ValueError: if there is no member of that number, or if the member has not started.
        """
        if not isinstance(member, int | np.integer) or not 0 <= member < len(self):
            raise ValueError(f"member: expected 0…{len(self) - 1}, got {member}")
        return self.population.best(member) if self._best else self.population.networks(member)

    @property
    def best(self) -> "Run":
        """The run with the policies that had the best evaluation during training, instead of the last ones.

        Examples:
            >>> import mdvi
            >>> sizes = {"hidden": (16,), "batch": 16, "warmup": 100, "log_period": 100, "evaluation_period": 100}
            >>> run = mdvi.train("probe-matched", "munchausen", steps=600, **sizes)
            >>> member = run.summary["members"][0]
            >>> returns, _ = run.best.evaluate(20, seed=member["best_seed"])
            >>> bool(returns.mean(dtype=float) == member["best_return"])
            True
        """
        other = copy.copy(self)
        other._best, other._predictors = True, {}
        return other

    @property
    def first_action(self) -> int:
        """The number of the first action in the action space of the environment."""
        return actions_of(self.env).first

    def predictor(self, member: int = 0) -> Policy:
        """The policy of a member, as a function of observations; see `Policy`.

        Raises:
            ValueError: as in `networks`.
        """
        if member not in self._predictors:
            agent, networks = self.networks(member)
            dense = agent.network is None and self.population.settings.torso == "none"
            self._predictors[member] = Policy(self.env, agent, networks, dense=dense)
        return self._predictors[member]

    def policy(self, obs: Any, member: int = 0, seed: int | None = None, legal: Any = None) -> Actions:
        """The action for an observation, or the actions for a batch, as numbers of the action space.

        Args:
            obs: an observation, or several along a first axis.
            member: the number of the member.
            seed: sample the policy with this seed; default: take the most probable action.
            legal: which actions are legal on each observation, as in `info["action_mask"]`. By default an environment
                in JAX reads the legal actions off the observation, and in an environment on the host all are legal.

        Raises:
            ValueError: if an observation has the wrong shape or is not finite; if `legal` does not have the shape
                (batch, actions), or allows no action.
        """
        seed = None if seed is None else within("seed", seed, 0, 2**32 - 1)
        return self.predictor(member)(obs, seed=seed, legal=legal)

    def probabilities(self, obs: Any, member: int = 0, legal: Any = None) -> Float[np.ndarray, "*batch actions"]:
        """π(·|obs), shape (actions,) or (batch, actions): exactly 0 on illegal actions, and every row sums to 1.

        Args:
            obs: as in `policy`.
            member: the number of the member.
            legal: as in `policy`.

        Raises:
            ValueError: as in `policy`.
        """
        return self.predictor(member).probabilities(obs, legal)

    def predict(
        self, obs: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True,
        action_masks: Any = None,
    ) -> tuple[Actions, Any]:  # fmt: skip
        """Actions of member 0 by the interface of Stable-Baselines3, so that its `evaluate_policy(run, env)` works.

        See `Policy.predict`; `run.predictor(member)` has the same method for any member.
        """
        return self.predictor().predict(obs, state, episode_start, deterministic, action_masks)

    def evaluate(
        self, episodes: int = 100, member: int = 0, *, seed: int = 0, sampled: bool = False, epsilon: float = 0.0,
        limit: int = 27_000,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Returns and lengths of episodes played by a member; see `mdvi.learning.acting.play.evaluate`.

        Args:
            episodes: the number of episodes.
            member: the number of the member.
            seed: the seed of the episodes.
            sampled: sample the policy instead of taking its most probable action.
            epsilon: the probability of a random action.
            limit: steps after which an episode is stopped.

        Raises:
            ValueError: if a number is out of range; the message names it.
        """
        if not 0 <= epsilon <= 1:
            raise ValueError(f"epsilon: expected a number in [0, 1], got {epsilon}")
        episodes, seed = within("episodes", episodes, 1, 2**30), within("seed", seed, 0, 2**32 - 1)
        limit = within("limit", limit, 1, 2**30)
        return play.evaluate(
            self.env, *self.networks(member), episodes, seed, sampled=sampled, epsilon=epsilon, limit=limit
        )

    def film(
        self, member: int = 0, *, seed: int = 0, sampled: bool = False, limit: int = 1000
    ) -> tuple[list[np.ndarray], float]:
        """The pictures of one episode played by a member, and its return."""
        seed, limit = within("seed", seed, 0, 2**32 - 1), within("limit", limit, 1, 2**30)
        return play.film(self.env, *self.networks(member), seed, sampled=sampled, limit=limit)

    def export(self, file: str | Path, member: int = 0) -> tuple[Path, Path]:
        """Write the policy of a member to a .npz file, and next to it a .py file that runs the policy with NumPy alone.

        Returns:
            The paths of the two files.

        Raises:
            ValueError: if the name of the file does not end in .npz.
            OSError: if a file cannot be written.
        """
        file = Path(file)
        program = export.program_beside(file)
        for path, content in export.files_of(file, self.env, *self.networks(member)).items():
            output.write(path, content)
        return file, program

    def frame(self, *, failed: bool = False) -> "DataFrame":
        """The lines of metrics as a data frame of pandas, with the status of the member in each line.

        Args:
            failed: include members that failed; their status has the reason.

        Raises:
            ModuleNotFoundError: if pandas is not installed; the message has the command that installs it.
        """
        from mdvi.report.frames import frame_of

        statuses = [status or "ok" for status in self.population.log.status]
        shown = [number for number, status in enumerate(statuses) if failed or status == "ok"]
        lines = lines_of(self.metrics, shown)
        columns: dict[str, Any] = {
            name: column.astype(np.int64) if name in _WHOLE else column for name, column in lines.items()
        }
        if columns:
            columns["status"] = [statuses[number] for number in columns["member"]]
        return frame_of(columns)

    def plot(self, *, cells: bool = False, title: str = "") -> "Figure":
        """Learning curves: for each cell the mean over seeds, with its 95 % interval if it has three seeds or more.

        Members that failed are left out.

        Args:
            cells: draw the mean return over training for each (λ or β, τ) instead.
            title: the title of the picture; default: the environment and the agent.

        Raises:
            ValueError: if the run has no line of metrics; with `cells`, unless τ and λ or β vary on a full grid.
            ModuleNotFoundError: if Matplotlib is not installed; the message has the command that installs it.
        """
        from mdvi.report.plots import cells_plot, learning_plot

        metrics = lines_of(self.metrics, [n for n, status in enumerate(self.population.log.status) if not status])
        if not metrics or not len(metrics["member"]):
            raise ValueError("run: all members failed, or none has a line of metrics yet; train longer")
        title = title or f"{self.config['env']}, {self.config['agent']}, {len(self.config['seeds'])} seeds"
        if not cells:
            return learning_plot(curves_of(metrics), title)
        grid = grid_of(metrics)
        if grid is None:
            raise ValueError("cells: expected a full grid of τ and of λ or β, with at least two values of each")
        return cells_plot(*grid, title)
