"""Broken files of every format: each is a model or is refused by a `FormatError`; nothing else ever happens.

`make fuzz` tries a million per format; MDVI_FUZZ sets the number that every run of the suite tries. No input may take
more than two seconds of processor time, nor the whole run 200 MB more memory than before it.
"""

import io
import os
import re
import resource
import time
import zipfile

import numpy as np
import pytest

from mdvi.mdp import FORMATS, FiniteMDP, FormatError
from mdvi.mdp.formats.arrays import load, names, save
from model_files import GOLDEN, random_model, read_bytes, written

INPUTS = int(os.environ.get("MDVI_FUZZ", "2500"))
LONGEST, MOST_MEMORY = 2.0, 200_000  # seconds of processor time; kB
WORDS = """nan inf -inf 0 -0 1 -1 2 1/3 1/0 0.5 1e-9 1e308 1e999 9999999999 99999999999999999999 0x1 1_0 ١ * : , # @
[ ] { } " a0 a1 a99999999 uniform identity terminal deadlock state action T R O states actions discount values cost
true false null MDP DTMC @model @parameters @nr_states // - . e é"""
TOKENS = (*WORDS.split(), " ", "\t", "\n", "\r", "\0", "\ufeff")
DTYPES = ("<f8", ">f8", "<f4", "<f2", "<i8", "<i4", ">i4", "<u8", "|i1", "|b1", "<f16", "<c16", "<U2")


def draw(rng, items):
    return items[int(rng.integers(len(items)))]


def mutate_bytes(rng, data):
    """A few bytes changed, cut out, doubled or put in."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        i, j = sorted(rng.integers(0, len(data) + 1, 2).tolist())
        j = min(j, i + int(rng.choice([1, 8, 64])))
        kind = rng.integers(4)
        if kind == 0 and i < len(data):
            data[i] = int(rng.integers(256))
        elif kind == 1:
            del data[i:j]
        elif kind == 2:
            data[i:i] = data[i:j]
        else:
            data[i:i] = rng.integers(0, 256, rng.integers(1, 4), np.uint8).tobytes()
    return bytes(data)


def mutate_tokens(rng, data):
    """Words or lines of the grammar replaced, left out, doubled or exchanged."""
    text = data.decode("utf-8", "replace")
    parts = re.split(r"(\n)" if rng.random() < 0.4 else r"([\s,:\[\]{}]+)", text)
    for _ in range(rng.integers(1, 4)):
        i, j = rng.integers(len(parts), size=2)
        kind = rng.integers(4)
        if kind == 0:
            parts[i] = draw(rng, TOKENS)
        elif kind == 1:
            parts[i] = ""
        elif kind == 2:
            parts.insert(int(j), f"{parts[i]}{draw(rng, (' ', chr(10), ','))}")
        else:
            parts[i], parts[j] = parts[j], parts[i]
    return "".join(parts).encode()


def mutate_arrays(rng, data):
    """Arrays with other values, types, shapes or names, or headers that lie, in an archive that is whole."""
    arrays = load(data, tuple(names(data)))
    name = draw(rng, sorted(arrays))
    array = np.array(arrays[name])
    kind = rng.integers(6)
    if kind == 0 and array.size:
        place = rng.integers(array.size)
        with np.errstate(all="ignore"):
            bad = draw(rng, (-1, 2, 0, 0.5, 1e308, np.nan, np.inf, -np.inf, 2**40))
            array.flat[place] = bad if array.dtype.kind == "f" else int(np.clip(np.nan_to_num(bad), -9, 2**31 - 1))
    elif kind == 1:
        with np.errstate(all="ignore"):
            array = array.astype(float).clip(-100, 100).astype(draw(rng, DTYPES))
    elif kind == 2:
        array = draw(rng, (array[..., None], array.ravel(), array.ravel()[:0], array.T, np.append(array, array)))
    elif kind == 3:
        arrays[draw(rng, ("P", "R", "terminal", "indptr", "legal", "substochastic", "x"))] = array
    elif kind == 4:
        del arrays[name]
        return save(arrays)
    arrays[name] = array
    packed = save(arrays)
    if kind < 5:
        return packed
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(packed)) as old, zipfile.ZipFile(stream, "w") as new:
        for member in old.namelist():
            content = old.read(member)
            new.writestr(member, mutate_bytes(rng, content[:128]) + content[128:] if name in member else content)
    return stream.getvalue()


def seeds(name):
    rng = np.random.default_rng(11)
    return [GOLDEN[name], *(written(random_model(rng, 4), name) for _ in range(20))]


def outcome(files, name, discount):
    """Whether the files are a model; anything but that or a refusal prints them and fails."""
    try:
        read = read_bytes(files, name, discount)
    except FormatError as refusal:
        lines = str(refusal).count("\n") + 1
    except BaseException:
        print(f"read_bytes({files!r}, {name!r}, {discount!r})")
        raise
    else:
        assert isinstance(read.model, FiniteMDP)
        assert np.isfinite(read.model.reward).all()
        return True
    assert lines == 1
    return False


def peak():
    """The most memory that this process has ever had, in kB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def fuzz(name, inputs):
    rng = np.random.default_rng([ord(letter) for letter in name])
    known, valid, longest, before = seeds(name), 0, 0.0, peak()
    for _ in range(inputs):
        files = dict(draw(rng, known))
        suffix = draw(rng, list(files))
        mutations = [mutate_bytes, mutate_arrays if suffix == ".npz" else mutate_tokens]
        files[suffix] = mutations[int(rng.random() < 0.7)](rng, files[suffix])
        begun = time.process_time()
        valid += outcome(files, name, 0.9 if rng.random() < 0.9 else None)
        longest = max(longest, time.process_time() - begun)
    grown = peak() - before
    print(f"{name}: {inputs} inputs, {valid} of them models; the slowest took {longest:.2f} s, memory grew {grown} kB")
    assert longest < LONGEST
    assert grown < MOST_MEMORY


@pytest.mark.parametrize("name", FORMATS)
def test_broken_files_are_refused_or_are_models(name):
    fuzz(name, INPUTS)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", FORMATS)
def test_a_million_broken_files(name):
    fuzz(name, 10**6)
