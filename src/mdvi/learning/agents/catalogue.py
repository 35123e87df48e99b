"""Named agents: each has a construction and a point of the scheme, which λ, τ or β may move.

An `Entry` of your own can replace a name: `mdvi.train(env, Entry(…))`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax

from mdvi import algorithms
from mdvi.algorithms import Algorithm
from mdvi.envs.base import Interface
from mdvi.learning.agents.agent import Agent
from mdvi.learning.agents.constructions import DIRECT, DUAL, IMPLICIT, INDIRECT, Construction
from mdvi.scheme import Scheme
from mdvi.words import did_you_mean

__all__ = [
    "ALL",
    "CLIP",
    "DIRECT",
    "DUAL",
    "IMPLICIT",
    "INDIRECT",
    "Construction",
    "Entry",
    "find",
]

CLIP = -1.0  # the least κ log π in the Munchausen term of `munchausen`, as in its authors' code


@dataclass(frozen=True)
class Entry:
    """A named agent: a row of the table of algorithms, and the representation of its policy.

    Attributes:
        name: the name of the agent.
        construction: the representation of the policy.
        row: the algorithm, by its name in `mdvi.algorithms` or as an `Algorithm` of your own.
        summary: one line about the agent.
        reference: the BibTeX key of the source.
        numbers: parameters that replace the defaults of the row.
        lowest: the clip of the Munchausen term.
        network: makes the networks; see `Agent.network`.
    """

    name: str
    construction: Construction
    row: str | Algorithm
    summary: str = ""
    reference: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    lowest: float = -math.inf
    network: Callable[[Interface, jax.Array], Any] | None = None

    @cached_property
    def scheme(self) -> Scheme:
        """The default point of the scheme."""
        return algorithms.find(self.row).scheme(**self.numbers)

    @property
    def kl(self) -> float | None:
        """The default λ; None if the agent has no λ."""
        return decimal(self.scheme.kl) if self.scheme.temperature > 0 and self.scheme.beta > 0 else None

    @property
    def entropy(self) -> float | None:
        """The default τ; None if the agent has no τ."""
        return decimal(self.scheme.entropy) if self.scheme.temperature > 0 and self.scheme.beta < 1 else None

    @property
    def beta(self) -> float | None:
        """The default β of an agent with κ = 0; None for all other agents."""
        return float(self.scheme.beta) if self.scheme.temperature == 0 and self.scheme.beta > 0 else None

    def agent(
        self,
        kl: float | None = None,
        entropy: float | None = None,
        beta: float | None = None,
        *,
        evaluate_kl: bool | None = None,
        evaluate_entropy: bool | None = None,
        **numbers: Any,
    ) -> Agent:
        """The agent at (λ, τ), at (β, τ), or at β if κ = 0.

        Raises:
            ValueError: for a number that this agent does not have, or for both λ and β.
        """
        given = {"kl": kl, "entropy": entropy, "beta": beta}
        for name, allowed in (("kl", self.kl), ("entropy", self.entropy)):
            if given[name] is not None and allowed is None:
                raise ValueError(f"{name}: the agent {self.name} has no {name}, since it is the limit {name} = 0")
        structure: dict[str, Any] = {
            "evaluate_kl": self.scheme.evaluate_kl if evaluate_kl is None else evaluate_kl,
            "evaluate_entropy": self.scheme.evaluate_entropy if evaluate_entropy is None else evaluate_entropy,
            "regularizer": self.scheme.regularizer,
            "maximum": self.scheme.maximum,
            "reference": self.scheme.reference,
            "floor": self.scheme.floor,
        }
        if self.kl is None and self.entropy is None:
            if beta is not None and self.beta is None:
                raise ValueError(f"beta: the agent {self.name} has no beta; leave it out")
            scheme = Scheme(0.0, (self.beta or 0.0) if beta is None else beta, **structure)
        else:
            scheme = Scheme.of(**self._weights(kl, entropy, beta), **structure)
        return Agent(
            scheme,
            self.construction,
            **{"lowest": self.lowest, "sampled": self.construction.has_actor} | numbers,
            network=self.network,
            munchausen=self.kl is not None or self.beta is not None,
        )

    def _weights(self, kl: float | None, entropy: float | None, beta: float | None) -> dict[str, float]:
        """λ and τ; λ = βτ/(1 − β) if β is given."""
        tau = (self.entropy or 0.0) if entropy is None else entropy
        if beta is None:
            return {"kl": (self.kl or 0.0) if kl is None else kl, "entropy": tau}
        if kl is not None:
            raise ValueError("give either kl or beta: beta = kl / (kl + entropy)")
        if self.kl is None and beta != 0:
            raise ValueError(f"beta: the agent {self.name} has no beta; leave it out")
        if not 0 <= beta < 1:
            raise ValueError(
                f"beta: must be in [0, 1) when an entropy is given, got {beta}; for beta = 1 set entropy=0 and kl"
            )
        if beta > 0 and tau == 0:
            raise ValueError("beta: set entropy > 0 as well, since kl = beta · entropy / (1 − beta)")
        return {"kl": beta * tau / (1 - beta), "entropy": tau}


def decimal(value: Any) -> float:
    """A number rounded to twelve digits, without rounding errors in the last digits."""
    return float(f"{float(value):.12g}")


_LEVERAGE = "vieillard2020leverage"
ALL: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry("md-direct", DIRECT, "md_vi", "an actor trained on the greedy step's objective", _LEVERAGE),
        Entry("md-indirect", INDIRECT, "md_vi", "an actor trained on the greedy step's solution", _LEVERAGE),
        Entry("da", DUAL, "md_vi", "an actor that averages q", _LEVERAGE),
        Entry("modqn", DUAL, "modqn", "greedy in the average of q: DA as λ, τ → 0", "vieillard2020momentum"),
        Entry(
            "munchausen", IMPLICIT, "munchausen", "M-DQN: the reward gains κβ log π, clipped at −1",
            "vieillard2020munchausen", lowest=CLIP,
        ),
        Entry("dqn", IMPLICIT, "vi", "deep Q-network: λ = τ = 0", "mnih2015human"),
        Entry("soft-dqn", IMPLICIT, "soft_q", "soft Q-learning: λ = 0", "haarnoja2017reinforcement"),
        Entry(
            "softmax-dqn", IMPLICIT, "softmax_dqn", "λ = 0, and no entropy in the evaluation",
            "song2019revisiting",
        ),
        Entry(
            "al-dqn", IMPLICIT, "advantage_learning", "Advantage Learning: the limit λ, τ → 0 at fixed β",
            "bellemare2016increasing",
        ),
        Entry(
            "cvi", IMPLICIT, "cvi", "conservative value iteration, by mellowmax", "kozuno2019theoretical",
            {"kl": 0.09},
        ),
        Entry("dpp", IMPLICIT, "dpp", "dynamic policy programming: τ = 0", "azar2012dynamic"),
    )
}  # fmt: skip


def find(name: str | Entry) -> Entry:
    """The entry of a name; an `Entry` is returned unchanged.

    Raises:
        ValueError: for an unknown name; the message suggests the nearest one.
    """
    if isinstance(name, Entry):
        return name
    if not isinstance(name, str):
        raise ValueError(f"agent: expected a name or an `Entry` of mdvi.agents, got {name!r}")
    if name not in ALL:
        near = did_you_mean(name.replace("_", "-"), [entry.replace("-", "_") for entry in ALL])
        raise ValueError(f"unknown agent {name!r}{near.replace('_', '-')}; see `mdvi list agents`")
    return ALL[name]
