"""Copies of a database as an operator makes them: taken while it serves, and put back under whoever uses it."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from lightmail.config import DatabaseConfig


def back_up(config: DatabaseConfig, to: Path) -> None:
    """Write a copy of the database to the file `to`."""
    if config.driver == "sqlite":
        with closing(sqlite3.connect(config.path)) as live, closing(sqlite3.connect(to)) as copy:
            live.backup(copy)
        return
    with to.open("wb") as file:
        _run(["mysqldump", *_login(config), "--single-transaction", "--hex-blob", config.database], stdout=file)


def restore(config: DatabaseConfig, copy: Path) -> None:
    """Make the database what it was in the file `copy`, whatever it is now."""
    if config.driver == "sqlite":
        with closing(sqlite3.connect(copy)) as source, closing(sqlite3.connect(config.path)) as live:
            source.backup(live)
        return
    with copy.open("rb") as file:
        _run(["mysql", *_login(config), config.database], stdin=file)


def _login(config: DatabaseConfig) -> list[str]:
    place = [f"--socket={config.socket}"] if config.socket else [f"--host={config.host}", f"--port={config.port}"]
    return ["--no-defaults", *place, f"--user={config.user}", f"--password={config.password}"]


def _run(command: list[str], **streams: object) -> None:
    done = subprocess.run(command, stderr=subprocess.PIPE, check=False, **streams)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
