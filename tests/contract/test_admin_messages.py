"""The contract of what administrators do to the mail of others, over every database: found by page, changed by id,
within their domains, and noted."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightmail.errors import Cannot, MailError, NoSuchDestination, NoSuchMailbox, NoSuchMessage, OverQuota
from lightmail.mime import render
from lightmail.model import Account, FlagMode, MailboxId, MessageId
from lightmail.operations import admin_mailboxes, admin_messages, mailboxes
from lightmail.operations.accounts import add_account, delete_account
from lightmail.operations.actors import Actor
from lightmail.operations.append import NewMessage, append
from lightmail.operations.domains import add_domain
from lightmail.operations.flags import store_flags
from lightmail.store import browsing
from lightmail.store.browsing import SLICE, SLICE_OF_GONE, Found, Listed, Wanted
from tests.support.actors import OPERATOR, of_domain
from tests.support.bulkmail import MINUTE_US, fill
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, NOW_US, Store, blob, fresh_config, open_store, together

NONE: tuple[bytes, ...] = ()
ALL = Wanted()
DELETED = Wanted(deleted=True)


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as opened:
        yield opened


def ids(store: Store, mailbox: MailboxId) -> list[MessageId]:
    """The ids of a mailbox's messages, by UID."""
    return [MessageId(row[0]) for row in store.snapshot(mailbox).rows]


def of_mailbox(store: Store, mailbox: MailboxId, wanted: Wanted = ALL, limit: int = 100, offset: int = 0) -> Found:
    return run(admin_messages.of_mailbox(store.tx, OPERATOR, mailbox, wanted, None, limit, offset)).found


def of_account(store: Store, account: Account, wanted: Wanted = ALL, limit: int = 100, offset: int = 0) -> Found:
    return run(admin_messages.of_account(store.tx, OPERATOR, account.id, wanted, None, limit, offset))


def walk(store: Store, account: Account, mailbox: MailboxId | None, wanted: Wanted, limit: int) -> list[Listed]:
    """All messages of a list, page by page."""
    found: list[Listed] = []
    place = None
    while True:
        page = run(store.database.read("test", browsing.messages_txn, account.id, mailbox, wanted, place, limit))
        assert len(page.messages) <= limit
        found += page.messages
        place = page.next
        if place is None:
            return found


def noted(store: Store, account: Account) -> list[tuple[str, dict[str, Any]]]:
    """What the audit log has of an account since it was made, and of whom."""
    rows = store.rows(
        "SELECT action, detail, actor, origin, domain FROM audit_log WHERE subject = %s ORDER BY id",
        account.address.encode(),
    )
    domain = store.count("SELECT domain FROM accounts WHERE id = %s", account.id)
    assert all((row[2], row[3], row[4]) == (b"operator", b"console", domain) for row in rows)
    return [(row[0].decode(), json.loads(row[1])) for row in rows if row[0] != b"account.add"]


def written(header: bytes) -> NewMessage:
    return NewMessage(replace(blob(), rendering=render(io.BytesIO(header))), NONE, NOW_US)


# --- pages ---


def test_a_message_is_listed_with_what_it_is(store: Store) -> None:
    account = store.account()
    mailbox = store.mailbox(account).id
    header = b"From: =?utf-8?q?Gr=C3=A9ta?= <G@example.net>\r\nSubject: Lunch\r\n on FRIDAY\r\n\r\n"
    run(append(store.tx, account, mailbox, [replace(written(header), flags=(b"\\Seen", b"mine", b"$Junk"))]))
    (found,) = of_mailbox(store, mailbox).messages
    assert (found.uid, found.mailbox, found.octets, found.internaldate_us) == (1, mailbox, 1000, NOW_US)
    assert set(found.flags) == {"\\Seen", "$Junk", "mine"}
    assert (found.sender, found.subject) == ("Gréta <G@example.net>", "Lunch on FRIDAY")
    assert found.deleted_us == 0
    shown = run(admin_messages.shown(store.tx, OPERATOR, found.id))
    assert shown.whole.message == found
    assert (shown.whole.box.name, shown.whole.box.owner.address) == ("INBOX", account.address)


