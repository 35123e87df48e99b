"""Play a trained policy in environments on the host; `acting.play` does it in environments in JAX."""

import contextlib
import dataclasses
from typing import Any

import jax
import numpy as np

from mdvi.envs.host.hosted import Hosted, step
from mdvi.learning.acting import play
from mdvi.learning.agents.agent import Agent, legal_on
from mdvi.learning.agents.networks import Networks
from mdvi.learning.experience.frames import HostReplay

_AT_ONCE = 16  # environments that are stepped together


@jax.jit
def _act(
    env: Hosted, agent: Agent, networks: Networks, obs: Any, told: Any, key: jax.Array, number: Any, epsilon: Any
) -> Any:
    return agent.act(networks, obs, legal_on(env, obs, told), jax.random.fold_in(key, number), epsilon)


@play.evaluate.register
def evaluate(
    env: Hosted,
    agent: Agent,
    networks: Networks,
    episodes: int,
    seed: int,
    *,
    sampled: bool,
    epsilon: float,
    limit: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Play episodes, several in parallel, each to its end or to `limit` steps.

    Returns:
        Undiscounted returns and lengths, shape (episodes,).

    Raises:
        ValueError: if an environment fails; the message has the reason.
    """
    agent, key = dataclasses.replace(agent, sampled=sampled), jax.random.key(seed)
    returns, lengths = np.zeros(episodes), np.zeros(episodes, int)
    seeds = np.random.SeedSequence(seed).generate_state(episodes) >> 1
    count = min(episodes, _AT_ONCE)
    worlds = env.source.worlds(1, count)
    try:
        for first in range(0, episodes, count):
            numbers = np.arange(first, min(first + count, episodes))
            going = np.arange(count) < len(numbers)
            told = worlds.reset(np.resize(seeds[numbers], count), np.ones(count, bool))
            seen = _seen(env, count)
            seen.begin(told)
            for moment in range(limit):
                _check(told.wrong, going)
                if not going.any():
                    break
                number = np.uint32(first * limit + moment)
                obs, legal = seen.latest(), seen.latest_legal()
                actions = np.asarray(_act(env, agent, networks, obs, legal, key, number, np.float32(epsilon)))
                told = step(worlds, actions, going)
                seen.add(actions, told.reward, told)
                played = going & told.real
                returns[numbers] += np.where(played, told.reward, 0.0)[: len(numbers)]
                lengths[numbers] += played[: len(numbers)]
                going = going & ~(played & (told.terminated | told.truncated))
    finally:
        worlds.close()
    return returns, lengths


@play.film.register
def film(
    env: Hosted, agent: Agent, networks: Networks, seed: int, *, sampled: bool, limit: int
) -> tuple[list[np.ndarray], float]:
    """The pictures of one episode, and its return.

    Raises:
        ValueError: if the environment does not render pictures, or fails.
    """
    agent, key = dataclasses.replace(agent, sampled=sampled), jax.random.key(seed)
    world = env.source.watched()
    seen = _seen(env, 1)
    with contextlib.closing(world):
        total, told = 0.0, world.reset(np.array([seed]), np.ones(1, bool))
        seen.begin(told)
        frames = [world.picture()]
        for moment in range(limit):
            _check(told.wrong, np.ones(1, bool))
            obs, legal = seen.latest(), seen.latest_legal()
            action = np.asarray(_act(env, agent, networks, obs, legal, key, np.uint32(moment), np.float32(0)))
            told = step(world, action, np.ones(1, bool))
            seen.add(action, told.reward, told)
            total += float(told.reward[0])
            frames.append(world.picture())
            if told.terminated[0] or told.truncated[0]:
                break
    return frames, total


def _seen(env: Hosted, count: int) -> HostReplay:
    """A replay that assembles the observations of this many environments from their frames."""
    spaces = env.spaces
    return HostReplay(count, env.stack + 1, spaces.shape, spaces.dtype, env.stack, actions=spaces.actions)


def _check(wrong: list[str], going: np.ndarray) -> None:
    for text, goes in zip(wrong, going, strict=True):
        if text and goes:
            raise ValueError(f"the environment failed: {text}")
