"""A client that obeys every update ends with the mailbox's state, and no number shifts under it in between."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lightmail.index.columns import Row
from lightmail.index.keywords import RECENT
from lightmail.index.mailbox import MailboxIndex
from lightmail.index.view import EVERYTHING, View, combine
from lightmail.model import DELETED, FLAGGED, SEEN, AccountId, FlagMode, MailboxId
from lightmail.store.keywords import ALL_BITS
from lightmail.store.messages import Changes, OwnChange, Snapshot

VIEWS = st.integers(0, 2)
PICK = st.integers(0, 1 << 30)
# What a mode keeps of the flags that were, and what it adds.
MASKS = {
    FlagMode.ADD: lambda bits: (ALL_BITS, bits),
    FlagMode.REMOVE: lambda bits: (ALL_BITS & ~bits, 0),
    FlagMode.REPLACE: lambda bits: (0, bits),
}
BITS = st.sampled_from([0, SEEN, FLAGGED, SEEN | DELETED, 1 << 62])


@dataclass
class Store:
    """The mailbox as the database would hold it."""

    modseq: int = 1
    uidnext: int = 1
    live: dict[int, tuple[int, int]] = field(default_factory=dict)  # uid: (modseq, flags)
    gone: dict[int, int] = field(default_factory=dict)  # uid: modseq

    def row(self, uid: int) -> Row:
        modseq, flags = self.live[uid]
        return (uid * 7, uid, modseq, flags, uid * 10, uid * 1_000_000, uid * 3)

    def changes(self, since: int) -> Changes:
        rows = [self.row(uid) for uid, (modseq, _) in self.live.items() if modseq > since]
        expunged = [uid for uid, modseq in self.gone.items() if modseq > since]
        return Changes(self.modseq, 1, self.uidnext, 0, 0, None, rows, expunged, 1)

    def whole(self) -> Snapshot:
        return Snapshot(self.modseq, 1, self.uidnext, 0, 0, [], [self.row(uid) for uid in self.live], 1)


@dataclass
class Client:
    """What a client that believes every untagged response knows."""

    view: View
    flags: list[int] = field(default_factory=list)
    uids: list[int] = field(default_factory=list)

    def fetch(self, first: int) -> None:
        """Fetch UID and FLAGS of the messages from sequence number `first` on, as clients do after EXISTS."""
        if first > self.view.exists:
            return
        rows = self.view.rows(((first, 0),), by_uid=False)
        assert list(rows.seqs) == list(range(first, self.view.exists + 1))
        self.uids[first - 1 :] = rows.uids
        self.flags[first - 1 :] = [bits & ~RECENT for bits in rows.flags]

    def obey(self, may_expunge: bool) -> None:
        unannounced = self.view.unannounced
        known = set(self.uids)
        updates = self.view.updates(may_expunge)
        assert may_expunge or not updates.expunged
        for seq in updates.expunged:
            del self.uids[seq - 1], self.flags[seq - 1]
        if updates.exists is not None:
            assert updates.exists == len(self.uids) + unannounced
            self.fetch(len(self.uids) + 1)
            assert not known & set(self.uids[-unannounced:])
        for seq, uid, bits in updates.flags:
            assert self.uids[seq - 1] == uid
            self.flags[seq - 1] = bits & ~RECENT
        assert not self.view.updates(may_expunge), "updates that were taken are not repeated"


class Mailbox(RuleBasedStateMachine):
    """Changes to a store, pulls into one shared index, and three sessions that sync as they like."""

    @initialize(messages=st.integers(0, 8))
    def start(self, messages: int) -> None:
        self.store = Store()
        self.index = MailboxIndex(AccountId(1), MailboxId(1))
        self.readings: list[Changes] = []
        self.append(messages, 0)
        self.pull()
        self.clients = [Client(View(self.index)) for _ in range(3)]
        for client in self.clients:
            client.fetch(1)

    @rule(count=st.integers(1, 4), bits=BITS)
    def append(self, count: int, bits: int) -> None:
        self.store.modseq += 1
        for _ in range(count):
            self.store.live[self.store.uidnext] = (self.store.modseq, bits)
            self.store.uidnext += 1

    @rule(picks=st.lists(PICK, min_size=1, max_size=4), bits=BITS, mode=st.sampled_from(FlagMode))
    def change(self, picks: list[int], bits: int, mode: FlagMode) -> None:
        uids = self.chosen(picks)
        self.store.modseq += 1
        for uid in uids:
            self.store.live[uid] = (self.store.modseq, combine(self.store.live[uid][1], mode, bits))

    @rule(picks=st.lists(PICK, min_size=1, max_size=4))
    def expunge(self, picks: list[int]) -> None:
        self.store.modseq += 1
        for uid in self.chosen(picks):
            del self.store.live[uid]
            self.store.gone[uid] = self.store.modseq

    @rule()
    def pull(self) -> None:
        self.readings.append(self.store.changes(self.index.highest_modseq))
        self.index.apply(self.readings[-1])

    @rule(pick=PICK)
    def repeat(self, pick: int) -> None:
        """A reading that was applied before, and newer ones perhaps since."""
        self.index.apply(self.readings[pick % len(self.readings)])

    @rule(back=st.integers(0, 5))
    def pull_again(self, back: int) -> None:
        """Changes that overlap with what the index has already."""
        self.index.apply(self.store.changes(max(0, self.index.highest_modseq - back)))

    @rule()
    def pull_older_watermark(self) -> None:
        """Rows newer than the watermark that was read before them."""
        changes = self.store.changes(self.index.highest_modseq)
        self.index.apply(replace(changes, highest_modseq=self.index.highest_modseq))

    @rule()
    def pull_rows_only(self) -> None:
        """A part of a reading, taken ahead of the rest."""
        rows = self.store.changes(self.index.highest_modseq).rows
        self.index.take(rows[: len(rows) // 2])

    @rule()
    def read_whole(self) -> None:
        self.index.replace(self.store.whole())

    @rule(number=VIEWS, may_expunge=st.booleans())
    def sync(self, number: int, may_expunge: bool) -> None:
        self.clients[number].obey(may_expunge)

    @rule(
        number=VIEWS,
        picks=st.lists(PICK, min_size=1, max_size=8),
        bits=BITS,
        mode=st.sampled_from(FlagMode),
        silent=st.booleans(),
    )
    def store_flags(self, number: int, picks: list[int], bits: int, mode: FlagMode, silent: bool) -> None:
        """STORE; with .SILENT the client works out the result by itself, unless it is told otherwise."""
        client = self.clients[number]
        view, index = client.view, self.index
        uids = sorted(uid for uid in self.chosen(picks) if view.seq_of(uid))
        rows = view.rows([(uid, uid) for uid in uids], by_uid=True)
        pending, before = view.pending(), {uid: self.store.live[uid][1] for uid in uids}
        after = {uid: combine(flags, mode, bits) for uid, flags in before.items()}
        changed = sum(before[uid] != after[uid] for uid in uids)
        if changed:
            self.store.modseq += 1
            self.store.live |= {uid: (self.store.modseq, after[uid]) for uid in uids if before[uid] != after[uid]}
        keep, add = MASKS[mode](bits)
        level = view.level
        applied = changed > 0 and index.apply_own(OwnChange(self.store.modseq, uids, keep, add, changed))
        if not applied:
            self.pull()
        if not silent:
            return
        for uid in uids:
            seq = view.seq_of(uid)
            client.flags[seq - 1] = combine(client.flags[seq - 1], mode, bits)
        if applied and level:
            view.follow()
        else:
            known = zip(rows.uids, rows.flags, strict=True)
            view.knows({uid: combine(flags & ~RECENT, mode, bits) for uid, flags in known if uid not in pending})
        client.obey(may_expunge=False)

    @rule(picks=st.lists(PICK, min_size=1, max_size=4))
    def expunge_here(self, picks: list[int]) -> None:
        """EXPUNGE by this process, which need not read it."""
        uids = self.chosen(picks)
        self.expunge(picks)
        self.index.apply_own(OwnChange(self.store.modseq, expunged=sorted(uids)))

    @invariant()
    def index_is_the_store_at_its_modseq(self) -> None:
        """An index level with the store, however it got there, is what reading it whole gives."""
        if self.index.highest_modseq < self.store.modseq:
            return
        whole = MailboxIndex(AccountId(1), MailboxId(1))
        whole.replace(self.store.whole())
        for name in ("uids", "modseqs", "flags", "octets", "objects"):
            assert getattr(self.index.columns, name) == getattr(whole.columns, name)

    @rule(number=VIEWS)
    def reselect(self, number: int) -> None:
        self.clients[number] = Client(View(self.index))
        self.clients[number].fetch(1)

    def chosen(self, picks: list[int]) -> set[int]:
        uids = sorted(self.store.live)
        return {uids[pick % len(uids)] for pick in picks} if uids else set()

    @invariant()
    def numbers_hold(self) -> None:
        for client in self.clients:
            view = client.view
            assert view.exists == len(client.uids)
            assert view.uids(EVERYTHING, by_uid=False) == list(enumerate(client.uids, 1))
            assert [view.uid_at(seq) for seq in range(1, view.exists + 1)] == client.uids
            assert [view.seq_of(uid) for uid in client.uids] == list(range(1, view.exists + 1))
            assert list(view.rows(EVERYTHING, by_uid=True).uids) == client.uids == sorted(set(client.uids))
            assert list(view.rows(EVERYTHING, by_uid=True).objects) == [uid * 3 for uid in client.uids]

    @invariant()
    def sums_hold(self) -> None:
        index, columns = self.index, self.index.columns
        assert index.unseen == sum(not bits & SEEN for bits in columns.flags)
        assert index.octets == sum(columns.octets)
        assert index.first_unseen() == next((n for n, bits in enumerate(columns.flags, 1) if not bits & SEEN), 0)

    def teardown(self) -> None:
        if not hasattr(self, "clients"):
            return
        self.pull()
        uids = sorted(self.store.live)
        assert list(self.index.uids) == uids
        assert self.index.uidnext == self.store.uidnext
        for client in self.clients:
            client.obey(may_expunge=True)
            assert client.uids == uids
            assert client.flags == [self.store.live[uid][1] for uid in uids]


TestMailbox = Mailbox.TestCase
TestMailbox.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