def test_a_header_that_is_too_large_to_show_is_shown_as_it_is_searched(store: Store) -> None:
    account = store.account()
    mailbox = store.mailbox(account).id
    noise = b"".join(b"X-%d: %b\r\n" % (n, os.urandom(400).hex().encode()) for n in range(200))
    run(append(store.tx, account, mailbox, [written(b"From: Loud\r\nSubject: NEWS\r\n" + noise + b"\r\n")]))
    (found,) = of_mailbox(store, mailbox).messages
    assert (found.sender, found.subject) == ("loud", "news")


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_pages_together_are_the_list(store: Store, data: st.DataObject) -> None:
    account = store.account()
    boxes = [store.mailbox(account, name).id for name in ("INBOX", "Archive")]
    for name, count in zip(("INBOX", "Archive"), data.draw(st.tuples(*[st.integers(0, 9)] * 2)), strict=True):
        for _ in range(count):
            store.fill(account, name, [NONE])
    every = [id_ for box in boxes for id_ in ids(store, box)]
    gone = {id_ for id_ in every if data.draw(st.booleans())}
    for id_ in data.draw(st.permutations(sorted(gone))):
        run(admin_messages.delete(store.tx, OPERATOR, id_))
    limit = data.draw(st.integers(1, 5))
    there = [id_ for id_ in every if id_ not in gone]
    assert [each.id for each in walk(store, account, None, ALL, limit)] == sorted(there, reverse=True)
    for box in boxes:
        live = [each.id for each in walk(store, account, box, ALL, limit)]
        assert live == list(reversed(ids(store, box))), "the newest first"
        offset = data.draw(st.integers(0, 10))
        listed = run(admin_messages.of_mailbox(store.tx, OPERATOR, box, ALL, None, limit, offset))
        assert [each.id for each in listed.found.messages] == live[offset : offset + limit]
        assert listed.total == len(live)
    deleted = walk(store, account, None, DELETED, limit)
    assert {each.id for each in deleted} == gone
    moments = [(each.deleted_us, each.id) for each in deleted]
    assert moments == sorted(moments, reverse=True), "deleted last first"
    assert {each.id for box in boxes for each in walk(store, account, box, DELETED, limit)} == gone


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"subject": "NR. 7 ÜBER"}, [7]),
        ({"sender": "andré no. 1"}, [12, 11, 10, 1]),
        ({"sender": "sender3@", "subject": "woche"}, [3]),
        ({"sender": "sender3@", "subject": "nr. 4"}, []),
        ({"since_us": NOW_US + 11 * MINUTE_US}, [12, 11]),
        ({"until_us": NOW_US + 3 * MINUTE_US}, [2, 1]),
        ({"subject": "%"}, []),
        ({"sender": "' OR 1=1 --"}, []),
        ({"sender": "andré", "since_us": NOW_US + 12 * MINUTE_US}, [12]),
    ],
)
def test_filters(store: Store, changes: dict[str, Any], found: list[int]) -> None:
    account = store.account()
    mailbox = store.mailbox(account).id
    fill(store, account, mailbox, 12)
    wanted = replace(ALL, **changes)
    for box in (mailbox, None):
        assert [each.uid for each in walk(store, account, box, wanted, 2)] == found
    for id_ in ids(store, mailbox):
        run(admin_messages.delete(store.tx, OPERATOR, id_))
    assert walk(store, account, None, wanted, 2) == []
    gone = replace(wanted, deleted=True)
    assert [each.uid for each in walk(store, account, mailbox, gone, 2)] == found


def test_deletions_are_found_by_their_time(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [NONE] * 3)
    for id_ in ids(store, mailbox):
        run(admin_messages.delete(store.tx, OPERATOR, id_))
    third, second, first = of_account(store, account, DELETED).messages
    between = replace(DELETED, deleted_since_us=second.deleted_us, deleted_until_us=third.deleted_us)
    assert [each.id for each in of_account(store, account, between).messages] == [second.id]
    before = replace(DELETED, deleted_until_us=second.deleted_us)
    assert [each.id for each in of_account(store, account, before).messages] == [first.id]


