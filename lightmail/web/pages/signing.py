"""Signing in and out."""

from __future__ import annotations

from typing import Final

from lightmail.errors import AccountDisabled, AuthenticationFailed, MailError
from lightmail.operations import web_sessions
from lightmail.peers import is_loopback
from lightmail.web.pages.doorkeeper import CodeWanted
from lightmail.web.pages.views import Access, Answer, Html, Redirect, View, Visit

_HOME: Final = "/web/"
_LONGEST: Final = 1024


async def ask(visit: Visit) -> Answer:
    """The form; who is signed in already goes on to the pages."""
    return Redirect(_HOME) if visit.who is not None else _form(visit)


async def sign_in(visit: Visit) -> Answer:
    """Begin a session, or show the form again with what was wrong."""
    if visit.who is not None:
        return Redirect(_HOME)
    if not _is_private(visit):
        return _form(visit, "Passwords are taken over HTTPS only.", status=403)
    name, password, code = (visit.form.get(field, "")[:_LONGEST] for field in ("name", "password", "code"))
    try:
        secret = await visit.doorkeeper.sign_in(name, password, code, visit.origin, visit.browser)
    except CodeWanted:
        line = "That is not the code that your app shows now." if code else "Enter the code that your app shows."
        return _form(visit, line, code_wanted=True, status=403)
    except AccountDisabled:
        return _form(visit, "This account is disabled. Ask your administrator.", status=403)
    except AuthenticationFailed:
        return _form(visit, "Name and password do not belong together.", status=403)
    except MailError as error:
        return _form(visit, error.text, status=error.http)
    return Redirect(_HOME, secret=secret)


async def sign_out(visit: Visit) -> Answer:
    """End the session."""
    if visit.who is not None:
        await web_sessions.sign_out(visit.services.database, visit.who.sha256)
    return Redirect("/web/sign-in", "signed-out", secret="")


def _is_private(visit: Visit) -> bool:
    """Whether nobody reads along: TLS, or the way inside this host."""
    return visit.secure or is_loopback(visit.origin)


def _form(visit: Visit, trouble: str = "", *, code_wanted: bool = False, status: int = 200) -> Html:
    values = {
        "trouble": trouble,
        "name": visit.form.get("name", "")[:_LONGEST],
        "code_wanted": code_wanted,
        "is_private": _is_private(visit),
    }
    return Html("sign_in.html", values, status)


VIEWS: Final = (
    View("GET", "/web/sign-in", Access.EVERYBODY, ask),
    View("POST", "/web/sign-in", Access.EVERYBODY, sign_in),
    View("POST", "/web/sign-out", Access.EVERYBODY, sign_out),
)
