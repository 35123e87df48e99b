"""The indirect construction: an actor trained on the solution of the greedy step.

    actor    KL(G_Π̄(q̄)‖Π)

Source: Vieillard et al. (2020), section 5 and appendix D.
"""

from typing import TYPE_CHECKING

from mdvi.learning.agents.constructions.base import Explicit, check_logits, logits
from mdvi.learning.agents.networks import Network, Networks
from mdvi.learning.agents.targets import Legal, Numbers, Outputs, follow, state_of
from mdvi.learning.experience.base import Batch
from mdvi.regularizers import kl_divergence
from mdvi.scheme import GreedyStep, Scheme

if TYPE_CHECKING:
    from mdvi.learning.agents.agent import Agent


def indirect_loss(scheme: Scheme, q: Outputs, step: GreedyStep, legal: Legal) -> Numbers:
    """KL(Π̂‖Π) with Π̂ = G_Π̄(q̄), computed from log-probabilities."""
    greedy = scheme.greedy(state_of(scheme, q, step.anchor), legal)
    return kl_divergence(greedy.log_policy, step.log_policy)


def _actor_loss(agent: "Agent", actor: Network, q: Outputs, target: Networks, batch: Batch, legal: Legal) -> Numbers:
    step = follow(logits(agent.scheme, actor(batch.obs)), agent.preferences(target, batch.obs), legal)
    return indirect_loss(agent.scheme, q, step, legal)


INDIRECT = Explicit("indirect", check_logits, logits, _actor_loss)
