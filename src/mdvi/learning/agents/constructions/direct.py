"""The direct construction: an actor trained on the objective of the greedy step.

    actor    −⟨Π, q̄⟩ + λ KL(Π‖Π̄) − τ H(Π)     = κ KL(Π‖G_Π̄(q̄)) + constant

Source: Vieillard et al. (2020), section 5 and appendix D.
"""

import dataclasses
from typing import TYPE_CHECKING

from mdvi.learning.agents.constructions.base import Explicit, check_logits, logits
from mdvi.learning.agents.networks import Network, Networks
from mdvi.learning.agents.targets import Legal, Numbers, Outputs, follow
from mdvi.learning.experience.base import Batch
from mdvi.scheme import GreedyStep, Scheme

if TYPE_CHECKING:
    from mdvi.learning.agents.agent import Agent


def direct_loss(scheme: Scheme, q: Outputs, step: GreedyStep) -> Numbers:
    """−⟨Π, q̄⟩ + λ KL(Π‖Π̄) − τ H(Π): the objective of the greedy step, whatever terms the evaluation keeps."""
    return -dataclasses.replace(scheme, evaluate_kl=True, evaluate_entropy=True).value(q, step)


def _actor_loss(agent: "Agent", actor: Network, q: Outputs, target: Networks, batch: Batch, legal: Legal) -> Numbers:
    new, old = logits(agent.scheme, actor(batch.obs)), agent.preferences(target, batch.obs)
    return direct_loss(agent.scheme, q, follow(new, old, legal))


DIRECT = Explicit("direct", check_logits, logits, _actor_loss)
