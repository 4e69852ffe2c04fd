"""The evaluation of criteria over a mailbox: what the index answers first, for all messages at once, then the rest.

What the index does not answer is asked of the candidates that are left, lists of positions, ascending. Every node gets
only the candidates that its cheaper neighbours left, and what must be fetched is fetched for a block of candidates at a
time, so memory does not grow with the mailbox. Between slices of work the reactor gets its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from typing import Final

from lightmail.bounded import runs
from lightmail.mime.fields import decoded_field
from lightmail.model import ObjectId
from lightmail.search.criteria import (
    And,
    Column,
    Criteria,
    InBody,
    InColumn,
    InHeader,
    Not,
    Or,
    Stage,
)
from lightmail.search.indexed import IndexMatcher
from lightmail.search.sources import Columns, Scope, Sources
from lightmail.turns import Turn

# Messages fetched for in one go.
_BLOCK: Final = 500
# What is fetched for a message is a header at most, unless it is its text, which the sources bound by themselves.
_HEADER_OCTETS: Final = 1 << 20
_BLOCK_OCTETS: Final = 32 << 20

_COLUMN_OF: Final[dict[Column, Callable[[Columns], str]]] = {
    Column.SUBJECT: lambda row: row.subject,
    Column.FROM: lambda row: row.from_,
    Column.TO: lambda row: row.to,
    Column.CC: lambda row: row.cc,
    Column.BCC: lambda row: row.bcc,
}


async def search(criteria: Criteria, scope: Scope, sources: Sources, turn: Turn) -> bytes:
    """A mark for each message of the scope: 1 where it matches, and 0 where it does not."""
    cheap, dear = _split(criteria)
    index = IndexMatcher(scope, sources, turn)
    marks = await index.marks(cheap)
    if not dear.nodes:
        return marks
    candidates = list(compress(range(scope.count), marks))
    found = bytearray(scope.count)
    costs = [min(scope.octets[at], _HEADER_OCTETS) for at in candidates]
    for start, stop in runs(costs, most_octets=_BLOCK_OCTETS, most=_BLOCK):
        block = _Block(scope, index, sources)
        for at in await block.matching(dear, candidates[start:stop]):
            found[at] = 1
        await turn.offer()
    return bytes(found)


def _split(criteria: Criteria) -> tuple[And, And]:
    """`criteria` as a conjunction of what the index answers, and one of what it does not."""
    nodes = criteria.nodes if isinstance(criteria, And) else (criteria,)
    cheap = [node for node in nodes if node.stage is Stage.INDEX]
    dear = [node for node in nodes if node.stage is not Stage.INDEX]
    return And(cheap), And(dear)


class _Block:
    """Answers any node for one block of candidates, and remembers what it fetched for them."""

    def __init__(self, scope: Scope, index: IndexMatcher, sources: Sources) -> None:
        self._objects = scope.objects
        self._index = index
        self._sources = sources
        self._columns: dict[ObjectId, Columns] = {}
        self._headers: dict[ObjectId, tuple[bytes, bytes]] = {}

    async def matching(self, node: Criteria, candidates: Sequence[int]) -> Sequence[int]:
        """Those of `candidates` that match."""
        if not candidates:
            return candidates
        if node.stage is Stage.INDEX:
            marks = await self._index.marks(node)
            return [at for at in candidates if marks[at]]
        match node:
            case And():
                for inner in sorted(node.nodes, key=_stage):
                    candidates = await self.matching(inner, candidates)
                return candidates
            case Or():
                return await self._any(node, candidates)
            case Not():
                return _others(candidates, await self.matching(node.node, candidates))
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
