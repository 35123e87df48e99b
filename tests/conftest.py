"""Shapes and dtypes are checked in tests only; JAX runs with its strictest settings."""

import contextlib
import os

os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", "")  # tests compile what they test
# Most of the suite's time is compilation, of programs that then run for milliseconds: optimising them does not pay.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)

from jaxtyping import install_import_hook

with install_import_hook("mdvi", "typecheck.check"):
    pass

import numpy as np
import pytest

with contextlib.suppress(ModuleNotFoundError):  # the core's tests run without it
    import jax

    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_debug_key_reuse", True)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
