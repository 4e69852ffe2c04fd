"""One message on its way in: spooled as it comes, then stored once for all its recipients.

The row side, one transaction for all recipients of a parcel, is `operations.deliver`; the protocol joins the two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from twisted.logger import Logger

from lightmail.delivery.addresses import Target
from lightmail.delivery.headers import HeaderWatch, Signs, Trace, trace_fields
from lightmail.errors import MailError, ServerBug, TooBig
from lightmail.objects.blobs import Blobs, Making
from lightmail.objects.spool import Spool, Spools
from lightmail.scanning import Verdict

log = Logger()

_UNLOCKED_OCTETS: Final = 2047
_HASHED_AT_ONCE: Final = 16 << 10


class Incoming:
    """The octets of one message while they arrive.

    Writing never raises: the first trouble becomes ``failure``, what was spooled is dropped, and octets that still come
    are only counted, so that a protocol can read its peer's message to the end before it says so.
    """

    def __init__(self, spools: Spools, max_octets: int) -> None:
        self.octets = 0
        self.failure: MailError | None = None
        self._max_octets = max_octets
        self._digest = hashlib.sha256()
        self._watch = HeaderWatch()
        self._spool: Spool | None = None
        try:
            self._spool = spools.new()
        except MailError as error:
            self.failure = error

    @property
    def spool(self) -> Spool:
        """The octets; only while there is no failure."""
        assert self._spool is not None
        return self._spool

    @property
    def needs_flush(self) -> bool:
        """True when `flush` must be awaited before more is written."""
        return self._spool is not None and self._spool.needs_flush

    def write(self, data: bytes) -> None:
        """Append message octets."""
        self.octets += len(data)
        if self._spool is None:
            return
        if self.octets > self._max_octets:
            self._fail(TooBig())
            return
        self._hash(data)
        self._watch.feed(data)
        try:
            self._spool.write(data)
        except MailError as error:
            self._fail(error)

    async def flush(self) -> None:
        """Hand pending octets to the spool's file."""
        if self._spool is None:
            return
        try:
            await self._spool.flush()
        except MailError as error:
            self._fail(error)
        except Exception:
            log.failure("a spool could not be written")
            self._fail(ServerBug())

    def close(self) -> None:
        """Free the memory or file; idempotent."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    @property
    def digest(self) -> bytes:
        """SHA-256 of the message as received, before our own header fields."""
        return self._digest.digest()

    def signs(self) -> Signs:
        """What its header tells a delivery."""
        return self._watch.signs()

    def _hash(self, data: bytes) -> None:
        # Hashing more than 2047 octets lets go of the interpreter's lock, and getting that back from busy threads takes
        # longer than hashing a small message.
        if len(data) > _HASHED_AT_ONCE:
            self._digest.update(data)
            return
        for start in range(0, len(data), _UNLOCKED_OCTETS):
            self._digest.update(data[start : start + _UNLOCKED_OCTETS])

    def _fail(self, error: MailError) -> None:
        self.failure = error
        self.close()


def batches(targets: Sequence[Target], per_recipient: bool) -> list[tuple[Target, ...]]:
    """The targets by the object they will share: all in one, or (for Delivered-To) each address in its own."""
    if not per_recipient:
        return [tuple(targets)] if targets else []
    by_address: dict[str, list[Target]] = {}
    for target in targets:
        by_address.setdefault(target.given, []).append(target)
    return [tuple(group) for group in by_address.values()]


def making(
    blobs: Blobs,
    incoming: Incoming,
    targets: Sequence[Target],
    trace: Trace,
    sender: str,
    *,
    name: bool,
    at_us: int,
    verdict: Verdict | None = None,
) -> Making:
    """The message for `targets` with its trace fields in front, to be stored; `name` adds Delivered-To, of the one
    address. What a scan has said of it follows them; that it is withheld for that, its object says, too.
    """
    addresses = {target.given for target in targets}
    only = addresses.pop() if len(addresses) == 1 else None
    owners = [(target.account.uuid, target.mailbox) for target in targets]
    prepend = trace_fields(trace, sender, only, at_us, name=name, status=b"" if verdict is None else verdict.field)
    virus = None if verdict is None else verdict.virus
    withheld = virus is not None and virus.is_withheld
    return blobs.making(incoming.spool, internaldate_us=at_us, owners=owners, prepend=prepend, withheld=withheld)