def test_text_is_looked_for_in_slices(store: Store) -> None:
    account = store.account()
    mailbox = store.mailbox(account).id
    count = SLICE + 100
    fill(store, account, mailbox, count)
    wanted = replace(ALL, subject="nr. 1 über")
    for box in (mailbox, None):
        page = run(store.database.read("test", browsing.messages_txn, account.id, box, wanted, None, 50))
        assert page.messages == [], "so many newer ones were looked through"
        assert page.next is not None
        assert [each.uid for each in walk(store, account, box, wanted, 50)] == [1]
    found = walk(store, account, mailbox, replace(ALL, sender="no. 5"), 50)
    assert [each.uid for each in found] == [n for n in range(count, 0, -1) if str(n).startswith("5")]
    store.execute("UPDATE messages SET fate = 1, deleted_at = uid WHERE mailbox = %s", mailbox)
    page = of_account(store, account, replace(wanted, deleted=True))
    assert page.next is not None
    assert (page.messages, page.next[0], page.slice) == ([], count - SLICE_OF_GONE + 1, SLICE_OF_GONE)
    for deleted in (replace(DELETED, subject="nr. 1 über"), replace(DELETED, sender="no. 5")):
        uids = [each.uid for each in walk(store, account, None, deleted, 50)]
        assert uids == ([1] if deleted.subject else [each.uid for each in found])


def test_what_cannot_be_restored_is_left_out_and_the_list_goes_on(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [NONE] * 9)
    for id_ in ids(store, mailbox):
        run(admin_messages.delete(store.tx, OPERATOR, id_))
    given_up = "UPDATE objects SET state = 2 WHERE id IN (SELECT object FROM messages WHERE mailbox = %s AND {})"
    store.execute(given_up.format("uid IN (7, 8)"), mailbox)
    pages = [of_account(store, account, DELETED, limit=2, offset=offset) for offset in (0, 2, 7)]
    assert [[each.uid for each in page.messages] for page in pages] == [[9], [6], [2, 1]]
    assert [page.next is not None for page in pages] == [True, True, False]
    assert [each.uid for each in walk(store, account, None, DELETED, 2)] == [9, 6, 5, 4, 3, 2, 1]


# --- changes by id ---


def test_a_deletion_is_an_expunge(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [NONE, (b"\\Flagged",)])
    first, second = ids(store, mailbox)
    hints = len(store.heard.hints)
    run(admin_messages.delete(store.tx, OPERATOR, first))
    assert ids(store, mailbox) == [second]
    assert store.usage(account) == (1000, 1)
    assert store.heard.hints[hints:] == [(mailbox, store.mailbox(account).highest_modseq)]
    shown = run(admin_messages.shown(store.tx, OPERATOR, first))
    assert shown.whole.message.deleted_us > 0
    with pytest.raises(Cannot, match="already"):
        run(admin_messages.delete(store.tx, OPERATOR, first))
    assert noted(store, account) == [("message.delete", {"message": first, "mailbox": "INBOX"})]


def test_a_copy_has_an_id_of_its_own(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [(b"\\Seen", b"mine")])
    archive = store.mailbox(account, "Archive").id
    (old,) = ids(store, mailbox)
    placed = run(admin_messages.copy(store.tx, OPERATOR, old, archive))
    assert ids(store, archive) == [placed.id] != [old]
    assert (placed.mailbox, placed.uid) == (archive, 1)
    assert store.flags(archive) == {1: {b"\\Seen", b"mine"}}
    assert store.usage(account) == (2000, 2)
    detail = {"message": old, "mailbox": "INBOX", "into": "Archive", "new": placed.id}
    assert noted(store, account) == [("message.copy", detail)]


