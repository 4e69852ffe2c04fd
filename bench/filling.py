"""Mail for the jobs to work on: with its objects, as it would have been delivered, or rows alone by the thousand."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Sequence

from bench.messages import message
from bench.sites import Site
from lightmail.model import Account, MailboxId
from lightmail.objects.writing import BlobWriter
from lightmail.operations import recovery
from lightmail.operations.append import NewMessage, append
from lightmail.store.recovery import AccountRow, MailboxRow
from tests.support import storekit
from tests.support.reactor import run

OCTETS = 10_240
_AT_ONCE = 200
_MAILBOXES_EACH = 5
# Above all that accounts get otherwise.
_FIRST_MAILBOX = 1_000_000


def fill(site: Site, account: Account, mailbox: MailboxId, count: int) -> None:
    """Append messages of about OCTETS, each with its object."""
    writer = BlobWriter(site.objects, "zstd", 3, None)
    owners = [(account.uuid, mailbox)]

    def write(numbers: Sequence[int]) -> list[NewMessage]:
        made = []
        for number in numbers:
            octets = message(1, number, OCTETS)
            now_us = time.time_ns() // 1000
            blob = writer.write(
                io.BytesIO(octets), len(octets), now_us=now_us, internaldate_us=storekit.NOW_US, owners=owners
            )
            made.append(NewMessage(blob, (), storekit.NOW_US))
        return made

    for start in range(0, count, _AT_ONCE):
        made = run(site.pool.run(write, range(start, min(start + _AT_ONCE, count))))
        run(append(site.store.tx, account, mailbox, made))


def rows(site: Site, account: Account, mailbox: MailboxId, count: int) -> None:
    """Append messages whose objects are not there."""
    for start in range(0, count, _AT_ONCE):
        made = [
            NewMessage(storekit.blob(), (), storekit.NOW_US + number)
            for number in range(start, min(start + _AT_ONCE, count))
        ]
        run(append(site.store.tx, account, mailbox, made))


def many(site: Site, count: int) -> list[MailboxId]:
    """So many mailboxes with one message each, those of an account far apart; one object, not there, serves all."""
    tx = site.store.tx
    blob = storekit.blob()
    object_ = run(recovery.add_objects(tx, [blob]))[blob.key]
    owners = _accounts(site, -(-count // _MAILBOXES_EACH))
    made = [(owners[number % len(owners)], MailboxId(_FIRST_MAILBOX + number)) for number in range(count)]
    when = storekit.NOW_US
    for start in range(0, count, _AT_ONCE):
        piece = made[start : start + _AT_ONCE]
        boxes = [MailboxRow(id_, owner, f"box{id_}", 9, 2, 2, 0, None, 0, ()) for owner, id_ in piece]
        run(recovery.add_mailboxes(tx, boxes))
        messages = [(owner, id_, 1, 2, object_, 0, when, when, blob.octets, 0, None) for owner, id_ in piece]
        run(recovery.add_messages(tx, messages))
    return [id_ for _, id_ in made]


def _accounts(site: Site, count: int) -> list[int]:
    """So many accounts without a mailbox; their ids."""
    domain = site.store.count("SELECT id FROM domains WHERE name = %s", b"example.org")
    ids: list[int] = []
    for start in range(0, count, _AT_ONCE):
        accounts = [
            AccountRow(os.urandom(16), f"many{number}@example.org", domain, "!", True, 0, 0, 99, 1, 1, 0, "", ())
            for number in range(start, min(start + _AT_ONCE, count))
        ]
        ids += run(recovery.add_accounts(site.store.tx, [(account, ()) for account in accounts])).values()
    return ids


def touch(site: Site, count: int) -> None:
    """Leave the first so many of the mailboxes of `many` as a STORE of one flag would."""
    end = _FIRST_MAILBOX + count
    site.store.execute(
        "UPDATE mailboxes SET highest_modseq = highest_modseq + 1 WHERE id >= %s AND id < %s", _FIRST_MAILBOX, end
    )
    site.store.execute(
        "UPDATE messages SET flags = 8 - flags, modseq = (SELECT highest_modseq FROM mailboxes b"
        " WHERE b.id = messages.mailbox) WHERE mailbox >= %s AND mailbox < %s",
        _FIRST_MAILBOX,
        end,
    )
