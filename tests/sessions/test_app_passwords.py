"""App passwords on the wire: by IMAP and by POP3, each where it may be used, for as long as it is there."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from lightmail.operations.app_passwords import Issued, add_app_password, revoke_app_password
from tests.support.actors import OPERATOR
from tests.support.imapworld import ImapWorld
from tests.support.mailroom import Mailroom
from tests.support.reactor import run
from tests.support.transcript import Connection

ADDRESS = "ann@example.org"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ImapWorld]:
    opened = ImapWorld(tmp_path).open()
    opened.add_account(ADDRESS, "secret")
    yield opened
    opened.close()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Mailroom]:
    opened = Mailroom(tmp_path).open()
    opened.add_account(ADDRESS, "secret")
    yield opened
    opened.close()


def issue(site: ImapWorld | Mailroom, name: str, protocols: Collection[str]) -> Issued:
    owner = site.account(ADDRESS).id
    return run(add_app_password(site.transactions, OPERATOR, owner, name, protocols))


def imap(world: ImapWorld, password: str) -> bytes:
    client = Connection(world.port)
    client.line()
    client.send(f'a LOGIN {ADDRESS} "{password}"\r\n'.encode())
    answer = client.line().split()[1]
    client.close()
    return answer


def pop3(room: Mailroom, password: str) -> bytes:
    client = Connection(room.pop3_port)
    client.line()
    client.send(f"USER {ADDRESS}\r\nPASS {password}\r\n".encode())
    client.line()
    answer = client.line().split()[0]
    client.close()
    return answer


def test_imap(world: ImapWorld) -> None:
    phone, kiosk = issue(world, "phone", ["imap", "pop3"]), issue(world, "kiosk", ["pop3"])
    before = world.database.round_trips["login"]
    assert imap(world, phone.secret) == b"OK"
    assert imap(world, phone.secret.replace("-", " ").upper()) == b"OK"
    assert imap(world, "secret") == b"OK"
    assert imap(world, kiosk.secret) == b"NO"
    assert world.database.round_trips["login"] == before + 4, "one statement for each login, whichever password it is"
    run(revoke_app_password(world.transactions, OPERATOR, phone.app_password.id))
    assert imap(world, phone.secret) == b"NO"
    assert imap(world, "secret") == b"OK"


def test_pop3(room: Mailroom) -> None:
    phone, laptop = issue(room, "phone", ["imap"]), issue(room, "laptop", ["pop3"])
    assert pop3(room, laptop.secret) == b"+OK"
    assert pop3(room, laptop.secret.replace("-", "")) == b"+OK"
    assert pop3(room, phone.secret) == b"-ERR"
    room.disable(ADDRESS)
    assert pop3(room, laptop.secret) == b"-ERR"
