"""The evaluation of criteria over a mailbox: what the index answers first, for all messages at once, then the rest.

Sets of candidates are lists of positions, ascending. Every node gets only the candidates that its cheaper neighbours
left, and what must be fetched is fetched for a block of candidates at a time, so memory does not grow with the
mailbox. Between slices of work the reactor gets its turn.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Final

from lightmail.bounded import runs
from lightmail.mime.fields import decoded_field
from lightmail.model import ObjectId
from lightmail.search.criteria import (
    And,
    Arrived,
    Column,
    Criteria,
    HasFlag,
    InBody,
    InColumn,
    InHeader,
    IsRecent,
    Not,
    Numbered,
    Or,
    Sent,
    Sized,
    Stage,
)
from lightmail.search.sources import Columns, Scope, Sources
from lightmail.turns import Turn

# Messages looked at between two offers to yield, and fetched for in one go.
_SLICE: Final = 2000
_BLOCK: Final = 500
# What is fetched for a message is a header at most, unless it is its text, which the sources bound by themselves.
_HEADER_OCTETS: Final = 1 << 20
_BLOCK_OCTETS: Final = 32 << 20
_MICROSECONDS: Final = 1_000_000

_COLUMN_OF: Final[dict[Column, Callable[[Columns], str]]] = {
    Column.SUBJECT: lambda row: row.subject,
    Column.FROM: lambda row: row.from_,
    Column.TO: lambda row: row.to,
    Column.CC: lambda row: row.cc,
    Column.BCC: lambda row: row.bcc,
}


async def search(criteria: Criteria, scope: Scope, sources: Sources, turn: Turn) -> list[int]:
    """The positions in ``scope.messages`` of the messages that match, ascending."""
    cheap, dear = _split(criteria)
    index = IndexMatcher(scope)
    candidates: list[int] = []
    for start in range(0, len(scope.messages.uids), _SLICE):
        stop = min(start + _SLICE, len(scope.messages.uids))
        candidates += index.matching(cheap, range(start, stop))
        await turn.offer()
    if not dear.nodes:
        return candidates
    found: list[int] = []
    costs = [min(scope.messages.octets[at], _HEADER_OCTETS) for at in candidates]
    for start, stop in runs(costs, most_octets=_BLOCK_OCTETS, most=_BLOCK):
        block = _Block(scope, index, sources)
        found += await block.matching(dear, candidates[start:stop])
        await turn.offer()
    return found


def _split(criteria: Criteria) -> tuple[And, And]:
    """`criteria` as a conjunction of what the index answers, and one of what it does not."""
    nodes = criteria.nodes if isinstance(criteria, And) else (criteria,)
    cheap = [node for node in nodes if node.stage is Stage.INDEX]
    dear = [node for node in nodes if node.stage is not Stage.INDEX]
    return And(cheap), And(dear)


class IndexMatcher:
    """Answers the nodes of stage INDEX, from memory and without waiting."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._members: dict[int, bytearray] = {}

    def matching(self, node: Criteria, candidates: Sequence[int]) -> Sequence[int]:
        """Those of `candidates` that match."""
        messages = self._scope.messages
        match node:
            case And():
                for inner in node.nodes:
                    candidates = self.matching(inner, candidates)
                return candidates
            case Or():
                return _either([self.matching(inner, candidates) for inner in node.nodes])
            case Not(HasFlag() | IsRecent() as flag):
                flags, mask = messages.flags, self._mask(flag)
                return [at for at in candidates if not flags[at] & mask]
            case Not():
                return _others(candidates, self.matching(node.node, candidates))
            case HasFlag() | IsRecent():
                flags, mask = messages.flags, self._mask(node)
                return [at for at in candidates if flags[at] & mask]
            case Numbered():
                members = self._numbered(node)
                return [at for at in candidates if members[at]]
            case Sized():
                octets, above, below = messages.octets, node.above, node.below
                if below is None:
                    return [at for at in candidates if octets[at] > above]
                return [at for at in candidates if above < octets[at] < below]
            case Arrived():
                dates = messages.internaldates
                since, before = _seconds(node.since_us, -_FAR), _seconds(node.before_us, _FAR)
                return [at for at in candidates if since <= dates[at] < before]
            case _:
                return candidates  # All

    def _mask(self, flag: HasFlag | IsRecent) -> int:
        return self._scope.recent if isinstance(flag, IsRecent) else self._scope.flag_mask(flag.name)

    def _numbered(self, node: Numbered) -> bytearray:
        """A mark for each message of the mailbox that is in the node's set, made once a search."""
        members = self._members.get(id(node))
        if members is None:
            numbers = self._scope.messages.uids if node.by_uid else self._scope.messages.seqs
            members = self._members[id(node)] = bytearray(len(numbers))
            for low, high in node.numbers.resolve(numbers[-1] if numbers else 0):
                start, stop = bisect_left(numbers, low), bisect_right(numbers, high)
                members[start:stop] = b"\1" * (stop - start)
        return members


