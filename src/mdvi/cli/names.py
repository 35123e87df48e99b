"""Names for shell completion, without importing the objects that they name.

Completion must be immediate, but the tables of algorithms, agents and environments import JAX. Therefore this file
repeats the names, and a test compares them with the tables.
"""

from collections.abc import Callable

AGENTS = (
    "md-direct", "md-indirect", "da", "modqn", "munchausen", "dqn", "soft-dqn", "softmax-dqn", "al-dqn", "cvi",
    "dpp",
)  # fmt: skip
ALGORITHMS = (
    "md_vi", "vi", "pi", "mpi", "soft_q", "sac", "mellowmax", "softmax_dqn", "trpo", "mpo", "politex", "dpp",
    "dpp_boltzmann", "speedy_q", "cvi", "advantage_learning", "movi", "modqn", "softened_lspi", "munchausen",
    "entropy_npg", "implicit_q", "xql",
)  # fmt: skip
ENVIRONMENTS = (
    "CartPole-v1", "minatar-asterix", "minatar-breakout", "minatar-freeway", "minatar-seaquest",
    "minatar-space-invaders", "probe-constant", "probe-seen", "probe-delayed", "probe-chosen", "probe-matched",
    "probe-truncated", "probe-terminated",
)  # fmt: skip
ERRORS = ("none", "gaussian", "constant", "alternating", "worst_sign", "given", "sampled", "projection", "greedy")
FORMATS = ("npz", "toolbox", "gym", "csv", "prism", "drn", "cassandra")
REGULARIZERS = ("shannon", "tsallis:1.5", "tsallis:2", "log-barrier", "divergence:2", "kl-to-uniform", "lazy")
LISTS = ("algorithms", "agents", "envs", "models", "errors", "regularizers", "studies")
METHODS = ("auto", "value-iteration", "modified-policy-iteration", "gauss-seidel", "policy-iteration")
MODELS = (
    "garnet", "chain", "grid", "maze", "lake", "cliff", "deep_sea", "gambler", "forest", "inventory",
    "softmax_two_fixed_points",
)  # fmt: skip
PRESETS = ("paper", "cartpole", "lunarlander", "atari", "minatar", "small", "speed")


def suggest(*names: str) -> Callable[[str], list[str]]:
    """A completion function for typer: the names that begin with the typed text."""

    def matching(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return matching


def studies_named(incomplete: str) -> list[str]:
    """The studies that are shipped with mdvi and begin with the typed text."""
    from mdvi.shipped import studies

    return [name for name in studies() if name.startswith(incomplete)]
