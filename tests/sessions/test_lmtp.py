"""LMTP conversations, and what they leave behind."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred

from lightmail.config import LimitsConfig, LmtpConfig
from tests.support import transcript
from tests.support.mailroom import Door, Mailroom
from tests.support.reactor import run
from tests.support.transcript import Connection

MESSAGE = b"Message-ID: <1@example.com>\r\nSubject: hello\r\n\r\nbody\r\n"


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Mailroom]:
    with opened(Mailroom(tmp_path)) as room:
        yield room


@contextmanager
def opened(room: Mailroom) -> Iterator[Mailroom]:
    """A room with two accounts, closed at the end."""
    room.open()
    try:
        room.add_account("ann@example.org", "secret")
        room.add_account("bob@example.org", "secret")
        yield room
    finally:
        room.close()


def play(room: Mailroom, text: str) -> None:
    transcript.run(Door(room, room.lmtp_port), text)


def deliver(room: Mailroom, message: bytes, *recipients: str, sender: str = "sender@example.com") -> list[bytes]:
    """Deliver through one pipelined transaction; the replies to the data."""
    peer = Connection(room.lmtp_port)
    try:
        assert peer.line().startswith(b"220 ")
        stuffed = (b"\r\n" + message).replace(b"\r\n.", b"\r\n..")[2:]
        lines = [b"LHLO client", f"MAIL FROM:<{sender}>".encode()]
        lines += [f"RCPT TO:<{recipient}>".encode() for recipient in recipients]
        peer.send(b"\r\n".join([*lines, b"DATA", b""]))
        while not peer.line().startswith(b"250 SIZE"):
            pass
        assert peer.line().startswith(b"250 2.1.0")
        accepted = sum(peer.line().startswith(b"250 2.1.5") for _ in recipients)
        assert peer.line().startswith(b"354 ")
        peer.send(stuffed + b".\r\n")
        return [peer.line() for _ in range(accepted)]
    finally:
        peer.close()


def body(stored: bytes) -> bytes:
    """A stored message without the fields that were put in front of it."""
    at = stored.index(b"+0000\r\n") + 7
    return stored[at:]


def test_each_recipient_is_answered_and_all_share_one_object(room: Mailroom) -> None:
    play(
        room,
        r"""
S1: 220 mx.example.org LMTP …
C1: LHLO client.example.org
S1: 250-mx.example.org
S1: 250-PIPELINING
S1: 250-8BITMIME
S1: 250-SMTPUTF8
S1: 250-ENHANCEDSTATUSCODES
S1: 250-CHUNKING
S1: 250 SIZE 52428800
C1: MAIL FROM:<sender@example.com> SIZE=100 BODY=8BITMIME
S1: 250 2.1.0 …
C1: RCPT TO:<ann@example.org>
S1: 250 2.1.5 …
C1: RCPT TO:<nobody@example.org>
S1: 550 5.1.1 …
C1: RCPT TO:<Bob@Example.ORG>
S1: 250 2.1.5 …
C1: DATA
S1: 354 …
C1: Subject: hello
C1:
C1: ..dot
C1: body
C1: .
S1: 250 2.0.0 …
S1: 250 2.0.0 …
C1: QUIT
S1: 221 2.0.0 …
@closed 1
""",
    )
    (stored,) = room.mail("ann@example.org")
    assert room.mail("bob@example.org") == [stored]
    assert len(room.objects()) == 1
    assert stored.startswith(
        b"Return-Path: <sender@example.com>\r\nReceived: from client.example.org ([127.0.0.1])\r\n"
        b"\tby mx.example.org with LMTP id "
    )
    assert body(stored) == b"Subject: hello\r\n\r\n.dot\r\nbody\r\n"
    assert b"ann@" not in stored  # nobody learns of the other recipients


def test_pipelined_commands_run_in_order_a_quit_behind_the_data_too(room: Mailroom) -> None:
    play(
        room,
        r"""
P1: LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nRCPT TO:<x@example.org>\r\n
P1: RCPT TO:x\r\nDATA\r\nSubject: p\r\n\r\nx\r\n.\r\nNOOP\r\nMAIL FROM:<>\r\nRSET\r\nQUIT\r\n
P1: NOOP\r\n
S1~ 250 SIZE 52428800
S1: 250 2.1.0 …
S1: 250 2.1.5 …
S1: 550 5.1.1 …
S1: 501 5.5.4 …
S1: 354 …
S1: 250 2.0.0 Delivered
S1: 250 2.0.0 OK
S1: 250 2.1.0 …
S1: 250 2.0.0 OK
S1: 221 2.0.0 …
@closed 1
""",
    )
    assert len(room.mail("ann@example.org")) == 1


def test_commands_out_of_order_are_refused(room: Mailroom) -> None:
    play(
        room,
        r"""
