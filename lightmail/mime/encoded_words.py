"""Header text: encoded words (RFC 2047, with the language suffix of RFC 2231) and raw 8-bit octets."""

from __future__ import annotations

import binascii
import re
from typing import Final

from lightmail.mime.charsets import decode as decode_charset
from lightmail.mime.charsets import decode_unlabelled

# Spaces inside a word are forbidden and common. No part can match across a "?", so a failed match costs no rescans.
_WORD: Final = re.compile(rb"=\?([^?*\s]{1,64})(?:\*[^?\s]{0,64})?\?([BbQq])\?([^?]*)\?=")
_BASE64_NOISE: Final = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))


def decode(value: bytes) -> str:
    """Return an unfolded header value as text. Never raises; what is not understood stays as it was written.

    Adjacent words of one charset are joined before they are decoded: senders do cut characters in two.
    """
    if b"=?" not in value:
        return decode_unlabelled(value)
    out: list[str] = []
    pending: list[bytes] = []
    charset = b""
    position = 0
    for match in _WORD.finditer(value):
        gap = value[position : match.start()]
        label = match[1].lower()
        adjoins = position > 0 and not gap.strip(b" \t\r\n")
        if pending and not (adjoins and label == charset):
            out.append(decode_charset(b"".join(pending), charset))
            pending.clear()
        if gap and not adjoins:
            out.append(decode_unlabelled(gap))
        charset = label
        pending.append(_word_octets(match[2], match[3]))
        position = match.end()
    if pending:
        out.append(decode_charset(b"".join(pending), charset))
    out.append(decode_unlabelled(value[position:]))
    return "".join(out)


def _word_octets(encoding: bytes, text: bytes) -> bytes:
    if encoding in b"Qq":
        return binascii.a2b_qp(text, header=True)
    return decode_base64(text)


def decode_base64(text: bytes) -> bytes:
    """Return what base64 ``text`` stands for, passing over what does not belong there. Never raises."""
    try:
        return binascii.a2b_base64(text)
    except binascii.Error:
        digits = text.partition(b"=")[0].translate(None, _BASE64_NOISE)
        whole = len(digits) - (1 if len(digits) % 4 == 1 else 0)
        return binascii.a2b_base64(digits[:whole] + b"=" * (-whole % 4))
