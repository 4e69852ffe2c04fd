"""Messages that are refused for what a scanner found in them: whoever reads events is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twisted.logger import Logger

from lightmail import traces
from lightmail.errors import MailError
from lightmail.model import AccountId, Virus
from lightmail.operations.events import VIRUS, shortened
from lightmail.operations.outcome import Changed
from lightmail.operations.transactions import Transactions
from lightmail.store.cursor import Cursor, Statement

log = Logger()


@dataclass(frozen=True, slots=True)
class Carrier:
    """A message with a virus as it came: over which protocol, from whom, and of how many octets."""

    protocol: str
    sender: str
    octets: int
    virus: Virus


async def refused(tx: Transactions, carrier: Carrier, recipients: Sequence[tuple[AccountId, str]]) -> None:
    """Make an event of a message's refusal for each recipient, an account with the address as it was given.

    Never raises a MailError: the refusal stands whatever becomes of this.
    """
    statements = [
        statement
        for account, given in recipients
        for statement in tx.events.statements(VIRUS, account, _detail(carrier, given))
    ]
    if not statements:
        return
    try:
        await tx.commit("virus-refused", _told_txn, statements, account=None)
    except MailError as error:
        log.warn("a refusal for a virus could not be reported: {error}", error=error)


def _told_txn(cursor: Cursor, statements: Sequence[Statement]) -> Changed[None]:
    cursor.script(statements)
    return Changed(None)


def _detail(carrier: Carrier, given: str) -> dict[str, object]:
    """As of a message that is withheld, without what only one has that is stored."""
    return {
        "protocol": carrier.protocol,
        "message_id": None,
        "mailbox_id": None,
        "uid": None,
        "object_id": None,
        "object_key": None,
        "sender": shortened(carrier.sender),
        "recipient": shortened(given),
        "subject": None,
        "size": carrier.octets,
        "trace": traces.CURRENT.get(),
        "signature": carrier.virus.signature,
        "action": "reject",
    }
