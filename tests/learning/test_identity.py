"""An environment that is given as an object is the same when it does the same, and another when it does not."""

import functools
import importlib
import itertools
import json
import os
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import mdvi
from forged import forge
from mdvi import envs
from mdvi.learning.runs import identity
from mdvi.learning.runs.identity import fingerprint, identity_of, same
from mdvi.learning.runs.run import Report

TINY = {"hidden": (4,), "warmup": 40, "batch": 8, "target_period": 20, "log_period": 20, "replay": 100, "steps": 60}
HEAD = """
import functools, gymnasium, math
import numpy as np
from mdvi.envs import made, vectored
SPACE = gymnasium.spaces.Box(0, 1, (1,), np.float32)
PAY = 1.0
TABLE = {"pay": 1.0, "size": 3}
WORDS = {"north", "south", "east", "west"}

def paid(action):
    return PAY * action

class Base(gymnasium.Env):
    observation_space, action_space = SPACE, gymnasium.spaces.Discrete(2)
    bonus = 0.0
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}
    def step(self, action):
        return np.zeros(1, np.float32), float(self.pays(action)), True, False, {}
    def pays(self, action):
        return paid(action) + self.bonus

class Pay(Base):
    def __init__(self, pay=1.0):
        self.pay = pay

class Maker:
    def __init__(self, pay): self.pay = pay
    def __call__(self): return Pay(self.pay)

def closed(pay):
    return lambda: Pay(pay)

def make():
    return Pay()
env = made(make)
"""


