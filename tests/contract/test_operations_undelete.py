"""The contract of undeletion, over every database: what was deleted comes back once, whole, and as it was."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from lightmail.errors import AlreadyExists, Cannot, Corruption, NoSuchAccount, NoSuchDestination, OverQuota
from lightmail.mime import render
from lightmail.model import Account, FlagMode, MailboxId
from lightmail.operations import accounts as account_operations
from lightmail.operations import aliases
from lightmail.operations.actors import CONSOLE, Actor
from lightmail.operations.append import NewMessage, append
from lightmail.operations.copy import move
from lightmail.operations.expunge import expunge
from lightmail.operations.flags import store_flags
from lightmail.operations.mailboxes import create, delete, rename
from lightmail.operations.purge import Purged, purge_messages
from lightmail.operations.restoring import restore_txn
from lightmail.operations.undelete import BATCH, Outcome, plan, restore, restore_account
from lightmail.store import undelete
from lightmail.store.undelete import Expunged, Filters
from tests.support.actors import OPERATOR
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, NOW_US, Store, blob, fresh_config, open_store, together

NONE: tuple[bytes, ...] = ()
ALL = Filters()


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as opened:
        yield opened


def expunge_all(store: Store, account: Account, mailbox: MailboxId) -> None:
    uids = store.uids(mailbox)
    run(store_flags(store.tx, account, mailbox, uids, FlagMode.ADD, [b"\\Deleted"]))
    run(expunge(store.tx, account, mailbox, None))


def listed(store: Store, account: Account, filters: Filters = ALL, limit: int = 100) -> list[Expunged]:
    return run(store.database.read("test", undelete.list_txn, account.id, filters, limit))


def restored(store: Store, account: Account, filters: Filters = ALL, into: str | None = None) -> Outcome:
    async def both() -> Outcome:
        return await restore(store.tx, OPERATOR, account, filters, await plan(store.tx, account, filters, into))

    return run(both())


def rows(store: Store, mailbox: MailboxId) -> list[tuple[Any, ...]]:
    """Octets, INTERNALDATE and object of each live message."""
    return [row[4:7] for row in store.snapshot(mailbox).rows]


def test_what_comes_back_is_what_went(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [(b"\\Seen", b"mine"), (b"$Junk",), NONE])
    before, usage, uidnext = rows(store, mailbox), store.usage(account), store.mailbox(account).uidnext
    expunge_all(store, account, mailbox)
    assert store.usage(account) == (0, 0)
    hints = len(store.heard.hints)
    assert restored(store, account).restored == {"INBOX": 3}
    assert rows(store, mailbox) == before, "octets, INTERNALDATE and object"
    assert store.uids(mailbox) == [uidnext, uidnext + 1, uidnext + 2], "new UIDs, in the old order"
    assert list(store.flags(mailbox).values()) == [{b"\\Seen", b"mine"}, {b"$Junk"}, set()]
    assert store.usage(account) == usage
    assert store.heard.hints[hints:] == [(mailbox, store.mailbox(account).highest_modseq)]
    fates = "SELECT COUNT(*) FROM messages WHERE mailbox = %s AND fate = 3 AND object IS NULL AND modseq = %s"
    assert store.count(fates, mailbox, store.mailbox(account).highest_modseq) == 3
    saved = "SELECT COUNT(*) FROM messages WHERE mailbox = %s AND deleted_at = 0 AND saved_us > %s"
    assert store.count(saved, mailbox, NOW_US + 1_000_000) == 3, "the save date is new"


def test_nothing_comes_back_twice(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [NONE] * 20)
    expunge_all(store, account, mailbox)
    planned = run(plan(store.tx, account, ALL))
    outcomes = together(*(restore(store.tx, OPERATOR, account, ALL, planned) for _ in range(4)))
    assert sum(outcome.messages for outcome in outcomes if isinstance(outcome, Outcome)) == 20, outcomes
    assert len(store.uids(mailbox)) == 20
    assert len(set(rows(store, mailbox))) == 20
    assert listed(store, account) == []
    assert restored(store, account).messages == 0


def test_a_purge_and_a_restore_of_the_same_messages(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [NONE] * 20)
    expunge_all(store, account, mailbox)
    later = int(store.count("SELECT MAX(deleted_at) FROM messages WHERE mailbox = %s", mailbox))
    planned = run(plan(store.tx, account, ALL))

    done = together(purge_messages(store.tx, later, later, 10_000), restore(store.tx, OPERATOR, account, ALL, planned))
    outcome = done[1]
    assert isinstance(done[0], Purged)
    assert isinstance(outcome, Outcome)
    assert len(store.uids(mailbox)) == outcome.messages
    left = "SELECT COUNT(*) FROM messages m JOIN objects o ON o.id = m.object WHERE m.mailbox = %s AND o.state = %s"
    assert store.count(left, mailbox, 1) == outcome.messages
    assert store.count(left, mailbox, 3) == 0


def test_moved_and_restored_messages_are_no_deletions(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [NONE] * 3)
    run(move(store.tx, account, mailbox, [1], store.mailbox(account, "Trash").id))
    expunge_all(store, account, mailbox)
    assert len(listed(store, account)) == 2
    restored(store, account)
    assert listed(store, account) == []


def test_many_go_back_batch_by_batch(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [NONE] * (BATCH + 7))
    expunge_all(store, account, mailbox)
    heard: list[int] = []
    planned = run(plan(store.tx, account, ALL))
    assert (planned.messages, planned.octets) == (BATCH + 7, 1000 * (BATCH + 7))
    outcome = run(restore(store.tx, Actor("root", CONSOLE), account, ALL, planned, heard.append))
    assert outcome.restored == {"INBOX": BATCH + 7}
    assert heard == [BATCH, 7]
    noted = "SELECT COUNT(*) FROM audit_log WHERE actor = %s AND action = %s AND subject = %s"
    assert store.count(noted, b"root", b"message.restore", account.address.encode()) == 2


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"mailbox": "Archive"}, 2),
        ({"mailbox": "INBOX"}, 1),
        ({"mailbox": "archive"}, 0),
        ({"sender": "A"}, 3),
        ({"sender": "nobody"}, 0),
        ({"subject": "X"}, 3),
        ({"subject": "%"}, 0),
        ({"subject": "x", "mailbox": "INBOX"}, 1),
        ({"since_us": NOW_US}, 3),
        ({"until_us": NOW_US}, 0),
        ({"sender": "' OR 1=1 --"}, 0),
    ],
)
def test_filters(store: Store, changes: dict[str, Any], found: int) -> None:
    account, other = store.account(), store.account()
    for owner, name, count in ((account, "INBOX", 1), (account, "Archive", 2), (other, "INBOX", 5)):
        expunge_all(store, owner, store.fill(owner, name, [NONE] * count))
    filters = replace(ALL, **changes)
    assert len(listed(store, account, filters)) == found
    assert restored(store, account, filters).messages == found
    assert len(listed(store, account)) == 3 - found
    assert len(listed(store, other)) == 5


def test_ids_are_those_of_one_account(store: Store) -> None:
    account, other = store.account(), store.account()
    for owner in (account, other):
        expunge_all(store, owner, store.fill(owner, "INBOX", [NONE] * 3))
    newest, *rest = listed(store, account)
    theirs = listed(store, other)[0].id
    with pytest.raises(Cannot, match=str(theirs)):
        restored(store, account, Filters(ids=(newest.id, theirs)))
    assert restored(store, account, Filters(ids=(newest.id,))).messages == 1
    assert [row.id for row in listed(store, account)] == [row.id for row in rest]
    with pytest.raises(Cannot):
        restored(store, account, Filters(ids=(newest.id,)))


def test_the_newest_are_listed_first(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [NONE] * 3)
    for uid in (2, 3, 1):
        run(store_flags(store.tx, account, mailbox, [uid], FlagMode.ADD, [b"\\Deleted"]))
        run(expunge(store.tx, account, mailbox, None))
    found = listed(store, account, limit=2)
    assert [row.deleted_us for row in found] == sorted((row.deleted_us for row in found), reverse=True)
    assert len(found) == 2


def test_fields_are_listed_as_they_were_written(store: Store) -> None:
    account = store.account()
    header = b"From: =?utf-8?q?Gr=C3=A9ta?= <G@example.net>\r\nSubject: Lunch on FRIDAY\r\n\r\n"
    written = replace(blob(), rendering=render(io.BytesIO(header)))
    mailbox = store.mailbox(account).id
    run(append(store.tx, account, mailbox, [NewMessage(written, (rb"\Deleted",), NOW_US)]))
    store.fill(account, "INBOX", [(rb"\Deleted",)])  # whose row is damaged
    run(expunge(store.tx, account, mailbox, None))
    told = {(row.sender, row.subject) for row in listed(store, account)}
    assert told == {("Gréta <G@example.net>", "Lunch on FRIDAY"), ("", "")}
    assert len(listed(store, account, Filters(sender="GRÉTA", subject="friday"))) == 1


def test_over_quota_nothing_comes_back(store: Store) -> None:
    account = store.account(quota_octets=5000)
    mailbox = store.fill(account, "INBOX", [NONE] * 4)
    expunge_all(store, account, mailbox)
    store.fill(account, "INBOX", [NONE] * 2)
    with pytest.raises(OverQuota, match="4 messages of 4000 octets do not fit: 2000 of 5000 octets"):
        restored(store, account)
    assert len(store.uids(mailbox)) == 2
    assert len(listed(store, account)) == 4
    assert restored(store, account, Filters(ids=tuple(row.id for row in listed(store, account)[:3]))).messages == 3
    assert store.usage(account) == (5000, 5)


def test_a_quota_of_messages_holds_at_the_last_moment(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [NONE] * 4)
    expunge_all(store, account, mailbox)
    planned = run(plan(store.tx, account, ALL))
    run(account_operations.change_account(store.tx, OPERATOR, account.id, account_operations.Change(quota_messages=4)))
    store.fill(account, "INBOX", [NONE])

    def late(cursor: Any) -> Any:
        return restore_txn(cursor, account.id, [(mailbox, uid) for uid in range(1, 5)], mailbox)

    with pytest.raises(OverQuota):
        run(store.tx.commit("test", late, account=account.id))
    with pytest.raises(OverQuota):
        run(restore(store.tx, OPERATOR, account, ALL, planned))
    assert store.usage(account) == (1000, 1)
    assert len(listed(store, account)) == 4


def test_into_another_mailbox_with_keywords_by_name(store: Store) -> None:
    account = store.account()
    store.fill(account, "Archive", [(b"other",), (b"MINE",)])
    mailbox = store.fill(account, "INBOX", [(b"first", b"mine"), (b"\\Flagged", b"second")])
    expunge_all(store, account, mailbox)
    assert restored(store, account, into="Archive").restored == {"Archive": 2}
    archive = store.mailbox(account, "Archive").id
    assert list(store.flags(archive).values())[2:] == [{b"first", b"MINE"}, {b"\\Flagged", b"second"}]
    assert store.uids(mailbox) == []
    modseq = store.mailbox(account).highest_modseq
    assert (mailbox, modseq) in store.heard.hints, "whoever looks at what was deleted there hears of it"
    expunge_all(store, account, archive)
    assert restored(store, account, Filters(mailbox="Archive"), into="new/below").restored == {"new/below": 4}
    assert "new/below" in store.names(account)


def test_an_object_that_is_not_live_is_not_given_back(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [NONE] * 2)
    expunge_all(store, account, mailbox)
    of_first = store.count("SELECT object FROM messages WHERE mailbox = %s AND uid = 1", mailbox)
    store.execute("UPDATE objects SET state = 3 WHERE id = %s", of_first)
    assert len(listed(store, account)) == 1

    def both(cursor: Any) -> Any:
        return restore_txn(cursor, account.id, [(mailbox, 1), (mailbox, 2)], mailbox)

    with pytest.raises(Corruption):
        run(store.tx.commit("test", both, account=account.id))
    assert restored(store, account).messages == 1


def test_a_mailbox_of_another_account_is_none(store: Store) -> None:
    account, other = store.account(), store.account()
    mailbox, theirs = store.fill(account, "INBOX", [NONE]), store.fill(other, "INBOX", [NONE])
    for owner, box in ((account, mailbox), (other, theirs)):
        expunge_all(store, owner, box)

    def into_theirs(cursor: Any) -> Any:
        return restore_txn(cursor, account.id, [(mailbox, 1)], theirs)

    def of_theirs(cursor: Any) -> Any:
        return restore_txn(cursor, account.id, [(theirs, 1)], mailbox)

    with pytest.raises(NoSuchDestination):
        run(store.tx.commit("test", into_theirs, account=account.id))
    assert run(store.tx.commit("test", of_theirs, account=account.id)).uids == []
    assert len(listed(store, other)) == 1


# Mailboxes


def origins(store: Store, account: Account) -> list[tuple[str, int]]:
    found = run(store.database.read("test", undelete.origins_txn, account.id, Filters(whole=True)))
    return [(origin.name, origin.messages) for origin in found]


def test_a_deleted_mailbox_comes_back_with_what_it_held(store: Store) -> None:
    account = store.account()
    run(delete(store.tx, account, "Archive"))
    run(create(store.tx, account, "a/Archive", "\\Archive"))
    mailbox = store.fill(account, "a/Archive", [(b"mine",), (b"\\Deleted",), NONE])
    run(expunge(store.tx, account, mailbox, None))
    old = store.mailbox(account, "a/Archive")
    run(delete(store.tx, account, "a/Archive"))
    assert store.usage(account) == (0, 0)
    assert origins(store, account) == [("a/Archive", 2)]
    assert restored(store, account, Filters(whole=True)).restored == {"a/Archive": 2}
    new = store.mailbox(account, "a/Archive")
    assert new.id != old.id
    assert new.uidvalidity > old.uidvalidity
    assert new.special_use == "\\Archive"
    assert list(store.flags(new.id).values()) == [{b"mine"}, set()]
    assert origins(store, account) == []
    assert [row.mailbox for row in listed(store, account)] == ["a/Archive"], "the one expunged before is still there"
    assert restored(store, account).restored == {"a/Archive": 1}
    assert store.usage(account) == (3000, 3)


def test_two_deleted_mailboxes_of_one_name(store: Store) -> None:
    account = store.account()
    for count in (2, 3):
        run(create(store.tx, account, "again"))
        store.fill(account, "again", [NONE] * count)
        run(delete(store.tx, account, "again"))
    assert origins(store, account) == [("again", 2), ("again", 3)]
    second = run(store.database.read("test", undelete.origins_txn, account.id, Filters(whole=True)))[1]
    filters = Filters(whole=True, ids=(second.id,))
    assert restored(store, account, filters, into="other").restored == {"other": 3}
    with pytest.raises(Cannot):
        restored(store, account, filters)
    run(create(store.tx, account, "again"))
    assert restored(store, account, Filters(whole=True)).restored == {"again": 2}, "into the mailbox of that name"
    assert store.usage(account) == (5000, 5)


def test_a_special_use_that_is_taken_stays_where_it_is(store: Store) -> None:
    account = store.account()
    store.fill(account, "Sent", [NONE])
    run(delete(store.tx, account, "Sent"))
    run(create(store.tx, account, "Gesendet", "\\Sent"))
    restored(store, account, Filters(whole=True))
    assert store.mailbox(account, "Sent").special_use is None


def test_a_renamed_mailbox_keeps_what_was_expunged_in_it(store: Store) -> None:
    account = store.account()
    run(create(store.tx, account, "old"))
    expunge_all(store, account, store.fill(account, "old", [NONE]))
    run(rename(store.tx, account, "old", "new"))
    assert [row.mailbox for row in listed(store, account)] == ["new"]


def test_messages_of_a_mailbox_whose_name_cannot_be_go_to_inbox(store: Store) -> None:
    account = store.account()
    store.fill(account, "Sent", [NONE])
    run(delete(store.tx, account, "Sent"))
    # A name of another time, when bounds were wider.
    store.execute("UPDATE mailboxes SET name = %s WHERE account = %s AND name = %s", b"a//b", account.id, b"Sent")
    assert restored(store, account).restored == {"INBOX": 1}


# Accounts


def test_a_deleted_account_comes_back_as_it_was(store: Store) -> None:
    account = store.account(quota_octets=10_000)
    kept = store.fill(account, "INBOX", [(b"\\Seen", b"mine"), NONE])
    store.fill(account, "Junk", [NONE])
    run(delete(store.tx, account, "Junk"))
    before = (store.snapshot(kept).rows, store.usage(account), store.names(account), store.mailbox(account))
    run(account_operations.delete_account(store.tx, OPERATOR, account.id))
    assert run(restore_account(store.tx, OPERATOR, account.address, 30)).id == account.id
    snapshot = store.snapshot(kept)
    assert (snapshot.rows, store.usage(account), store.names(account)) == before[:3]
    after = store.mailbox(account)
    assert after.uidvalidity == before[3].uidvalidity
    assert after.highest_modseq > before[3].highest_modseq
    assert [row.mailbox for row in listed(store, account)] == ["Junk"], "what was deleted before is still deleted"
    with pytest.raises(NoSuchAccount):
        run(restore_account(store.tx, OPERATOR, account.address, 30))


def test_accounts_that_cannot_come_back(store: Store) -> None:
    def accounts_of(address: str) -> list[Any]:
        return run(store.database.read("test", undelete.deleted_accounts_txn, address, 10**18))

    first = store.account()
    run(account_operations.delete_account(store.tx, OPERATOR, first.id))
    with pytest.raises(NoSuchAccount):
        run(restore_account(store.tx, OPERATOR, first.address, 0))
    with pytest.raises(NoSuchAccount):
        run(restore_account(store.tx, OPERATOR, "never@example.org", 30))
    second = run(account_operations.add_account(store.tx, OPERATOR, first.address, "hash"))
    with pytest.raises(AlreadyExists):
        run(restore_account(store.tx, OPERATOR, first.address, 30))
    run(account_operations.delete_account(store.tx, OPERATOR, second.id))
    with pytest.raises(Cannot, match="2 accounts"):
        run(restore_account(store.tx, OPERATOR, first.address, 30))
    assert accounts_of(first.address)[0].id == first.id
    run(aliases.add_alias(store.tx, OPERATOR, first.address, store.account().address))
    with pytest.raises(AlreadyExists):
        run(restore_account(store.tx, OPERATOR, first.address, 30, first.id))
    run(aliases.delete_alias(store.tx, OPERATOR, first.address))
    assert run(restore_account(store.tx, OPERATOR, first.address, 30, first.id)).id == first.id


def test_deliveries_and_restores_at_once(store: Store) -> None:
    """Every UID is given once, whoever takes it."""
    account = store.account()
    mailbox = store.fill(account, "INBOX", [NONE] * 10)
    expunge_all(store, account, mailbox)
    planned = run(plan(store.tx, account, ALL))
    done = together(
        restore(store.tx, OPERATOR, account, ALL, planned),
        *(append(store.tx, account, mailbox, [NewMessage(blob(), NONE, NOW_US)]) for _ in range(10)),
    )
    assert not [each for each in done if isinstance(each, BaseException)]
    assert store.uids(mailbox) == list(range(11, 31))
    assert store.usage(account) == (20_000, 20)
