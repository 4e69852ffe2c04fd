"""The AUTHORIZATION state: CAPA, STLS, USER and PASS, AUTH (RFC 1939, RFC 2449, RFC 2595, RFC 5034).

APOP is not offered: it needs passwords that can be read back.
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Final

from lightmail.auth.sasl import Plain
from lightmail.errors import Invalid, PrivacyRequired
from lightmail.pop3.commands import AUTHORIZATION, TRANSACTION, Bad, Command

if TYPE_CHECKING:
    from lightmail.pop3.server import Pop3Server

_HERE: Final = frozenset({AUTHORIZATION})
_ANYWHERE: Final = frozenset({AUTHORIZATION, TRANSACTION})


async def _capa(session: Pop3Server, arguments: list[bytes]) -> None:
    lines = [b"+OK Capability list follows", *session.listCapabilities(), b"."]
    session.send(b"".join(line + b"\r\n" for line in lines))


async def _stls(session: Pop3Server, arguments: list[bytes]) -> None:
    if not session.may_start_tls:
        raise Bad("TLS is not available." if not session.secure else "TLS is on already.")
    session.start_tls()


async def _user(session: Pop3Server, arguments: list[bytes]) -> None:
    _check_privacy(session)
    # The same answer whether there is such a user or not.
    session.user = arguments[0]
    session.send(b"+OK Send PASS\r\n")


async def _pass(session: Pop3Server, arguments: list[bytes]) -> None:
    _check_privacy(session)
    user, session.user = session.user, None
    if user is None:
        raise Bad("USER first.")
    await session.log_in(user, arguments[0])


async def _auth(session: Pop3Server, arguments: list[bytes]) -> None:
    if not arguments:  # what clients did before there was CAPA
        session.send(b"+OK\r\nPLAIN\r\n.\r\n" if session.may_log_in else b"+OK\r\n.\r\n")
        return
    if arguments[0].upper() != b"PLAIN":
        raise Bad("Unknown mechanism.")
    _check_privacy(session)
    if len(arguments) == 2:
        response = b"" if arguments[1] == b"=" else arguments[1]
    else:
        session.send(b"+ \r\n")
        response = await session.line()
    if response == b"*":
        raise Bad("Authentication cancelled.")
    credentials = Plain()
    try:
        credentials.setResponse(binascii.a2b_base64(response, strict_mode=True))
    except (binascii.Error, Invalid):
        raise Bad("Not a PLAIN response in base64.") from None
    await session.log_in(credentials.username, credentials.password, credentials.authorize_as)


def _check_privacy(session: Pop3Server) -> None:
    if not session.may_log_in:
        raise PrivacyRequired


COMMANDS: Final = (
    Command(b"CAPA", _ANYWHERE, _capa),
    Command(b"STLS", _HERE, _stls),
    Command(b"USER", _HERE, _user, 1, 1, whole=True),
    Command(b"PASS", _HERE, _pass, 1, 1, whole=True),
    Command(b"AUTH", _HERE, _auth, 0, 2),
)
