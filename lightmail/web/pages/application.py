"""The routes of the web, made of the table: who asks is found out, forms are checked, and answers get their headers."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from klein import Klein
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException

from lightmail.errors import MailError, ServerBug
from lightmail.operations import web_sessions
from lightmail.operations.web_sessions import SignedIn
from lightmail.web.api.replies import send_pieces
from lightmail.web.api.services import ApiServices
from lightmail.web.downloads import disposition
from lightmail.web.http import BoundedRequest
from lightmail.web.pages import requests
from lightmail.web.pages.doorkeeper import Doorkeeper
from lightmail.web.pages.notices import TEXTS
from lightmail.web.pages.requests import BadForm
from lightmail.web.pages.templates import STATIC, render
from lightmail.web.pages.views import Access, Answer, Download, File, Framed, Html, Redirect, View, Visit

log = Logger()

_VARIABLE: Final = re.compile(r"\{([a-z_]+)\}")
_BROWSER_CHARACTERS: Final = 255
SIGN_IN: Final = "/web/sign-in"

# Nothing is loaded from elsewhere, nothing runs that is not a file of ours, nobody frames a page or takes a form. Of
# ours only what is `Framed` may stand in a frame.
_HEADERS: Final[Mapping[str, str]] = {
    "Server": "LightMail",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
        " frame-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
# Whatever a browser takes it for, it runs nothing of it.
_NEVER_SHOWN: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Content-Type": "application/octet-stream",
}
_TITLES: Final = {404: "Not found"}


Menu = Callable[[SignedIn | None], Sequence[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class _Frame:
    """What stands around every page: who is signed in, and where he may go."""

    who: SignedIn | None
    menu: Sequence[tuple[str, str]]
    secret: str
    secure: bool

    def values(self, request: BoundedRequest, status: int) -> Mapping[str, Any]:
        """What `base.html` shows."""
        who = self.who
        name = "" if who is None else who.administrator.name if who.administrator is not None else ""
        if who is not None and who.account is not None:
            name = who.account.address
        return {
            "who": who,
            "signed_in_as": name,
            "navigation": self.menu,
            "form_token": web_sessions.form_token(self.secret) if who is not None else "",
            "notice": _notice(request) if status == 200 else "",
            "path": request.path.decode("ascii", "replace"),
        }


def _notice(request: BoundedRequest) -> str:
    try:
        return TEXTS.get(requests.fields(request.query).get("notice", ""), "")
    except BadForm:
        return ""


class _Refused(Exception):
    """A page that is not shown: its status, and a line for people."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status
        self.line = line


def make_resource(views: Sequence[View], menu: Menu, services: ApiServices, doorkeeper: Doorkeeper) -> Any:
    """The resource that serves the pages, all of them below /web, and / itself, which leads there.

    `menu` names the pages that somebody may choose from, with their addresses.
    """
    app = Klein()
    app.url_map.merge_slashes = False
    for view in views:
        rule = _VARIABLE.sub(r"<\1>", view.path)
        handler = _handler(view, menu, services, doorkeeper)
        app.route(rule, methods=[view.method], endpoint=f"{view.method} {view.path}", strict_slashes=True)(handler)
    app.route("/web/static/<name>", methods=["GET"], endpoint="static")(_send_static)
    app.handle_errors(HTTPException)(_no_route)
    return app.resource()


def _handler(view: View, menu: Menu, services: ApiServices, doorkeeper: Doorkeeper) -> Callable[..., Awaitable[None]]:
    """What Klein calls for a page's requests."""

    async def handle(request: BoundedRequest, **variables: str) -> None:
        trusted = services.config.limits.trusted_networks
        secure = requests.is_secure(request, trusted)
        secret = requests.secret(request, secure)
        who: SignedIn | None = None
        try:
            who = await web_sessions.signed_in(services.database, secret)
            origin = requests.origin(request, trusted)
            form = _checked_form(request, view, who, secret)
            browser = _browser(request)
            query = requests.fields(request.query)
            site = requests.site(request, trusted)
            visit = Visit(who, origin, secure, browser, variables, query, form, services, doorkeeper, site)
            answer = await view.run(visit) if _may_see(view, who) else _to_sign_in(request, view, who)
        except CancelledError:
            if request.channel is not None:
                request.channel.forceAbortClient()
            return
        except Exception as error:
            answer = _explained(request, error)
        if isinstance(answer, Download):
            await _send_download(request, answer, services.reactor)
            return
        frame = _Frame(who, menu(who), secret, secure)
        try:
            _send(request, answer, frame)
        except Exception as error:  # a template that misses a value: nothing was written yet
            _send(request, _explained(request, error), frame)

    return handle


