"""Domains, accounts, aliases and what accounts use. Addresses are `addresses.normalised` text."""

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


@dataclass(frozen=True, slots=True)
class Alias:
    """One target of an alias."""

    address: str
    target: str


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


def list_txn(cursor: Cursor, domain: str | None = None) -> list[tuple[Account, Usage]]:
    """Every account with its usage, by address; of one domain, or of all."""
    cursor.execute(
        "SELECT a.id, a.uuid, a.address, a.active, a.quota_octets, a.quota_messages, u.octets, u.messages"
        " FROM accounts a JOIN account_usage u ON u.account = a.id JOIN domains d ON d.id = a.domain"
        " WHERE a.deleted_at = 0 AND (%s = '' OR d.name = %s) ORDER BY a.address",
        ("" if domain is None else "one", (domain or "").encode()),
    )
    return [(_account(row), Usage(row[6], row[7])) for row in cursor.fetchall()]


def usage_txn(cursor: Cursor, account: AccountId) -> Usage:
    """What the account's live messages sum up to."""
    cursor.execute("SELECT octets, messages FROM account_usage WHERE account = %s", (account,))
    row = cursor.fetchone()
    return Usage(row[0], row[1]) if row else Usage(0, 0)


def domains_txn(cursor: Cursor) -> list[tuple[str, int]]:
    """Every domain with the number of its accounts, by name."""
    cursor.execute(
        "SELECT d.name, (SELECT COUNT(*) FROM accounts a WHERE a.domain = d.id AND a.deleted_at = 0)"
        " FROM domains d ORDER BY d.name"
    )
    return [(row[0].decode(), row[1]) for row in cursor.fetchall()]


def domain_limits_txn(cursor: Cursor) -> dict[str, int]:
    """How many accounts each domain may have; domains without a limit are missing."""
    cursor.execute("SELECT d.name, l.accounts FROM domain_limits l JOIN domains d ON d.id = l.domain")
    return {row[0].decode(): row[1] for row in cursor.fetchall()}


def aliases_txn(cursor: Cursor, domain: str | None = None) -> list[Alias]:
    """Every alias, one row per target; of one domain, or of all."""
    cursor.execute(
        "SELECT l.address, l.target FROM aliases l JOIN domains d ON d.id = l.domain"
        " WHERE %s = '' OR d.name = %s ORDER BY l.address, l.target",
        ("" if domain is None else "one", (domain or "").encode()),
    )
    return [Alias(row[0].decode(), row[1].decode()) for row in cursor.fetchall()]


# --- writes ---


def domain_id_txn(cursor: Cursor, name: str) -> int | None:
    """The id of a domain, its row locked against a concurrent deletion."""
    cursor.execute("SELECT id FROM domains WHERE name = %s FOR UPDATE", (name.encode(),))
    row = cursor.fetchone()
    return int(row[0]) if row else None


def insert_domain_txn(cursor: Cursor, name: str) -> None:
    """Add a domain; DuplicateKey when it exists."""
    cursor.execute(_INSERT_DOMAIN, (name.encode(),))


_INSERT_DOMAIN: Final = f"INSERT INTO domains (name, created_at) VALUES (%s, {NOW_US})"  # noqa: S608


def domain_in_use_txn(cursor: Cursor, domain: int) -> bool:
    """Whether the domain still has accounts or aliases."""
    cursor.execute(
        "SELECT 1 FROM accounts WHERE domain = %s AND deleted_at = 0 UNION ALL"
        " SELECT 1 FROM aliases WHERE domain = %s LIMIT 1",
        (domain, domain),
    )
    return cursor.fetchone() is not None


def delete_domain_txn(cursor: Cursor, domain: int) -> None:
    """Remove the domain's row, and its limit."""
    cursor.execute("DELETE FROM domain_limits WHERE domain = %s", (domain,))
    cursor.execute("DELETE FROM domains WHERE id = %s", (domain,))


