"""The text that SEARCH BODY and TEXT look into."""

from __future__ import annotations

import base64
from io import BytesIO

from lightmail.mime import all_parts, decode_part, render, searchable


def texts(message: bytes, limit: int = 1 << 20) -> list[str]:
    return list(searchable(message, all_parts(render(BytesIO(message)).parts), limit))


def test_text_parts_and_nested_headers_are_decoded() -> None:
    message = (
        b"Subject: not here\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\nnor this\r\n"
        b"--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        b"caf=E9 so=\r\nft\r\n"
        b"--b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: BASE64\r\n\r\n"
        + base64.encodebytes("<p>café".encode())
        + b"--b\r\nContent-Type: application/pdf\r\n\r\nnor that\r\n"
        b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\n\r\ninner\r\n--b--\r\n"
    )
    assert texts(message) == ["café soft", "<p>café", "Subject: café", "inner"]


def test_a_message_of_one_part() -> None:
    assert texts(b"Subject: x\r\n\r\nhello\r\n") == ["hello\r\n"]


def test_no_more_than_the_limit_is_looked_into() -> None:
    message = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n12345678\r\n--b\r\n\r\n12345678\r\n--b--\r\n"
    )
    assert texts(message, 12) == ["12345678", "1234"]
    assert texts(message, 8) == ["12345678"]


def test_decoding_never_raises() -> None:
    assert decode_part(b"=ZZ=\r\n=C3=A9", b"quoted-printable", b"utf-8") == "=ZZé"
    assert decode_part(b"w6k", b"base64", b"utf-8") == "é"
    assert decode_part(b"!w 6\xffk=\r\nxx", b"base64", b"utf-8") == "é"
    assert decode_part(b"x", b"base64", b"") == ""
    assert decode_part(b"as it is", b"x-unknown", b"x-unknown") == "as it is"
