"""Server processes, the sessions that they reported, and the wishes to end sessions.

Tables `processes`, `sessions` and `session_ends`. A process whose heartbeat is old is gone, and its sessions with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lightmail.model import AccountId
from lightmail.store.cursor import Cursor, Row, Statement
from lightmail.store.sqltext import NOW_US, padded, with_list, with_rows

# Without a heartbeat for so long a process is taken for dead.
DEAD_US: Final = 60_000_000

NOBODY: Final = AccountId(0)

_CLIENT_OCTETS: Final = 255
_HOSTNAME_OCTETS: Final = 255


@dataclass(frozen=True, slots=True)
class Process:
    """A server process: 16 random octets name it; `pid` on `hostname`, since `started_us`."""

    id: bytes
    hostname: str
    pid: int
    version: str
    started_us: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a process says of one of its sessions. `account` is NOBODY where none is logged in."""

    session: str
    account: AccountId
    protocol: str
    address: str
    secure: bool
    client: str
    opened_us: int


@dataclass(frozen=True, slots=True)
class Listed:
    """A session as it was reported: its row's id, the process by its host and pid, the account by its address."""

    id: int
    session: str
    hostname: str
    pid: int
    account: AccountId
    account_address: str
    protocol: str
    address: str
    secure: bool
    client: str
    opened_us: int


@dataclass(frozen=True, slots=True)
class Found:
    """Where a session is and whose: `domain` is 0, `subject` the client's address where no account is logged in."""

    process: bytes
    session: str
    account: AccountId
    domain: int
    subject: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which sessions are meant; None and empty for any. `domain` is an id."""

    domain: int | None = None
    account: AccountId | None = None
    protocol: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """A wish to end one session of `process`, or, where that is empty, all of `account`."""

    id: int
    process: bytes
    session: str
    account: AccountId


# --- processes ---


_BEAT: Final = f"UPDATE processes SET heartbeat_at = {NOW_US} WHERE id = %s"  # noqa: S608
_APPEAR: Final = (
    "INSERT INTO processes (id, hostname, pid, version, started_at, heartbeat_at)"  # noqa: S608
    f" VALUES (%s, %s, %s, %s, %s, {NOW_US})"
)
_SILENT: Final = f"SELECT id FROM processes WHERE heartbeat_at <= {NOW_US} - %s"  # noqa: S608
_BURY: Final = f"DELETE FROM processes WHERE id = %s AND heartbeat_at <= {NOW_US} - %s"  # noqa: S608
_LEAVE: Final = "DELETE FROM sessions WHERE process = %s"
_LIVING: Final = (
    "SELECT id, hostname, pid, version, started_at, heartbeat_at FROM processes"  # noqa: S608
    f" WHERE heartbeat_at > {NOW_US} - %s ORDER BY started_at, id"
)


def beat_txn(cursor: Cursor, process: Process) -> bool:
    """Note that the process lives; True when nobody knew of it (any more), so that its sessions are to be reported."""
    if cursor.execute(_BEAT, (process.id,)):
        return False
    hostname = process.hostname.encode("utf-8", "replace")[:_HOSTNAME_OCTETS]
    cursor.execute(_APPEAR, (process.id, hostname, process.pid, process.version.encode(), process.started_us))
    return True


def leave_txn(cursor: Cursor, process: bytes) -> None:
    """Forget a process that stops, and its sessions."""
    cursor.script([("DELETE FROM processes WHERE id = %s", (process,)), (_LEAVE, (process,))])


def bury_txn(cursor: Cursor) -> int:
    """Forget the processes that have been silent for too long, and their sessions; how many processes."""
    cursor.execute(_SILENT, (DEAD_US,))
    buried = 0
    for (process,) in cursor.fetchall():
        # It may have come back to life since; while its row is locked here it cannot.
        if cursor.execute(_BURY, (process, DEAD_US)):
            cursor.execute(_LEAVE, (process,))
            buried += 1
    return buried


def processes_txn(cursor: Cursor) -> list[tuple[Process, int]]:
    """The processes that live, each with its last heartbeat, the oldest process first."""
    cursor.execute(_LIVING, (DEAD_US,))
    return [
        (Process(bytes(row[0]), row[1].decode(), row[2], row[3].decode(), row[4]), row[5]) for row in cursor.fetchall()
    ]


# --- sessions ---

_DELETE: Final = "DELETE FROM sessions WHERE process = %s AND session IN ({list})"
_INSERT: Final = (
    "INSERT INTO sessions (process, session, account, protocol, address, secure, client, opened_at)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
)


def report_txn(cursor: Cursor, process: Process, opened: Sequence[Report], closed: Sequence[str]) -> bool:
    """Note sessions that are open, new or changed, and those that have ended; may be done twice.

    True when the process was forgotten meanwhile, so that what it reported earlier is gone.
    """
    forgotten = beat_txn(cursor, process)
    names = [*closed, *(report.session for report in opened)]
    statements: list[Statement] = []
    if names:
        listed = padded([name.encode() for name in names])
        statements.append((with_list(_DELETE, len(listed)), (process.id, *listed)))
    if opened:
        values = [value for report in opened for value in _values(process.id, report)]
        statements.append((with_rows(_INSERT, len(opened)), values))
    if statements:
        cursor.script(statements)
    return forgotten


def _values(process: bytes, report: Report) -> tuple[object, ...]:
    return (
        process,
        report.session.encode(),
        report.account,
        report.protocol.encode(),
        report.address.encode("ascii", "replace")[:64],
        int(report.secure),
        report.client.encode("utf-8", "replace")[:_CLIENT_OCTETS],
        report.opened_us,
    )


_COLUMNS: Final = (
    "s.id, s.session, p.hostname, p.pid, s.account, a.address, s.protocol, s.address, s.secure, s.client, s.opened_at"
)
_FROM: Final = (
    " FROM sessions s JOIN processes p ON p.id = s.process LEFT JOIN accounts a ON a.id = s.account"
    f" WHERE p.heartbeat_at > {NOW_US} - %s AND (%s OR a.domain = %s) AND (%s OR s.account = %s)"
    " AND (%s OR s.protocol = %s) AND (%s OR s.address = %s)"
)


def list_txn(cursor: Cursor, chosen: Chosen, before: int, limit: int, offset: int = 0) -> list[Listed]:
    """Sessions of processes that live whose row's id is below `before`, the newest first."""
    cursor.execute(
        f"SELECT {_COLUMNS}{_FROM} AND s.id < %s ORDER BY s.id DESC LIMIT %s OFFSET %s",
        (*_params(chosen), before, limit, offset),
    )
    return [_listed(row) for row in cursor.fetchall()]


