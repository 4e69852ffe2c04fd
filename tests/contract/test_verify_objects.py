"""The contract of verifying where objects are concerned, over every database and every store of objects."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lightmail.config import S3Config, StorageConfig
from lightmail.jobs.verify import Finding, Hands, Options, verify
from lightmail.model import BlobRef, MailboxId, ObjectId
from lightmail.objects.backends import ObjectStore
from lightmail.objects.backends import open_store as open_objects
from lightmail.objects.codecs import READERS
from lightmail.objects.container import FRAME_OCTETS, Frames
from lightmail.objects.header import ObjectHeader
from lightmail.objects.keys import new_key
from lightmail.operations import collect
from lightmail.store import blobs
from tests.support.reactor import run
from tests.support.seaweedfs import s3_config
from tests.support.storekit import NOW_US, fresh_config, open_store
from tests.support.verifying import findings
from tests.support.verifykit import House, noise, open_house

DAY_US = 86_400_000_000
# Each backend once; all four combinations under `make test-all`.
STACKS = [
    ("sqlite", "directory"),
    pytest.param(("sqlite", "s3"), marks=[pytest.mark.s3, pytest.mark.heavy]),
    pytest.param(("mariadb", "directory"), marks=[pytest.mark.mariadb, pytest.mark.heavy]),
    pytest.param(("mariadb", "s3"), marks=[pytest.mark.mariadb, pytest.mark.s3]),
]


def objects_of(kind: str, directory: Path, request: pytest.FixtureRequest) -> ObjectStore:
    s3: S3Config | None = None
    if kind == "s3":
        s3 = s3_config(request.getfixturevalue("s3_server"), f"verify-{os.urandom(6).hex()}")
    objects = open_objects(StorageConfig(driver=kind, path=str(directory / "objects")), s3)
    objects.check()
    return objects


@pytest.fixture(scope="module", params=STACKS, ids="-".join)
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    rows, objects = request.param
    directory = tmp_path_factory.mktemp("house")
    with (
        fresh_config(rows, directory) as config,
        open_store(config) as store,
        open_house(store, objects_of(objects, directory, request), directory) as opened,
    ):
        yield opened


@dataclass
class Scene:
    """An account with three small messages and one of two frames; UID 2 and UID 4 are for breaking."""

    house: House
    mailbox: MailboxId
    object: int
    ref: BlobRef
    large: BlobRef

    def replace(self, ref: BlobRef, octets: bytes) -> None:
        self.house.objects.put(ref.key, octets)

    def flip(self, ref: BlobRef, place: int) -> None:
        octets = self.house.octets(ref.key)
        place %= len(octets)
        self.replace(ref, octets[:place] + bytes([octets[place] ^ 0xFF]) + octets[place + 1 :])


@pytest.fixture(scope="module")
def mailbox(house: House) -> MailboxId:
    account = house.store.account()
    mailbox = house.fill(account, count=3)
    run(house.put_in(account, mailbox, b"Subject: large\r\n\r\n" + noise(FRAME_OCTETS + 5000)))
    return mailbox


@pytest.fixture
def scene(house: House, mailbox: MailboxId) -> Iterator[Scene]:
    (object_, ref), (_, large) = house.ref(mailbox, 2), house.ref(mailbox, 4)
    kept = {each.key: house.octets(each.key) for each in (ref, large)}
    yield Scene(house, mailbox, object_, ref, large)
    for key, octets in kept.items():
        house.objects.put(key, octets)
    assert house.kinds(deep=True) == set(), "an object that is brought back makes the store whole again"


def test_a_missing_object_is_found_and_its_message_is_left_alone(scene: Scene) -> None:
    scene.house.objects.delete([scene.ref.key])
    for deep in (False, True):
        report, found = scene.house.verify(deep=deep, mending=True)
        assert report.counts == {"object-absent": (1, 0)}
        assert (found[0].mailbox, found[0].uid, found[0].key) == ("INBOX", 2, scene.ref.key)
    assert scene.house.store.uids(scene.mailbox) == [1, 2, 3, 4]


def test_a_condemned_object_that_is_gone_stays_a_finding(scene: Scene) -> None:
    scene.house.store.execute("UPDATE objects SET state = 3 WHERE id = %s", scene.object)
    scene.house.store.execute(
        "INSERT INTO condemned (object, since_us, reason) VALUES (%s, 1, %s)", scene.object, b"test"
    )
    scene.house.objects.delete([scene.ref.key])
    # What it is acquitted of does not bring it back: the next run sees that it is gone.
    scene.house.verify(mending=True)
    assert scene.house.kinds(mending=True) == {"object-absent"}


@pytest.mark.parametrize("place", [0, 5, 20, -1])
def test_damage_is_found_by_a_deep_run_and_only_there(scene: Scene, place: int) -> None:
    scene.flip(scene.ref, place)
    assert scene.house.kinds() == set()
    # Where a header ends that cannot be read, no reader of the message knows either.
    damaged = "object-misdescribed" if place == 20 else "object-damaged"
    report, found = scene.house.verify(deep=True, mending=True)
    assert report.counts == {damaged: (1, 0)}
    assert found[0].uid == 2


def test_damage_in_header_frames_and_seek_table_of_a_large_object_is_found(scene: Scene) -> None:
    offsets = Frames.unpack(scene.large.frames).offsets
    whole = scene.house.octets(scene.large.key)
    places = {
        "object-misdescribed": (1, offsets[0] - 3, offsets[-1] + 9, -1),
        "object-damaged": (offsets[0] + 1, offsets[1] - 1, offsets[1] + 20),
    }
    for kind, damaged in places.items():
        for place in damaged:
            scene.flip(scene.large, place)
            assert scene.house.kinds(deep=True) == {kind}, place
            scene.replace(scene.large, whole)


@pytest.mark.parametrize("column", ["octets = octets + 1", "stored_octets = 3", "sha256 = x'00'", "codec = x'6c7a34'"])
def test_a_row_that_is_wrong_about_its_object_is_corrected(scene: Scene, column: str) -> None:
    if column.startswith("sha256"):
        column = "sha256 = x'" + "00" * 32 + "'"
    for uid in (2, 4):
        id_, before = scene.house.ref(scene.mailbox, uid)
        scene.house.store.execute(f"UPDATE objects SET {column} WHERE id = %s", id_)  # noqa: S608
        report, found = scene.house.verify(deep=True, mending=True)
        assert report.clean, [finding.line() for finding in found]
        assert report.counts["object-row-differs"] == (1, 1)
        assert scene.house.ref(scene.mailbox, uid) == (id_, before)


def test_a_row_that_leads_to_somebody_elses_object_is_not_made_to_agree_with_it(scene: Scene) -> None:
    other = scene.house.store.account()
    mailbox = scene.house.fill(other, count=1)
    _, theirs = scene.house.ref(mailbox, 1)
    spare = f"{theirs.key[:-8]}.away{theirs.key[-8:]}"
    swap = "UPDATE objects SET object_key = %s WHERE object_key = %s"
    keys = (scene.ref.key.encode(), theirs.key.encode(), spare.encode())

    def swapped() -> None:
        for to, of in ((keys[2], keys[0]), (keys[0], keys[1]), (keys[1], keys[2])):
            scene.house.store.execute(swap, to, of)

    swapped()
    report, found = scene.house.verify(deep=True, mending=True)
    assert report.counts == {"object-of-others": (2, 0), "object-row-differs": (2, 0)}
    assert {finding.key for finding in found} == {scene.ref.key, theirs.key}
    swapped()


def test_a_header_that_tells_another_date_or_owner_is_found(scene: Scene) -> None:
    whole = scene.house.octets(scene.ref.key)
    codec = READERS[scene.ref.codec]
    start, stop, length = codec.header_extent(whole)
    header = ObjectHeader.unpack(whole[start:stop])
    for changed, kind in (
        (replace(header, internaldate_us=NOW_US + 1), "object-misdescribed"),
        (replace(header, owners=((bytes(16), scene.mailbox),)), "object-of-others"),
    ):
        forged = codec.enclose_header(changed.pack()) + whole[length:]
        scene.house.store.execute("UPDATE objects SET stored_octets = %s WHERE id = %s", len(forged), scene.object)
        scene.replace(scene.ref, forged)
        assert scene.house.kinds(deep=True) == {kind}
    scene.house.store.execute("UPDATE objects SET stored_octets = %s WHERE id = %s", len(whole), scene.object)


def test_a_rendering_that_is_missing_or_differs_is_made_anew(scene: Scene) -> None:
    def stored() -> tuple[bytes, bytes]:
        ids = [ObjectId(scene.object)]
        return run(scene.house.store.database.read("test", blobs.envelopes_txn, ids))[ids[0]]

    fresh = stored()
    for sql, kind in (
        ("UPDATE renderings SET envelope = x'00' WHERE object = %s", "rendering-differs"),
        ("UPDATE renderings SET header_zstd = x'00' WHERE object = %s", "rendering-differs"),
        ("UPDATE renderings SET subject = x'61', sent_us = 5 WHERE object = %s", "rendering-differs"),
        ("DELETE FROM renderings WHERE object = %s", "rendering-missing"),
    ):
        scene.house.store.execute(sql, scene.object)
        assert scene.house.kinds() == set()
        assert scene.house.kinds(deep=True) == {kind}
        assert scene.house.verify(deep=True, mending=True)[0].clean
        assert stored() == fresh
    # Another version is as it should be, whatever it says: a job of its own renders anew.
    scene.house.store.execute(
        "UPDATE renderings SET envelope = x'00', render_version = 0 WHERE object = %s", scene.object
    )
    assert scene.house.kinds(deep=True) == set()
    scene.house.store.execute("DELETE FROM renderings WHERE object = %s", scene.object)
    scene.house.verify(deep=True, mending=True)


def test_a_rendering_made_anew_takes_snapshots_with_it(scene: Scene) -> None:
    """Their chunks may hold what was wrong."""
    store = scene.house.store
    (mailbox,) = {row[0] for row in store.rows("SELECT mailbox FROM messages WHERE object = %s", scene.object)}
    store.execute(
        "INSERT INTO snapshots (mailbox, account, object_key, octets, sha256, epoch, uidvalidity, modseq, messages,"
        " written_at) SELECT id, account, %s, 1, %s, epoch, uidvalidity, highest_modseq, 1, 1 FROM mailboxes"
        " WHERE id = %s",
        b"indexes/00/x.index",
        bytes(32),
        mailbox,
    )
    in_use = "INSERT INTO snapshot_objects (object_key, mailbox, octets) VALUES (%s, %s, 1)"
    store.execute(in_use, b"indexes/00/x.index", mailbox)
    store.execute("UPDATE renderings SET envelope = x'00' WHERE object = %s", scene.object)
    assert scene.house.verify(deep=True, mending=True)[0].clean
    assert store.count("SELECT COUNT(*) FROM snapshots") == 0
    assert store.count("SELECT COUNT(*) FROM snapshot_objects WHERE dropped_at = 0") == 0
    store.execute("DELETE FROM snapshot_objects")


def test_an_orphan_is_quarantined_and_never_deleted(scene: Scene) -> None:
    now_us = time.time_ns() // 1000
    old, young = new_key("zstd", now_us - 2 * DAY_US), new_key("zstd", now_us - DAY_US // 2)
    for key in (old, young):
        scene.house.objects.put(key, b"nobody's")
    # While collection is frozen it may be mail of a time that the database has lost.
    freeze = "UPDATE collection SET frozen_at = %s"
    scene.house.store.execute(freeze, 1)
    assert scene.house.verify(mending=True)[0].counts == {"orphan": (1, 0)}
    scene.house.store.execute(freeze, 0)
    report, found = scene.house.verify(mending=True)
    assert [(finding.kind, finding.key, finding.repaired) for finding in found] == [("orphan", old, True)]
    assert report.clean
    states = dict(scene.house.store.rows("SELECT object_key, state FROM objects WHERE state <> 1"))
    assert states == {old.encode(): 2}
    assert scene.house.objects.size(old) == len(b"nobody's")
    assert scene.house.kinds(deep=True) == set()
    _, found = findings(
        scene.house.store.tx,
        scene.house.objects,
        options=Options(restart=True, deep=True),
        clock=lambda: time.time() + 86_400,
    )
    assert [finding.key for finding in found] == [young]
    scene.house.store.execute("DELETE FROM condemned")
    scene.house.store.execute("DELETE FROM objects WHERE state = 2")
    scene.house.objects.delete([old, young])


def test_a_quarantined_object_that_a_message_refers_to_is_made_live(scene: Scene) -> None:
    scene.house.store.execute("UPDATE objects SET state = 2 WHERE id = %s", scene.object)
    scene.house.store.execute(
        "INSERT INTO condemned (object, since_us, reason) VALUES (%s, 1, %s)", scene.object, b"test"
    )
    assert scene.house.verify(mending=True)[0].counts == {"object-not-live": (1, 1)}
    assert run(collect.acquit(scene.house.store.database, [ObjectId(scene.object)])) == 0


def test_a_key_that_is_none_of_ours_is_told_of(scene: Scene) -> None:
    scene.house.objects.put("emails/ab/notes.txt", b"mine")
    try:
        report, found = scene.house.verify(mending=True)
        assert [(finding.kind, finding.key) for finding in found] == [("foreign-key", "emails/ab/notes.txt")]
        assert not report.clean
    finally:
        scene.house.objects.delete(["emails/ab/notes.txt"])


def test_one_accounts_objects_are_looked_at_alone(scene: Scene) -> None:
    other = scene.house.store.account()
    mailbox = scene.house.fill(other, count=2)
    _, ref = scene.house.ref(mailbox, 1)
    octets = scene.house.octets(ref.key)
    scene.house.objects.delete([scene.ref.key, ref.key])
    for deep in (False, True):
        _, found = scene.house.verify(account=other.id, deep=deep)
        assert [finding.key for finding in found] == [ref.key]
    scene.house.objects.put(ref.key, octets)


class Interrupted(Exception):
    """The run is stopped here."""


def test_an_interrupted_run_goes_on_and_counts_everything_once(scene: Scene) -> None:
    house = scene.house
    account = house.store.account()
    mailbox = house.fill(account, count=40)
    deleted = [house.ref(mailbox, uid)[1].key for uid in (1, 20, 40)]
    kept = {key: house.octets(key) for key in deleted}
    house.objects.delete(deleted)
    found: list[Finding] = []
    steps = 0

    def progress(name: str, _done: float) -> None:
        nonlocal steps
        steps += 1
        if name == "contents" and steps >= stop_at:
            raise Interrupted

    async def go(**options: Any) -> Any:
        hands = Hands(house.store.tx, house.objects, house.pool)
        return await verify(
            hands, Options(deep=True, readers=1, **options), found=found.append, progress=progress, note_seconds=0
        )

    stop_at = 5
    with pytest.raises(Interrupted):
        run(go())
    stop_at = 10**9
    report = run(go())
    assert report.resumed
    assert report.counts == {"object-absent": (3, 0)}
    assert {finding.uid for finding in found} == {1, 20, 40}
    everything = int(house.store.rows("SELECT COUNT(*) FROM objects WHERE state = 1")[0][0])
    assert report.looked["contents"] == everything
    # The next one begins anew, as does one that is told to.
    assert not run(go()).resumed
    stop_at, steps = 5, 0
    with pytest.raises(Interrupted):
        run(go())
    stop_at = 10**9
    assert not run(go(restart=True)).resumed
    for key, octets in kept.items():
        house.objects.put(key, octets)
