"""Files of studies from strangers: whatever they ask for, they are read at once, or refused in a line."""

import json
import os
import subprocess
import sys

import pytest

HEAD = 'title = "t"\nenv = "CartPole-v1"\nsteps = 10\n'
GRID = '[[grid]]\nagent = "dqn"\n'
AGENT = '[[grid]]\nagent = "md-direct"\n'


def numbers(count):
    return ",".join(str(i / 100) for i in range(1, count + 1))


RUNS, DEEP, PARTS = "expected at most 100000 runs in a study", "is nested too deeply", "a key has more than 16 parts"
BOMBS = {
    "seeds": (f"{HEAD}seeds = 1000000000\n{GRID}", RUNS),
    "one seed too many": (f"{HEAD}seeds = 100001\n{GRID}", RUNS),
    "seeds of four thousand digits": (f"{HEAD}seeds = {'9' * 4000}\n{GRID}", "seeds: expected numbers in 0…2³² − 1"),
    "seeds of five thousand digits": (f"{HEAD}seeds = {'9' * 5000}\n{GRID}", "Exceeds the limit"),
    "hexadecimal seeds": (f"{HEAD}seeds = 0x{'f' * 200000}\n{GRID}", "seeds: expected numbers in 0…2³² − 1"),
    "hexadecimal steps": (
        f"title = 't'\nenv = 'a'\nsteps = 0x{'f' * 200000}\n{GRID}",
        "steps: input should be less than",
    ),
    "hexadecimal Garnets": (f"{HEAD}[figure1]\ngarnets = 0x{'f' * 200000}\n", "figure1.garnets: input should be less"),
    "product": (f"{HEAD}{AGENT}seeds = 1000\nkl = [{numbers(299)}]\nentropy = [{numbers(299)}]\n", RUNS),
    "sum": (f"{HEAD}seeds = 40000\n{GRID}{GRID}{GRID}", RUNS),
    "cells": (
        f"{HEAD}{AGENT}kl = [{numbers(101)}]\nentropy = [{numbers(100)}]\n",
        "expected at most 10000 cells in a study, got 10100",
    ),
    "brackets": (f"{HEAD}settings = {{ a = {'[' * 4000}{']' * 4000} }}\n{GRID}", DEEP),
    "many brackets": (f"{HEAD}settings = {{ a = {'[' * 400000}{']' * 400000} }}\n{GRID}", DEEP),
    "braces": (f"{HEAD}settings = {{ a = {'{ a = ' * 50000}1{' }' * 50000} }}\n{GRID}", DEEP),
    "brackets that stay open": (f"{HEAD}x = {'[' * 500000}", DEEP),
    "dots": (f"{HEAD}{GRID}settings.{'a.' * 300000}a = 1\n", PARTS),
    "dots between quotes": (HEAD + GRID + "settings." + "'' . " * 150000 + "a = 1\n", PARTS),
    "dots in a heading": (f"{HEAD}[{'a.' * 300000}a]\n", PARTS),
    "size": ("#" * (1 << 21), "has 2097152 bytes; at most 1048576 are read"),
    "long agent": (
        f'{HEAD}[[grid]]\nagent = "{"d" * 900000}"\n',
        "grid.1.agent: string should have at most 1000",
    ),
    "long environment": (f"title = 't'\nsteps = 9\nenv = '{'e' * 900000}'\n{GRID}", "at most 1000 characters"),
    "long key": (f"{HEAD}{'-' * 900000} = 1\n", "unknown key ---"),
    "wrong list": (f"{HEAD}{GRID}kl = [{'0,' * 200000}'x']\n", "grid.1.kl: input should be a valid"),
    "noise": ("\0" * 1000, "Invalid statement"),
    "no text": (b"\xff" * 1000, "codec can't decode"),
}


LARGE = {
    "seeds": (f"{HEAD}seeds = 100000\n{GRID}", 100_000),
    "about": (f"{HEAD}about = '{'a.b ' * 100}{'x' * 900000}'\n{GRID}", 1),
    "settings": (f"{HEAD}{GRID}settings = {{ hidden = [4], a.b.c.d.e.f = 1 }}\n", 1),
    "grid": (f"{HEAD}seeds = 100\n{AGENT}kl = [{numbers(20)}]\nentropy = [{numbers(20)}]\n", 40_000),
    "grids": (f"{HEAD}{GRID * 10000}", 1),
}
READING = """
import json, resource, sys
from pathlib import Path
from mdvi.study.spec import read
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30),) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (200, 200))
found = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        found[path.name] = len(read(path).runs)
    except ValueError as error:
        found[path.name] = str(error)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What comes of reading each of the files, in a process that may not take more than a gigabyte for them all."""
    folder = tmp_path_factory.mktemp("studies")
    for kind, files in (("bomb", BOMBS), ("large", LARGE)):
        for name, (content, _) in files.items():
            data = content if isinstance(content, bytes) else content.encode()
            (folder / f"{kind} {name}.toml").write_bytes(data)
    done = subprocess.run([sys.executable, "-c", READING, folder], capture_output=True, text=True, check=True)
    return folder, json.loads(done.stdout)


@pytest.mark.parametrize("name", BOMBS)
def test_what_no_study_asks_for_is_refused_in_a_line(told, name):
    folder, found = told
    line, words = found[f"bomb {name}.toml"], BOMBS[name][1]
    assert isinstance(line, str)
    assert line.startswith(f"{folder}/bomb {name}.toml: ")
    assert words in line
    assert len(line) < len(str(folder)) + 400
    assert "\n" not in line


@pytest.mark.parametrize("name", LARGE)
def test_large_studies_are_read(told, name):
    assert told[1][f"large {name}.toml"] == LARGE[name][1]


COMMANDS = ("plan", "run", "status", "retry", "merge", "export", "report")
FILES = ("pipe", "device", "folder", "bomb")
ASKING = """
import contextlib, io, json, os, resource, sys
from mdvi.cli import main
import mdvi.study.execute, mdvi.study.plan, mdvi.report.page
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30),) * 2)
os.chdir(sys.argv[1])
found = {}
for file, *order in json.loads(sys.argv[2]):
    sys.argv = ["mdvi", "study", order[0], file, *order[1:]]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            main()
    except SystemExit as stop:
        found[f"{order[0]} {file}"] = [stop.code, said.getvalue()]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """What every command says of each of the files, in a process that may not take more than a gigabyte for them."""
    folder = tmp_path_factory.mktemp("asked")
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    (folder / "bomb").write_text(BOMBS["product"][0])
    (folder / "device").symlink_to("/dev/zero")
    orders = [(file, command, *(["x"] if command == "merge" else [])) for file in FILES for command in COMMANDS]
    done = subprocess.run(
        [sys.executable, "-c", ASKING, folder, json.dumps(orders)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("file", FILES)
def test_no_command_waits_for_a_file_or_is_filled_by_it(answered, command, file):
    code, said = answered[f"{command} {file}"]
    assert code == 2
    assert said.startswith(f"mdvi: {file}: ")
    assert said.count("\n") == 1
