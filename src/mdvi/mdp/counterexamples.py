"""Small models on which a plausible statement fails. Each is a regression test of the correct statement."""

import math

import numpy as np

from mdvi.mdp.model import FiniteMDP
from mdvi.mdp.validation import check_discount


def softmax_two_fixed_points() -> FiniteMDP:
    """Two states on which q ↦ r + γP⟨softmax(q/τ), q⟩ has two attracting fixed points, at τ = 1/17.

    With entropy in the greedy step but not in the evaluation, the operator is not a contraction; with entropy in both,
    it is. Source: after Asadi and Littman (2017), figure 1.
    """
    transition = np.zeros((2, 2, 2))
    transition[0, 0] = [0.66, 0.34]
    transition[0, 1] = [0.99, 0.01]
    return FiniteMDP(transition, [[0.122, 0.033], [0.0, 0.0]], 0.98, terminal=[False, True])


def late_start(discount: float = 0.9, slack: float = 1e-3) -> tuple[FiniteMDP, np.ndarray, int]:
    """A deterministic model on which exact iteration from a bad q_0 loses more than the printed g²(k).

    In state 0, the actions are to stay (with a low reward), to enter a path to an absorbing +1, or to enter a path with
    the same values under q_0 that ends in an absorbing −1. After k error-free iterations the policy still takes the
    wrong path; with r_max = 1 and ‖q_0‖ ≤ v_max its loss is 2γ^{k+1}(2 − γ)/(1 − γ) v_max, up to `slack`.

    Returns:
        The model, q_0 of shape (states, 3), and the iteration k, the smallest with γ^{k−1} ≤ 1 − γ plus one.
    """
    check_discount(discount)
    k = math.ceil(1 + math.log(1 - discount) / math.log(discount)) + 1
    v_max = 1 / (1 - discount)
    good, good_end = 1, 1 + k
    bad, bad_end = good_end + 1, good_end + k
    states = bad_end + 1
    transition = np.zeros((states, 3, states))
    reward = np.ones((states, 3))
    for s in range(1, states):
        absorbing = s in (good_end, bad_end)
        transition[s, :, s if absorbing else s + 1] = 1.0
    reward[bad_end - 1 :] = -1.0
    transition[0, [0, 1, 2], [0, good, bad]] = 1.0
    stay = 1 - 2 * discount ** (k - 1) / (1 - discount) + slack
    reward[0] = [stay, 1 - 2 * discount ** (k - 1), 1.0]
    v = np.full(states, -v_max)
    v[bad + k - 2] = v_max
    return FiniteMDP(transition, reward, discount), np.repeat(v[:, None], 3, axis=1), k


def wrong_sign(iterations: int = 41) -> tuple[FiniteMDP, np.ndarray]:
    """One state, two actions, and two late errors, which violate Theorem 2 with a plus in A² by any factor.

    The errors underestimate the better action (reward 1; the other has −1) by 2 in the last two iterations, so the last
    policy takes the other action. Its loss equals the bound of the theorem with a minus, to 0.3 %. With a plus, the two
    parts of A² cancel, and only g² remains, which vanishes with the iterations: at 41 the loss is 500 times the bound.

    Returns:
        The model, with γ = 0.8, and the errors ε_1 … ε_K, shape (iterations, 1, 2), for β = 0 and τ = 10⁻³.
    """
    errors = np.zeros((iterations, 1, 2))
    errors[-2:, 0, 0] = -2.0
    return FiniteMDP(np.ones((1, 2, 1)), [[1.0, -1.0]], 0.8), errors
