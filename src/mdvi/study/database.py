"""The database of a study as a file: created atomically, checked before it is opened, with a checksum in every row.

The file may be damaged, or may come from an untrusted source. Therefore the file and its logs are checked before SQLite
opens them, the schema must be exactly the schema of mdvi before any query, and SQLite checks all pages. Every row has a
checksum, which is compared whenever the row is read.
"""

import contextlib
import os
import re
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mdvi import input, output
from mdvi.report.export import COLUMNS, CURVE

TABLES = {
    "runs": (*COLUMNS, "cell_id", "version", "git_commit", "device", "trace", "lines"),
    "curves": CURVE,
    "figure1": ("figure_id", "content"),
}  # the columns of each table that its checksums cover; the first column is the key
REMEDY = "restore a copy of the file, or remove it and run the study again"
_APPLICATION = 0x6D647669  # "mdvi" as a number
_STEPS = (  # the upgrade of the tables from each version to the next
    """CREATE TABLE runs (
    run_id TEXT PRIMARY KEY, cell_id TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL, env TEXT NOT NULL,
    agent TEXT NOT NULL, evaluation TEXT NOT NULL, kl REAL, entropy REAL, beta REAL, learning_rate REAL,
    seed INTEGER NOT NULL, score_mean_training REAL, score_last100 REAL, env_steps INTEGER, episodes INTEGER,
    seconds REAL NOT NULL, version TEXT, device TEXT, trace TEXT NOT NULL
) STRICT;
CREATE TABLE curves (
    run_id TEXT NOT NULL REFERENCES runs, env_steps INTEGER NOT NULL, episodes INTEGER NOT NULL, episode_return REAL,
    last_100 REAL, PRIMARY KEY (run_id, env_steps)
) STRICT, WITHOUT ROWID""",
    "ALTER TABLE runs ADD COLUMN git_commit TEXT",
    "CREATE TABLE figure1 (figure_id TEXT PRIMARY KEY, content TEXT NOT NULL) STRICT",
    """ALTER TABLE runs ADD COLUMN lines INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE curves ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE figure1 ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
UPDATE runs SET lines = (SELECT count(*) FROM curves WHERE curves.run_id = runs.run_id)""",
)
_LATEST = len(_STEPS)
_LONGEST = 1 << 26  # the largest number of bytes of a text, and of a row
_SUPER_JOURNAL = bytes.fromhex("d9d505f920a163d7")  # the end of a journal that names another file
_WAL = b"\2\2"  # bytes 18 and 19 of the header: changes are written to a log next to the file


def connect(path: Path, reading: bool = False) -> sqlite3.Connection:
    """Connect to the database at a path: create it if missing, check its schema and its pages, and upgrade it.

    A file that cannot be written is opened for reading.

    Args:
        path: the path of the file.
        reading: whether the connection only reads, apart from an upgrade.

    Raises:
        ValueError: if the file is not a database of mdvi, if it is damaged or was written by a later version, or if it
            was written by an earlier version and is read-only.
        sqlite3.Error: if SQLite cannot create, open or read the file.
    """
    if input.kind(path, links=False) is None:
        _make(path)
    _check_files(path)
    writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    base = sqlite3.connect(_uri(path, writable), uri=True, timeout=60.0, isolation_level=None)
    try:
        _prepare(base)
        with transaction(base, "DEFERRED"):
            version = _check(base, path)
        if version < _LATEST and not writable:
            raise ValueError(
                f"{path}: was written by an earlier version of mdvi and is read-only; "
                "copy it to a writable folder to upgrade it"
            )
        if version < _LATEST:
            with transaction(base):
                _bring_up(base, _check(base, path))  # another process may have been faster
        if writable:
            base.execute("PRAGMA journal_mode = WAL")
        if writable and not reading:
            output.sweep(path.parent, output.mark_of(path))  # files of a process that crashed while creating a database
        if reading:
            base.execute("PRAGMA query_only = ON")
    except BaseException:
        base.close()
        raise
    return base


def checksum(*values: Any) -> int:
    """The checksum of the values of a row."""
    return zlib.crc32(repr(values).encode())


def seal(base: sqlite3.Connection, table: str, keys: Sequence[str] | None = None) -> None:
    """Update the checksums of rows: of the rows whose first column is in `keys`, or of all rows."""
    command = f"UPDATE {table} SET checksum = checksum({', '.join(TABLES[table])})"
    if keys is None:
        base.execute(command)
    else:
        base.executemany(f"{command} WHERE {TABLES[table][0]} = ?", [(key,) for key in keys])


