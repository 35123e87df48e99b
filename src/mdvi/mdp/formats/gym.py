"""The table `P` of Gymnasium as JSON.

    {"discount": 0.99, "P": {"0": {"0": [[0.5, 1, 0.0, false], [0.5, 2, 1.0, true]]}, …}}

`P[s][a]` is a list of [probability, next state, reward, terminated]; the probabilities of repeated next states are
added, as in the tables of Gymnasium. An empty list makes the action illegal. A state is terminal if all its transitions
stay, pay nothing and terminate; other terminated transitions lead to an additional terminal state. `states` and
`actions` are optional lists of names.
"""

import json
from typing import Any

from mdvi.mdp.formats.text import Format, Result, Source, shown, terminal_notes
from mdvi.mdp.gym import from_table, table_of
from mdvi.mdp.labels import Names
from mdvi.mdp.listing import LineError, count, listing
from mdvi.mdp.model import FiniteMDP


def read(source: Source) -> Result:
    """The model of a JSON table."""
    source.check_reward()
    try:
        content = json.loads(source.data.decode("utf-8-sig"), object_pairs_hook=_unique, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise LineError(f"invalid JSON: {error.msg}", error.lineno) from None
    except RecursionError:
        raise ValueError("invalid JSON: brackets are nested too deeply") from None
    if not isinstance(content, dict) or "P" not in content:
        raise ValueError('expected an object {"discount": …, "P": {…}}')
    stated = content.get("discount")
    if stated is not None and (isinstance(stated, bool) or not isinstance(stated, int | float)):
        raise ValueError(f"the discount {shown(stated)} is not a number")
    model, notes = from_table(content["P"], source.gamma(stated), own_ends=True, rescale=True)
    names = Names(_names(content, "states"), _names(content, "actions"))
    return model, notes, names._replace(states=names.states_of(model.states))


def _names(content: dict[str, Any], kind: str) -> tuple[str, ...]:
    names = content.get(kind, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{kind}: expected a list of names, got {shown(names)}")
    return tuple(names)


def _integer(token: str) -> int:
    if len(token) > 18:
        raise ValueError(f"{shown(token)} is too large")
    return int(token)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for key, value in pairs:
        if key in entries:
            raise ValueError(f"key {shown(key)} occurs twice in an object")
        entries[key] = value
    return entries


def write(model: FiniteMDP, names: Names) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """The discount, the names and the table."""
    what = listing(model)
    called = {"states": names.states_of(len(what.reward)), "actions": names.actions}
    notes = what.notes + terminal_notes(int(what.terminal.sum()), "written as loops that terminate")
    illegal = int((~what.legal).sum())
    if illegal:
        notes += (f"{count(illegal, 'illegal action')} written as empty lists",)
    content = {"discount": what.discount, **{kind: each for kind, each in called.items() if each}, "P": table_of(what)}
    return {".json": json.dumps(content).encode() + b"\n"}, notes


FORMAT = Format("gym", (".json",), "Gymnasium's table P[s][a] as JSON, with a discount", read, write)
