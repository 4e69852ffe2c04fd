"""New messages: rows for objects that are stored already, of several deliveries and appends in one transaction.

A unit is stored whole or refused whole, on its own. What refuses one is found out inside the transaction; then that
is rolled back and run again without it, so that the rest is committed as if the refused one had never come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from lightmail import points, traces
from lightmail.errors import LimitReached, MailError, NoSuchDestination, OverQuota
from lightmail.metrics import DELIVERY_STAGE
from lightmail.model import AccountId, Fate, MailboxId, ObjectId, StoredBlob
from lightmail.objects.blobs import Making
from lightmail.operations.events import Arrival, Delivery
from lightmail.operations.outcome import Changed, RunAgain
from lightmail.operations.transactions import Transactions
from lightmail.store import accounts, blobs, keywords, ledger, mailboxes, messages
from lightmail.store.accounts import Quota
from lightmail.store.cursor import Cursor, Row, Statement
from lightmail.store.faults import Conflict, DuplicateKey
from lightmail.store.mailboxes import Locked
from lightmail.store.sqltext import padded, pieces, with_list, with_rows
from lightmail.store.webhooks import Event, queue_statements

_TRANSACTION: Final = DELIVERY_STAGE.labels("transaction")


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be stored: its blob, the names of its flags, and the moment it shall carry for ever."""

    blob: StoredBlob
    flags: tuple[bytes, ...]
    internaldate_us: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A unit's messages are in the mailbox, with these UIDs in the order they were given."""

    uidvalidity: int
    uids: list[int]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The same delivery was committed before; nothing was stored now."""


Refusal: TypeAlias = Duplicate | MailError


@dataclass(eq=False, slots=True)
class Unit:
    """Messages for one mailbox that are stored together or not at all. `digest` tells a delivery seen before.

    With a `name` the mailbox must have that name when they are stored. With an `arrival` a webhook is told of it. What
    is `withheld` never shows in its mailbox and counts in no quota. `trace` is that of whoever brings them.
    """

    account: AccountId
    mailbox: MailboxId
    messages: Sequence[NewMessage]
    digest: bytes | None = None
    name: str | None = None
    arrival: Arrival | None = None
    withheld: bool = False
    refusal: Refusal | None = field(default=None)
    trace: str = field(default_factory=traces.CURRENT.get)

    @property
    def usage(self) -> tuple[int, int]:
        """The octets and messages that the unit adds to the account's usage."""
        if self.withheld:
            return 0, 0
        return sum(message.blob.octets for message in self.messages), len(self.messages)


def weight(blob: StoredBlob) -> int:
    """About how many octets of rows a blob brings."""
    rendering = blob.rendering
    wide = (rendering.envelope, rendering.bodystructure, rendering.header, rendering.header_fields, rendering.parts)
    return 512 + sum(map(len, wide)) + len(blob.frames)


async def arrive(
    tx: Transactions,
    name: str,
    units: Callable[[StoredBlob], Sequence[Unit]],
    blob: StoredBlob | Making,
    accounts: Collection[AccountId],
    mailboxes: Collection[MailboxId],
) -> list[Stored | Refusal]:
    """Store a blob, if it is not yet, then the `units` that are made of it; the answers to these, in order.

    While nobody else writes, one thread does both: a hand-off costs more than either of them waits for the other.
    Raises Unavailable, and what storing the blob raises.
    """
    if isinstance(blob, Making):
        if blob.is_quick and tx.idle:
            return await _arrive_alone(tx, name, units, blob, accounts, mailboxes)
        blob = await blob.stored()
    item = units(blob)
    began = tx.seconds()
    answers = await tx.together(
        name,
        arrive_txn,
        item,
        accounts=accounts,
        mailboxes=mailboxes,
        births=(blob.born_us,),
        octets=weight(blob) + 256 * len(item),
    )
    _TRANSACTION.observe(tx.seconds() - began)
    return answers


async def _arrive_alone(
    tx: Transactions,
    name: str,
    units: Callable[[StoredBlob], Sequence[Unit]],
    making: Making,
    accounts: Collection[AccountId],
    mailboxes: Collection[MailboxId],
) -> list[Stored | Refusal]:
    began = 0.0

    def make() -> Sequence[Unit]:
        nonlocal began
        stored = making.store_here()
        began = tx.seconds()
        return units(stored)

    answers = await tx.alone(name, arrive_txn, make, accounts=accounts, mailboxes=mailboxes, born_us=making.born_us)
    _TRANSACTION.observe(tx.seconds() - began)
    return answers


