"""Endpoints of app passwords. A secret is in the answer that makes it, and nowhere else."""

from __future__ import annotations

from typing import Any, Final

from lightmail.auth.app_passwords import PROTOCOLS
from lightmail.errors import NoSuchAccount
from lightmail.model import AccountId
from lightmail.operations import app_passwords as operations
from lightmail.operations.app_passwords import NAME_OCTETS
from lightmail.store import app_passwords, profiles
from lightmail.store.app_passwords import AppPassword
from lightmail.web.api.endpoints import Call, Endpoint, Json, Nothing, Page
from lightmail.web.api.problems import about
from lightmail.web.api.schemas import Choice, Id, ListOf, Moment, Nullable, Object, Text, moment_text, optional_moment
from lightmail.web.api.scopes import Scope

_NAME: Final = Text(NAME_OCTETS, minimum=1, about="The client that has it, such as `phone`.")
_PROTOCOLS: Final = ListOf(Choice(PROTOCOLS), len(PROTOCOLS), minimum=1, about="What it may log in by.")
_SHOWN: Final = {
    "id": Id(),
    "account_id": Id(),
    "name": _NAME,
    "protocols": _PROTOCOLS,
    "created_at": Moment(),
    "last_used_at": Nullable(Moment(), about="To the minute; null: never."),
    "last_used_from": Nullable(Text(64), about="The IP address of the client."),
}
_APP_PASSWORD: Final = Object(_SHOWN, name="AppPassword")
_NEW: Final = Object({"name": _NAME}, {"protocols": _PROTOCOLS}, name="NewAppPassword")
_MADE: Final = Object(
    {**_SHOWN, "password": Text(about="The secret, shown this once.", secret=True)}, name="MadeAppPassword"
)


async def list_(call: Call) -> Page:
    """A page of an account's app passwords, by name."""
    account, page = AccountId(call.path["id"]), call.page
    profile = await call.services.database.read("account", profiles.by_id_txn, account)
    if profile is None:
        raise NoSuchAccount
    call.actor.require(profile.domain)
    every = await call.services.database.read("app-passwords", app_passwords.list_txn, account)
    after = str(page.after[0]).encode() if page.after else b""
    found = [each for each in every if each.name.encode() > after][page.offset :]
    shown = found[: page.limit]
    following = (shown[-1].name,) if len(found) > page.limit else None
    return Page([_document(each) for each in shown], following, None if page.after else len(every))


async def add(call: Call) -> Json:
    """Make an app password."""
    with about("name"):
        issued = await operations.add_app_password(
            call.services.transactions,
            call.actor,
            call.path["id"],
            call.body["name"],
            call.body.get("protocols", PROTOCOLS),
        )
    return Json({**_document(issued.app_password), "password": issued.secret})


async def revoke(call: Call) -> Nothing:
    """Let an app password open nothing any more."""
    await operations.revoke_app_password(call.services.transactions, call.actor, call.path["id"])
    return Nothing()


def _document(app_password: AppPassword) -> dict[str, Any]:
    return {
        "id": app_password.id,
        "account_id": app_password.account,
        "name": app_password.name,
        "protocols": list(app_password.protocols),
        "created_at": moment_text(app_password.created_us),
        "last_used_at": optional_moment(app_password.last_used_us),
        "last_used_from": app_password.last_used_from or None,
    }


ENDPOINTS: Final = (
    Endpoint(
        "GET",
        "/admin/accounts/{id}/app-passwords",
        Scope.ACCOUNTS_READ,
        "List app passwords",
        list_,
        answer=_APP_PASSWORD,
        paged=True,
        position=(str,),
        codes={"no_such_account": 404},
    ),
    Endpoint(
        "POST",
        "/admin/accounts/{id}/app-passwords",
        Scope.ACCOUNTS_WRITE,
        "Make an app password",
        add,
        body=_NEW,
        answer=_MADE,
        status=201,
        codes={"no_such_account": 404, "already_exists": 409, "limit_reached": 409},
        about="A random password for one client of the account's owner, beside his own. It is shown this once.",
    ),
    Endpoint(
        "DELETE",
        "/admin/app-passwords/{id}",
        Scope.ACCOUNTS_WRITE,
        "Revoke an app password",
        revoke,
        status=204,
        codes={"no_such_app_password": 404},
        about="The account's sessions end; clients with another password that is good log in again by themselves.",
    ),
)