@pytest.fixture
def read(tmp_path, monkeypatch):
    """A function that gives the `env` of a module with this text, each time from another file."""
    numbers = itertools.count()
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def one(text, name=None, **files):
        name = name or f"own_{next(numbers)}"
        for file, content in (files | {name: text}).items():
            (tmp_path / f"{file}.py").write_text(textwrap.dedent(content))
            sys.modules.pop(file, None)
            made.append(file)
        importlib.invalidate_caches()
        identity._is_installed.cache_clear()
        return importlib.import_module(name).env

    yield one
    for name in made:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("PAY = 1.0", "PAY = -100.0"),
        ("return PAY * action", "return PAY * action - 100"),
        ("return PAY * action", "return PAY / action"),
        ("bonus = 0.0", "bonus = -100.0"),
        ("def __init__(self, pay=1.0)", "def __init__(self, pay=-100.0)"),
        ("return paid(action) + self.bonus", "return paid(action) - self.bonus"),
        ("np.zeros(1, np.float32), float(", "np.ones(1, np.float32), float("),
        ("True, False, {}", "False, True, {}"),
        ("Box(0, 1, (1,), np.float32)", "Box(0, 2, (1,), np.float32)"),
        ("return Pay()", "return Pay(-100.0)"),
        ("return Pay()", "return Pay(pay=2.0)"),
        ("return Pay()", "return gymnasium.wrappers.TransformReward(Pay(), lambda r: r / 10)"),
        ("class Pay(Base):", "class Pay(Base):\n    def pays(self, action): return -100.0"),
        ("class Pay(Base):", "class Pay(Base):\n    @property\n    def bonus(self): return -100.0"),
        ("class Pay(Base):", "class Pay(Base):\n    pays = staticmethod(lambda action: -100.0)"),
        ("env = made(make)", "env = made(make, 0.5)"),
        ("env = made(make)", "env = made(make, stack=2)"),
        ("env = made(make)", "env = made(make, clip=1.0)"),
        ("env = made(make)", "env = made(make, limit=5)"),
    ],
)
def test_another_environment_is_told_apart(read, old, new):
    assert old in HEAD
    assert fingerprint(read(HEAD)) != fingerprint(read(HEAD.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("form", "one", "other"),
    [
        ("made(closed({}))", "1.0", "-100.0"),
        ("made(Maker({}))", "1.0", "-100.0"),
        ("made(functools.partial(Pay, {}))", "1.0", "-100.0"),
        ("made(functools.partial(Pay, pay={}))", "1.0", "-100.0"),
        ("made(Maker({}).__call__)", "1.0", "-100.0"),
        ("made(lambda: Pay({}))", "1.0", "-100.0"),
        ("made(lambda pay={}: Pay(pay))", "1.0", "-100.0"),
        ("made(lambda *, pay={}: Pay(pay))", "1.0", "-100.0"),
        ("made((lambda f: lambda: Pay(f()))(lambda: {}))", "1.0", "-100.0"),
        ("made(lambda: Pay([x * {} for x in (1, 2)][0]))", "1.0", "-100.0"),
        ("made(functools.lru_cache(lambda key=0: Pay({})).__wrapped__)", "1.0", "-100.0"),
        ("made(closed(np.arange(3) * {}))", "1", "-100"),
        ("made(closed(frozenset([1, {}])))", "2", "3"),
        ("made(closed({{'a': {}}}))", "1.0", "-100.0"),
        ("made(closed(math.{}))", "sin", "cos"),
        ("made(closed(range({})))", "5", "6"),
        ("made(closed(__import__('re').compile('{}')))", "a", "b"),
        ("vectored(lambda n: gymnasium.vector.SyncVectorEnv([closed({})] * n))", "1.0", "-100.0"),
        ("made(lambda: Pay() if {} in WORDS else None or Pay())", "'north'", "'west'"),
        ("made(lambda: Pay(TABLE[{}]))", "'pay'", "'size'"),
        ("made(lambda: Pay(2 {} 1))", "+", "-"),
        ("made(Pay if {} else closed(1.0))", "True", "False"),
    ],
)
def test_whatever_a_maker_holds_counts(read, form, one, other):
    first, again, second = (read(f"{HEAD}\nenv = {form.format(value)}") for value in (one, one, other))
    assert fingerprint(first) == fingerprint(again) != fingerprint(second)


SAME = {
    "as it is": lambda text: text,
    "lines above": lambda text: "# a comment\n\n\n" + text,
    "comments": lambda text: text.replace("return PAY", "# why\n    return PAY"),
    "docstrings": lambda text: text.replace("def paid(action):", 'def paid(action):\n    "What it pays."')
    .replace("class Pay(Base):", 'class Pay(Base):\n    "Pays."'),
    "annotations": lambda text: text.replace("def paid(action):", "def paid(action: int) -> float:"),
    "another order of words": lambda text: text.replace('{"north", "south"', '{"south", "north"'),
    "another order of a table": lambda text: text.replace('{"pay": 1.0, "size": 3}', '{"size": 3, "pay": 1.0}'),
    "something beside it": lambda text: text.replace("PAY = 1.0", "PAY = 1.0\nOTHER = 5\ndef other(): return OTHER"),
    "another order of functions": lambda text: text.replace("def make():\n    return Pay()\n", "").replace(
        "class Base(", "def make():\n    return Pay()\nclass Base("
    ),
    "fewer imports": lambda text: text.replace("import functools, gymnasium, math", "import functools, gymnasium"),
}  # fmt: skip


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_the_same_environment_is_the_same(read, change):
    assert change(HEAD) != HEAD or change is SAME["as it is"]
    use = "\nenv = made(lambda: Pay(len(WORDS) * TABLE['pay']))"
    for end in ("", use):
        assert fingerprint(read(HEAD + end)) == fingerprint(read(change(HEAD) + end))


def test_a_function_that_moved_is_the_same(read):
    nested = """
def outer():
    def make(pay=1.0):
        def inner(): return pay * 2
        return Pay(inner())
    return make
env = made(outer())
"""
    flat = """
def make(pay=1.0):
    def inner(): return pay * 2
    return Pay(inner())
env = made(make)
"""
    assert fingerprint(read(HEAD + nested)) == fingerprint(read(HEAD + "\n\n\n" + flat))


def test_it_is_the_same_in_another_process_and_as_a_program(read, tmp_path):
    text = (
        HEAD
        + """
env = made(lambda: Pay(len({"north", "south"} | WORDS) + (PAY in {1.0, 2.0, 3.0})))
if __name__ == "__main__":
    from mdvi.learning.runs.identity import fingerprint
    print(fingerprint(env))
"""
    )
    here = fingerprint(read(text, "own_program"))
    for seed in "12":
        order = [sys.executable, tmp_path / "own_program.py"]
        where = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(mdvi.__file__).parents[1])}
        assert subprocess.run(order, env=where, capture_output=True, text=True, check=True).stdout.strip() == here


@pytest.mark.parametrize(
    "way", ["import helper", "from helper import pay, RATE", "import helper as other", "import room.helper"]
)
def test_modules_of_the_user_count_and_installed_ones_do_not(read, way, tmp_path):
    call = {"import helper": "helper.pay()", "from helper import pay, RATE": "pay() * RATE"}.get(way, "other.pay()")
    call = "room.helper.pay()" if "room" in way else call
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "__init__.py").write_text("")
    text = f"{way}\n{HEAD}\nenv = made(lambda: Pay({call}))"
    found = []
    for body in ("RATE = 2.0\ndef pay(): return RATE", "RATE = 2.0\n# the same\ndef pay(): return RATE",
                 "RATE = 3.0\ndef pay(): return RATE"):  # fmt: skip
        for name in ("room", "room.helper"):
            sys.modules.pop(name, None)
        (tmp_path / "room" / "helper.py").write_text(body)
        found.append(fingerprint(read(text, helper=body)))
    assert found[0] == found[1] != found[2]