def count_txn(cursor: Cursor, chosen: Chosen) -> int:
    """How many sessions `list_txn` would find."""
    cursor.execute(f"SELECT COUNT(*){_FROM}", _params(chosen))
    row = cursor.fetchone()
    return int(row[0]) if row else 0


_BY_PROTOCOL: Final = (
    "SELECT s.protocol, COUNT(*) FROM sessions s JOIN processes p ON p.id = s.process"  # noqa: S608
    f" WHERE p.heartbeat_at > {NOW_US} - %s GROUP BY s.protocol"
)


def by_protocol_txn(cursor: Cursor) -> dict[str, int]:
    """How many sessions the processes that live have, by protocol."""
    cursor.execute(_BY_PROTOCOL, (DEAD_US,))
    return {row[0].decode(): int(row[1]) for row in cursor.fetchall()}


def _params(chosen: Chosen) -> tuple[object, ...]:
    return (
        DEAD_US,
        *(chosen.domain is None, chosen.domain or 0),
        *(chosen.account is None, chosen.account or 0),
        *(not chosen.protocol, chosen.protocol.encode()),
        *(not chosen.address, chosen.address.encode("ascii", "replace")),
    )


def _listed(row: Row) -> Listed:
    return Listed(
        id=row[0],
        session=row[1].decode(),
        hostname=row[2].decode(),
        pid=row[3],
        account=AccountId(row[4]),
        account_address=(row[5] or b"").decode(),
        protocol=row[6].decode(),
        address=row[7].decode(),
        secure=bool(row[8]),
        client=row[9].decode("utf-8", "replace"),
        opened_us=row[10],
    )


def find_txn(cursor: Cursor, session: int) -> Found | None:
    """The session of that row."""
    cursor.execute(
        "SELECT s.process, s.session, s.account, COALESCE(a.domain, 0), COALESCE(a.address, s.address)"
        " FROM sessions s LEFT JOIN accounts a ON a.id = s.account WHERE s.id = %s",
        (session,),
    )
    row = cursor.fetchone()
    return Found(bytes(row[0]), row[1].decode(), AccountId(row[2]), row[3], row[4].decode()) if row else None


def owner_txn(cursor: Cursor, account: AccountId) -> tuple[int, str] | None:
    """The domain and the address of an account that is not deleted."""
    cursor.execute("SELECT domain, address FROM accounts WHERE id = %s AND deleted_at = 0", (account,))
    row = cursor.fetchone()
    return (int(row[0]), row[1].decode()) if row else None


# --- ends ---

_END: Final = f"INSERT INTO session_ends (process, session, account, requested_at) VALUES (%s, %s, %s, {NOW_US})"  # noqa: S608


def end_session_statement(process: bytes, session: str) -> Statement:
    """The statement that asks the process to end one of its sessions."""
    return _END, (process, session.encode(), NOBODY)


def end_account_statement(account: AccountId) -> Statement:
    """The statement that asks all processes to end every session of the account.

    It belongs into the transaction that takes its right to be logged in: sessions whose login read the account before
    that transaction's COMMIT are ended, even those that are not reported yet.
    """
    return _END, (b"", b"", account)


def ends_txn(cursor: Cursor, since_us: int | None, overlap_us: int) -> tuple[int, list[End]]:
    """The database's clock, and the wishes since `since_us` of the same clock (None: since now), less `overlap_us`.

    A wish becomes visible when its transaction ends, later ones perhaps before it: so a reader goes back by as long as
    a transaction may take, and skips what it knows.
    """
    if since_us is None:
        cursor.execute(f"SELECT {NOW_US}")
        row = cursor.fetchone()
        since_us = int(row[0]) if row else 0
    now, ends = cursor.script(
        [
            (f"SELECT {NOW_US}", ()),
            (
                "SELECT id, process, session, account FROM session_ends WHERE requested_at >= %s",
                (since_us - overlap_us,),
            ),
        ]
    )
    return int(now.rows[0][0]), [End(row[0], bytes(row[1]), row[2].decode(), AccountId(row[3])) for row in ends.rows]
