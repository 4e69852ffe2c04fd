"""Objects and renderings: where a blob's octets are, and what list views need of a message."""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import zstandard

from lightmail.mime.fields import decoded_field
from lightmail.model import Account, BlobRef, ObjectId, ObjectState, Rendering, StoredBlob
from lightmail.store.cursor import Cursor, Row, Statement
from lightmail.store.sqltext import padded, pieces, with_list

# A header block is at most this long (the scanner's bound), so that no stored octets can make us allocate more.
_HEADER_BOUND: Final = 1 << 20
_LEVEL: Final = 3
_DAY_US: Final = 86_400_000_000


class SearchColumns(NamedTuple):
    """What SEARCH and SORT compare: decoded and case-folded text, and the Date field's wall clock (or None)."""

    sent_us: int | None
    subject: str
    base_subject: str
    from_: str
    to: str
    cc: str
    bcc: str
    message_id: str


def _select(cursor: Cursor, sql: str, objects: Sequence[ObjectId]) -> list[Row]:
    """The rows of a statement with one ``{list}`` of object ids, in as many pieces as it takes."""
    rows: list[Row] = []
    for piece in pieces(objects):
        ids = padded(piece)
        cursor.execute(with_list(sql, len(ids)), ids)
        rows.extend(cursor.fetchall())
    return rows


_REFS: Final = "SELECT id, object_key, octets, stored_octets, codec, sha256, frames FROM objects WHERE id IN ({list})"


def refs_txn(cursor: Cursor, account: Account, objects: Sequence[ObjectId]) -> dict[ObjectId, BlobRef]:
    """Where blobs are, for an account whose mailboxes refer to them; one that has no row is missing from the answer."""
    return {
        ObjectId(row[0]): BlobRef(account.uuid, row[1].decode(), row[2], row[3], row[4].decode(), row[5], row[6])
        for row in _select(cursor, _REFS, objects)
    }


_ENVELOPES: Final = "SELECT object, envelope, bodystructure FROM renderings WHERE object IN ({list})"


def envelopes_txn(cursor: Cursor, objects: Sequence[ObjectId]) -> dict[ObjectId, tuple[bytes, bytes]]:
    """ENVELOPE and BODYSTRUCTURE as wire bytes."""
    return {ObjectId(row[0]): (row[1], row[2]) for row in _select(cursor, _ENVELOPES, objects)}


_HEADERS: Final = "SELECT object, header_zstd, header_fields FROM renderings WHERE object IN ({list})"


def headers_txn(cursor: Cursor, objects: Sequence[ObjectId]) -> dict[ObjectId, tuple[bytes, bytes]]:
    """Header blocks, still compressed (`unpacked_header`), and their packed field offsets."""
    return {ObjectId(row[0]): (row[1], row[2]) for row in _select(cursor, _HEADERS, objects)}


_PARTS: Final = "SELECT object, parts FROM renderings WHERE object IN ({list})"


def parts_txn(cursor: Cursor, objects: Sequence[ObjectId]) -> dict[ObjectId, bytes]:
    """Packed MIME part offsets."""
    return {ObjectId(row[0]): row[1] for row in _select(cursor, _PARTS, objects)}


_SEARCH: Final = (
    "SELECT object, sent_us, subject, base_subject, from_text, to_text, cc_text, bcc_text, message_id FROM renderings"
    " WHERE object IN ({list})"
)


def search_columns_txn(cursor: Cursor, objects: Sequence[ObjectId]) -> dict[ObjectId, SearchColumns]:
    """What SEARCH and SORT compare."""
    return {
        ObjectId(row[0]): SearchColumns(row[1], *(column.decode() for column in row[2:9]))
        for row in _select(cursor, _SEARCH, objects)
    }


_SENT: Final = "SELECT object, sent_us FROM renderings WHERE object IN ({list})"