S1: 220 …
C1: MAIL FROM:<>
S1: 503 5.5.1 …
C1: HELO client
S1: 500 5.5.1 …
C1: EHLO client
S1: 500 5.5.1 …
C1: LHLO client
S1~ 250 SIZE 52428800
C1: RCPT TO:<ann@example.org>
S1: 503 5.5.1 …
C1: DATA
S1: 503 5.5.1 …
C1: MAIL FROM:<>
S1: 250 …
C1: MAIL FROM:<>
S1: 503 5.5.1 …
C1: DATA
S1: 503 5.5.1 …
C1: RCPT TO:<x@example.org>
S1: 550 5.1.1 …
C1: DATA
S1: 503 5.5.1 …
C1: VRFY ann
S1: 252 …
C1: HELP
S1: 214 …
C1: TURN
S1: 500 5.5.1 …
C1: DATA x
S1: 501 5.5.4 …
C1: LHLO again
S1~ 250 SIZE 52428800
C1: DATA
S1: 503 5.5.1 …
""",
    )


@pytest.mark.parametrize("smuggled", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n"])
def test_only_crlf_dot_crlf_ends_the_data(room: Mailroom, smuggled: bytes) -> None:
    message = b"Subject: x\r\n\r\nbefore" + smuggled + b"MAIL FROM:<evil@example.com>\r\nRCPT TO:<bob@example.org>\r\n"
    unstuffed = message.replace(b"\r\n.", b"\r\n")
    peer = Connection(room.lmtp_port)
    peer.send(b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n" + message + b".\r\nQUIT\r\n")
    while not peer.line().startswith(b"354"):
        pass
    assert peer.line().startswith(b"250 2.0.0 Delivered")
    assert peer.line().startswith(b"221")
    peer.close()
    assert body(room.mail("ann@example.org")[0]) == unstuffed
    assert room.mail("bob@example.org") == []


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\r\n",
        b"no header at all\r\n",
        b"Subject: lone\rand\nends\r\n\r\nmixed\n\r\r\n\n\r\n",
        b"Subject: nul \x00\r\n\r\n\x00\xff\xfe\r\n",
        bytes(range(256)) + b"\r\n",
    ],
)
def test_any_octets_are_stored_as_they_came(room: Mailroom, message: bytes) -> None:
    assert deliver(room, message, "ann@example.org")[0].startswith(b"250")
    assert body(room.mail("ann@example.org")[0]) == message.replace(b"\r\n.", b"\r\n.")


def test_an_overlong_command_is_refused_and_its_rest_is_not_run(room: Mailroom) -> None:
    play(
        room,
        r"""
P1: LHLO c\r\n
S1~ 250 SIZE 52428800
"""
        + "P1: NOOP "
        + "x" * 9000
        + r"""\r\nRSET\r\n
S1: 500 5.5.2 …
S1: 250 2.0.0 OK
P1: NOOP\nRSET\r\n
S1: 500 5.5.2 …
""",
    )


def test_a_peer_that_sends_nothing_sensible_is_sent_away(room: Mailroom) -> None:
    peer = Connection(room.lmtp_port)
    peer.send(b"GET / HTTP/1.1\r\n" * 100)
    assert peer.line().startswith(b"220")
    replies = []
    while not replies or replies[-1].startswith(b"500"):
        replies.append(peer.line())
    assert len(replies) == room.limits.bad_commands + 1
    assert replies[-1].startswith(b"421 4.7.0")
    assert peer.at_end()
    peer.close()


def test_a_message_over_the_bound_is_read_to_its_end_and_not_stored(tmp_path: Path) -> None:
    with opened(Mailroom(tmp_path, lmtp=LmtpConfig(max_message_octets=10_000))) as room:
        message = b"Subject: big\r\n\r\n" + b"x" * 78 + b"\r\n"
        replies = deliver(room, message * 200, "ann@example.org", "bob@example.org")
        assert [reply[:9] for reply in replies] == [b"552 5.3.4", b"552 5.3.4"]
        assert room.objects() == []
        assert room.spooled_octets() == 0
        play(
            room,
            r"""
