"""The journal and `recover`: what a bucket gives back is what the rows said at the last round, and more."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lightmail.config import StorageConfig
from lightmail.errors import StartupError
from lightmail.jobs.epochs import KEY, decode
from lightmail.jobs.journal.segments import number_of
from lightmail.model import Account, FlagMode
from lightmail.objects.backends import open_store
from lightmail.operations import accounts, aliases, app_passwords, domains, mailboxes
from lightmail.operations.append import NewMessage, append
from lightmail.operations.copy import copy, move
from lightmail.operations.expunge import expunge
from lightmail.operations.flags import store_flags
from lightmail.store import progress
from lightmail.store.accounts import by_address_txn
from tests.support.actors import OPERATOR
from tests.support.journalkit import Mailroom, open_mailroom
from tests.support.reactor import run
from tests.support.seaweedfs import SeaweedFS, s3_config
from tests.support.storekit import BACKENDS


@pytest.fixture(params=BACKENDS)
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mailroom]:
    with open_mailroom(request.param, tmp_path) as opened:
        yield opened


def keys_of(picture: Any) -> dict[str, set[str]]:
    """Of each account the objects of its live messages."""
    return {
        address: {row[4] for _, _, live, _ in boxes.values() for row in live.values()}
        for address, (_, _, _, boxes) in picture.items()
    }


def expunge_all(room: Mailroom, account: Account, mailbox: Any, uids: list[int]) -> None:
    run(store_flags(room.store.tx, account, mailbox, uids, FlagMode.ADD, [b"\\Deleted"]))
    run(expunge(room.store.tx, account, mailbox, uids))


def fill(room: Mailroom, account: Account, name: str, last: int) -> None:
    """Give a mailbox rows up to the UID `last`, all for the object of its first message."""
    mailbox = room.store.mailbox(account, name).id
    there = 1
    while there < last:
        room.store.execute(
            "INSERT INTO messages (account, mailbox, uid, modseq, object, flags, internaldate_us, saved_us, octets)"
            " SELECT account, mailbox, uid + %s, 2, object, uid & 1, uid, uid, 10 FROM messages"
            " WHERE mailbox = %s AND uid <= %s",
            there,
            mailbox,
            last - there,
        )
        there *= 2
    room.store.execute("UPDATE mailboxes SET uidnext = %s WHERE id = %s", last + 1, mailbox)
    room.store.execute(
        "UPDATE account_usage SET octets = octets + %s, messages = messages + %s WHERE account = %s",
        10 * (last - 1),
        last - 1,
        account.id,
    )


class Life:
    """Somebody who does something to some account, always the same for one seed."""

    def __init__(self, room: Mailroom, seed: int) -> None:
        self.room = room
        self.random = random.Random(seed)
        self.accounts = [room.store.account() for _ in range(3)]

    def live(self, steps: int) -> None:
        for _ in range(steps):
            step = self.random.choice(
                [self.deliver, self.deliver, self.flag, self.expunge, self.copy, self.move, self.name, self.administer]
            )
            step(self.random.choice(self.accounts))

    def some(self, account: Account) -> tuple[Any, list[int]]:
        """A mailbox and some UIDs of it."""
        box = self.room.store.mailbox(account, self.random.choice(self.room.store.names(account)))
        uids = self.room.store.uids(box.id)
        return box, sorted(self.random.sample(uids, min(len(uids), self.random.randrange(1, 4))))

    def deliver(self, account: Account) -> None:
        flags = self.random.sample([b"\\Seen", b"\\Flagged", b"$Junk", b"Blue", b"red"], self.random.randrange(3))
        name = self.random.choice(self.room.store.names(account))
        self.room.put(account, name, self.random.randrange(1, 4), flags)

    def flag(self, account: Account) -> None:
        box, uids = self.some(account)
        names = self.random.choice([[b"\\Deleted"], [b"blue", b"Green"], [b"\\Answered"]])
        run(store_flags(self.room.store.tx, account, box.id, uids, self.random.choice(list(FlagMode)), names))

    def expunge(self, account: Account) -> None:
        box, uids = self.some(account)
        expunge_all(self.room, account, box.id, uids)

    def copy(self, account: Account) -> None:
        box, uids = self.some(account)
        run(copy(self.room.store.tx, account, box.id, uids, self.some(account)[0].id))

    def move(self, account: Account) -> None:
        box, uids = self.some(account)
        run(move(self.room.store.tx, account, box.id, uids, self.some(account)[0].id))

    def name(self, account: Account) -> None:
        tx, names = self.room.store.tx, self.room.store.names(account)
        own = [name for name in names if name.startswith("box")]
        fresh = f"box{self.random.randrange(10**9)}"
        if not own or self.random.random() < 0.5:
            run(mailboxes.create(tx, account, fresh))
            run(mailboxes.subscribe(tx, account, fresh))
        elif self.random.random() < 0.5:
            run(mailboxes.rename(tx, account, self.random.choice([*own, "INBOX"]), fresh))
        else:
            run(mailboxes.delete(tx, account, self.random.choice(own)))
            run(mailboxes.unsubscribe(tx, account, own[0]))

    def administer(self, account: Account) -> None:
        tx = self.room.store.tx
        change = accounts.Change(
            password_hash=f"hash{self.random.random()}",
            full_name=f"name {self.random.random()}",
            quota_octets=self.random.randrange(10**9, 10**10),
            quota_messages=10**6,
        )
        run(accounts.change_account(tx, OPERATOR, account.id, change))
        run(aliases.add_alias(tx, OPERATOR, f"alias{self.random.random()}@example.org", account.address))
        names = [f"{self.random.random()}" for _ in range(2)]
        issued = [run(app_passwords.add_app_password(tx, OPERATOR, account.id, name)) for name in names]
        run(app_passwords.revoke_app_password(tx, OPERATOR, issued[0].app_password.id))


@pytest.fixture
def far_room(s3_server: SeaweedFS, tmp_path: Path) -> Iterator[Mailroom]:
    """A mailroom as in production: MariaDB, and objects in an S3 server."""
    s3 = s3_config(s3_server, f"journal-{os.urandom(6).hex()}")
    with open_mailroom("mariadb", tmp_path, open_store(StorageConfig(driver="s3"), s3)) as opened:
        yield opened


@pytest.mark.mariadb
@pytest.mark.s3
def test_a_bucket_in_s3_gives_back_what_the_rows_said(far_room: Mailroom) -> None:
    life = Life(far_room, 3)
    journal = far_room.journal(changes=20, most_segments=4)
    for _ in range(4):
        life.live(8)
        run(journal.round())
    before = far_room.picture()
    late = life.accounts[0]
    far_room.put(late, "INBOX", 1)
    recovered, report = far_room.recover()
    assert report.arrivals == 1
    assert far_room.picture(recovered) != before
    last = recovered.uids(recovered.mailbox(account_of(recovered, late)).id)[-1]
    found = far_room.picture(recovered)
    del found[late.address][3]["INBOX", 0][2][last]
    assert {name: rows[3] for name, rows in found.items()} == {name: rows[3] for name, rows in before.items()}


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.heavy) for seed in range(2, 40))])
def test_a_bucket_gives_back_what_the_rows_said(room: Mailroom, seed: int) -> None:
    life = Life(room, seed)
    journal = room.journal(changes=random.Random(seed).choice([5, 1000]))
    for _ in range(4):
        life.live(12)
        run(journal.round())
    before = room.picture()
    aliases = room.store.count("SELECT COUNT(*) FROM aliases")
    recovered, report = room.recover()
    assert recovered.count("SELECT COUNT(*) FROM aliases") == aliases
    assert room.picture(recovered) == before
    assert report.arrivals == report.unplaced == report.missing_objects == report.damaged_objects == 0
    assert report.rebuilt is not None
    assert report.rebuilt.missing == 0


class Crash(Exception):
    """The process is gone at this point."""


def expire_lease(room: Mailroom) -> None:
    """As if the holder had not been heard of for long."""
    room.store.execute("UPDATE leases SET expires_at = 0")


def marks(room: Mailroom) -> int:
    return room.store.count("SELECT COALESCE(SUM(journal_modseq), 0) FROM mailboxes")


def test_a_round_without_changes_writes_nothing(room: Mailroom) -> None:
    room.put(room.store.account(), "INBOX", 2)
    journal = room.journal()
    run(journal.round())
    assert len(room.segments()) == 1
    run(journal.round())
    assert len(room.segments()) == 1
    run(journal.close())
    assert len(room.segments()) == 1


def test_a_crash_between_segment_and_marks_writes_it_twice(room: Mailroom) -> None:
    account = room.store.account()
    room.put(account, "INBOX", 3, [b"\\Seen", b"Blue"])

    def crash(key: str) -> None:
        if key.startswith("journal"):
            raise Crash

    room.objects.after = crash
    with pytest.raises(Crash):
        run(room.journal().round())
    assert (len(room.segments()), marks(room)) == (1, 0)
    room.objects.after = None
    before = room.picture()
    recovered, _ = room.recover()
    assert room.picture(recovered) == before  # what is there, is there
    expire_lease(room)
    run(room.journal().round())
    assert len(room.segments()) == 2
    assert marks(room) > 0
    recovered, report = room.recover()
    assert room.picture(recovered) == before
    assert report.arrivals == report.unplaced == 0


def test_who_lost_the_lease_moves_no_marks(room: Mailroom) -> None:
    account = room.store.account()
    room.put(account, "INBOX", 3)
    slow, quick = room.journal(), room.journal()

    def steal(key: str) -> None:
        if key.startswith("journal"):
            room.objects.after = None
            expire_lease(room)
            room.put(account, "INBOX", 1)
            run(quick.round())

    room.objects.after = steal
    run(slow.round())
    assert not slow.holds_lease
    assert quick.holds_lease
    level = marks(room)
    run(slow.round())  # which another holds
    assert marks(room) == level
    assert room.store.count("SELECT COUNT(*) FROM mailboxes WHERE highest_modseq > journal_modseq") == 0
    before = room.picture()
    recovered, report = room.recover()
    assert room.picture(recovered) == before
    assert len(room.segments()) == 2
    assert report.missing_segments == []


def test_what_came_after_the_last_round_comes_back_by_its_objects(room: Mailroom) -> None:
    account, other = room.store.account(), room.store.account()
    room.put(account, "INBOX", 2)
    run(room.journal().round())
    room.put(account, "INBOX", 1, text="late")
    run(mailboxes.create(room.store.tx, account, "New"))
    room.put(account, "New", 1)
    stranger = room.store.account()
    room.put(stranger, "INBOX", 1)
    old = room.store.count("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)") - 2 * 3_600_000_000
    orphan = room.blob(other, room.store.mailbox(other).id, born_us=old).key
    before = keys_of(room.picture())
    recovered, report = room.recover()
    after = room.picture(recovered)
    lost = f"{stranger.uuid.hex()}@lost-and-found.invalid"
    assert report.rebuilt is not None
    assert [found.address for found in report.rebuilt.lost_accounts] == [lost]
    found = keys_of(after)
    assert found[account.address] == before[account.address]
    assert found[lost] == before[stranger.address]
    assert found[other.address] == set()
    boxes = {name: len(live) for (name, _), (_, _, live, _) in after[account.address][3].items()}
    assert (boxes["INBOX"], boxes["Recovered"]) == (3, 1)
    assert (report.arrivals, report.unplaced) == (3, 1)
    # UIDs and ids that anyone may know of are not given again, nor a UIDVALIDITY.
    same = account_of(recovered, account)
    assert recovered.mailbox(same).uidvalidity > room.store.mailbox(account).uidvalidity
    assert recovered.count("SELECT COUNT(*) FROM accounts WHERE active = 0") == 1
    run(mailboxes.create(recovered.tx, same, "Next"))
    newest = room.store.count("SELECT MAX(id) FROM mailboxes")
    assert recovered.mailbox(same, "Next").id > newest
    _, report = room.recover(everything=True)
    assert report.unplaced == 0
    assert orphan.encode() in keys_of(room.picture(room.recover(everything=True)[0]))[other.address]


def account_of(store: Any, account: Account) -> Account:
    """The same account in another database."""
    found = run(store.database.read("test", by_address_txn, account.address))
    assert found is not None
    return found[0]


def test_no_journal_at_all(room: Mailroom) -> None:
    account = room.store.account()
    room.put(account, "INBOX", 3)
    room.put(account, "Sent", 2)
    recovered, report = room.recover()
    assert recovered.count("SELECT COUNT(*) FROM messages WHERE deleted_at = 0") == 5
    assert recovered.count("SELECT COUNT(*) FROM accounts") == 1
    assert report.certain_until_us == 0


def test_a_recovery_into_what_is_not_empty_is_refused(room: Mailroom) -> None:
    room.put(room.store.account(), "INBOX", 1)
    run(room.journal().round())
    recovered, _ = room.recover()
    for store in (recovered, room.store):
        with pytest.raises(StartupError, match="not empty"):
            room.recover_into(store)


def test_collection_is_frozen_and_the_epoch_higher_than_all_before(room: Mailroom) -> None:
    room.put(room.store.account(), "INBOX", 1)
    run(room.journal().round())
    recovered, _ = room.recover()
    assert recovered.count("SELECT COUNT(*) FROM collection WHERE frozen_at > 0") == 1
    first = recovered.count("SELECT epoch FROM store")
    assert first > room.store.count("SELECT epoch FROM store")
    again, _ = room.recover()
    assert again.count("SELECT epoch FROM store") > first


@pytest.mark.parametrize("harm", ["cut", "flipped", "gone"])
def test_a_harmed_segment_costs_its_changes_and_no_message(room: Mailroom, harm: str) -> None:
    account = room.store.account()
    journal = room.journal()
    for name in ("INBOX", "Sent", "Drafts"):
        room.put(account, name, 2)
        run(journal.round())
    uids = room.store.uids(room.store.mailbox(account).id)
    run(store_flags(room.store.tx, account, room.store.mailbox(account).id, uids, FlagMode.ADD, [b"\\Seen"]))
    room.put(account, "INBOX", 1)
    run(journal.round())
    before = room.picture()
    key = room.segments()[1]
    octets = room.objects.read(key, 0, 1 << 20)
    if harm == "gone":
        room.objects.delete([key])
    elif harm == "cut":
        room.objects.store.put(key, octets[: len(octets) // 2])
    else:
        room.objects.store.put(key, octets[:50] + bytes([octets[50] ^ 1]) + octets[51:])
    recovered, report = room.recover()
    assert (report.missing_segments == [2]) == (harm == "gone")
    assert ([name for name, _ in report.damaged_segments] == [key]) == (harm != "gone")
    assert keys_of(room.picture(recovered)) == keys_of(before)
    inbox = room.picture(recovered)[account.address][3]["INBOX", 0]
    assert inbox == before[account.address][3]["INBOX", 0]


def test_damaged_objects_are_left_out_and_listed(room: Mailroom) -> None:
    account = room.store.account()
    room.put(account, "INBOX", 3)
    run(room.journal().round())
    good, bad, gone = sorted(room.objects.keys("emails", "", 10))
    room.objects.store.put(bad, b"rubbish")
    room.objects.delete([gone])
    room.objects.store.put("emails/aa/not-ours.txt", b"x")
    recovered, report = room.recover()
    assert keys_of(room.picture(recovered))[account.address] == {good.encode()}
    assert (report.damaged, report.missing, report.foreign_keys) == ([bad], [gone], 1)
    assert recovered.usage(account_of(recovered, account))[1] == 1


def test_a_shared_object_comes_back_for_those_who_still_have_it(room: Mailroom) -> None:
    one, two = room.store.account(), room.store.account()
    boxes = [room.store.mailbox(account).id for account in (one, two)]
    blob = room.blob(one, boxes[0])
    for account, box in zip((one, two), boxes, strict=True):
        room.store.execute("DELETE FROM objects WHERE object_key = %s", b"-")
        if account is one:
            run(append(room.store.tx, account, box, [NewMessage(blob, (), 5)]))
        else:
            room.store.execute(
                "INSERT INTO messages (account, mailbox, uid, modseq, object, flags, internaldate_us, saved_us, octets)"
                " SELECT %s, %s, 1, 2, id, 0, 5, 5, octets FROM objects",
                account.id,
                box,
            )
            room.store.execute("UPDATE mailboxes SET uidnext = 2, highest_modseq = 2 WHERE id = %s", box)
    expunge_all(room, one, boxes[0], [1])
    run(room.journal().round())
    recovered, report = room.recover()
    found = keys_of(room.picture(recovered))
    assert (len(found[one.address]), len(found[two.address])) == (0, 1)
    assert report.arrivals == 0


def test_a_move_in_the_middle_of_a_round_loses_nothing(room: Mailroom) -> None:
    account = room.store.account()
    room.put(account, "Archive", 1)
    fill(room, account, "Archive", 1200)
    room.put(account, "Archive", 1, text="moved")
    archive, inbox = room.store.mailbox(account, "Archive").id, room.store.mailbox(account).id
    before = room.picture()
    moved: list[int] = []

    def interfere(key: str) -> None:
        if key.startswith("journal") and not moved:
            # INBOX has been journalled in this round, and the last rows of Archive have not been read yet.
            moved.append(room.store.uids(archive)[-1])
            run(move(room.store.tx, account, archive, moved, inbox))

    room.objects.after = interfere
    run(room.journal(changes=100).round())
    room.objects.after = None
    assert moved == [1201]
    assert keys_of(room.picture()) == keys_of(before)
    recovered, _ = room.recover()
    assert keys_of(room.picture(recovered)) == keys_of(room.picture())
    assert len(room.picture(recovered)[account.address][3]["INBOX", 0][2]) == 1


def test_many_changes_are_several_segments_and_one_state(room: Mailroom) -> None:
    account = room.store.account()
    room.put(account, "INBOX", 1)
    fill(room, account, "INBOX", 900)
    journal = room.journal(changes=300)
    run(journal.round())
    assert len(room.segments()) > 2
    run(store_flags(room.store.tx, account, room.store.mailbox(account).id, range(1, 901), FlagMode.ADD, [b"New"]))
    run(journal.round())
    before = room.picture()
    recovered, report = room.recover()
    assert room.picture(recovered) == before
    assert report.rebuilt is not None
    assert report.rebuilt.messages == 900


def test_pictures_supersede_old_segments(room: Mailroom) -> None:
    life = Life(room, 5)
    journal = room.journal(changes=20, most_segments=6)
    numbers: list[int] = []
    for _ in range(14):
        life.live(3)
        run(journal.round())
        segments = room.segments()
        numbers.append(len(segments))
        if len(numbers) % 5 == 0:
            before = room.picture()
            recovered, report = room.recover()
            assert room.picture(recovered) == before
            assert report.missing_segments == []
    assert number_of(room.segments()[0]) != 1
    assert max(numbers) < 60
    # A database that the bucket does not know may remove nothing.
    room.store.execute("UPDATE collection SET frozen_at = 1")
    first = room.segments()[0]
    for _ in range(14):
        life.live(1)
        run(journal.round())
    assert room.segments()[0] == first
    room.store.execute("UPDATE collection SET frozen_at = 0")
    run(journal.round())
    assert room.segments()[0] != first
    recovered, _ = room.recover()
    assert room.picture(recovered) == room.picture()


def test_a_crash_before_old_segments_are_gone_is_made_good(room: Mailroom) -> None:
    account = room.store.account()
    journal = room.journal(most_segments=3)
    for _ in range(3):
        room.put(account, "INBOX")
        run(journal.round())
    old = set(room.segments())
    deletes = []

    def delete(keys: list[str]) -> None:
        deletes.append(keys)
        raise Crash

    room.objects.delete = delete  # type: ignore[attr-defined]
    room.put(account, "INBOX")
    with pytest.raises(Crash):
        run(journal.round())
    assert deletes
    assert old < set(room.segments())
    del room.objects.delete  # type: ignore[attr-defined]
    expire_lease(room)
    run(room.journal().round())
    assert not old & set(room.segments())
    recovered, _ = room.recover()
    assert room.picture(recovered) == room.picture()


def test_a_higher_epoch_supersedes_what_was_lost(room: Mailroom) -> None:
    account = room.store.account()
    room.put(account, "INBOX", 2)
    run(room.journal().round())
    room.put(account, "INBOX", 1)
    run(room.journal().close())
    expire_lease(room)
    run(room.journal().round())
    # The database as it was before: the last message is not in it, and its UID is free.
    inbox = room.store.mailbox(account).id
    room.store.execute("DELETE FROM messages WHERE uid = 3")
    room.store.execute("UPDATE mailboxes SET uidnext = 3, highest_modseq = 2, journal_modseq = 2 WHERE id = %s", inbox)
    room.store.execute("UPDATE store SET epoch = epoch + 1")
    room.store.execute("UPDATE mailboxes SET epoch = epoch + 1")
    room.store.execute("UPDATE account_usage SET messages = 2, octets = (SELECT SUM(octets) FROM messages)")
    room.store.execute("DELETE FROM job_progress")
    expire_lease(room)
    run(room.journal().round())
    before = room.picture()
    recovered, _ = room.recover()
    live = room.picture(recovered)[account.address][3]["INBOX", 0][2]
    # What no row says came within the hour, and belongs to nobody else: it comes back, under another UID.
    assert {uid: live[uid] for uid in (1, 2)} == before[account.address][3]["INBOX", 0][2]


def test_a_database_behind_its_journal_is_noticed(room: Mailroom) -> None:
    account = room.store.account()
    journal = room.journal()
    for _ in range(3):
        room.put(account, "INBOX", 1)
        run(journal.round())
    epoch, inbox = room.store.count("SELECT epoch FROM store"), room.store.mailbox(account).id
    # As a backup has it that was made after the first round; no pass of the collector came between.
    room.store.execute("DELETE FROM messages WHERE uid > 1")
    room.store.execute("UPDATE mailboxes SET uidnext = 2, highest_modseq = 2, journal_modseq = 2 WHERE id = %s", inbox)
    room.store.execute("UPDATE account_usage SET messages = 1, octets = (SELECT octets FROM messages)")
    state = run(room.store.database.read("test", progress.read_txn, "journal/0")) or {}
    run(room.store.database.run("test", progress.write_txn, "journal/0", {**state, "number": 2}))
    expire_lease(room)
    room.put(account, "INBOX", 1, text="told otherwise")
    run(room.journal().round())
    assert room.store.count("SELECT epoch FROM store") == epoch + 1
    assert room.store.count("SELECT COUNT(*) FROM collection WHERE frozen_at > 0") == 1
    # Were the same backup restored once more, the bucket must know that this epoch has been.
    assert decode(room.objects.read(KEY, 0, 4096)).epoch == epoch + 1
    before = room.picture()[account.address][3]["INBOX", 0][2]
    recovered, _ = room.recover()
    after = room.picture(recovered)[account.address][3]["INBOX", 0][2]
    assert {uid: after[uid] for uid in before} == before


def test_a_recovered_database_goes_on_with_its_journal(room: Mailroom) -> None:
    account = room.store.account()
    room.put(account, "INBOX", 2)
    run(room.journal().close())
    run(room.journal().round())
    recovered, _ = room.recover()
    epoch = recovered.count("SELECT epoch FROM store")
    room.store = recovered
    room.put(account_of(recovered, account), "INBOX", 1)
    run(room.journal().round())
    assert recovered.count("SELECT epoch FROM store") == epoch
    before = room.picture()
    again, report = room.recover()
    assert room.picture(again) == before
    assert report.missing_segments == []


def test_deleted_accounts_and_limits_of_domains_come_back_as_they_were(room: Mailroom) -> None:
    tx = room.store.tx
    account, other = room.store.account(), room.store.account()
    room.put(account, "INBOX", 2, [b"Blue"])
    run(accounts.change_account(tx, OPERATOR, other.id, accounts.Change(active=False)))
    run(domains.add_domain(tx, OPERATOR, "example.net"))
    room.store.execute(
        "INSERT INTO domain_limits (domain, accounts) SELECT id, 7 FROM domains WHERE name = %s", b"example.net"
    )
    journal = room.journal()
    run(journal.round())
    run(accounts.delete_account(tx, OPERATOR, account.id))
    again = run(accounts.add_account(tx, OPERATOR, account.address, "hash"))
    room.put(again, "INBOX", 1)
    run(journal.round())
    recovered, report = room.recover()
    limit = "SELECT accounts FROM domain_limits l JOIN domains d ON d.id = l.domain WHERE d.name = %s"
    assert recovered.count(limit, b"example.net") == 7
    assert recovered.count("SELECT COUNT(*) FROM accounts WHERE active = 0") == 1
    assert recovered.usage(account_of(recovered, again))[1] == 1
    assert account_of(recovered, again).uuid == again.uuid
    deleted = (
        "SELECT COUNT(*) FROM messages m JOIN accounts a ON a.id = m.account WHERE a.uuid = %s AND a.deleted_at > 0"
    )
    assert recovered.count(deleted, account.uuid) == 2
    assert report.rebuilt is not None
    assert (report.arrivals, report.rebuilt.lost_accounts) == (0, [])
