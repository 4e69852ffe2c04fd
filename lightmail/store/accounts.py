"""Accounts, what leads to them and what they use. Addresses are `addresses.normalised` text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lightmail.model import Account, AccountId, Usage
from lightmail.store import snapshots
from lightmail.store.cursor import Cursor, Row, Statement
from lightmail.store.sqltext import NOW_US, padded, with_list

# An alias may lead to aliases: this deep, and to this many accounts and aliases in all.
ALIAS_DEPTH: Final = 10
ALIAS_TARGETS: Final = 1000


def _account(row: Row) -> Account:
    return Account(AccountId(row[0]), row[1], row[2].decode(), bool(row[3]), row[4], row[5])


def by_address_txn(cursor: Cursor, address: str) -> tuple[Account, str] | None:
    """The account of that address and its password hash. Aliases do not log in."""
    cursor.execute(
        "SELECT id, uuid, address, active, quota_octets, quota_messages, password_hash FROM accounts"
        " WHERE address = %s AND deleted_at = 0",
        (address.encode(),),
    )
    row = cursor.fetchone()
    return (_account(row), row[6].decode()) if row else None


def by_id_txn(cursor: Cursor, account: AccountId) -> Account | None:
    """The account as it stands now."""
    cursor.execute(
        "SELECT id, uuid, address, active, quota_octets, quota_messages FROM accounts WHERE id = %s AND deleted_at = 0",
        (account,),
    )
    row = cursor.fetchone()
    return _account(row) if row else None


_BY_ADDRESSES: Final = (
    "SELECT id, uuid, address, active, quota_octets, quota_messages FROM accounts"
    " WHERE address IN ({list}) AND deleted_at = 0 ORDER BY id"
)
_TARGETS: Final = "SELECT target FROM aliases WHERE address IN ({list}) ORDER BY address, target"


def route_txn(cursor: Cursor, address: str) -> list[Account]:
    """The accounts that mail for `address` goes to, each once: none when it is unknown, several behind an alias.

    Disabled accounts are among them; whether they take mail is the caller's to say.
    """
    found, _ = _expand(cursor, address)
    return list(found.values())


def reached_txn(cursor: Cursor, address: str) -> set[str]:
    """Every address that mail for `address` passes on its way, itself included."""
    _, seen = _expand(cursor, address)
    return seen


def _expand(cursor: Cursor, address: str) -> tuple[dict[AccountId, Account], set[str]]:
    """The accounts behind an address, and all addresses on the way; one round trip for each level of aliases."""
    found: dict[AccountId, Account] = {}
    seen = {address}
    level = [address.encode()]
    for _ in range(ALIAS_DEPTH):
        names = padded(level)
        accounts, targets = cursor.script(
            [(with_list(_BY_ADDRESSES, len(names)), names), (with_list(_TARGETS, len(names)), names)]
        )
        for row in accounts.rows:
            account = _account(row)
            found[account.id] = account
        level = [name.encode() for name in dict.fromkeys(row[0].decode() for row in targets.rows) if name not in seen]
        seen.update(name.decode() for name in level)
        if not level or len(seen) > ALIAS_TARGETS:
            break
    return found, seen


def usage_txn(cursor: Cursor, account: AccountId) -> Usage:
    """What the account's live messages sum up to."""
    cursor.execute("SELECT octets, messages FROM account_usage WHERE account = %s", (account,))
    row = cursor.fetchone()
    return Usage(row[0], row[1]) if row else Usage(0, 0)


# --- writes ---