def test_a_move_leaves_nothing_behind(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [NONE])
    (old,) = ids(store, mailbox)
    placed = run(admin_messages.move(store.tx, OPERATOR, old, store.mailbox(account, "Archive").id))
    assert ids(store, mailbox) == []
    assert store.usage(account) == (1000, 1)
    with pytest.raises(NoSuchMessage):
        run(admin_messages.shown(store.tx, OPERATOR, old))
    assert run(admin_messages.shown(store.tx, OPERATOR, placed.id)).whole.box.name == "Archive"
    assert [action for action, _ in noted(store, account)] == ["message.move"]


def test_where_a_message_cannot_go(store: Store) -> None:
    account, other = store.account(), store.account()
    mailbox = store.fill(account, "INBOX", [NONE])
    (id_,) = ids(store, mailbox)
    run(mailboxes.create(store.tx, account, "Gone"))
    gone = store.mailbox(account, "Gone").id
    run(admin_mailboxes.delete(store.tx, OPERATOR, gone))
    for act in (admin_messages.copy, admin_messages.move):
        with pytest.raises(NoSuchDestination):
            run(act(store.tx, OPERATOR, id_, MailboxId(1 << 60)))
        with pytest.raises(NoSuchDestination):
            run(act(store.tx, OPERATOR, id_, gone))
        with pytest.raises(Cannot, match="own account"):
            run(act(store.tx, OPERATOR, id_, store.mailbox(other).id))
    run(admin_messages.delete(store.tx, OPERATOR, id_))
    with pytest.raises(Cannot, match="deleted"):
        run(admin_messages.copy(store.tx, OPERATOR, id_, mailbox))
    assert [action for action, _ in noted(store, account)] == ["mailbox.delete", "message.delete"], "no refusals"


def test_a_copy_keeps_to_the_quota(store: Store) -> None:
    account = store.account(quota_octets=1500)
    mailbox = store.fill(account, "INBOX", [NONE])
    (id_,) = ids(store, mailbox)
    with pytest.raises(OverQuota):
        run(admin_messages.copy(store.tx, OPERATOR, id_, mailbox))
    assert ids(store, mailbox) == [id_]
    assert noted(store, account) == []
    run(admin_messages.delete(store.tx, OPERATOR, id_))
    store.fill(account, "INBOX", [NONE])
    with pytest.raises(OverQuota):
        run(admin_messages.restore(store.tx, OPERATOR, id_))


def test_a_restored_message_is_back_where_it_was(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "Archive", [(b"\\Seen", b"mine")])
    (old,) = ids(store, mailbox)
    with pytest.raises(Cannot, match="not deleted"):
        run(admin_messages.restore(store.tx, OPERATOR, old))
    run(admin_messages.delete(store.tx, OPERATOR, old))
    placed = run(admin_messages.restore(store.tx, OPERATOR, old))
    assert ids(store, mailbox) == [placed.id]
    assert store.flags(mailbox) == {placed.uid: {b"\\Seen", b"mine"}}
    assert store.usage(account) == (1000, 1)
    with pytest.raises(NoSuchMessage):
        run(admin_messages.restore(store.tx, OPERATOR, old))
    detail = {"message": old, "mailbox": "Archive", "into": "Archive", "new": placed.id}
    assert noted(store, account)[1:] == [("message.restore", detail)]


def test_a_message_comes_back_to_the_name_of_a_mailbox_that_is_gone(store: Store) -> None:
    account = store.account()
    run(mailboxes.create(store.tx, account, "Work/2026"))
    mailbox = store.fill(account, "Work/2026", [NONE, NONE])
    first, second = ids(store, mailbox)
    run(admin_mailboxes.delete(store.tx, OPERATOR, mailbox))
    assert {each.id for each in of_mailbox(store, mailbox, DELETED).messages} == {first, second}
    with pytest.raises(NoSuchMailbox):
        of_mailbox(store, mailbox)
    placed = run(admin_messages.restore(store.tx, OPERATOR, first))
    assert store.mailbox(account, "Work/2026").id == placed.mailbox != mailbox
    inbox = store.mailbox(account).id
    assert run(admin_messages.restore(store.tx, OPERATOR, second, inbox)).mailbox == inbox


