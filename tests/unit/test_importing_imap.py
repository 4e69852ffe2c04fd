"""The IMAP source against a server that says what real ones say: odd names, odd orders, refusals, broken links."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from lightmail.jobs.importing.imapserver import ImapSource, Login
from lightmail.jobs.importing.imapwire import fetched, listed, quoted
from lightmail.jobs.importing.source import Folder, Left, Loaded, SourceError

Answer = Callable[[bytes], bytes | None]

LISTED = (
    b'* LIST (\\HasChildren) "." INBOX\r\n'
    b'* LIST (\\Sent) "." "INBOX.Sent &- more"\r\n'
    b'* LIST (\\Noselect) "." INBOX.Only\r\n'
    b'* LIST () "." {13}\r\nINBOX.a "b" c\r\n'
    b"* LIST () NIL flat\r\n"
)


def server(command: bytes) -> bytes | None:
    """What a server answers, untagged lines and the tagged OK; None breaks the link."""
    if command.startswith(b"CAPABILITY"):
        return b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nOK\r\n"
    if command.startswith(b"NAMESPACE"):
        return b'* NAMESPACE (("INBOX." ".")) NIL NIL\r\nOK\r\n'
    if command.startswith(b"LIST"):
        return LISTED + b"OK\r\n"
    if command.startswith(b"LSUB"):
        return b'* LSUB () "." "INBOX.Sent &- more"\r\nOK\r\n'
    if command.startswith(b"EXAMINE"):
        return b"* 3 EXISTS\r\n* OK [UIDVALIDITY 77] x\r\nOK [READ-ONLY]\r\n"
    if command.startswith(b"FETCH"):
        sizes = b"".join(b"* %d FETCH (UID %d RFC822.SIZE 5)\r\n" % (n, 10 * n) for n in (1, 2, 3))
        return sizes + b"OK\r\n"
    return b"OK\r\n"


def bodies(command: bytes) -> bytes | None:
    """As `server`, with messages: flags behind the octets, a quoted string, and one that is gone."""
    if not command.startswith(b"UID FETCH"):
        return server(command)
    date = b'INTERNALDATE " 7-Feb-2024 10:00:00 +0200"'
    return (
        b"* 1 FETCH (UID 10 " + date + b" BODY[] {7}\r\nA: b)\r\n FLAGS (\\Seen \\Recent $Work))\r\n"
        b"* 2 FETCH (FLAGS ())\r\n"
        b"* 2 FETCH (UID 20 FLAGS () " + date + b' BODY[] "say \\"a\\"")\r\nOK\r\n'
    )


class FakeServer:
    """Answers commands by a function; one connection after another."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.commands: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            link, _ = self._listening.accept()
            with link, link.makefile("rb") as lines:
                if not self._talk(link, lines):
                    return

    def _talk(self, link: socket.socket, lines: Iterator[bytes]) -> bool:
        knows_us = False
        link.sendall(b"* OK hello\r\n")
        for line in lines:
            tag, _, command = line.rstrip().partition(b" ")
            if tag == b"stop":
                return False
            if not command:
                continue
            self.commands.append(command)
            if command.startswith(b"AUTHENTICATE"):
                link.sendall(b"+ \r\n")
                next(lines)
            knows_us = knows_us or command.startswith((b"AUTHENTICATE", b"LOGIN"))
            answer = self.answer(command)
            if knows_us and command == b"CAPABILITY" and answer is not None:
                answer = answer.replace(b"AUTH=PLAIN", b"NAMESPACE")
            if answer is None:
                return True
            untagged, _, status = answer.rstrip(b"\r\n").rpartition(b"\r\n")
            link.sendall((untagged + b"\r\n" if untagged else b"") + tag + b" " + status + b" done\r\n")
        return True

    def stop(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as link:
            link.sendall(b"stop x\r\n")
            self._thread.join()
        self._listening.close()


@contextmanager
def served(answer: Answer) -> Iterator[tuple[ImapSource, FakeServer]]:
    fake = FakeServer(answer)
    source = ImapSource(Login("127.0.0.1", fake.port, "ada", "sesame", "off"), pause=lambda _: None)
    try:
        yield source, fake
    finally:
        source.close()
        fake.stop()


def inbox(source: ImapSource) -> Folder:
    return next(folder for folder in source.folders()[0] if folder.levels == ("INBOX",))


def test_folders_with_their_levels_uses_and_subscriptions() -> None:
    with served(server) as (source, _):
        found = {folder.levels: (folder.special_use, folder.subscribed) for folder in source.folders()[0]}
    assert found == {
        ("INBOX",): (None, True),
        ("Sent & more",): ("\\Sent", True),
        ('a "b" c',): (None, False),
        ("flat",): (None, False),
    }


def test_messages_with_flags_and_dates_wherever_the_server_puts_them() -> None:
    with served(bodies) as (source, fake):
        folder = inbox(source)
        items, left = source.items(folder)
        found = source.load(folder, items)
        assert not any(re.match(rb"(UID )?STORE|SELECT|.*BODY\[\]", command) for command in fake.commands)
    assert left == []
    assert [item.handle for item in items] == [10, 20, 30]
    assert {item.key[:4] for item in items} == {(77).to_bytes(4, "big")}
    first, second = found
    assert isinstance(first, Loaded)
    assert isinstance(second, Loaded)
    assert (first.octets, first.flags) == (b"A: b)\r\n", (b"\\Seen", b"$Work"))
    assert first.internaldate_us == 1_707_292_800_000_000
    assert second.octets == b'say "a"'


def test_a_message_that_the_server_refuses_is_left_and_the_others_come() -> None:
    def answer(command: bytes) -> bytes | None:
        if command.startswith(b"UID FETCH") and b"20" in command.split()[2].split(b","):
            return b"NO it is damaged\r\n"
        return bodies(command)

    with served(answer) as (source, _):
        folder = inbox(source)
        found = source.load(folder, source.items(folder)[0][:2])
    assert [type(each) for each in found] == [Loaded, Left]


def test_a_broken_link_is_made_again() -> None:
    broken = [True, True]

    def answer(command: bytes) -> bytes | None:
        if command.startswith(b"UID FETCH") and broken:
            broken.pop()
            return None
        return bodies(command)

    with served(answer) as (source, fake):
        folder = inbox(source)
        assert len(source.load(folder, source.items(folder)[0])) == 2
        assert sum(command.startswith(b"AUTHENTICATE") for command in fake.commands) == 3


def test_a_link_that_breaks_again_and_again_ends_the_run() -> None:
    def answer(command: bytes) -> bytes | None:
        return None if command.startswith(b"LIST") else server(command)

    with served(answer) as (source, _), pytest.raises(SourceError, match=r"127\.0\.0\.1"):
        source.folders()


def test_a_folder_that_is_refused_is_left() -> None:
    def answer(command: bytes) -> bytes | None:
        return b"NO go away\r\n" if command.startswith(b"EXAMINE") else server(command)

    with served(answer) as (source, _):
        items, left = source.items(inbox(source))
    assert items == []
    assert "go away" in left[0].reason


def test_a_login_that_is_refused_names_the_user_and_no_password() -> None:
    def answer(command: bytes) -> bytes | None:
        return b"NO wrong\r\n" if command.startswith(b"AUTH") else server(command)

    with served(answer) as (source, _), pytest.raises(SourceError, match="login as ada was refused") as refused:
        source.folders()
    assert "sesame" not in str(refused.value)
    assert "sesame" not in repr(Login("h", 1, "u", "sesame"))


def test_what_cannot_be_read_is_left_out() -> None:
    assert listed([None, b"nonsense", b'(\\A) "/" x', b")"]) == listed([b'(\\A) "/" x'])
    assert fetched([None, b"nonsense", (b"no record", b"x")]) == []
    assert fetched([b'1 (INTERNALDATE "32-Foo-2024 1:2:3 +0000")'])[0].internaldate_us is None
    assert quoted(b'a"b\\') == b'"a\\"b\\\\"'
