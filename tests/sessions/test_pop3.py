"""POP3 conversations, with the clients of the standard library too, and what they leave behind."""

from __future__ import annotations

import poplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.cred.portal import Portal
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ServerFactory
from twisted.internet.testing import StringTransport
from twisted.mail import pop3
from twisted.mail.interfaces import IMailboxPOP3
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface.verify import verifyObject

from lightmail.auth.checkers import PasswordChecker
from lightmail.config import LimitsConfig, Pop3Config
from lightmail.pop3.maildrop import open_maildrop
from lightmail.pop3.server import Pop3Server
from lightmail.pop3.stock import Pop3Realm
from tests.sessions.test_lmtp import deliver
from tests.support import transcript
from tests.support.certificates import certificate
from tests.support.mailroom import Door, Mailroom
from tests.support.reactor import call, run
from tests.support.transcript import Connection

reactor: Any = installed_reactor
ONE = b"Subject: one\r\n\r\n.dot\r\nend\r\n"
TWO = b"Subject: two\r\n\r\nbody\r\n"


@contextmanager
def opened(room: Mailroom) -> Iterator[Mailroom]:
    """A room with one account, closed at the end."""
    room.open()
    try:
        room.add_account("ann@example.org", "secret word")
        yield room
    finally:
        room.close()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Mailroom]:
    with opened(Mailroom(tmp_path)) as room:
        yield room


def play(room: Mailroom, text: str) -> None:
    transcript.run(Door(room, room.pop3_port), text)


def client(room: Mailroom) -> poplib.POP3:
    peer = poplib.POP3("127.0.0.1", room.pop3_port, 20)
    peer.user("ann@example.org")
    peer.pass_("secret word")
    return peer


def test_a_session_of_a_client(room: Mailroom) -> None:
    deliver(room, ONE, "ann@example.org")
    deliver(room, TWO, "ann@example.org")
    stored = room.mail("ann@example.org")
    peer = client(room)
    assert peer.stat() == (2, sum(map(len, stored)))
    assert peer.list()[1] == [b"%d %d" % (n, len(message)) for n, message in enumerate(stored, 1)]
    lines = peer.retr(1)[1]
    assert b"".join(line + b"\r\n" for line in lines) == stored[0]
    assert peer.top(1, 1)[1][-2:] == [b"", b".dot"]
    assert peer.top(2, 0)[1][-2:] == [b"Subject: two", b""]
    first, second = peer.uidl()[1]
    peer.dele(1)
    assert peer.list()[1] == [b"2 %d" % len(stored[1])]
    assert len(room.mail("ann@example.org")) == 2  # nothing is removed before QUIT
    peer.quit()
    assert room.mail("ann@example.org") == [stored[1]]
    again = client(room)
    assert again.uidl()[1] == [b"1 " + second.split()[1]]
    assert first.split()[1] != second.split()[1]
    again.quit()


def test_a_session_that_ends_without_quit_removes_nothing(room: Mailroom) -> None:
    deliver(room, ONE, "ann@example.org")
    peer = client(room)
    peer.dele(1)
    peer.close()
    run(room.pop3_factory.drain(5))
    assert len(room.mail("ann@example.org")) == 1


def test_the_maildrop_is_one_sessions_own_until_it_ends(room: Mailroom) -> None:
    play(
        room,
        r"""
P1: USER ann@example.org\r\nPASS secret word\r\n
S1: +OK LightMail POP3 ready
S1: +OK …
S1: +OK 0 messages (0 octets)
P2: USER ann@example.org\r\nPASS secret word\r\n
S2: +OK LightMail POP3 ready
S2: +OK …
S2: -ERR [IN-USE] …
C1: QUIT
S1: +OK …
@closed 1
P2: USER ann@example.org\r\nPASS secret word\r\n
S2: +OK …
S2: +OK 0 messages (0 octets)
""",
    )


def test_a_session_sees_the_mail_of_its_login(room: Mailroom) -> None:
    deliver(room, ONE, "ann@example.org")
    peer = client(room)
    deliver(room, TWO, "ann@example.org")
    assert peer.stat()[0] == 1
    peer.quit()


