"""Runs side by side: `mdvi.compare`."""

from collections.abc import Mapping, Sequence

from mdvi.learning.results import Run
from mdvi.report.comparison import Comparison, names_of


def compare(runs: Mapping[str, Run] | Sequence[Run]) -> Comparison:
    """Several runs in one environment as a table that shows itself, with `plot()` and `frame()`.

    For each run, or for each cell of a run with several, the table has the mean return over seeds of the last hundred
    episodes and of all episodes, with 95 % intervals by Student's t, and how the run differs from the first one. Seeds
    that both have begin with the same networks and episodes, so differences are paired by seed.

    Args:
        runs: runs by the names that they are to have; a list of runs gets the names of their agents. The first one is
            what the others are compared with.

    Raises:
        ValueError: for no runs, and for runs in different environments, whose returns cannot be compared.

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
        raise ValueError(f"runs: are of different environments, whose returns cannot be compared: {sorted(envs)}")
    results = [one for run in named.values() for one in run.results]
    curves = [curve for run in named.values() for curve in run.curves]
    return Comparison(envs.pop(), tuple(names_of({n: run.results for n, run in named.items()})), tuple(results),
                      tuple(curves))  # fmt: skip


def _named(runs: Sequence[Run]) -> dict[str, Run]:
    """Runs by the names of their agents, with a number where several have the same."""
    agents = [str(run.config["agent"]) if isinstance(run, Run) else type(run).__name__ for run in runs]
    named = {}
    for number, (agent, run) in enumerate(zip(agents, runs, strict=True), 1):
        named[agent if agents.count(agent) == 1 else f"{agent} ({number})"] = run
    return named