_INSERT_ACCOUNT: Final = (
    "INSERT INTO accounts (uuid, address, domain, password_hash, active, quota_octets, quota_messages,"  # noqa: S608
    " next_uidvalidity, meta_seq, created_at, deleted_at, full_name)"
    f" VALUES (%s, %s, %s, %s, %s, %s, %s, 1, 1, {NOW_US}, 0, %s)"
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What an administrator sets of an account. Quotas of 0 mean none."""

    password_hash: str
    full_name: str = ""
    active: bool = True
    quota_octets: int = 0
    quota_messages: int = 0


def insert_account_txn(cursor: Cursor, uuid: bytes, address: str, domain: int, settings: Settings) -> AccountId:
    """Add an account with nothing in it; its id. DuplicateKey when the address is taken."""
    quotas_ = (settings.quota_octets, settings.quota_messages)
    cursor.execute(
        _INSERT_ACCOUNT,
        (
            uuid,
            address.encode(),
            domain,
            settings.password_hash.encode(),
            int(settings.active),
            *quotas_,
            settings.full_name.encode(),
        ),
    )
    cursor.execute("SELECT id FROM accounts WHERE uuid = %s", (uuid,))
    row = cursor.fetchone()
    if row is None:
        raise LookupError("the account that was just inserted is not there")
    account = AccountId(row[0])
    cursor.execute("INSERT INTO account_usage (account, octets, messages) VALUES (%s, 0, 0)", (account,))
    return account


def lock_txn(cursor: Cursor, account: AccountId) -> bool:
    """Lock the account's row; False when it is gone. Taken before any change to names of its mailboxes."""
    cursor.execute("SELECT id FROM accounts WHERE id = %s AND deleted_at = 0 FOR UPDATE", (account,))
    return cursor.fetchone() is not None


@dataclass(frozen=True, slots=True)
class Held:
    """An account whose row is locked."""

    address: str
    domain: int
    settings: Settings


def hold_txn(cursor: Cursor, account: AccountId) -> Held | None:
    """Lock the account's row and read what it holds; None when it is gone."""
    cursor.execute(
        "SELECT address, domain, password_hash, full_name, active, quota_octets, quota_messages FROM accounts"
        " WHERE id = %s AND deleted_at = 0 FOR UPDATE",
        (account,),
    )
    row = cursor.fetchone()
    if row is None:
        return None
    return Held(row[0].decode(), row[1], Settings(row[2].decode(), row[3].decode(), bool(row[4]), row[5], row[6]))


def set_txn(cursor: Cursor, account: AccountId, settings: Settings) -> None:
    """Let the account, whose row is locked, have these settings."""
    cursor.execute(
        "UPDATE accounts SET password_hash = %s, full_name = %s, active = %s, quota_octets = %s, quota_messages = %s,"
        " meta_seq = meta_seq + 1 WHERE id = %s",
        (
            settings.password_hash.encode(),
            settings.full_name.encode(),
            int(settings.active),
            settings.quota_octets,
            settings.quota_messages,
            account,
        ),
    )


def touch_txn(cursor: Cursor, account: AccountId) -> None:
    """Note that something of the account, whose row is locked, has changed that the journal is to tell."""
    cursor.execute("UPDATE accounts SET meta_seq = meta_seq + 1 WHERE id = %s", (account,))


_DELETE_ACCOUNT: Final = (
    f"UPDATE accounts SET deleted_at = {NOW_US}, meta_seq = meta_seq + 1 WHERE id = %s AND deleted_at = 0"  # noqa: S608
)
_DELETE_MAILBOXES: Final = (
    "UPDATE mailboxes SET deleted_at = (SELECT deleted_at FROM accounts WHERE id = %s),"
    " highest_modseq = highest_modseq + 1 WHERE account = %s AND deleted_at = 0"
)


def delete_account_txn(cursor: Cursor, account: AccountId) -> bool:
    """Mark the account and its mailboxes deleted; False when it was gone. Its rows stay until they are purged.

    All carry one moment, by which `undelete` tells the mailboxes that went with it from those deleted before.
    """
    if cursor.execute(_DELETE_ACCOUNT, (account,)) != 1:
        return False
    # By ascending id, as whoever writes to several of them; the UPDATE alone goes by their names.
    cursor.execute("SELECT id FROM mailboxes WHERE account = %s AND deleted_at = 0", (account,))
    ids = sorted(row[0] for row in cursor.fetchall())
    locks = [("SELECT id FROM mailboxes WHERE id = %s FOR UPDATE", (each,)) for each in ids]
    dropped = [statement for each in ids for statement in snapshots.drop_statements(each)]
    cursor.script([*locks, (_DELETE_MAILBOXES, (account, account)), *dropped])
    return True


@dataclass(frozen=True, slots=True)
class Quota:
    """An account's quotas, 0 for none, beside what it uses; the usage is not locked and may be outrun."""

    octets: int
    messages: int
    used_octets: int
    used_messages: int

    def admits(self, octets: int, messages: int) -> bool:
        """Whether there is room for that much more."""
        octets, messages = self.used_octets + octets, self.used_messages + messages
        return not ((self.octets and octets > self.octets) or (self.messages and messages > self.messages))

    def percent(self) -> int:
        """How much is used of that quota of which more is used, in whole per cent; 0 without a quota."""
        of_octets = self.used_octets * 100 // self.octets if self.octets else 0
        of_messages = self.used_messages * 100 // self.messages if self.messages else 0
        return max(of_octets, of_messages)

    def lifted(self) -> Quota:
        """The same usage without a bound."""
        return Quota(0, 0, self.used_octets, self.used_messages)


class Room:
    """What a quota still leaves, counted down."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota

    def take(self, octets: int, messages: int) -> bool:
        """Use up that much; False, and nothing is used up, when it is more than is left."""
        quota = self._quota
        if not quota.admits(octets, messages):
            return False
        used = (quota.used_octets + octets, quota.used_messages + messages)
        self._quota = Quota(quota.octets, quota.messages, *used)
        return True


_QUOTAS: Final = (
    "SELECT a.id, a.quota_octets, a.quota_messages, u.octets, u.messages FROM accounts a"
    " JOIN account_usage u ON u.account = a.id WHERE a.id IN ({list}) AND a.deleted_at = 0"
)


def quotas_statement(accounts: Sequence[AccountId]) -> Statement:
    """The statement that reads quotas as they stand now, for a script; hand its rows to `quotas`."""
    ids = padded(accounts)
    return with_list(_QUOTAS, len(ids)), ids


def quotas(rows: Sequence[Row]) -> dict[AccountId, Quota]:
    """What `quotas_statement` returned; an account that is missing does not exist any more."""
    return {AccountId(row[0]): Quota(row[1], row[2], row[3], row[4]) for row in rows}


def charge_statement(account: AccountId, octets: int, messages: int, quota: Quota) -> Statement:
    """The statement that books new messages; it finds no row when that would exceed the quota.

    Last in its transaction, accounts by ascending id.
    """
    return (
        "UPDATE account_usage SET octets = octets + %s, messages = messages + %s WHERE account = %s"
        " AND (%s = 0 OR octets + %s <= %s) AND (%s = 0 OR messages + %s <= %s)",
        (octets, messages, account, quota.octets, octets, quota.octets, quota.messages, messages, quota.messages),
    )


def discharge_statement(account: AccountId, octets: int, messages: int) -> Statement:
    """The statement that takes expunged messages off the account's usage. Last in its transaction."""
    return (
        "UPDATE account_usage SET octets = octets - %s, messages = messages - %s WHERE account = %s",
        (octets, messages, account),
    )
