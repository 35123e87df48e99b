"""The explicit format of Storm (.drn) for Markov decision processes and Markov chains.

    @type: MDP
    @parameters

    @reward_models
    reward
    @nr_states
    2
    @nr_choices
    2
    @model
    state 0 [0.5] init
        action a0 [1.0]
                1 : 1/2
                0 : 1/2
    state 1 terminal
        action a0
                1 : 1

One reward model is read, by default the first: r(s, a) is the sum of the rewards of the state and of the action. A
comment directly below a state is its name; Storm writes the values of variables there. The format has no discount, so
it must be given. States labelled `terminal` or `deadlock` are terminal, and so are absorbing states that pay nothing.
"""

from collections.abc import Iterator

import numpy as np

from mdvi.mdp.formats.labelled import (
    ENDS,
    Choices,
    assemble_labelled,
    unread,
    writing_notes,
    written_actions,
    written_states,
)
from mdvi.mdp.formats.text import Format, Result, Source, lines, real, shown, whole
from mdvi.mdp.labels import Names
from mdvi.mdp.listing import Collector, LineError, check_size, listing, located
from mdvi.mdp.model import FiniteMDP

Rows = Iterator[tuple[int, str]]


def read(source: Source) -> Result:
    """The model of a .drn file."""
    rows = lines(source.data)
    facts = _header(rows)
    if "type" not in facts:
        raise ValueError("there is no @type; Storm's explicit files begin with `@type: MDP`")
    number, kind = facts["type"]
    if kind not in ("MDP", "DTMC"):
        raise LineError(f"@type: expected MDP or DTMC, got {shown(kind)}", number)
    if "parameters" in facts and facts["parameters"][1]:
        raise LineError(f"the model has parameters ({shown(facts['parameters'][1])}); set them to numbers", number)
    if "model" not in facts or "nr_states" not in facts:
        raise ValueError("there is no @model with its @nr_states")
    number, claimed = facts["nr_states"]
    with located(number):
        states = whole(claimed, "number of states")
        check_size(states, 1, source.size)
    rewards = facts.get("reward_models", (0, ""))[1].split()
    if source.reward not in (None, "none", *rewards):
        raise ValueError(
            f"--reward: there is no {shown(source.reward)}; known are none{''.join(f', {x}' for x in rewards)}"
        )
    index = None if source.reward == "none" else rewards.index(source.reward) if source.reward else 0
    body = _Body(states, index)
    for number, line in rows:
        try:
            body.take(number, line)
        except ValueError as error:
            raise LineError(str(error), number) from None
    if body.state != states - 1:
        raise ValueError(f"@nr_states declares {states} states, but there are {body.state + 1}")
    if "nr_choices" in facts and facts["nr_choices"][1] not in ("", str(body.choices)):
        raise LineError(f"@nr_choices declares {shown(facts['nr_choices'][1])}, but there are {body.choices}", number)
    given, actions, notes = body.choices_of.rename(body.found.transitions(), states, source.size)
    names = Names(body.state_names(), actions)
    model, more, names = assemble_labelled(source, given, states, body.labels, names)
    if len(rewards) > 1 and source.reward is None:
        of = f"{len(rewards)} reward models, of which the first is read"
        notes += (f"{of}: {shown(rewards[0])}; --reward chooses another: {', '.join(map(shown, rewards[1:6]))}",)
    if not body.paid and source.reward is None:
        notes += (
            f"there are no rewards, so every reward is 0{unread(body.others)}; --reward none says that it is meant",
        )
    return model, notes + more, names


def _header(rows: Rows) -> dict[str, tuple[int, str]]:
    """The facts before @model, from the text after the colon or the lines below."""
    facts: dict[str, tuple[int, list[str]]] = {}
    name = ""
    for number, line in rows:
        if line.startswith("//"):
            continue
        if line.startswith("@"):
            name, _, value = line[1:].partition(":")
            name = name.strip()
            if name in facts:
                raise LineError(f"@{name} occurs for the second time", number)
            facts[name] = number, value.split()
            if name == "model":
                break
        elif not name:
            raise LineError(f"expected a line with @, such as `@type: MDP`, got {shown(line)}", number)
        else:
            facts[name][1].append(line)
    return {name: (number, " ".join(values)) for name, (number, values) in facts.items()}


