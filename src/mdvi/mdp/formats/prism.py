"""The explicit files of PRISM: a matrix (.tra), with labels (.lab), names (.sta) and rewards (.srew, .trew, .rew).

    2 3 4          states, choices, transitions; without the choices it is a Markov chain
    0 0 1 0.5 a0   state, choice, next state, probability, action (optional)

Rewards of states are paid for every action, in addition to rewards of transitions. Several rewards are in m.srew,
m1.srew, m.time.srew, … next to m.tra; by default the first is read. Others are selected by the part of the file name
after the stem, or by the name that PRISM writes into the file. The values of variables in m.sta are the name of a
state. The format has no discount, so it must be given. States labelled `terminal` or `deadlock` are terminal, and so
are absorbing states that pay nothing.
"""

import re
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
from mdvi.mdp.listing import Collector, LineError, Transitions, check_range, check_size, keys, listing, located, match
from mdvi.mdp.model import FiniteMDP

REWARDS = (".srew", ".trew", ".rew")


def read(source: Source) -> Result:
    """The model of a .tra file and its siblings."""
    rows = _rows(source.data)
    top, head = next(rows, (0, []))
    if len(head) not in (2, 3):
        raise LineError("the first line should be: states choices transitions", top)
    chain = len(head) == 2
    with located(top):
        claimed = [whole(item, "count") for item in head]
    states = claimed[0]
    check_size(states, 1, source.size)
    found, choices = Collector(), Choices()
    for number, fields in rows:
        if len(fields) not in ((3,) if chain else (4, 5)):
            columns = "state next_state probability" if chain else "state choice next_state probability [action]"
            raise LineError(f"{len(fields)} values; a line should be: {columns}", number)
        try:
            s, c = whole(fields[0], "state"), 0 if chain else whole(fields[1], "choice")
            successor = whole(fields[1 if chain else 2], "next state")
            found.add(number, s, c, successor, real(fields[2 if chain else 3], "probability"))
        except ValueError as error:
            raise LineError(str(error), number) from None
        choices.add(fields[4] if len(fields) == 5 else "")
    given = found.transitions()
    shape = states, int(given.action.max(initial=0)) + 1
    check_size(*shape, source.size)
    check_range(given, shape)
    for counted, claim, there in (
        ("transitions", claimed[-1], len(found)),
        ("choices", claimed[-2], states if chain else len(np.unique(given.state * shape[1] + given.action))),
    ):
        if claim != there:
            raise LineError(f"the first line declares {claim} {counted}, but there are {there}", top)
    with located(suffix=".lab"):
        labels = _labels(source.siblings.get(".lab", b""), states)
    with located(suffix=".sta"):
        called = _states(source.siblings[".sta"], states) if ".sta" in source.siblings else ()
    chosen, notes = _chosen_rewards(source, unread(labels))
    for end in chosen:
        with located(suffix=end):
            given = _rewarded(given, shape, source.siblings[end])
    given, actions, unnamed = choices.rename(given, states, source.size)
    model, more, names = assemble_labelled(source, given, states, labels, Names(called, actions))
    return model, notes + unnamed + more, names


def _chosen_rewards(source: Source, labels: str) -> tuple[list[str], tuple[str, ...]]:
    """The ends of the names of the reward files to read, and notes."""
    groups: dict[str, list[str]] = {}
    inside: dict[str, str] = {}
    for end in sorted(source.siblings, key=lambda end: (len(end), end)):
        name, _, suffix = end.rpartition(".")
        if f".{suffix}" in REWARDS:
            groups.setdefault(name, []).append(end)
            found = re.match(rb'\s*#\s*reward structure:?\s*"?([^"\r\n]*)', source.siblings[end], re.IGNORECASE)
            inside[name] = found[1].decode("utf-8", "replace").strip() if found else ""
    if source.reward == "none":
        return [], ()
    if source.reward is None:
        if not groups:
            missing = f"there is no file of rewards ({', '.join(REWARDS)}), so every reward is 0{labels}"
            return [], (f"{missing}; --reward none says that it is meant",)
        first, *others = groups.values()
        names = ", ".join(f"{source.stem}{end}" for ends in others[:5] for end in ends)
        note = f"several files of rewards: {source.stem}{first[0]} is read, and not {names}; --reward NAME chooses"
        return first, (note,) if others else ()
    for name, files in groups.items():
        words = {
            name,
            name.lstrip("._-"),
            f"{source.stem}{name}",
            inside[name],
            *(f"{source.stem}{end}" for end in files),
        }
        if source.reward in words - {""}:
            return files, ()
    known = ", ".join(inside[name] or f"{source.stem}{name}" for name in list(groups)[:10])
    raise ValueError(f"--reward: there is no {shown(source.reward)}; known are none{', ' if known else ''}{known}")