@contextlib.contextmanager
def transaction(base: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """Commit all changes of the block, or none."""
    base.execute(f"BEGIN {kind}")
    try:
        yield
        base.execute("COMMIT")
    except BaseException:
        if base.in_transaction:  # SQLite ends the transaction by itself if the disk is full
            base.execute("ROLLBACK")
        raise


def _make(path: Path) -> None:
    """Create a database without rows atomically; if another process was faster, its file stays."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as base:
        _prepare(base)
        _bring_up(base, 0)
        data = bytearray(base.serialize())
    data[18:20] = _WAL
    with contextlib.suppress(FileExistsError):
        output.write(path, bytes(data), links=False, new=True)


def _check_files(path: Path) -> None:
    """Check that the database and its logs are regular files, which SQLite can open without side effects."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        place = path.with_name(path.name + suffix)
        found = input.kind(place, links=False)
        if found not in ("a file", None):
            raise ValueError(f"{place}: expected a file, found {found}; remove it, or use another folder")
        size = place.lstat().st_size if found else 0
        if not suffix and size == 0:
            raise ValueError(f"{place}: expected a database, found an empty file; {REMEDY}")
        if suffix == "-journal" and size >= len(_SUPER_JOURNAL):
            with place.open("rb") as file:
                file.seek(-len(_SUPER_JOURNAL), os.SEEK_END)
                if file.read() == _SUPER_JOURNAL:  # SQLite would remove the file that the journal names
                    raise ValueError(f"{place}: this journal names another file, so mdvi did not write it; remove it")


def _prepare(base: sqlite3.Connection) -> None:
    """Set the options of a connection, which a file cannot change."""
    base.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
    base.create_function("checksum", -1, checksum, deterministic=True)
    for setting in ("trusted_schema = OFF", "cell_size_check = ON", "synchronous = FULL", "foreign_keys = ON"):
        base.execute(f"PRAGMA {setting}")


def _check(base: sqlite3.Connection, path: Path) -> int:
    """The version of the tables, after a check that the schema matches the version and that all pages are sound.

    The schema is checked first, because a manipulated schema can make any query execute foreign code.
    """
    kind, version = (base.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    if kind != _APPLICATION:
        raise ValueError(f"{path}: is a database of another program; use another folder")
    if version > _LATEST:
        raise ValueError(f"{path}: was written by a later version of mdvi; update mdvi")
    expected, found = _schema_of(version), _schema(base)
    if found != expected:
        odd = sorted(f"{kind} {name}" for kind, name, *_ in found ^ expected)
        raise ValueError(f"{path}: its schema differs from mdvi's ({odd[0][:60]}); {REMEDY}")
    damage = base.execute("PRAGMA integrity_check(1)").fetchone()[0]
    code = int(next(iter(re.findall(r"error code=(\d+)", damage)), "0"))
    if code & 0xFF == sqlite3.SQLITE_IOERR and code != sqlite3.SQLITE_IOERR_SHORT_READ:
        raise sqlite3.OperationalError("disk I/O error")  # a failure of the machine, not damage of the file
    if damage != "ok":
        raise ValueError(f"{path}: is damaged ({' '.join(damage.split())[:200]}); {REMEDY}")
    return int(version)


def _schema(base: sqlite3.Connection) -> set[tuple[str, ...]]:
    """All entries of a schema, with normalised white space."""
    found = base.execute("SELECT type, name, tbl_name, sql FROM sqlite_master LIMIT 100")
    return {tuple(" ".join(str(part).split()) for part in row) for row in found}


@cache
def _schema_of(version: int) -> set[tuple[str, ...]]:
    """The schema of a version."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as base:
        for commands in _STEPS[:version]:
            base.executescript(commands)
        return _schema(base)


def _bring_up(base: sqlite3.Connection, version: int) -> None:
    """Upgrade the tables from a version to the latest."""
    for commands in _STEPS[version:]:
        for command in commands.split(";"):
            base.execute(command)
    if version < _LATEST:
        for table in TABLES:
            seal(base, table)
    base.execute(f"PRAGMA application_id = {_APPLICATION}")
    base.execute(f"PRAGMA user_version = {_LATEST}")


def _uri(path: Path, writable: bool) -> str:
    """The URI of the file for SQLite; a read-only file is immutable, unless another process writes its log."""
    if writable:
        return f"{path.absolute().as_uri()}?mode=rw"
    quiet = not path.with_name(f"{path.name}-wal").exists()
    return f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if quiet else ''}"
