"""Networks: a convolutional torso if the observation is an image, then fully connected layers with ReLU between them.

A network maps a batch of observations to one number per action.
"""

import dataclasses
import itertools
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from mdvi.envs.base import Interface
from mdvi.envs.spaces import actions_of
from mdvi.types import Array

_LEAST_VARIANCE, _MOST_COUNTED = 1e-6, 1e6
# (channels, kernel, stride) of each convolution.
TORSOS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "none": (),
    "minatar": ((16, 3, 1),),  # Young and Tian (2019)
    "nature": ((32, 8, 4), (64, 4, 2), (64, 3, 1)),  # Mnih et al. (2015)
}


class Dense(eqx.Module):
    """y = xW + b."""

    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]

    def __init__(self, inputs: int, outputs: int, key: jax.Array) -> None:
        """Draw W and b uniformly in ±1/√inputs."""
        bound = 1 / np.sqrt(inputs)
        drawn = jax.random.uniform(key, (inputs + 1, outputs), jnp.float32, -bound, bound)
        self.weight, self.bias = drawn[:-1], drawn[-1]

    def __call__(self, x: Float[Array, "batch inputs"]) -> Float[Array, "batch outputs"]:
        """For a batch of rows."""
        return x @ self.weight + self.bias[None, :]


class Normal(eqx.Module):
    """(x − mean)/√variance, elementwise, with the running mean and variance of earlier inputs.

    Gradient steps do not train these numbers; only `after` updates them.

    Attributes:
        mean: the running mean, initially 0.
        variance: the running variance, initially 1; the divisor is at least √10⁻⁶, for inputs that never change.
        count: the number of earlier observations, at most a million, so that old observations lose weight slowly.
    """

    mean: Float[Array, "*members inputs"]
    variance: Float[Array, "*members inputs"]
    count: Float[Array, "*members"]

    def __call__(self, x: Float[Array, "batch inputs"]) -> Float[Array, "batch inputs"]:
        """For a batch of rows."""
        mean, variance = jax.lax.stop_gradient((self.mean, self.variance))
        return (x - mean[None]) / jnp.sqrt(jnp.maximum(variance, _LEAST_VARIANCE))[None]

    def after(self, x: Float[Array, "batch inputs"]) -> "Normal":
        """The statistics after one more batch. Source: Chan, Golub and LeVeque (1979), equation 2.1."""
        total = self.count + x.shape[0]
        share = x.shape[0] / total
        gap = x.mean(0) - self.mean
        variance = (1 - share) * self.variance + share * x.var(0) + share * (1 - share) * gap**2
        return Normal(self.mean + share * gap, variance, jnp.minimum(total, _MOST_COUNTED))

    def folded(self, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The weights and the offset of a first layer that includes this normalisation."""
        deviation = np.sqrt(np.maximum(np.asarray(self.variance), _LEAST_VARIANCE))
        shift = ((np.asarray(self.mean) / deviation)[..., None, :] @ weight)[..., 0, :]
        return weight / deviation[..., None], bias - shift


class Network(eqx.Module):
    """Observations ↦ one number per action.

    Attributes:
        scale: the divisors of observations, one number for all elements or one each; None for no division.
        torso: convolutions, on arrays with channels first.
        layers: fully connected layers.
        normal: the normalisation of the inputs of the fully connected layers; None for no normalisation.
    """

    scale: tuple[float, ...] | None = eqx.field(static=True)
    torso: tuple[eqx.nn.Conv2d, ...]
    layers: tuple[Dense, ...]
    normal: Normal | None = None

    def __call__(self, obs: Array) -> Float[Array, "batch actions"]:
        """The output for a batch of observations, shape (batch, …)."""
        x = self._inputs(obs)
        if self.normal is not None:
            x = self.normal(x)
        for layer in self.layers[:-1]:
            x = jax.nn.relu(layer(x))
        return self.layers[-1](x)

    def after(self, obs: Array) -> "Network":
        """The network with `normal` updated by a batch of observations; unchanged if `normal` is None."""
        return self if self.normal is None else dataclasses.replace(self, normal=self.normal.after(self._inputs(obs)))

    def dense(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The weights and the offset of each fully connected layer; the first one includes `normal`."""
        found = [(np.asarray(layer.weight), np.asarray(layer.bias)) for layer in self.layers]
        return found if self.normal is None else [self.normal.folded(*found[0]), *found[1:]]

    def _inputs(self, obs: Array) -> Float[Array, "batch inputs"]:
        """The inputs of the fully connected layers."""
        x = jnp.asarray(obs, jnp.float32)
        if self.scale is not None:
            shape = obs.shape[1:] if len(self.scale) > 1 else (1,) * (obs.ndim - 1)
            x = x / jnp.asarray(self.scale, jnp.float32).reshape(1, *shape)
        if self.torso:
            x = x.transpose(0, 3, 1, 2)
            for convolution in self.torso:
                x = jax.nn.relu(convolve(convolution, x))
        return x.reshape(x.shape[0], -1)


def convolve(convolution: eqx.nn.Conv2d, x: Float[Array, "batch inputs rows columns"]) -> Array:
    """A convolution of a batch of images; on a processor, one matrix product is several times faster."""
    return jax.lax.platform_dependent(x, cpu=partial(_by_patches, convolution), default=jax.vmap(convolution))


def _by_patches(convolution: eqx.nn.Conv2d, x: Array) -> Array:
    kernel, (down, right) = convolution.weight, convolution.stride  # (outputs, inputs, rows, columns)
    rows, columns = (
        (size - k) // s + 1 for size, k, s in zip(x.shape[2:], kernel.shape[2:], (down, right), strict=True)
    )
    x = x.transpose(0, 2, 3, 1)
    parts = [
        x[:, i : i + down * (rows - 1) + 1 : down, j : j + right * (columns - 1) + 1 : right]
        for i, j in np.ndindex(*kernel.shape[2:])
    ]  # (batch, rows, columns, inputs) for each offset of the kernel
    y = jnp.concatenate(parts, -1).reshape(-1, kernel[0].size) @ kernel.transpose(2, 3, 1, 0).reshape(
        kernel[0].size, -1
    )
    y = y.reshape(x.shape[0], rows, columns, -1).transpose(0, 3, 1, 2)
    return y if convolution.bias is None else y + convolution.bias[None]


def network(env: Interface, key: jax.Array, torso: str, hidden: tuple[int, ...], normalize: bool = False) -> Network:
    """A network for the observations and actions of an environment, with random weights.

    Raises:
        ValueError: if the torso needs an image, and the observation is not an image or is too small.
    """
    shape = env.observation.shape
    keys = jax.random.split(key, len(TORSOS[torso]) + len(hidden) + 1)
    convolutions = []
    if TORSOS[torso]:
        if len(shape) != 3:
            raise ValueError(f"torso: {torso} needs observations of shape (rows, columns, channels), got {shape}")
        rows, columns, channels = shape
        for (outputs, kernel, stride), one in zip(TORSOS[torso], keys, strict=False):
            convolutions.append(eqx.nn.Conv2d(channels, outputs, kernel, stride, key=one))
            rows, columns, channels = (rows - kernel) // stride + 1, (columns - kernel) // stride + 1, outputs
            if rows < 1 or columns < 1:
                raise ValueError(f"torso: {torso} is too large for observations of shape {shape}; use minatar or none")
        shape = (rows, columns, channels)
    widths = (int(np.prod(shape)), *hidden, actions_of(env).count)
    pairs = zip(itertools.pairwise(widths), keys[len(convolutions) :], strict=True)
    layers = [Dense(inputs, outputs, one) for (inputs, outputs), one in pairs]
    normal = Normal(jnp.zeros(widths[0]), jnp.ones(widths[0]), jnp.zeros(())) if normalize else None
    return Network(env.scale, tuple(convolutions), tuple(layers), normal)


def check_network(env: Interface, made: Any) -> None:
    """Check that a network of the user maps observations to one number per action.

    Raises:
        ValueError: if it does not, or if one of its leaves is not an array of floats.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(made):
        if not eqx.is_inexact_array(leaf):
            raise ValueError(
                f"network: {type(made).__name__}{jax.tree_util.keystr(path)}: expected an array of floats, got "
                f"{leaf!r:.60}; declare fields that are not trained as eqx.field(static=True)"
            )
    seen = jax.eval_shape(lambda: jnp.zeros((2, *env.observation.shape), env.observation.dtype))
    wanted = (2, actions_of(env).count)
    try:
        found: Any = jax.eval_shape(made, seen)
    except (TypeError, ValueError) as error:
        raise ValueError(f"network: fails on a batch of observations of shape {seen.shape}: {error}") from error
    if getattr(found, "shape", None) != wanted or found.dtype != jnp.float32:
        raise ValueError(
            f"network: expected float32 of shape {wanted} for observations of shape {seen.shape}, got {found}"
        )


class Networks(eqx.Module):
    """The critic, and the actor if the agent has one."""

    critic: Network
    actor: Network | None
