"""Parameters of MIME fields: RFC 2045, RFC 2231, and what is sent instead."""

from __future__ import annotations

import pytest

from lightmail.mime.parameters import MAX_PARAMETERS, decode_parameter, get, parse_type, parse_value, token


def parameters(text: bytes) -> list[tuple[bytes, bytes]]:
    parsed = parse_type(b"text/plain" + text)
    assert parsed is not None
    return list(parsed[2])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", []),
        (b"; charset=utf-8", [(b"charset", b"utf-8")]),
        (b';charset="utf-8";\r\n\tformat=flowed', [(b"charset", b"utf-8"), (b"format", b"flowed")]),
        (b'; a="x\\"y\\\\z;"; b="c; d=e"', [(b"a", b'x"y\\z;'), (b"b", b"c; d=e")]),
        (b"; charset=us-ascii (Plain text)", [(b"charset", b"us-ascii")]),
        (b" (a comment); charset=(another)us-ascii", [(b"charset", b"us-ascii")]),
        (b'; a=""', [(b"a", b"")]),
        (b"; a=; b=c", [(b"a", b""), (b"b", b"c")]),
        # as they are sent
        (b";; a=b;", [(b"a", b"b")]),
        (b"; a = b", [(b"a", b"b")]),
        (b" charset=utf-8", [(b"charset", b"utf-8")]),
        (b"; a=b c=d", [(b"a", b"b"), (b"c", b"d")]),
        (b"; name=my file.pdf; a=b", [(b"name", b"my file.pdf"), (b"a", b"b")]),
        (b"; a; b=c", [(b"b", b"c")]),
        (b'; "junk; a=b"; c=d', [(b"c", b"d")]),
        (b'; a="never closed; b=c', [(b"a", b"never closed; b=c")]),
        (b'; a="ends with\\', [(b"a", b"ends with")]),
        (b"; =x; a=b", [(b"a", b"b")]),
        (b'; a="x"junk; b=c', [(b"a", b"x"), (b"b", b"c")]),
        (b"; a=\xe9", [(b"a", b"\xe9")]),
        (b"; a=1; A=2", [(b"a", b"1"), (b"A", b"2")]),
        # RFC 2231
        (b'; url*0="ftp://"; url*1="cs.utk.edu"', [(b"url", b"ftp://cs.utk.edu")]),
        (b"; a*1=y; a*0=x; b=c", [(b"a", b"xy"), (b"b", b"c")]),
        (b"; title*=us-ascii'en-us'This%20is", [(b"title*", b"us-ascii'en-us'This%20is")]),
        (
            b"; t*0*=us-ascii'en'This%20is; t*1*=%20fun; t*2=\"isn't it!\"",
            [(b"t*", b"us-ascii'en'This%20is%20funisn%27t%20it!")],
        ),
        (b"; a*0=x; a*1*=%20y", [(b"a*", b"''x%20y")]),
        (b"; *=x; a*x=y", [(b"*", b"x"), (b"a*x", b"y")]),
    ],
)
def test_parameters(text: bytes, found: list[tuple[bytes, bytes]]) -> None:
    assert parameters(text) == found


def test_types() -> None:
    assert parse_type(b" Text / HTML ; a=b") == (b"Text", b"HTML", ((b"a", b"b"),))
    for value in (b"", b"text", b"/", b"text/", b";a=b", b'"text/plain"'):
        assert parse_type(value) is None


def test_values_and_tokens() -> None:
    assert parse_value(b"attachment; filename=x") == (b"attachment", ((b"filename", b"x"),))
    assert parse_value(b"; filename=x") is None
    assert token(b" (c) base64 (d)") == b"base64"
    assert token(b"") == b""


def test_values_are_found_by_name_whatever_their_form() -> None:
    assert get(((b"Boundary", b"x"), (b"boundary", b"y")), b"boundary") == b"x"
    assert get(((b"boundary*", b"us-ascii'en'a%20b"),), b"boundary") == b"a b"
    assert get(((b"boundary*", b"a%20b"),), b"boundary") == b"a b"
    assert get((), b"boundary") == b""


def test_decoded_values() -> None:
    assert decode_parameter(((b"filename*", b"utf-8''%e2%82%ac.pdf"),), b"filename") == "€.pdf"
    assert decode_parameter(((b"FileName*", b"iso-8859-1'en'%a3"),), b"filename") == "£"
    assert decode_parameter(((b"filename", b"=?utf-8?q?=E2=82=AC?="),), b"filename") == "€"
    assert decode_parameter(((b"filename", b"\xc3\xa9"),), b"filename") == "é"
    assert decode_parameter((), b"filename") == ""


def test_a_field_has_so_many_parameters_at_most() -> None:
    assert len(parameters(b"; a=b" * 1000)) == MAX_PARAMETERS
