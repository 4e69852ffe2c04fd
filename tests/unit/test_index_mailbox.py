"""What the index itself promises: names of flags, the bounded log, memory, and idle refreshes that cost nothing."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Sequence

import pytest

from lightmail.index.columns import OCTETS_PER_MESSAGE, Row
from lightmail.index.keywords import RECENT, Keywords
from lightmail.index.mailbox import MailboxIndex
from lightmail.index.view import EVERYTHING, View, combine
from lightmail.model import ANSWERED, SEEN, AccountId, FlagMode, MailboxId
from lightmail.store.messages import Changes, Snapshot


def rows(uids: Sequence[int], modseq: int = 1, flags: int = 0) -> list[Row]:
    return [(uid, uid, modseq, flags, 100, 1_700_000_000_000_000, uid) for uid in uids]


def index_of(messages: int) -> MailboxIndex:
    index = MailboxIndex(AccountId(1), MailboxId(1))
    index.replace(Snapshot(1, 7, messages + 1, 0, 0, [], rows(range(1, messages + 1)), 1))
    return index


def changes(modseq: int, changed: Sequence[Row] = (), expunged: Sequence[int] = ()) -> Changes:
    uidnext = max((row[1] for row in changed), default=0) + 1
    return Changes(modseq, 7, uidnext, 0, 0, None, changed, list(expunged), 1)


def test_flags_have_their_names_and_back() -> None:
    keywords = Keywords([(16, b"Work"), (62, b"$Last")])
    assert keywords.text[SEEN | 1 << 16 | 1 << 62] == b"\\Seen Work $Last"
    assert keywords.text[0] == b""
    assert keywords.text[SEEN | RECENT] == b"\\Seen \\Recent"
    assert keywords.text[RECENT] == b"\\Recent"
    assert keywords.masks([b"\\seen", b"WORK", b"unknown"]) == SEEN | 1 << 16
    assert (keywords.mask(b"$LAST"), keywords.mask(b"unknown")) == (1 << 62, 0)
    assert keywords.names[-2:] == [b"Work", b"$Last"]
    assert not keywords.full
    assert Keywords([(bit, b"k%d" % bit) for bit in range(16, 63)]).full


def test_the_memo_of_flag_texts_is_bounded() -> None:
    keywords = Keywords((bit, b"k%d" % bit) for bit in range(16, 63))
    for bits in range(10_000):
        assert keywords.text[bits << 16].count(b"k") == bits.bit_count()
    assert len(keywords.text) <= 4096


def test_recent_fits_where_flags_fit() -> None:
    view = View(index_of(3), [range(2, 3)])
    flags = view.rows(EVERYTHING, by_uid=False).flags
    assert [bits < 0 for bits in flags] == [False, True, False]


@pytest.mark.parametrize(
    ("mode", "result"), [(FlagMode.ADD, SEEN | ANSWERED), (FlagMode.REMOVE, SEEN), (FlagMode.REPLACE, ANSWERED)]
)
def test_store_combines(mode: FlagMode, result: int) -> None:
    present = SEEN | (ANSWERED if mode is FlagMode.REMOVE else 0)
    assert combine(present, mode, ANSWERED) == result


@pytest.mark.parametrize("rounds", [1, 3])
def test_a_view_that_fell_behind_the_log_still_learns_all(rounds: int) -> None:
    index = index_of(10_000)
    view, slow = View(index), View(index)
    for number in range(1, rounds + 1):
        index.apply(changes(1 + number, rows(range(number, 10_001), 1 + number, number & 1)))
        view.updates(may_expunge=True)
    told = slow.updates(may_expunge=True).flags
    assert [uid for _, uid, _ in told] == list(range(1, 10_001))
    assert all(bits == index.columns.flags[seq - 1] for seq, _, bits in told)
    assert index.size_octets < 10_000 * 64, "the log is bounded too"


def test_a_message_takes_less_than_64_octets() -> None:
    assert OCTETS_PER_MESSAGE == 44
    index = index_of(0)
    for uid in range(1, 5001):
        index.apply(changes(uid + 1, rows([uid], uid + 1)))
    columns = index.columns
    columns.sent_days.extend(range(5000))
    assert sum(column.__sizeof__() for column in (*columns.all, columns.sent_days)) < 64 * 5000, "room to grow included"


def test_a_large_index_takes_less_than_64_octets_a_message_in_all() -> None:
    total = 100_000
    tracemalloc.start()
    try:
        index = index_of(total)
        view = View(index)
        index.apply(changes(2, rows(range(1, total + 1), 2, SEEN)))
        assert len(view.updates(may_expunge=True).flags) == total
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(index) == total
    assert held < 64 * total
    assert held < 1.5 * index.size_octets, "what the registry counts is near the truth"


def test_sessions_of_a_mailbox_share_its_arrays_until_an_expunge_forces_a_copy() -> None:
    index = index_of(1000)
    views = [View(index) for _ in range(10)]
    for uid in range(1001, 1101):
        index.apply(changes(uid, rows([uid], uid)))
    assert all(view.updates(may_expunge=False).exists == 1100 for view in views)
    assert all(view._columns is index.columns for view in views)
    index.apply(changes(2000, (), [5]))
    assert all(not view.updates(may_expunge=False) for view in views)
    assert len({id(view._columns) for view in views}) == 1, "the old ones are shared as well"
    assert all(view.updates(may_expunge=True).expunged == [5] for view in views)
    assert all(view._columns is index.columns for view in views)


def test_an_expunged_message_can_be_fetched_until_it_is_announced() -> None:
    index = index_of(3)
    view = View(index)
    index.apply(changes(2, rows([3], 2, SEEN), [2]))
    got = view.rows(EVERYTHING, by_uid=False)
    assert list(got.uids) == [1, 2, 3]
    assert list(got.objects) == [1, 2, 3]
    assert list(got.flags) == [0, 0, SEEN], "the flags of those that live are the newest"
    assert list(got.modseqs) == [1, 1, 2]
    index.apply(changes(3, rows([4], 3)))
    updates = view.updates(may_expunge=False)
    assert (updates.exists, list(updates.flags)) == (4, [(3, 3, SEEN)])
    assert view.uids(EVERYTHING, by_uid=False) == [(1, 1), (2, 2), (3, 3), (4, 4)]
    updates = view.updates(may_expunge=True)
    assert (list(updates.expunged), updates.exists) == ([2], None)
    assert view.uids(EVERYTHING, by_uid=False) == [(1, 1), (2, 3), (3, 4)]


def test_what_came_and_went_unseen_is_never_mentioned() -> None:
    index = index_of(2)
    view = View(index)
    index.apply(changes(2, rows([3], 2)))
    index.apply(changes(3, (), [3]))
    index.apply(changes(4, (), [77]))
    assert not view.updates(may_expunge=False)
    assert not view.updates(may_expunge=True)
    assert view.exists == 2


def test_sequence_numbers_that_are_none() -> None:
    view = View(index_of(2))
    for seq in (0, -1, 3):
        with pytest.raises(LookupError):
            view.uid_at(seq)
    assert (view.seq_of(3), view.seq_of(0)) == (0, 0)
    assert View(index_of(0)).uids(EVERYTHING, by_uid=False) == []
    assert View(index_of(0)).uids(((1, 0),), by_uid=True) == []


def test_new_messages_become_recent_for_the_session_that_claims_them() -> None:
    index = index_of(2)
    first, second = View(index, [range(1, 3)]), View(index)
    assert (first.recent, second.recent) == (2, 0)
    index.apply(changes(2, rows([3], 2)))
    assert first.unannounced == 1
    first.add_recent(range(3, 4))
    told = first.updates(may_expunge=True)
    assert (told.exists, told.recent) == (3, 3)
    told = second.updates(may_expunge=True)
    assert (told.exists, told.recent) == (3, 0)
    index.apply(changes(3, (), [1]))
    assert first.updates(may_expunge=True).recent == 2


def test_nothing_new_is_found_without_a_look_at_the_messages() -> None:
    index = index_of(10)
    view = View(index)
    index.columns = None  # type: ignore[assignment]  # whoever looks at a message fails
    assert not view.updates(may_expunge=True)
    assert view.unannounced == 0