def test_pipelined_commands_are_answered_one_by_one_in_order(room: Mailroom) -> None:
    deliver(room, ONE, "ann@example.org")
    play(
        room,
        r"""
P1: CAPA\r\nUSER ann@example.org\r\nPASS secret word\r\nNOOP\r\nUIDL 1\r\nUIDL 2\r\nLIST 0\r\n
P1: DELE 1\r\nDELE 1\r\nSTAT\r\nLIST\r\nRETR 1\r\nRSET\r\nTOP 1\r\nTOP 1 x\r\n
P1: RETR 99999999999\r\nAPOP a b\r\nXYZZY\r\nQUIT\r\nNOOP\r\n
S1: +OK LightMail POP3 ready
S1~ .
S1: +OK Send PASS
S1: +OK 1 messages …
S1: +OK
S1: +OK 1 «validity».«uid»
S1: -ERR No such message.
S1: -ERR No such message.
S1: +OK …
S1: -ERR No such message.
S1: +OK 0 0
S1: +OK 0 messages (0 octets)
S1: .
S1: -ERR No such message.
S1: +OK 1 messages …
S1: -ERR Wrong number of arguments.
S1: -ERR Not a number.
S1: -ERR Not a number.
S1: -ERR Unknown command.
S1: -ERR Unknown command.
S1: +OK Bye
@closed 1
""",
    )
    assert len(room.mail("ann@example.org")) == 1


def test_capabilities_are_those_of_the_state(room: Mailroom) -> None:
    play(
        room,
        r"""
C1: CAPA
S1: +OK LightMail POP3 ready
S1: +OK …
S1: TOP
S1: UIDL
S1: RESP-CODES
S1: AUTH-RESP-CODE
S1: PIPELINING
S1: EXPIRE NEVER
S1: IMPLEMENTATION LightMail …
S1: USER
S1: SASL PLAIN
S1: .
C1: STLS
S1: -ERR TLS is not available.
C1: STAT
S1: -ERR Log in first.
""",
    )


def test_sasl_plain(room: Mailroom) -> None:
    play(
        room,
        r"""
C1: AUTH PLAIN AGFubkBleGFtcGxlLm9yZwBzZWNyZXQgd29yZA==
S1: +OK LightMail POP3 ready
S1: +OK 0 messages (0 octets)
C1: AUTH PLAIN
S1: -ERR You are logged in.
C1: QUIT
S1: +OK …
@closed 1
C2: AUTH
S2: +OK LightMail POP3 ready
S2: +OK
S2: PLAIN
S2: .
C2: AUTH PLAIN
S2: + …
C2: *
S2: -ERR Authentication cancelled.
C2: AUTH PLAIN
S2: + …
C2: AGFubkBleGFtcGxlLm9yZwB3cm9uZw==
S2: -ERR [AUTH] …
C2: AUTH PLAIN
S2: + …
C2: AGFubkBleGFtcGxlLm9yZwBzZWNyZXQgd29yZA==
S2: +OK 0 messages (0 octets)
""",
    )


@pytest.mark.parametrize("response", ["%%%", "AGFubg==", "=", "A" * 9000])
def test_broken_sasl_responses_are_refused(room: Mailroom, response: str) -> None:
    peer = Connection(room.pop3_port)
    peer.send(b"AUTH PLAIN\r\n" + response.encode() + b"\r\nUSER x\r\n")
    assert [peer.line()[:4] for _ in range(4)] == [b"+OK ", b"+ ", b"-ERR", b"+OK "]
    peer.close()


def test_wrong_passwords_are_bounded(tmp_path: Path) -> None:
    with opened(Mailroom(tmp_path, pop3=Pop3Config(max_failed_attempts=2))) as room:
        play(
            room,
            r"""
P1: USER ann@example.org\r\nPASS wrong\r\nPASS wrong\r\nUSER nobody@example.org\r\nPASS secret word\r\nNOOP\r\n
S1: +OK LightMail POP3 ready
S1: +OK …
S1: -ERR [AUTH] Authentication failed.
S1: -ERR USER first.
S1: +OK …
S1: -ERR [AUTH] Authentication failed.
@closed 1
""",
        )


def test_an_outage_is_no_wrong_password(room: Mailroom) -> None:
    peer = Connection(room.pop3_port)
    assert peer.line().startswith(b"+OK")
    run(room.database.stop())
    peer.send(b"USER ann@example.org\r\nPASS secret word\r\n")
    assert peer.line().startswith(b"+OK")
    assert peer.line().startswith(b"-ERR [SYS/TEMP]")
    peer.close()


def test_an_outage_of_the_objects_is_an_answer(room: Mailroom) -> None:
    deliver(room, ONE, "ann@example.org")
    peer = client(room)
    room.store.failing = True
    with pytest.raises(poplib.error_proto, match=r"SYS/TEMP"):
        peer.retr(1)
    room.store.failing = False
    assert peer.retr(1)[1]
    peer.quit()


