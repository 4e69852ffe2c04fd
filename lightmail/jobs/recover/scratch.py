"""What a recovery knows meanwhile: a SQLite file of its own, so that memory stays small however much mail there is.

Blocking, for one thread. Nothing in it outlives the recovery.
"""

from __future__ import annotations

import sqlite3
import tempfile
from typing import Final

_TABLES: Final = """
CREATE TABLE account (
    uuid BLOB PRIMARY KEY, epoch INTEGER, meta_seq INTEGER, address TEXT, domain TEXT, deleted_at INTEGER, record TEXT
);
CREATE TABLE domain (directory TEXT, name TEXT, created_at INTEGER, accounts INTEGER, PRIMARY KEY (directory, name));
CREATE TABLE alias (directory TEXT, address TEXT, target TEXT, PRIMARY KEY (directory, address, target));
CREATE TABLE mailbox (
    number INTEGER PRIMARY KEY, owner BLOB, id INTEGER, epoch INTEGER, modseq INTEGER, deleted_at INTEGER, record TEXT,
    whole_epoch INTEGER DEFAULT 0, whole_modseq INTEGER DEFAULT 0, whole_since INTEGER, UNIQUE (owner, id)
);
CREATE TABLE message (
    mailbox INTEGER, uid INTEGER, epoch INTEGER, modseq INTEGER, pull INTEGER, flags INTEGER, internaldate_us INTEGER,
    saved_us INTEGER, octets INTEGER, deleted_at INTEGER, fate INTEGER, object_key TEXT, PRIMARY KEY (mailbox, uid)
) WITHOUT ROWID;
CREATE TABLE object (object_key TEXT PRIMARY KEY, born_us INTEGER, id INTEGER) WITHOUT ROWID;
CREATE TABLE arrival (
    owner BLOB, mailbox INTEGER, object_key TEXT, born_us INTEGER, internaldate_us INTEGER, octets INTEGER,
    withheld INTEGER
);
"""
# Made when the journal has been read: it costs less at once.
_INDEXES: Final = """
CREATE INDEX IF NOT EXISTS message_key ON message (object_key);
CREATE INDEX IF NOT EXISTS arrival_place ON arrival (owner, mailbox, born_us, object_key);
"""


class Scratch:
    """The file and the connection to it. `directory` is where temporary files go; None means the system's own."""

    def __init__(self, directory: str | None) -> None:
        self._file = tempfile.NamedTemporaryFile(prefix="lightmail-recover-", suffix=".sqlite", dir=directory)  # noqa: SIM115
        self.rows = sqlite3.connect(self._file.name, isolation_level=None, check_same_thread=False)
        # Lost with the process anyway.
        self.rows.execute("PRAGMA journal_mode = OFF")
        self.rows.execute("PRAGMA synchronous = OFF")
        self.rows.execute("PRAGMA cache_size = -64000")
        self.rows.executescript(_TABLES)

    def index(self) -> None:
        """Make the indexes, once the journal has been read."""
        self.rows.executescript(_INDEXES)

    def count(self, sql: str, *params: object) -> int:
        """One number that a statement returns."""
        return int(self.rows.execute(sql, params).fetchone()[0])

    def close(self) -> None:
        """Remove the file."""
        self.rows.close()
        self._file.close()
