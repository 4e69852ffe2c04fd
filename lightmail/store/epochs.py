"""Whether this database is the one that the bucket knows, and what follows where it is not.

The row of `collection` says who the database is and how far the collector came; `meta/epoch` in the bucket holds a copy
of it (`lightmail.jobs.epochs` compares them). Where they disagree `store.epoch` rises. Each mailbox carries the epoch
of its counters: whoever first reads or locks one of an older epoch gets `OlderEpoch`, and has it jump
(`mailboxes.jump_txn`) over all UIDs and MODSEQs that sessions may have seen of a tail that the database has lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Concatenate, Final, ParamSpec, TypeVar

from lightmail.model import MailboxId
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database
from lightmail.store.faults import OlderEpoch
from lightmail.store.mailboxes import JUMP, jump_txn
from lightmail.store.sqltext import NOW_US

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Mark:
    """Who a database is and how far its collector came, as the row and `meta/epoch` say it.

    `lineage` is random (16 octets; empty before the first look at the bucket): copies of a database share it until one
    of them finds that it is a copy. `high_water_us` is the moment of the last pass, ascending whatever clocks do.
    """

    lineage: bytes
    epoch: int
    passes: int
    high_water_us: int


@dataclass(frozen=True, slots=True)
class Collection:
    """The row of `collection`. `store_epoch` follows `mark.epoch` once the bucket has it; `frozen_at` 0: not frozen."""

    mark: Mark
    store_epoch: int
    frozen_at: int
    frozen_reason: str


_READ: Final = (
    "SELECT c.lineage, c.epoch, c.passes, c.high_water_us, s.epoch, c.frozen_at, c.frozen_reason"
    " FROM collection c, store s WHERE c.id = 1 AND s.id = 1"
)


def read_txn(cursor: Cursor) -> Collection:
    """The row as it stands."""
    cursor.execute(_READ)
    row = cursor.fetchone()
    if row is None:
        raise LookupError("the table collection has lost its row")
    return Collection(Mark(bytes(row[0]), row[1], row[2], row[3]), row[4], row[5], bytes(row[6]).decode())


_ADOPT: Final = (
    "UPDATE collection SET lineage = %s, epoch = (SELECT epoch FROM store WHERE id = 1) WHERE id = 1 AND lineage = %s"
)


def adopt_txn(cursor: Cursor, lineage: bytes) -> None:
    """Give a database that has none its lineage."""
    cursor.execute(_ADOPT, (lineage, b""))


# high_water_us ascends whatever the clock does: it tells two passes of the same number apart.
_ADVANCE: Final = (
    f"UPDATE collection SET passes = passes + 1, high_water_us = CASE WHEN high_water_us < {NOW_US}"  # noqa: S608
    f" THEN {NOW_US} ELSE high_water_us + 1 END WHERE id = 1 AND lineage = %s AND passes = %s"
)


def advance_txn(cursor: Cursor, seen: Mark) -> bool:
    """Begin the pass after `seen`; False when the row is no longer at it."""
    return cursor.execute(_ADVANCE, (seen.lineage, seen.passes)) == 1


_CLAIM: Final = (
    "UPDATE collection SET lineage = %s, epoch = %s, passes = %s, high_water_us = %s"
    " WHERE id = 1 AND lineage = %s AND passes = %s"
)


def claim_txn(cursor: Cursor, seen: Mark, claim: Mark, reason: str) -> bool:
    """Freeze collection and make the row `claim`, which the bucket gets next; False when it is no longer at `seen`."""
    taken = cursor.execute(
        _CLAIM,
        (claim.lineage, claim.epoch, claim.passes, claim.high_water_us, seen.lineage, seen.passes),
    )
    if taken:
        freeze_txn(cursor, reason)
    return taken == 1


_FREEZE: Final = f"UPDATE collection SET frozen_at = {NOW_US}, frozen_reason = %s WHERE id = 1"  # noqa: S608


def freeze_txn(cursor: Cursor, reason: str) -> None:
    """Collect nothing from now on, for a `reason` of at most 1,000 octets, until an operator unfreezes."""
    cursor.execute(_FREEZE, (reason.encode(),))


def unfreeze_txn(cursor: Cursor, seen: Mark) -> bool:
    """Let the collector work again; False when the row is no longer at `seen`."""
    return (
        cursor.execute(
            "UPDATE collection SET frozen_at = 0, frozen_reason = %s WHERE id = 1 AND lineage = %s AND passes = %s",
            (b"", seen.lineage, seen.passes),
        )
        == 1
    )


def behind_txn(cursor: Cursor, mailbox: MailboxId, modseq: int) -> bool:
    """Whether a mailbox is below a MODSEQ that was read of it once, and no risen epoch has taken note of that yet.

    It is locked, so the answer is the first copy's of a replicated database, not one that lags behind.
    """
    cursor.execute(
        "SELECT highest_modseq FROM mailboxes WHERE id = %s"
        " AND epoch = (SELECT epoch FROM store WHERE id = 1) FOR UPDATE",
        (mailbox,),
    )
    row = cursor.fetchone()
    return row is not None and row[0] < modseq


# Ids name rows in caches and in what sessions remember: those of a lost tail must not come back either. A row inserted
# above them moves the counter of the table for good, in every dialect.
_MOVE_IDS: Final = (
    "INSERT INTO accounts (id, uuid, address, domain, password_hash, active, quota_octets, quota_messages,"
    " next_uidvalidity, meta_seq, created_at, deleted_at)"
    " SELECT COALESCE(MAX(id), 0) + %s, %s, %s, 0, %s, 0, 0, 0, 1, 0, 0, 1 FROM accounts",
    "INSERT INTO mailboxes (id, account, name, uidvalidity, epoch, deleted_at)"
    " SELECT COALESCE(MAX(id), 0) + %s, 0, %s, 1, 0, 1 FROM mailboxes",
    "INSERT INTO objects (id, object_key, octets, stored_octets, codec, sha256, frames, born_at, state)"
    " SELECT COALESCE(MAX(id), 0) + %s, %s, 0, 0, %s, %s, %s, 0, 3 FROM objects",
    "INSERT INTO messages (id, account, mailbox, uid, modseq, flags, internaldate_us, saved_us, octets)"
    " SELECT COALESCE(MAX(id), 0) + %s, 0, 0, 0, 0, 0, 0, 0, 0 FROM messages",
)
_PLACEHOLDER: Final = b"\x00epoch"


def raise_txn(cursor: Cursor, epoch: int) -> bool:
    """Make `epoch` the store's, and leave a gap in the ids of all rows; False when it is that high already."""
    cursor.execute("SELECT epoch FROM store WHERE id = 1 FOR UPDATE")
    row = cursor.fetchone()
    if row is None or row[0] >= epoch:
        return False
    gap = (epoch - row[0]) * JUMP
    parameters: tuple[Sequence[object], ...] = (
        (gap, bytes(16), _PLACEHOLDER, b""),
        (gap, _PLACEHOLDER),
        (gap, _PLACEHOLDER, b"", bytes(32), b""),
        (gap,),
    )
    cursor.script([(sql, values) for sql, values in zip(_MOVE_IDS, parameters, strict=True)])
    cursor.script(
        [
            ("DELETE FROM accounts WHERE address = %s AND deleted_at = 1", (_PLACEHOLDER,)),
            ("DELETE FROM mailboxes WHERE account = 0 AND name = %s", (_PLACEHOLDER,)),
            ("DELETE FROM objects WHERE object_key = %s", (_PLACEHOLDER,)),
            ("DELETE FROM messages WHERE mailbox = 0 AND uid = 0", ()),
            ("UPDATE store SET epoch = %s WHERE id = 1", (epoch,)),
            # The journal has changes to names that the rows have lost: it is to write them down anew.
            ("DELETE FROM journal_marks", ()),
        ]
    )
    return True


async def jump(database: Database, older: OlderEpoch) -> None:
    """Have the mailboxes jump that a function found to be of an older epoch; it can then run again. Unavailable."""
    await database.run("epoch", jump_txn, older.mailboxes)


async def read(
    database: Database, name: str, fn: Callable[Concatenate[Cursor, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """As `Database.read`, of mailboxes that are brought to the store's epoch first where they are not there."""
    while True:
        try:
            return await database.read(name, fn, *args, **kwargs)
        except OlderEpoch as older:
            await jump(database, older)
