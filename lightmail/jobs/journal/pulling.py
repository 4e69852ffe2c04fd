"""Reading from the rows what the journal has to say: accounts, domains and aliases, mailboxes with their messages.

Mailboxes are pulled as an index pulls them: highest_modseq first, then the rows; the new mark is that value, never the
largest seen.

A message that moves leaves a tombstone without an object in one mailbox and a row in another. Were the tombstone
journalled and the row not yet, a database lost just then would take the message along. So the mailboxes of an account
are listed in one statement, which sees one moment, and all of them are pulled; a tombstone without an object that is
newer than that moment has the account listed and pulled again, in the same round.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, Final

from twisted.logger import Logger

from lightmail.jobs.journal.segments import Record
from lightmail.jobs.journal.stream import Stream
from lightmail.metrics import JOURNAL_CHANGES
from lightmail.model import AccountId, Fate, MailboxId
from lightmail.store import journal
from lightmail.store.cursor import Row
from lightmail.store.journal import JournalAccount, JournalMailbox, Page
from lightmail.store.keywords import Keywords

log = Logger()

MAILBOXES_AT_ONCE: Final = 1000
ACCOUNTS_AT_ONCE: Final = 100
# Pages read in one exchange with the database, and the rows of one: some 20,000 rows are in memory at most.
_PAGES: Final = 32
_PAGE_ROWS: Final = 500
# Somebody who moves mail without a pause is followed this far.
_PASSES: Final = 5
_WITHOUT_OBJECT: Final = tuple(fate.value for fate in Fate if not fate.keeps_object)


async def pull_changed(stream: Stream) -> None:
    """Journal every mailbox that changed."""
    after, behind = 0, 0
    while True:
        found = await stream.database.read("journal changed", journal.changed_txn, after, MAILBOXES_AT_ONCE)
        behind += sum(lag for *_, lag in found)
        JOURNAL_CHANGES.set(behind)
        accounts = sorted({account for _, account, _ in found})
        for start in range(0, len(accounts), ACCOUNTS_AT_ONCE):
            await _pull_accounts(stream, accounts[start : start + ACCOUNTS_AT_ONCE])
        if len(found) < MAILBOXES_AT_ONCE:
            return
        after = found[-1][0]


async def _pull_accounts(stream: Stream, accounts: Sequence[AccountId]) -> None:
    done: dict[MailboxId, int] = {}
    for _ in range(_PASSES):
        listed = await stream.database.read("journal mailboxes", journal.of_accounts_txn, accounts)
        pulls = []
        for mailbox in listed:
            since = done.get(mailbox.id, stream.mailboxes.get(mailbox.id, mailbox.journal_modseq))
            if mailbox.highest_modseq > since:
                pulls.append(Pull(mailbox, since))
                done[mailbox.id] = mailbox.highest_modseq
        await pull(stream, pulls)
        accounts = sorted({each.mailbox.account for each in pulls if each.is_late})
        if not accounts:
            return
    log.info("{count} accounts kept moving mail while they were journalled", count=len(accounts))


_serial = count(1)


class Pull:
    """One reading of a mailbox, from the MODSEQ `since` on; `since` 0: of the whole of it.

    `is_late` tells that it saw a move that is newer than the moment at which the mailbox was listed.
    """

    def __init__(self, mailbox: JournalMailbox, since: int) -> None:
        self.mailbox = mailbox
        # Of changes that were forgotten only the whole can tell.
        self.whole = since < max(mailbox.forgotten_modseq, 1)
        self.is_late = False
        self._page = Page(mailbox.id, self.whole, 0 if self.whole else since, 0 if self.whole else _LAST_UID)
        self._rows = 0
        self._name = ""
        self._segment = -1

    @property
    def page(self) -> Page:
        """The rows to read next."""
        return self._page

    @property
    def rows(self) -> int:
        """How many were journalled so far."""
        return self._rows

    async def take(self, stream: Stream, rows: Sequence[Row], keywords: Keywords) -> bool:
        """Journal a page of rows; True when it was the last one."""
        is_last = len(rows) < _PAGE_ROWS
        records: list[Record] = []
        await stream.make_room()
        if self._segment != stream.number:
            self._name = self._name or f"{stream.number}.{next(_serial)}"
            self._segment = stream.number
            records.append({"mailbox": self._record(keywords)})
        if rows:
            records.append({"rows": [self._name, [_row(row) for row in rows]]})
            self._rows += len(rows)
            uid, modseq = rows[-1][0], rows[-1][1]
            self._page = Page(self.mailbox.id, self.whole, modseq, uid)
            self.is_late = self.is_late or any(
                row[7] in _WITHOUT_OBJECT and row[1] > self.mailbox.highest_modseq for row in rows
            )
        if is_last:
            records.append({"pulled": [self._name, self._rows]})
        await stream.add(records, max(len(rows), 1))
        # A picture is of many mailboxes whose mark is there already.
        if is_last and self.mailbox.highest_modseq > self.mailbox.journal_modseq:
            stream.mark_mailbox(self.mailbox.id, self.mailbox.highest_modseq)
        return is_last

    def _record(self, keywords: Keywords) -> dict[str, Any]:
        mailbox = self.mailbox
        return {
            "pull": self._name,
            "whole": self.whole,
            "owner": mailbox.owner.hex(),
            "id": mailbox.id,
            "name": mailbox.name,
            "uidvalidity": mailbox.uidvalidity,
            "uidnext": mailbox.uidnext,
            "modseq": mailbox.highest_modseq,
            "recent_uid": mailbox.recent_uid,
            "special_use": mailbox.special_use,
            "deleted_at": mailbox.deleted_at,
            "keywords": [[bit, name.decode("latin-1")] for bit, name in keywords],
        }


_LAST_UID: Final = (1 << 63) - 1


def _row(row: Row) -> list[Any]:
    key = None if row[8] is None else row[8].decode()
    return [*row[:8], key] if row[6] else [*row[:6], key]


async def pull(stream: Stream, pulls: Sequence[Pull], bound: int | None = None) -> int:
    """Journal mailboxes, each to its end before the next one begins, until about `bound` changes are written; a mailbox
    counts as one, too.

    Returns how many of them are done.
    """
    taken = 0
    for start in range(0, len(pulls), _PAGES):
        batch = pulls[start : start + _PAGES]
        pages, keywords = await _read(stream, [each.page for each in batch])
        for done, (each, rows) in enumerate(zip(batch, pages, strict=True), start + 1):
            names = keywords.get(each.mailbox.id, [])
            while not await each.take(stream, rows, names):
                (rows,), more = await _read(stream, [each.page])
                names = more.get(each.mailbox.id, [])
            taken += each.rows + 1
            if bound is not None and taken >= bound:
                return done
    return len(pulls)


async def _read(stream: Stream, pages: Sequence[Page]) -> Any:
    return await stream.database.read("journal rows", journal.pages_txn, pages, _PAGE_ROWS)


async def pull_accounts(stream: Stream, after: int = 0, *, every: bool = False, bound: int | None = None) -> int | None:
    """Journal accounts that changed, or `every` one, by ascending id, until about `bound` changes are written.

    Returns the last id that is done, or None when that were all.
    """
    taken = 0
    while bound is None or taken < bound:
        found = await stream.database.read(
            "journal accounts", journal.accounts_txn, after, ACCOUNTS_AT_ONCE, every=every
        )
        if found:
            size = sum(1 + len(account.subscriptions) + len(account.app_passwords) for account in found)
            await stream.add([{"account": _account(account)} for account in found], size)
            for account in found:
                stream.mark_account(account.id, account.meta_seq)
            taken += size
            after = found[-1].id
        if len(found) < ACCOUNTS_AT_ONCE:
            return None
    return after


def _account(account: JournalAccount) -> dict[str, Any]:
    return {
        "uuid": account.uuid.hex(),
        "address": account.address,
        "password_hash": account.password_hash,
        "active": account.active,
        "quota_octets": account.quota_octets,
        "quota_messages": account.quota_messages,
        "next_uidvalidity": account.next_uidvalidity,
        "meta_seq": account.meta_seq,
        "created_at": account.created_at,
        "deleted_at": account.deleted_at,
        "full_name": account.full_name,
        "subscriptions": account.subscriptions,
        "app_passwords": [
            [name, secret.hex(), protocols, created_at] for name, secret, protocols, created_at in account.app_passwords
        ],
    }


async def pull_directory(stream: Stream, *, again: bool = False) -> None:
    """Journal domains and aliases, whole, if they are not as they were, or `again`.

    Nothing marks changes of them: they are read every time, 10,000 aliases in 24 ms of CPU.
    """
    digest = await stream.database.read("journal directory", journal.directory_digest_txn)
    if digest == stream.state.digest and not again:
        return
    domains = await stream.database.read("journal domains", journal.domains_txn)
    await stream.add([{"directory": digest}, {"domains": [digest, domains]}], len(domains))
    address = target = ""
    while True:
        aliases = await stream.database.read("journal aliases", journal.aliases_txn, address, target)
        await stream.add([{"aliases": [digest, aliases]}], len(aliases))
        if len(aliases) < journal.ALIASES_AT_ONCE:
            break
        address, target = aliases[-1]
    await stream.add([{"directory_end": digest}], 1)
    stream.state.digest = digest
