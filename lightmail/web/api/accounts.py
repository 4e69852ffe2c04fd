"""Endpoints of accounts: who has mail here."""

from __future__ import annotations

from typing import Any, Final

from lightmail.auth.opaque import PASSWORD_OCTETS
from lightmail.auth.passwords import hash_password
from lightmail.config import GarbageConfig
from lightmail.errors import NoSuchAccount
from lightmail.model import AccountId
from lightmail.operations import accounts as operations
from lightmail.operations.accounts import FULL_NAME_OCTETS, Change
from lightmail.operations.undelete import restore_account
from lightmail.store import profiles, undelete
from lightmail.store.profiles import Profile
from lightmail.store.ranges import names_from
from lightmail.store.undelete import DeletedAccount
from lightmail.web.api.endpoints import Call, Endpoint, Json, Nothing, Page, Query
from lightmail.web.api.problems import about
from lightmail.web.api.schemas import Address, Boolean, Id, Integer, Moment, Object, Text, moment_text
from lightmail.web.api.scopes import Scope

_DAY_US: Final = 86_400_000_000
_PASSWORD: Final = Text(PASSWORD_OCTETS, minimum=1, secret=True, about="As RFC 8265 has it; it is kept as a hash.")
_FULL_NAME: Final = Text(FULL_NAME_OCTETS, about="What its owner is called.")
_ACTIVE: Final = Boolean(
    about="Nobody logs in to an account that is not, and mail for it waits at the sender's server."
)
_QUOTAS: Final = {
    "quota_octets": Integer(about="What its messages may sum up to; 0: no limit."),
    "quota_messages": Integer(about="How many messages it may hold; 0: no limit."),
}
_ACCOUNT: Final = Object(
    {
        "id": Id(),
        "address": Text(320),
        "domain_id": Id(),
        "full_name": _FULL_NAME,
        "active": _ACTIVE,
        **_QUOTAS,
        "used_octets": Integer(about="What its messages sum up to."),
        "used_messages": Integer(),
        "created_at": Moment(),
    },
    name="Account",
)
_NEW_ACCOUNT: Final = Object(
    {"address": Address(about="Its domain must exist."), "password": _PASSWORD},
    {"full_name": _FULL_NAME, "active": _ACTIVE, **_QUOTAS},
    name="NewAccount",
)
_CHANGES: Final = Object(
    {},
    {"password": _PASSWORD, "full_name": _FULL_NAME, "active": _ACTIVE, **_QUOTAS},
    least=1,
    name="AccountChanges",
)
_DELETED: Final = Object(
    {
        "id": Id(),
        "address": Text(320),
        "deleted_at": Moment(),
        "messages": Integer(about="How many messages it had."),
    },
    name="DeletedAccount",
)


async def list_(call: Call) -> Page:
    """A page of the accounts, by address."""
    page, domain = call.page, call.query["domain_id"]
    if call.actor.domain is not None:
        if domain not in (None, call.actor.domain):
            return Page([], None, 0)
        domain = call.actor.domain
    found, total = await call.services.database.read(
        "accounts",
        profiles.listed_txn,
        domain,
        names_from(call.query["search"] or "", str(page.after[0]) if page.after else None),
        page.limit + 1,
        page.offset,
        counting=page.after is None,
    )
    shown = found[: page.limit]
    return Page([_document(each) for each in shown], (shown[-1].address,) if len(found) > page.limit else None, total)


async def show(call: Call) -> Json:
    """One account."""
    return await _shown(call, call.path["id"])


async def add(call: Call) -> Json:
    """Add an account."""
    body = call.body
    password_hash = await _hashed(call, body["password"])
    with about("full_name"):
        added = await operations.add_account(
            call.services.transactions,
            call.actor,
            body["address"],
            password_hash,
            body.get("quota_octets", 0),
            body.get("quota_messages", 0),
            full_name=body.get("full_name", ""),
            active=body.get("active", True),
        )
    return await _shown(call, added.id)


async def change(call: Call) -> Json:
    """Change settings of an account."""
    given = dict(call.body)
    password = given.pop("password", None)
    if password is not None:
        given["password_hash"] = await _hashed(call, password)
    with about("full_name"):
        await operations.change_account(call.services.transactions, call.actor, call.path["id"], Change(**given))
    return await _shown(call, call.path["id"])


async def delete(call: Call) -> Nothing:
    """Delete an account with its mail."""
    await operations.delete_account(call.services.transactions, call.actor, call.path["id"])
    return Nothing()


