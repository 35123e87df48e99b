"""Finite Markov decision processes: models, families of models, and file formats."""

from mdvi.mdp.counterexamples import late_start, softmax_two_fixed_points, wrong_sign
from mdvi.mdp.families import chain, cliff, deep_sea, forest, gambler, garnet, grid, inventory, lake, maze
from mdvi.mdp.formats import FORMATS, FormatError, Imported, Names, from_toolbox, read, to_toolbox, write
from mdvi.mdp.graph import to_networkx
from mdvi.mdp.gym import from_gymnasium, to_gymnasium
from mdvi.mdp.kernels import Dense, MatrixFree, Sparse, Successors
from mdvi.mdp.labels import Layout
from mdvi.mdp.model import FiniteMDP
from mdvi.mdp.pairs import from_quantecon

FAMILIES = {
    family.__name__: family
    for family in (
        garnet,
        chain,
        grid,
        maze,
        lake,
        cliff,
        deep_sea,
        gambler,
        forest,
        inventory,
        softmax_two_fixed_points,
    )
}

__all__ = [
    "FAMILIES",
    "FORMATS",
    "Dense",
    "FiniteMDP",
    "FormatError",
    "Imported",
    "Layout",
    "MatrixFree",
    "Names",
    "Sparse",
    "Successors",
    "chain",
    "cliff",
    "deep_sea",
    "forest",
    "from_gymnasium",
    "from_quantecon",
    "from_toolbox",
    "gambler",
    "garnet",
    "grid",
    "inventory",
    "lake",
    "late_start",
    "maze",
    "read",
    "softmax_two_fixed_points",
    "to_gymnasium",
    "to_networkx",
    "to_toolbox",
    "write",
    "wrong_sign",
]