def _states(data: bytes, states: int) -> tuple[str, ...]:
    """The names of states in a .sta file, which has lines `state:(values)` below a line of variables."""
    names: list[str] = []
    rows = lines(data)
    _, head = next(rows, (0, ""))
    for number, line in rows:
        state, colon, name = line.partition(":")
        if not colon or state.strip() != str(len(names)):
            raise LineError(f"expected `{len(names)}:(values)`, got {shown(line)}", number)
        name = name.strip()
        names.append(name[1:-1] if head == "(name)" and name[:1] + name[-1:] == "()" else name)
    if len(names) != states:
        raise ValueError(f"expected {states} states, as in the transitions, got {len(names)}")
    return tuple(names)


def _rows(data: bytes) -> Iterator[tuple[int, list[str]]]:
    for number, line in lines(data):
        if not line.startswith("#"):
            yield number, line.split()


def _rewarded(given: Transitions, shape: tuple[int, int], data: bytes) -> Transitions:
    """The transitions with the rewards of a file added; two columns are rewards of states, more of transitions."""
    rows = _rows(data)
    next(rows, None)  # the header has counts only
    paid = Collector()
    columns = 0
    for number, fields in rows:
        columns = columns or len(fields)
        if len(fields) != columns or columns not in (2, 3, 4):
            raise LineError(f"expected a line `state [[choice] next_state] reward`, got {len(fields)} values", number)
        try:
            index = [whole(item, "state or choice") for item in fields[:-1]]
            s, c, t = (index[0], index[1], index[2]) if columns == 4 else (index[0], 0, index[-1])
            paid.add(number, s, c, t, 0.0, real(fields[-1], "reward"))
        except ValueError as error:
            raise LineError(str(error), number) from None
    if not len(paid):
        return given
    rewards = paid.transitions()
    check_range(rewards, shape)
    here, key = (given.state, rewards.state) if columns == 2 else (keys(given, shape), keys(rewards, shape))
    order = np.argsort(key, kind="stable")
    key, rewards = key[order], rewards.at(order)
    for place in np.flatnonzero(np.diff(key) == 0)[:1] + 1:
        name = f"state {rewards.state[place]}" if columns == 2 else rewards.name(place)
        raise LineError(f"{name} has a second reward", int(rewards.line[place]))
    slot = match(key, here)
    unused = np.ones(len(key), bool)
    unused[slot[slot >= 0]] = False
    for place in np.flatnonzero(unused)[:1] if columns > 2 else ():
        raise LineError(f"{rewards.name(place)} has a reward but no transition", int(rewards.line[place]))
    extra = np.where(slot >= 0, rewards.reward[slot], 0.0)
    return given._replace(reward=np.where(given.reward == 0, extra, given.reward + extra))


def _labels(data: bytes, states: int) -> dict[str, set[int]]:
    """The states of each label in `ENDS`; other labels are not read and have an empty set."""
    labels: dict[str, set[int]] = {label: set() for label in ENDS}
    names: dict[str, str] | None = None
    for number, line in lines(data):
        if names is None:
            pairs = [item.partition("=") for item in line.split()]
            names = {key: name.strip('"') for key, _, name in pairs}
            labels |= {name: set() for name in names.values()}
            continue
        state, colon, carried = line.partition(":")
        with located(number):
            s = whole(state.strip(), "state")
        if not colon or s >= states:
            raise LineError(f"expected `state: labels` with a state in 0…{states - 1}, got {shown(line)}", number)
        for key in carried.split():
            if key not in names:
                raise LineError(f"state {s} has the label {shown(key)}, which the first line does not declare", number)
            if names[key] in ENDS:
                labels[names[key]].add(s)
    return labels


def write(model: FiniteMDP, names: Names) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Write transitions, rewards of transitions, and the labels init (state 0; PRISM requires it) and terminal."""
    what = listing(model, loops=True)
    states, _ = what.reward.shape
    (here, unnamed), (acts, more) = written_states(names.states_of(states)), written_actions(what, names)
    # Choices are numbered without illegal actions; the names identify the actions.
    choice = np.cumsum(what.legal, axis=1)[what.transitions.state, what.transitions.action] - 1
    sizes = f"{states} {int(what.legal.sum())} {len(choice)}"
    columns = [column.tolist() for column in (*what.transitions[1:], choice)]
    rows = list(zip(*columns, strict=True))
    ends = np.flatnonzero(what.terminal).tolist()
    labels = '0="init"' + (' 1="terminal"' if ends else "")
    marks = {0: "0"} | {s: "0 1" if s == 0 else "1" for s in ends}
    files = {
        ".tra": [sizes, *(f"{s} {c} {t} {p!r} {acts[a]}" for s, a, t, p, _, c in rows)],
        ".trew": [sizes, *(f"{s} {c} {t} {r!r}" for s, _, t, _, r, c in rows)],
        ".lab": [labels, *(f"{s}: {mark}" for s, mark in marks.items())],
    }
    if here:
        files[".sta"] = ["(name)", *(f"{s}:({name})" for s, name in enumerate(here))]
    texts = {suffix: ("\n".join(content) + "\n").encode() for suffix, content in files.items()}
    return texts, writing_notes(what) + unnamed + more


FORMAT = Format(
    "prism",
    (".tra",),
    "PRISM's explicit files: .tra, with .lab, .sta, .trew, .srew, .rew next to it",
    read,
    write,
    (".lab", ".sta", *REWARDS),
    REWARDS,
)
