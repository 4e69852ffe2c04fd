"""Where mail goes, in one round trip for many addresses: accounts with their INBOXes, and which ones are aliases.

What an account uses comes along, so that a delivery to a full one need not be prepared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lightmail.model import Account, AccountId, MailboxId, Usage
from lightmail.store.cursor import Cursor
from lightmail.store.sqltext import padded, pieces, with_list

_ACCOUNTS: Final = (
    "SELECT a.id, a.uuid, a.address, a.active, a.quota_octets, a.quota_messages, b.id,"
    " COALESCE(u.octets, 0), COALESCE(u.messages, 0) FROM accounts a"
    " JOIN mailboxes b ON b.account = a.id AND b.name = %s AND b.deleted_at = 0"
    " LEFT JOIN account_usage u ON u.account = a.id"
    " WHERE a.address IN ({list}) AND a.deleted_at = 0"
)
_ALIASES: Final = "SELECT DISTINCT address FROM aliases WHERE address IN ({list})"


@dataclass(frozen=True, slots=True)
class Place:
    """An account, one of its mailboxes, and what it uses."""

    account: Account
    mailbox: MailboxId
    usage: Usage


@dataclass(frozen=True, slots=True)
class Known:
    """What some addresses are: accounts with their INBOX, aliases, or both; an address in neither is unknown."""

    accounts: dict[str, Place]
    aliases: frozenset[str]


def known_txn(cursor: Cursor, addresses: Sequence[str]) -> Known:
    """What some normalised addresses are."""
    accounts: dict[str, Place] = {}
    aliases: set[str] = set()
    for piece in pieces([address.encode() for address in addresses]):
        wanted = padded(piece)
        owners, names = cursor.script(
            [
                (with_list(_ACCOUNTS, len(wanted)), [b"INBOX", *wanted]),
                (with_list(_ALIASES, len(wanted)), wanted),
            ]
        )
        for row in owners.rows:
            account = Account(AccountId(row[0]), row[1], row[2].decode(), bool(row[3]), row[4], row[5])
            accounts[account.address] = Place(account, MailboxId(row[6]), Usage(row[7], row[8]))
        aliases.update(row[0].decode() for row in names.rows)
    return Known(accounts, frozenset(aliases))