def test_what_gymnasium_makes_by_an_id_counts(read):
    """An id says nothing of the code behind it; the class of what was made does."""
    text = (
        HEAD
        + """
gymnasium.registry.pop("Own-v0", None)
gymnasium.register("Own-v0", entry_point=Pay)
env = made(lambda: gymnasium.make("Own-v0"))
"""
    )
    first, again, second = read(text), read(text), read(text.replace("PAY = 1.0", "PAY = -100.0"))
    gymnasium.registry.pop("Own-v0", None)
    assert fingerprint(first) == fingerprint(again) != fingerprint(second)


def test_recursion_and_circles_come_to_an_end(read):
    text = (
        HEAD
        + """
def even(n): return n == 0 or odd(n - 1)
def odd(n): return n > 0 and even(n - STEP)
class Ring: pass
ring = Ring()
ring.next, ring.pay = ring, RING
env = made(lambda: Pay(even(4) + ring.pay))
"""
    )
    texts = (
        text.replace("STEP", str(step)).replace("RING", str(pay))
        for step, pay in ((1, 1.0), (1, 1.0), (2, 1.0), (1, 2.0))
    )
    found = [fingerprint(read(one)) for one in texts]
    assert found[0] == found[1]
    assert len(set(found)) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import random\ndice = random.Random(0)\nenv = made(lambda: Pay(dice is None))", "a random generator, Random"),
        ("dice = np.random.default_rng(0)\nenv = made(lambda: Pay(dice is None))", "a random generator, Generator"),
        ("import threading\nlock = threading.Lock()\nenv = made(lambda: Pay(lock is None))", "an object of type lock"),
        ("env = made(closed(x for x in 'ab'))", "an object of type generator"),
        ("class Bad:\n    __slots__ = ()\n    def __getattr__(self, name): raise RuntimeError(name)\nbad = Bad()\n"
         "env = made(lambda: Pay(bad is None))", "an object of type Bad"),
        ("def make():\n    global COUNT\n    COUNT = 1\n    return Pay(COUNT)\nenv = made(make)\nCOUNT = 0",
         "COUNT, which functions assign"),
        ("class Counts(Maker):\n    def __call__(self):\n        self.made = 1\n        return Pay(self.pay)\n"
         "maker = Counts(1.0)\nmaker()\nenv = made(maker)", "Counts.made, which its methods assign"),
        ("def make():\n    import own_helper\n    return Pay(own_helper.PAY)\nenv = made(make)",
         "own_helper, imported inside of a function"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_told(read, text, words):
    found = identity_of(read(f"{HEAD}\n{text}", own_helper="PAY = 1.0"))
    assert words in found.remark
    assert not identity_of(read(HEAD)).unknown


def test_counting_what_was_made_makes_no_other_environment(read):
    text = (
        HEAD
        + """
class Counts(Maker):
    made = 0
    def __call__(self):
        Counts.made += 1
        self.last = Pay(self.pay)
        return self.last
maker = Counts(1.0)
env = made(maker)
"""
    )
    env = read(text)
    before = fingerprint(env)
    env.source.make()
    assert fingerprint(env) == before
    assert fingerprint(read(text.replace("Counts(1.0)", "Counts(-100.0)"))) != before


def test_an_environment_in_jax_is_told_apart_by_its_code_and_its_numbers(read):
    text = """
import equinox as eqx, jax, jax.numpy as jnp
from mdvi.envs import TimeLimit
class Own(eqx.Module):
    pay: float = 1.0
    discount: float = 0.9
    actions = 2
    scale = None
    @property
    def observation(self): return jax.ShapeDtypeStruct((1,), jnp.float32)
    def reset(self, key): return jnp.zeros(1)
    def observe(self, state): return state
    def step(self, state, action, key): return state, self.pay * action, jnp.ones((), bool), jnp.zeros((), bool)
    def legal(self, obs): return jnp.ones((obs.shape[0], 2), bool)
env = TimeLimit(Own(), 5)
"""
    changes = [("Own(), 5", "Own(2.0), 5"), ("Own(), 5", "Own(), 6"), ("self.pay * action", "self.pay - action")]
    first = fingerprint(read(text))
    assert fingerprint(read("# moved\n" + text)) == first
    for old, new in changes:
        assert fingerprint(read(text.replace(old, new))) != first
    assert not identity_of(read(text)).unknown


def test_environments_in_other_processes_and_installed_ones_are_told(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])
    assert "which runs in another process" in identity_of(envs.gymnasium("hostile:Row", processes=1)).remark
    assert not identity_of(envs.gymnasium("hostile:Row", processes=0)).unknown
    assert not identity_of(envs.gymnasium("CartPole-v1")).unknown
    away = types.new_class("Away", (gymnasium.Env,), exec_body=lambda body: body.update(__module__="pytest"))
    space = gymnasium.spaces.Box(0, 1, (1,), np.float32)
    away.observation_space, away.action_space = space, gymnasium.spaces.Discrete(2)
    assert "Away, whose package is installed" in identity_of(envs.made(away)).remark


