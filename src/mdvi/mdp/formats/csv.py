"""Transitions as comma-separated values.

    # discount=0.99
    # states=3
    # actions=2
    # terminal=2
    # state 0="start"
    state,action,next_state,probability,reward
    0,0,1,0.5,1.0

The columns may have any order; `reward` is optional (0) and is averaged over the next states. The comments are optional
too: without them, states and actions are counted, and no state is terminal. An action without a row is illegal. Each
name of a state or action is a JSON string in a comment; either all states (or actions) have names, or none.
"""

import json
import re

import numpy as np

from mdvi.input import parsed
from mdvi.mdp.formats.text import Format, Result, Source, lines, real, shown, terminal_notes, whole
from mdvi.mdp.labels import Names
from mdvi.mdp.listing import Collector, LineError, assemble, check_size, listing, located
from mdvi.mdp.model import FiniteMDP
from mdvi.words import nearest

COLUMNS = ("state", "action", "next_state", "probability", "reward")
_NAME = re.compile(r"#\s*(state|action)\s+([0-9]{1,15})\s*=\s*(\".*\")")


def read(source: Source) -> Result:
    """The model of a table of transitions."""
    source.check_reward()
    found, facts = Collector(), {}
    called: dict[str, dict[int, str]] = {"state": {}, "action": {}}
    place: list[int] | None = None
    for number, line in lines(source.data):
        if line.startswith("#"):
            name, equals, value = line[1:].partition("=")
            if fit := _NAME.fullmatch(line):
                with located(number):
                    called[fit[1]][int(fit[2])] = str(parsed(fit[3]))
            elif equals and name.strip() in ("discount", "states", "actions", "terminal"):
                facts[name.strip()] = number, value.strip()
            continue
        fields = [field.strip() for field in line.split(",")]
        if place is None:
            place, width = _places(fields, number), len(fields)
            continue
        if len(fields) != width:
            raise LineError(f"expected {width} values, one for each column, got {len(fields)}", number)
        try:
            found.add(
                number,
                whole(fields[place[0]], "state"),
                whole(fields[place[1]], "action"),
                whole(fields[place[2]], "next state"),
                real(fields[place[3]], "probability"),
                real(fields[place[4]], "reward") if len(place) == 5 else 0.0,
            )
        except ValueError as error:
            raise LineError(str(error), number) from None
    if place is None:
        raise ValueError(f"there is no header; the first line should be {','.join(COLUMNS)}")
    names = Names(*(tuple(each[i] for i in sorted(each)) for each in called.values()))
    model, notes = _model(source, found, facts)
    for kind, size in (("state", model.states), ("action", model.actions)):
        if called[kind] and max(called[kind]) >= size:
            raise ValueError(f"{kind} {max(called[kind])} has a name but is outside 0…{size - 1}")
    if len(place) == 4:
        notes += ("there is no column reward, so every reward is 0",)
    return model, notes, names


def _places(fields: list[str], number: int) -> list[int]:
    """The index of each of COLUMNS in the header."""
    for field in fields:
        if field not in COLUMNS:
            near = nearest(field, COLUMNS)
            hint = f"; did you mean {near}?" if near else f"; the columns are {','.join(COLUMNS)}"
            raise LineError(f"the header has an unknown column {shown(field)}{hint}", number)
        if fields.count(field) > 1:
            raise LineError(f"the header has the column {field} twice", number)
    for column in COLUMNS[:4]:
        if column not in fields:
            raise LineError(f"the header has no column {column}; it should be {','.join(COLUMNS)}", number)
    return [fields.index(column) for column in COLUMNS if column in fields]


def _model(source: Source, found: Collector, facts: dict[str, tuple[int, str]]) -> tuple[FiniteMDP, tuple[str, ...]]:
    given = found.transitions()
    terminal: list[int] = []
    stated: dict[str, float] = {}
    for name, (number, value) in facts.items():
        with located(number):
            if name == "terminal":
                terminal = [whole(item.strip(), "terminal state") for item in value.split(",") if item.strip()]
            else:
                stated[name] = real(value, name) if name == "discount" else whole(value, f"number of {name}")
    largest = max(given.state.max(initial=-1), given.successor.max(initial=-1), max(terminal, default=-1))
    states = int(stated.get("states", largest + 1))
    actions = int(stated.get("actions", given.action.max(initial=-1) + 1))
    check_size(states, actions, source.size)
    ends = np.zeros(states, bool)
    for state in terminal:
        if state >= states:
            raise LineError(f"terminal state {state} is outside 0…{states - 1}", facts["terminal"][0])
        ends[state] = True
    model, notes = assemble(
        given,
        (states, actions),
        source.gamma(stated.get("discount")),
        terminal=ends,
        rescale=True,
        advice="declare it with `# terminal=` or give it a row",
    )
    return model, notes


def _comment(kind: str, names: tuple[str, ...]) -> list[str]:
    """Names as comments; each comment is one cell for any separator of cells."""
    texts = (json.dumps(name).replace(",", r"\u002c").replace(";", r"\u003b") for name in names)
    return [f"# {kind} {i}={text}" for i, text in enumerate(texts)]


def write(model: FiniteMDP, names: Names) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """The rows of all live pairs, and all other facts as comments."""
    what = listing(model)
    states, actions = what.reward.shape
    ends = np.flatnonzero(what.terminal).tolist()
    head = [f"# discount={what.discount!r}", f"# states={states}", f"# actions={actions}"]
    if ends:
        head.append(f"# terminal={','.join(map(str, ends))}")
    head += [*_comment("state", names.states_of(states)), *_comment("action", names.actions)]
    rows = zip(*(column.tolist() for column in what.transitions[1:]), strict=True)
    text = "\n".join([*head, ",".join(COLUMNS), *(f"{s},{a},{t},{p!r},{r!r}" for s, a, t, p, r in rows)]) + "\n"
    return {".csv": text.encode()}, (*what.notes, *terminal_notes(len(ends), "listed as terminal in a comment"))


FORMAT = Format("csv", (".csv",), "one transition a row: state,action,next_state,probability,reward", read, write)
