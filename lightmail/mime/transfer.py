"""Content-Transfer-Encodings undone piece by piece, for parts of any size (RFC 2045 section 6)."""

from __future__ import annotations

import binascii
from typing import Final

_DIGITS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_NOISE: Final = bytes(set(range(256)) - set(_DIGITS))
# A line of quoted-printable that is longer is decoded as if it ended there.
_LINE_OCTETS: Final = 1 << 20
# The longest beginning of an escape: "=", or "=A", or "=\r".
_ESCAPE_OCTETS: Final = 2


class Decoder:
    """Decodes the body of one part. ``encoding`` is a lower-case label; one that is unknown changes nothing.

    Never raises: what does not belong there is passed over.
    """

    def __init__(self, encoding: bytes) -> None:
        self._encoding = encoding
        self._held = b""
        self._ended = False

    def feed(self, octets: bytes) -> bytes:
        """What the next piece adds."""
        if self._encoding == b"base64":
            return self._feed_base64(octets)
        if self._encoding == b"quoted-printable":
            return self._feed_quoted(octets)
        return octets

    def end(self) -> bytes:
        """What is left when no piece follows."""
        held, self._held = self._held, b""
        if self._encoding == b"base64":
            whole = len(held) - (len(held) % 4 == 1)
            return binascii.a2b_base64(held[:whole] + b"=" * (-whole % 4))
        return binascii.a2b_qp(held) if self._encoding == b"quoted-printable" else held

    def _feed_base64(self, octets: bytes) -> bytes:
        if self._ended:
            return b""
        digits, padding, _ = octets.translate(None, _NOISE).partition(b"=")
        self._ended = bool(padding)
        digits = self._held + digits
        whole = len(digits) - len(digits) % 4
        self._held = digits[whole:]
        return binascii.a2b_base64(digits[:whole])

    def _feed_quoted(self, octets: bytes) -> bytes:
        octets = self._held + octets
        whole = octets.rfind(b"\n") + 1
        if len(octets) - whole > _LINE_OCTETS:
            escape = octets.rfind(b"=", len(octets) - _ESCAPE_OCTETS)
            whole = escape if escape >= 0 else len(octets)
        self._held = octets[whole:]
        return binascii.a2b_qp(octets[:whole])