def sent_days_txn(cursor: Cursor, objects: Sequence[ObjectId]) -> dict[ObjectId, int]:
    """The days of Date fields by their own clocks, counted from 1 January 1970; objects without one are missing."""
    return {ObjectId(row[0]): row[1] // _DAY_US for row in _select(cursor, _SENT, objects) if row[1] is not None}


_WHOLE: Final = (
    "SELECT object, envelope, bodystructure, header_zstd, header_fields, parts, sent_us, subject, base_subject,"
    " from_text, to_text, cc_text, bcc_text, message_id FROM renderings WHERE object IN ({list})"
    " AND render_version = %s AND LENGTH(envelope) + LENGTH(bodystructure) + LENGTH(header_zstd)"
    " + LENGTH(header_fields) + LENGTH(parts) + LENGTH(subject) + LENGTH(base_subject) + LENGTH(from_text)"
    " + LENGTH(to_text) + LENGTH(cc_text) + LENGTH(bcc_text) + LENGTH(message_id) <= %s"
)


@dataclass(frozen=True, slots=True)
class WholeRow:
    """All that is kept of an object's rendering; ``header_zstd`` is the header block as `packed_header` left it."""

    object: ObjectId
    envelope: bytes
    bodystructure: bytes
    header_zstd: bytes
    header_fields: bytes
    parts: bytes
    columns: SearchColumns


def whole_rows_txn(cursor: Cursor, objects: Sequence[ObjectId], version: int, octets: int) -> list[WholeRow]:
    """Renderings of that version which take up at most so many octets."""
    found: list[WholeRow] = []
    for piece in pieces(objects):
        ids = padded(piece)
        cursor.execute(with_list(_WHOLE, len(ids)), (*ids, version, octets))
        for row in cursor.fetchall():
            columns = SearchColumns(row[6], *(column.decode() for column in row[7:14]))
            _, envelope, structure, header, fields, parts = row[:6]
            found.append(WholeRow(ObjectId(row[0]), envelope, structure, header, fields, parts, columns))
    return found


class _Codec(threading.local):
    """Compressors that are kept: a new one costs 460 us, one used again 28. One pair per thread."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True, write_checksum=False)
        self.decompressor = zstandard.ZstdDecompressor()


_codec = _Codec()


def packed_header(header: bytes) -> bytes:
    """A header block as `renderings` stores it."""
    return _codec.compressor.compress(header)


def unpacked_header(packed: bytes) -> bytes:
    """The header block again. Raises zstandard.ZstdError when the row is damaged."""
    return _codec.decompressor.decompress(packed, max_output_size=_HEADER_BOUND)


def shown_fields(header_zstd: bytes, header_fields: bytes, names: Sequence[bytes]) -> list[str]:
    """Header fields of a message, decoded, by their lower-case names; a row that is damaged has none to show."""
    try:
        header = unpacked_header(header_zstd)
        return [decoded_field(header, header_fields, name) or "" for name in names]
    except (zstandard.ZstdError, struct.error, IndexError):
        return [""] * len(names)


# --- writes ---

_LOCK: Final = "SELECT id FROM objects WHERE state = 1 AND id IN ({list}) ORDER BY id LOCK IN SHARE MODE"


def lock_statements(objects: Sequence[ObjectId]) -> list[Statement]:
    """The statements that lock objects (ascending) against the collector; their rows are those that are LIVE.

    By their ids and in that order, as the collector locks them: found through the messages that refer to them they
    are locked in the order of UIDs, and the two of them end in a deadlock.
    """
    ids = [padded(piece) for piece in pieces(objects)]
    return [(with_list(_LOCK, len(values)), values) for values in ids]


INSERT_OBJECT: Final = (
    "INSERT INTO objects (object_key, octets, stored_octets, codec, sha256, frames, born_at, state)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
)
INSERT_RENDERING: Final = (
    "INSERT INTO renderings (object, render_version, envelope, bodystructure, header_zstd, header_fields, parts,"
    " sent_us, subject, base_subject, from_text, to_text, cc_text, bcc_text, message_id, references_text)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
IDS_OF_KEYS: Final = "SELECT object_key, id FROM objects WHERE object_key IN ({list})"


def object_row(blob: StoredBlob) -> Row:
    """The parameters of INSERT_OBJECT."""
    return (
        blob.key.encode(),
        blob.octets,
        blob.stored_octets,
        blob.codec.encode(),
        blob.sha256,
        blob.frames,
        blob.born_us,
        ObjectState.LIVE.value,
    )


def rendering_row(rendering: Rendering) -> Row:
    """The parameters of INSERT_RENDERING after the object's id."""
    texts = (
        rendering.subject,
        rendering.base_subject,
        rendering.from_,
        rendering.to,
        rendering.cc,
        rendering.bcc,
        rendering.message_id,
        rendering.references,
    )
    return (
        rendering.version,
        rendering.envelope,
        rendering.bodystructure,
        packed_header(rendering.header),
        rendering.header_fields,
        rendering.parts,
        rendering.sent_us,
        # Decoded text may hold what UTF-8 cannot; a search loses nothing by a question mark.
        *(text.encode("utf-8", "replace") for text in texts),
    )