P1: LHLO c\r\nMAIL FROM:<> SIZE=10001\r\nMAIL FROM:<> SIZE=10000\r\n
S1~ 250 SIZE 10000
S1: 552 5.3.4 …
S1: 250 2.1.0 …
""",
        )
        assert deliver(room, message, "ann@example.org")[0].startswith(b"250")


def test_a_message_absurdly_over_the_bound_ends_the_connection(tmp_path: Path) -> None:
    with opened(Mailroom(tmp_path, lmtp=LmtpConfig(max_message_octets=1000))) as room:
        peer = Connection(room.lmtp_port)
        peer.send(b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n" + b"y" * 20_000)
        while not peer.line().startswith(b"354"):
            pass
        assert peer.line().startswith(b"552 5.3.4")
        assert peer.at_end()
        peer.close()


def test_a_full_quota_refuses_its_own_recipient_only(room: Mailroom) -> None:
    room.add_account("full@example.org", "secret", quota_octets=100)
    replies = deliver(room, MESSAGE, "ann@example.org", "full@example.org", "bob@example.org")
    assert [reply[:9] for reply in replies] == [b"250 2.0.0", b"452 4.2.2", b"250 2.0.0"]
    assert [len(room.mail(f"{name}@example.org")) for name in ("ann", "full", "bob")] == [1, 0, 1]


def test_nothing_is_made_of_a_message_that_is_for_full_accounts_only(room: Mailroom) -> None:
    room.add_account("full@example.org", "secret", quota_octets=100)
    play(
        room,
        r"""
S1: 220 …
C1: LHLO client
S1~ 250 SIZE …
C1: MAIL FROM:<a@example.com> SIZE=20000
S1: 250 2.1.0 …
C1: RCPT TO:<full@example.org>
S1: 250 2.1.5 …
C1: DATA
S1: 354 …
P1: Subject: too much\r\n\r\n0123456789012345678901234567890123456789012345678901234567890123456789\r\n
P1: 0123456789\r\n.\r\n
S1: 452 4.2.2 The mailbox is over its quota.
""",
    )
    assert room.objects() == []
    room.add_alias("both@example.org", "full@example.org")
    room.add_alias("both@example.org", "ann@example.org")
    assert deliver(room, MESSAGE + b"x" * 100 + b"\r\n", "both@example.org")[0].startswith(b"452 4.2.2")
    assert len(room.mail("ann@example.org")) == 1, "whoever else is behind an address gets it at once, and once"
    assert deliver(room, MESSAGE + b"x" * 100 + b"\r\n", "both@example.org")[0].startswith(b"452 4.2.2")
    assert len(room.mail("ann@example.org")) == 1


def test_a_redelivery_to_an_account_that_is_full_of_it_is_a_duplicate(room: Mailroom) -> None:
    room.add_account("full@example.org", "secret", quota_octets=600)
    message = MESSAGE + b"x" * 200 + b"\r\n"
    for _ in range(3):
        assert deliver(room, message, "full@example.org")[0].startswith(b"250 2.0.0")
    assert len(room.mail("full@example.org")) == 1
    assert deliver(room, b"X-Other: 1\r\n" + message, "full@example.org")[0].startswith(b"452 4.2.2")


def test_an_outage_of_the_objects_is_transient_and_the_message_comes_once(room: Mailroom) -> None:
    room.store.failing = True
    assert deliver(room, MESSAGE, "ann@example.org")[0].startswith(b"451 4.3.0")
    assert room.mail("ann@example.org") == []
    room.store.failing = False
    assert deliver(room, MESSAGE, "ann@example.org")[0].startswith(b"250")
    assert deliver(room, MESSAGE, "ann@example.org")[0].startswith(b"250")
    assert len(room.mail("ann@example.org")) == 1


def test_a_full_spool_is_transient(tmp_path: Path) -> None:
    with opened(Mailroom(tmp_path, spool_octets=1000)) as room:
        assert deliver(room, MESSAGE + b"x" * 2000 + b"\r\n", "ann@example.org")[0].startswith(b"452 4.3.1")
        assert deliver(room, MESSAGE, "ann@example.org")[0].startswith(b"250")


def test_a_redelivery_is_recognized_by_message_sender_and_recipient(room: Mailroom) -> None:
    for _ in range(2):
        assert deliver(room, MESSAGE, "ann@example.org")[0].startswith(b"250")
    assert len(room.mail("ann@example.org")) == 1
    deliver(room, MESSAGE, "ann@example.org", sender="other@example.com")
    deliver(room, MESSAGE, "ann+tag@example.org")
    deliver(room, MESSAGE + b"more\r\n", "ann@example.org")
    assert len(room.mail("ann@example.org")) == 4


def test_equal_messages_without_identification_are_not_the_same_message(room: Mailroom) -> None:
    for _ in range(2):
        deliver(room, b"Subject: cron\r\n\r\nMessage-ID: <not a field>\r\n", "ann@example.org")
    assert len(room.mail("ann@example.org")) == 2


def test_a_connection_lost_within_the_data_leaves_nothing(room: Mailroom) -> None:
    peer = Connection(room.lmtp_port)
    peer.send(b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\nSubject: x\r\n\r\nhalf a mess")
    while not peer.line().startswith(b"354"):
        pass
    peer.close()
    run(room.lmtp_factory.drain(5))
    assert room.mail("ann@example.org") == []
    assert room.objects() == []
    assert room.spooled_octets() == 0


def test_bdat_takes_chunks_of_any_octets(room: Mailroom) -> None:
    play(
        room,
        r"""
