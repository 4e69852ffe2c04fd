"""One mailbox as a process remembers it: compact arrays that all its sessions share.

The index is brought forward by :meth:`MailboxIndex.apply`, never back. Sessions do not read sequence numbers here
but through a :class:`lightmail.index.view.View`, which follows at its own pace by three means:

- new messages extend the columns in place, and a view knows how many of them it has announced;
- an expunge makes new columns, and leaves in a chain of :class:`Expunges` what a view must take out of its own;
- flag changes stand in a bounded log; a view that fell behind the log compares modification sequences instead.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from lightmail.index.arrivals import Arrivals
from lightmail.index.chunks import LISTS_MAX, ChunkRef
from lightmail.index.columns import OCTETS_PER_MESSAGE, Columns, Row, as_range, picked, put
from lightmail.index.keywords import Keywords
from lightmail.index.snapshot import Root
from lightmail.mime.fields import FieldList
from lightmail.model import SEEN, AccountId, MailboxId
from lightmail.store.messages import Changes, OwnChange, Snapshot

_LOG_ENTRIES: Final = 4096
_FIXED_OCTETS: Final = 2048
# An object's id in a chunk's reference, and its share of what says where the columns are.
_OCTETS_PER_CHUNKED: Final = 8 + 2
# Most mailboxes have no keywords of their own: they share one table and its memo.
_NO_KEYWORDS: Final = Keywords()


class Expunges:
    """A link of the chain of expunges: the UIDs that went, and the link after it. The last link has neither yet."""

    __slots__ = ("gone", "next")

    def __init__(self) -> None:
        self.gone: Sequence[int] = ()
        self.next: Expunges | None = None


class MailboxIndex:
    """The messages of one mailbox, shared by its sessions. Plain attributes are for reading.

    ``epoch`` is the mailbox's when it was last read whole (`lightmail.store.epochs`).

    ``columns`` are the arrays, ascending by UID. ``tick`` moves whenever anything changed. ``unseen`` and ``octets``
    are sums over all messages. ``highest_modseq`` and ``keyword_version`` are what to read further changes from;
    ``recent_uid`` is the last UID that any session has claimed as \\Recent, as it was last read; ``claimed`` the last
    that a session of this process has, or is about to.

    ``snapshot`` is the key of the root that holds this index as it was before its last ``drift`` changes, None where
    there is none; ``chunk_refs`` are the chunks that go with it. ``lists`` are the field lists that the mailbox was
    listed by, the latest first. ``arrivals`` has traces of the messages that came last.
    """

    __slots__ = (
        "_last_uid",
        "_log",
        "_log_start",
        "_seen_prefix",
        "account",
        "arrivals",
        "chunk_refs",
        "claimed",
        "columns",
        "drift",
        "epoch",
        "expunges",
        "highest_modseq",
        "keyword_version",
        "keywords",
        "lists",
        "mailbox",
        "octets",
        "recent_uid",
        "snapshot",
        "tick",
        "uidnext",
        "uidvalidity",
        "unseen",
    )

    def __init__(self, account: AccountId, mailbox: MailboxId) -> None:
        self.account: Final = account
        self.mailbox: Final = mailbox
        self.epoch = 0
        self.uidvalidity = 0
        self.uidnext = 1
        self.recent_uid = 0
        self.claimed = 0
        self.highest_modseq = 0
        self.keyword_version = -1
        self.keywords = _NO_KEYWORDS
        self.columns = Columns()
        self.expunges = Expunges()
        self.tick = 0
        self.unseen = 0
        self.octets = 0
        self.snapshot: str | None = None
        self.chunk_refs: tuple[ChunkRef, ...] = ()
        self.lists: tuple[FieldList, ...] = ()
        self.drift = 0
        self.arrivals: Final = Arrivals()
        self._last_uid = 0
        self._log = array("I")
        self._log_start = 0
        self._seen_prefix = 0

    @classmethod
    def restored(cls, account: AccountId, root: Root, key: str) -> MailboxIndex:
        """The index that a snapshot holds, whose columns it takes over; what has changed since is still to be read."""
        index = cls(account, root.mailbox)
        index.epoch, index.uidvalidity, index.uidnext = root.epoch, root.uidvalidity, root.uidnext
        index.recent_uid, index.highest_modseq = root.recent_uid, root.modseq
        index.keyword_version = root.keyword_version
        if root.keywords:
            index.keywords = Keywords(root.keywords)
        index.columns = root.columns
        index.unseen, index.octets = root.unseen, root.octets
        index._last_uid = root.columns.uids[-1] if root.columns.uids else 0
        index.snapshot, index.chunk_refs = key, root.chunks
        return index

    def root(self, account: bytes, chunks: Sequence[ChunkRef]) -> Root:
        """A copy of the index as it is now, for a snapshot; `account` is the uuid. 1 ms for 100,000 messages."""
        return Root(
            account=account,
            mailbox=self.mailbox,
            epoch=self.epoch,
            uidvalidity=self.uidvalidity,
            uidnext=self.uidnext,
            modseq=self.highest_modseq,
            recent_uid=self.recent_uid,
            keyword_version=self.keyword_version,
            keywords=self.keywords.named,
            unseen=self.unseen,
            octets=self.octets,
            columns=self.columns.first(len(self)),
            chunks=tuple(chunks),
        )

    def __len__(self) -> int:
        return len(self.columns.uids)

    @property
    def size_octets(self) -> int:
        """About the memory this index takes, for the registry's bound."""
        chunked = sum(len(chunk.objects) for chunk in self.chunk_refs) * _OCTETS_PER_CHUNKED
        small = len(self._log) * 4 + self.arrivals.size_octets
        return _FIXED_OCTETS + len(self) * OCTETS_PER_MESSAGE + small + chunked

    @property
    def uids(self) -> array[int]:
        """The UIDs, ascending."""
        return self.columns.uids

    def position(self, uid: int) -> int:
        """The position (from 0) of a message, or -1 if the index has none of that UID."""
        uids = self.columns.uids
        position = bisect_left(uids, uid)
        return position if position < len(uids) and uids[position] == uid else -1

    def flag_names(self, bits: int) -> bytes:
        """The text between the parentheses of a FLAGS item. In bulk, use ``keywords.text[bits]``."""
        return self.keywords.text[bits]

    def bits(self, names: Iterable[bytes]) -> int:
        """The bits of some flags; names that no message here can have count for nothing."""
        return self.keywords.masks(names)

    def first_unseen(self) -> int:
        """The sequence number, in the index's own order, of the first message without \\Seen; 0 when there is none."""
        flags = self.columns.flags
        # All before _seen_prefix are seen, so that repeated calls do not scan the seen part again.
        for position in range(self._seen_prefix, len(flags)):
            if not flags[position] & SEEN:
                self._seen_prefix = position
                return position + 1
        self._seen_prefix = len(flags)
        return 0

    def apply(self, changes: Changes) -> None:
        """Bring the index forward. Changes that it has already do no harm."""
        self._apply(changes, changes.expunged)
        if changes.traces:
            self.arrivals.add(changes.traces)

    def apply_own(self, change: OwnChange) -> bool:
        """Take over what a transaction of this process has committed, without reading it back; whether that could be.

        It can be where the index stands exactly before the change. Every transaction that changes anything in a
        mailbox raises its MODSEQ by one or more while it holds the mailbox's row, so nothing lies between MODSEQ n - 1
        and a transaction that got n: what a reading from n - 1 to n would bring is that transaction's own work, and
        what that did follows from the statement and from the flags that were there before (P3, P6). Where the index
        has rows of a later reading ahead of their MODSEQ, or would have expected the database to change another number
        of messages, it says no and stays as it is; then the changes are to be read.
        """
        if change.modseq != self.highest_modseq + 1 or not (change.flagged or change.expunged):
            return False
        if change.flagged and not self._flag(change):
            return False
        if change.expunged:
            self._expunge(change.expunged)
        self.highest_modseq = change.modseq
        return True

    def replace(self, whole: Snapshot) -> None:
        """Bring the index to a reading of the whole mailbox: its first, or one after changes were forgotten."""
        live = {row[1] for row in whole.rows}
        self._apply(whole, [uid for uid in self.columns.uids if uid not in live])
        if whole.epoch != self.epoch:
            # Views that compare MODSEQs must find all of it changed: there is no telling what the lost tail did.
            self._set_modseqs(whole.highest_modseq if self.epoch else None)
            self.epoch = whole.epoch

    def listed(self, fields: FieldList) -> None:
        """Note that much of the mailbox was listed by some header fields; a list without a name is passed over."""
        if fields.name is not None and (not self.lists or self.lists[0] != fields):
            self.lists = (fields, *[other for other in self.lists if other != fields])[:LISTS_MAX]

    def distrust(self) -> None:
        """Let the next readings change every message: what this knows is of a tail that the database has lost.

        What the tail had expunged, and is back in the mailbox, stays away from here: no UID comes back to a session.
        """
        self._set_modseqs(0)

    def take(self, rows: Sequence[Row]) -> None:
        """Append the messages of `rows` (ascending by UID) that are new, and update those that are here.

        A part of a reading may be taken ahead of the rest of it, which takes no more than repeating it.
        """
        uids, modseqs = self.columns.uids, self.columns.modseqs
        length, last_uid = len(uids), self._last_uid
        new: list[Row] = []
        changed = array("I")
        position = -1
        for row in rows:
            uid = row[1]
            if uid > last_uid:
                new.append(row)
                continue
            # A STORE touches neighbours: the next position is tried before a search.
            position += 1
            if position >= length or uids[position] != uid:
                position = bisect_left(uids, uid)
                if position >= length or uids[position] != uid:
                    continue  # expunged here already: a UID never comes back
            if row[2] >= modseqs[position]:
                modseqs[position] = row[2]
                if self._set_flags(position, row[3]):
                    changed.append(uid)
        if changed:
            self._log_changes(changed)
        if new:
            self._append(new)

    def _apply(self, reading: Changes | Snapshot, expunged: Sequence[int]) -> None:
        if reading.keywords is not None and tuple(reading.keywords) != self.keywords.named:
            self.keywords = Keywords(reading.keywords)
            self.tick += 1
        if reading.rows:
            self.take(reading.rows)
        if expunged:
            self._expunge(expunged)
        # An older reading than the last takes nothing back.
        if reading.highest_modseq >= self.highest_modseq:
            self.highest_modseq = reading.highest_modseq
            self.uidvalidity = reading.uidvalidity
            self.keyword_version = reading.keyword_version
        self.uidnext = max(self.uidnext, reading.uidnext)
        self.recent_uid = max(self.recent_uid, reading.recent_uid)

    def log_position(self) -> int:
        """Where the log of flag changes ends now; a view keeps it and asks with it later."""
        return self._log_start + len(self._log)

    def flags_changed_since(self, log_position: int, modseq: int) -> Sequence[int]:
        """Positions, ascending, of messages whose flags changed since a view's last look, at `log_position` and
        `modseq`; some may have got their old flags back since."""
        if log_position >= self._log_start:
            return self.positions(sorted(set(self._log[log_position - self._log_start :])))
        return as_range([position for position, changed in enumerate(self.columns.modseqs) if changed > modseq])

    def positions(self, uids: Sequence[int]) -> Sequence[int]:
        """The positions, ascending, of those of `uids` (ascending) that the index has."""
        here = self.columns.uids
        start = bisect_left(here, uids[0]) if uids else 0
        if here[start : start + len(uids)] == array("I", uids):
            return range(start, start + len(uids))
        length, position = len(here), start
        found = []
        for uid in uids:
            # Changes come in runs: the next position is tried before a search.
            if position >= length or here[position] != uid:
                position = bisect_left(here, uid, position)
                if position >= length or here[position] != uid:
                    continue
            found.append(position)
            position += 1
        return as_range(found)

    def _set_modseqs(self, modseq: int | None) -> None:
        modseqs = self.columns.modseqs
        if modseq is not None:
            modseqs[:] = array(modseqs.typecode, [modseq]) * len(modseqs)

    def _set_flags(self, position: int, bits: int) -> bool:
        """Set a message's flags; whether they differ from what they were."""
        flags = self.columns.flags
        difference = flags[position] ^ bits
        if not difference:
            return False
        flags[position] = bits
        if difference & SEEN:
            if bits & SEEN:
                self.unseen -= 1
            else:
                self.unseen += 1
                self._seen_prefix = min(self._seen_prefix, position)
        return True

    def _flag(self, change: OwnChange) -> bool:
        """Change flags as the database did; whether it can only have done just that."""
        columns = self.columns
        positions = self.positions(change.flagged)
        before = picked(columns.flags, positions)
        counts = Counter(before)
        outcome = {bits: bits & change.keep | change.add for bits in counts}
        changed = sum(count for bits, count in counts.items() if outcome[bits] != bits)
        if changed != change.changed or max(picked(columns.modseqs, positions), default=0) > self.highest_modseq:
            return False
        if changed < len(positions):
            positions = [at for at, bits in zip(positions, before, strict=True) if outcome[bits] != bits]
            before = picked(columns.flags, positions)
        put(columns.flags, positions, array("q", [outcome[bits] for bits in before]))
        put(columns.modseqs, positions, array("Q", [change.modseq]) * changed)
        self._log_changes(picked(columns.uids, positions))
        newly_seen = sum(count * ((outcome[bits] & SEEN) - (bits & SEEN)) for bits, count in counts.items())
        self.unseen -= newly_seen
        if newly_seen < 0:
            self._seen_prefix = min(self._seen_prefix, positions[0])
        return True

    def _log_changes(self, uids: array[int]) -> None:
        self._log.extend(uids)
        self.drift += len(uids)
        self.tick += 1
        if len(self._log) > 2 * _LOG_ENTRIES:
            surplus = len(self._log) - _LOG_ENTRIES
            del self._log[:surplus]
            self._log_start += surplus

    def _append(self, rows: list[Row]) -> None:
        self.columns.extend(rows)
        self._last_uid = rows[-1][1]
        self.drift += len(rows)
        self.unseen += sum(not row[3] & SEEN for row in rows)
        self.octets += sum(row[4] for row in rows)
        self.tick += 1

    def _expunge(self, uids: Sequence[int]) -> None:
        """Take out messages; what is not here counts for nothing."""
        positions = self.positions(sorted(uids))
        if not positions:
            return
        self.drift += len(positions)
        old = self.columns
        self.unseen -= sum(not bits & SEEN for bits in picked(old.flags, positions))
        self.octets -= sum(picked(old.octets, positions))
        self._seen_prefix -= bisect_left(positions, self._seen_prefix)
        self.columns = old.without(positions)
        link = self.expunges
        self.expunges = link.next = Expunges()
        link.gone = picked(old.uids, positions)
        self.tick += 1
