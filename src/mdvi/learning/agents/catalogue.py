"""Named agents: each one a construction and a point of the scheme, or a line of points that λ and τ move along."""

import math
from dataclasses import dataclass
from typing import Any

from mdvi.learning.agents.agent import Agent
from mdvi.learning.agents.constructions import DIRECT, DUAL, IMPLICIT, INDIRECT, Construction
from mdvi.regularizers import mellowmax, soft_maximum
from mdvi.scheme import Scheme
from mdvi.words import did_you_mean

CLIP = -1.0  # the least κ log π in the Munchausen term of `munchausen`, as in its authors' code


@dataclass(frozen=True)
class Entry:
    """An agent by name.

    Attributes:
        name: what to call it.
        construction: how it represents its policy.
        kl: λ unless told otherwise; None where the agent has none.
        entropy: τ unless told otherwise; None where the agent has none.
        beta: β of an agent at κ = 0; None elsewhere.
        reference: the BibTeX key of its source.
        summary: one line.
        lowest: the clip of the Munchausen term.
        evaluate: whether the evaluation keeps KL and entropy unless told otherwise.
        maximum: what stands for M_κ.
    """

    name: str
    construction: Construction
    kl: float | None
    entropy: float | None
    beta: float | None
    reference: str
    summary: str
    lowest: float = -math.inf
    evaluate: bool = True
    maximum: Any = soft_maximum

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
        """The agent at (λ, τ), at (β, τ), or at β where κ = 0.

        Raises:
            ValueError: for a number that this agent does not have, or two that contradict each other.
        """
        given = {"kl": kl, "entropy": entropy, "beta": beta}
        for name, allowed in (("kl", self.kl), ("entropy", self.entropy)):
            if given[name] is not None and allowed is None:
                raise ValueError(f"{self.name}: has no {name}; it is the limit where {name} is 0")
        structure: dict[str, Any] = {
            "evaluate_kl": self.evaluate if evaluate_kl is None else evaluate_kl,
            "evaluate_entropy": self.evaluate if evaluate_entropy is None else evaluate_entropy,
            "maximum": self.maximum,
        }
        if self.kl is None and self.entropy is None:
            if beta is not None and self.beta is None:
                raise ValueError(f"{self.name}: has no beta")
            scheme = Scheme(0.0, (self.beta or 0.0) if beta is None else beta, **structure)
        else:
            scheme = Scheme.of(**self._weights(kl, entropy, beta), **structure)
        return Agent(
            scheme,
            self.construction,
            **{"lowest": self.lowest, "sampled": self.construction.has_actor} | numbers,
            munchausen=self.kl is not None or self.beta is not None,
        )

    def _weights(self, kl: float | None, entropy: float | None, beta: float | None) -> dict[str, float]:
        """λ and τ; λ = βτ/(1 − β) where β is given."""
        tau = (self.entropy or 0.0) if entropy is None else entropy
        if beta is None:
            return {"kl": (self.kl or 0.0) if kl is None else kl, "entropy": tau}
        if kl is not None:
            raise ValueError("give either kl or beta: beta = kl / (kl + entropy)")
        if self.kl is None and beta != 0:
            raise ValueError(f"{self.name}: has no beta")
        if not 0 <= beta < 1:
            raise ValueError(f"beta: expected a number in [0, 1) beside an entropy, got {beta}; beta = 1 is entropy 0")
        if beta > 0 and tau == 0:
            raise ValueError("beta: needs an entropy above 0, since kl = beta · entropy / (1 − beta)")
        return {"kl": beta * tau / (1 - beta), "entropy": tau}


_LEVERAGE = "vieillard2020leverage"
ALL: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry("md-direct", DIRECT, 0.09, 0.01, None, _LEVERAGE, "an actor trained on the greedy step's objective"),
        Entry("md-indirect", INDIRECT, 0.09, 0.01, None, _LEVERAGE, "an actor trained on the greedy step's solution"),
        Entry("da", DUAL, 0.09, 0.01, None, _LEVERAGE, "an actor that averages q"),
        Entry(
            "modqn", DUAL, None, None, 0.9, "vieillard2020momentum", "greedy in the average of q: DA as λ, τ → 0",
            evaluate=False,
        ),
        Entry(
            "munchausen", IMPLICIT, 0.027, 0.003, None, "vieillard2020munchausen",
            "M-DQN: the reward gains κβ log π, clipped at −1", CLIP,
        ),
        Entry("dqn", IMPLICIT, None, None, None, "mnih2015human", "deep Q-network: λ = τ = 0"),
        Entry("soft-dqn", IMPLICIT, None, 0.01, None, "haarnoja2017reinforcement", "soft Q-learning: λ = 0"),
        Entry(
            "softmax-dqn", IMPLICIT, None, 0.01, None, "song2019revisiting",
            "λ = 0, and no entropy in the evaluation", evaluate=False,
        ),
        Entry(
            "al-dqn", IMPLICIT, None, None, 0.9, "bellemare2016increasing",
            "Advantage Learning: the limit λ, τ → 0 at fixed β",
        ),
        Entry(
            "cvi", IMPLICIT, 0.09, 0.01, None, "kozuno2019theoretical", "conservative value iteration, by mellowmax",
            maximum=mellowmax,
        ),
        Entry("dpp", IMPLICIT, 0.1, None, None, "azar2012dynamic", "dynamic policy programming: τ = 0"),
    )
}  # fmt: skip


def find(name: str) -> Entry:
    """The entry of that name.

    Raises:
        ValueError: for an unknown name, suggesting the nearest.
    """
    if not isinstance(name, str):
        raise ValueError(f"agent: expected a name, got {name!r}")
    if name not in ALL:
        near = did_you_mean(name.replace("_", "-"), [entry.replace("-", "_") for entry in ALL])
        raise ValueError(f"unknown agent {name!r}{near.replace('_', '-')}")
    return ALL[name]
