"""Snapshots of indexes: the format of their root objects (``docs/index.md``).

A root is immutable, and self-contained but for its chunks. Integers are little-endian:

====================  ==================================================================================================
``LMindex1``          what this is, and the version of the format
4 octets              the length of the directory
directory             JSON: whose it is, the counters, the keywords, the chunks, how many octets each column has
one zstd frame        the columns one after another, as the arrays of `Columns` hold them in memory; the days on which
                      messages were sent, as far as they are known; the object ids of the chunks
====================  ==================================================================================================

The row that points to a root names the SHA-256 of all its octets, so that what is read is exactly what was written, or
nothing. A root is made from an index at a moment of its own, and knows every change up to ``modseq``.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from operator import lt
from typing import Any, Final

import zstandard

from lightmail.index.chunks import ChunkRef, Described
from lightmail.index.columns import Columns
from lightmail.model import MailboxId

_MAGIC: Final = b"LMindex1"
_HEAD: Final = struct.Struct(f"<{len(_MAGIC)}sI")
_LEVEL: Final = 3
# What a root may take in memory once it is unpacked: ten million messages.
_OCTETS_BOUND: Final = 512 << 20
_DIRECTORY_BOUND: Final = 16 << 20
_SLICE: Final = 50_000


class Damaged(Exception):
    """What was read is not a root as it was written."""


@dataclass(frozen=True, slots=True)
class Root:
    """An index as a snapshot holds it: every change up to `modseq`, perhaps some that came later.

    `keywords` are (bit, name) at `keyword_version` or later; `account` is the account's uuid; `unseen` and `octets` are
    the sums over all messages.
    """

    account: bytes
    mailbox: MailboxId
    epoch: int
    uidvalidity: int
    uidnext: int
    modseq: int
    recent_uid: int
    keyword_version: int
    keywords: tuple[tuple[int, bytes], ...]
    unseen: int
    octets: int
    columns: Columns
    chunks: tuple[ChunkRef, ...] = ()


@dataclass(frozen=True, slots=True)
class Packed:
    """A root as octets, with their SHA-256."""

    data: bytes
    sha256: bytes


_COUNTERS: Final = (
    *("mailbox", "epoch", "uidvalidity", "uidnext", "modseq"),
    *("recent_uid", "keyword_version", "unseen", "octets"),
)


def pack(root: Root) -> Packed:
    """The octets of a root. ValueError for one that cannot be: UIDs that do not ascend, or are not below `uidnext`."""
    columns = root.columns
    _require_uids(columns.uids, root.uidnext)
    ids = array("Q")
    for chunk in root.chunks:
        ids.extend(chunk.objects)
    parts = [_octets_of(column) for column in (*columns.all, columns.sent_days, ids)]
    directory = {
        "account": root.account.hex(),
        **{name: getattr(root, name) for name in _COUNTERS},
        "keywords": [[bit, name.decode("latin-1")] for bit, name in root.keywords],
        "columns": [len(part) for part in parts],
        "chunks": [[len(chunk.objects), chunk.described()] for chunk in root.chunks],
    }
    text = json.dumps(directory, separators=(",", ":")).encode()
    frame = zstandard.ZstdCompressor(level=_LEVEL).compress(b"".join(parts))
    data = b"".join([_HEAD.pack(_MAGIC, len(text)), text, frame])
    return Packed(data, hashlib.sha256(data).digest())


def unpack(data: bytes, sha256: bytes) -> Root:
    """The root whose octets have this digest. Raises Damaged for anything else, or a format of another release."""
    if hashlib.sha256(data).digest() != sha256:
        raise Damaged("it is not what was written")
    try:
        return _unpacked(data)
    except (ValueError, LookupError, TypeError, struct.error, zstandard.ZstdError) as error:
        raise Damaged(str(error)) from None


def _unpacked(data: bytes) -> Root:
    magic, length = _HEAD.unpack_from(data)
    if magic != _MAGIC or length > _DIRECTORY_BOUND:
        raise Damaged("the format is another one")
    directory: dict[str, Any] = json.loads(data[_HEAD.size : _HEAD.size + length])
    sizes: list[int] = directory["columns"]
    if sum(sizes) > _OCTETS_BOUND:
        raise Damaged("it is larger than any mailbox")
    frame = memoryview(data)[_HEAD.size + length :]
    raw = memoryview(zstandard.ZstdDecompressor().decompress(frame, max_output_size=sum(sizes)))
    columns, ids = Columns(), array("Q")
    start = 0
    for column, size in zip((*columns.all, columns.sent_days, ids), sizes, strict=True):
        _fill(column, raw[start : start + size])
        start += size
    lengths = {len(column) for column in columns.all}
    if start != len(raw) or len(lengths) != 1 or len(columns.sent_days) > len(columns):
        raise Damaged("the columns are not of one length")
    return Root(
        account=bytes.fromhex(directory["account"]),
        keywords=tuple((bit, name.encode("latin-1")) for bit, name in directory["keywords"]),
        columns=columns,
        chunks=_chunks(directory["chunks"], ids),
        **{name: directory[name] for name in _COUNTERS},
    )


def _chunks(listed: Sequence[tuple[int, Described]], ids: array[int]) -> tuple[ChunkRef, ...]:
    chunks: list[ChunkRef] = []
    start = 0
    for count, described in listed:
        chunks.append(ChunkRef.of(described, ids[start : start + count]))
        start += count
    if start != len(ids):
        raise Damaged("the chunks' objects are not all there")
    return tuple(chunks)


def _require_uids(uids: array[int], uidnext: int) -> None:
    if not uids:
        return
    # In slices: a call of C's over all of a very large mailbox would keep every other thread waiting.
    ascend = all(
        all(map(lt, uids[start : start + _SLICE], uids[start + 1 : start + 1 + _SLICE]))
        for start in range(0, len(uids), _SLICE)
    )
    if uids[0] < 1 or uids[-1] >= uidnext or not ascend:
        raise ValueError("the UIDs do not ascend to below the next one")


def _octets_of(column: array[int]) -> bytes:
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    return column.tobytes()


def _fill(column: array[int], octets: memoryview) -> None:
    column.frombytes(octets)
    if sys.byteorder == "big":
        column.byteswap()
