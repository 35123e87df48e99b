"""The architecture as the tree shows it: who may import whom, and nothing that runs data."""

import ast
import graphlib
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import mdvi
from mdvi import extras
from mdvi.report import stats

SOURCE = Path(mdvi.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

# Each room, a file or a folder, may import the rooms listed for it, itself, those of EVERYBODY, and no others of mdvi.
EVERYBODY = {"words", "checks", "extras"}
MAY_IMPORT = {
    "types": set(),
    "words": set(),
    "checks": set(),
    "extras": set(),
    "references": set(),
    "shipped": set(),
    "interrupt": set(),
    "progress": set(),
    "observations": set(),
    "native": set(),
    "door": set(),
    "input": set(),
    "output": {"input"},
    "regularizers": {"native", "types"},
    "scheme": {"regularizers", "types"},
    "dual_averaging": {"scheme", "types"},
    "algorithms": {"scheme", "regularizers", "references"},
    "named": {"algorithms"},
    "agents": {"learning/agents"},
    "bounds": {"laboratory"},
    "errors": {"laboratory"},
    "mdp": {"door", "types", "input", "output"},
    "planning": {"native", "regularizers", "mdp", "input", "progress", "report"},
    "pytrees": {"mdp"},
    "laboratory": {
        "algorithms",
        "pytrees",
        "scheme",
        "dual_averaging",
        "regularizers",
        "mdp",
        "progress",
        "report",
        "types",
    },
    "envs/base": {"types"},
    "envs/spaces": set(),
    "envs/native": {"pytrees", "envs/base", "mdp", "types"},
    "envs/host": {"envs/spaces", "door", "mdp", "observations", "types"},
    "envs/names": {"envs", "door", "mdp"},
    "envs/given": {"envs", "envs/names", "door"},
    "envs": {"envs/base", "envs/spaces", "envs/native", "envs/host", "door"},
    "learning/draws": {"types"},
    "learning/settings": set(),
    "learning/request": {"learning/settings"},
    "learning/pictures": {"envs", "envs/base", "observations"},
    "learning/agents": {
        *("algorithms", "learning/draws", "learning/experience", "envs/base", "envs/spaces", "scheme", "regularizers"),
        "types",
    },
    "learning/experience": {"learning/draws", "envs/base", "envs/host", "types"},
    "learning/acting": {
        *("learning/agents", "learning/draws", "learning/experience", "learning/settings", "envs/base", "envs/host"),
        *("envs/spaces", "mdp", "observations", "regularizers", "types"),
    },
    "learning/runs": {
        *("learning/agents", "learning/experience", "learning/request", "learning/settings", "envs", "envs/base"),
        *("envs/host", "input", "output"),
    },
    "learning/exact": {"learning/acting", "learning/agents", "learning/runs", "laboratory", "envs", "envs/base"},
    "learning/training": {
        *("learning/acting", "learning/agents", "learning/exact", "learning/experience", "learning/runs"),
        *("learning/settings", "envs/base", "envs/host", "types"),
    },
    "learning/arrange": {
        *("learning/agents", "learning/pictures", "learning/request", "learning/runs", "learning/settings"),
        *("learning/start", "learning/training", "envs/base"),
    },
    "learning/start": {"learning/agents", "learning/results", "learning/runs"},
    "learning/results": {"learning/acting", "learning/agents", "learning/runs", "envs/spaces", "output", "report"},
    "learning/compare": {"learning/results", "report"},
    "learning/train": {
        *("learning/agents", "learning/arrange", "learning/request", "learning/results", "learning/runs"),
        "learning/start",
        *("envs/given", "envs/names", "progress"),
    },
    "learning": set(),
    "report": set(),
    "study/provenance": set(),
    "study/stats": {"report"},
    "study/figure1": {"laboratory", "mdp", "scheme", "report"},
    "study/regularizers": {"study/figure1", "laboratory", "scheme", "report"},
    "study/database": {"input", "output", "report"},
    "study/spec": {"input", "learning/arrange", "learning/request"},
    "study/store": {"study/database", "study/spec"},
    "study/plan": {
        *("study/spec", "learning/arrange", "learning/experience", "learning/training", "envs/names"),
    },
    "study/worker": {
        *("study/provenance", "study/spec", "study/store", "learning/arrange", "learning/request", "learning/runs"),
        "envs/names",
    },
    "study/cluster": {"study/spec", "study/store", "study/worker", "learning/runs"},
    "study/execute": {
        *("study/cluster", "study/figure1", "study/regularizers", "study/spec", "study/store", "study/worker"),
        "report",
        *("learning/arrange", "learning/runs", "learning/training", "envs/names", "input"),
    },
    "study": {"study/execute", "study/plan", "study/spec", "study/store"},
    "cli/names": {"shipped"},
    "cli/common": {"cli/names", "output", "report"},
    "cli/planning": {"progress", "cli/common", "cli/names", "planning", "mdp", "report", "shipped"},
    "cli/laboratory": {
        *("cli/common", "cli/names", "algorithms", "scheme", "laboratory", "mdp", "envs", "learning/agents", "report"),
        *("progress", "regularizers"),
        *("study/figure1", "study/regularizers", "study/provenance", "output", "references", "shipped"),
    },
    "cli/learning": {
        *(
            "cli/common",
            "cli/names",
            "learning/acting",
            "learning/request",
            "learning/runs",
            "learning/train",
            "progress",
            "report",
        ),
    },
    "cli/study": {
        *(
            "cli/common",
            "cli/names",
            "study/execute",
            "study/plan",
            "study/provenance",
            "study/spec",
            "study/store",
            "progress",
            "report",
        ),
        *("learning/runs", "input", "output", "shipped"),
    },
    "cli": {"cli/common", "cli/laboratory", "cli/learning", "cli/planning", "cli/study", "interrupt"},
    "__main__": {"cli", "interrupt"},
    "__init__": {
        *("agents", "algorithms", "bounds", "dual_averaging", "envs", "errors", "laboratory", "learning/compare"),
        *("learning/runs", "learning/train", "mdp", "planning", "regularizers", "scheme", "study"),
    },
}
ONE_DOOR = {
    "ale_py": {"envs/host/atari.py"},
    "gymnasium": {"door.py"},
    "jinja2": {"report/page.py"},
    "imageio": {"learning/acting/film.py"},
    "matplotlib": {
        *("report/plots.py", "report/ends.py", "report/seeds.py", "report/palette.py", "report/heatmaps.py"),
        *("report/maps.py", "report/page.py"),
    },
    "mlflow": {"learning/runs/track.py"},
    "networkx": {"mdp/graph.py"},
    "optax": {"learning/training/learner.py"},
    "pandas": {"report/frames.py"},
    "PIL": {"learning/acting/film.py"},
    "pgx": {"envs/native/minatar.py"},
    "psutil": {"learning/training/memory.py"},
    "pydantic": {"learning/request.py", "learning/settings.py", "study/spec.py"},
    "pyarrow": {"report/export.py"},
    "ray": {"study/cluster.py"},
    "sqlite3": {"study/database.py", "study/store.py"},
    "safetensors": {"learning/runs/checkpoint.py"},
    "tensorboardX": {"learning/runs/track.py"},
    "xarray": {"report/frames.py"},
    "wandb": {"learning/runs/track.py"},
    "numba": {"native.py"},
}
CORE = {"numpy", "scipy", "numba", "jaxtyping", "typer", "rich"}
RUNS_DATA = {"builtins", "pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "yaml", "torch"}


def name_of(file):
    return str(file.relative_to(SOURCE).with_suffix(""))


def room_of(name):
    """The room of a file, or of a module such as mdvi.learning.agents.targets: the smallest that it lies in."""
    parts = name.replace(".", "/").split("/")
    while parts and "/".join(parts) not in MAY_IMPORT:
        parts.pop()
    return "/".join(parts) or "__init__"


def modules(file):
    """What a file imports, each as the module that it is or lies in."""
    known = {f"mdvi.{name_of(other)}".replace("/", ".").removesuffix(".__init__") for other in FILES}
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in known else node.module for name in below)


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_imports_follow_the_layers(file):
    room = room_of(name_of(file))
    seen = {room_of(module.removeprefix("mdvi.")) for module in modules(file) if module.startswith("mdvi.")}
    assert seen <= MAY_IMPORT[room] | EVERYBODY | {room}


def test_public_names_are_there_and_listed():
    rooms = ("agents", "algorithms", "bounds", "envs", "errors", "mdp", "regularizers", "study")
    for module in (mdvi, *(getattr(mdvi, room) for room in rooms)):
        for name in module.__all__:
            assert getattr(module, name) is not None
        assert sorted(module.__all__) == sorted(set(module.__all__))
    for old, module in (("mdvi.named", mdvi.algorithms), ("mdvi.study.stats", stats)):
        assert importlib.import_module(old) is module
    assert mdvi.named is mdvi.algorithms
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        mdvi.study.nothing


IMPORTS = (
    "import mdvi.agents; mdvi.agents.Entry",
    "from mdvi.agents import Entry; import mdvi; assert Entry is mdvi.agents.Entry",
    "from mdvi.errors import sampled; import mdvi; assert sampled is mdvi.errors.sampled",
    "from mdvi.bounds import theorem1; import mdvi; assert theorem1 is mdvi.bounds.theorem1",
    "import mdvi; mdvi.errors; from mdvi.errors import *; assert sampled is mdvi.errors.sampled",
    "from mdvi.algorithms import munchausen; from mdvi.envs import made; from mdvi.study import read",
)


@pytest.mark.parametrize("statement", IMPORTS)
def test_public_rooms_are_modules_for_import_statements(statement):
    lean = "import sys, mdvi\nassert not {'jax', 'matplotlib', 'mdvi.agents'} & {*sys.modules}\n"
    code = lean * (not statement.startswith("from")) + statement
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_name_that_is_misspelt_is_answered_with_the_nearest():
    with pytest.raises(AttributeError, match="has no attribute 'slove'; did you mean 'solve'"):
        mdvi.slove
    with pytest.raises(AttributeError, match=r"has no attribute '_repr_html_'$"):
        mdvi._repr_html_


LEAN = ("types", "words", "checks", "extras", "references", "shipped", "interrupt", "progress", "native")
LEAN += ("door", "input", "output")
LEAN += ("regularizers", "mdp", "planning", "report", "cli")


def test_the_core_is_imported_and_solves_without_any_extra():
    rooms = [name_of(file).replace("/", ".") for file in FILES if name_of(file).split("/")[0] in LEAN]
    absent = [package for packages in extras.PACKAGES.values() for package in packages if package != "pydantic"]
    script = f"""
import importlib, sys
sys.modules.update(dict.fromkeys({absent!r}))  # pydantic may be there: some versions of typer need it
import mdvi
model = mdvi.mdp.garnet(states=20, seed=1)
for kl, entropy in ((0, 0), (.1, .1)):
    solution = mdvi.solve(model, kl, entropy)
    assert solution.status == "certified", solution
    assert mdvi.certify(model, solution.action, kl, entropy).status == "certified"
assert mdvi.backward_induction(model, 5) is not None
mdvi.mdp.inventory()
slow = [name for name in ("scipy.stats", "rich", "typer", "pydantic", "pandas") if sys.modules.get(name)]
for room in {rooms!r}:
    importlib.import_module("mdvi." + room)
from mdvi.report import stats
print(solution.log_policy.shape, slow)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("(20, 4) []\n", 0), done.stderr


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_every_package_that_is_imported_is_required(file):
    known = {*CORE, *(package for packages in extras.PACKAGES.values() for package in packages)}
    packages = {module.partition(".")[0] for module in modules(file)} - {"mdvi", "__future__"}
    assert packages - set(sys.stdlib_module_names) <= known


def test_the_rooms_form_no_circle():
    graphlib.TopologicalSorter(MAY_IMPORT).prepare()  # raises where they do


def test_every_permission_is_used():
    used = {(room_of(name_of(file)), room_of(m.removeprefix("mdvi."))) for file in FILES for m in modules(file)}
    assert {(room, other) for room, others in MAY_IMPORT.items() for other in others} <= used


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_optional_and_heavy_packages_have_one_door(file):
    here = str(file.relative_to(SOURCE))
    for module in modules(file):
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