def arrive_txn(
    cursor: Cursor, items: Sequence[Sequence[Unit]], *, within_quota: bool = True
) -> Changed[Sequence[list[Stored | Refusal]]]:
    """Store the units of all items; for each item the answers to its units, in order.

    Three round trips for any number of them, COMMIT included; one more for each mailbox that needs keywords of its own.
    Without `within_quota` they are charged all the same, and no quota refuses them: what the server itself has to say.
    """
    units, twins = _without_twins(unit for item in items for unit in item if unit.refusal is None)
    answers: dict[Unit, Stored | Refusal] = {}
    held: Mapping[MailboxId, Locked] = {}
    if units:
        stored = list({message.blob.key: message.blob for unit in units for message in unit.messages}.values())
        # Compressed before the first statement takes locks.
        renderings = [blobs.rendering_row(blob.rendering) for blob in stored]
        held, objects, quotas = _open(cursor, units, stored, within_quota)
        points.reached("mailboxes-locked")
        rows, placed = _place(units, held, objects, _flag_bits(cursor, units))
        answers.update(placed)
        made = [(objects[blob.key], *rendering) for blob, rendering in zip(stored, renderings, strict=True)]
        _insert(cursor, placed, made, rows, _told(placed, objects), quotas)
    for unit, twin in twins.items():
        answer = answers[twin]
        answers[unit] = Duplicate() if isinstance(answer, Stored) else answer
    values = [[unit.refusal or answers[unit] for unit in item] for item in items]
    return Changed(values, {mailbox: found.highest_modseq for mailbox, found in held.items()})


def _without_twins(units: Iterable[Unit]) -> tuple[list[Unit], dict[Unit, Unit]]:
    """The units, without those that repeat a delivery which is among them; and these, with what they repeat."""
    first: dict[tuple[AccountId, bytes], Unit] = {}
    single: list[Unit] = []
    twins: dict[Unit, Unit] = {}
    for unit in units:
        if unit.digest is not None:
            twin = first.setdefault((unit.account, unit.digest), unit)
            if twin is not unit:
                twins[unit] = twin
                continue
        single.append(unit)
    return single, twins


def _open(
    cursor: Cursor, units: list[Unit], stored: list[StoredBlob], within_quota: bool
) -> tuple[Mapping[MailboxId, Locked], Mapping[str, ObjectId], Mapping[AccountId, Quota]]:
    """The first round trip: digests noted, mailboxes locked and advanced, objects inserted, quotas read.

    Raises RunAgain for units that this shows cannot be stored.
    """
    noted = sorted((unit for unit in units if unit.digest is not None), key=_by_digest)
    notes = [ledger.delivery_statement(unit.account, unit.digest) for unit in noted if unit.digest is not None]
    wanted: Counter[tuple[MailboxId, AccountId]] = Counter()
    for unit in units:
        wanted[unit.mailbox, unit.account] += len(unit.messages)
    locks = mailboxes.advance_statements(wanted)
    quotas = accounts.quotas_statement(sorted({unit.account for unit in units}))
    called = [unit for unit in units if unit.name is not None]
    names = [mailboxes.named_statement(unit.account, unit.name) for unit in called if unit.name is not None]
    inserts = _insert_statements(blobs.INSERT_OBJECT, [blobs.object_row(blob) for blob in stored])
    ids = [_ids_statement(piece) for piece in pieces([blob.key.encode() for blob in stored])]
    try:
        results = cursor.script([*notes, *locks, quotas, *names, *inserts, *ids])
    except DuplicateKey:
        # A twin in another transaction was faster; it is committed now, or gone, and will be seen for what it is.
        raise Conflict("twin") from None
    held = mailboxes.advanced(results[len(notes) + len(locks) - 1].rows, wanted)
    found = accounts.quotas(results[len(notes) + len(locks)].rows)
    after = results[len(notes) + len(locks) + 1 :]
    if not within_quota:
        found = {account: quota.lifted() for account, quota in found.items()}
    repeated = {unit for unit, result in zip(noted, results, strict=False) if result.rowcount == 0}
    renamed = {unit for unit, result in zip(called, after, strict=False) if (unit.mailbox,) not in result.rows}
    _refuse(_refusals(units, repeated, renamed, held, found))
    objects = {row[0].decode(): ObjectId(row[1]) for result in results[-len(ids) :] for row in result.rows}
    return held, objects, found


def _by_digest(unit: Unit) -> tuple[int, bytes]:
    return unit.account, unit.digest or b""


def _ids_statement(keys: Sequence[bytes]) -> Statement:
    values = padded(keys)
    return with_list(blobs.IDS_OF_KEYS, len(values)), values


def _refusals(
    units: list[Unit],
    repeated: set[Unit],
    renamed: set[Unit],
    held: Mapping[MailboxId, Locked],
    quotas: Mapping[AccountId, Quota],
) -> dict[Unit, Refusal]:
    """What can be told of the units before anything of them is inserted: in order, as long as the quotas last."""
    refused: dict[Unit, Refusal] = {}
    room = {account: accounts.Room(quota) for account, quota in quotas.items()}
    for unit in units:
        if unit in repeated:
            refused[unit] = Duplicate()
        elif (
            unit in renamed
            or unit.mailbox not in held
            or held[unit.mailbox].account != unit.account
            or unit.account not in room
        ):
            refused[unit] = NoSuchDestination()
        elif not unit.withheld and not room[unit.account].take(*unit.usage):
            refused[unit] = OverQuota()
    return refused


