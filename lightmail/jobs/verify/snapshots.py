"""Snapshots of indexes: can each be read, and does it come to what the rows say; and objects that belong to none.

A snapshot is compared as it is used: what has changed since is read and applied. To both sides, the index from the
snapshot and the one from rows, the same reading is applied last, so that mail may come and go meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from lightmail.errors import NoSuchMailbox
from lightmail.index.mailbox import MailboxIndex
from lightmail.index.snapshot import Damaged, Root, unpack
from lightmail.jobs.verify.steps import Emit, Hands, Step
from lightmail.jobs.verify.table import CHECKS
from lightmail.model import AccountId
from lightmail.objects import keys
from lightmail.objects.backends import ObjectMissing, ObjectStore
from lightmail.operations import snapshots as operations
from lightmail.store import epochs, referred, snapshots
from lightmail.store.cursor import Cursor
from lightmail.store.faults import Forgotten
from lightmail.store.messages import all_txn, changes_txn
from lightmail.store.snapshots import Held, Pointer

_AT_ONCE: Final = 10
_PAGE: Final = 4000
# The collector has looked at every key by then (`jobs.garbage.snapshots`): a day's grace, and a round.
_LEFTOVER_US: Final = 3 * 86_400_000_000
# Behind every key below ``indexes/``.
_END: Final = f"{keys.INDEX_PREFIX}0"


class SnapshotsPass:
    """All snapshots, by mailbox; or those of one account's mailboxes."""

    name = "snapshots"
    weight = 3

    def __init__(self, hands: Hands, account: AccountId | None, mending: bool) -> None:
        self._hands = hands
        self._account = account
        self._mending = mending

    def first(self) -> Any:
        return 0

    async def step(self, cursor: Any, emit: Emit) -> Step:
        held = await self._hands.database.read("verify", snapshots.after_txn, int(cursor), self._account, _AT_ONCE)
        for each in held:
            if each.alive:
                await self._look(each, emit)
            else:
                if self._mending:
                    await operations.clear(self._hands.database, each.mailbox)
                finding = CHECKS["snapshot-without-mailbox"].finding
                emit(finding(mailbox=str(each.mailbox), key=each.key, repaired=self._mending))
        following = held[-1].mailbox if len(held) == _AT_ONCE else None
        return Step(following, len(held), 1.0 if following is None else 0.5)

    async def _look(self, held: Held, emit: Emit) -> None:
        """Look at one snapshot, and once more where it looks wrong; one that was replaced meanwhile is not."""
        kind = await self._wrong_with(held)
        if kind is None or await self._wrong_with(held) != kind:
            return
        if self._mending:
            await operations.drop(self._hands.transactions, held.account, held.mailbox, held.key)
        addresses, names = await self._hands.database.read("verify", referred.names_txn, {held.account}, {held.mailbox})
        finding = CHECKS[kind].finding(
            account=addresses.get(held.account, str(held.account)),
            mailbox=names.get(held.mailbox, str(held.mailbox)),
            key=held.key,
            repaired=self._mending,
        )
        emit(finding)

    async def _wrong_with(self, held: Held) -> str | None:
        """The kind of finding that a snapshot is; None for one that is sound, stale, or not there any more."""
        hands = self._hands
        standing = await epochs.read(hands.database, "verify", snapshots.standing_txn, held.account, held.mailbox)
        pointer = standing.pointer if standing is not None else None
        if standing is None or pointer is None or pointer.key != held.key or not standing.serves(pointer):
            return None
        try:
            root = await hands.pool.run(_read, hands.store, pointer)
        except (ObjectMissing, Damaged):
            return "snapshot-unusable"
        if (root.account, root.mailbox) != (standing.account, held.mailbox):
            return "snapshot-differs"
        try:
            differs = await epochs.read(hands.database, "verify", _differs_txn, held.account, root)
        except (Forgotten, NoSuchMailbox):
            return None
        return "snapshot-differs" if differs else None


def _read(store: ObjectStore, pointer: Pointer) -> Root:
    """The root of a snapshot whose chunks are all there. In a thread."""
    root = unpack(store.read(pointer.key, 0, pointer.octets), pointer.sha256)
    for key in sorted({key for chunk in root.chunks for key in chunk.keys}):
        if store.size(key) is None:
            raise ObjectMissing
    return root


def _differs_txn(cursor: Cursor, account: AccountId, root: Root) -> bool:
    """Whether a snapshot, brought level, is not what the rows are. Raises Forgotten, NoSuchMailbox, OlderEpoch."""
    restored = MailboxIndex.restored(account, root, "")
    fresh = MailboxIndex(account, root.mailbox)
    fresh.replace(all_txn(cursor, root.mailbox))
    changes = changes_txn(cursor, root.mailbox, root.modseq)
    for index in (restored, fresh):
        index.apply(changes)
    return _shown(restored) != _shown(fresh)


def _shown(index: MailboxIndex) -> tuple[object, ...]:
    return index.columns.all, index.keywords.named, index.unseen, index.octets, index.uidnext, index.recent_uid


class SnapshotKeysPass:
    """All keys below ``indexes/``, and the rows of objects that count as parts of snapshots."""

    name = "snapshot keys"
    weight = 1

    def __init__(self, hands: Hands, mending: bool, clock: Callable[[], float]) -> None:
        self._hands = hands
        self._mending = mending
        self._clock = clock

    def first(self) -> Any:
        return ""

    async def step(self, cursor: Any, emit: Emit) -> Step:
        hands = self._hands
        if not cursor:
            await self._tell(await hands.database.read("verify", snapshots.unused_txn, _PAGE), emit)
        listed = await hands.pool.run(hands.store.keys, keys.INDEX_PREFIX, cursor, _PAGE)
        born_until_us = int(self._clock() * 1_000_000) - _LEFTOVER_US
        ours = [key for key in listed if keys.is_index_key(key)]
        for key in sorted(set(listed).difference(ours)):
            emit(CHECKS["foreign-key"].finding(key=key))
        old = [key for key in ours if keys.born_us(key) <= born_until_us]
        known = await hands.database.read("verify", snapshots.known_txn, old)
        await self._tell([key for key in old if key not in known], emit)
        last = listed[-1] if len(listed) == _PAGE else _END
        return Step(None if last == _END else last, len(listed), 1.0 if last == _END else 0.5)

    async def _tell(self, leftovers: Sequence[str], emit: Emit) -> None:
        if self._mending:
            await operations.disown(self._hands.database, leftovers)
        for key in leftovers:
            emit(CHECKS["snapshot-leftover"].finding(key=key, repaired=self._mending))