def test_lines_and_bad_commands_are_bounded(room: Mailroom) -> None:
    peer = Connection(room.pop3_port)
    peer.send(b"NOOP " + b"x" * 10_000 + b"\r\nCAPA\r\n")
    assert peer.line().startswith(b"+OK")
    assert peer.line() == b"-ERR Line too long."
    assert peer.line().startswith(b"+OK Capability")
    peer.send(b"BOGUS\r\n" * 20)
    while not (line := peer.line()).startswith(b"-ERR Too many"):
        assert line != b"+OK"
    assert peer.at_end()
    peer.close()


def test_a_client_that_does_not_log_in_is_sent_away(tmp_path: Path) -> None:
    with opened(Mailroom(tmp_path, limits=replace(LimitsConfig(), login_seconds=1))) as room:
        peer = Connection(room.pop3_port)
        assert peer.line().startswith(b"+OK")
        assert peer.line().startswith(b"-ERR [SYS/TEMP] Timed out")
        assert peer.at_end()
        peer.close()


def test_strangers_from_one_address_are_bounded(tmp_path: Path) -> None:
    limits = replace(LimitsConfig(), connections_per_address_before_login=2)
    with opened(Mailroom(tmp_path, limits=limits)) as room:
        peers = [Connection(room.pop3_port) for _ in range(2)]
        assert [peer.line()[:3] for peer in peers] == [b"+OK", b"+OK"]
        third = Connection(room.pop3_port)
        assert third.line().startswith(b"-ERR [SYS/TEMP]")
        assert third.at_end()
        peers[0].send(b"USER ann@example.org\r\nPASS secret word\r\n")
        assert [peers[0].line()[:3] for _ in range(2)] == [b"+OK", b"+OK"]
        fourth = Connection(room.pop3_port)  # the one that has logged in is no stranger
        assert fourth.line().startswith(b"+OK")
        for peer in (*peers, third, fourth):
            peer.close()


def test_tls(tmp_path: Path) -> None:
    with opened(Mailroom(tmp_path, tls=certificate(tmp_path), pop3=Pop3Config(tls_only=True))) as room:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        peer = poplib.POP3("127.0.0.1", room.pop3_port, 20)
        assert "STLS" in peer.capa()
        assert "USER" not in peer.capa()
        with pytest.raises(poplib.error_proto, match=r"AUTH"):
            peer.user("ann@example.org")
        peer.stls(context)
        assert "STLS" not in peer.capa()
        peer.user("ann@example.org")
        peer.pass_("secret word")
        peer.quit()


def test_tls_from_the_first_octet(tmp_path: Path) -> None:
    with opened(Mailroom(tmp_path, pop3=Pop3Config(tls_only=True))) as room:
        wrapped = TLSMemoryBIOFactory(certificate(tmp_path), False, room.pop3_factory)
        listener = call(lambda: reactor.listenTCP(0, wrapped, interface="127.0.0.1"))
        context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        peer = poplib.POP3_SSL("localhost", listener.getHost().port, context=context)
        peer.user("ann@example.org")
        peer.pass_("secret word")
        assert "STLS" not in peer.capa()
        peer.quit()
        run(stopped(listener))


def test_what_was_sent_in_the_clear_behind_stls_is_dropped(tmp_path: Path) -> None:
    with opened(Mailroom(tmp_path, tls=certificate(tmp_path))) as room:
        play(
            room,
            r"""
P1: USER ann@example.org\r\nSTLS\r\nPASS secret word\r\nNOOP\r\n
S1: +OK LightMail POP3 ready
S1: +OK …
S1: +OK Begin TLS
@tls 1
C1: PASS secret word
S1: -ERR USER first.
C1: STLS
S1: -ERR TLS is on already.
C1: USER ann@example.org
S1: +OK …
C1: PASS secret word
S1: +OK 0 messages (0 octets)
C1: STLS
S1: -ERR You are logged in.
""",
        )


def test_no_password_crosses_a_network_in_the_clear(room: Mailroom) -> None:
    def converse() -> bytes:
        session = Pop3Server(
            room.pop3_services, "192.0.2.7", local=False, known=lambda session: None, ended=lambda session: None
        )
        transport = StringTransport()
        session.makeConnection(transport)
        session.dataReceived(b"CAPA\r\nUSER ann@example.org\r\nPASS secret word\r\nAUTH PLAIN AAA=\r\nQUIT\r\n")
        session.connectionLost(None)  # type: ignore[arg-type]
        return transport.value()

    lines = call(converse).split(b"\r\n")
    assert b"USER" not in lines
    assert b"SASL PLAIN" not in lines
    assert sum(line.startswith(b"-ERR [AUTH] Use TLS") for line in lines) == 3


