"""Compare runs in one environment: `mdvi.compare`."""

from collections.abc import Mapping, Sequence

from mdvi.learning.results import Run
from mdvi.report.comparison import Comparison, names_of


def compare(runs: Mapping[str, Run] | Sequence[Run]) -> Comparison:
    """Compare several runs in one environment: a table that prints itself, with `plot()` and `frame()`.

    For each run, or for each cell of a run with several, the table has the mean return over seeds of the last hundred
    episodes and of all episodes, with 95 % intervals by Student's t, and the difference from the first run. Two runs
    that share a seed begin with the same networks and episodes, so differences are paired by seed.

    Args:
        runs: runs by name, or a list of runs, which are named after their agents. All others are compared with the
            first one.

    Raises:
        ValueError: if there are no runs, or if they are in different environments, whose returns are not comparable.

    Examples:
        >>> import mdvi
        >>> sizes = {"hidden": (16,), "batch": 16, "warmup": 100, "log_period": 200, "epsilon": 0.5}
        >>> made = {
        ...     name: mdvi.train("probe-matched", name, seeds=3, steps=1000, **sizes) for name in ("dqn", "munchausen")
        ... }
        >>> comparison = mdvi.compare(made)
        >>> comparison.names, comparison.beside_first[1].seeds
        (('dqn', 'munchausen'), 3)
        >>> print(repr(comparison).splitlines()[0])
        probe-matched: mean returns over seeds, ± 95 % from three seeds on; differences from dqn are paired by seed
    """
    named = dict(runs) if isinstance(runs, Mapping) else _named(runs)
    if not named:
        raise ValueError("runs: expected at least one run, got none")
    for name, run in named.items():
        if not isinstance(run, Run):
            raise ValueError(f"runs: expected runs of mdvi.train or mdvi.load, got {type(run).__name__} for {name!r}")
    envs = {str(run.config["env"]) for run in named.values()}
    if len(envs) > 1:
        raise ValueError(f"runs: expected runs in one environment, since returns are compared; got {sorted(envs)}")
    results = [one for run in named.values() for one in run.results]
    curves = [curve for run in named.values() for curve in run.curves]
    return Comparison(envs.pop(), tuple(names_of({n: run.results for n, run in named.items()})), tuple(results),
                      tuple(curves))  # fmt: skip


def _named(runs: Sequence[Run]) -> dict[str, Run]:
    """Runs by the names of their agents, with a number if several runs have the same agent."""
    agents = [str(run.config["agent"]) if isinstance(run, Run) else type(run).__name__ for run in runs]
    named = {}
    for number, (agent, run) in enumerate(zip(agents, runs, strict=True), 1):
        named[agent if agents.count(agent) == 1 else f"{agent} ({number})"] = run
    return named
