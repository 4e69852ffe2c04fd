"""Writing the rows: accounts with their mailboxes and messages, some accounts at a time.

**UIDVALIDITY is new in every mailbox.** Nothing in a bucket can show that its journal is final: any process may have
committed after the last round. UIDs above the last journalled one may have been told to clients, and must not come to
mean other messages (P2). A jump of the counters, as after a failover (`store.epochs`), would see to that alone, but not
to the rest: a message that was expunged after the last round comes back under its old UID, below what a client has
seen, where synchronising clients never look again; and flags set since would stay in caches as they were. With another
UIDVALIDITY a client reads the mailbox anew, once, and is right. The new values are above all that the account can have
given: those journalled, and the clock, plus 2^20 for bursts of CREATE that nobody saw.

UIDs, dates and flags are as journalled; MODSEQs too, with the mailbox's highest 2^20 further on, and all that was told
before it forgotten. Arrivals follow in the order of their births. Tombstones of what was moved are left out: nobody has
the UIDVALIDITY they were told under.

**Ids of mailboxes stay**, for objects name them; only where two accounts claim one (two databases once wrote into one
bucket) the second gets another. Accounts have new ids: everything outside the rows knows them by uuid.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lightmail.jobs.journal.state import State, lease_name
from lightmail.jobs.journal.writer import SHARD
from lightmail.jobs.recover.placing import REFERS
from lightmail.jobs.recover.scratch import Scratch
from lightmail.model import INBOX, Fate
from lightmail.operations import recovery
from lightmail.operations.transactions import Transactions
from lightmail.store.cursor import Row
from lightmail.store.mailboxes import JUMP
from lightmail.store.recovery import AccountRow, MailboxRow
from lightmail.threads import BoundedPool

# Where messages come back whose own mailbox is unknown or deleted.
RECOVERED: Final = "Recovered"
# The domain of accounts that the journal does not know; nobody can own it (RFC 2606).
LOST_DOMAIN: Final = "lost-and-found.invalid"
# No password hashes to this.
_NO_PASSWORD: Final = "!"
_ROWS_AT_ONCE: Final = 1024
_ACCOUNTS_AT_ONCE: Final = 100
_MAILBOXES_AT_ONCE: Final = 200
_ALIASES_AT_ONCE: Final = 1000

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class LostAccount:
    """An account that the journal does not know, or whose address another has; and the address it has now."""

    uuid: str
    address: str


@dataclass(slots=True)
class Rebuilt:
    """What was written. `missing` are keys of objects that journalled messages refer to, and that are not there."""

    accounts: int = 0
    mailboxes: int = 0
    messages: int = 0
    expunged: int = 0
    arrivals: int = 0
    missing: int = 0
    renamed: int = 0
    lost_accounts: list[LostAccount] = field(default_factory=list)


@dataclass(slots=True)
class _Box:
    """A mailbox on its way: its number in the scratch file (None for one that is made now) and its new row's parts.

    So many `arrivals` come back in it; with `takes_homeless` those of its owner that have no mailbox are among them.
    """

    number: int | None
    id: int
    name: str
    uidvalidity: int
    uidnext: int
    modseq: int
    recent_uid: int
    special_use: str | None
    deleted_at: int
    keywords: list[tuple[int, bytes]]
    owner: bytes
    arrivals: int = 0
    takes_homeless: bool = False


class Rebuilding:
    """Writes everything that the scratch file knows. `pool` has one thread: the scratch file's.

    `mailbox_ids` is the highest id that a mailbox ever had, `number` that of the next segment of the journal.
    """

    def __init__(self, tx: Transactions, scratch: Scratch, pool: BoundedPool, mailbox_ids: int, number: int) -> None:
        self.result = Rebuilt()
        self._tx = tx
        self._rows: sqlite3.Connection = scratch.rows
        self._pool = pool
        self._highest = mailbox_ids
        self._number = number
        self._taken_ids: set[int] = set()
        self._addresses: set[str] = set()
        self._made: Mapping[str, int] = {}

    async def run(self, progress: Progress) -> None:
        """Write all rows but the objects', which are there already. Raises Unavailable."""
        await self._pool.run(self._admit_lost)
        self._made = await recovery.add_domains(self._tx, await self._pool.run(self._domains))
        await self._add_aliases()
        owners: list[bytes] = await self._pool.run(self._owners)
        for start in range(0, len(owners), _ACCOUNTS_AT_ONCE):
            await self._add_accounts(owners[start : start + _ACCOUNTS_AT_ONCE])
            progress("accounts", min(start + _ACCOUNTS_AT_ONCE, len(owners)), len(owners))
        state = State(number=self._number, mailbox_ids=self._highest)
        await recovery.finish(self._tx, self._highest, (lease_name(SHARD), state.pack()))

    def _admit_lost(self) -> None:
        """Make records of the accounts that only objects name."""
        lost = self._rows.execute("SELECT DISTINCT owner FROM arrival WHERE owner NOT IN (SELECT uuid FROM account)")
        lost_too = self._rows.execute(
            "SELECT DISTINCT owner FROM mailbox WHERE owner NOT IN (SELECT uuid FROM account)"
        )
        for owner in sorted({row[0] for row in [*lost.fetchall(), *lost_too.fetchall()]}):
            address = f"{owner.hex()}@{LOST_DOMAIN}"
            record = {"address": address, "password_hash": _NO_PASSWORD, "active": False, "deleted_at": 0}
            self._rows.execute(
                "INSERT INTO account VALUES (?, 0, 0, ?, ?, 0, ?)", (owner, address, LOST_DOMAIN, json.dumps(record))
            )
            self.result.lost_accounts.append(LostAccount(owner.hex(), address))

    def _domains(self) -> list[tuple[str, int, int]]:
        found = self._rows.execute("SELECT name, created_at, accounts FROM domain ORDER BY name").fetchall()
        known = {row[0] for row in found}
        used = self._rows.execute("SELECT DISTINCT domain FROM account WHERE deleted_at = 0 ORDER BY domain")
        now_us = int(time.time() * 1_000_000)
        found += [(domain, now_us, 0) for (domain,) in used if domain not in known]
        twins = self._rows.execute(
            "SELECT COUNT(*) FROM (SELECT 1 FROM account WHERE deleted_at = 0 GROUP BY address HAVING COUNT(*) > 1)"
        ).fetchone()
        if twins[0] and all(row[0] != LOST_DOMAIN for row in found):
            found.append((LOST_DOMAIN, now_us, 0))
        return found

    async def _add_aliases(self) -> None:
        aliases = self._rows.execute("SELECT address, target FROM alias ORDER BY address, target")
        while page := await self._pool.run(aliases.fetchmany, _ALIASES_AT_ONCE):
            rows = [(address, target, self._made.get(address.rpartition("@")[2], 0)) for address, target in page]
            await recovery.add_aliases(self._tx, rows)

    def _owners(self) -> list[bytes]:
        """Accounts, the newest first where two have one address."""
        found = self._rows.execute("SELECT uuid FROM account ORDER BY deleted_at > 0, epoch DESC, meta_seq DESC, uuid")
        return [row[0] for row in found]

    async def _add_accounts(self, owners: Sequence[bytes]) -> None:
        read = await self._pool.run(lambda: [self._read_account(owner) for owner in owners])
        ids = await recovery.add_accounts(
            self._tx, [(self._account_row(*each), _subscriptions(*each)) for each in read]
        )
        boxes = [(ids[owner], box) for owner, _, found in read for box in found]
        for start in range(0, len(boxes), _MAILBOXES_AT_ONCE):
            piece = boxes[start : start + _MAILBOXES_AT_ONCE]
            await recovery.add_mailboxes(self._tx, [_mailbox_row(account, box) for account, box in piece])
        used = {account: [0, 0] for account in ids.values()}
        rows = (row for account, box in boxes for row in self._messages(account, box))
        while page := await self._pool.run(_take, rows, _ROWS_AT_ONCE):
            await recovery.add_messages(self._tx, page)
            for row in page:
                if row[9]:
                    self.result.expunged += 1
                else:
                    used[row[0]][0] += row[8]
                    used[row[0]][1] += 1
        self.result.accounts += len(read)
        self.result.mailboxes += sum(1 for _, box in boxes if not box.deleted_at)
        self.result.messages += sum(messages for _, messages in used.values())
        sums = [(account, octets, messages) for account, (octets, messages) in used.items()]
        await recovery.add_usage(self._tx, sums)

    def _account_row(self, owner: bytes, record: dict[str, Any], boxes: list[_Box]) -> AccountRow:
        """The account's row; its mailboxes get their UIDVALIDITYs."""
        base = max(int(time.time()), record.get("next_uidvalidity", 0), *(box.uidvalidity for box in boxes), 0) + JUMP
        for place, box in enumerate(boxes):
            box.uidvalidity = base + place
        address = record["address"]
        if not record["deleted_at"]:
            if address in self._addresses:
                address = f"{owner.hex()}@{LOST_DOMAIN}"
                record["active"] = False
                self.result.lost_accounts.append(LostAccount(owner.hex(), address))
            self._addresses.add(address)
        return AccountRow(
            owner,
            address,
            self._made.get(address.rpartition("@")[2], 0),
            record["password_hash"],
            record["active"],
            record.get("quota_octets", 0),
            record.get("quota_messages", 0),
            base + len(boxes),
            record.get("meta_seq", 0) + 1,
            record.get("created_at", int(time.time() * 1_000_000)),
            record["deleted_at"],
            record.get("full_name", ""),
            [(name, bytes.fromhex(secret), *rest) for name, secret, *rest in record.get("app_passwords", ())],
        )

    def _read_account(self, owner: bytes) -> tuple[bytes, dict[str, Any], list[_Box]]:
        (packed,) = self._rows.execute("SELECT record FROM account WHERE uuid = ?", (owner,)).fetchone()
        record: dict[str, Any] = json.loads(packed)
        found = self._rows.execute(
            "SELECT number, id, record FROM mailbox WHERE owner = ?"
            " ORDER BY deleted_at > 0, epoch DESC, modseq DESC, id",
            (owner,),
        ).fetchall()
        boxes: list[_Box] = []
        names: set[tuple[str, int]] = set()
        for number, id_, text in found:
            boxes.append(self._box(number, owner, id_, json.loads(text), names))
        if not record["deleted_at"]:
            self._add_missing(owner, boxes)
        for box in boxes:
            box.takes_homeless = self._takes_homeless(box)
            box.arrivals = self._count_arrivals(box)
            last = self._last_uid(box.number)
            box.uidnext = max(box.uidnext, last + 1)
        return owner, record, sorted(boxes, key=lambda box: box.id)

    def _box(self, number: int, owner: bytes, id_: int, record: dict[str, Any], names: set[tuple[str, int]]) -> _Box:
        name, deleted_at = record["name"], record["deleted_at"]
        while (name, deleted_at) in names:
            # Two that the journal shows under one name: the change that parted them is in a segment that is lost.
            name = f"{name} {id_}"
            self.result.renamed += 1
        names.add((name, deleted_at))
        keywords = [(bit, text.encode("latin-1")) for bit, text in record["keywords"]]
        counters = (record["uidvalidity"], record["uidnext"], record["modseq"] + JUMP, record["recent_uid"])
        return _Box(number, self._id(id_), name, *counters, record["special_use"], deleted_at, keywords, owner)

    def _id(self, wanted: int | None) -> int:
        if wanted is None or wanted in self._taken_ids:
            self._highest = wanted = self._highest + 1
        self._taken_ids.add(wanted)
        self._highest = max(self._highest, wanted)
        return wanted

    def _add_missing(self, owner: bytes, boxes: list[_Box]) -> None:
        """INBOX, where it is not known, and a mailbox for arrivals that have none."""
        names = {box.name for box in boxes if not box.deleted_at}
        needed = [INBOX] if INBOX not in names else []
        homeless = self._rows.execute("SELECT 1 FROM arrival WHERE owner = ? AND mailbox IS NULL", (owner,)).fetchone()
        if homeless and boxes and RECOVERED not in names:
            needed.append(RECOVERED)
        boxes += [_Box(None, self._id(None), name, 0, 1, JUMP, 0, None, 0, [], owner) for name in needed]

    _ARRIVALS: Final = (
        "FROM arrival a JOIN object o USING (object_key)"
        " WHERE a.owner = ? AND (a.mailbox = ? OR (? AND a.mailbox IS NULL)) AND o.id IS NOT NULL"
    )

    def _count_arrivals(self, box: _Box) -> int:
        found = self._rows.execute(f"SELECT COUNT(*) {self._ARRIVALS}", (box.owner, box.number, box.takes_homeless))
        return int(found.fetchone()[0])

    def _arrivals(self, box: _Box) -> Iterator[Row]:
        """What comes back in a mailbox: (object's id, birth, INTERNALDATE, octets, whether withheld), in order."""
        return self._rows.execute(
            f"SELECT o.id, a.born_us, a.internaldate_us, a.octets, a.withheld {self._ARRIVALS}"
            " ORDER BY a.mailbox IS NULL, a.born_us, a.object_key",
            (box.owner, box.number, box.takes_homeless),
        )

    def _takes_homeless(self, box: _Box) -> bool:
        """An account that nothing is known of has only INBOX to take what it gets."""
        if box.deleted_at:
            return False
        known = self._rows.execute("SELECT 1 FROM mailbox WHERE owner = ? LIMIT 1", (box.owner,)).fetchone()
        return box.name == (RECOVERED if known else INBOX)

    def _last_uid(self, number: int | None) -> int:
        found = self._rows.execute("SELECT COALESCE(MAX(uid), 0) FROM message WHERE mailbox = ?", (number,)).fetchone()
        return int(found[0])

    def _messages(self, account: int, box: _Box) -> Iterator[Row]:
        """The rows of a mailbox: as journalled, and then its arrivals, whose UIDs `uidnext` already counts."""
        journalled = self._rows.execute(
            "SELECT m.uid, m.modseq, o.id, m.flags, m.internaldate_us, m.saved_us, m.octets, m.deleted_at, m.fate"  # noqa: S608
            " FROM message m LEFT JOIN object o USING (object_key)"
            f" WHERE m.mailbox = ? AND {REFERS} ORDER BY m.uid",
            (box.number,),
        )
        for row in journalled:
            if row[2] is None:
                self.result.missing += 0 if row[7] else 1
                continue
            yield (account, box.id, *row)
        for uid, (object_, born_us, internaldate_us, octets, withheld) in enumerate(self._arrivals(box), box.uidnext):
            self.result.arrivals += 1
            # As if it had been withheld now: somebody may have restored it since it came, and has to find it again.
            end = (time.time_ns() // 1000, Fate.WITHHELD.value) if withheld else (0, None)
            yield (account, box.id, uid, box.modseq, object_, 0, internaldate_us, born_us, octets, *end)


def _subscriptions(_owner: bytes, record: dict[str, Any], boxes: list[_Box]) -> list[str]:
    """What it was subscribed to, and mailboxes that are made now: whoever lists subscriptions alone must see them."""
    return sorted(set(record.get("subscriptions", ())) | {box.name for box in boxes if box.number is None})


def _mailbox_row(account: int, box: _Box) -> MailboxRow:
    uidnext = box.uidnext + box.arrivals
    return MailboxRow(
        box.id,
        account,
        box.name,
        box.uidvalidity,
        uidnext,
        box.modseq,
        box.recent_uid,
        box.special_use,
        box.deleted_at,
        box.keywords,
    )


def _take(rows: Iterator[Row], count: int) -> list[Row]:
    return [row for _, row in zip(range(count), rows, strict=False)]
