"""Passes over rows: surveys by ranges, each suspect looked at twice, repaired, and looked at again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby
from typing import Any, Final

from lightmail.jobs.verify.findings import Finding
from lightmail.jobs.verify.steps import Emit, Hands, Step
from lightmail.jobs.verify.table import CHECKS
from lightmail.model import AccountId
from lightmail.store import referred, suspects
from lightmail.store.suspects import Look, Survey, Suspect

# Rows of `messages` that one statement looks at, and rows of narrower tables.
MESSAGES_AT_ONCE: Final = 4000
ROWS_AT_ONCE: Final = 2000
# A repair may bring other faults to light, such as the flags of a mailbox that is there again.
_ROUNDS: Final = 3

_Search = Callable[[], Awaitable[list[Suspect]]]


class MessagesPass:
    """All messages, by mailbox and UID; or those of one account."""

    name = "messages"
    weight = 4

    def __init__(self, hands: Hands, account: AccountId | None, mending: bool) -> None:
        self._hands = hands
        self._account = account
        self._mending = mending
        self._largest: int | None = None

    def first(self) -> Any:
        return [0, 0]

    async def step(self, cursor: Any, emit: Emit) -> Step:
        database = self._hands.database
        after = (int(cursor[0]), int(cursor[1]))
        look = await database.read("verify", suspects.look_on_messages_txn, after, MESSAGES_AT_ONCE, self._account)
        if look is None:
            return Step(None, 0, 1.0)
        await settle_look(self._hands, suspects.MESSAGES, look, self._mending, emit)
        if self._largest is None:
            self._largest = await database.read("verify", suspects.largest_txn, "mailboxes")
        mailbox, uid = look.part.last
        return Step([mailbox, uid], look.rows, min(mailbox / max(self._largest, 1), 1.0))


class TablePass:
    """The rows of one table."""

    weight = 1

    def __init__(self, hands: Hands, survey: Survey, account: AccountId | None, mending: bool) -> None:
        self.name = survey.name
        self._hands = hands
        self._survey = survey
        self._account = account
        self._mending = mending

    def first(self) -> Any:
        return _kept(self._survey.first)

    async def step(self, cursor: Any, emit: Emit) -> Step:
        look = await self._hands.database.read(
            "verify", suspects.look_on_txn, self._survey, _meant(cursor), ROWS_AT_ONCE, self._account
        )
        await settle_look(self._hands, self._survey, look, self._mending, emit)
        last = look.part.last
        return Step(None if last is None else _kept(last), look.rows, 0.5)


class UsagePass:
    """What accounts use against what their live messages sum up to, each account in one statement."""

    name = "usage"
    weight = 2

    def __init__(self, hands: Hands, account: AccountId | None, mending: bool) -> None:
        self._hands = hands
        self._account = account
        self._mending = mending
        self._largest: int | None = None

    def first(self) -> Any:
        return 0 if self._account is None else self._account - 1

    async def step(self, cursor: Any, emit: Emit) -> Step:
        database, after = self._hands.database, int(cursor)
        if self._account is not None:
            part: tuple[int, int] | None = (self._account, 1)
        else:
            part = await database.read("verify", suspects.next_usages_txn, after, MESSAGES_AT_ONCE)
        if part is None:
            return Step(None, 0, 1.0)
        last, looked = part

        async def search() -> list[Suspect]:
            return await database.read("verify", suspects.wrong_usages_txn, after, last)

        await settle(self._hands, await search(), search, self._mending, emit)
        if self._largest is None:
            self._largest = await database.read("verify", suspects.largest_txn, "accounts")
        following = None if self._account is not None else last
        return Step(following, looked, min(last / max(self._largest, 1), 1.0))


def _kept(cursor: Any) -> Any:
    """A place in a table as JSON holds it."""
    return {"octets": cursor.hex()} if isinstance(cursor, bytes) else cursor


def _meant(cursor: Any) -> Any:
    return bytes.fromhex(cursor["octets"]) if isinstance(cursor, dict) else cursor


async def settle_look(hands: Hands, survey: Survey, look: Look, mending: bool, emit: Emit) -> None:
    """`settle` what was seen of a range."""

    async def search() -> list[Suspect]:
        return await hands.database.read("verify", suspects.search_txn, survey, look.part)

    await settle(hands, look.found, search, mending, emit)


async def settle(hands: Hands, found: list[Suspect], search: _Search, mending: bool, emit: Emit) -> None:
    """Repair what was found, and is again by `search`, if `mending`; emit it with what came of that."""
    known: dict[Suspect, None] = {}
    for _ in range(_ROUNDS if mending else 1):
        again = set(await search()) if found else set()
        fresh = [suspect for suspect in found if suspect in again and suspect not in known]
        if not fresh:
            break
        known.update(dict.fromkeys(fresh))
        if mending:
            await _mend(hands, fresh)
            found = await search()
    if not known:
        return
    left = set(await search()) if mending else set(known)
    for finding in await _named(hands, list(known), left):
        emit(finding)


async def _mend(hands: Hands, found: Sequence[Suspect]) -> None:
    order = {kind: place for place, kind in enumerate(CHECKS)}
    for kind, group in groupby(sorted(found, key=lambda each: order[each.kind]), lambda each: each.kind):
        repair = CHECKS[kind].repair
        if repair is not None:
            await repair(hands, list(group))


async def _named(hands: Hands, found: Sequence[Suspect], left: set[Suspect]) -> list[Finding]:
    """The findings, with the names that people know accounts and mailboxes by."""
    accounts = {each.get("account") for each in found} - {None}
    mailboxes = {each.get("mailbox") for each in found} - {None}
    addresses, names = await hands.database.read("verify", referred.names_txn, accounts, mailboxes)
    return [_finding(each, addresses, names, each not in left) for each in found]


def _finding(suspect: Suspect, addresses: dict[int, str], names: dict[int, str], repaired: bool) -> Finding:
    row = dict(suspect.row)
    account, mailbox, uid, key = (row.pop(name, None) for name in ("account", "mailbox", "uid", "key"))
    row.pop("id", None)
    return CHECKS[suspect.kind].finding(
        account=None if account is None else addresses.get(account, str(account)),
        mailbox=None if mailbox is None else names.get(mailbox, str(mailbox)),
        uid=uid,
        key=None if key is None else key.decode("ascii", "replace"),
        more={name: _text(value) for name, value in row.items() if value is not None},
        repaired=repaired,
    )


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