Act = Callable[[Store, MessageId, MailboxId], Coroutine[Any, Any, Any]]
DELETING: Act = lambda store, id_, _: admin_messages.delete(store.tx, OPERATOR, id_)  # noqa: E731
MOVING: Act = lambda store, id_, box: admin_messages.move(store.tx, OPERATOR, id_, box)  # noqa: E731
RESTORING: Act = lambda store, id_, _: admin_messages.restore(store.tx, OPERATOR, id_)  # noqa: E731


@pytest.mark.parametrize("act", [DELETING, MOVING, RESTORING], ids=["delete", "move", "restore"])
def test_of_several_at_once_one_is_first(store: Store, act: Act) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [NONE])
    (id_,) = ids(store, mailbox)
    if act is RESTORING:
        run(admin_messages.delete(store.tx, OPERATOR, id_))
    before = len(noted(store, account))
    archive = store.mailbox(account, "Archive").id
    outcomes = together(*(act(store, id_, archive) for _ in range(4)))
    refused = [each for each in outcomes if isinstance(each, Exception)]
    assert len(refused) == 3, outcomes
    assert all(isinstance(each, NoSuchMessage | Cannot) for each in refused)
    assert len(noted(store, account)) == before + 1
    assert store.usage(account)[1] == len(ids(store, mailbox)) + len(ids(store, archive))


def test_an_id_of_a_message_in_flight_between_a_client_and_an_administrator(store: Store) -> None:
    """Flags that a client sets meanwhile are the copy's, or come after it; the message is never lost."""
    account = store.account()
    mailbox = store.fill(account, "INBOX", [NONE])
    (id_,) = ids(store, mailbox)
    archive = store.mailbox(account, "Archive").id
    outcomes = together(
        store_flags(store.tx, account, mailbox, [1], FlagMode.ADD, [b"\\Flagged"]),
        admin_messages.move(store.tx, OPERATOR, id_, archive),
    )
    assert not isinstance(outcomes[1], Exception)
    assert len(ids(store, archive)) == 1
    assert store.usage(account) == (1000, 1)


# --- views ---


def test_a_view_of_the_content_is_noted_before_it_is_had(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [NONE])
    (id_,) = ids(store, mailbox)
    opened = run(admin_messages.open_content(store.tx, OPERATOR, id_, "raw"))
    assert (opened.ref.account, opened.ref.octets) == (account.uuid, 1000)
    assert noted(store, account) == [("message.view", {"message": id_, "mailbox": "INBOX", "what": "raw"})]
    run(admin_messages.shown(store.tx, OPERATOR, id_))
    of_mailbox(store, mailbox)
    assert len(noted(store, account)) == 1, "a list shows no content"
    run(admin_messages.delete(store.tx, OPERATOR, id_))
    run(admin_messages.open_content(store.tx, OPERATOR, id_, "text"))
    assert [action for action, _ in noted(store, account)] == ["message.view", "message.delete", "message.view"]


# --- mailboxes ---


def test_mailboxes_in_numbers(store: Store) -> None:
    account = store.account()
    store.fill(account, "INBOX", [NONE, (b"\\Seen",), NONE], 500)
    made = run(admin_mailboxes.add(store.tx, OPERATOR, account.id, "Über/Mich"))
    listed = run(admin_mailboxes.listed(store.tx, OPERATOR, account.id, None, 100))
    names = [each.name for each in listed.mailboxes]
    assert names == store.names(account)
    assert (listed.total, listed.more) == (len(names), False)
    counts = {each.name: (each.messages, each.unseen, each.octets) for each in listed.mailboxes}
    assert counts["INBOX"] == (3, 2, 1500)
    assert counts["Über/Mich"] == (0, 0, 0)
    assert run(admin_mailboxes.shown(store.tx, OPERATOR, made)).counted in listed.mailboxes
    walked: list[str] = []
    more = True
    while more:
        after = walked[-1] if walked else None
        page = run(admin_mailboxes.listed(store.tx, OPERATOR, account.id, after, 2))
        more = page.more
        walked += [each.name for each in page.mailboxes]
    assert walked == names
    second = run(admin_mailboxes.listed(store.tx, OPERATOR, account.id, None, 3, 2)).mailboxes
    assert [each.name for each in second] == names[2:5]
    assert noted(store, account) == [("mailbox.add", {"mailbox": made, "name": "Über/Mich"})]