def _checked_form(request: BoundedRequest, view: View, who: SignedIn | None, secret: str) -> Mapping[str, str]:
    """The form of a POST that one of our pages has sent. Raises _Refused, BadForm."""
    if view.method != "POST":
        return {}
    if not requests.is_from_here(request):
        raise _Refused(403, "The form was not sent from a page of this server.")
    form = requests.form(request)
    if who is not None and not web_sessions.is_form_token(secret, form.get("form_token", "")):
        raise _Refused(403, "The form is of another session. Go back, load the page again, and send it again.")
    return form


def _may_see(view: View, who: SignedIn | None) -> bool:
    if view.access is Access.EVERYBODY:
        return True
    if who is None:
        return False
    if view.access is Access.SIGNED_IN:
        return True
    if who.administrator is None:
        return False
    return view.access is Access.ADMINISTRATOR or who.administrator.server


def _to_sign_in(request: BoundedRequest, view: View, who: SignedIn | None) -> Answer:
    """What somebody gets who may not see a page. Raises _Refused for who is signed in as somebody else."""
    if who is not None:
        raise _Refused(404, "There is no such page.")
    fresh = view.method == "GET" and request.path in (b"/", b"/web/")
    return Redirect(SIGN_IN, "" if fresh else "ended")


def _explained(request: BoundedRequest, error: Exception) -> Html:
    """The page that tells of an error; a bug is logged, and its text goes nowhere else."""
    if isinstance(error, _Refused):
        return _error(error.status, error.line)
    if isinstance(error, BadForm):
        return _error(400, f"What your browser sent cannot be read. {error}")
    if isinstance(error, MailError):
        return _error(error.http, error.text)
    log.failure("{path} failed", path=request.path.decode("utf-8", "backslashreplace"), session=request.id)
    return _error(500, ServerBug().text)


def _error(status: int, line: str) -> Html:
    title = _TITLES.get(status, "That did not work" if status < 500 else "Trouble")
    return Html("error.html", {"title": title, "line": line}, status)


def _no_route(request: BoundedRequest, failure: Failure) -> None:
    status = failure.value.code if isinstance(failure.value, HTTPException) and failure.value.code else 404
    _send(request, _error(status, "There is no such page."), _Frame(None, (), "", False))


async def _send_download(request: BoundedRequest, answer: Download, reactor: Any) -> None:
    """Write a download as fast as the browser takes it; it is cut off where it cannot be read to its end."""
    for name, value in {**_HEADERS, **_NEVER_SHOWN}.items():
        request.say(name, value)
    request.say("Content-Disposition", disposition(answer.filename))
    if answer.length is not None:
        request.say("Content-Length", str(answer.length))
    try:
        await send_pieces(request, answer.pieces, reactor)
        if request.method == b"HEAD":
            request.put(b"")
    except CancelledError:
        request.cut()
    except Exception:
        log.failure("{path} was cut off", path=request.path.decode("utf-8", "backslashreplace"), session=request.id)
        request.cut()


def _send(request: BoundedRequest, answer: Html | Redirect | File | Framed, frame: _Frame) -> None:
    for name, value in _HEADERS.items():
        request.say(name, value)
    if isinstance(answer, Redirect):
        if answer.secret is not None:
            request.say("Set-Cookie", requests.cookie(answer.secret, frame.secure))
        request.setResponseCode(303)
        notice = f"?notice={answer.notice}" if answer.notice else ""
        request.say("Location", f"{answer.to}{notice}")
        _write(request, b"")
    elif isinstance(answer, File):
        request.say("Content-Disposition", f'attachment; filename="{answer.filename}"')
        request.say("Content-Type", answer.content_type)
        _write(request, answer.octets)
    elif isinstance(answer, Framed):
        request.say("Content-Security-Policy", answer.policy)
        request.say("Referrer-Policy", "no-referrer")
        request.say("X-DNS-Prefetch-Control", "off")
        request.say("Content-Type", "text/html; charset=utf-8")
        _write(request, answer.octets)
    else:
        request.setResponseCode(answer.status)
        request.say("Content-Type", "text/html; charset=utf-8")
        _write(request, render(answer.template, {**frame.values(request, answer.status), **answer.values}))


def _write(request: BoundedRequest, octets: bytes) -> None:
    request.say("Content-Length", str(len(octets)))
    request.put(octets)


def _browser(request: BoundedRequest) -> str:
    said = request.requestHeaders.getRawHeaders(b"user-agent", [b""])[-1].decode("utf-8", "replace")
    return "".join(character for character in said if character.isprintable())[:_BROWSER_CHARACTERS]


def _send_static(request: BoundedRequest, name: str) -> bytes:
    found = STATIC.get(name)
    for header, value in _HEADERS.items():
        request.say(header, value)
    if found is None:
        request.setResponseCode(404)
        return b""
    if request.query.decode("ascii", "replace") == found.digest:
        request.say("Cache-Control", "public, max-age=31536000, immutable")
    request.say("Content-Type", found.content_type)
    return found.octets
