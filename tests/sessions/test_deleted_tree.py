"""The `Deleted` tree where a transcript does not reach: off, beside a mailbox of that name, purged, renamed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lightmail.config import ImapConfig
from lightmail.operations.mailboxes import create, delete
from lightmail.operations.purge import purge_messages
from lightmail.store import mailboxes
from tests.support.imapworld import ImapWorld
from tests.support.reactor import run
from tests.support.transcript import run as converse

ALICE = "alice@example.org"
LOGIN = """\
S1: * OK …
C1: a LOGIN alice@example.org secret
S1: a OK …
"""
# Puts one message into a mailbox and expunges it.
LOSE = """\
C1: l1 APPEND {box} {…+}
L1: Subject: lost
L1:
C1:
S1: l1 OK …
C1: l2 SELECT {box}
S1~ l2 OK …
C1: l3 STORE 1:* +FLAGS.SILENT (\\Deleted)
S1: l3 OK …
C1: l4 CLOSE
S1: l4 OK …
"""


@pytest.fixture
def open_world(tmp_path: Path) -> Iterator[Callable[..., ImapWorld]]:
    worlds: list[ImapWorld] = []

    def make(**config: Any) -> ImapWorld:
        world = ImapWorld(tmp_path, config=ImapConfig(**config)).open()
        worlds.append(world)
        world.add_account(ALICE, "secret")
        return world

    yield make
    for world in worlds:
        world.close()


def lose(box: str) -> str:
    return LOSE.replace("{box}", box)


def test_it_is_off_unless_asked_for(open_world: Callable[..., ImapWorld]) -> None:
    converse(
        open_world(),
        LOGIN
        + lose("INBOX")
        + """\
C1: b LIST "" "Deleted*"
S1: b OK …
C1: c SELECT Deleted/INBOX
S1: c NO [NONEXISTENT] …
C1: d STATUS Deleted/INBOX (MESSAGES)
S1: d NO [NONEXISTENT] …
C1: e CREATE Deleted/INBOX
S1: e OK …
""",
    )


def test_a_mailbox_of_the_user_s_own_wins(open_world: Callable[..., ImapWorld]) -> None:
    world = open_world(deleted_tree=True)
    account = world.account(ALICE)
    run(create(world.transactions, account, "Deleted"))
    converse(
        world,
        LOGIN
        + lose("INBOX")
        + """\
C1: b LIST "" "Deleted*"
S1: * LIST (\\HasNoChildren) "/" Deleted
S1: b OK …
C1: c SELECT Deleted/INBOX
S1: c NO [NONEXISTENT] …
C1: d SELECT Deleted
S1~ d OK [READ-WRITE] …
C1: e CREATE Deleted/INBOX
S1: e OK …
C1: f STATUS Deleted/INBOX (MESSAGES)
S1: * STATUS Deleted/INBOX (MESSAGES 0)
S1: f OK …
""",
    )
    for name in ("Deleted/INBOX", "Deleted"):
        run(delete(world.transactions, account, name))
    converse(
        world,
        LOGIN
        + """\
C1: b STATUS Deleted/INBOX (MESSAGES)
S1: * STATUS Deleted/INBOX (MESSAGES 1)
S1: b OK …
""",
    )


def test_what_was_lost_from_all_mailboxes_of_a_name_is_shown_together(open_world: Callable[..., ImapWorld]) -> None:
    again = """\
C1: m1 CREATE again
S1: m1 OK …
C1: m2 APPEND again ({flags}) {…+}
L1: Subject: {subject}
L1:
C1:
S1: m2 OK …
C1: m3 DELETE again
S1: m3 OK …
"""
    converse(
        open_world(deleted_tree=True),
        LOGIN
        + again.replace("{flags}", "first both").replace("{subject}", "one")
        + """\
C1: b EXAMINE Deleted/again
S1~ b OK …
C1: c FETCH 1 (UID FLAGS)
S1: * 1 FETCH (UID 1 FLAGS (first both))
S1: c OK …
"""
        + again.replace("{flags}", "BOTH second").replace("{subject}", "two")
        + """\
