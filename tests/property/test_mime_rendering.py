"""What holds for the rendering of any octets whatever."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from lightmail.mime import (
    PartExtent,
    all_parts,
    cut_fields,
    decoded_field,
    decoded_header,
    field_values,
    find_part,
    render,
    searchable,
    strip_extensions,
)
from lightmail.mime.fields import Fields
from lightmail.model import Rendering
from tests.support.imapdata import parse_imap

# What messages are made of, whole and broken, so that random sequences of it nest, end and collide.
PIECES = (
    b"\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b"-",
    b"--",
    b"\0",
    b"\xe9",
    b'"',
    b"\\",
    b"(",
    b")",
    b":",
    b";",
    b"text",
    b"--b",
    b"\r\n--b\r\n",
    b"\r\n--b\r\n\r\n",
    b"\r\n--b--",
    b"\r\n--bb\r\n",
    b"\n--bb--\n",
    b"\r\n--c\r\n",
    b"--c--\r\n",
    b"Content-Type: multipart/mixed; boundary=b\r\n",
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n",
    b"Content-Type: multipart/alternative; boundary=bb\r\n\r\n",
    b'Content-Type: multipart/digest; boundary="c"\r\n\r\n',
    b"Content-Type: multipart/mixed\r\n",
    b"Content-Type: message/rfc822\r\n\r\n",
    b"Content-Type: message/rfc822\r\n",
    b"Content-Type: text/html; charset=iso-8859-1\r\n",
    b"Content-Type: a/b; n*0*=utf-8''%e9; n*1=x\r\n",
    b"Content-Type: ",
    b"Content-Transfer-Encoding: base64\r\n\r\n",
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\n",
    b"=E9=\r\n",
    b"YWJj",
    b'Content-Disposition: attachment; filename="\xc3\xa9\\""\r\n',
    b"Content-ID: <a@b>\r\n",
    b"Content-Language: en, de\r\n",
    b"From: Joe <joe@x.test>, a@b (c)\r\n",
    b"To: g: a@b, <@c:d@e>;\r\n",
    b"Subject: =?utf-8?b?w6k=?= Re: \xff\r\n",
    b"Cc: ",
    b"Date: Fri, 21 Nov 1997 09:55:06 -0600\r\n",
    b"Message-ID: <1@x>\r\n",
    b"References: <1@x>\r\n <2@x>\r\n",
    b"Sender: ",
)
messages = st.one_of(
    st.binary(max_size=300),
    st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=3)), max_size=40).map(b"".join),
    st.lists(st.sampled_from(PIECES), max_size=40).map(
        lambda pieces: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + b"".join(pieces)
    ),
)


def rendered(message: bytes) -> Rendering:
    return render(BytesIO(message))


@given(messages)
@settings(max_examples=600, deadline=None)
def test_nothing_raises_and_text_is_utf_8(message: bytes) -> None:
    found = rendered(message)
    for text in (
        found.subject,
        found.base_subject,
        found.from_,
        found.to,
        found.cc,
        found.bcc,
        found.message_id,
        found.references,
        decoded_header(found.header),
        decoded_field(found.header, found.header_fields, b"subject") or "",
        *searchable(message, all_parts(found.parts)),
    ):
        text.encode("utf-8")


@given(messages, st.integers(1, 64))
@settings(max_examples=400, deadline=None)
@example(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n", 1)
def test_the_size_of_blocks_changes_nothing(message: bytes, block_octets: int) -> None:
    assert render(BytesIO(message), block_octets) == rendered(message)


@given(messages)
@settings(max_examples=500, deadline=None)
def test_header_and_extents_cut_the_message_and_nest(message: bytes) -> None:
    found = rendered(message)
    assert message.startswith(found.header)
    parts = all_parts(found.parts)
    by_path = {part.path: part for part in parts}
    assert len(by_path) == len(parts)
    whole = by_path[()]
    assert (whole.mime_start, whole.body_start, whole.body_end) == (0, 0, len(message))
    assert whole.message == (0, len(found.header), len(found.header), len(message))
    for part in parts:
        assert part.mime_start <= part.body_start <= part.body_end <= len(message)
        assert part.lines == message.count(b"\n", part.body_start, part.body_end)
        assert find_part(found.parts, part.path) == part
        if part.message is not None:
            start, header_end, text_start, end = part.message
            assert part.body_start == start <= header_end == text_start <= end == part.body_end
        if part.path:
            outer = by_path[part.path[:-1]]
            assert outer.body_start <= part.mime_start
            assert part.body_end <= outer.body_end
            before = by_path.get((*part.path[:-1], part.path[-1] - 1))
            assert before is None or before.body_end <= part.mime_start


@given(messages)
@settings(max_examples=500, deadline=None)
def test_wire_octets_parse_back_and_agree_with_the_extents(message: bytes) -> None:
    found = rendered(message)
    _check_envelope(parse_imap(found.envelope))
    parts = {part.path: part for part in all_parts(found.parts)}
    structure = parse_imap(found.bodystructure)
    seen = _check_message(structure, (), parts)
    assert seen == set(parts) - {()}
    assert parse_imap(strip_extensions(found.bodystructure)) == _without_extensions(structure)


@given(
    messages, st.frozensets(st.sampled_from([b"from", b"to", b"content-type", b"subject", b"x", b""])), st.booleans()
)
@settings(max_examples=500, deadline=None)
def test_cutting_fields_is_what_a_plain_reading_gives(message: bytes, wanted: frozenset[bytes], inverted: bool) -> None:
    found = rendered(message)
    fields = _plain_fields(found.header)
    chosen = [text for name, text in fields if (name in wanted) != inverted]
    expected = b"".join(chosen)
    if expected and not expected.endswith(b"\n"):
        expected += b"\r\n"
    assert cut_fields(found.header, found.header_fields, wanted, inverted) == expected + b"\r\n"
    for name in wanted - {b""}:
        raw = [text.partition(b":")[2].strip(b" \t\r\n") for other, text in fields if other == name]
        values = [value.replace(b"\r\n", b"").replace(b"\n", b"") for value in raw]
        assert field_values(found.header, found.header_fields, name) == values


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_fields_are_the_block_in_pieces(block: bytes) -> None:
    fields = Fields(block)
    assert len(fields.offsets) == len(fields.names) + 1
    assert fields.offsets == sorted(set(fields.offsets))
    assert fields.offsets[0] == 0
    assert block[fields.offsets[-1] :] in (b"", b"\n", b"\r\n")


def _plain_fields(header: bytes) -> list[tuple[bytes, bytes]]:
    fields: list[tuple[bytes, bytes]] = []
    for line in _lines(header):
        if line in (b"\n", b"\r\n"):
            break
        if fields and line[:1] in (b" ", b"\t"):
            fields[-1] = (fields[-1][0], fields[-1][1] + line)
            continue
        name, colon, _ = line.partition(b":")
        known = colon and name and line[:1] not in (b" ", b"\t")
        fields.append((name.rstrip(b" \t\r").lower() if known else b"", line))
    return fields


def _lines(block: bytes) -> list[bytes]:
    lines = [line + b"\n" for line in block.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return [line for line in lines if line]


def _check_envelope(envelope: Any) -> None:
    assert len(envelope) == 10
    for index in (0, 1, 8, 9):
        assert envelope[index] is None or isinstance(envelope[index], bytes)
    for addresses in envelope[2:8]:
        assert addresses is None or addresses
        depth = 0
        for name, route, mailbox, host in addresses or []:
            if host is None:
                assert name is route is None
                depth += 1 if mailbox is not None else -1
                assert depth in (0, 1)
            assert mailbox is not None or host is None
        assert depth == 0


def _check_message(
    structure: Any, path: tuple[int, ...], parts: dict[tuple[int, ...], PartExtent]
) -> set[tuple[int, ...]]:
    """Check a message's structure against the extents; return the paths met."""
    if isinstance(structure[0], list):
        return _check_parts(structure, path, parts)
    return _check_part(structure, (*path, 1), parts)


