"""The provenance of a result: versions, commit, machine, time."""

import datetime
import functools
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path


def provenance(command: str, seconds: float) -> dict[str, str]:
    """The facts that a reader needs to repeat a result and to know its cost."""
    import jax

    device = jax.devices()[0]
    return {
        "command": command,
        "finished": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "took": f"{seconds:.1f} s",
        "mdvi": f"{version('mdvi')} (commit {found})" if (found := commit()) else version("mdvi"),
        "python": platform.python_version(),
        "jax": version("jax"),
        "numpy": version("numpy"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {_processor()}, {platform.system()}",
        "device": f"{device.platform}: {device.device_kind}",
    }


@functools.cache
def commit() -> str:
    """The commit of a source checkout, marked if there are local changes; "" for an installed package."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        if not git("ls-files", "--", __file__):
            return ""
        changed = " with local changes" if git("status", "--porcelain") else ""
        return f"{git('rev-parse', '--short=12', 'HEAD')}{changed}"
    except (OSError, subprocess.SubprocessError):
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"