def test_draining_ends_sessions_between_two_commands(room: Mailroom) -> None:
    deliver(room, ONE, "ann@example.org")
    peer = client(room)
    peer.dele(1)
    run(room.pop3_factory.drain(5))
    with pytest.raises(poplib.error_proto, match="shutting down"):
        peer.noop()
    peer.close()
    assert len(room.mail("ann@example.org")) == 1


octets = st.lists(
    st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"\r\n.", b"\n.", b"a", b"\0", b"\xff", b"\r\n.\r\n"]), max_size=30
).map(b"".join)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(octets)
@example(b"\n.\n.\r\n")
@example(b"no end")
def test_sizes_are_those_of_what_is_sent(room: Mailroom, message: bytes) -> None:
    deliver_chunk(room, message)
    stored = room.mail("ann@example.org")[-1]
    peer = client(room)
    number, octets = peer.stat()
    listed = int(peer.list(number).split()[2])
    assert listed == len(stored)
    assert octets >= listed
    peer.close()
    raw = Connection(room.pop3_port)
    raw.send(b"USER ann@example.org\r\nPASS secret word\r\n")
    while (lines := [raw.line() for _ in range(3)])[-1].startswith(b"-ERR [IN-USE]"):
        raw.close()  # the session before has just been cut off
        raw = Connection(room.pop3_port)
        raw.send(b"USER ann@example.org\r\nPASS secret word\r\n")
    raw.send(b"RETR %d\r\n" % number)
    assert raw.line() == b"+OK %d octets" % listed
    ending = b"" if stored.endswith(b"\r\n") else b"\r\n"
    stuffed = stored.replace(b"\n.", b"\n..") + ending + b".\r\n"
    assert raw.octets(len(stuffed)) == stuffed
    raw.close()
    assert lines[0].startswith(b"+OK")


def deliver_chunk(room: Mailroom, message: bytes) -> None:
    """Deliver octets exactly as they are."""
    peer = Connection(room.lmtp_port)
    peer.send(b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nBDAT %d LAST\r\n%b" % (len(message), message))
    while not (line := peer.line()).startswith((b"250 2.0.0 Delivered", b"4", b"5")):
        pass
    assert line.startswith(b"250")
    peer.close()


def test_a_large_message_is_streamed_and_equal(room: Mailroom) -> None:
    message = b"Subject: large\r\n\r\n" + b"".join(b".%076d\r\n" % n for n in range(40_000))
    deliver(room, message, "ann@example.org")
    peer = client(room)
    poplib._MAXLINE = 4096
    lines = peer.retr(1)[1]
    assert b"".join(line + b"\r\n" for line in lines).endswith(message)
    assert peer.top(1, 2)[1][-1] == b".%076d" % 1
    peer.quit()


def test_twisteds_stock_server_serves_our_maildrop(room: Mailroom) -> None:
    deliver(room, ONE, "ann@example.org")
    deliver(room, TWO, "ann@example.org")
    stored = room.mail("ann@example.org")
    drop = run(open_maildrop(room.pop3_services, room.account("ann@example.org"), "test"))
    assert verifyObject(IMailboxPOP3, drop)
    run(drop.close())
    portal = Portal(Pop3Realm(room.pop3_services), [PasswordChecker(room.authenticator, "pop3")])

    class Stock(ServerFactory):
        noisy = False

        def buildProtocol(self, addr: object) -> pop3.POP3:
            protocol = pop3.POP3()
            protocol.portal = portal
            protocol.factory = self
            return protocol

    listener = call(lambda: reactor.listenTCP(0, Stock(), interface="127.0.0.1"))
    peer = poplib.POP3("127.0.0.1", listener.getHost().port, 20)
    peer.user("ann@example.org")
    peer.pass_("secret word")
    assert peer.stat() == (2, sum(map(len, stored)))
    assert b"".join(line + b"\r\n" for line in peer.retr(1)[1]) == stored[0]
    peer.dele(2)
    peer.quit()
    run(stopped(listener))
    assert settled(room) == [stored[0]]


async def stopped(listener: Any) -> None:
    await listener.stopListening()


def settled(room: Mailroom) -> list[bytes]:
    """INBOX once nobody holds the maildrop: the stock server does not wait for its mailbox's last work."""

    async def wait() -> None:
        while True:
            try:
                drop = await open_maildrop(room.pop3_services, account, "settled")
            except Exception:
                await pause()
            else:
                await drop.close()
                return

    account = room.account("ann@example.org")
    run(wait())
    return room.mail("ann@example.org")


async def pause() -> None:
    passed: Deferred[None] = Deferred()
    reactor.callLater(0.01, passed.callback, None)
    await passed
