"""What an LMTP session waits for, and for how long."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import DeferredSemaphore
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from lightmail.config import ClamavConfig, LimitsConfig, LmtpConfig
from lightmail.delivery.addresses import Target
from lightmail.delivery.routing import Routing
from lightmail.lmtp.handover import TURN_SECONDS
from lightmail.lmtp.server import MESSAGE_SECONDS, TIMEOUT_SECONDS, LmtpServer
from lightmail.lmtp.services import LmtpServices
from lightmail.model import Account, AccountId, MailboxId
from lightmail.objects.spool import Spools
from lightmail.scanning import Scanner

ANN = Account(AccountId(1), b"a" * 16, "ann@example.org", True, 0, 0)


class OneAccount:
    """A database in which every recipient is Ann."""

    async def read(self, name: str, fn: object, given: list[str], *args: object) -> list[list[Target]]:
        return [[Target(ANN, MailboxId(1), recipient)] for recipient in given]


class Transport(StringTransport):
    """One that can be cut."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class Session:
    """A session on a clock that the test moves. No object store and no transactions: none is reached here."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.turns = DeferredSemaphore(1)
        self.ended: list[LmtpServer] = []
        unreached: Any = None
        database: Any = OneAccount()
        self.spools = Spools(unreached, None)
        scanner = Scanner(ClamavConfig(), reactor=self.clock)
        services = LmtpServices(
            "mx", LmtpConfig(), LimitsConfig(), database, unreached, unreached, self.spools, scanner, self.clock
        )
        routing = Routing(database, "mx", False)
        self.server = LmtpServer(services, routing, self.turns, self.ended.append)
        self.transport = Transport()
        self.server.makeConnection(self.transport)
        self.heard()

    def say(self, data: bytes) -> None:
        self.server.dataReceived(data)

    def heard(self) -> list[bytes]:
        lines = self.transport.value().splitlines()
        self.transport.clear()
        return lines


def test_a_silent_client_is_sent_away() -> None:
    session = Session()
    session.say(b"LHLO c\r\n")
    session.clock.advance(TIMEOUT_SECONDS - 1)
    session.say(b"NOOP\r\n")
    session.clock.advance(TIMEOUT_SECONDS - 1)
    assert session.ended == []
    session.heard()
    session.clock.advance(2)
    assert session.heard()[0].startswith(b"421 4.4.2")
    assert session.transport.disconnecting
    assert session.ended == [session.server]
    session.clock.advance(60)
    assert session.transport.aborted


def test_data_that_stops_coming_is_dropped() -> None:
    session = Session()
    session.say(b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ann>\r\nDATA\r\nhalf")
    session.heard()
    session.clock.advance(TIMEOUT_SECONDS + 1)
    assert session.heard()[0].startswith(b"421 4.4.2")
    assert session.spools._taken == 0


def test_data_that_trickles_ends_some_time() -> None:
    session = Session()
    session.say(b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ann>\r\nDATA\r\n")
    session.heard()
    waited = 0.0
    while not session.ended:
        session.clock.advance(TIMEOUT_SECONDS - 1)
        waited += TIMEOUT_SECONDS - 1
        assert waited < MESSAGE_SECONDS + TIMEOUT_SECONDS
        session.say(b"x")
    assert session.heard()[0].startswith(b"421 4.4.2")


def test_a_message_that_does_not_get_its_turn_is_put_off() -> None:
    session = Session()
    session.turns.acquire()
    session.say(b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ann>\r\nDATA\r\nSubject: x\r\n\r\n.\r\nNOOP\r\n")
    session.heard()
    session.clock.advance(TURN_SECONDS - 1)
    assert session.heard() == []
    session.clock.advance(2)
    assert [line[:9] for line in session.heard()] == [b"451 4.3.0", b"250 2.0.0"]
    assert session.spools._taken == 0


def test_a_client_that_leaves_while_it_waits_leaves_nothing() -> None:
    session = Session()
    session.turns.acquire()
    session.say(b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ann>\r\nDATA\r\nSubject: x\r\n\r\n.\r\n")
    session.server.connectionLost()
    session.clock.advance(TURN_SECONDS + 1)
    assert session.ended == [session.server]
    assert session.spools._taken == 0
    assert session.clock.getDelayedCalls() == []
