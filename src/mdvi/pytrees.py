"""`FiniteMDP` and its kernels as JAX pytrees: arrays are leaves, everything else is structure.

Names and maps are not part of the pytree, so that models that differ in their names share one compiled program.

The models themselves do not depend on JAX. Code that uses them in compiled programs imports this module.
"""

from typing import Any

import jax

from mdvi.mdp.kernels import Dense, MatrixFree, Sparse, Successors
from mdvi.mdp.model import FiniteMDP


def _register(kind: type, leaves: tuple[str, ...], structure: tuple[str, ...] = ()) -> None:
    def flatten(value: Any) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
        children = [(jax.tree_util.GetAttrKey(name), getattr(value, name)) for name in leaves]
        return children, tuple(getattr(value, name) for name in structure)

    def unflatten(fixed: tuple[Any, ...], children: Any) -> Any:
        value: Any = object.__new__(kind)  # skips the checks of the constructor, since leaves may be tracers or shapes
        vars(value).update(zip((*leaves, *structure), (*children, *fixed), strict=True))
        return value

    jax.tree_util.register_pytree_with_keys(kind, flatten, unflatten)


_register(Dense, ("probability",))
_register(Successors, ("state", "probability"))
_register(Sparse, ("start", "state", "probability"), ("states",))
_register(MatrixFree, ("kept",), ("function", "shape", "terms"))
_register(FiniteMDP, ("kernel", "reward", "discount", "terminal", "legal"))
