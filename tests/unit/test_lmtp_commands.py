"""LMTP command lines: what is taken, what is refused, and with which reply."""

from __future__ import annotations

import pytest

from lightmail.errors import OverQuota, TooBig, Unavailable
from lightmail.lmtp import commands
from lightmail.lmtp.commands import Chunk, Sender
from lightmail.lmtp.replies import Refused, Reply, refusal


def refused(call: object, *args: bytes) -> tuple[int, str]:
    assert callable(call)
    with pytest.raises(Refused) as caught:
        call(*args)
    return caught.value.reply.code, caught.value.reply.enhanced


def test_verbs_are_taken_in_any_case() -> None:
    assert commands.command(b"noop") == (b"NOOP", b"")
    assert commands.command(b"Mail FROM:<> ") == (b"MAIL", b"FROM:<>")


@pytest.mark.parametrize("line", [b"", b" NOOP", b"NOOP\n", b"NO\x00OP", b"QUIT\rRSET", b"N\xc3\x96OP", b"X" * 17])
def test_what_is_no_command_is_refused(line: bytes) -> None:
    assert refused(commands.command, line) == (500, "5.5.2")


@pytest.mark.parametrize(
    ("rest", "sender"),
    [
        (b"FROM:<>", Sender("", None, False)),
        (b"from:<a@example.org>", Sender("a@example.org", None, False)),
        (b"FROM: <a@example.org>", Sender("a@example.org", None, False)),
        (b"FROM:<a@example.org> SIZE=100 BODY=8BITMIME SMTPUTF8", Sender("a@example.org", 100, True)),
        (b"FROM:<a@example.org> body=7bit size=0", Sender("a@example.org", 0, False)),
        (b"FROM:<@relay,@other:a@example.org>", Sender("a@example.org", None, False)),
        (b'FROM:<"a>b \\" c"@example.org>', Sender('"a>b \\" c"@example.org', None, False)),
        ("FROM:<jörg@bücher.example> SMTPUTF8".encode(), Sender("jörg@bücher.example", None, True)),
    ],
)
def test_mail(rest: bytes, sender: Sender) -> None:
    assert commands.mail(rest) == sender


@pytest.mark.parametrize(
    ("rest", "answer"),
    [
        (b"", (501, "5.5.4")),
        (b"FROM:a@example.org", (501, "5.5.4")),
        (b"FROM:<a@example.org", (501, "5.5.4")),
        (b"FROM:<a@example.org>SIZE=1", (501, "5.5.4")),
        (b'FROM:<"a@example.org>', (501, "5.5.4")),
        (b"FROM:<a@example.org> SIZE=x", (501, "5.5.4")),
        (b"FROM:<a@example.org> SIZE=" + b"9" * 30, (501, "5.5.4")),
        (b"FROM:<a@example.org> BODY=BINARYMIME", (501, "5.5.4")),
        (b"FROM:<a@example.org> SMTPUTF8=1", (501, "5.5.4")),
        (b"FROM:<a@example.org> RET=FULL", (555, "5.5.4")),
        (b"FROM:<" + b"a" * 1100 + b"@example.org>", (501, "5.1.3")),
        (b"FROM:<\xff@example.org>", (553, "5.6.7")),
        (b"FROM:<a\nb@example.org>", (500, "5.5.2")),
    ],
)
def test_mail_refused(rest: bytes, answer: tuple[int, str]) -> None:
    assert refused(commands.mail, rest) == answer


def test_rcpt() -> None:
    assert commands.rcpt(b"TO:<a+tag@example.org>") == "a+tag@example.org"
    assert commands.rcpt(b"TO:<postmaster>") == "postmaster"
    assert refused(commands.rcpt, b"TO:<>") == (501, "5.1.3")
    assert refused(commands.rcpt, b"TO:<a@example.org> NOTIFY=NEVER") == (555, "5.5.4")


@pytest.mark.parametrize("name", [b"mx.example.org", b"[192.0.2.1]", b"[IPv6:2001:db8::1]", b"x_y"])
def test_lhlo(name: bytes) -> None:
    assert commands.lhlo(name) == name.decode()


@pytest.mark.parametrize("name", [b"", b"a b", b"a)(b", b"m\xc3\xbcx", b"x" * 256, b"a;b"])
def test_names_that_would_disfigure_a_received_field_are_refused(name: bytes) -> None:
    assert refused(commands.lhlo, name) == (501, "5.5.4")


@pytest.mark.parametrize(
    ("rest", "chunk"),
    [
        (b"0 LAST", Chunk(0, True)),
        (b"86", Chunk(86, False)),
        (b"86 last", Chunk(86, True)),
        (b"99999999999999999999", Chunk(99999999999999999999, False)),
        (b"", None),
        (b"-1", None),
        (b"10 FIRST", None),
        (b"10 LAST x", None),
        (b"9" * 21, None),
        (b"1e3", None),
    ],
)
def test_bdat(rest: bytes, chunk: Chunk | None) -> None:
    assert commands.bdat(rest) == chunk


def test_errors_have_the_replies_of_the_design() -> None:
    assert refusal(Unavailable()).wire.startswith(b"451 4.3.0 ")
    assert refusal(OverQuota()).wire.startswith(b"452 4.2.2 ")
    assert refusal(TooBig()).wire.startswith(b"552 5.3.4 ")


def test_the_text_of_an_exception_never_reaches_a_client() -> None:
    reply = refusal(KeyError("secret path /var/lib"))
    assert (reply.code, reply.enhanced) == (451, "4.3.0")
    assert b"secret" not in reply.wire


def test_replies_without_an_enhanced_code_have_none() -> None:
    assert Reply(354, "", "Go on").wire == b"354 Go on\r\n"
