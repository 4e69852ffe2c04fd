"""What the server and a writer process of its own say to each other, one record of a SOCK_SEQPACKET socket each.

Records are pickled tuples: both ends are the same program, on a socket that nobody else holds, and a tuple costs a
microsecond where its dataclasses would cost six. A blob's octets follow their tuple as they are, so that the kernel
makes the only copies: in, and out.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from operator import attrgetter
from typing import Any, Final, TypeAlias

from lightmail.config import S3Config, StorageConfig
from lightmail.errors import MailError, ServerBug, SpoolFull, Unavailable
from lightmail.model import MailboxId, Rendering, StoredBlob

# Larger blobs are written in the server's own threads: what they cost there is mostly outside of the interpreter.
BLOB_OCTETS: Final = 256 << 10
# No record is larger. Linux allows sockets about 400 KiB where it was not told otherwise.
RECORD_OCTETS: Final = 512 << 10

_LENGTH: Final = struct.Struct("<I")
_REFUSALS: Final[dict[str, type[MailError]]] = {kind.__name__: kind for kind in (Unavailable, SpoolFull)}
_RENDERING: Final = attrgetter(*(field.name for field in fields(Rendering)))

Stages: TypeAlias = tuple[tuple[str, float], ...]
Owners: TypeAlias = Sequence[tuple[bytes, MailboxId]]


@dataclass(frozen=True, slots=True)
class Setup:
    """The first record to a writer process: where objects go, and by how many threads."""

    storage: StorageConfig
    s3: S3Config | None
    threads: int

    def pack(self) -> bytes:
        """As a record."""
        return pickle.dumps(self)

    @classmethod
    def unpack(cls, record: bytes) -> Setup:
        """What `pack` made."""
        setup: Setup = pickle.loads(record)
        return setup


@dataclass(frozen=True, slots=True)
class Job:
    """A blob to be stored; `deadline` is a moment of CLOCK_MONOTONIC, after which nobody may begin with it.

    `trace` marks what is logged about it.
    """

    number: int
    deadline: float
    now_us: int
    internaldate_us: int
    owners: Owners
    trace: str = ""

    def pack(self) -> bytes:
        """The record up to the blob's octets, which follow."""
        about = (self.number, self.deadline, self.now_us, self.internaldate_us, tuple(self.owners), self.trace)
        head = pickle.dumps(about)
        return _LENGTH.pack(len(head)) + head

    @classmethod
    def unpack(cls, record: memoryview) -> tuple[Job, bytes]:
        """What `pack` made, and the octets that followed."""
        start = _LENGTH.size + _LENGTH.unpack_from(record)[0]
        return cls(*pickle.loads(record[_LENGTH.size : start])), bytes(record[start:])


@dataclass(frozen=True, slots=True)
class Ready:
    """The writer process takes jobs from now on."""

    def pack(self) -> bytes:
        """As a record."""
        return pickle.dumps(("ready",))


@dataclass(frozen=True, slots=True)
class Said:
    """Something a writer process logs; `traceback` is empty where there is none."""

    level: str
    namespace: str
    text: str
    traceback: str
    trace: str

    def pack(self) -> bytes:
        """As a record."""
        return pickle.dumps(("said", *astuple(self)))


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a job: the blob stored, why it could not be, or None: it has to be done elsewhere.

    `stages` are names and seconds of what was done for it.
    """

    number: int
    stages: Stages
    outcome: StoredBlob | MailError | None

    def pack(self) -> bytes:
        """As a record."""
        return pickle.dumps((self.number, self.stages, _packed(self.outcome)))


def unpack(record: memoryview) -> Ready | Said | Answer:
    """A record of a writer process."""
    first, *rest = pickle.loads(record)
    if first == "ready":
        return Ready()
    if first == "said":
        return Said(*rest)
    stages, outcome = rest
    return Answer(first, stages, _outcome(outcome))


def _packed(outcome: StoredBlob | MailError | None) -> Any:
    if isinstance(outcome, StoredBlob):
        blob = outcome
        about = (blob.key, blob.born_us, blob.octets, blob.stored_octets, blob.codec, blob.sha256, blob.frames)
        return *about, _RENDERING(blob.rendering)
    return None if outcome is None else type(outcome).__name__


def _outcome(packed: Any) -> StoredBlob | MailError | None:
    if packed is None:
        return None
    if isinstance(packed, str):
        return _REFUSALS.get(packed, ServerBug)()
    key, born_us, octets, stored_octets, codec, sha256, frames, rendering = packed
    return StoredBlob(key, born_us, octets, stored_octets, codec, sha256, frames, Rendering(*rendering))