def limit_domain_txn(cursor: Cursor, domain: int, most: int) -> None:
    """Let the domain have `most` accounts, 0 for any number; its row is locked."""
    if not most:
        cursor.execute("DELETE FROM domain_limits WHERE domain = %s", (domain,))
    elif not cursor.execute("UPDATE domain_limits SET accounts = %s WHERE domain = %s", (most, domain)):
        cursor.execute("INSERT INTO domain_limits (domain, accounts) VALUES (%s, %s)", (domain, most))


def is_domain_full_txn(cursor: Cursor, domain: int) -> bool:
    """Whether the domain has as many accounts as it may have; exact where its row is locked."""
    cursor.execute(
        "SELECT 1 FROM domain_limits l WHERE l.domain = %s AND l.accounts <="
        " (SELECT COUNT(*) FROM accounts a WHERE a.domain = l.domain AND a.deleted_at = 0)",
        (domain,),
    )
    return cursor.fetchone() is not None


_INSERT_ACCOUNT: Final = (
    "INSERT INTO accounts (uuid, address, domain, password_hash, active, quota_octets, quota_messages,"  # noqa: S608
    f" next_uidvalidity, meta_seq, created_at, deleted_at) VALUES (%s, %s, %s, %s, 1, %s, %s, 1, 1, {NOW_US}, 0)"
)


def insert_account_txn(
    cursor: Cursor,
    uuid: bytes,
    address: str,
    domain: int,
    password_hash: str,
    quota_octets: int,
    quota_messages: int,
) -> AccountId:
    """Add an account with nothing in it; its id. DuplicateKey when the address is taken."""
    cursor.execute(
        _INSERT_ACCOUNT,
        (uuid, address.encode(), domain, password_hash.encode(), quota_octets, quota_messages),
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


def set_password_txn(cursor: Cursor, account: AccountId, password_hash: str) -> bool:
    """Give the account another password; False when it is gone."""
    sql = "UPDATE accounts SET password_hash = %s, meta_seq = meta_seq + 1 WHERE id = %s AND deleted_at = 0"
    return cursor.execute(sql, (password_hash.encode(), account)) == 1


def set_active_txn(cursor: Cursor, account: AccountId, active: bool) -> bool:
    """Enable or disable the account; False when it is gone."""
    sql = "UPDATE accounts SET active = %s, meta_seq = meta_seq + 1 WHERE id = %s AND deleted_at = 0"
    return cursor.execute(sql, (int(active), account)) == 1


def set_quota_txn(cursor: Cursor, account: AccountId, octets: int, messages: int) -> bool:
    """Set the quotas, 0 for none; False when the account is gone."""
    sql = (
        "UPDATE accounts SET quota_octets = %s, quota_messages = %s, meta_seq = meta_seq + 1"
        " WHERE id = %s AND deleted_at = 0"
    )
    return cursor.execute(sql, (octets, messages, account)) == 1


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


def insert_alias_txn(cursor: Cursor, address: str, target: str, domain: int) -> None:
    """Add a target to an alias; DuplicateKey when it has it."""
    cursor.execute(
        "INSERT INTO aliases (address, target, domain) VALUES (%s, %s, %s)", (address.encode(), target.encode(), domain)
    )


def delete_alias_txn(cursor: Cursor, address: str, target: str | None) -> int:
    """Remove one target of an alias, or all; how many there were."""
    if target is None:
        return cursor.execute("DELETE FROM aliases WHERE address = %s", (address.encode(),))
    return cursor.execute("DELETE FROM aliases WHERE address = %s AND target = %s", (address.encode(), target.encode()))


def has_alias_txn(cursor: Cursor, address: str) -> bool:
    """Whether an alias has that address."""
    cursor.execute("SELECT 1 FROM aliases WHERE address = %s LIMIT 1", (address.encode(),))
    return cursor.fetchone() is not None


def aliases_to_txn(cursor: Cursor, target: str) -> list[str]:
    """The aliases that lead to `target` at once."""
    cursor.execute("SELECT address FROM aliases WHERE target = %s ORDER BY address", (target.encode(),))
    return [row[0].decode() for row in cursor.fetchall()]


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
