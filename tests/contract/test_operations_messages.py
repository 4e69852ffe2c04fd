"""The contract of operations on messages, over every database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lightmail.errors import Corruption, LimitReached, NoSuchDestination, NoSuchMailbox, OverQuota, Unavailable
from lightmail.model import AccountId, FlagMode, MailboxId
from lightmail.operations.append import Appended, NewMessage, append
from lightmail.operations.copy import Copied, copy, move
from lightmail.operations.deliver import Delivered, Duplicate, Recipient, deliver
from lightmail.operations.expunge import expunge
from lightmail.operations.flags import store_flags
from lightmail.operations.mailboxes import create, delete
from lightmail.operations.select import claim_recent, first_recent
from lightmail.store import blobs, messages
from lightmail.store.faults import Forgotten
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, NOW_US, Store, blob, fresh_config, open_store, together

SEEN = b"\\Seen"
DELETED = b"\\Deleted"
NONE: tuple[bytes, ...] = ()


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as opened:
        yield opened


def test_append_gives_uids_in_order_and_keeps_what_was_given(store: Store) -> None:
    account = store.account()
    inbox = store.mailbox(account)
    one, two = blob(500), blob(700)
    first = run(append(store.tx, account, inbox.id, [NewMessage(one, (SEEN, b"$Junk"), NOW_US)]))
    second = run(append(store.tx, account, inbox.id, [NewMessage(two, NONE, NOW_US + 1), NewMessage(blob(), NONE, 0)]))
    assert (first.uids, second.uids) == ([1], [2, 3])
    assert first.uidvalidity == second.uidvalidity == inbox.uidvalidity
    found = store.snapshot(inbox.id)
    assert [(row[1], row[4], row[5]) for row in found.rows] == [(1, 500, NOW_US), (2, 700, NOW_US + 1), (3, 1000, 0)]
    assert found.uidnext == 4
    assert found.rows[0][2] < found.rows[1][2] == found.rows[2][2] == found.highest_modseq
    assert store.flags(inbox.id) == {1: {SEEN, b"$Junk"}, 2: set(), 3: set()}
    assert store.usage(account) == (2200, 3)
    refs = run(store.database.read("test", blobs.refs_txn, account, [found.rows[0][6]]))
    ref = refs[found.rows[0][6]]
    assert (ref.account, ref.key, ref.octets, ref.sha256, ref.codec) == (account.uuid, one.key, 500, one.sha256, "zstd")


def test_renderings_come_back_as_they_were(store: Store) -> None:
    account = store.account()
    mailbox = store.mailbox(account).id
    header = b"From: a@b\r\nSubject: \xff\x00 'quoted' \\ \r\n\r\n" + b"X: " + b"y" * 100_000 + b"\r\n"
    run(append(store.tx, account, mailbox, [NewMessage(blob(header=header), NONE, NOW_US)]))
    (row,) = store.snapshot(mailbox).rows
    ids = [row[6]]
    packed, fields = run(store.database.read("test", blobs.headers_txn, ids))[row[6]]
    assert blobs.unpacked_header(packed) == header
    assert len(packed) < 2000
    assert fields == b"\x00\x01"
    assert run(store.database.read("test", blobs.envelopes_txn, ids)) == {row[6]: (b"(NIL)", b'("TEXT")')}
    assert run(store.database.read("test", blobs.parts_txn, ids)) == {row[6]: b"\x02"}
    columns = run(store.database.read("test", blobs.search_columns_txn, ids))[row[6]]
    assert (columns.sent_us, columns.subject, columns.from_, columns.message_id) == (NOW_US, "x", "a?", "<i@x>")


def test_append_into_nothing_says_try_create_and_leaves_nothing(store: Store) -> None:
    account = store.account()
    with pytest.raises(NoSuchDestination):
        run(append(store.tx, account, MailboxId(10**9), [NewMessage(blob(), NONE, NOW_US)]))


def test_an_account_reaches_no_mailbox_of_another(store: Store) -> None:
    stranger, owner = store.account(), store.account()
    mailbox = store.fill(owner, "INBOX", [NONE])
    message = NewMessage(blob(), NONE, NOW_US)
    answers = together(append(store.tx, stranger, mailbox, [message]), append(store.tx, owner, mailbox, [message]))
    assert isinstance(answers[0], NoSuchDestination)
    assert isinstance(answers[1], Appended), "the stranger's attempt, waiting with it, is no harm to the owner's"
    before = store.snapshot(mailbox)
    with pytest.raises(NoSuchMailbox):
        run(store_flags(store.tx, stranger, mailbox, [1], FlagMode.ADD, [SEEN]))
    for destination in (mailbox, store.mailbox(stranger).id):
        with pytest.raises(NoSuchMailbox):
            run(copy(store.tx, stranger, mailbox, [1], destination))
    with pytest.raises(NoSuchDestination):
        run(copy(store.tx, stranger, store.fill(stranger, "INBOX", [NONE]), [1], mailbox))
    with pytest.raises(NoSuchMailbox):
        run(expunge(store.tx, stranger, mailbox, None))
    assert store.snapshot(mailbox) == before
    assert store.usage(stranger) == (1000, 1)


def test_multiappend_is_all_or_nothing(store: Store) -> None:
    account = store.account(quota_octets=2500)
    inbox = store.mailbox(account)
    with pytest.raises(OverQuota):
        run(append(store.tx, account, inbox.id, [NewMessage(blob(), NONE, NOW_US) for _ in range(3)]))
    after = store.mailbox(account)
    assert (after.uidnext, after.highest_modseq) == (inbox.uidnext, inbox.highest_modseq)
    assert store.usage(account) == (0, 0)
    run(append(store.tx, account, inbox.id, [NewMessage(blob(), NONE, NOW_US) for _ in range(2)]))
    assert store.usage(account) == (2000, 2)


def test_quota_of_messages_holds(store: Store) -> None:
    account = store.account(quota_messages=2)
    mailbox = store.fill(account, "INBOX", [NONE, NONE])
    with pytest.raises(OverQuota):
        store.fill(account, "INBOX", [NONE])
    run(store_flags(store.tx, account, mailbox, [1], FlagMode.ADD, [DELETED]))
    run(expunge(store.tx, account, mailbox, None))
    store.fill(account, "INBOX", [NONE])
    assert store.usage(account) == (2000, 2)


def test_delivery_answers_each_recipient_on_its_own(store: Store) -> None:
    small, large, gone = store.account(quota_octets=999), store.account(), store.account()
    before = store.mailbox(small)
    message = blob(1000)
    outcomes = run(
        deliver(
            store.tx,
            message,
            "sender@example.com",
            b"d" * 32,
            [
                Recipient(small, before.id, "small@example.org"),
                Recipient(large, store.mailbox(large).id, "large@example.org"),
                Recipient(gone, MailboxId(10**9), "gone@example.org"),
                Recipient(large, store.mailbox(large, "Archive").id, "archive@example.org"),
            ],
            NOW_US,
        )
    )
    assert isinstance(outcomes[0], OverQuota)
    assert outcomes[1] == Delivered(1)
    assert isinstance(outcomes[2], Unavailable)
    assert outcomes[3] == Delivered(1)
    assert store.mailbox(small) == before
    assert store.usage(large) == (2000, 2)
    rows = [store.snapshot(store.mailbox(large, name).id).rows[0] for name in ("INBOX", "Archive")]
    assert rows[0][6] == rows[1][6], "one object serves all recipients"
    assert store.count("SELECT COUNT(*) FROM deliveries WHERE account = %s", small.id) == 0


def test_a_delivery_repeated_is_stored_once(store: Store) -> None:
    account, other = store.account(), store.account()
    to = Recipient(account, store.mailbox(account).id, "user@example.org")

    def again(sender: str = "s@example.com", digest: bytes | None = b"x" * 32, *more: Recipient) -> list[object]:
        return list(run(deliver(store.tx, blob(), sender, digest, [to, *more], NOW_US)))

    assert again() == [Delivered(1)]
    assert again() == [Duplicate()]
    assert again(digest=b"x" * 32, sender="t@example.com") == [Delivered(2)]
    assert again(digest=None) == [Delivered(3)]
    assert again(digest=None) == [Delivered(4)]
    newcomer = Recipient(other, store.mailbox(other).id, "other@example.org")
    assert again("s@example.com", b"x" * 32, newcomer) == [Duplicate(), Delivered(1)]
    assert store.uids(to.mailbox) == [1, 2, 3, 4]
    assert store.usage(account) == (4000, 4)


def test_a_delivery_refused_may_come_again(store: Store) -> None:
    account = store.account(quota_octets=1500)
    to = Recipient(account, store.mailbox(account).id, "user@example.org")
    (first,) = run(deliver(store.tx, blob(2000), "s", b"q" * 32, [to], NOW_US))
    assert isinstance(first, OverQuota)
    (second,) = run(deliver(store.tx, blob(1000), "s", b"q" * 32, [to], NOW_US))
    assert second == Delivered(1)


def test_the_same_delivery_on_many_connections_is_stored_once(store: Store) -> None:
    account = store.account()
    to = Recipient(account, store.mailbox(account).id, "user@example.org")
    outcomes = together(*(deliver(store.tx, blob(), "s", b"t" * 32, [to], NOW_US) for _ in range(8)))
    assert sorted(map(str, outcomes)) == sorted(map(str, [[Delivered(1)], *[[Duplicate()]] * 7]))
    assert store.uids(to.mailbox) == [1]


def test_an_object_born_too_long_ago_by_the_databases_clock_is_not_referred_to(store: Store) -> None:
    account = store.account()
    to = Recipient(account, store.mailbox(account).id, "user@example.org")
    good = deliver(store.tx, blob(), "s", None, [to], NOW_US)
    old = deliver(store.tx, blob(born_us=NOW_US), "s", None, [to], NOW_US)
    answers = together(good, old)
    assert answers[0] == [Delivered(1)], "waiting together, one must not spoil the other"
    assert isinstance(answers[1], Unavailable)
    assert store.uids(to.mailbox) == [1]


def test_flags_are_set_operations(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [NONE, (SEEN,), (SEEN, b"work")])

    def change(mode: FlagMode, *flags: bytes) -> dict[int, set[bytes]]:
        run(store_flags(store.tx, account, mailbox, [3, 1, 2, 77], mode, flags))
        return store.flags(mailbox)

    assert change(FlagMode.ADD, b"\\ANSWERED") == {
        1: {b"\\Answered"},
        2: {SEEN, b"\\Answered"},
        3: {SEEN, b"\\Answered", b"work"},
    }
    assert change(FlagMode.ADD, b"Work", b"play")[1] == {b"\\Answered", b"work", b"play"}
    assert change(FlagMode.REMOVE, b"WORK", b"unheard-of") == {
        1: {b"\\Answered", b"play"},
        2: {SEEN, b"\\Answered", b"play"},
        3: {SEEN, b"\\Answered", b"play"},
    }
    assert change(FlagMode.REPLACE, b"\\Draft") == {1: {b"\\Draft"}, 2: {b"\\Draft"}, 3: {b"\\Draft"}}
    assert [name for _, name in store.snapshot(mailbox).keywords] == [b"work", b"play"]


def test_a_change_that_changes_nothing_leaves_modseq_alone(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [(SEEN,), NONE])
    before = store.snapshot(mailbox)
    for none in ([1], []):
        assert run(store_flags(store.tx, account, mailbox, none, FlagMode.ADD, [SEEN])).modseq == before.highest_modseq
    assert store.snapshot(mailbox) == before
    after = run(store_flags(store.tx, account, mailbox, [1, 2], FlagMode.ADD, [SEEN]))
    assert (after.modseq, after.changed) == (before.highest_modseq + 1, 1)
    assert [row[2] for row in store.snapshot(mailbox).rows] == [before.rows[0][2], after.modseq]


def test_flags_of_no_mailbox(store: Store) -> None:
    account = store.account()
    for uids in ([1], []):
        with pytest.raises(NoSuchMailbox):
            run(store_flags(store.tx, account, MailboxId(10**9), uids, FlagMode.ADD, [SEEN]))


def test_a_mailbox_has_47_keywords_and_no_more(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [NONE])
    names = [b"k%d" % number for number in range(47)]
    run(store_flags(store.tx, account, mailbox, [1], FlagMode.ADD, names))
    with pytest.raises(LimitReached):
        run(store_flags(store.tx, account, mailbox, [1], FlagMode.ADD, [b"one-more"]))
    with pytest.raises(LimitReached):
        run(append(store.tx, account, mailbox, [NewMessage(blob(), (b"one-more",), NOW_US)]))
    run(store_flags(store.tx, account, mailbox, [1], FlagMode.REPLACE, [*names, b"K0", SEEN]))
    assert store.flags(mailbox) == {1: {*names, SEEN}}
    assert store.uids(mailbox) == [1]


def test_a_mailbox_without_room_for_keywords_takes_messages_all_the_same(store: Store) -> None:
    account = store.account()
    names = [b"k%d" % number for number in range(46)]
    target = store.fill(account, "Trash", [tuple(names)])
    source = store.fill(account, "INBOX", [(SEEN, b"first", b"second", b"K7"), (b"second",)])
    assert run(copy(store.tx, account, source, [1], target)).uids == [2]
    assert run(move(store.tx, account, source, [1, 2], target)).uids == [3, 4]
    kept = {SEEN, b"first", b"k7"}
    assert store.flags(target) == {1: set(names), 2: kept, 3: kept, 4: set()}


def test_expunge_takes_only_what_is_deleted(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [(DELETED,), NONE, (DELETED,), (DELETED, b"mine")])
    assert run(expunge(store.tx, account, mailbox, [2, 3, 99])).uids == [3]
    assert run(expunge(store.tx, account, mailbox, [2])).uids == []
    assert run(expunge(store.tx, account, mailbox, None)).uids == [1, 4]
    assert run(expunge(store.tx, account, mailbox, None)).uids == []
    assert store.uids(mailbox) == [2]
    assert store.usage(account) == (1000, 1)
    assert store.fill(account, "INBOX", [NONE]) == mailbox
    assert store.uids(mailbox) == [2, 5], "a UID is never given twice"
    assert store.count("SELECT COUNT(*) FROM messages WHERE mailbox = %s AND object IS NULL", mailbox) == 0


def test_copy_brings_flags_keywords_and_dates(store: Store) -> None:
    account = store.account()
    source = store.fill(account, "INBOX", [(SEEN, b"alpha"), NONE, (b"beta", b"\\Flagged")])
    target = store.fill(account, "Archive", [(b"gamma", b"BETA")])
    copied = run(copy(store.tx, account, source, [3, 1, 44], target))
    assert copied == Copied(store.mailbox(account, "Archive").uidvalidity, [1, 3], [2, 3])
    assert store.flags(target) == {1: {b"gamma", b"BETA"}, 2: {SEEN, b"alpha"}, 3: {b"BETA", b"\\Flagged"}}
    rows, copies = store.snapshot(source).rows, store.snapshot(target).rows
    assert [row[4:] for row in (rows[0], rows[2])] == [row[4:] for row in copies[1:]]
    assert store.uids(source) == [1, 2, 3]
    assert store.usage(account) == (6000, 6)


def test_copy_into_the_same_mailbox(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [(b"own",), (SEEN,)])
    assert run(copy(store.tx, account, mailbox, [1, 2], mailbox)).uids == [3, 4]
    assert store.flags(mailbox) == {1: {b"own"}, 2: {SEEN}, 3: {b"own"}, 4: {SEEN}}
    assert run(move(store.tx, account, mailbox, [1, 4], mailbox)).uids == [5, 6]
    assert store.uids(mailbox) == [2, 3, 5, 6]
    assert store.usage(account) == (4000, 4)


def test_copy_over_quota_copies_nothing(store: Store) -> None:
    account = store.account(quota_octets=3500)
    source = store.fill(account, "INBOX", [NONE, NONE])
    target = store.mailbox(account, "Archive")
    with pytest.raises(OverQuota):
        run(copy(store.tx, account, source, [1, 2], target.id))
    assert store.mailbox(account, "Archive") == target
    assert store.usage(account) == (2000, 2)
    assert run(move(store.tx, account, source, [1, 2], target.id)).uids == [1, 2]


def test_move_is_no_copy(store: Store) -> None:
    account = store.account()
    source = store.fill(account, "INBOX", [(SEEN, b"alpha"), NONE])
    target = store.mailbox(account, "Archive").id
    watermark = store.snapshot(source).highest_modseq
    assert run(move(store.tx, account, source, [1], target)).uids == [1]
    assert store.flags(target) == {1: {SEEN, b"alpha"}}
    assert store.uids(source) == [2]
    assert store.usage(account) == (2000, 2)
    changes = run(store.database.read("test", messages.changes_txn, source, watermark))
    assert (changes.expunged, list(changes.rows)) == ([1], [])
    assert store.count("SELECT COUNT(*) FROM messages WHERE mailbox = %s AND object IS NULL", source) == 1


def test_copy_and_move_from_or_to_nowhere(store: Store) -> None:
    account = store.account()
    source = store.fill(account, "INBOX", [NONE])
    nowhere = MailboxId(10**9)
    for operation in (copy, move):
        with pytest.raises(NoSuchDestination):
            run(operation(store.tx, account, source, [1], nowhere))
        with pytest.raises(NoSuchMailbox):
            run(operation(store.tx, account, nowhere, [1], source))
        assert run(operation(store.tx, account, source, [9], source)).uids == []
        assert run(operation(store.tx, account, source, [], source)).uids == []
    stranger = store.account()
    with pytest.raises(NoSuchMailbox):
        run(copy(store.tx, stranger, source, [1], store.mailbox(stranger).id))


def test_recent_belongs_to_one_session(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [NONE, NONE])
    inbox = store.mailbox(account)
    assert first_recent(inbox) == [range(1, 3)]
    assert run(claim_recent(store.tx, account, inbox)) == [range(1, 3)]
    assert run(claim_recent(store.tx, account, inbox)) == []
    store.fill(account, "INBOX", [NONE])
    claims = together(*(claim_recent(store.tx, account, inbox) for _ in range(3)))
    assert sorted(map(str, claims)) == sorted(map(str, [[range(3, 4)], [], []]))
    assert first_recent(store.mailbox(account)) == []
    assert store.mailbox(account).highest_modseq == store.snapshot(mailbox).highest_modseq


def test_changes_tell_everything_since_a_watermark(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [NONE] * 5)
    seen = store.snapshot(mailbox)

    def since(modseq: int, version: int = seen.keyword_version) -> messages.Changes:
        return run(store.database.read("test", messages.changes_txn, mailbox, modseq, version))

    nothing = since(seen.highest_modseq)
    assert (list(nothing.rows), nothing.expunged, nothing.keywords) == ([], [], None)
    run(store_flags(store.tx, account, mailbox, [4, 2], FlagMode.ADD, [DELETED]))
    run(expunge(store.tx, account, mailbox, [2]))
    store.fill(account, "INBOX", [(b"new-word",)])
    changes = since(seen.highest_modseq)
    assert [row[1] for row in changes.rows] == [4, 6]
    assert changes.expunged == [2]
    assert changes.uidnext == 7
    assert [name for _, name in changes.keywords or []] == [b"new-word"]
    assert since(changes.highest_modseq, changes.keyword_version).keywords is None
    store.execute("UPDATE mailboxes SET forgotten_modseq = %s WHERE id = %s", seen.highest_modseq + 1, mailbox)
    with pytest.raises(Forgotten):
        since(seen.highest_modseq)
    assert since(seen.highest_modseq + 1).expunged == [2]
    run(create(store.tx, account, "Doomed"))
    doomed = store.mailbox(account, "Doomed").id
    run(delete(store.tx, account, "Doomed"))
    for read in (messages.all_txn, lambda cursor, mailbox: messages.changes_txn(cursor, mailbox, 0)):
        with pytest.raises(NoSuchMailbox):
            run(store.database.read("test", read, doomed))


def test_ten_thousand_messages_go_as_sets(store: Store) -> None:
    account = store.account()
    count = 10_000
    source = store.fill(account, "INBOX", [NONE] * count)
    target = store.mailbox(account, "Archive").id
    scattered = [uid for uid in range(1, count + 1) if uid % 3]
    trips = store.trips("copy"), store.trips("flags"), store.trips("expunge")
    run(store_flags(store.tx, account, source, scattered, FlagMode.ADD, [DELETED]))
    assert run(copy(store.tx, account, source, range(1, count + 1), target)).uids == list(range(1, count + 1))
    assert run(copy(store.tx, account, source, scattered, target)).source_uids == scattered
    assert run(expunge(store.tx, account, source, None)).uids == scattered
    assert store.uids(source) == [uid for uid in range(1, count + 1) if not uid % 3]
    assert len(store.uids(target)) == count + len(scattered)
    copies = store.snapshot(target).rows
    originals = {row[6]: row[1] for row in copies[:count]}
    assert [originals[row[6]] for row in copies[count:]] == scattered
    assert store.usage(account) == ((count * 2) * 1000, count * 2)
    if store.database.dialect == "mysql":
        after = store.trips("copy"), store.trips("flags"), store.trips("expunge")
        assert [new - old for old, new in zip(trips, after, strict=True)] == [6, 2, 3]


def test_hints_follow_what_changed(store: Store) -> None:
    account = store.account()
    store.heard.hints.clear()
    source = store.fill(account, "INBOX", [NONE])
    target = store.mailbox(account, "Archive").id
    run(copy(store.tx, account, source, [1], target))
    run(move(store.tx, account, source, [1], target))
    run(expunge(store.tx, account, source, None))
    now = {mailbox: store.snapshot(mailbox).highest_modseq for mailbox in (source, target)}
    assert [mailbox for mailbox, _ in store.heard.hints].count(source) == 2
    assert [mailbox for mailbox, _ in store.heard.hints].count(target) == 2
    assert {mailbox: max(m for b, m in store.heard.hints if b == mailbox) for mailbox in now} == now


def test_an_account_that_is_gone_takes_no_mail(store: Store) -> None:
    account = store.account()
    inbox = store.mailbox(account).id
    store.execute("UPDATE accounts SET deleted_at = 5 WHERE id = %s", account.id)
    with pytest.raises(NoSuchDestination):
        run(append(store.tx, account, inbox, [NewMessage(blob(), NONE, NOW_US)]))
    assert store.count("SELECT COUNT(*) FROM messages WHERE account = %s", AccountId(account.id)) == 0


def test_the_copy_of_a_condemned_object_is_refused(store: Store) -> None:
    account = store.account()
    source = store.fill(account, "INBOX", [NONE])
    (row,) = store.snapshot(source).rows
    store.execute("UPDATE objects SET state = 3 WHERE id = %s", row[6])
    with pytest.raises(Corruption):
        run(copy(store.tx, account, source, [1], store.mailbox(account, "Archive").id))
