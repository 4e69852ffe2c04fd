"""ENVELOPE of RFC 3501 section 7.4.2, as the octets that go over the wire."""

from __future__ import annotations

from lightmail.mime.addresses import Address, parse_addresses
from lightmail.mime.fields import Fields
from lightmail.mime.strings import nstring, string

EMPTY = b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"


def envelope(fields: Fields) -> bytes:
    """Return the ENVELOPE of a header block: date, subject, from, sender, reply-to, to, cc, bcc, in-reply-to, id.

    Strings are as they stand in the header, unfolded, encoded words kept. A field that is absent is NIL, one that is
    there and empty is ``""``; lists of no addresses are NIL, and sender and reply-to are then those of From.
    """
    first = fields.first
    author = _list(first(b"from"))
    sender = _list(first(b"sender"))
    reply_to = _list(first(b"reply-to"))
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        nstring(first(b"date")),
        nstring(first(b"subject")),
        author,
        author if sender == b"NIL" else sender,
        author if reply_to == b"NIL" else reply_to,
        _joined_list(fields, b"to"),
        _joined_list(fields, b"cc"),
        _joined_list(fields, b"bcc"),
        nstring(first(b"in-reply-to")),
        nstring(first(b"message-id")),
    )


def _joined_list(fields: Fields, name: bytes) -> bytes:
    """Recipients may stand in several fields of a name (RFC 5322 section 4.5): all of them count."""
    if name not in fields:
        return b"NIL"
    values = fields.all(name)
    return _list(values[0] if len(values) == 1 else b",".join(values))


def _list(value: bytes | None) -> bytes:
    if not value:
        return b"NIL"
    found = parse_addresses(value)
    return b"(%b)" % b"".join([_address(address) for address in found]) if found else b"NIL"


def _address(address: Address) -> bytes:
    name, route, mailbox, host = address
    return b"(%b %b %b %b)" % (
        b"NIL" if name is None else string(name),
        b"NIL" if route is None else string(route),
        b"NIL" if mailbox is None else string(mailbox),
        b"NIL" if host is None else string(host),
    )
