"""The shape of a POP3 command row, of its arguments and of its answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lightmail.errors import MailError, ServerBug

if TYPE_CHECKING:
    from lightmail.pop3.server import Pop3Server

AUTHORIZATION: Final = "AUTHORIZATION"
TRANSACTION: Final = "TRANSACTION"


class Bad(Exception):
    """A command that cannot be run; it changes nothing, and counts as a bad one. The text is shown: ASCII, one line."""


class NoSuchMessage(MailError):
    """A message number that is not in the maildrop, or is marked as deleted."""

    text = "No such message."


@dataclass(frozen=True, slots=True)
class Command:
    """One command: the states it is legal in, how many arguments it takes at least and at most, and what runs.

    With ``whole`` the rest of the line is its one argument, blanks and all: a password may contain any.
    """

    name: bytes
    states: frozenset[str]
    run: Callable[[Pop3Server, list[bytes]], Awaitable[None]]
    least: int = 0
    most: int = 0
    whole: bool = False

    def arguments(self, rest: bytes) -> list[bytes]:
        """The arguments in the rest of a line. Raises Bad when there are too few or too many."""
        arguments = ([rest] if rest else []) if self.whole else rest.split()
        if not self.least <= len(arguments) <= self.most:
            raise Bad("Wrong number of arguments.")
        return arguments


def number(argument: bytes) -> int:
    """A decimal argument. Raises Bad."""
    if not argument.isdigit() or len(argument) > 10:
        raise Bad("Not a number.")
    return int(argument)


def refusal(error: BaseException) -> bytes:
    """The answer for an error, with its response code (RFC 2449, RFC 3206); only a MailError tells what happened."""
    if isinstance(error, Bad):
        return f"-ERR {error}\r\n".encode("ascii", "replace")
    if not isinstance(error, MailError):
        error = ServerBug()
    code = b"[%b] " % error.pop3_code if error.pop3_code else b""
    return b"-ERR %b%b\r\n" % (code, error.text.encode("ascii", "replace"))
