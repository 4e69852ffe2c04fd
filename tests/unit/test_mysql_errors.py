"""What PyMySQL's errors mean to a transaction."""

from __future__ import annotations

import pymysql
import pytest

from lightmail.errors import Unavailable
from lightmail.store.faults import Conflict, DuplicateKey, LostLink
from lightmail.store.mysql_link import translated


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (pymysql.err.IntegrityError(1062, "Duplicate entry"), DuplicateKey),
        (pymysql.err.OperationalError(1213, "Deadlock found"), Conflict),
        (pymysql.err.OperationalError(1467, "Failed to read auto-increment value"), Conflict),
        (pymysql.err.OperationalError(1205, "Lock wait timeout exceeded"), Conflict),
        (pymysql.err.OperationalError(2013, "Lost connection"), LostLink),
        (pymysql.err.InternalError("Packet sequence number wrong - got 18 expected 1"), LostLink),
        (pymysql.err.OperationalError(1290, "running with the --read-only option"), Unavailable),
        (pymysql.err.ProgrammingError(1064, "You have an error in your SQL syntax"), pymysql.err.ProgrammingError),
        (pymysql.err.InterfaceError("no code at all"), pymysql.err.InterfaceError),
    ],
)
def test_what_an_error_means(error: pymysql.err.Error, meaning: type[Exception]) -> None:
    assert type(translated(error)) is meaning
