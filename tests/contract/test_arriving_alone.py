"""A message that arrives while nobody writes: one thread makes its object and its rows, in the order of writes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from lightmail.errors import NoSuchDestination, OverQuota, Unavailable
from lightmail.model import Account, BlobRef, MailboxId
from lightmail.objects.blobs import Blobs, Making
from lightmail.objects.directory import DirectoryStore
from lightmail.objects.spool import Spools
from lightmail.operations.append import Appended, bring
from lightmail.operations.deliver import Delivered, Duplicate, Recipient, deliver
from lightmail.operations.mailboxes import rename
from lightmail.threads import BoundedPool
from tests.support.reactor import call, run
from tests.support.storekit import BACKENDS, NOW_US, Store, fresh_config, open_store

MESSAGE = b"Subject: alone\r\n\r\nbody\r\n"


class Watched(DirectoryStore):
    """A directory of objects that notes what is put into it, or raises `trouble` instead."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.keys_put: list[str] = []
        self.trouble: Exception | None = None

    def put(self, key: str, body: bytes | BinaryIO) -> None:
        if self.trouble is not None:
            raise self.trouble
        super().put(key, body)
        self.keys_put.append(key)


@dataclass
class Room:
    """Rows, objects, and a pool for objects that is not started: whoever needs it is refused."""

    rows: Store
    objects: Watched
    pool: BoundedPool
    spools: Spools
    blobs: Blobs
    account: Account = field(init=False)
    inbox: MailboxId = field(init=False)

    def __post_init__(self) -> None:
        self.account = self.rows.account(quota_messages=3)
        self.inbox = self.rows.mailbox(self.account).id

    def making(self, octets: bytes = MESSAGE) -> Making:
        spool = self.spools.new()
        spool.write(octets)
        return self.blobs.making(spool, internaldate_us=NOW_US, owners=[(self.account.uuid, self.inbox)])

    async def bring(self, octets: bytes = MESSAGE, name: str | None = None) -> Appended:
        return await bring(self.rows.tx, self.account, self.inbox, self.making(octets), (b"\\Seen",), NOW_US, name)

    def stored(self) -> list[str]:
        found = self.rows.rows(
            "SELECT o.object_key FROM objects o JOIN messages m ON m.object = o.id WHERE m.mailbox = %s ORDER BY m.uid",
            self.inbox,
        )
        return [key.decode() for (key,) in found]


@pytest.fixture(params=BACKENDS)
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Room]:
    with fresh_config(request.param, tmp_path) as config, open_store(config) as rows:
        objects = Watched(str(tmp_path / "objects"))
        objects.check()
        pool = BoundedPool("objects", threads=2, queue=100, reactor=reactor)
        yield Room(rows, objects, pool, Spools(pool, str(tmp_path)), Blobs(objects, pool))
        run(pool.stop())


def test_it_needs_no_other_thread_than_its_transaction_s(room: Room) -> None:
    appended = run(room.bring())
    assert appended.uids == [1]
    assert room.stored() == room.objects.keys_put
    assert room.rows.flags(room.inbox) == {1: {b"\\Seen"}}
    size = room.objects.size(room.objects.keys_put[0])
    assert size is not None
    call(room.pool.start)
    ref = BlobRef(
        room.account.uuid, room.objects.keys_put[0], len(MESSAGE), size, "zstd", hashlib.sha256(MESSAGE).digest(), b""
    )
    assert run(room.blobs.read(ref)) == MESSAGE


def test_its_object_is_made_once_however_often_the_transaction_runs(room: Room) -> None:
    for _ in range(3):
        run(room.bring())
    with pytest.raises(OverQuota):
        run(room.bring())
    assert len(room.objects.keys_put) == 4, "the transaction ran again to refuse it"
    assert room.stored() == room.objects.keys_put[:3]


def test_what_keeps_it_from_being_stored_is_its_answer_and_leaves_no_row(room: Room) -> None:
    room.objects.trouble = Unavailable()
    with pytest.raises(Unavailable):
        run(room.bring())
    room.objects.trouble = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        run(room.bring())
    assert room.stored() == []
    assert room.rows.mailbox(room.account).highest_modseq == 1
    room.objects.trouble = None
    assert run(room.bring()).uids == [1]


def test_among_others_each_is_stored_by_the_pool_and_they_share_a_commit(room: Room) -> None:
    call(room.pool.start)

    async def three() -> Sequence[Appended]:
        return await gatherResults([Deferred.fromCoroutine(room.bring(MESSAGE + b"%d" % k)) for k in range(3)])

    answers = run(three())
    assert sorted(uid for answer in answers for uid in answer.uids) == [1, 2, 3]
    assert sorted(room.stored()) == sorted(room.objects.keys_put)


@pytest.mark.parametrize("octets", [300 << 10, 2 << 20])
def test_a_large_one_takes_no_time_of_the_transactions_thread(room: Room, octets: int) -> None:
    with pytest.raises(Unavailable):
        run(room.bring(MESSAGE + bytes(octets)))
    call(room.pool.start)
    assert run(room.bring(MESSAGE + bytes(octets))).uids == [1]


def test_the_mailbox_must_have_its_name_still(room: Room) -> None:
    run(room.bring(name="INBOX"))
    room.inbox = room.rows.fill(room.account, "Archive", [()])
    run(rename(room.rows.tx, room.account, "Archive", "Elsewhere"))
    with pytest.raises(NoSuchDestination):
        run(room.bring(name="Archive"))
    assert run(room.bring(name="Elsewhere")).uids == [2]


def test_a_delivery_that_comes_alone_is_known_when_it_comes_again(room: Room) -> None:
    async def once() -> list[Any]:
        to = [Recipient(room.account, room.inbox, "ada@example.org")]
        return list(await deliver(room.rows.tx, room.making(), "s@example.net", bytes(32), to, NOW_US))

    assert run(once()) == [Delivered(1)]
    assert run(once()) == [Duplicate()]
    assert room.stored() == room.objects.keys_put[:1]
