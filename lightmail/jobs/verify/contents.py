"""The deep pass: every LIVE object read, expanded, hashed and rendered, and held against its row and its rendering."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

import zstandard
from twisted.internet.defer import Deferred, DeferredList

from lightmail.jobs.verify.references import emit_for_object
from lightmail.jobs.verify.repairs import blob_ref
from lightmail.jobs.verify.steps import Emit, Hands, Step
from lightmail.mime import RENDER_VERSION
from lightmail.model import AccountId, ObjectId, ObjectState, Rendering
from lightmail.objects.examining import Examined, Verdict, examine
from lightmail.operations import repair
from lightmail.store import mending, referred, suspects
from lightmail.store.blobs import rendering_row, unpacked_header
from lightmail.store.cursor import Row
from lightmail.store.referred import ObjectRow

# Objects that one thread reads in one hand-off. Their renderings, stored and fresh, are in memory meanwhile.
_SHARE: Final = 8

_KINDS: Final = {
    Verdict.ABSENT: "object-absent",
    Verdict.DAMAGED: "object-damaged",
    Verdict.ROW_DIFFERS: "object-row-differs",
    Verdict.MISDESCRIBED: "object-misdescribed",
}
# Where the packed header is among the columns of a rendering: its octets depend on who compressed it.
_HEADER: Final = mending.RENDERING_COLUMNS.index("header_zstd")


@dataclass(frozen=True, slots=True)
class _Look:
    """What a thread found of one object. `differing` names the columns of its rendering, None: it has none."""

    row: ObjectRow
    examined: Examined
    differing: list[str] | None


class ContentsPass:
    """All LIVE objects by id, `readers` shares of them at a time; or those of one account's messages."""

    name = "contents"
    weight = 40

    def __init__(self, hands: Hands, account: AccountId | None, mending: bool, readers: int) -> None:
        self._hands = hands
        self._account = account
        self._mending = mending
        self._readers = readers
        self._largest: int | None = None

    def first(self) -> Any:
        return 0 if self._account is None else [0, 0]

    async def step(self, cursor: Any, emit: Emit) -> Step:
        database, size = self._hands.database, _SHARE * self._readers
        if self._account is None:
            rows = await database.read("verify", referred.live_objects_txn, int(cursor), size)
            following: Any = rows[-1].id if len(rows) == size else None
            if self._largest is None:
                self._largest = await database.read("verify", suspects.largest_txn, "objects")
            done = rows[-1].id / self._largest if rows else 1.0
        else:
            after = (int(cursor[0]), int(cursor[1]))
            part = await database.read("verify", suspects.next_messages_txn, after, size, self._account)
            if part is None:
                return Step(None, 0, 1.0)
            rows = await database.read("verify", referred.objects_of_txn, part)
            following, done = list(part.last), 0.5
        await self._look_at(rows, emit)
        return Step(following, len(rows), min(done, 1.0))

    async def _look_at(self, rows: Sequence[ObjectRow], emit: Emit) -> None:
        if not rows:
            return
        shares = [rows[number :: self._readers] for number in range(self._readers)]
        looks = await _together([self._share(share) for share in shares if share])
        claims = await self._hands.database.read("verify", referred.claims_txn, [row.id for row in rows])
        for look in looks:
            if not _holds(look, claims.get(look.row.id, set())):
                await self._look_again(look.row, emit)

    async def _share(self, rows: Sequence[ObjectRow]) -> list[_Look]:
        """What becomes of some objects, in one thread."""
        stored = await self._hands.database.read("verify", mending.renderings_txn, [row.id for row in rows])
        return await self._hands.pool.run(self._read, rows, stored)

    def _read(self, rows: Sequence[ObjectRow], stored: dict[int, Row]) -> list[_Look]:
        looks = []
        for row in rows:
            examined = examine(self._hands.store, blob_ref(row))
            looks.append(_Look(row, examined, _differing(stored.get(row.id), examined.rendering)))
        return looks

    async def _look_again(self, row: ObjectRow, emit: Emit) -> None:
        """Something looked wrong: with the rows as they are now, does it still?"""
        database = self._hands.database
        now = (await database.read("verify", referred.objects_txn, [row.id])).get(row.id)
        if now is None or now.state != ObjectState.LIVE.value:
            return
        (look,) = await self._share([now])
        claims = (await database.read("verify", referred.claims_txn, [row.id])).get(row.id, set())
        still = (await database.read("verify", referred.objects_txn, [row.id])).get(row.id)
        if still is None or still != now:
            return
        await self._judge(look, claims, emit)

    async def _judge(self, look: _Look, claims: set[tuple[bytes, int]], emit: Emit) -> None:
        """Emit what is wrong with an object, repaired where it can be."""
        hands, row, examined = self._hands, look.row, look.examined
        stranger, date = _claimed(examined, claims)
        if stranger:
            await emit_for_object(hands, "object-of-others", row, emit)
        kind = _KINDS.get(examined.verdict)
        if kind is None and date:
            await emit_for_object(hands, "object-misdescribed", row, emit, detail="its header tells another date")
        if kind is not None:
            mended = False
            # A row that was led to somebody else's object must not be made to agree with it.
            if self._mending and examined.truth is not None and not stranger and not date:
                await repair.set_object(hands.transactions, ObjectId(row.id), examined.truth)
                mended = True
            await emit_for_object(hands, kind, row, emit, detail=examined.detail, repaired=mended)
        if examined.rendering is None or look.differing == [] or stranger:
            return
        if self._mending:
            await repair.set_rendering(hands.transactions, ObjectId(row.id), examined.rendering)
        kind = "rendering-missing" if look.differing is None else "rendering-differs"
        detail = ", ".join(look.differing or [])
        await emit_for_object(hands, kind, row, emit, detail=detail, repaired=self._mending)


async def _together(coroutines: Sequence[Coroutine[Deferred[Any], Any, list[_Look]]]) -> list[_Look]:
    """What all of them found, once all have ended: one that failed is run again with the others, not beside them."""
    ended: Any = await DeferredList([Deferred.fromCoroutine(each) for each in coroutines], consumeErrors=True)
    looks: list[_Look] = []
    for succeeded, result in ended:
        if not succeeded:
            result.raiseException()
        looks += result
    return looks


def _holds(look: _Look, claims: set[tuple[bytes, int]]) -> bool:
    sound = look.examined.verdict is Verdict.SOUND and look.differing == []
    return sound and _claimed(look.examined, claims) == (False, False)


def _claimed(examined: Examined, claims: set[tuple[bytes, int]]) -> tuple[bool, bool]:
    """Whether a message refers to the object that is of an account it does not name, and one of another date."""
    header = examined.header
    if header is None:
        return False, False
    owners = {account for account, _ in header.owners}
    stranger = any(account not in owners for account, _ in claims)
    return stranger, any(internaldate_us != header.internaldate_us for _, internaldate_us in claims)


def _differing(stored: Row | None, fresh: Rendering | None) -> list[str] | None:
    """The columns in which a stored rendering is not the fresh one; None where there is none stored.

    One of another version is as good as any: a job of its own renders anew. In a thread.
    """
    if stored is None:
        return None
    if fresh is None or stored[0] != RENDER_VERSION:
        return []
    expected = rendering_row(fresh)
    return [
        column
        for place, column in enumerate(mending.RENDERING_COLUMNS)
        if (_header(stored[place]) != fresh.header if place == _HEADER else stored[place] != expected[place])
    ]


def _header(packed: bytes) -> bytes | None:
    try:
        return unpacked_header(packed)
    except zstandard.ZstdError:
        return None
