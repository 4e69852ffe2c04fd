"""The text of a message as SEARCH BODY and TEXT look into it: transfer encodings and charsets undone, in bounds."""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator
from typing import Final

from lightmail.mime.charsets import decode as decode_charset
from lightmail.mime.encoded_words import decode_base64
from lightmail.mime.fields import decoded_header
from lightmail.mime.parts import PartExtent

# Encoded octets of one message that are looked into; a text part beyond is not searched.
MAX_SEARCHED_OCTETS: Final = 16 * 1024 * 1024


def searchable(blob: bytes, parts: Iterable[PartExtent], limit: int = MAX_SEARCHED_OCTETS) -> Iterator[str]:
    """Yield the text of a message's body, one string for each text part and each nested message's header.

    ``parts`` are those of ``blob`` as ``all_parts`` gives them. The message's own header is not part of it
    (``fields.decoded_header`` has it). At most ``limit`` octets are decoded; what is beyond is not yielded.
    """
    left = limit
    for part in parts:
        if left <= 0:
            return
        if part.message is not None and part.path:
            header = blob[part.message.header_start : part.message.header_end][:left]
            left -= len(header)
            yield decoded_header(header)
        elif part.media_type.startswith(b"text/"):
            body = blob[part.body_start : min(part.body_end, part.body_start + left)]
            left -= len(body)
            yield decode_part(body, part.encoding, part.charset)


def decode_part(body: bytes, encoding: bytes, charset: bytes) -> str:
    """Return a text part's body as text. Never raises: what cannot be decoded stands for itself or as U+FFFD.

    ``encoding`` and ``charset`` are lower-case labels; b"" and unknown ones mean "as it is" and UTF-8 or Latin-1.
    """
    return decode_charset(decode_transfer(body, encoding), charset)


def decode_transfer(body: bytes, encoding: bytes) -> bytes:
    """Return a body with its Content-Transfer-Encoding (lower-case) undone. Never raises."""
    if encoding == b"base64":
        return decode_base64(body)
    if encoding == b"quoted-printable":
        return binascii.a2b_qp(body)
    return body
