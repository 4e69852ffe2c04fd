"""Numbered migrations: which exist, which are missing, and applying them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from lightmail.errors import StartupError
from lightmail.store.cursor import Cursor
from lightmail.store.faults import AlreadyThere


@dataclass(frozen=True, slots=True)
class Migration:
    """One file ``NNNN_name.sql``: `version` is NNNN, `statements` are run in order."""

    version: int
    name: str
    statements: tuple[str, ...]


def _directory(dialect: str) -> Traversable:
    """Where the migrations are: in the installed package, or in ``sql/`` of the checkout this file belongs to."""
    try:
        return resources.files("lightmail.sql") / dialect
    except ModuleNotFoundError:
        return Path(__file__).parents[2] / "sql" / dialect


def _statements(text: str) -> tuple[str, ...]:
    """The statements of a file: each ends with a semicolon at the end of a line; ``--`` lines are comments."""
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return tuple(statement.strip() for statement in code.split(";\n") if statement.strip(" \n;"))


def all_migrations(dialect: str) -> list[Migration]:
    """Every migration of a dialect, oldest first, numbered without a gap from 1."""
    files = sorted((f for f in _directory(dialect).iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    found = [Migration(int(f.name[:4]), f.name, _statements(f.read_text("utf-8") + "\n")) for f in files]
    if not found or [m.version for m in found] != list(range(1, len(found) + 1)):
        raise StartupError(f"The migrations for {dialect} are missing or misnumbered; reinstall lightmail.")
    return found


def latest_version(dialect: str) -> int:
    """The schema version that this release works with."""
    return all_migrations(dialect)[-1].version


def version_txn(cursor: Cursor) -> int:
    """The schema version of the database; the caller knows that the table `store` exists."""
    cursor.execute("SELECT schema_version FROM store WHERE id = 1")
    row = cursor.fetchone()
    return int(row[0]) if row else 0


def apply_txn(cursor: Cursor, dialect: str, store_exists: Callable[[Cursor], bool]) -> list[str]:
    """Apply what is missing; the names of the files applied. On MySQL DDL commits itself: every migration must be
    able to run again from its start."""
    version = version_txn(cursor) if store_exists(cursor) else 0
    migrations = all_migrations(dialect)
    check_version(version, len(migrations), migrating=True)
    applied = []
    for migration in migrations[version:]:
        for statement in migration.statements:
            with suppress(AlreadyThere):  # ALTER TABLE … ADD COLUMN IF NOT EXISTS is MariaDB's alone
                cursor.execute(statement)
        cursor.execute("UPDATE store SET schema_version = %s WHERE id = 1", (migration.version,))
        applied.append(migration.name)
    return applied


def check_version(version: int, ours: int, *, migrating: bool = False) -> None:
    """Raise StartupError unless the schema is ours (when migrating: ours or older)."""
    if version > ours:
        raise StartupError(
            f"The database has schema version {version}, this release knows {ours}: install a newer lightmail."
        )
    if version < ours and not migrating:
        raise StartupError(
            f"The database has schema version {version}, this release needs {ours}: run `lightmail migrate`."
        )