_FAR: Final = 1 << 62


def _seconds(us: int | None, default: int) -> int:
    return default if us is None else us // _MICROSECONDS


class _Block:
    """Answers any node for one block of candidates, and remembers what it fetched for them."""

    def __init__(self, scope: Scope, index: IndexMatcher, sources: Sources) -> None:
        self._objects = scope.messages.objects
        self._index = index
        self._sources = sources
        self._columns: dict[ObjectId, Columns] = {}
        self._headers: dict[ObjectId, tuple[bytes, bytes]] = {}

    async def matching(self, node: Criteria, candidates: Sequence[int]) -> Sequence[int]:
        """Those of `candidates` that match."""
        if not candidates:
            return candidates
        if node.stage is Stage.INDEX:
            return self._index.matching(node, candidates)
        match node:
            case And():
                for inner in sorted(node.nodes, key=_stage):
                    candidates = await self.matching(inner, candidates)
                return candidates
            case Or():
                return await self._any(node, candidates)
            case Not():
                return _others(candidates, await self.matching(node.node, candidates))
            case Sent():
                return await self._sent(node, candidates)
            case InColumn():
                return await self._in_column(node, candidates)
            case InHeader():
                return await self._in_header(node, candidates)
            case InBody():
                wanted = [self._objects[at] for at in candidates]
                found = await self._sources.containing(wanted, node.text, node.or_header)
                return [at for at in candidates if self._objects[at] in found]
            case _:
                raise TypeError(f"no way to match {node!r}")

    async def _any(self, node: Or, candidates: Sequence[int]) -> Sequence[int]:
        """Each alternative sees only what no cheaper one has matched."""
        found: list[Sequence[int]] = []
        for inner in sorted(node.nodes, key=_stage):
            found.append(await self.matching(inner, candidates))
            candidates = _others(candidates, found[-1])
        return _either(found)

    async def _sent(self, node: Sent, candidates: Sequence[int]) -> Sequence[int]:
        rows = await self._rows(candidates)
        since = -_FAR if node.since_us is None else node.since_us
        before = _FAR if node.before_us is None else node.before_us
        return [
            at
            for at in candidates
            if (row := rows.get(self._objects[at])) and row.sent_us is not None and since <= row.sent_us < before
        ]

    async def _in_column(self, node: InColumn, candidates: Sequence[int]) -> Sequence[int]:
        rows = await self._rows(candidates)
        text, column = node.text, _COLUMN_OF[node.column]
        return [at for at in candidates if (row := rows.get(self._objects[at])) and text in column(row)]

    async def _rows(self, candidates: Sequence[int]) -> dict[ObjectId, Columns]:
        missing = [self._objects[at] for at in candidates if self._objects[at] not in self._columns]
        if missing:
            self._columns.update(await self._sources.columns(missing))
        return self._columns

    async def _in_header(self, node: InHeader, candidates: Sequence[int]) -> Sequence[int]:
        missing = [self._objects[at] for at in candidates if self._objects[at] not in self._headers]
        if missing:
            self._headers.update(await self._sources.headers(missing))
        headers = self._headers
        return [at for at in candidates if (header := headers.get(self._objects[at])) and _field_has(*header, node)]


def _field_has(header: bytes, packed: bytes, node: InHeader) -> bool:
    text = decoded_field(header, packed, node.name)
    return text is not None and node.text in text.casefold()


def _stage(node: Criteria) -> Stage:
    return node.stage


def _others(candidates: Sequence[int], matching: Sequence[int]) -> Sequence[int]:
    """`candidates` without `matching`."""
    if not matching:
        return candidates
    taken = set(matching)
    return [at for at in candidates if at not in taken]


def _either(found: list[Sequence[int]]) -> Sequence[int]:
    """The union of ascending lists, ascending."""
    found = [matching for matching in found if matching]
    return found[0] if len(found) == 1 else sorted(set().union(*found))
