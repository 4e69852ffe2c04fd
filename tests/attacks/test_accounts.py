"""What one account can learn of another, or change of it: nothing, whatever numbers and names it tries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lightmail.config import ImapConfig
from lightmail.errors import MailError
from lightmail.model import FlagMode, MailboxId
from lightmail.operations.append import NewMessage, append
from lightmail.operations.copy import copy
from lightmail.operations.expunge import expunge
from lightmail.operations.flags import store_flags
from lightmail.store import mailboxes
from tests.support.imapworld import ImapWorld
from tests.support.mailroom import Mailroom
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, NOW_US, Store, blob, fresh_config, open_store
from tests.support.transcript import Connection

SECRET = b"Subject: the secret\r\n\r\nof alice\r\n"


def session(port: int, name: str) -> Connection:
    client = Connection(port)
    client.line()
    ask(client, b"LOGIN %b@example.org secret" % name.encode())
    return client


def ask(client: Connection, command: bytes) -> list[bytes]:
    client.send(b"t " + command + b"\r\n")
    lines = [client.line()]
    while not lines[-1].startswith(b"t "):
        lines.append(client.line())
    return lines


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImapWorld]:
    config = ImapConfig(deleted_tree=True)
    world = ImapWorld(tmp_path_factory.mktemp("imap"), config=config).open()
    for name in ("alice", "mallory"):
        world.add_account(f"{name}@example.org", "secret")
    alice = session(world.port, "alice")
    ask(alice, b"CREATE private")
    for mailbox in (b"INBOX", b"private"):
        for _ in range(3):
            ask(alice, b"APPEND %b {%d+}\r\n%b" % (mailbox, len(SECRET), SECRET))
    ask(alice, b"SELECT private")
    ask(alice, b"STORE 1 +FLAGS (\\Deleted secretkeyword)")
    ask(alice, b"EXPUNGE")
    alice.close()
    yield world
    world.close()


def test_names_numbers_and_trees(world: ImapWorld) -> None:
    mallory = session(world.port, "mallory")
    alice, own = (world.account(f"{name}@example.org") for name in ("alice", "mallory"))
    heard = ask(mallory, b'LIST "" *') + ask(mallory, b'LSUB "" *') + ask(mallory, b'LIST "" "Deleted*"')
    names = [b"private", b"Deleted/private", b"Deleted/alice", b"alice/INBOX", b"#user/alice", b"../alice/INBOX"]
    names += [b"user/alice@example.org", b"~alice/INBOX", b"%d" % alice.id, alice.uuid.hex().encode()]
    for name in names:
        for command in (b"SELECT %b", b"EXAMINE %b", b"STATUS %b (MESSAGES)", b"DELETE %b", b"RENAME %b mine"):
            lines = ask(mallory, command % name)
            assert lines[-1].startswith((b"t NO", b"t BAD")), lines
            assert len(lines) == 1
            heard += lines
    ask(mallory, b"SELECT INBOX")
    for command in (b"UID FETCH 1:* (BODY.PEEK[])", b"UID FETCH 1:4294967295 (FLAGS)", b"UID SEARCH ALL"):
        heard += ask(mallory, command)
    heard += ask(mallory, b"UID COPY 1:* INBOX") + ask(mallory, b"UID STORE 1:* +FLAGS (\\Deleted)")
    heard += ask(mallory, b"UID EXPUNGE 1:*") + ask(mallory, b'SEARCH TEXT "secret"')
    said = b"\n".join(heard).lower()
    assert b"secret" not in said
    assert b"private" not in said.replace(b"alice", b"")
    assert b"fetch (" not in said
    assert own.id != alice.id
    mallory.close()
    again = session(world.port, "alice")
    assert b"MESSAGES 3" in ask(again, b"STATUS INBOX (MESSAGES)")[0]
    assert b"MESSAGES 2" in ask(again, b"STATUS private (MESSAGES)")[0]
    assert b"MESSAGES 1" in ask(again, b"STATUS Deleted/private (MESSAGES)")[0]
    again.close()


def test_answers_are_those_for_what_nobody_has(world: ImapWorld) -> None:
    """A name that another account has is answered as one that nobody has."""
    mallory = session(world.port, "mallory")
    for command in (b"SELECT %b", b"STATUS %b (MESSAGES)", b"DELETE %b", b"UNSUBSCRIBE %b", b"RENAME %b x"):
        theirs, nobodys = (ask(mallory, command % name) for name in (b"private", b"another"))
        assert theirs == nobodys
    mallory.close()


def test_keywords_of_others_do_not_show(world: ImapWorld) -> None:
    mallory = session(world.port, "mallory")
    assert not any(b"secretkeyword" in line for line in ask(mallory, b"SELECT INBOX"))
    mallory.close()


def test_maildrops(tmp_path_factory: pytest.TempPathFactory) -> None:
    room = Mailroom(tmp_path_factory.mktemp("room")).open()
    try:
        for name in ("alice", "mallory"):
            room.add_account(f"{name}@example.org", "secret")
        peer = Connection(room.lmtp_port)
        peer.send(b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n" + SECRET + b".\r\nQUIT\r\n")
        while not peer.line().startswith(b"221"):
            pass
        peer.close()
        listed = {}
        for name in ("alice", "mallory"):
            client = Connection(room.pop3_port)
            client.send(b"USER %b@example.org\r\nPASS secret\r\nUIDL\r\n" % name.encode())
            assert all(client.line().startswith(b"+OK") for _ in range(4))
            listed[name] = []
            while (line := client.line()) != b".":
                listed[name].append(line)
            if name == "mallory":
                unique = listed["alice"][0].split()[1]
                for command in (b"RETR 1", b"TOP 1 0", b"DELE 1", b"LIST 1", b"UIDL 1", b"RETR " + unique, b"RETR 0"):
                    client.send(command + b"\r\n")
                    assert client.line().startswith(b"-ERR"), command
            client.send(b"QUIT\r\n")
            client.line()
            client.close()
        assert len(listed["alice"]) == 1
        assert listed["mallory"] == []
        assert len(room.mail("alice@example.org")) == 1
    finally:
        room.close()


# Below the protocols: ids of another account, as if a check above had been forgotten


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("store")) as config, open_store(config) as store:
        yield store


def test_ids_of_another_account_name_nothing(store: Store) -> None:
    alice, mallory = store.account(), store.account()
    theirs = store.fill(alice, "INBOX", [(), ()])
    mine = store.mailbox(mallory).id
    before = store.snapshot(theirs).rows

    def read(fn: object, *args: object) -> object:
        return run(store.database.read("test", fn, *args))  # type: ignore[arg-type]

    assert read(mailboxes.by_id_txn, mallory.id, theirs) is None
    for attempt in (
        lambda: store_flags(store.tx, mallory, theirs, [1, 2], FlagMode.ADD, [b"\\Deleted"]),
        lambda: store_flags(store.tx, mallory, theirs, [], FlagMode.ADD, [b"x"]),
        lambda: expunge(store.tx, mallory, theirs, [1, 2]),
        lambda: append(store.tx, mallory, theirs, [NewMessage(blob(), (), NOW_US)]),
        lambda: copy(store.tx, mallory, theirs, [1, 2], mine),
        lambda: copy(store.tx, mallory, mine, [1], theirs),
        lambda: copy(store.tx, mallory, MailboxId(1 << 40), [1], mine),
    ):
        with pytest.raises(MailError):
            run(attempt())
    assert store.snapshot(theirs).rows == before
    assert store.uids(mine) == []
