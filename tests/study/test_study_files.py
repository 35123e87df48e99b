"""Files of studies from strangers: whatever they ask for, they are read at once, or refused in a line."""

import os
import resource
import time

import pytest

from mdvi.study.spec import read

HEAD = 'title = "t"\nenv = "CartPole-v1"\nsteps = 10\n'
GRID = '[[grid]]\nagent = "dqn"\n'
AGENT = '[[grid]]\nagent = "md-direct"\n'


def numbers(count):
    return ",".join(str(i / 100) for i in range(1, count + 1))


RUNS, DEEP, PARTS = "and a study has 100000 at most", "is nested too deeply", "a key has more than 16 parts"
BOMBS = {
    "seeds": (f"{HEAD}seeds = 1000000000\n{GRID}", RUNS),
    "one seed too many": (f"{HEAD}seeds = 100001\n{GRID}", RUNS),
    "seeds of four thousand digits": (f"{HEAD}seeds = {'9' * 4000}\n{GRID}", "seed: expected all in 0…2³² − 1"),
    "seeds of five thousand digits": (f"{HEAD}seeds = {'9' * 5000}\n{GRID}", "Exceeds the limit"),
    "hexadecimal seeds": (f"{HEAD}seeds = 0x{'f' * 200000}\n{GRID}", "seed: expected all in 0…2³² − 1"),
    "hexadecimal steps": (
        f"title = 't'\nenv = 'a'\nsteps = 0x{'f' * 200000}\n{GRID}",
        "steps: input should be less than",
    ),
    "hexadecimal Garnets": (f"{HEAD}[figure1]\ngarnets = 0x{'f' * 200000}\n", "figure1.garnets: input should be less"),
    "product": (f"{HEAD}{AGENT}seeds = 1000\nkl = [{numbers(299)}]\nentropy = [{numbers(299)}]\n", RUNS),
    "sum": (f"{HEAD}seeds = 40000\n{GRID}{GRID}{GRID}", RUNS),
    "cells": (
        f"{HEAD}{AGENT}kl = [{numbers(101)}]\nentropy = [{numbers(100)}]\n",
        "10100 cells, and a study has",
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


@pytest.fixture
def bounded():
    """Memory and processor time within which a file is read: an error, or an end, where they do not suffice."""
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    before = {kind: resource.getrlimit(kind) for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU)}
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), before[resource.RLIMIT_AS][1]))
    seconds = int(time.process_time()) + 20
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, before[resource.RLIMIT_CPU][1]))
    yield
    for kind, limits in before.items():
        resource.setrlimit(kind, limits)


@pytest.mark.parametrize("name", BOMBS)
def test_what_no_study_asks_for_is_refused_in_a_line(tmp_path, bounded, name):
    content, words = BOMBS[name]
    (tmp_path / "bomb.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError) as caught:
        read(tmp_path / "bomb.toml")
    assert str(caught.value).startswith(f"{tmp_path}/bomb.toml: ")
    assert words in str(caught.value)
    assert len(str(caught.value)) < len(str(tmp_path)) + 400
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (f"{HEAD}seeds = 100000\n{GRID}", 100_000),
        (f"{HEAD}about = '{'a.b ' * 100}{'x' * 900000}'\n{GRID}", 1),
        (f"{HEAD}{GRID}settings = {{ hidden = [4], a.b.c.d.e.f = 1 }}\n", 1),
        (f"{HEAD}seeds = 100\n{AGENT}kl = [{numbers(20)}]\nentropy = [{numbers(20)}]\n", 40_000),
        (f"{HEAD}{GRID * 10000}", 1),
    ],
    ids=["seeds", "about", "settings", "grid", "grids"],
)
def test_large_studies_are_read(tmp_path, bounded, text, count):
    (tmp_path / "large.toml").write_text(text)
    assert len(read(tmp_path / "large.toml").runs) == count


@pytest.mark.parametrize("command", ["plan", "run", "status", "retry", "merge", "export", "report"])
@pytest.mark.parametrize("make", ["pipe", "device", "folder", "bomb"])
def test_no_command_waits_for_a_file_or_is_filled_by_it(monkeypatch, capsys, tmp_path, bounded, command, make):
    from mdvi.cli import main

    file = tmp_path / "study.toml"
    if make == "pipe":
        os.mkfifo(file)
    elif make == "folder":
        file.mkdir()
    elif make == "bomb":
        file.write_text(BOMBS["product"][0])
    else:
        file = "/dev/zero"
    monkeypatch.setattr("sys.argv", ["mdvi", "study", command, str(file), *(["x"] if command == "merge" else [])])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"mdvi: {file}: ")
    assert said.count("\n") == 1