async def list_deleted(call: Call) -> Page:
    """A page of the accounts that can be restored, the last deleted first."""
    page = call.page
    found = await call.services.database.read(
        "deleted-accounts",
        undelete.restorable_accounts_txn,
        call.actor.domain,
        _undelete_days(call) * _DAY_US,
        int(page.after[0]) if page.after else None,
        page.limit + 1,
        page.offset,
    )
    shown = found[: page.limit]
    return Page([_deleted(each) for each in shown], (shown[-1].id,) if len(found) > page.limit else None)


async def restore(call: Call) -> Json:
    """Bring a deleted account back."""
    wanted = AccountId(call.path["id"])
    found = await call.services.database.read("deleted-account", undelete.deleted_account_txn, wanted)
    if found is None or not call.actor.administers(found.domain):
        raise NoSuchAccount
    await restore_account(call.services.transactions, call.actor, found.address, _undelete_days(call), wanted)
    return await _shown(call, wanted)


def _undelete_days(call: Call) -> int:
    return (call.services.config.garbage or GarbageConfig()).undelete_days


async def _hashed(call: Call, password: str) -> str:
    with about("password"):
        return await call.services.hashing.run(hash_password, password)


async def _shown(call: Call, account: AccountId) -> Json:
    found = await call.services.database.read("account", profiles.by_id_txn, account)
    if found is None:
        raise NoSuchAccount
    call.actor.require(found.domain)
    return Json(_document(found))


def _document(profile: Profile) -> dict[str, Any]:
    return {
        "id": profile.id,
        "address": profile.address,
        "domain_id": profile.domain,
        "full_name": profile.full_name,
        "active": profile.active,
        "quota_octets": profile.quota_octets,
        "quota_messages": profile.quota_messages,
        "used_octets": profile.used_octets,
        "used_messages": profile.used_messages,
        "created_at": moment_text(profile.created_us),
    }


def _deleted(account: DeletedAccount) -> dict[str, Any]:
    return {
        "id": account.id,
        "address": account.address,
        "deleted_at": moment_text(account.deleted_us),
        "messages": account.messages,
    }


_GONE: Final = {"no_such_account": 404}

ENDPOINTS: Final = (
    Endpoint(
        "GET",
        "/admin/accounts",
        Scope.ACCOUNTS_READ,
        "List accounts",
        list_,
        query=(
            Query("search", Text(320, about="Only those whose addresses begin with it.")),
            Query("domain_id", Id(about="Only those of one domain.")),
        ),
        answer=_ACCOUNT,
        paged=True,
        position=(str,),
        about="They come by address. There is a `total` on pages that are asked for without a cursor.",
    ),
    Endpoint(
        "POST",
        "/admin/accounts",
        Scope.ACCOUNTS_WRITE,
        "Add an account",
        add,
        body=_NEW_ACCOUNT,
        answer=_ACCOUNT,
        status=201,
        codes={"no_such_domain": 404, "already_exists": 409, "limit_reached": 409},
        about="It has INBOX, Sent, Drafts, Trash, Junk and Archive. 409 `limit_reached`: the domain is full.",
    ),
    Endpoint("GET", "/admin/accounts/{id}", Scope.ACCOUNTS_READ, "Show an account", show, answer=_ACCOUNT, codes=_GONE),
    Endpoint(
        "PUT",
        "/admin/accounts/{id}",
        Scope.ACCOUNTS_WRITE,
        "Change an account",
        change,
        body=_CHANGES,
        answer=_ACCOUNT,
        codes=_GONE,
        about=(
            "What is not given stays. All changes are made, or none. Another password, and the end of being active,"
            " end the account's sessions."
        ),
    ),
    Endpoint(
        "DELETE",
        "/admin/accounts/{id}",
        Scope.ACCOUNTS_WRITE,
        "Delete an account",
        delete,
        status=204,
        codes={**_GONE, "cannot": 409},
        about=(
            "With its mailboxes and messages; its sessions end, and its address is free. It can be restored for"
            " `[garbage] undelete_days`. 409 `cannot`: aliases lead to it."
        ),
    ),
    Endpoint(
        "GET",
        "/admin/deleted-accounts",
        Scope.ACCOUNTS_READ,
        "List deleted accounts",
        list_deleted,
        answer=_DELETED,
        paged=True,
        about="Those that can be restored; the newest id comes first.",
    ),
    Endpoint(
        "POST",
        "/admin/deleted-accounts/{id}/restore",
        Scope.ACCOUNTS_WRITE,
        "Restore a deleted account",
        restore,
        answer=_ACCOUNT,
        codes={**_GONE, "no_such_domain": 404, "already_exists": 409, "limit_reached": 409},
        about="With its password, mailboxes and messages. 409 `already_exists`: its address is taken by now.",
    ),
)
