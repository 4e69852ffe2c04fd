"""Encoded words (RFC 2047) and the charsets of strangers."""

from __future__ import annotations

import pytest

from lightmail.mime.charsets import codec_of
from lightmail.mime.charsets import decode as decode_charset
from lightmail.mime.encoded_words import decode


@pytest.mark.parametrize(
    ("value", "text"),
    [
        # RFC 2047 section 8
        (b"=?ISO-8859-1?Q?a?=", "a"),
        (b"=?ISO-8859-1?Q?a?= b", "a b"),
        (b"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a_b?=", "a b"),
        (b"=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
        (b"=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=", "If you can read this yo"),
        (b"=?US-ASCII*EN?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"),
        # a character cut in two
        (b"=?utf-8?b?w6k=?= =?utf-8?q?=C3?= =?utf-8?q?=A9?=", "éé"),
        (b"=?iso-2022-jp?b?GyRCRnxLXBsoQg==?=", "日本"),
        (b"=?gb2312?b?v+w=?= x", "快 x"),
        # as they are sent
        (b"a=?utf-8?q?b?=c", "abc"),
        (b"=?utf-8?q?a b?=", "a b"),
        (b"=?utf-8?b?w6k?=", "é"),
        (b"=?utf-8?b?w6k=w?=", "é"),
        (b"=?utf-8?q?=ZZ?=", "=ZZ"),
        (b"=?x-unknown?q?=C3=A9?=", "é"),
        (b"=?x-unknown?q?=E9?=", "é"),
        (b"=?utf-8?q?=E9?=", "\ufffd"),
        (b"=?utf-8?x?a?=", "=?utf-8?x?a?="),
        (b"=?utf-8?q?never closed", "=?utf-8?q?never closed"),
        (b"=??q?a?=", "=??q?a?="),
        # raw 8-bit
        (b"caf\xc3\xa9", "café"),
        (b"caf\xe9", "café"),
        (b"caf\xe9 =?utf-8?q?=C3=A9?= \xc3\xa9", "café é é"),
        (b"", ""),
    ],
)
def test_decoding(value: bytes, text: str) -> None:
    assert decode(value) == text


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        (b"UTF8", "utf_8"),
        (b"ISO-8859-1", "cp1252"),
        (b"iso_8859-15", "iso8859_15"),
        (b"ISO-8859-8-I", "iso8859_8"),
        (b"Windows-1252", "cp1252"),
        (b"x-sjis", "cp932"),
        (b"ks_c_5601-1987", "cp949"),
        (b"us-ascii", ""),
        (b"punycode", ""),
        (b"unicode_escape", ""),
        (b"zlib", ""),
        (b"undefined", ""),
        (b"..", ""),
        (b"\xff", ""),
        (b"u" * 1000, ""),
    ],
)
def test_labels(label: bytes, codec: str) -> None:
    assert codec_of(label) == codec


def test_what_a_charset_cannot_explain_is_replaced() -> None:
    assert decode_charset(b"a\x81", b"shift_jis") == "a\ufffd"
    # UTF-7 can spell a lone surrogate; UTF-8 cannot.
    assert decode_charset(b"+2AA-", b"utf-7") == "\ufffd"
