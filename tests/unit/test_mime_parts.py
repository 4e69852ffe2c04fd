"""Part numbers of RFC 3501 section 6.4.5 and the octets behind them."""

from __future__ import annotations

from io import BytesIO

from lightmail.mime import all_parts, find_part, render

INNER = (
    b"Subject: inner\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n"
    b"--i\r\n\r\nplain\r\n--i\r\nContent-Type: text/html; charset=UTF-8\r\n\r\n<p>\r\n--i--\r\n"
)
# The numbers of the example in RFC 3501 section 6.4.5.
MESSAGE = (
    b"Subject: outer\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n"
    b"--o\r\n\r\none\r\n"
    b"--o\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: BASE64\r\n\r\nAAAA\r\n"
    b"--o\r\nContent-Type: message/rfc822\r\n\r\nSubject: single\r\n\r\nthree\r\n"
    b"--o\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n"
    b"--m\r\nContent-Type: image/gif\r\n\r\ngif\r\n"
    b"--m\r\nContent-Type: message/rfc822\r\n\r\n" + INNER + b"\r\n--m--\r\n"
    b"--o--\r\n"
)
PACKED = render(BytesIO(MESSAGE)).parts


def body(*path: int) -> bytes:
    part = find_part(PACKED, path)
    assert part is not None
    return MESSAGE[part.body_start : part.body_end]


def mime(*path: int) -> bytes:
    part = find_part(PACKED, path)
    assert part is not None
    return MESSAGE[part.mime_start : part.body_start]


def test_all_numbers_and_types() -> None:
    assert [(part.path, part.media_type) for part in all_parts(PACKED)] == [
        ((), b"message/rfc822"),
        ((1,), b"text/plain"),
        ((2,), b"application/octet-stream"),
        ((3,), b"message/rfc822"),
        ((3, 1), b"text/plain"),
        ((4,), b"multipart/mixed"),
        ((4, 1), b"image/gif"),
        ((4, 2), b"message/rfc822"),
        ((4, 2, 1), b"text/plain"),
        ((4, 2, 2), b"text/html"),
    ]
    assert [find_part(PACKED, part.path) for part in all_parts(PACKED)] == all_parts(PACKED)


def test_bodies() -> None:
    assert body() == MESSAGE
    assert body(1) == b"one"
    assert body(2) == b"AAAA"
    assert body(3) == b"Subject: single\r\n\r\nthree"
    assert body(3, 1) == b"three"
    assert body(4).startswith(b"--m\r\n")
    assert body(4).endswith(b"--m--")
    assert body(4, 2) == INNER
    assert body(4, 2, 2) == b"<p>"


def test_mime_headers_end_with_their_blank_line() -> None:
    assert mime(1) == b"\r\n"
    assert mime(4, 1) == b"Content-Type: image/gif\r\n\r\n"
    assert mime(4, 2) == b"Content-Type: message/rfc822\r\n\r\n"
    # A part that is a message's body has that message's header.
    assert mime(3, 1) == b"Subject: single\r\n\r\n"


def test_labels_and_lines() -> None:
    html = find_part(PACKED, (4, 2, 2))
    attachment = find_part(PACKED, (2,))
    whole = find_part(PACKED, ())
    assert html is not None
    assert attachment is not None
    assert whole is not None
    assert (html.charset, html.encoding, html.lines) == (b"utf-8", b"7bit", 0)
    assert attachment.encoding == b"base64"
    assert whole.lines == MESSAGE.count(b"\n")


def test_header_and_text_of_messages() -> None:
    for path, message in [((), MESSAGE), ((3,), b"Subject: single\r\n\r\nthree"), ((4, 2), INNER)]:
        part = find_part(PACKED, path)
        assert part is not None
        assert part.message is not None
        header_start, header_end, text_start, text_end = part.message
        header, _, text = message.partition(b"\r\n\r\n")
        assert MESSAGE[header_start:header_end] == header + b"\r\n\r\n"
        assert MESSAGE[text_start:text_end] == text
    assert [part.path for part in all_parts(PACKED) if part.message is not None] == [(), (3,), (4, 2)]


def test_numbers_that_name_nothing() -> None:
    for path in [(0,), (5,), (1, 1), (2, 1), (3, 2), (3, 1, 1), (4, 3), (4, 2, 3), (11,)]:
        assert find_part(PACKED, path) is None


def test_a_message_that_is_no_multipart_has_its_body_as_part_1() -> None:
    message = b"Subject: x\r\n\r\ntext\r\n"
    part = find_part(render(BytesIO(message)).parts, (1,))
    assert part is not None
    assert (part.mime_start, part.body_start, part.body_end, part.lines) == (0, 14, 20, 1)
    assert find_part(render(BytesIO(message)).parts, (1, 1)) is None


def test_a_message_within_a_message_at_the_top() -> None:
    message = b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ntext\r\n"
    packed = render(BytesIO(message)).parts
    assert [(part.path, message[part.body_start : part.body_end]) for part in all_parts(packed)] == [
        ((), message),
        ((1,), b"Subject: in\r\n\r\ntext\r\n"),
        ((1, 1), b"text\r\n"),
    ]


def test_labels_unfit_to_print_are_left_out() -> None:
    message = b'Content-Type: text/pl\xe9in; charset="a\x7fb"\r\nContent-Transfer-Encoding: \xff\r\n\r\nx'
    part = find_part(render(BytesIO(message)).parts, (1,))
    assert part is not None
    assert (part.media_type, part.charset, part.encoding, part.body_end) == (b"", b"", b"", len(message))
