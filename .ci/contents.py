"""Whether the sdist and the wheel in a folder hold what git holds, byte for byte, and nothing else.

Usage: python .ci/contents.py dist
"""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path


def main(folder: Path) -> int:
    """Say what differs; the exit code is 1 where anything does."""
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    tracked = {name: Path(name).read_bytes() for name in listed.split("\0") if name}
    with tarfile.open(sdist) as archive:
        found = {m.name.partition("/")[2]: archive.extractfile(m).read() for m in archive if m.isfile()}
    found.pop("PKG-INFO")
    wrong = [f"{sdist.name}: {line}" for line in differences(tracked, found)]
    with zipfile.ZipFile(wheel) as archive:
        found = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {installed(name): data for name, data in tracked.items() if installed(name)}
    wrong += [f"{wheel.name}: {line}" for line in differences(wanted, found)]
    right = f"{sdist.name} and {wheel.name} hold what git holds: {len(tracked)} and {len(wanted)} files"
    print("\n".join(wrong) or right)
    return bool(wrong)


def installed(name: str) -> str | None:
    """Where a tracked file lies in the wheel; None where it does not."""
    if name.startswith("src/"):
        return name.removeprefix("src/")
    return f"mdvi/share/{name}" if name == "checker.py" or name.startswith("studies/") else None


def differences(wanted: dict[str, bytes], found: dict[str, bytes]) -> list[str]:
    """One line for each file that is missing, that should not be there, or that has other content."""
    lines = [f"lacks {name}" for name in sorted(wanted.keys() - found.keys())]
    lines += [f"should not hold {name}" for name in sorted(found.keys() - wanted.keys())]
    return lines + [f"{name} differs" for name in sorted(wanted) if name in found and wanted[name] != found[name]]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
