"""Findings about objects, told of the messages that refer to them: those are what people know."""

from __future__ import annotations

from typing import Final

from lightmail.jobs.verify.steps import Emit, Hands
from lightmail.jobs.verify.table import CHECKS
from lightmail.store import referred
from lightmail.store.referred import ObjectRow

# An object may be copied any number of times; so many messages of it are named one by one.
_NAMED: Final = 20


async def emit_for_object(
    hands: Hands, kind: str, row: ObjectRow, emit: Emit, *, detail: str = "", repaired: bool = False
) -> None:
    """Emit a finding for each message that refers to the object, or one for the object that nobody refers to."""
    database = hands.database
    references = await database.read("verify", referred.references_txn, row.id, _NAMED)
    if not references:
        nobody = "no message refers to it" if not detail else f"{detail}; no message refers to it"
        emit(CHECKS[kind].finding(key=row.key, detail=nobody, repaired=repaired))
        return
    addresses, names = await database.read(
        "verify", referred.names_txn, {each.account for each in references}, {each.mailbox for each in references}
    )
    for each in references:
        expunged = "" if each.live else "expunged"
        emit(
            CHECKS[kind].finding(
                account=addresses.get(each.account, str(each.account)),
                mailbox=names.get(each.mailbox, str(each.mailbox)),
                uid=each.uid,
                key=row.key,
                detail="; ".join(text for text in (detail, expunged) if text),
                repaired=repaired,
            )
        )
