"""Mailboxes and messages that pages name by their ids: whose they are, and as whom the visitor may touch them."""

from __future__ import annotations

from lightmail.errors import NoSuchMailbox, NoSuchMessage
from lightmail.model import MailboxId, MessageId
from lightmail.operations.actors import Actor
from lightmail.store import browsing
from lightmail.store.browsing import Box
from lightmail.web.pages import fields
from lightmail.web.pages.views import Visit


async def mailbox(visit: Visit) -> tuple[Box, Actor]:
    """The mailbox of the path, which may be deleted, and who asks. Raises NoSuchMailbox, also for who may not."""
    id = MailboxId(fields.identifier(visit.path, NoSuchMailbox))
    box = await visit.services.database.read("mailbox", browsing.box_txn, id)
    if box is None or not (actor := visit.actor_of(box.owner.domain)).administers(box.owner.domain):
        raise NoSuchMailbox
    return box, actor


async def message(visit: Visit) -> tuple[MessageId, Actor]:
    """The id of the message of the path, and who asks. Raises NoSuchMessage, also for who may not."""
    id = MessageId(fields.identifier(visit.path, NoSuchMessage))
    domain = await visit.services.database.read("message", browsing.domain_txn, id)
    if domain is None or not (actor := visit.actor_of(domain)).administers(domain):
        raise NoSuchMessage
    return id, actor