C1: d NOOP
S1: * FLAGS (… first both second)
S1: * OK [PERMANENTFLAGS ()] …
S1: * 2 EXISTS
S1: * 0 RECENT
S1: d OK …
C1: e FETCH 1:2 (UID FLAGS ENVELOPE)
S1: * 1 FETCH (UID 1 FLAGS (first both) ENVELOPE (NIL "one" …
S1: * 2 FETCH (UID 2 FLAGS (both second) ENVELOPE (NIL "two" …
S1: e OK …
C1: f UID COPY 2,1 INBOX
S1: * 2 EXPUNGE
S1: * 1 EXPUNGE
S1: f OK [COPYUID … 1:2 1:2] …
C1: g EXAMINE INBOX
S1~ g OK …
C1: h FETCH 1:2 (FLAGS ENVELOPE)
S1: * 1 FETCH (FLAGS (first both \\Recent) ENVELOPE (NIL "one" …
S1: * 2 FETCH (FLAGS (both second \\Recent) ENVELOPE (NIL "two" …
S1: h OK …
""",
    )


def test_purged_messages_leave_and_uids_go_on(open_world: Callable[..., ImapWorld]) -> None:
    world = open_world(deleted_tree=True)
    converse(
        world,
        LOGIN
        + lose("INBOX")
        + lose("INBOX")
        + """\
C1: b STATUS Deleted/INBOX (MESSAGES UIDNEXT)
S1: * STATUS Deleted/INBOX (MESSAGES 2 UIDNEXT 3)
S1: b OK …
""",
    )
    now = time.time_ns() // 1000
    assert run(purge_messages(world.transactions, now, now, 100)).messages == 2
    converse(
        world,
        LOGIN
        + """\
C1: b SELECT Deleted/INBOX
S1~ b OK …
"""
        + lose("INBOX")
        + """\
C1: c SELECT Deleted/INBOX
S1: * FLAGS …
S1: * OK [PERMANENTFLAGS ()] …
S1: * 1 EXISTS
S1~ c OK …
C1: d FETCH 1 UID
S1: * 1 FETCH (UID 3)
S1: d OK …
""",
    )


def test_a_renamed_mailbox_takes_its_deletions_along(open_world: Callable[..., ImapWorld]) -> None:
    world = open_world(deleted_tree=True)
    converse(
        world,
        LOGIN
        + """\
C1: b CREATE old
S1: b OK …
"""
        + lose("old")
        + """\
C1: c EXAMINE Deleted/old
S1~ * OK [UIDVALIDITY «old»] …
S1~ c OK …
C1: d RENAME old new
S1: * 1 EXPUNGE
S1: d OK …
C1: f LIST "" Deleted/*
S1: * LIST (\\HasNoChildren) "/" Deleted/new
S1: f OK …
C1: g STATUS Deleted/old (MESSAGES)
S1: g NO [NONEXISTENT] …
C1: h STATUS Deleted/new (MESSAGES UIDNEXT)
S1: * STATUS Deleted/new (MESSAGES 1 UIDNEXT 2)
S1: h OK …
C1: i RENAME new old
S1: i OK …
C1: j STATUS Deleted/old (MESSAGES UIDNEXT UIDVALIDITY)
S1: * STATUS Deleted/old (MESSAGES 1 UIDNEXT 3 UIDVALIDITY «old»)
S1: j OK …
""",
    )


def test_another_epoch_begins_the_uids_anew(open_world: Callable[..., ImapWorld]) -> None:
    world = open_world(deleted_tree=True)
    status = """\
C1: b STATUS Deleted/INBOX (MESSAGES UIDNEXT UIDVALIDITY)
S1: * STATUS Deleted/INBOX (MESSAGES 1 UIDNEXT 2 UIDVALIDITY …)
S1: b OK …
"""
    converse(world, LOGIN + lose("INBOX") + status)

    def uidvalidity(cursor: Any) -> int:
        cursor.execute("SELECT uidvalidity FROM deleted_views")
        return int(cursor.fetchone()[0])

    before = run(world.database.read("test", uidvalidity))
    run(world.database.run("test", lambda cursor: cursor.execute("UPDATE store SET epoch = epoch + 1")))
    converse(world, LOGIN + status)
    assert run(world.database.read("test", uidvalidity)) > before
    assert run(world.database.read("test", mailboxes.by_name_txn, world.account(ALICE).id, "INBOX")) is not None
