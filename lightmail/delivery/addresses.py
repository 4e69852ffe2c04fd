"""Where mail for an address goes: aliases, subaddresses, and the mailbox of each account behind them.

The whole address is looked up first, then the one without its tag (``user+tag@`` belongs to ``user@`` unless somebody
owns the whole). A tag never creates anything: where the configuration asks for it an existing mailbox of that name is
taken, else INBOX.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lightmail.errors import AccountDisabled, Invalid, MailError, NoSuchAccount
from lightmail.model import INBOX, Account, AccountId, MailboxId
from lightmail.store import accounts, mailboxes
from lightmail.store.addresses import normalised
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database

SEPARATOR: Final = "+"
JUNK: Final = "\\Junk"


@dataclass(frozen=True, slots=True)
class Target:
    """One mailbox that a message is meant for; ``given`` is the recipient's address as it was given."""

    account: Account
    mailbox: MailboxId
    given: str


@dataclass(frozen=True, slots=True)
class Address:
    """A recipient's address taken apart: NFC, quotes removed, the tag without its separator ("" for none)."""

    local: str
    tag: str
    domain: str


def parse(given: str, hostname: str) -> Address:
    """Take an address apart. ``postmaster`` alone is the host's own (RFC 5321 section 4.5.1)."""
    text = unicodedata.normalize("NFC", given)
    local, at, domain = text.rpartition("@")
    if not at and text.lower() == "postmaster":
        local, domain = text, hostname
    if local.startswith('"') and local.endswith('"') and len(local) >= 2:
        local = _unquoted(local[1:-1])
    base, separator, tag = local.partition(SEPARATOR)
    if not base or not separator:
        return Address(local, "", domain)
    return Address(base, tag, domain)


def candidates(address: Address) -> list[str]:
    """The addresses to look up, in order, in their stored form; none for what no account can have."""
    locals_ = [f"{address.local}{SEPARATOR}{address.tag}", address.local] if address.tag else [address.local]
    forms: list[str] = []
    for local in locals_:
        try:
            forms.append(normalised(f"{local}@{address.domain}"))
        except Invalid:
            continue
    return forms


def route_txn(cursor: Cursor, given: str, hostname: str, tagged_mailboxes: bool) -> list[Target] | MailError:
    """The targets of one recipient, or why it has none: NoSuchAccount, or AccountDisabled (all behind it)."""
    address = parse(given, hostname)
    for form in candidates(address):
        found = accounts.route_txn(cursor, form)
        if found:
            active = [account for account in found if account.active]
            tag = address.tag if tagged_mailboxes else ""
            targets = [_target_txn(cursor, account, given, tag) for account in active]
            return targets or AccountDisabled()
    return NoSuchAccount()


def junk_txn(cursor: Cursor, wanted: Sequence[AccountId]) -> dict[AccountId, MailboxId]:
    """The accounts' mailboxes for spam; accounts without one are left out."""
    found: dict[AccountId, MailboxId] = {}
    for account in wanted:
        for mailbox in mailboxes.list_txn(cursor, account):
            if mailbox.special_use == JUNK:
                found[account] = mailbox.id
                break
    return found


async def route(
    database: Database, given: Sequence[str], hostname: str, tagged_mailboxes: bool
) -> list[list[Target] | MailError]:
    """`route_txn` for several recipients in one hand-off, in their order. Raises Unavailable."""

    def all_txn(cursor: Cursor) -> list[list[Target] | MailError]:
        return [route_txn(cursor, address, hostname, tagged_mailboxes) for address in given]

    return await database.read("route", all_txn)


def _target_txn(cursor: Cursor, account: Account, given: str, tag: str) -> Target:
    mailbox = mailboxes.by_name_txn(cursor, account.id, tag) if tag else None
    if mailbox is None:
        mailbox = mailboxes.by_name_txn(cursor, account.id, INBOX)
    if mailbox is None:  # every account has one from its first transaction on
        raise RuntimeError(f"account {account.id} has no INBOX")
    return Target(account, mailbox.id, given)


def _unquoted(text: str) -> str:
    """The inside of a quoted string without its backslashes (RFC 5321 section 4.1.2)."""
    if "\\" not in text:
        return text
    out: list[str] = []
    characters = iter(text)
    for character in characters:
        out.append(next(characters, "") if character == "\\" else character)
    return "".join(out)
