"""A message as Twisted's IMAP contracts see it: ``IMessage``, ``IMessageFile`` and ``IMessagePart``.

The contracts are synchronous: the stock server asks for a header or a body and expects it on the spot. So the octets
are read, in the reactor's thread, when they are first asked for, and one message's are held at a time. Our own FETCH
does none of this.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

from twisted.mail import imap4
from zope.interface import implementer

from lightmail.mime.dates import format_internaldate
from lightmail.mime.fields import Fields
from lightmail.mime.parts import PartExtent, find_part
from lightmail.mime.rendering import render

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lightmail.imap.mailbox import SelectedMailbox
    from lightmail.index.columns import Rows
    from lightmail.model import BlobRef, ObjectId
    from lightmail.objects.blobs import Blobs

_SECOND_US = 1_000_000


class Octets:
    """The octets of one message, and where its parts are in them."""

    def __init__(self, blob: bytes) -> None:
        self.blob = blob
        self.parts = render(BytesIO(blob)).parts


class LastRead:
    """Reads messages for one FETCH of the stock server, and keeps the last: it asks for one after the other."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._of: ObjectId | None = None
        self._octets: Octets | None = None

    def read(self, of: ObjectId, ref: BlobRef) -> Octets:
        """The octets of an object; blocks. Corruption or Unavailable."""
        if self._octets is None or self._of != of:
            self._octets = None
            self._octets = Octets(self._blobs.read_blocking(ref))
            self._of = of
        return self._octets


@implementer(imap4.IMessagePart)
class StoredPart:
    """A MIME part of a message: its header, its body, and the parts in it."""

    def __init__(self, octets: Octets, extent: PartExtent) -> None:
        self._octets = octets
        self._extent = extent

    @property
    def _header(self) -> bytes:
        return self._octets.blob[self._extent.mime_start : self._extent.body_start]

    @property
    def _body(self) -> bytes:
        return self._octets.blob[self._extent.body_start : self._extent.body_end]

    def getHeaders(self, negate: bool, *names: str | bytes) -> dict[str, str]:
        """Header fields by lower-case name: those named, or with `negate` all others; the first of each name."""
        return header_dict(self._header, negate, names)

    def getBodyFile(self) -> BinaryIO:
        """The body, as it is encoded."""
        return BytesIO(self._body)

    def getSize(self) -> int:
        """The body's octets."""
        return self._extent.body_end - self._extent.body_start

    def isMultipart(self) -> bool:
        """Whether there are parts in it."""
        return self._extent.media_type.startswith(b"multipart/")

    def getSubPart(self, part: int) -> StoredPart:
        """Part number `part`, counted from 0. TypeError where there are no parts, IndexError where not so many."""
        if not self.isMultipart():
            raise TypeError("not a multipart")
        return sub_part(self._octets, self._extent.path, part)


@implementer(imap4.IMessage, imap4.IMessageFile)
class StoredMessage:
    """A message of an open mailbox; ``mailbox`` is where it is."""

    def __init__(self, mailbox: SelectedMailbox, rows: Rows, ref: BlobRef, reader: LastRead) -> None:
        self.mailbox = mailbox
        self._rows = rows
        self._ref = ref
        self._reader = reader

    def _read(self) -> Octets:
        return self._reader.read(self._rows.objects[0], self._ref)

    @property
    def _text_start(self) -> int:
        whole = find_part(self._read().parts, ())
        return whole.message.text_start if whole is not None and whole.message is not None else 0

    # IMessage

    def getUID(self) -> int:
        """The message's UID."""
        return self._rows.uids[0]

    def getFlags(self) -> list[str]:
        r"""The message's flags as they were when it was fetched, \Recent among them."""
        return self.mailbox.index.flag_names(self._rows.flags[0]).decode("ascii").split()

    def getInternalDate(self) -> bytes:
        """When it was received, as the stock server can read it: ``17-Jul-1996 02:44:25 +0000``."""
        return format_internaldate(self._rows.internaldates[0] * _SECOND_US).strip(b'"')

    # IMessagePart

    def getHeaders(self, negate: bool, *names: str | bytes) -> dict[str, str]:
        """Header fields by lower-case name: those named, or with `negate` all others; the first of each name."""
        return header_dict(self._read().blob[: self._text_start], negate, names)

    def getBodyFile(self) -> BinaryIO:
        """The message behind its header."""
        return BytesIO(self._read().blob[self._text_start :])

    def getSize(self) -> int:
        """The whole message's octets."""
        return self._rows.octets[0]

    def isMultipart(self) -> bool:
        """Whether there are parts in it."""
        return find_part(self._read().parts, (1,)) is not None and self._media_type.startswith(b"multipart/")

    @property
    def _media_type(self) -> bytes:
        value = Fields(self._read().blob[: self._text_start]).first(b"content-type") or b""
        return value.partition(b";")[0].strip().lower()

    def getSubPart(self, part: int) -> StoredPart:
        """Part number `part`, counted from 0. TypeError where there are no parts, IndexError where not so many."""
        if not self.isMultipart():
            raise TypeError("not a multipart")
        return sub_part(self._read(), (), part)

    # IMessageFile

    def open(self) -> BinaryIO:
        """The whole message."""
        return BytesIO(self._read().blob)


def sub_part(octets: Octets, path: tuple[int, ...], number: int) -> StoredPart:
    """Part `number` (from 0) below the part at `path`."""
    extent = find_part(octets.parts, (*path, number + 1))
    if extent is None:
        raise IndexError(number)
    return StoredPart(octets, extent)


def header_dict(header: bytes, negate: bool, names: Iterable[str | bytes]) -> dict[str, str]:
    """Fields by lower-case name, the first of each; as ASCII, for the stock server can send nothing else."""
    fields = Fields(header)
    wanted = {(name.encode("ascii", "replace") if isinstance(name, str) else name).lower() for name in names}
    found: dict[str, str] = {}
    for name in fields.names:
        if name and (name in wanted) != bool(negate):
            found.setdefault(_ascii(name), _ascii(fields.first(name) or b""))
    return found


def _ascii(octets: bytes) -> str:
    return octets.decode("latin-1").encode("ascii", "replace").decode("ascii")
