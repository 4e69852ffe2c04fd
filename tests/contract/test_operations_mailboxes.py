"""The contract of mailbox names, over every database (RFC 3501 section 6.3)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightmail.errors import Cannot, HasChildren, Invalid, LimitReached, MailboxExists, MailError, NoSuchMailbox
from lightmail.operations.mailboxes import create, delete, rename, subscribe, unsubscribe
from lightmail.operations.names import canonical
from lightmail.store import mailboxes
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, Store, fresh_config, open_store, together

FIRST = ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"]
NONE: tuple[bytes, ...] = ()


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as opened:
        yield opened


def test_a_new_account_has_its_mailboxes_with_special_uses(store: Store) -> None:
    account = store.account()
    found = run(store.database.read("test", mailboxes.list_txn, account.id))
    assert {box.name: box.special_use for box in found} == {
        "INBOX": None,
        "Sent": "\\Sent",
        "Drafts": "\\Drafts",
        "Trash": "\\Trash",
        "Junk": "\\Junk",
        "Archive": "\\Archive",
    }
    assert len({box.uidvalidity for box in found}) == 6


def test_create_makes_the_superiors_too(store: Store) -> None:
    account = store.account()
    run(create(store.tx, account, "a/b/c", "\\Archive"))
    assert store.names(account) == sorted([*FIRST, "a", "a/b", "a/b/c"])
    assert store.mailbox(account, "a/b/c").special_use == "\\Archive"
    assert store.mailbox(account, "a/b").special_use is None
    run(create(store.tx, account, "a/b/d/"))
    assert "a/b/d" in store.names(account)


@pytest.mark.parametrize("name", ["INBOX", "inbox", "Sent", "a\u0301"])
def test_a_name_is_taken_once(store: Store, name: str) -> None:
    account = store.account()
    run(create(store.tx, account, "\u00e1"))
    with pytest.raises(MailboxExists):
        run(create(store.tx, account, name))


def test_names_differ_in_case_and_trailing_spaces(store: Store) -> None:
    account = store.account()
    for name in ("sent", "Sent ", "Sent  ", "inbox/x"):
        run(create(store.tx, account, name))
    assert store.names(account) == sorted([*FIRST, "sent", "Sent ", "Sent  ", "INBOX/x"])


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", Invalid),
        ("a//b", Invalid),
        ("/a", Invalid),
        ("a\nb", Invalid),
        ("a\x00b", Invalid),
        ("\ud800", Invalid),
        ("x" * 1001, LimitReached),
        ("/".join("a" * 101), LimitReached),
    ],
)
def test_names_that_cannot_be(store: Store, name: str, error: type[MailError]) -> None:
    account = store.account()
    with pytest.raises(error):
        run(create(store.tx, account, name))
    with pytest.raises(error):
        run(rename(store.tx, account, "Sent", name))
    assert store.names(account) == FIRST


def test_special_uses_that_cannot_be(store: Store) -> None:
    with pytest.raises(Cannot):
        run(create(store.tx, store.account(), "Everything", "\\All"))


def test_uidvalidity_is_never_given_twice_to_a_name(store: Store) -> None:
    account = store.account()
    given_before = set()
    for _ in range(4):
        run(create(store.tx, account, "again"))
        given_before.add(store.mailbox(account, "again").uidvalidity)
        run(delete(store.tx, account, "again"))
    assert len(given_before) == 4
    assert all(value < 1 << 32 for value in given_before)


def test_delete_takes_messages_and_usage_and_leaves_what_is_below(store: Store) -> None:
    account = store.account()
    run(create(store.tx, account, "a/b"))
    mailbox = store.fill(account, "a", [NONE, NONE])
    store.fill(account, "a/b", [NONE])
    run(delete(store.tx, account, "a"))
    assert store.names(account) == sorted([*FIRST, "a/b"])
    assert store.usage(account) == (1000, 1)
    with pytest.raises(HasChildren):
        run(delete(store.tx, account, "a"))
    with pytest.raises(NoSuchMailbox):
        run(delete(store.tx, account, "b"))
    with pytest.raises(Cannot):
        run(delete(store.tx, account, "inbox"))
    modseq = run(store.database.read("test", mailboxes.modseqs_txn, [mailbox]))[mailbox]
    assert store.heard.hints[-1][0] == mailbox
    assert store.heard.hints[-1][1] > modseq - 1
    assert store.count("SELECT COUNT(*) FROM messages WHERE mailbox = %s AND object IS NOT NULL", mailbox) == 2


def test_rename_brings_what_is_below_and_makes_what_is_above(store: Store) -> None:
    account = store.account()
    run(create(store.tx, account, "a/b/c"))
    inner = store.mailbox(account, "a/b/c")
    filled = store.fill(account, "a/b", [(b"mine",)])
    run(rename(store.tx, account, "a/b", "x/y/z"))
    assert store.names(account) == sorted([*FIRST, "a", "x", "x/y", "x/y/z", "x/y/z/c"])
    moved = store.mailbox(account, "x/y/z/c")
    assert (moved.id, moved.uidvalidity) == (inner.id, inner.uidvalidity)
    assert store.flags(filled) == {1: {b"mine"}}
    assert store.mailbox(account, "x/y/z").id == filled


def test_rename_that_cannot_be(store: Store) -> None:
    account = store.account()
    run(create(store.tx, account, "a/b"))
    run(create(store.tx, account, "c/b"))
    for old, new, error in (
        ("nothing", "new", NoSuchMailbox),
        ("a", "c", MailboxExists),
        ("a", "inbox", MailboxExists),
        ("a", "a", MailboxExists),
        ("a", "a/b/c", Cannot),
    ):
        with pytest.raises(error):
            run(rename(store.tx, account, old, new))
    run(delete(store.tx, account, "c"))
    with pytest.raises(MailboxExists):
        run(rename(store.tx, account, "a", "c"))
    assert store.names(account) == sorted([*FIRST, "a", "a/b", "c/b"])


def test_a_name_is_never_seen_with_an_old_uidvalidity_again(store: Store) -> None:
    account = store.account()
    run(create(store.tx, account, "old"))
    run(create(store.tx, account, "new"))
    old, new = store.mailbox(account, "old").uidvalidity, store.mailbox(account, "new").uidvalidity
    assert old < new
    run(delete(store.tx, account, "new"))
    run(rename(store.tx, account, "old", "new"))
    assert store.mailbox(account, "new").uidvalidity > new
    run(create(store.tx, account, "fresh"))
    run(rename(store.tx, account, "fresh", "never-used"))
    kept = store.mailbox(account, "never-used").uidvalidity
    run(rename(store.tx, account, "never-used", "fresh"))
    assert store.mailbox(account, "fresh").uidvalidity > kept


def test_rename_inbox_moves_its_messages_and_leaves_it_empty(store: Store) -> None:
    account = store.account()
    run(create(store.tx, account, "INBOX/below"))
    inbox = store.fill(account, "INBOX", [(b"\\Seen", b"mine"), NONE])
    run(rename(store.tx, account, "INBOX", "saved/mail"))
    assert store.names(account) == sorted([*FIRST, "INBOX/below", "saved", "saved/mail"])
    assert store.uids(inbox) == []
    assert store.mailbox(account).id == inbox
    saved = store.mailbox(account, "saved/mail").id
    assert store.flags(saved) == {1: {b"\\Seen", b"mine"}, 2: set()}
    assert store.usage(account) == (2000, 2)
    assert store.fill(account, "INBOX", [NONE]) == inbox
    assert store.uids(inbox) == [3]
    run(rename(store.tx, store.account(), "INBOX", "empty"))


def test_subscriptions_are_names_and_survive_a_delete(store: Store) -> None:
    account = store.account()
    run(create(store.tx, account, "a"))
    for name in ("a", "a", "inbox", "not-there"):
        run(subscribe(store.tx, account, name))
    run(delete(store.tx, account, "a"))
    assert run(store.database.read("test", mailboxes.subscriptions_txn, account.id)) == ["INBOX", "a", "not-there"]
    for name in ("a", "a", "x//y"):
        run(unsubscribe(store.tx, account, name))
    assert run(store.database.read("test", mailboxes.subscriptions_txn, account.id)) == ["INBOX", "not-there"]


def test_status_counts(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [NONE, (b"\\Seen",), NONE], octets=10)
    status = run(store.database.read("test", mailboxes.status_txn, account.id, "INBOX"))
    assert status is not None
    assert (status.messages, status.unseen, status.recent, status.octets, status.uidnext) == (3, 2, 3, 30, 4)
    assert status.highest_modseq == store.snapshot(mailbox).highest_modseq
    cheap = run(store.database.read("test", mailboxes.status_txn, account.id, "INBOX", False))
    assert cheap is not None
    assert (cheap.messages, cheap.uidnext, cheap.uidvalidity) == (0, 4, status.uidvalidity)
    assert run(store.database.read("test", mailboxes.status_txn, account.id, "none")) is None


def test_the_same_name_made_by_many_at_once_is_made_once(store: Store) -> None:
    account = store.account()
    outcomes = together(*(create(store.tx, account, f"many/{number % 2}") for number in range(8)))
    assert outcomes.count(None) == 2
    assert all(outcome is None or isinstance(outcome, MailboxExists) for outcome in outcomes)
    assert store.names(account) == sorted([*FIRST, "many", "many/0", "many/1"])


@given(st.text(max_size=40))
@settings(max_examples=300)
def test_a_canonical_name_is_its_own(name: str) -> None:
    try:
        once = canonical(name)
    except MailError:
        return
    assert canonical(once) == once
    assert canonical(once + "/") == once
