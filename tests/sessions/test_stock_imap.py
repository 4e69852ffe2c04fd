r"""Twisted's stock ``IMAP4Server`` serves our account and mailboxes through its own contracts, and only those."""

from __future__ import annotations

import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from twisted.cred.portal import Portal
from twisted.internet import reactor as installed_reactor
from twisted.internet.protocol import ServerFactory
from twisted.mail import imap4
from zope.interface.verify import verifyObject

from lightmail.auth.checkers import MailRealm, PasswordChecker
from lightmail.imap.account import MailAccount, MailboxInfo
from lightmail.imap.mailbox import SelectedMailbox
from lightmail.imap.message import StoredPart
from lightmail.model import Account
from tests.support.imapworld import ImapWorld
from tests.support.reactor import call, run
from tests.support.transcript import Connection

reactor: Any = installed_reactor

MESSAGE = (
    b"From: Ann <ann@example.org>\r\n"
    b"Subject: two parts\r\n"
    b"Received: first\r\n"
    b"Received: second\r\n"
    b"Content-Type: multipart/mixed; boundary=cut\r\n"
    b"\r\n"
    b"--cut\r\n"
    b"Content-Type: text/plain\r\n"
    b"\r\n"
    b"first part\r\n"
    b"--cut\r\n"
    b"Content-Type: text/html\r\n"
    b"X-Name: Gr\xc3\xbc\xc3\x9fe\r\n"
    b"\r\n"
    b"second part\r\n"
    b"--cut--\r\n"
)


class StockFactory(ServerFactory):
    """Nothing but Twisted's server, with a portal of ours."""

    def __init__(self, world: ImapWorld) -> None:
        self._portal = Portal(
            MailRealm({imap4.IAccount: lambda account: self._avatar(world, account)}),
            [PasswordChecker(world.services.authenticator, "imap")],
        )

    @staticmethod
    def _avatar(world: ImapWorld, account: Account) -> tuple[Any, Any]:
        avatar = MailAccount(world.services, account)
        return avatar, avatar.logout

    def buildProtocol(self, addr: object) -> imap4.IMAP4Server:
        protocol = imap4.IMAP4Server()
        protocol.portal = self._portal
        protocol.factory = self
        return protocol


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ImapWorld]:
    world = ImapWorld(tmp_path, with_tls=False).open()
    try:
        world.add_account("alice@example.org", "secret")
        yield world
    finally:
        world.close()


@pytest.fixture
def account(world: ImapWorld) -> MailAccount:
    return MailAccount(world.services, world.account("alice@example.org"))


class Client:
    """Sends commands to the stock server, and gives back all that comes up to the tagged response."""

    def __init__(self, port: int) -> None:
        self.connection = Connection(port)
        assert self.connection.line().startswith(b"* OK ")
        self._tags = 0

    def command(self, text: bytes, literal: bytes | None = None) -> bytes:
        self._tags += 1
        tag = b"t%d " % self._tags
        self.connection.send(tag + text + b"\r\n")
        if literal is not None:
            assert self.connection.line().startswith(b"+ ")
            self.connection.send(literal + b"\r\n")
        lines = [self.connection.line()]
        while not lines[-1].startswith(tag):
            lines.append(self.connection.line())
        return b"\r\n".join(lines)


@pytest.fixture
def client(world: ImapWorld) -> Iterator[Client]:
    port = call(reactor.listenTCP, 0, StockFactory(world), interface="127.0.0.1")
    client = Client(port.getHost().port)
    try:
        yield client
    finally:
        client.connection.close()
        call(port.stopListening)


def opened(account: MailAccount, name: str = "INBOX", rw: bool = True) -> SelectedMailbox:
    async def select() -> SelectedMailbox:
        mailbox = await account.select(name, rw)
        assert mailbox is not None
        return mailbox

    return run(select())


def added(mailbox: SelectedMailbox, message: bytes = MESSAGE, flags: tuple[str, ...] = ()) -> int:
    async def add() -> int:
        return await mailbox.addMessage(BytesIO(message), flags, b"17-Jul-1996 02:44:25 -0700")

    return run(add())


