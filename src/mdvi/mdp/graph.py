"""A model as a networkx graph."""

from typing import TYPE_CHECKING, Any

from mdvi.extras import explained
from mdvi.mdp.listing import listing
from mdvi.mdp.model import FiniteMDP

if TYPE_CHECKING:
    import networkx as nx


def to_networkx(model: FiniteMDP) -> "nx.MultiDiGraph[Any]":
    """A graph with a node for each state and an edge for each possible transition (s, a, s').

    Nodes are the names of the states, or their numbers, with the attribute `terminal`. The key of an edge is the name
    of the action; its attributes are `action`, `probability` and `reward`, the mean over next states. If a row sums to
    p < 1, an edge of probability 1 − p leads to an additional terminal state.

    Raises:
        ModuleNotFoundError: if networkx is not installed; the message has the command that installs it.
        ValueError: for a matrix-free model.
    """
    with explained():
        import networkx as nx
    what = listing(model)
    names = model.names.states_of(len(what.terminal)) or range(len(what.terminal))
    graph: Any = nx.MultiDiGraph(discount=what.discount)
    for name, end in zip(names, what.terminal.tolist(), strict=True):
        graph.add_node(name, terminal=end)
    for s, a, t, p, r in zip(*(column.tolist() for column in what.transitions[1:]), strict=True):
        action = model.names.action(a)
        graph.add_edge(names[s], names[t], action, action=action, probability=p, reward=r)
    return graph
