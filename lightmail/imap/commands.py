"""The rows that make up the protocol: what a command is called, where it is legal, how it is read and run.

Each command family is a module that exports ``COMMANDS``, a tuple of :class:`Command` rows; ``table.py`` joins them.
Parsing is apart from running: ``parse`` sees the arguments only, ``run`` the session and what ``parse`` made of them.
Neither sends the tagged response: ``run`` returns it, or raises a :class:`~lightmail.errors.MailError` (answered NO)
or :class:`~lightmail.imap.tokens.Bad` (answered BAD); any other exception is a bug (NO [SERVERBUG], logged).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from lightmail.imap.tokens import Tokens

if TYPE_CHECKING:
    from lightmail.imap.server import ImapServer
    from lightmail.objects.spool import Spool

A = TypeVar("A")

# States by Twisted's names (RFC 3501 section 3).
UNAUTH: Final = frozenset({"unauth"})
AUTH: Final = frozenset({"auth", "select"})
SELECT: Final = frozenset({"select"})
ANY: Final = UNAUTH | AUTH


@dataclass(frozen=True, slots=True)
class Completion:
    """A tagged response: ``tag status [code] text``. Without `text` it says that the command completed."""

    status: bytes = b"OK"
    code: bytes | None = None
    text: bytes = b""


OK: Final = Completion()


@dataclass(frozen=True, slots=True)
class Command(Generic[A]):
    """One command of the protocol.

    ``name`` is in upper case; a ``UID`` command is a row of its own, ``b"UID FETCH"``.
    ``uses_seqs``: its arguments or responses hold sequence numbers, so no EXPUNGE may be sent while it runs or waits.
    ``capabilities``: what advertising it takes (RFC 3501 section 6.1.1), where ``offered`` says so for a session.
    ``barrier``: what follows on the wire belongs to the command itself (AUTHENTICATE, IDLE) or is read under other
    rules (STARTTLS), so nothing is taken for a command until it has run.
    ``accept``: takes in a literal as a stream (APPEND). Called with the text before the literal and its octets, once
    all earlier commands have run; answers the spool to fill, or None where the literal is an ordinary argument. What
    it raises refuses the literal, before it is sent where the client waits to be asked.
    """

    name: bytes
    states: frozenset[str]
    parse: Callable[[Tokens], A]
    run: Callable[[ImapServer, A], Awaitable[Completion]]
    uses_seqs: bool = False
    capabilities: tuple[bytes, ...] = ()
    offered: Callable[[ImapServer], bool] | None = None
    barrier: bool = False
    accept: Callable[[ImapServer, Tokens, int], Awaitable[Spool | None]] | None = None


def no_arguments(tokens: Tokens) -> None:
    """The parser of commands that take none."""
    tokens.end()
