"""The paper's table of algorithms: each algorithm is a function that returns a point of the scheme.

    q ↦ x = q + βs,   v = M_κ(x),   s' = x − v,   q' = r + γPv        (KL weight λ = βκ, entropy weight τ = (1 − β)κ)

Algorithms that their authors define as limits (Advantage Learning, Speedy Q-learning, MoVI, MoDQN, softened LSPI) are
the points κ = 0, without an approximation of the limit. `ALL` is the only registry.

Source: Vieillard et al., "Leverage the Average" (2020), Table 1 and appendix B, and the reference of each entry.
"""

import dataclasses
import inspect
import math
from collections.abc import Callable
from typing import Any

from mdvi.checks import check_positive
from mdvi.extras import explained
from mdvi.references import bibtex
from mdvi.regularizers import KL_TO_UNIFORM, boltzmann_average
from mdvi.words import arguments_of, did_you_mean, summary

with explained():
    from mdvi.scheme import Scheme

__all__ = [
    "ALL",
    "Algorithm",
    "advantage_learning",
    "bibtex",
    "cvi",
    "dpp",
    "dpp_boltzmann",
    "entropy_npg",
    "find",
    "implicit_q",
    "md_vi",
    "mellowmax",
    "modqn",
    "movi",
    "mpi",
    "mpo",
    "munchausen",
    "pi",
    "politex",
    "sac",
    "scheme_of",
    "soft_q",
    "softened_lspi",
    "softmax_dqn",
    "speedy_q",
    "summary",
    "trpo",
    "vi",
    "xql",
]


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """A row of the table.

    Attributes:
        name: the name of the algorithm.
        scheme: a function from the parameters of the algorithm to a `Scheme`.
        mapping: (λ, τ) in terms of the parameters.
        reference: the BibTeX key of the work that introduced the algorithm.
    """

    name: str
    scheme: Callable[..., Scheme]
    mapping: str
    reference: str

    @property
    def summary(self) -> str:
        """The first line of the docstring; "" if Python runs without docstrings."""
        return summary(self.scheme)

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters of the algorithm and their defaults."""
        return {name: p.default for name, p in inspect.signature(self.scheme).parameters.items()}

    def bibtex(self) -> str:
        """The BibTeX entry of the reference."""
        return bibtex(self.reference)


def md_vi(kl: float = 0.09, entropy: float = 0.01) -> Scheme:
    """MD-VI(λ, τ) of the paper: π' ∝ π^β exp(q/κ), q' = r + γP(⟨π', q⟩ − λ KL(π'‖π) + τ H(π'))."""
    return Scheme.of(kl=kl, entropy=entropy)


def vi() -> Scheme:
    """Value iteration (with errors: AVI and DQN): q' = r + γP max q."""
    return Scheme.of()


def pi() -> Scheme:
    """Policy iteration: q' = q_π, with π greedy in q."""
    return Scheme.of(backups=math.inf)


def mpi(backups: int = 5) -> Scheme:
    """Modified policy iteration: q' = (T_π)^m q, with π greedy in q."""
    return Scheme.of(backups=backups)


def soft_q(entropy: float = 0.01) -> Scheme:
    """Soft Q-learning: q' = r + γP τ log Σ_a exp(q/τ)."""
    return Scheme.of(entropy=entropy)


def sac(entropy: float = 0.01) -> Scheme:
    """The operator of soft actor-critic: π = softmax(q/τ), q' = r + γP⟨π, q − τ log π⟩; the same point as soft Q."""
    return Scheme.of(entropy=entropy)


def mellowmax(temperature: float = 0.01) -> Scheme:
    """Mellowmax: q' = r + γP κ log( (1/n) Σ_a exp(q/κ) ); the regulariser is the KL to the uniform policy."""
    return Scheme(temperature, 0.0, regularizer=KL_TO_UNIFORM)


def softmax_dqn(entropy: float = 0.01) -> Scheme:
    """Softmax DQN: q' = r + γP⟨softmax(q/τ), q⟩; the greedy step has an entropy term, the evaluation has none."""
    return Scheme.of(entropy=entropy, evaluate_kl=False, evaluate_entropy=False)


def trpo(kl: float = 0.1) -> Scheme:
    """The operator of TRPO with a penalty instead of its constraint: π' ∝ π exp(q/λ), q' = q_{π'}."""
    return Scheme.of(kl=kl, evaluate_kl=False, evaluate_entropy=False, backups=math.inf)


def mpo(kl: float = 0.1, backups: int = 5) -> Scheme:
    """The operator of MPO: π' ∝ π exp(q/λ), q' = (T_{π'})^m q; m backups represent its multi-step returns."""
    return Scheme.of(kl=kl, evaluate_kl=False, evaluate_entropy=False, backups=backups)


def politex(learning_rate: float = 10.0) -> Scheme:
    """Discounted Politex: π_{k+1} ∝ exp(η Σ_{j≤k} q_{π_j}), so λ = 1/η."""
    check_positive(learning_rate=learning_rate)
    return Scheme.of(kl=1 / learning_rate, evaluate_kl=False, evaluate_entropy=False, backups=math.inf)


def dpp(kl: float = 0.1) -> Scheme:
    """Dynamic policy programming: ψ' = ψ + r + γPv − v with v = λ log Σ_a exp(ψ/λ)."""
    return Scheme.of(kl=kl)


def dpp_boltzmann(kl: float = 0.1) -> Scheme:
    """Dynamic policy programming as analysed by its authors: v = ⟨softmax(ψ/λ), ψ⟩."""
    return Scheme.of(kl=kl, maximum=boltzmann_average)


def speedy_q() -> Scheme:
    """Speedy Q-learning, κ = 0, β = 1: h' = h + α(Th₋ − h) + (1 − α)(Th − Th₋), α = 1/(k + 2), with h the mean of q."""
    return Scheme(0.0, 1.0)


def cvi(kl: float = 0.1, entropy: float = 0.01) -> Scheme:
    """Conservative value iteration: ψ' = r + γP m(ψ) + β(ψ − m(ψ)), with m the mellowmax at λ + τ."""
    return Scheme.of(kl=kl, entropy=entropy, regularizer=KL_TO_UNIFORM)


def advantage_learning(beta: float = 0.9) -> Scheme:
    """Advantage Learning, κ = 0: ψ' = r + γP max ψ + β(ψ − max ψ)."""
    return Scheme(0.0, beta)


def movi() -> Scheme:
    """Momentum value iteration, κ = 0, β = 1: q' = T_π q, with π greedy in the mean h of all q."""
    return Scheme(0.0, 1.0, evaluate_kl=False, evaluate_entropy=False)


def modqn(beta: float = 0.9) -> Scheme:
    """Momentum DQN with a constant β, κ = 0: q' = T_π q, with π greedy in h' = βh + (1 − β)q."""
    return Scheme(0.0, beta, evaluate_kl=False, evaluate_entropy=False)


def softened_lspi(beta: float = 0.9) -> Scheme:
    """Softened LSPI, κ = 0: MoDQN with q' = q_π, the fixed point that least squares estimates."""
    return Scheme(0.0, beta, evaluate_kl=False, evaluate_entropy=False, backups=math.inf)


def munchausen(alpha: float = 0.9, temperature: float = 0.03) -> Scheme:
    """Munchausen value iteration: q' = r + ατ' log π + γP⟨π, q − τ' log π⟩, π = softmax(q/τ'); its q is x here."""
    return Scheme(temperature, _share(alpha))


def entropy_npg(learning_rate: float = 0.5, entropy: float = 0.01, discount: float = 0.9) -> Scheme:
    """Natural policy gradient with entropy: π' ∝ π^{1−ητ/(1−γ)} exp(η q^τ_π/(1−γ)), so λ = (1−γ)/η − τ."""
    check_positive(learning_rate=learning_rate)
    kl = (1 - discount) / learning_rate - entropy
    if not kl >= 0:
        raise ValueError(
            f"learning_rate: expected at most (1 − γ)/τ, so that λ = (1 − γ)/η − τ ≥ 0; got {learning_rate}"
        )
    return Scheme.of(kl=kl, entropy=entropy, evaluate_kl=False, backups=math.inf)


def implicit_q(alpha: float = 0.9, temperature: float = 0.03) -> Scheme:
    """Implicit Q: q = τ' log π + V is fitted to r + ατ' log π + γPV; a reparametrised Munchausen value iteration."""
    return Scheme(temperature, _share(alpha))


def _share(alpha: Any) -> Any:
    """Munchausen's α, which is the β of the scheme."""
    if isinstance(alpha, int | float) and not 0 <= alpha <= 1:
        raise ValueError(f"alpha: expected a number in [0, 1], got {alpha}")
    return alpha


def xql(kl: float = 0.1) -> Scheme:
    """Extreme Q-learning: V = λ log Σ_a μ(a) exp(q/λ); the prior μ is fixed at the initial policy."""
    return Scheme.of(kl=kl, prior="fixed")


ALL: dict[str, Algorithm] = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm("md_vi", md_vi, "(λ, τ)", "vieillard2020leverage"),
        Algorithm("vi", vi, "(0, 0)", "bellman1957dynamic"),
        Algorithm("pi", pi, "(0, 0), m = ∞", "howard1960dynamic"),
        Algorithm("mpi", mpi, "(0, 0), m", "puterman1978modified"),
        Algorithm("soft_q", soft_q, "(0, τ)", "haarnoja2017reinforcement"),
        Algorithm("sac", sac, "(0, τ)", "haarnoja2018soft"),
        Algorithm("mellowmax", mellowmax, "κ·KL to the uniform policy", "asadi2017alternative"),
        Algorithm("softmax_dqn", softmax_dqn, "(0, τ)", "song2019revisiting"),
        Algorithm("trpo", trpo, "(λ, 0), m = ∞", "schulman2015trust"),
        Algorithm("mpo", mpo, "(λ, 0), m", "abdolmaleki2018maximum"),
        Algorithm("politex", politex, "(1/η, 0), m = ∞", "abbasi2019politex"),
        Algorithm("dpp", dpp, "(λ, 0)", "azar2012dynamic"),
        Algorithm("dpp_boltzmann", dpp_boltzmann, "(λ, 0), v = ⟨softmax(ψ/λ), ψ⟩", "azar2012dynamic"),
        Algorithm("speedy_q", speedy_q, "(λ, 0) as λ → 0", "azar2011speedy"),
        Algorithm("cvi", cvi, "(λ, τ)", "kozuno2019theoretical"),
        Algorithm("advantage_learning", advantage_learning, "(βκ, (1 − β)κ) as κ → 0", "bellemare2016increasing"),
        Algorithm("movi", movi, "(λ, 0) as λ → 0", "vieillard2020momentum"),
        Algorithm("modqn", modqn, "(βκ, (1 − β)κ) as κ → 0", "vieillard2020momentum"),
        Algorithm("softened_lspi", softened_lspi, "(βκ, (1 − β)κ) as κ → 0, m = ∞", "perolat2016softened"),
        Algorithm("munchausen", munchausen, "(ατ', (1 − α)τ')", "vieillard2020munchausen"),
        Algorithm("entropy_npg", entropy_npg, "((1 − γ)/η − τ, τ), m = ∞", "cen2022fast"),
        Algorithm("implicit_q", implicit_q, "(ατ', (1 − α)τ')", "vieillard2022implicitly"),
        Algorithm("xql", xql, "(λ, 0), prior fixed", "garg2023extreme"),
    )
}


def find(given: str | Algorithm) -> Algorithm:
    """The algorithm of a name; an `Algorithm` is returned unchanged.

    Raises:
        ValueError: for an unknown name; the message suggests the nearest one.
    """
    if isinstance(given, Algorithm):
        return given
    if given not in ALL:
        raise ValueError(f"unknown algorithm {given!r}{did_you_mean(given, ALL)}")
    return ALL[given]


def scheme_of(text: str) -> Scheme:
    """The scheme of a text `name` or `name:key=value,key=value`."""
    name, _, rest = text.partition(":")
    entry = find(name)
    return entry.scheme(**arguments_of(entry.scheme, [part for part in rest.split(",") if part], f"algorithm {name}"))
