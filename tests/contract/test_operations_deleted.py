"""The contract of the `Deleted` tree, over every database: UIDs of its own that only ascend, and taking out once."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from lightmail.errors import NoSuchMailbox, OverQuota
from lightmail.model import Account, FlagMode, MailboxId
from lightmail.operations import accounts as account_operations
from lightmail.operations import deleted
from lightmail.operations.copy import Copied, move
from lightmail.operations.deleted import Seen
from lightmail.operations.expunge import expunge
from lightmail.operations.flags import store_flags
from lightmail.operations.mailboxes import create, delete, rename
from lightmail.operations.purge import purge_messages
from tests.support.actors import OPERATOR
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, Store, fresh_config, open_store, together

NONE: tuple[bytes, ...] = ()


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as opened:
        yield opened


def lose(store: Store, account: Account, name: str, count: int = 1) -> MailboxId:
    """Expunge `count` new messages."""
    mailbox = store.fill(account, name, [(b"\\Deleted",)] * count)
    run(expunge(store.tx, account, mailbox, None))
    return mailbox


def see(store: Store, account: Account, name: str = "INBOX") -> Seen:
    return run(deleted.see(store.tx, account, name))


def uids(seen: Seen) -> list[int]:
    return [row[1] for row in seen.snapshot.rows]


def test_uids_ascend_and_are_never_given_twice(store: Store) -> None:
    account = store.account()
    inbox = lose(store, account, "INBOX", 3)
    first = see(store, account)
    assert (uids(first), first.snapshot.uidnext) == ([1, 2, 3], 4)
    assert see(store, account) == first
    run(deleted.take_out(store.tx, account, "INBOX", first, [3], inbox))
    now = time.time_ns() // 1000 + 1_000_000
    assert run(purge_messages(store.tx, now, now, 10_000)).messages >= 3
    assert uids(see(store, account)) == []
    lose(store, account, "INBOX", 2)
    then = see(store, account)
    assert (uids(then), then.snapshot.uidnext) == ([4, 5], 6)
    assert then.snapshot.uidvalidity == first.snapshot.uidvalidity


def test_those_who_look_at_once_see_the_same(store: Store) -> None:
    account = store.account()
    lose(store, account, "INBOX", 20)
    seen = together(*(deleted.see(store.tx, account, "INBOX") for _ in range(4)))
    assert all(isinstance(each, Seen) for each in seen), seen
    assert len({tuple(each.snapshot.rows) for each in seen if isinstance(each, Seen)}) == 1
    assert store.count("SELECT COUNT(*) FROM deleted_uids WHERE mailbox = %s", store.mailbox(account).id) == 20


def test_each_is_taken_out_once(store: Store) -> None:
    account = store.account()
    inbox = lose(store, account, "INBOX", 10)
    archive = store.mailbox(account, "Archive").id
    seen = see(store, account)
    taken = together(
        *(deleted.take_out(store.tx, account, "INBOX", seen, range(1, 11), into) for into in (inbox, archive) * 2)
    )
    copies = [each for each in taken if isinstance(each, Copied)]
    assert len(copies) == 4, taken
    assert sorted(uid for each in copies for uid in each.source_uids) == list(range(1, 11))
    assert len(store.uids(inbox)) + len(store.uids(archive)) == 10
    assert store.usage(account) == (10_000, 10)
    assert store.count("SELECT COUNT(*) FROM deleted_uids WHERE mailbox = %s", inbox) == 0


def test_looking_again_finds_what_changed_and_only_then_reads(store: Store) -> None:
    account = store.account()
    inbox = lose(store, account, "INBOX", 2)
    seen = see(store, account)

    def again(last: Seen) -> Seen:
        return run(deleted.again(store.tx, account, "INBOX", last))

    quiet = again(seen)
    assert quiet.snapshot is seen.snapshot
    store.fill(account, "INBOX", [NONE])
    arrived = again(quiet)
    assert arrived.snapshot is seen.snapshot, "new mail is no deletion"
    assert arrived.sources[inbox] == store.mailbox(account).highest_modseq
    run(move(store.tx, account, inbox, store.uids(inbox), store.mailbox(account, "Trash").id))
    moved = again(arrived)
    assert uids(moved) == [1, 2], "nor is a move"
    lose(store, account, "INBOX")
    lost = again(moved)
    assert uids(lost) == [1, 2, 3]
    run(deleted.take_out(store.tx, account, "INBOX", lost, [2], inbox))
    restored = again(lost)
    assert uids(restored) == [1, 3]


def test_a_deleted_mailbox_is_seen_under_its_name_with_its_successor(store: Store) -> None:
    account = store.account()
    run(create(store.tx, account, "again"))
    store.fill(account, "again", [(b"mine",), (b"yours",)])
    run(delete(store.tx, account, "again"))
    first = see(store, account, "again")
    assert uids(first) == [1, 2]
    run(create(store.tx, account, "again"))
    mailbox = store.fill(account, "again", [(b"YOURS", b"new"), NONE])
    run(store_flags(store.tx, account, mailbox, [1], FlagMode.ADD, [b"\\Deleted"]))
    run(expunge(store.tx, account, mailbox, None))
    both = run(deleted.again(store.tx, account, "again", first))
    names = dict(both.snapshot.keywords)
    flags = [{name for bit, name in names.items() if row[3] >> bit & 1} for row in both.snapshot.rows]
    assert flags == [{b"mine"}, {b"yours"}, {b"yours", b"new"}]
    assert all(not row[3] & 8 for row in both.snapshot.rows), "no flag says that it is deleted"
    copied = run(deleted.take_out(store.tx, account, "again", both, [1, 2, 3], mailbox))
    assert copied == Copied(store.mailbox(account, "again").uidvalidity, [1, 2, 3], [3, 4, 5])
    assert list(store.flags(mailbox).values()) == [set(), {b"mine"}, {b"YOURS"}, {b"YOURS", b"new"}]


def test_names_in_the_tree(store: Store) -> None:
    account = store.account()
    assert run(deleted.names(store.tx, account)) == []
    lose(store, account, "INBOX")
    run(create(store.tx, account, "a/b"))
    store.fill(account, "a/b", [NONE])
    run(delete(store.tx, account, "a/b"))
    run(create(store.tx, account, "empty"))
    run(delete(store.tx, account, "empty"))
    assert run(deleted.names(store.tx, account)) == ["Deleted/INBOX", "Deleted/a/b"]
    for hiding in ("Deleted", "Deleted/mine"):
        run(create(store.tx, account, "x"))
        run(rename(store.tx, account, "x", hiding))
        assert run(deleted.hidden(store.tx, account))
        assert run(deleted.names(store.tx, account)) == []
        run(rename(store.tx, account, hiding, f"was {hiding[-1]}"))
        if hiding != "Deleted":
            run(delete(store.tx, account, "Deleted"))
    run(create(store.tx, account, "Deleted Items"))
    assert not run(deleted.hidden(store.tx, account))


def test_what_is_not_there_cannot_be_seen(store: Store) -> None:
    account, other = store.account(), store.account()
    run(create(store.tx, account, "gone"))
    run(delete(store.tx, account, "gone"))
    for name in ("never", "gone"):
        with pytest.raises(NoSuchMailbox):
            see(store, account, name)
    lose(store, other, "INBOX")
    assert uids(see(store, account)) == []
    run(account_operations.delete_account(store.tx, OPERATOR, other.id))
    with pytest.raises(NoSuchMailbox):
        see(store, other)


def test_over_quota_all_stay_where_they_are(store: Store) -> None:
    account = store.account()
    inbox = lose(store, account, "INBOX", 3)
    run(account_operations.change_account(store.tx, OPERATOR, account.id, account_operations.Change(quota_messages=2)))
    seen = see(store, account)
    with pytest.raises(OverQuota):
        run(deleted.take_out(store.tx, account, "INBOX", seen, [1, 2, 3], inbox))
    assert uids(see(store, account)) == [1, 2, 3]
    assert run(deleted.take_out(store.tx, account, "INBOX", seen, [1, 3], inbox)).source_uids == [1, 3]


def test_another_epoch_begins_anew(store: Store) -> None:
    account = store.account()
    inbox = lose(store, account, "INBOX", 2)
    seen = see(store, account)
    store.execute("UPDATE store SET epoch = epoch + 1")
    lose(store, account, "INBOX")
    with pytest.raises(NoSuchMailbox):
        run(deleted.again(store.tx, account, "INBOX", seen))
    anew = see(store, account)
    assert anew.snapshot.uidvalidity > seen.snapshot.uidvalidity
    assert uids(anew) == [1, 2, 3]
    assert run(deleted.take_out(store.tx, account, "INBOX", seen, [1], inbox)).uids == [], "UIDs of another validity"
