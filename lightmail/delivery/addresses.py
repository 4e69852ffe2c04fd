"""Where mail for an address goes: aliases, subaddresses, and the mailbox of each account behind them.

The whole address is looked up first, then the one without its tag (``user+tag@`` belongs to ``user@`` unless somebody
owns the whole). A tag never creates anything: where the configuration asks for it an existing mailbox of that name is
taken, else INBOX.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from lightmail.errors import AccountDisabled, Invalid, MailError, NoSuchAccount
from lightmail.model import Account, AccountId, MailboxId, Usage
from lightmail.store import accounts, mailboxes, routes
from lightmail.store.addresses import normalised
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database
from lightmail.store.routes import Place

SEPARATOR: Final = "+"
JUNK: Final = "\\Junk"


@dataclass(frozen=True, slots=True)
class Target:
    """One mailbox that a message is meant for; ``given`` is the recipient's address as it was given.

    ``usage`` is what the account used when the address was looked up.
    """

    account: Account
    mailbox: MailboxId
    given: str
    usage: Usage = field(default=Usage(0, 0), compare=False)

    def seems_full(self, octets: int) -> bool:
        """Whether so many octets more were too many for the account's quotas when the address was looked up."""
        account, usage = self.account, self.usage
        quota = accounts.Quota(account.quota_octets, account.quota_messages, usage.octets, usage.messages)
        return not quota.admits(octets, 1)


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


def routes_txn(
    cursor: Cursor, given: Sequence[str], hostname: str, tagged_mailboxes: bool
) -> list[list[Target] | MailError]:
    """For each recipient its targets, or why it has none: NoSuchAccount, or AccountDisabled (all behind it).

    One round trip for all of them, and more only for aliases and for tags that may name a mailbox.
    """
    addresses = [parse(recipient, hostname) for recipient in given]
    forms = [candidates(address) for address in addresses]
    known = routes.known_txn(cursor, list(dict.fromkeys(form for each in forms for form in each)))
    found: list[list[Target] | MailError] = []
    for recipient, address, each in zip(given, addresses, forms, strict=True):
        places = _places_txn(cursor, each, known)
        if address.tag and tagged_mailboxes:
            places = [_tagged_txn(cursor, place, address.tag) for place in places]
        targets = [
            Target(place.account, place.mailbox, recipient, place.usage) for place in places if place.account.active
        ]
        found.append(targets or (AccountDisabled() if places else NoSuchAccount()))
    return found


def junk_txn(cursor: Cursor, wanted: Sequence[AccountId]) -> dict[AccountId, MailboxId]:
    """The accounts' mailboxes for spam; accounts without one are left out."""
    found: dict[AccountId, MailboxId] = {}
    for account in wanted:
        for mailbox in mailboxes.list_txn(cursor, account):
            if mailbox.special_use == JUNK:
                found[account] = mailbox.id
                break
    return found


async def look_up(
    database: Database, given: Sequence[str], hostname: str, tagged_mailboxes: bool
) -> list[list[Target] | MailError]:
    """`routes_txn` in one hand-off. Raises Unavailable."""
    return await database.read("route", routes_txn, given, hostname, tagged_mailboxes)


def _places_txn(cursor: Cursor, forms: Sequence[str], known: routes.Known) -> list[Place]:
    """The accounts and INBOXes behind the first form of an address that is known."""
    for form in forms:
        if form in known.aliases:
            behind = accounts.route_txn(cursor, form)
            return list(routes.known_txn(cursor, [account.address for account in behind]).accounts.values())
        if form in known.accounts:
            return [known.accounts[form]]
    return []


def _tagged_txn(cursor: Cursor, inbox: Place, tag: str) -> Place:
    mailbox = mailboxes.by_name_txn(cursor, inbox.account.id, tag)
    return inbox if mailbox is None else replace(inbox, mailbox=mailbox.id)


def _unquoted(text: str) -> str:
    """The inside of a quoted string without its backslashes (RFC 5321 section 4.1.2)."""
    if "\\" not in text:
        return text
    out: list[str] = []
    characters = iter(text)
    for character in characters:
        out.append(next(characters, "") if character == "\\" else character)
    return "".join(out)
