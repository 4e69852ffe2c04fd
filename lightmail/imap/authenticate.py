"""Logging in (RFC 3501 section 6.2): LOGIN, and AUTHENTICATE with the mechanisms PLAIN (RFC 4616) and LOGIN.

A password is taken over TLS or from this host only, unless the configuration says TLS always.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger

from lightmail import metrics
from lightmail.errors import AuthenticationFailed, AuthorizationFailed, MailError, PrivacyRequired
from lightmail.imap.account import MailAccount
from lightmail.imap.commands import UNAUTH, Command, Completion
from lightmail.imap.tokens import Bad, Tokens

if TYPE_CHECKING:
    from lightmail.imap.server import ImapServer

log = Logger()


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client logs in with, as it came."""

    name: bytes
    password: bytes


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One SASL mechanism: how its exchange goes. `exchange` gets the initial response, or None (RFC 4959)."""

    name: bytes
    exchange: Callable[[ImapServer, bytes | None], Awaitable[Credentials]]


def passwords_welcome(session: ImapServer) -> bool:
    """Whether a password may cross this connection."""
    return session.secure or (session.local and not session.services.config.tls_only)


def _offered(session: ImapServer) -> bool:
    return session.state == "unauth" and passwords_welcome(session)


def _withheld(session: ImapServer) -> bool:
    return session.state == "unauth" and not passwords_welcome(session)


# LOGIN


def _parse_login(tokens: Tokens) -> Credentials:
    tokens.sp()
    name = tokens.astring()
    tokens.sp()
    password = tokens.astring()
    tokens.end()
    return Credentials(name, password)


async def _login(session: ImapServer, credentials: Credentials) -> Completion:
    if not passwords_welcome(session):
        raise PrivacyRequired
    return await _log_in(session, credentials)


async def _log_in(session: ImapServer, credentials: Credentials) -> Completion:
    """Check the credentials and enter the authenticated state."""
    try:
        account = await session.services.authenticator.login(
            credentials.name, credentials.password, session.address, "imap"
        )
        session.place.login(account.id)
    except MailError as error:
        _refused(session, credentials, error)
        raise
    session.authenticated(MailAccount(session.services, account), session.place.leave)
    metrics.LOGINS.labels("imap", "ok").inc()
    log.info("{session} logged in as {account} from {address}", session=session.id, account=account.address, address=session.address)
    return Completion(code=b"CAPABILITY " + b" ".join(session.listCapabilities()), text=b"Logged in")


def _refused(session: ImapServer, credentials: Credentials, error: MailError) -> None:
    metrics.LOGINS.labels("imap", "unavailable" if error.transient else "refused").inc()
    log.info(
        "{session} may not log in as {name} from {address}: {reason}",
        session=session.id,
        name=credentials.name.decode("utf-8", "replace"),
        address=session.address,
        reason=error.text,
    )
    if error.transient:
        return
    session.failed_logins += 1
    if session.failed_logins >= session.services.config.max_failed_attempts:
        session.then(lambda: session.bye(b"Too many failed logins"))


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
    mechanism = MECHANISMS.get(name)
    if mechanism is None:
        raise UnknownMechanism
    if not passwords_welcome(session):
        raise PrivacyRequired
    response = None if initial is None else _decoded(b"" if initial == b"=" else initial)
    return await _log_in(session, await mechanism.exchange(session, response))


class UnknownMechanism(MailError):
    """AUTHENTICATE by a mechanism that is not offered."""

    imap_code = b"CANNOT"
    text = "No such authentication mechanism."


async def _ask(session: ImapServer, challenge: bytes) -> bytes:
    """The client's answer to a challenge (in base64), decoded. Bad where it cancels."""
    session.proceed(challenge)
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
    except binascii.Error:
        raise Bad("Not base64") from None


async def _plain(session: ImapServer, initial: bytes | None) -> Credentials:
    """authorization NUL name NUL password (RFC 4616)."""
    response = await _ask(session, b"") if initial is None else initial
    fields = response.split(b"\0")
    if len(fields) != 3:
        raise Bad("Not a PLAIN response")
    authorization, name, password = fields
    if authorization not in (b"", name):
        # Nobody may act as somebody else; whether the password was right is not told (P11).
        raise AuthorizationFailed
    if not name or not password:
        raise AuthenticationFailed
    return Credentials(name, password)


async def _login_mechanism(session: ImapServer, initial: bytes | None) -> Credentials:
    """The name, then the password, each asked for: never standardised, still used by Outlook."""
    name = await _ask(session, b"VXNlcm5hbWU6") if initial is None else initial
    return Credentials(name, await _ask(session, b"UGFzc3dvcmQ6"))


MECHANISMS: Final = {
    mechanism.name: mechanism for mechanism in (Mechanism(b"PLAIN", _plain), Mechanism(b"LOGIN", _login_mechanism))
}

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