def _check_parts(
    structure: Any, path: tuple[int, ...], parts: dict[tuple[int, ...], PartExtent]
) -> set[tuple[int, ...]]:
    subtype = next(i for i, element in enumerate(structure) if isinstance(element, bytes))
    children = structure[:subtype]
    assert len(structure) == subtype + 5
    seen: set[tuple[int, ...]] = set()
    for number, child in enumerate(children, 1):
        seen |= _check_part(child, (*path, number), parts)
    return seen


def _check_part(
    structure: Any, path: tuple[int, ...], parts: dict[tuple[int, ...], PartExtent]
) -> set[tuple[int, ...]]:
    part = parts[path]
    if isinstance(structure[0], list):
        assert part.media_type.startswith(b"multipart/") or part.media_type == b""
        return {path} | _check_parts(structure, path, parts)
    main, sub = structure[0].lower(), structure[1].lower()
    assert structure[6] == part.body_end - part.body_start
    if main == b"text":
        assert (len(structure), structure[7]) == (12, part.lines)
        return {path}
    if (main, sub) == (b"message", b"rfc822"):
        assert (len(structure), structure[9]) == (14, part.lines)
        _check_envelope(structure[7])
        return {path} | _check_message(structure[8], path, parts)
    assert len(structure) == 11
    return {path}


def _without_extensions(structure: Any) -> Any:
    if isinstance(structure[0], list):
        subtype = next(i for i, element in enumerate(structure) if isinstance(element, bytes))
        return [*map(_without_extensions, structure[:subtype]), structure[subtype]]
    main, sub = structure[0].lower(), structure[1].lower()
    if main == b"text":
        return structure[:8]
    if (main, sub) == (b"message", b"rfc822"):
        return [*structure[:8], _without_extensions(structure[8]), structure[9]]
    return structure[:7]