def test_a_mailbox_is_deleted_with_its_messages(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "Archive", [NONE, NONE])
    run(admin_mailboxes.delete(store.tx, OPERATOR, mailbox))
    assert "Archive" not in store.names(account)
    assert store.usage(account) == (0, 0)
    with pytest.raises(NoSuchMailbox):
        run(admin_mailboxes.delete(store.tx, OPERATOR, mailbox))
    with pytest.raises(Cannot):
        run(admin_mailboxes.delete(store.tx, OPERATOR, store.mailbox(account).id))
    assert noted(store, account) == [("mailbox.delete", {"mailbox": mailbox, "name": "Archive"})]


# --- whose it is ---


def refused(error: type[MailError], coroutine: Coroutine[Any, Any, Any]) -> str:
    with pytest.raises(error) as caught:
        run(coroutine)
    return str(caught.value)


def everything(
    store: Store, actor: Actor, account: Account, box: MailboxId, id_: MessageId, to: MailboxId
) -> list[str]:
    """All that there is to do, each refused; what is said of it."""
    tx = store.tx
    error = MailError
    return [
        refused(error, admin_mailboxes.listed(tx, actor, account.id, None, 50)),
        refused(error, admin_mailboxes.add(tx, actor, account.id, "New")),
        refused(error, admin_mailboxes.shown(tx, actor, box)),
        refused(error, admin_mailboxes.delete(tx, actor, box)),
        refused(error, admin_messages.of_mailbox(tx, actor, box, ALL, None, 50)),
        refused(error, admin_messages.of_mailbox(tx, actor, box, DELETED, None, 50)),
        refused(error, admin_messages.of_account(tx, actor, account.id, ALL, None, 50)),
        refused(error, admin_messages.shown(tx, actor, id_)),
        refused(error, admin_messages.open_content(tx, actor, id_, "raw")),
        refused(error, admin_messages.delete(tx, actor, id_)),
        refused(error, admin_messages.copy(tx, actor, id_, to)),
        refused(error, admin_messages.move(tx, actor, id_, to)),
        refused(error, admin_messages.restore(tx, actor, id_)),
    ]


def test_what_is_of_another_domain_is_not_there(store: Store) -> None:
    account = store.account()
    box = store.fill(account, "Archive", [NONE])
    (id_,) = ids(store, box)
    name = f"d{account.id}.example"
    theirs = of_domain(run(add_domain(store.tx, OPERATOR, name)))
    own = run(add_account(store.tx, theirs, f"own@{name}", "hash"))
    mine = store.fill(own, "INBOX", [NONE])
    nowhere = 1 << 60
    for to in (mine, box):
        said = everything(store, theirs, account, box, id_, to)
        absent = everything(
            store, theirs, replace(account, id=type(account.id)(nowhere)), MailboxId(nowhere), MessageId(nowhere), to
        )
        assert said == absent, "not even whether it is there"
    refused(NoSuchDestination, admin_messages.copy(store.tx, theirs, ids(store, mine)[0], box))
    assert ids(store, box) == [id_]
    assert noted(store, account) == []
    assert run(admin_messages.of_account(store.tx, theirs, own.id, ALL, None, 50)).messages != []
    run(admin_messages.delete(store.tx, theirs, ids(store, mine)[0]))
    refused(MailError, admin_messages.restore(store.tx, theirs, id_, mine))


def test_a_deleted_account_has_nothing(store: Store) -> None:
    account = store.account()
    box = store.fill(account, "Archive", [NONE])
    (id_,) = ids(store, box)
    run(delete_account(store.tx, OPERATOR, account.id))
    everything(store, OPERATOR, account, box, id_, box)
