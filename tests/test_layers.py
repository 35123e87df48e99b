"""The architecture as the tree shows it: who may import whom, and nothing that runs data."""

import ast
from pathlib import Path

import pytest

import mdvi

SOURCE = Path(mdvi.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

# Each room may import the rooms listed for it, itself, those of EVERYBODY, and nothing else of mdvi.
EVERYBODY = {"words"}
MAY_IMPORT = {
    "types": set(),
    "words": set(),
    "__main__": {"cli"},
    "regularizers": {"types"},
    "scheme": {"regularizers", "types"},
    "named": {"scheme", "regularizers"},
    "door": set(),
    "input": set(),
    "output": {"input"},
    "mdp": {"door", "types", "input", "output"},
    "planning": {"scheme", "regularizers", "mdp", "types"},
    "envs": {"door", "input", "mdp", "types"},
    "deep": {"scheme", "regularizers", "named", "envs", "input", "output", "types"},
    "study/curves": set(),
    "study/film": set(),
    "study/track": set(),
    "study/exact": {"deep", "envs", "planning"},
    "study/pictures": {"envs"},
    "study/request": {"deep", "envs", "named", "study/exact", "study/pictures"},
    "study/learn": {"arguments", "deep", "envs", "input", "study/request"},
    "study/provenance": set(),
    "study/stats": set(),
    "study/plots": {"study/curves", "study/stats"},
    "study/cells": set(),
    "study/findings": {"study/cells", "study/stats"},
    "study/heatmaps": {"study/cells", "study/findings", "study/plots", "study/stats"},
    "study/export": set(),
    "study/report": {
        "study/cells",
        "study/curves",
        "study/export",
        "study/findings",
        "study/heatmaps",
        "study/plots",
        "study/stats",
    },
    "study/spec": {"input", "named", "study/request"},
    "study/database": {"input", "output", "study/export"},
    "study/store": {"study/database", "study/spec"},
    "study/plan": {"arguments", "deep", "study/request", "study/spec"},
    "study/worker": {"arguments", "deep", "study/provenance", "study/request", "study/spec", "study/store"},
    "study/cluster": {"deep", "study/spec", "study/store", "study/worker"},
    "study/execute": {
        "arguments",
        "deep",
        "envs",
        "input",
        "study/cluster",
        "study/curves",
        "study/figure1",
        "study/request",
        "study/spec",
        "study/store",
        "study/worker",
    },
    "study/figure1": {"planning", "mdp", "scheme", "study/curves", "study/stats"},
    "study/__init__": set(),
}
ONE_DOOR = {
    "ale_py": {"envs/atari.py"},
    "gymnasium": {"door.py"},
    "jinja2": {"study/report.py"},
    "imageio": {"study/film.py"},
    "matplotlib": {"study/plots.py", "study/heatmaps.py", "study/report.py"},
    "mlflow": {"study/track.py"},
    "optax": {"deep/train.py"},
    "PIL": {"study/film.py"},
    "pgx": {"envs/minatar.py"},
    "psutil": {"deep/population.py"},
    "pydantic": {"deep/settings.py", "study/spec.py"},
    "pyarrow": {"study/export.py"},
    "ray": {"study/cluster.py"},
    "sqlite3": {"study/database.py", "study/store.py"},
    "safetensors": {"deep/checkpoint.py"},
    "tensorboardX": {"study/track.py"},
    "wandb": {"study/track.py"},
    "numba": {"planning/native.py"},
}
RUNS_DATA = {"builtins", "pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "yaml", "torch"}


def name_of(file):
    return str(file.relative_to(SOURCE).with_suffix(""))


def room_of(module):
    """The room of a module path such as mdvi.planning.errors or mdvi.study.plots."""
    parts = module.split(".")[1:] if module.startswith("mdvi") else module.split("/")
    if parts and parts[0] == "study":
        return "/".join(parts[:2]) if len(parts) > 1 else "study/__init__"
    return parts[0] if parts else ""


def imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            if node.module in ("mdvi", "mdvi.planning", "mdvi.study"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_imports_follow_the_layers(file):
    room = room_of(name_of(file))
    if room in ("__init__", "cli", "arguments"):
        return
    seen = {room_of(module) for module in imports(file) if module.startswith("mdvi.")}
    assert seen <= MAY_IMPORT[room] | EVERYBODY | {room}


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_optional_and_heavy_packages_have_one_door(file):
    here = str(file.relative_to(SOURCE))
    for module in imports(file):
        package = module.split(".")[0]
        assert package not in RUNS_DATA
        assert here in ONE_DOOR.get(package, {here})


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_nothing_runs_data(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else ""
            assert called not in ("eval", "exec", "compile", "__import__"), (file, node.lineno)
            assert not any(keyword.arg == "allow_pickle" for keyword in node.keywords)
