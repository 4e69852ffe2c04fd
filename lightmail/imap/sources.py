"""What a search reads, from the services of the IMAP server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from lightmail.bounded import runs
from lightmail.errors import MailError
from lightmail.index.sent import sent_days
from lightmail.mime.fields import decoded_header
from lightmail.mime.parts import PartExtent, all_parts
from lightmail.mime.text import searchable

if TYPE_CHECKING:
    from lightmail.imap.services import ImapServices
    from lightmail.index.chunks import ChunkRef
    from lightmail.index.view import Whole
    from lightmail.model import Account, BlobRef, ObjectId
    from lightmail.store.blobs import SearchColumns

# A blob up to this is read whole; of a longer one only the text parts, and of those so many octets all together.
_WHOLE_OCTETS: Final = 1 << 20
_TEXT_OCTETS: Final = 4 << 20


class ServiceSources:
    """Reads rows, renderings and objects of one mailbox, and of renderings first what `chunks` have.

    Text is decoded and compared in the objects' threads.
    """

    def __init__(self, services: ImapServices, account: Account, whole: Whole, chunks: Sequence[ChunkRef]) -> None:
        self._services = services
        self._account = account
        self._whole = whole
        self._chunks = chunks
        self._pool = services.spools.pool

    async def sent_days(self) -> Sequence[int]:
        """The days of Date fields; read once for each mailbox."""
        return await sent_days(self._services.database, self._whole.columns, self._whole.count)

    async def columns(self, objects: Sequence[ObjectId]) -> Mapping[ObjectId, SearchColumns]:
        """The columns rendered at delivery."""
        return await self._services.rendered.search_columns(self._account, objects, self._chunks)

    async def headers(self, objects: Sequence[ObjectId]) -> Mapping[ObjectId, tuple[bytes, bytes]]:
        """Header blocks and their packed field offsets."""
        return await self._services.rendered.headers(self._account, objects, self._chunks)

    async def containing(self, objects: Sequence[ObjectId], text: str, or_header: bool) -> set[ObjectId]:
        """Those whose decoded text parts (`or_header`: or header) contain `text`, which is folded."""
        found: set[ObjectId] = set()
        if or_header:
            headers = await self.headers(objects)
            found = await self._pool.run(_headers_containing, headers, text)
        left = [of for of in objects if of not in found]
        if not left:
            return found
        parts = await self._services.rendered.parts(self._account, left, self._chunks)
        refs = await self._services.rendered.refs(self._account, left)
        texts = [(of, refs[of], list(_texts(refs[of], parts[of]))) for of in left if of in refs and of in parts]
        costs = [sum(last - first for first, last, _ in pieces) for _, _, pieces in texts]
        for start, stop in runs(costs, most_octets=_TEXT_OCTETS, most=len(texts)):
            found |= await self._in_batch(texts[start:stop], text)
        return found

    async def _in_batch(self, texts: Sequence[tuple[ObjectId, BlobRef, list[Text]]], text: str) -> set[ObjectId]:
        jobs = [(ref, first, last) for _, ref, pieces in texts for first, last, _ in pieces]
        owners = [(of, parts) for of, _, pieces in texts for _, _, parts in pieces]
        good: list[tuple[ObjectId, list[PartExtent], bytes]] = []
        for (of, parts), octets in zip(owners, await self._services.blobs.read_many(jobs), strict=True):
            if not isinstance(octets, MailError):
                good.append((of, parts, octets))
            elif octets.transient:
                # A damaged message cannot match; one that is out of reach might, so there is no answer now.
                raise octets
        return await self._pool.run(_bodies_containing, good, text)


# Octets [first, last) of a blob, and the parts to look into there, their offsets counted from `first`.
Text: TypeAlias = tuple[int, int, list[PartExtent]]


def _texts(ref: BlobRef, packed: bytes) -> Iterator[Text]:
    """What to read of a blob to see all its text."""
    parts = all_parts(packed)
    if ref.octets <= _WHOLE_OCTETS:
        yield 0, ref.octets, parts
        return
    left = _TEXT_OCTETS
    for part in parts:
        if part.message is not None and part.path:
            first, last = part.message.header_start, part.message.header_end
        elif part.media_type.startswith(b"text/"):
            first, last = part.body_start, part.body_end
        else:
            continue
        last = min(last, first + left)
        if first < last:
            left -= last - first
            yield first, last, [_moved(part, first)]


def _moved(part: PartExtent, first: int) -> PartExtent:
    message = part.message
    return part._replace(
        mime_start=0,
        body_start=part.body_start - first,
        body_end=part.body_end - first,
        message=None if message is None else type(message)(*(at - first for at in message)),
    )


def _headers_containing(headers: Mapping[ObjectId, tuple[bytes, bytes]], text: str) -> set[ObjectId]:
    return {of for of, (header, _) in headers.items() if text in decoded_header(header).casefold()}


def _bodies_containing(bodies: Sequence[tuple[ObjectId, list[PartExtent], bytes]], text: str) -> set[ObjectId]:
    found: set[ObjectId] = set()
    for of, parts, octets in bodies:
        if of not in found and any(text in piece.casefold() for piece in searchable(octets, parts)):
            found.add(of)
    return found
