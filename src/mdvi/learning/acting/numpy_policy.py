"""A trained policy with NumPy alone: copy this file and the .npz file; nothing else is needed.

>>> policy = Policy("policy.npz")                        # doctest: +SKIP
>>> action = policy.act(observation)                     # doctest: +SKIP
"""

import numpy as np

from mdvi.observations import as_seen


class Policy:
    """π = softmax(x/t), where x is the output of convolutions and fully connected layers with ReLU between them."""

    def __init__(self, path: str) -> None:
        with np.load(path) as file:
            self.arrays = dict(file)

    def scores(self, obs: np.ndarray, legal: np.ndarray | None = None) -> np.ndarray:
        """x for one observation, shape (actions,); −∞ where `legal`, of the same shape, is false or 0."""
        a = self.arrays
        x = np.asarray(as_seen(str(a["layout"]), obs) if "layout" in a else obs, np.float32)
        if a["scale"].ndim and x.size != a["scale"].size:
            raise ValueError(f"obs: expected {a['scale'].size} numbers, got shape {x.shape}")
        if legal is not None and not np.any(legal):
            raise ValueError("legal: expected at least one legal action, got none")
        x = x / a["scale"].reshape(x.shape if a["scale"].ndim else ())
        if len(a["strides"]):
            x = x.transpose(2, 0, 1)
        for i, stride in enumerate(a["strides"]):
            kernel = a[f"kernel_{i}"]  # (outputs, inputs, rows, columns)
            windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], axis=(1, 2))
            windows = windows[:, ::stride, ::stride]
            x = np.maximum(np.einsum("crwij,ocij->orw", windows, kernel) + a[f"offset_{i}"], 0)
        x = x.reshape(-1)
        layers = sum(name.startswith("weight_") for name in a)
        for i in range(layers):
            x = x @ a[f"weight_{i}"] + a[f"bias_{i}"]
            x = np.maximum(x, 0) if i < layers - 1 else x
        if legal is not None and np.shape(legal) != x.shape:
            raise ValueError(f"legal: expected shape {x.shape}, got {np.shape(legal)}")
        return x if legal is None else np.where(legal, x, -np.inf)

    def probabilities(self, obs: np.ndarray, legal: np.ndarray | None = None) -> np.ndarray:
        """π(·|obs)."""
        x, t = self.scores(obs, legal), self.arrays["temperature"]
        if t == 0:
            return (x == x.max()) / (x == x.max()).sum()
        weights = np.exp((x - x.max()) / t)
        return weights / weights.sum()

    def act(self, obs: np.ndarray, rng: np.random.Generator | None = None, legal: np.ndarray | None = None) -> np.int64:
        """The most probable action, or with a generator a sample of the policy, as a number of the action space."""
        first = self.arrays.get("first", 0)
        if rng is None:
            return np.int64(self.scores(obs, legal).argmax() + first)
        probabilities = self.probabilities(obs, legal)
        return np.int64(rng.choice(len(probabilities), p=probabilities) + first)
