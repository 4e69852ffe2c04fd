"""What holds for header values: words, addresses, parameters, dates, subjects, strings."""

from __future__ import annotations

import base64
import email.utils
import quopri
from datetime import UTC, datetime
from email.header import Header

from hypothesis import given, settings
from hypothesis import strategies as st

from lightmail.mime import charsets, decode_part
from lightmail.mime.addresses import Address, parse_addresses
from lightmail.mime.dates import format_internaldate, parse_internaldate, parse_sent
from lightmail.mime.encoded_words import decode
from lightmail.mime.parameters import decode_parameter, parse_type, parse_value, token
from lightmail.mime.strings import nstring, string
from lightmail.mime.subjects import base_subject
from tests.support.imapdata import parse_imap

text = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs"], exclude_characters="\x7f"), max_size=60)
soup = st.lists(
    st.one_of(
        st.sampled_from(
            [b'"', b"\\", b"(", b")", b"<", b">", b"@", b",", b";", b":", b".", b" ", b"\t", b"a", b"=", b"*", b"?"]
        ),
        st.sampled_from(
            [b"=?utf-8?q?=C3=A9?=", b"=?", b"?=", b"a@b", b"[", b"]", b"'", b"%", b"*0*", b"; a=", b"\r", b"\0"]
        ),
        st.binary(max_size=3),
    ),
    max_size=40,
).map(b"".join)
atoms = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789!#$%&*+-/=^_{|}~", min_size=1, max_size=12).filter(
    lambda atom: "=?" not in atom
)
dotted = st.lists(atoms, min_size=1, max_size=3).map(".".join)
moments = st.datetimes(datetime(1950, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC))


@given(soup)
@settings(max_examples=600, deadline=None)
def test_no_value_raises(value: bytes) -> None:
    decode(value).encode("utf-8")
    parse_sent(value)
    token(value)
    base_subject(decode(value))
    for parsed in (parse_type(value), parse_type(b"a/b" + value), parse_value(value), parse_value(b"a" + value)):
        if parsed is not None:
            decode_parameter(parsed[-1], b"a").encode("utf-8")


@given(soup)
@settings(max_examples=600, deadline=None)
def test_addresses_are_whole_and_groups_balance(value: bytes) -> None:
    depth = 0
    for name, route, mailbox, host in parse_addresses(value):
        if host is None:
            assert name is None
            assert route is None
            depth += 1 if mailbox is not None else -1
        else:
            assert mailbox is not None
            assert name != b""
        assert depth in (0, 1)
    assert depth == 0


@given(st.binary(max_size=50))
def test_strings_read_back(octets: bytes) -> None:
    assert parse_imap(string(octets)) == octets.replace(b"\0", b"\x80")
    assert nstring(None) == b"NIL"


@given(st.one_of(st.binary(max_size=60), soup), st.sampled_from(sorted(charsets.CODECS)))
@settings(max_examples=1000, deadline=None)
def test_no_charset_raises_or_gives_what_utf_8_cannot_hold(octets: bytes, label: str) -> None:
    charsets.decode(octets, label.encode()).encode("utf-8")


@given(text, st.sampled_from(["utf-8", "utf-16", "gb18030", "utf-7"]))
def test_encoded_words_read_back(value: str, charset: str) -> None:
    word = b"=?%b?b?%b?=" % (charset.encode(), base64.b64encode(value.encode(charset)))
    assert decode(word) == value


@given(text.filter(str.strip))
def test_headers_that_the_email_module_encodes_read_back(value: str) -> None:
    encoded = Header(value, "utf-8", maxlinelen=40).encode().replace("\n", "")
    assert decode(encoded.encode()) == value


@given(st.lists(st.tuples(st.one_of(st.just(""), atoms, text), dotted, dotted), max_size=5))
@settings(deadline=None)
def test_addresses_that_the_email_module_formats_read_back(people: list[tuple[str, str, str]]) -> None:
    value = ", ".join(email.utils.formataddr((name, f"{local}@{host}")) for name, local, host in people)
    found = [
        (decode(name or b""), (mailbox or b"").decode(), (host or b"").decode())
        for name, _, mailbox, host in parse_addresses(value.encode())
    ]
    assert found == people


@given(st.lists(st.tuples(dotted, dotted), min_size=1, max_size=5))
def test_comments_and_folds_anywhere_change_nothing(people: list[tuple[str, str]]) -> None:
    plain = [Address(None, None, local.encode(), host.encode()) for local, host in people]
    odd = ",".join(f" (x(y)\\)) {local} (z)@\t{host}\r\n " for local, host in people)
    assert [address._replace(name=None) for address in parse_addresses(odd.encode())] == plain


@given(text)
def test_parameters_read_back_quoted_and_extended(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    parsed = parse_type(f'a/b; x=y; name="{quoted}"; z=1'.encode())
    assert parsed is not None
    assert parsed[2] == ((b"x", b"y"), (b"name", value.encode()), (b"z", b"1"))
    extended = parse_type(f"a/b; name*={email.utils.encode_rfc2231(value, 'utf-8', 'en')}".encode())
    assert extended is not None
    assert decode_parameter(extended[2], b"name") == value


@given(text, st.integers(1, 7))
def test_continued_parameters_read_back_in_any_order(value: str, size: int) -> None:
    octets = value.encode()
    pieces = [octets[start : start + size] for start in range(0, len(octets), size)] or [b""]
    sections = [b"n*%d*=%b" % (i, b"".join(b"%%%02x" % octet for octet in piece)) for i, piece in enumerate(pieces)]
    sections[0] = sections[0].replace(b"=", b"=utf-8''", 1)
    parsed = parse_type(b"a/b; " + b";".join(reversed(sections)))
    assert parsed is not None
    assert decode_parameter(parsed[2], b"n") == (value if len(pieces) <= 100 else decode_parameter(parsed[2], b"n"))


@given(moments, st.integers(-14 * 60, 14 * 60))
def test_dates_are_those_the_email_module_reads(moment: datetime, offset: int) -> None:
    sign, minutes = "-" if offset < 0 else "+", abs(offset)
    value = f"{moment:%a, %d %b %Y %H:%M:%S} {sign}{minutes // 60:02}{minutes % 60:02}"
    sent = parse_sent(value.encode())
    assert sent is not None
    assert sent.local_us // 1_000_000 == int(moment.timestamp() // 1)
    assert sent.offset_minutes == offset
    parsed = email.utils.parsedate_tz(value)
    assert parsed is not None
    assert email.utils.mktime_tz(parsed) == sent.local_us // 1_000_000 - offset * 60


@given(moments)
def test_internaldates_read_back_to_the_second(moment: datetime) -> None:
    us = int(moment.timestamp()) * 1_000_000
    assert parse_internaldate(format_internaldate(us)) == us


@given(
    st.lists(st.sampled_from(["re", "Fw", "fwd", ":", "[", "]", "(fwd)", " ", "a", "\t", "[x]", "Re: "]), max_size=20)
)
def test_a_base_subject_is_its_own(pieces: list[str]) -> None:
    base = base_subject("".join(pieces))
    assert base_subject(base) == base
    assert base_subject("Re: " + base + " (fwd)") == base


@given(st.text(max_size=200))
def test_transfer_encodings_read_back(value: str) -> None:
    octets = value.encode("utf-8", "replace")
    shown = octets.decode()
    assert decode_part(base64.encodebytes(octets), b"base64", b"utf-8") == shown
    assert decode_part(octets, b"8bit", b"utf-8") == shown
    if "\r" not in shown:
        assert decode_part(quopri.encodestring(octets), b"quoted-printable", b"utf-8") == shown