P1: LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nRCPT TO:<bob@example.org>\r\n
P1: BDAT 14\r\nSubject: b\r\n\r\nBDAT 7\r\n\r\n.\r\nab\r\nMAIL FROM:<>\r\nDATA\r\n
P1: BDAT 0 LAST\r\nNOOP\r\n
S1~ 250 2.1.5 …
S1: 250 2.1.5 …
S1: 250 2.0.0 14 octets received
S1: 250 2.0.0 7 octets received
S1: 500 5.5.2 …
S1: 503 5.5.1 …
S1: 503 5.5.1 …
S1: 250 2.0.0 Delivered
S1: 250 2.0.0 Delivered
S1: 250 2.0.0 OK
""",
    )
    assert body(room.mail("ann@example.org")[0]) == b"Subject: b\r\n\r\n\r\n.\r\nab"


def test_bdat_without_a_transaction_has_its_octets_read_and_not_run(room: Mailroom) -> None:
    play(
        room,
        r"""
P1: LHLO c\r\nBDAT 6 LAST\r\nQUIT\r\nMAIL FROM:<>\r\nBDAT 6\r\nQUIT\r\nRSET\r\n
S1~ 250 SIZE 52428800
S1: 503 5.5.1 …
S1: 250 2.1.0 …
S1: 503 5.5.1 …
S1: 250 2.0.0 OK
C1: BDAT x LAST
S1: 501 5.5.4 …
@closed 1
""",
    )


def test_bdat_over_the_bound(tmp_path: Path) -> None:
    with opened(Mailroom(tmp_path, lmtp=LmtpConfig(max_message_octets=1000))) as room:
        peer = Connection(room.lmtp_port)
        peer.send(b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nBDAT 2000\r\n" + b"z" * 2000)
        peer.send(b"BDAT 4 LAST\r\nQUITMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nBDAT 2000 LAST\r\n" + b"z" * 2000)
        peer.send(b"NOOP\r\nBDAT 99999999999 LAST\r\n")
        replies = [peer.line() for _ in range(16)]
        assert [reply[:9] for reply in replies[10:]] == [
            b"552 5.3.4",  # the first chunk
            b"503 5.5.1",  # the second, of a transaction that is no more
            b"250 2.1.0",
            b"250 2.1.5",
            b"552 5.3.4",
            b"250 2.0.0",
        ]
        assert peer.line().startswith(b"552 5.3.4")
        assert peer.at_end()
        peer.close()
        assert room.objects() == []
        assert room.spooled_octets() == 0


def test_addresses_lead_where_they_should(tmp_path: Path) -> None:
    with opened(Mailroom(tmp_path, lmtp=LmtpConfig(subaddress_mailboxes=True))) as room:
        room.create("ann@example.org", "Lists")
        room.add_alias("info@example.org", "ann@example.org")
        room.add_alias("info@example.org", "bob@example.org")
        room.add_account("gone@example.org", "secret")
        room.disable("gone@example.org")
        assert deliver(room, MESSAGE, "ann+Lists@example.org", "ann+Unknown@example.org")
        assert len(room.mail("ann@example.org", "Lists")) == 1
        assert len(room.mail("ann@example.org")) == 1
        assert deliver(room, MESSAGE, "INFO@example.org")[0].startswith(b"250")
        assert len(room.mail("ann@example.org")) == 2
        assert len(room.mail("bob@example.org")) == 1
        play(
            room,
            r"""