def test_the_objects_keep_the_contracts(account: MailAccount) -> None:
    verifyObject(imap4.IAccount, account)
    verifyObject(imap4.INamespacePresenter, account)
    mailbox = opened(account)
    for contract in (imap4.IMailbox, imap4.IMessageCopier, imap4.ICloseableMailbox, imap4.ISearchableMailbox):
        verifyObject(contract, mailbox)
    assert added(mailbox) == 1

    async def look() -> None:
        ((seq, message),) = await mailbox.fetch(imap4.MessageSet(1, None), uid=True)
        assert seq == 1
        verifyObject(imap4.IMessage, message)
        verifyObject(imap4.IMessageFile, message)
        part = message.getSubPart(1)
        verifyObject(imap4.IMessagePart, part)
        assert isinstance(part, StoredPart)
        assert part.getBodyFile().read() == b"second part"
        assert part.getHeaders(False, "x-name") == {"x-name": "Gr????e"}
        assert message.open().read() == MESSAGE
        assert message.getHeaders(False, b"Subject", b"Received") == {"subject": "two parts", "received": "first"}
        with pytest.raises(IndexError):
            message.getSubPart(2)
        with pytest.raises(TypeError):
            part.getSubPart(0)
        listed = await account.listMailboxes("", "S%")
        assert [name for name, _ in listed] == ["Sent"]
        verifyObject(imap4.IMailboxInfo, listed[0][1])
        assert isinstance(listed[0][1], MailboxInfo)

    run(look())
    call(account.logout)


def test_what_fails_fails_with_twisted_s_exceptions(account: MailAccount) -> None:
    async def fail() -> None:
        assert await account.select("nowhere") is None
        with pytest.raises(imap4.MailboxCollision):
            await account.create("Sent")
        with pytest.raises(imap4.NoSuchMailbox):
            await account.delete("nowhere")
        with pytest.raises(imap4.MailboxException):
            await account.addMailbox("x", mbox=object())

    run(fail())
    mailbox = opened(account, rw=False)

    async def write() -> None:
        for wanted in (mailbox.expunge(), mailbox.store(imap4.MessageSet(1), ["\\Seen"], 1, False)):
            with pytest.raises(imap4.ReadOnlyMailbox):
                await wanted

    run(write())
    call(account.logout)


def test_logging_out_lets_go_of_every_mailbox(account: MailAccount) -> None:
    mailboxes = [opened(account), opened(account, "Sent"), opened(account, rw=False)]
    call(mailboxes[1].close)
    call(account.logout)
    assert all(mailbox.released for mailbox in mailboxes)


def test_a_session(client: Client) -> None:
    assert b"LOGIN failed" in client.command(b"LOGIN alice@example.org wrong")
    assert b" OK " in client.command(b"LOGIN alice@example.org secret")
    assert b'(("" "/")) NIL NIL' in client.command(b"NAMESPACE")
    assert b"OK" in client.command(b"APPEND INBOX (\\Flagged) {%d}" % len(MESSAGE), MESSAGE)
    assert b"OK" in client.command(b'APPEND INBOX () "17-Jul-1996 02:44:25 -0700" {%d}' % 16, b"Subject: two\r\n\r\n")
    selected = client.command(b"SELECT INBOX")
    assert b"* 2 EXISTS" in selected
    assert b"[READ-WRITE]" in selected
    assert b"Sent" in client.command(b'LIST "" "*"')
    assert b"MESSAGES 2" in client.command(b"STATUS INBOX (MESSAGES UNSEEN UIDNEXT)")


@pytest.fixture
def selected(client: Client) -> Client:
    """A client with both kinds of message in INBOX, which is selected."""
    client.command(b"LOGIN alice@example.org secret")
    client.command(b"APPEND INBOX (\\Flagged) {%d}" % len(MESSAGE), MESSAGE)
    client.command(b'APPEND INBOX () "17-Jul-1996 02:44:25 -0700" {%d}' % 16, b"Subject: two\r\n\r\n")
    client.command(b"SELECT INBOX")
    return client


