"""A segment of the journal: ``journal/<shard>/<number>-<fence>-<random>.jsonl.zst``.

zstd frames one after another, each with a checksum, each holding whole lines of JSON (``zstd -dc`` prints them). What
frames before a damaged or missing one hold can be used. Format 1, one object a line:

``{"format":1,"shard","number","fence","epoch","taken_us","mailbox_ids"}``
    Always first. `number` ascends by one from segment to segment; `epoch` is the store's, `taken_us` when the round
    began (the database's clock), `mailbox_ids` the highest id that a mailbox ever had.
``{"account":{uuid,address,password_hash,active,quota_octets,quota_messages,next_uidvalidity,meta_seq,created_at,
deleted_at,full_name,subscriptions,app_passwords}}``
    An account, whole. Everything else names it by its uuid. App passwords are [name, SHA-256, protocols, created_at].
    Older segments have neither these nor `full_name`.
``{"directory":D}``, ``{"domains":[D,[[name,created_at,accounts],…]]}``, ``{"aliases":[D,[[address,target],…]]}``,
``{"directory_end":D}``
    All domains and aliases; D is the digest of them. What has no end is not whole.
``{"mailbox":{pull,whole,owner,id,name,uidvalidity,uidnext,modseq,recent_uid,special_use,deleted_at,keywords}}``
    A mailbox, deleted ones too, as of `modseq`; `keywords` are [bit, name]. It begins the pull of that name, or goes on
    with it in a further segment. `whole`: the pull names every row there is; else those that changed.
``{"rows":[pull,[[uid,modseq,flags,internaldate_us,saved_us,octets,key],[…,deleted_at,fate,key],…]]}``
    Messages of that mailbox as they are: seven values each, or nine for a tombstone. `key` is the object's, or null.
``{"pulled":[pull,rows]}``
    The end of a pull, and how many rows it had.
``{"round":taken_us}``
    Everything that was committed before that moment stands in this segment or in one before it.
``{"end":records}``
    Always last: how many records there were before it. Where it is missing, so are some of them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import zstandard

FORMAT: Final = 1
PREFIX: Final = "journal"
# Lines are gathered to frames of about this; none is larger than the bound, which a reader allocates at most.
_FRAME_OCTETS: Final = 128 << 10
_FRAME_BOUND: Final = 16 << 20
# A writer cuts a segment here at the latest; a reader takes nothing larger than the bound.
SEGMENT_OCTETS: Final = 8 << 20
SEGMENT_BOUND: Final = 64 << 20
_LEVEL: Final = 3
_NAME: Final = re.compile(r"(\d{12})-([0-9a-f]{1,16})-([0-9a-f]{8})\.jsonl\.zst\Z")

Record = Mapping[str, Any]


class Damaged(Exception):
    """A segment is not whole, or is no segment; what was read of it before is good. The text says why."""


@dataclass(frozen=True, slots=True)
class Head:
    """A segment's first record."""

    shard: int
    number: int
    fence: int
    epoch: int
    taken_us: int
    mailbox_ids: int

    def record(self) -> Record:
        """As it is written."""
        return {
            "format": FORMAT,
            "shard": self.shard,
            "number": self.number,
            "fence": self.fence,
            "epoch": self.epoch,
            "taken_us": self.taken_us,
            "mailbox_ids": self.mailbox_ids,
        }

    @classmethod
    def of(cls, record: Record) -> Head:
        """What `record` wrote. Raises Damaged for anything else, a newer format included."""
        if record.get("format") != FORMAT:
            raise Damaged(f"its format is {record.get('format')!r}, not {FORMAT}")
        try:
            values = [int(record[name]) for name in ("shard", "number", "fence", "epoch", "taken_us", "mailbox_ids")]
        except (KeyError, TypeError, ValueError):
            raise Damaged("its first record is not whole") from None
        return cls(*values)


def directory(shard: int) -> str:
    """Where the segments of a shard are."""
    return f"{PREFIX}/{shard}"


def new_key(head: Head) -> str:
    """A fresh key for a segment: keys list in the order of numbers, and are never the same twice."""
    return f"{directory(head.shard)}/{head.number:012d}-{head.fence:x}-{os.urandom(4).hex()}.jsonl.zst"


def first_key(shard: int, number: int) -> str:
    """What all keys of segments from `number` on are greater than, and none before it is."""
    return f"{directory(shard)}/{number:012d}"


def number_of(key: str) -> int | None:
    """The number in a segment's key; None for what is no segment's."""
    match = _NAME.match(key.rpartition("/")[2])
    return int(match[1]) if match else None


class SegmentWriter:
    """Makes one segment in memory: compressed as it comes, so that it takes little more than it will in the store."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True, write_content_size=True)
        self._frames: list[bytes] = []
        self._lines: list[bytes] = []
        self._pending = 0
        self._records = 0
        self.octets = 0
        self.add(head.record())

    def add(self, record: Record) -> None:
        """Append a record."""
        line = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        self._lines.append(line)
        self._records += 1
        self._pending += len(line)
        if self._pending >= _FRAME_OCTETS:
            self._close_frame()

    def _close_frame(self) -> None:
        frame = self._compressor.compress(b"".join(self._lines))
        self._frames.append(frame)
        self.octets += len(frame)
        self._lines.clear()
        self._pending = 0

    def finish(self) -> bytes:
        """The whole segment; nothing can be added any more."""
        self.add({"end": self._records})
        if self._lines:
            self._close_frame()
        return b"".join(self._frames)


def read_segment(octets: bytes) -> Iterator[Record]:
    """The records of a segment, its head first and its end left out; memory is bounded by a frame.

    Raises Damaged where it stops being readable, after all that stands before that place.
    """
    count = 0
    for frame in _frames(octets):
        for line in frame.splitlines():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                raise Damaged(f"record {count} is not JSON") from None
            if not isinstance(record, dict):
                raise Damaged(f"record {count} is no object")
            if count == 0:
                Head.of(record)
            if "end" in record:
                if record["end"] != count:
                    raise Damaged(f"it has {count} records instead of {record['end']}")
                return
            count += 1
            yield record
    raise Damaged("its end is missing")


def _frames(octets: bytes) -> Iterator[bytes]:
    """What each frame holds, one after another."""
    rest = octets
    while rest:
        try:
            size = zstandard.frame_content_size(rest)
            if not 0 <= size <= _FRAME_BOUND:
                raise Damaged("a frame is too large")
            frame = zstandard.ZstdDecompressor().decompressobj()
            data = frame.decompress(rest)
        except zstandard.ZstdError as error:
            raise Damaged(f"a frame is damaged ({error})") from None
        if not frame.eof or len(data) != size:
            raise Damaged("a frame is cut off")
        rest = frame.unused_data
        yield data