def test_names_of_identities_are_compared():
    digest, other = "0123456789abcdef", "0123456789abcde0"
    now = f"Hosted 2 3.11 {digest}"
    assert same(now, now) == ""
    assert same(f"Hosted 2 3.11 {other}", now) is None
    assert same(f"TimeLimit 2 3.11 {digest}", now) is None
    assert same(f"TimeLimit {digest}", now) is None
    assert same("CartPole-v1", now) is None
    assert "was written by mdvi 0.1.0" in same(f"Hosted {digest}", now)
    assert "was written by Python 3.12" in same(f"Hosted 2 3.12 {digest}", now)
    assert "was written by another version of mdvi" in same(f"Hosted 3 3.11 {digest}", now)


class Pay(gymnasium.Env):
    observation_space, action_space = gymnasium.spaces.Box(0, 1, (1,), np.float32), gymnasium.spaces.Discrete(2)

    def __init__(self, pay, dice=None):
        self.pay, self.dice = pay, dice

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), float(self.pay * action), True, False, {}


def test_a_run_goes_on_and_is_loaded_in_its_own_environment_only(tmp_path):
    folder = tmp_path / "run"
    mdvi.train(envs.made(functools.partial(Pay, 1.0)), "dqn", out=folder, **TINY)
    mdvi.load(folder, envs.made(functools.partial(Pay, 1.0)))
    for again in (mdvi.load, lambda folder, env: mdvi.train(env, "dqn", out=folder, **TINY)):
        with pytest.raises(
            ValueError, match=r"was trained with the environment Hosted 2 \S+ [0-9a-f]{16}, not Hosted 2"
        ):
            again(folder, envs.made(functools.partial(Pay, -100.0)))
    mdvi.train(envs.made(functools.partial(Pay, 1.0)), "dqn", out=folder, **TINY)


def test_what_cannot_be_compared_is_told_each_time(tmp_path):
    folder, env = tmp_path / "run", envs.made(functools.partial(Pay, 1.0, np.random.default_rng(0)))
    for again in (
        lambda: mdvi.train(env, "dqn", out=folder, **TINY),
        lambda: mdvi.train(env, "dqn", out=folder, **TINY),
        lambda: mdvi.load(folder, env),
    ):
        with pytest.warns(UserWarning, match="cannot be compared with the run: a random generator, Generator"):
            again()
    remarks = []
    mdvi.load(folder, env, remarks.append)
    mdvi.train(env, "dqn", out=folder, report=Report(remark=remarks.append), **TINY)
    assert sum("cannot be compared with the run: a random generator" in line for line in remarks) == 2


@pytest.mark.parametrize(
    "before", ["Hosted 0123456789abcdef", "Hosted 2 3.9 0123456789abcdef", "Hosted 1 3.11 0123456789abcdef"]
)
def test_names_by_other_versions_are_accepted_with_a_remark_and_written_again(tmp_path, before):
    folder, env = tmp_path / "run", envs.made(functools.partial(Pay, 1.0))
    mdvi.train(env, "dqn", out=folder, **TINY)
    now = json.loads((folder / "config.json").read_text())["env"]
    forge(folder, env=before)
    for again in (lambda: mdvi.load(folder, env), lambda: mdvi.train(env, "dqn", out=folder, **TINY)):
        with pytest.warns(UserWarning, match=r"was written by .* and cannot be compared"):
            again()
    assert json.loads((folder / "config.json").read_text())["env"] == now
    mdvi.load(folder, env)  # without a remark
    mdvi.train(env, "dqn", out=folder, **TINY)
    with pytest.raises(ValueError, match="was trained with the environment Hosted"):
        mdvi.load(folder, envs.made(functools.partial(Pay, 2.0)))


def test_a_run_that_was_named_says_so_when_it_is_loaded_with_an_object(tmp_path):
    folder = tmp_path / "run"
    mdvi.train("Acrobot-v1", "dqn", out=folder, **TINY)
    with pytest.warns(UserWarning, match="the environment of the run is Acrobot-v1; an object cannot be compared"):
        mdvi.load(folder, envs.gymnasium("Acrobot-v1"))