def test_fetching(selected: Client) -> None:
    answer = selected.command(b"FETCH 1:2 (UID FLAGS RFC822.SIZE INTERNALDATE)")
    assert b"* 1 FETCH (UID 1 FLAGS (\\Flagged" in answer
    assert b'RFC822.SIZE 16 INTERNALDATE "17-Jul-1996 09:44:25 +0000"' in answer
    assert b"{%d}\r\n%b" % (len(MESSAGE), MESSAGE) in selected.command(b"FETCH 1 RFC822")
    assert b"{10}\r\nfirst part" in selected.command(b"UID FETCH 1 BODY[1]")
    assert b'"two parts"' in selected.command(b"FETCH 1 ENVELOPE")
    assert b"Subject: two" in selected.command(b"FETCH 2 RFC822.HEADER")
    assert b'"plain"' in selected.command(b"FETCH 1 BODYSTRUCTURE")


def test_storing_searching_copying_and_expunging(selected: Client) -> None:
    assert b"* 1 FETCH (FLAGS (\\Flagged \\Deleted" in selected.command(b"STORE 1 +FLAGS (\\Deleted)")
    assert b"* SEARCH 1\r\n" in selected.command(b"SEARCH DELETED SUBJECT parts")
    assert b"* SEARCH 2\r\n" in selected.command(b"UID SEARCH NOT (DELETED FLAGGED) 1:*")
    assert b"COPY completed" in selected.command(b"COPY 2 Archive")
    assert b"MESSAGES 1" in selected.command(b"STATUS Archive (MESSAGES)")
    expunged = selected.command(b"EXPUNGE")
    assert b"* 1 EXPUNGE\r\n" in expunged
    assert b"EXPUNGE completed" in expunged
    assert b"* SEARCH 1\r\n" in selected.command(b"SEARCH ALL")
    assert b"CLOSE completed" in selected.command(b"CLOSE")


def test_naming(client: Client) -> None:
    client.command(b"LOGIN alice@example.org secret")
    assert b" OK " in client.command(b"CREATE Work/2026")
    assert b" OK " in client.command(b"SUBSCRIBE Work")
    deadline = time.monotonic() + 5
    # The stock server answers before these are done: it takes a Deferred for success.
    while b"Work/2026" not in client.command(b'LIST "" "Work/*"') and time.monotonic() < deadline:
        time.sleep(0.02)
    while b'"Work"' not in client.command(b'LSUB "" "*"') and time.monotonic() < deadline:
        time.sleep(0.02)
    assert b'"Work/2026"' not in client.command(b'LSUB "" "*"')


def test_a_listener_hears_of_new_mail_and_flags(world: ImapWorld, account: MailAccount) -> None:
    heard: list[tuple[str, Any]] = []

    class Listener:
        def modeChanged(self, writeable: bool) -> None:
            heard.append(("mode", writeable))

        def flagsChanged(self, newFlags: dict[int, Any]) -> None:
            heard.append(("flags", newFlags))

        def newMessages(self, exists: int | None, recent: int | None) -> None:
            heard.append(("new", exists))

    mailbox, other = opened(account), opened(account)
    listener = Listener()
    call(mailbox.addListener, listener)
    deadline = time.monotonic() + 5
    added(other)
    while not heard and time.monotonic() < deadline:
        time.sleep(0.01)

    async def flag() -> None:
        await other.store(imap4.MessageSet(1), ["\\Seen"], 1, False)

    run(flag())
    while len(heard) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert heard[0] == ("new", 1)
    assert heard[1][0] == "flags"
    assert "\\Seen" in heard[1][1][1]
    call(mailbox.removeListener, listener)
    with pytest.raises(ValueError, match="not in list"):
        call(mailbox.removeListener, listener)
    call(account.logout)