P1: LHLO c\r\nMAIL FROM:<>\r\n
S1~ 250 2.1.0 …
C1: RCPT TO:<gone@example.org>
S1: 450 4.2.1 …
C1: RCPT TO:<postmaster>
S1: 550 5.1.1 …
C1: RCPT TO:<ann@elsewhere.example>
S1: 550 5.1.1 …
""",
        )


def test_a_subaddress_goes_to_the_inbox_unless_configured_otherwise(room: Mailroom) -> None:
    room.create("ann@example.org", "Lists")
    deliver(room, MESSAGE, "ann+Lists@example.org")
    assert len(room.mail("ann@example.org")) == 1
    assert room.mail("ann@example.org", "Lists") == []


def test_several_addresses_of_one_mailbox_bring_one_copy(room: Mailroom) -> None:
    room.add_alias("info@example.org", "ann@example.org")
    replies = deliver(room, MESSAGE, "ann@example.org", "info@example.org", "ann+x@example.org")
    assert [reply[:3] for reply in replies] == [b"250"] * 3
    assert len(room.mail("ann@example.org")) == 1


def test_spam_goes_to_junk(room: Mailroom) -> None:
    deliver(room, b"X-Spam-Flag: YES\r\n" + MESSAGE, "ann@example.org", "bob@example.org")
    assert room.mail("ann@example.org") == []
    assert len(room.mail("ann@example.org", "Junk")) == 1
    assert len(room.mail("bob@example.org", "Junk")) == 1


def test_spam_stays_where_it_is_told_to(tmp_path: Path) -> None:
    with opened(Mailroom(tmp_path, lmtp=LmtpConfig(spam_to_junk=False))) as room:
        deliver(room, b"X-Spam-Flag: YES\r\n" + MESSAGE, "ann@example.org")
        assert len(room.mail("ann@example.org")) == 1


def test_delivered_to_makes_an_object_for_each_recipient(tmp_path: Path) -> None:
    with opened(Mailroom(tmp_path, lmtp=LmtpConfig(delivered_to=True))) as room:
        assert len(deliver(room, MESSAGE, "ann@example.org", "bob+x@example.org")) == 2
        assert b"\r\nDelivered-To: ann@example.org\r\n" in room.mail("ann@example.org")[0]
        assert b"\r\nDelivered-To: bob+x@example.org\r\n" in room.mail("bob@example.org")[0]
        assert len(room.objects()) == 2


def test_more_recipients_than_the_bound_are_told_to_come_again(tmp_path: Path) -> None:
    with opened(Mailroom(tmp_path, limits=replace(LimitsConfig(), recipients=2))) as room:
        play(
            room,
            r"""
P1: LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nRCPT TO:<bob@example.org>\r\n
P1: RCPT TO:<ann+a@example.org>\r\n
S1~ 250 2.1.0 …
S1: 250 2.1.5 …
S1: 250 2.1.5 …
S1: 452 4.5.3 …
""",
        )


def test_a_connection_too_many_is_turned_away(tmp_path: Path) -> None:
    with opened(Mailroom(tmp_path, lmtp=LmtpConfig(max_connections=1))) as room:
        play(room, "S1: 220 …\nS2: 421 4.3.2 …\n")
        play(room, "S1: 220 …\n")


def test_internationalized_addresses_and_headers(room: Mailroom) -> None:
    room.add_account("jürgen@bücher.example", "secret")
    peer = smtplib.LMTP("127.0.0.1", room.lmtp_port)
    peer.ehlo_or_helo_if_needed()
    assert peer.has_extn("smtputf8")
    peer.sendmail(
        "señor@example.com",
        ["jürgen@xn--bcher-kva.example"],
        "Subject: grüße\r\n\r\nbody\r\n".encode(),
        mail_options=["SMTPUTF8"],
    )
    peer.quit()
    (stored,) = room.mail("jürgen@bücher.example")
    assert stored.startswith("Return-Path: <señor@example.com>\r\n".encode())
    assert b" with UTF8LMTP id " in stored


def test_draining_lets_a_message_end_and_turns_the_next_away(room: Mailroom) -> None:
    idle, busy = Connection(room.lmtp_port), Connection(room.lmtp_port)
    assert idle.line().startswith(b"220")
    busy.send(b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\nSubject: x\r\n\r\n")
    while not busy.line().startswith(b"354"):
        pass
    ending = room.begin(room.lmtp_factory.drain(30))
    assert idle.line().startswith(b"421 4.3.2")
    assert idle.at_end()
    busy.send(b"rest\r\n.\r\n")
    assert busy.line().startswith(b"250 2.0.0 Delivered")
    assert busy.line().startswith(b"421 4.3.2")
    assert busy.at_end()
    late = Connection(room.lmtp_port)
    assert late.line().startswith(b"421 4.3.2")
    for peer in (idle, busy, late):
        peer.close()
    run(ended(ending))
    assert len(room.mail("ann@example.org")) == 1


async def ended(ending: Deferred[None]) -> None:
    await ending
