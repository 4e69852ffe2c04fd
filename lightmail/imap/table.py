"""All commands, and the capabilities that their rows bring. An extension is one more family here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lightmail.imap import (
    any_state,
    append,
    authenticate,
    copy,
    expunge,
    idle,
    listing,
    mailboxes,
    search,
    select,
    store,
)
from lightmail.imap.commands import Command
from lightmail.imap.fetch import run as fetch

if TYPE_CHECKING:
    from lightmail.imap.server import ImapServer

_FAMILIES: Final = (
    any_state,
    authenticate,
    idle,
    mailboxes,
    listing,
    select,
    append,
    fetch,
    search,
    store,
    copy,
    expunge,
)

COMMANDS: Final[dict[bytes, Command[Any]]] = {row.name: row for family in _FAMILIES for row in family.COMMANDS}

# What no command brings: the protocol, and the framing's non-synchronizing literals (RFC 7888).
_ALWAYS: Final = (b"IMAP4rev1", b"LITERAL+")


def capabilities(session: ImapServer) -> list[bytes]:
    """What CAPABILITY answers to this session in its present state."""
    names = list(_ALWAYS)
    for row in COMMANDS.values():
        if row.capabilities and (row.offered is None or row.offered(session)):
            names += row.capabilities
    return names
