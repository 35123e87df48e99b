"""Faults: whatever call on a file fails, or is the last one, the same command ends as if nothing had happened."""

import shutil
from collections import Counter

import pytest

from faults import DEATHS, ERRORS, SCENARIOS, Result, rows, shim

WRONG = Result._fields[:4]
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler, cc, to build tests/faults.c")


def judge(found):
    """Print how many faults there were at each kind of call, and fail with the first of those that ended badly."""
    calls = {row["scenario"]: row["calls"] for row in found if "calls" in row}
    found = [row for row in found if "calls" not in row]
    for scenario, numbers in calls.items():
        for kind in ("none", *numbers):
            here = [row for row in found if (row["scenario"], row["kind"]) == (scenario, kind)]
            each = Counter(row["what"] for row in here)
            wrong = ", ".join(f"{sum(bool(row[name]) for row in here)} {name}" for name in WRONG)
            if here:
                print(f"{scenario}; {numbers.get(kind, 1)} {kind}; {dict(each)}; wrong: {wrong}")
    bad = [row for row in found if any(row[name] for name in WRONG)]
    print(f"in all {len(found)} points, wrong: {len(bad)}")
    assert not bad, "\n".join(map(str, bad[:20]))
    return found


@needs_compiler
@pytest.mark.timeout(1200)
def test_a_sample_of_all_faults(tmp_path):
    found = judge(list(rows(tmp_path, shim(tmp_path), [], sample=60)))
    assert {row["scenario"] for row in found} == set(SCENARIOS)
    assert len(found) >= 60 + len(SCENARIOS)


@needs_compiler
@pytest.mark.faults
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_fault(tmp_path, scenario):
    found = judge(list(rows(tmp_path, shim(tmp_path), [scenario], sample=None)))
    assert {row["what"] for row in found} >= {*ERRORS, *DEATHS}