class _Body:
    """The lines below @model; `index` selects one of the rewards in a bracket, None selects none."""

    def __init__(self, states: int, index: int | None) -> None:
        self.found, self.choices_of = Collector(), Choices()
        self.index, self.paid = index, False
        self.others: set[str] = set()
        self.called: dict[int, str] = {}
        self.labels: dict[str, set[int]] = {label: set() for label in ENDS}
        self.states, self.state, self.choice, self.choices = states, -1, -1, 0
        self.state_reward = self.reward = 0.0
        self.name = ""

    def take(self, number: int, line: str) -> None:
        """Process one line: a state, the name of a state, an action, or a transition."""
        if line.startswith("//"):
            if self.choice < 0 <= self.state:
                self.called.setdefault(self.state, line[2:].strip())
        elif line.startswith("state"):
            self._open_state(line)
        elif line.startswith("action"):
            if self.state < 0:
                raise ValueError("expected a state before the first action")
            rest, paid = self._bracket(line[len("action") :])
            self._open_choice(rest.strip(), paid)
        else:
            successor, colon, probability = line.partition(":")
            if not colon or self.state < 0:
                raise ValueError(f"{shown(line)} is neither a state, nor an action, nor `next_state : probability`")
            if self.choice < 0:  # the transitions of a chain are directly below the state
                self._open_choice("", 0.0)
            p = real(probability.strip(), "probability")
            self.found.add(number, self.state, self.choice, whole(successor.strip(), "next state"), p, self.reward)
            self.choices_of.add(self.name)

    def _open_state(self, line: str) -> None:
        rest, paid = self._bracket(line[len("state") :])
        words = rest.split()
        state = whole(words[0] if words else "", "state")
        if state != self.state + 1:
            raise ValueError(f"state {state} follows state {self.state}; number the states 0, 1, 2, …")
        if state >= self.states:
            raise ValueError(f"state {state} exceeds @nr_states, {self.states}")
        if any(word.startswith("{") for word in words[1:]):
            raise ValueError(f"state {state} has an observation; partially observable models are not read")
        self.state, self.choice, self.state_reward = state, -1, paid
        for word in words[1:]:
            if word.strip('"') in self.labels:
                self.labels[word.strip('"')].add(state)
            else:
                self.others.add(word.strip('"'))

    def _open_choice(self, name: str, paid: float) -> None:
        self.choice, self.choices, self.name = self.choice + 1, self.choices + 1, name
        self.reward = paid if self.state_reward == 0 else self.state_reward + paid

    def _bracket(self, text: str) -> tuple[str, float]:
        """A line without its [reward, …], and the selected reward."""
        before, opened, after = text.partition("[")
        if not opened:
            return text, 0.0
        inside, closed, rest = after.partition("]")
        if not closed:
            raise ValueError("a bracket [ is not closed")
        self.paid = True
        if self.index is None:
            return f"{before} {rest}", 0.0
        rewards = inside.split(",")
        if self.index >= len(rewards):
            raise ValueError(f"expected at least {self.index + 1} rewards in a bracket, got {len(rewards)}")
        return f"{before} {rest}", real(rewards[self.index].strip(), "reward")

    def state_names(self) -> tuple[str, ...]:
        """The names of states, if all states have different names; otherwise empty."""
        names = tuple(self.called.get(state, "") for state in range(self.states)) if self.called else ()
        return names if "" not in names and len(set(names)) == len(names) else ()


def write(model: FiniteMDP, names: Names) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Every legal choice with its reward, and the labels init (state 0) and terminal."""
    what = listing(model, loops=True)
    states, actions = what.reward.shape
    (here, unnamed), (acts, more) = written_states(names.states_of(states)), written_actions(what, names)
    out = ["@type: MDP", "@parameters", "", "@reward_models", "reward", "@nr_states", str(states)]
    out += ["@nr_choices", str(int(what.legal.sum())), "@model"]
    given = what.transitions
    start = np.searchsorted(given.state * actions + given.action, np.arange(states * actions + 1)).tolist()
    entries = [f"\t\t{t} : {p!r}" for t, p in zip(given.successor.tolist(), given.probability.tolist(), strict=True)]
    legal, reward = what.legal.tolist(), what.reward.tolist()
    for s, ends in enumerate(what.terminal.tolist()):
        out.append(f"state {s} [0]{' init' if s == 0 else ''}{' terminal' if ends else ''}")
        out += [f"//{here[s]}"] if here else []
        for a in range(actions):
            if legal[s][a]:
                out.append(f"\taction {acts[a]} [{reward[s][a]!r}]")
                out += entries[start[s * actions + a] : start[s * actions + a + 1]]
    return {".drn": ("\n".join(out) + "\n").encode()}, writing_notes(what) + unnamed + more


FORMAT = Format("drn", (".drn",), "Storm's explicit format for MDPs and Markov chains", read, write)
