"""An administrator's own password and authenticator app."""

from __future__ import annotations

import base64
import binascii
import time
from dataclasses import replace
from typing import Final

from lightmail.auth import totp
from lightmail.auth.passwords import hash_password, verify
from lightmail.errors import Invalid, NoSuchAdministrator
from lightmail.operations import administrators as operations
from lightmail.store import administrators
from lightmail.store.administrators import Administrator, Credentials
from lightmail.web.pages import fields, qr
from lightmail.web.pages.fields import Trouble
from lightmail.web.pages.views import Access, Answer, Html, Redirect, View, Visit

_PATH: Final = "/web/myself"


async def show(visit: Visit) -> Answer:
    """The page."""
    return await _page(visit)


async def change_password(visit: Visit) -> Answer:
    """Change the password, which takes the present one."""
    known = await _credentials(visit)
    if not await _is_right(visit, known, visit.form.get("password", "")):
        return await _page(visit, Trouble("That is not your present password. Enter it again.", "present", 403))
    new, repeated = (visit.form.get(name, "") for name in ("new_password", "repeated"))
    try:
        password = fields.new_password({"password": new, "repeated": repeated})
        password_hash = await visit.services.hashing.run(hash_password, password)
    except Invalid as error:
        wrong = fields.trouble(error, field="new")
        return await _page(visit, replace(wrong, field="new") if wrong.field == "password" else wrong)
    session = visit.who.sha256 if visit.who is not None else b""
    id = known.administrator.id
    await operations.set_password(visit.services.transactions, visit.actor, id, password_hash, session)
    return Redirect(_PATH, "password")


async def add_totp(visit: Visit) -> Answer:
    """Have codes asked for from now on, once the app has shown that it makes the right ones."""
    known = await _credentials(visit)
    secret = _read_secret(visit.form.get("secret", ""))
    step = totp.matching_step(secret, visit.form.get("code", ""), time.time(), 0)
    if step is None:
        line = (
            "That is not the code that the app should show now. Enter the next one; is the clock of its device right?"
        )
        return await _page(visit, Trouble(line, "code", 422), secret)
    await operations.set_totp(visit.services.transactions, visit.actor, known.administrator.id, secret, step)
    return Redirect(_PATH, "totp-added")


async def remove_totp(visit: Visit) -> Answer:
    """Ask for no codes any more, which takes the password."""
    known = await _credentials(visit)
    if not await _is_right(visit, known, visit.form.get("password", "")):
        return await _page(visit, Trouble("That is not your password. Enter it again.", "confirm", 403))
    await operations.set_totp(visit.services.transactions, visit.actor, known.administrator.id, b"")
    return Redirect(_PATH, "totp-removed")


async def _page(visit: Visit, trouble: Trouble | None = None, secret: bytes = b"") -> Html:
    shown = trouble or Trouble()
    administrator = _administrator(visit)
    secret = secret or totp.new_secret()
    uri = totp.key_uri(secret, administrator.name, visit.services.config.system.hostname)
    values = {
        "trouble": shown,
        "administrator": administrator,
        "secret": base64.b32encode(secret).decode("ascii"),
        "key_text": totp.key_text(secret),
        "key_uri": uri,
        "qr": None if administrator.has_totp else await visit.services.hashing.run(qr.drawn, uri),
    }
    return Html("myself.html", values, shown.status)


def _administrator(visit: Visit) -> Administrator:
    if visit.who is None or visit.who.administrator is None:
        raise NoSuchAdministrator
    return visit.who.administrator


async def _credentials(visit: Visit) -> Credentials:
    id = _administrator(visit).id
    found = await visit.services.database.read("administrator", administrators.by_id_txn, id)
    if found is None:
        raise NoSuchAdministrator
    return found


async def _is_right(visit: Visit, known: Credentials, password: str) -> bool:
    return await visit.services.hashing.run(verify, known.password_hash, password)


def _read_secret(text: str) -> bytes:
    """The secret that the page offered. Raises Invalid."""
    try:
        secret = base64.b32decode(text)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != totp.SECRET_OCTETS:
        raise Invalid("The key is not one that this page has offered.")
    return secret


VIEWS: Final = (
    View("GET", _PATH, Access.ADMINISTRATOR, show),
    View("POST", f"{_PATH}/password", Access.ADMINISTRATOR, change_password),
    View("POST", f"{_PATH}/totp", Access.ADMINISTRATOR, add_totp),
    View("POST", f"{_PATH}/totp/remove", Access.ADMINISTRATOR, remove_totp),
)
