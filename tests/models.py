"""Models that several tests iterate on."""

import numpy as np

from mdvi.mdp import FiniteMDP, garnet

SCALES = (1e-8, 1.0, 1.0, 1.0, 1e3, 1e8)
DISCOUNTS = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)
WEIGHTS = (0.0, 1e-12, 1e-6, 1e-3, 0.1, 1.0, 100.0, 1e6)


def signed_garnet(
    seed: int, states: int = 12, actions: int = 4, branching: int = 3, discount: float = 0.9
) -> FiniteMDP:
    """A Garnet with rewards of both signs on every pair, so that nothing is tied or zero by accident."""
    rng = np.random.default_rng(seed)
    transition = np.zeros((states, actions, states))
    for s, a in np.ndindex(states, actions):
        successors = rng.choice(states, branching, replace=False)
        cuts = np.sort(np.concatenate([[0.0, 1.0], rng.random(branching - 1)]))
        transition[s, a, successors] = np.diff(cuts)
    return FiniteMDP(transition, rng.uniform(-1, 1, (states, actions)), discount)


def v_max(mdp: FiniteMDP) -> float:
    return mdp.max_abs_reward / (1 - float(mdp.discount))


def corner(mdp: FiniteMDP, seed: int) -> np.ndarray:
    """q_0 = ±v_max with random signs."""
    return v_max(mdp) * np.random.default_rng(seed).choice([-1.0, 1.0], mdp.reward.shape)


def masked(discount=0.9, seed=5):
    """A Garnet with one to four legal actions and an end."""
    model = garnet(12, 4, 3, discount, seed=seed)
    rng = np.random.default_rng(seed)
    legal = rng.random((12, 4)) < 0.6
    legal[np.arange(12), rng.integers(4, size=12)] = True
    return FiniteMDP(model.kernel, np.asarray(model.reward), discount, terminal=np.arange(12) == 7, legal=legal)


def reference_of(model, seed=3):
    """A policy that is positive on legal actions."""
    rho = np.random.default_rng(seed).dirichlet(np.ones(model.actions), model.states) + 0.05
    rho = np.where(model.legal, rho, 0.0)
    return rho / rho.sum(-1, keepdims=True)


def lost_of(trace):
    """q_* − q_{π_k} in the problem that the scheme settles on."""
    model, scheme = trace.mdp, trace.scheme
    pull = 0.0 if scheme.reference is None else np.asarray(scheme.pull(np.asarray(model.legal)))
    lost = []
    for log_policy in trace.log_policy:
        pi = np.where(model.live, np.exp(log_policy), 0.0)
        worth = (pi * pull).sum(-1) - np.asarray(scheme.regularizer.omega(log_policy, np.asarray(model.legal)))
        gain = np.where(model.terminal, 0.0, (pi * model.reward).sum(-1) + float(np.ravel(scheme.entropy)[-1]) * worth)
        chain = np.einsum("sa,sat->st", pi, model.kernel.dense().probability) * ~np.asarray(model.terminal)
        v = np.linalg.solve(np.eye(model.states) - model.discount * chain, gain)
        q = model.reward + model.discount * np.asarray(model.expect(v))
        lost.append(np.where(model.live, trace.optimal_q - q, 0.0))
    return np.array(lost)


def random_case(seed):
    """A small model of a random kind, with random weights: (model, kl, entropy, prior)."""
    rng = np.random.default_rng([20, seed])
    states, actions = int(rng.integers(1, 7)), int(rng.integers(1, 5))
    kind = rng.choice(["garnet", "chain", "maze", "ties", "dense"])
    p = np.zeros((states, actions, states))
    for s, a in np.ndindex(states, actions):
        if kind == "dense":
            p[s, a] = rng.dirichlet(np.ones(states))
        elif kind == "chain":
            step = min(s + 1, states - 1) if a % 2 else max(s - 1, 0)
            p[s, a, step] += 0.9
            p[s, a, s] += 0.1
        elif kind == "maze":
            p[s, a, int(rng.integers(states))] = 1.0
        else:
            reached = rng.choice(states, min(states, int(rng.integers(1, 4))), replace=False)
            p[s, a, reached] = rng.dirichlet(np.ones(len(reached)))
    scale = float(rng.choice(SCALES))
    r = scale * (
        rng.integers(-1, 2, (states, actions)) if kind in ("maze", "ties") else rng.normal(size=(states, actions))
    )
    if kind == "ties" and actions > 1:
        p[:, 1], r[:, 1] = p[:, 0], r[:, 0]
    terminal = rng.random(states) < (0.3 if rng.random() < 0.5 else 0.0)
    legal = rng.random((states, actions)) < (0.6 if rng.random() < 0.3 else 1.0)
    legal[np.arange(states), rng.integers(actions, size=states)] = True
    substochastic = bool(rng.random() < 0.2)
    if substochastic:
        p *= rng.choice([0.3, 0.9, 1.0], (states, actions, 1))
    model = FiniteMDP(p, r, float(rng.choice(DISCOUNTS)), terminal=terminal, legal=legal, substochastic=substochastic)
    kl, entropy = (float(x) for x in rng.choice(WEIGHTS, 2))
    if rng.random() < 0.4:
        kl = entropy = 0.0
    elif rng.random() < 0.3:
        kl = 0.0
    prior = None
    if kl and rng.random() < 0.5:
        prior = rng.dirichlet(np.ones(actions) * 2, states) + 1e-6
        prior = np.where(legal, prior, 0.0)
        prior /= prior.sum(-1, keepdims=True)
    return model, kl, entropy, prior


def regularized_case(seed):
    """A small model of a random kind with a random regulariser: (model, kl, entropy, prior, regularizer, reference)."""
    model, kl, entropy, prior = random_case(100_000 + seed)
    rng = np.random.default_rng([22, seed])
    family = rng.choice(["tsallis", "tsallis", "divergence", "lazy", "kl-to-uniform"])
    alpha = float(rng.choice([0.5, 1.0, 1.25, 1.5, 2.0, 3.0]))
    name = f"{family}:{alpha}" if family in ("tsallis", "divergence") else str(family)
    if kl + entropy == 0:
        entropy = float(rng.choice(WEIGHTS[1:]))
    prior = None if family == "lazy" else prior
    reference = None
    if entropy and rng.random() < (0.7 if family in ("divergence", "lazy") else 0.4):
        reference = np.where(model.legal, rng.dirichlet(np.ones(model.actions) / 2, model.states) + 1e-6, 0.0)
        if family == "lazy" or (family == "tsallis" and alpha > 1):
            some = np.where(rng.random(reference.shape) < 0.3, 0.0, reference)
            reference = np.where(some.any(-1, keepdims=True), some, reference)
        reference /= reference.sum(-1, keepdims=True)
    return model, kl, entropy, prior, name, reference
