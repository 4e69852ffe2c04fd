"""Logging in (RFC 3501 section 6.2): LOGIN, and AUTHENTICATE with the mechanisms PLAIN (RFC 4616) and LOGIN.

A password is taken over TLS or from this host only, unless the configuration says TLS always.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import TYPE_CHECKING, Any, Final

from twisted.mail.imap4 import IAccount

from lightmail.auth.checkers import LoginDenied
from lightmail.auth.sasl import MECHANISMS, RemotePassword
from lightmail.errors import Invalid, MailError, PrivacyRequired
from lightmail.imap.commands import UNAUTH, Command, Completion
from lightmail.imap.tokens import Bad, Tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightmail.imap.server import ImapServer


class UnknownMechanism(MailError):
    """AUTHENTICATE by a mechanism that is not offered."""

    imap_code = b"CANNOT"
    text = "No such authentication mechanism."


def passwords_welcome(session: ImapServer) -> bool:
    """Whether a password may cross this connection."""
    return session.secure or (session.local and not session.services.config.tls_only)


def _offered(session: ImapServer) -> bool:
    return session.state == "unauth" and passwords_welcome(session)


def _withheld(session: ImapServer) -> bool:
    return session.state == "unauth" and not passwords_welcome(session)


# LOGIN


def _parse_login(tokens: Tokens) -> tuple[bytes, bytes]:
    tokens.sp()
    name = tokens.astring()
    tokens.sp()
    password = tokens.astring()
    tokens.end()
    return name, password


async def _login(session: ImapServer, args: tuple[bytes, bytes]) -> Completion:
    if not passwords_welcome(session):
        raise PrivacyRequired
    name, password = args
    return await _log_in(session, RemotePassword(name, password, address=session.address))


async def _log_in(session: ImapServer, credentials: RemotePassword) -> Completion:
    """Enter the authenticated state through the portal, which checks the credentials."""
    try:
        _, account, logout = await session.portal.login(credentials, None, IAccount)
    except LoginDenied as denied:
        session.failed_logins += 1
        if session.failed_logins >= session.services.config.max_failed_attempts:
            session.then(_too_many(session))
        raise denied.error from denied
    try:
        session.place.login(account.owner.id)
    except MailError:
        logout()
        raise
    session.authenticated(account, logout)
    return Completion(code=b"CAPABILITY " + b" ".join(session.listCapabilities()), text=b"Logged in")


def _too_many(session: ImapServer) -> Callable[[], None]:
    return lambda: session.bye(b"Too many failed logins")


# AUTHENTICATE


def _parse_authenticate(tokens: Tokens) -> tuple[bytes, bytes | None]:
    tokens.sp()
    mechanism = tokens.word()
    initial = None
    if tokens.skip(b" ") and not tokens.at_end:
        initial = tokens.rest()
    tokens.end()
    return mechanism, initial


async def _authenticate(session: ImapServer, args: tuple[bytes, bytes | None]) -> Completion:
    name, initial = args
    make = MECHANISMS.get(name)
    if make is None:
        raise UnknownMechanism
    if not passwords_welcome(session):
        raise PrivacyRequired
    credentials = make(address=session.address)
    response = None if initial is None else _decoded(b"" if initial == b"=" else initial)
    while True:
        if response is None:
            response = await _ask(session, credentials.getChallenge())
        try:
            credentials.setResponse(response)
        except Invalid as error:
            raise Bad(error.text) from None
        if not credentials.moreChallenges():
            return await _log_in(session, credentials)
        response = None


async def _ask(session: ImapServer, challenge: bytes) -> bytes:
    """The client's answer to a challenge. Bad where it cancels."""
    session.proceed(b64encode(challenge))
    line = session.take_line()
    while line is None:
        await session.sleep()
        line = session.take_line()
    if line == b"*":
        raise Bad("Authentication cancelled")
    return _decoded(line)


def _decoded(text: bytes) -> bytes:
    try:
        return b64decode(text, validate=True)
    except Base64Error:
        raise Bad("Not base64") from None


COMMANDS: Final[tuple[Command[Any], ...]] = (
    Command(b"LOGIN", UNAUTH, _parse_login, _login, capabilities=(b"LOGINDISABLED",), offered=_withheld),
    Command(
        b"AUTHENTICATE",
        UNAUTH,
        _parse_authenticate,
        _authenticate,
        capabilities=(b"SASL-IR", *(b"AUTH=" + name for name in MECHANISMS)),
        offered=_offered,
        barrier=True,
    ),
)