def _refuse(refused: Mapping[Unit, Refusal]) -> None:
    """Have the transaction run again without these units, if there are any."""
    if not refused:
        return

    def accept() -> None:
        for unit, refusal in refused.items():
            unit.refusal = refusal

    raise RunAgain(accept)


def _flag_bits(cursor: Cursor, units: list[Unit]) -> dict[tuple[MailboxId, tuple[bytes, ...]], int]:
    """The bits of each mailbox's flags, new keywords named on the way. Raises RunAgain where there is no room."""
    found: dict[tuple[MailboxId, tuple[bytes, ...]], int] = {}
    names: dict[MailboxId, keywords.Keywords] = {}
    for unit in units:
        for message in unit.messages:
            key = (unit.mailbox, message.flags)
            bits = found.get(key, keywords.fixed_bits(message.flags))
            if bits is None:
                if unit.mailbox not in names:
                    names[unit.mailbox] = keywords.keywords_txn(cursor, unit.mailbox)
                try:
                    bits = keywords.allocate_txn(cursor, unit.mailbox, message.flags, names[unit.mailbox])
                except LimitReached as error:
                    _refuse({unit: error})
                    raise
            found[key] = bits
    return found


def _place(
    units: list[Unit],
    held: Mapping[MailboxId, Locked],
    objects: Mapping[str, ObjectId],
    flags: Mapping[tuple[MailboxId, tuple[bytes, ...]], int],
) -> tuple[list[Row], dict[Unit, Stored]]:
    """The rows of all messages, UIDs given in the order of the units; and what each unit got."""
    rows: list[Row] = []
    placed: dict[Unit, Stored] = {}
    following = {mailbox: found.uidnext for mailbox, found in held.items()}
    for unit in units:
        following[unit.mailbox] -= len(unit.messages)
    for unit in units:
        mailbox = held[unit.mailbox]
        first = following[unit.mailbox]
        following[unit.mailbox] += len(unit.messages)
        trace = traces.kept(unit.trace)
        placed[unit] = Stored(mailbox.uidvalidity, list(range(first, following[unit.mailbox])))
        rows += [
            (
                unit.account,
                unit.mailbox,
                uid,
                mailbox.highest_modseq,
                objects[message.blob.key],
                flags[unit.mailbox, message.flags],
                message.internaldate_us,
                message.blob.octets,
                trace,
            )
            for uid, message in enumerate(unit.messages, first)
        ]
    return rows, placed


def _told(placed: Mapping[Unit, Stored], objects: Mapping[str, ObjectId]) -> list[Event]:
    """What a webhook is to be told of the units."""
    return [
        event
        for unit, stored in placed.items()
        if unit.arrival is not None
        for uid, new in zip(stored.uids, unit.messages, strict=True)
        for event in Delivery(
            unit.arrival, unit.account, unit.mailbox, uid, objects[new.blob.key], new.blob, new.internaldate_us
        ).events()
    ]


def _insert(
    cursor: Cursor,
    placed: dict[Unit, Stored],
    renderings: list[Row],
    rows: list[Row],
    told: list[Event],
    quotas: Mapping[AccountId, Quota],
) -> None:
    """The second round trip: renderings, messages, events of them, and last the usage, accounts by ascending id."""
    totals: dict[AccountId, tuple[int, int]] = {}
    for unit in placed:
        octets, count = totals.get(unit.account, (0, 0))
        more_octets, more = unit.usage
        totals[unit.account] = (octets + more_octets, count + more)
    charged = sorted(account for account, total in totals.items() if total != (0, 0))
    results = cursor.script(
        [
            *_insert_statements(blobs.INSERT_RENDERING, renderings),
            *_insert_statements(messages.INSERT, rows),
            *_withhold_statements(placed),
            *queue_statements(told),
            *(accounts.charge_statement(account, *totals[account], quotas[account]) for account in charged),
        ]
    )
    refused: dict[Unit, Refusal] = {}
    for account, result in zip(charged, results[len(results) - len(charged) :], strict=True):
        if result.rowcount == 0:
            # Others were faster to use up the quota; the last one to come is the first to go.
            last = next(unit for unit in reversed(placed) if unit.account == account and not unit.withheld)
            refused[last] = OverQuota()
    _refuse(refused)


def _withhold_statements(placed: Mapping[Unit, Stored]) -> list[Statement]:
    return [
        statement
        for unit, stored in placed.items()
        if unit.withheld
        for statement in messages.bury_statements(unit.mailbox, stored.uids, Fate.WITHHELD)
    ]


def _insert_statements(sql: str, rows: Sequence[Row]) -> list[Statement]:
    """As few statements as it takes to insert the rows."""
    return [
        (with_rows(sql, len(piece)), [value for row in piece for value in row])
        for piece in pieces(rows, messages.INSERT_BOUND)
    ]
