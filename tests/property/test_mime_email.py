"""Well-formed messages, as CPython's email package makes and reads them: both readers must agree."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from io import BytesIO
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lightmail.mime import all_parts, decode_part, find_part, render
from lightmail.mime.parameters import decode_parameter
from tests.support.imapdata import parse_imap

words = st.text("abc xyzäé日.-,'", min_size=1, max_size=30).map(str.strip).filter(bool)
bodies = st.lists(st.text("abc é日=-.\t", max_size=60), max_size=6).map(
    lambda lines: "".join(f"{line}\n" for line in lines)
)


def _text(subtype: str, body: str, encoding: str) -> EmailMessage:
    message = EmailMessage(policy=policy.SMTP)
    message.set_content(body, subtype=subtype, cte=encoding)
    return message


texts = st.builds(_text, st.sampled_from(["plain", "html"]), bodies, st.sampled_from(["base64", "quoted-printable"]))


def _multipart(subtype: str, parts: list[EmailMessage], subject: str) -> EmailMessage:
    message = EmailMessage(policy=policy.SMTP)
    message["Subject"] = subject
    getattr(message, f"make_{subtype}")()
    for part in parts:
        message.attach(part)
    return message


def _attachment(data: bytes, name: str) -> EmailMessage:
    message = EmailMessage(policy=policy.SMTP)
    message.set_content(data, maintype="application", subtype="pdf", filename=name)
    return message


def _enclosed(inner: EmailMessage) -> EmailMessage:
    message = EmailMessage(policy=policy.SMTP)
    message.set_content(inner)
    return message


parts = st.recursive(
    texts | st.builds(_attachment, st.binary(max_size=60), words),
    lambda inner: st.one_of(
        st.builds(
            _multipart,
            st.sampled_from(["mixed", "related", "alternative"]),
            st.lists(inner, min_size=1, max_size=3),
            words,
        ),
        st.builds(_enclosed, inner),
    ),
    max_leaves=8,
)


@given(parts, words)
@settings(max_examples=150, deadline=None)
def test_structure_and_contents_are_those_of_the_email_module(message: EmailMessage, subject: str) -> None:
    del message["Subject"]
    message["Subject"] = subject
    message["From"] = "Jö <joe@x.test>"
    octets = message.as_bytes(policy=policy.SMTP)
    reference = message_from_bytes(octets, policy=policy.SMTP)
    rendered = render(BytesIO(octets))
    assert rendered.subject == str(reference["Subject"]).casefold()
    assert rendered.from_ == "jö <joe@x.test>"
    found: list[tuple[tuple[int, ...], str, bytes]] = []
    _walk(reference, (), found)
    extents = all_parts(rendered.parts)[1:]
    assert [part.path for part in extents] == [path for path, _, _ in found]
    for path, kind, content in found:
        part = find_part(rendered.parts, path)
        assert part is not None
        assert part.media_type.decode() == kind
        if kind.startswith("text/"):
            text = decode_part(octets[part.body_start : part.body_end], part.encoding, part.charset)
            assert text.replace("\r\n", "\n").rstrip("\n") == content.decode().replace("\r\n", "\n").rstrip("\n")
    assert _kinds(parse_imap(rendered.bodystructure)) == _reference_kinds(reference)


def _walk(message: Any, path: tuple[int, ...], found: list[tuple[tuple[int, ...], str, bytes]]) -> None:
    """List the numbered parts of a message by RFC 3501's rules."""
    if message.is_multipart() and message.get_content_maintype() == "multipart":
        for number, part in enumerate(message.get_payload(), 1):
            _walk_part(part, (*path, number), found)
    else:
        _walk_part(message, (*path, 1), found)


def _walk_part(part: Any, path: tuple[int, ...], found: list[tuple[tuple[int, ...], str, bytes]]) -> None:
    kind = part.get_content_type()
    text = part.get_content().encode() if kind.startswith("text/") else b""
    found.append((path, kind, text))
    if kind == "message/rfc822":
        _walk(part.get_payload()[0], path, found)
    elif part.is_multipart():
        for number, inner in enumerate(part.get_payload(), 1):
            _walk_part(inner, (*path, number), found)


def _reference_kinds(part: Any) -> Any:
    kind = part.get_content_type()
    if kind == "message/rfc822":
        return [kind, _reference_kinds(part.get_payload()[0])]
    if part.is_multipart():
        return [*map(_reference_kinds, part.get_payload()), part.get_content_subtype()]
    return [kind, part.get_filename()]


def _kinds(structure: Any) -> Any:
    if isinstance(structure[0], list):
        subtype = next(i for i, element in enumerate(structure) if isinstance(element, bytes))
        return [*map(_kinds, structure[:subtype]), structure[subtype].decode()]
    kind = f"{structure[0].decode()}/{structure[1].decode()}"
    if kind == "message/rfc822":
        return [kind, _kinds(structure[8])]
    disposition = structure[9 if kind.startswith("text/") else 8]
    return [kind, _filename(disposition[1]) if disposition else None]


def _filename(parameters: list[bytes]) -> str | None:
    pairs = tuple(zip(parameters[::2], parameters[1::2], strict=True))
    return decode_parameter(pairs, b"filename")
