"""The contract of verifying: what is broken by hand is found, exactly that, and repaired where that is promised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lightmail.config import StorageConfig
from lightmail.jobs.verify import CHECKS
from lightmail.model import Account, FlagMode, MailboxId
from lightmail.objects.backends import open_store as open_objects
from lightmail.operations.accounts import delete_account
from lightmail.operations.copy import copy
from lightmail.operations.expunge import expunge
from lightmail.operations.flags import store_flags
from lightmail.operations.mailboxes import create
from lightmail.store.suspects import MESSAGES, TABLES
from tests.support.actors import OPERATOR
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, fresh_config, open_store
from tests.support.verifykit import House, open_house

GONE = 999_999_999


@pytest.fixture(scope="module", params=BACKENDS)
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("house")
    objects = open_objects(StorageConfig(driver="directory", path=str(directory / "objects")), None)
    objects.check()
    with (
        fresh_config(request.param, directory) as config,
        open_store(config) as store,
        open_house(store, objects, directory) as opened,
    ):
        yield opened


@dataclass
class Scene:
    """What a test may break: an account, a mailbox with four messages, UID 4 of them expunged, and an empty one."""

    house: House
    account: Account
    mailbox: MailboxId
    spare: MailboxId

    def execute(self, sql: str, *params: Any) -> None:
        self.house.store.execute(sql, *params)

    def value(self, sql: str, *params: Any) -> int:
        return self.house.store.count(sql, *params)

    def object(self, uid: int) -> int:
        return self.house.ref(self.mailbox, uid)[0]


@pytest.fixture
def scene(house: House) -> Iterator[Scene]:
    account = house.store.account()
    mailbox = house.fill(account, "Archive", 4)
    run(store_flags(house.store.tx, account, mailbox, [1], FlagMode.ADD, [b"$Label"]))
    run(store_flags(house.store.tx, account, mailbox, [4], FlagMode.ADD, [b"\\Deleted"]))
    run(expunge(house.store.tx, account, mailbox, None))
    yield Scene(house, account, mailbox, house.store.mailbox(account, "Junk").id)
    assert house.kinds() == set(), "a test leaves the store as it ought to be"


@dataclass(frozen=True)
class Case:
    """A fault: how it is made, what else it brings with it, and how a test undoes what no repair does."""

    kind: str
    make: Callable[[Scene], None]
    also: frozenset[str] = frozenset()
    undo: Callable[[Scene], None] | None = None


def case(kind: str, make: Callable[[Scene], None], *also: str, undo: Callable[[Scene], None] | None = None) -> Case:
    return Case(kind, make, frozenset(also), undo)


def of_message(assignment: str, uid: int = 2) -> Callable[[Scene], None]:
    sql = f"UPDATE messages SET {assignment} WHERE mailbox = %s AND uid = %s"  # noqa: S608
    return lambda scene: scene.execute(sql, scene.mailbox, uid)


def of_mailbox(assignment: str) -> Callable[[Scene], None]:
    sql = f"UPDATE mailboxes SET {assignment} WHERE id = %s"  # noqa: S608
    return lambda scene: scene.execute(sql, scene.mailbox)


def of_account(sql: str) -> Callable[[Scene], None]:
    return lambda scene: scene.execute(sql, scene.account.id)


def inserted(table: str, **values: Any) -> Callable[[Scene], None]:
    marks = ", ".join(["%s"] * len(values))
    sql = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})"  # noqa: S608
    return lambda scene: scene.execute(sql, *values.values())


def condemn_a_referred_object(scene: Scene) -> None:
    scene.execute("UPDATE objects SET state = 3 WHERE id = %s", scene.object(2))
    scene.execute("INSERT INTO condemned (object, since_us, reason) VALUES (%s, 1, %s)", scene.object(2), b"test")


def mark_a_live_object(scene: Scene) -> None:
    scene.execute("INSERT INTO condemned (object, since_us, reason) VALUES (%s, 1, %s)", scene.object(2), b"test")


def leave_a_mailbox_of_a_deleted_account(scene: Scene) -> None:
    other = scene.house.store.account()
    mailbox = scene.house.store.mailbox(other).id
    run(delete_account(scene.house.store.tx, OPERATOR, other.id))
    scene.execute("UPDATE mailboxes SET deleted_at = 0 WHERE id = %s", mailbox)


def lose_an_object_row(scene: Scene) -> None:
    scene.execute("UPDATE messages SET object = %s WHERE mailbox = %s AND uid = 2", GONE, scene.mailbox)


def expunge_the_lost_one(scene: Scene) -> None:
    run(store_flags(scene.house.store.tx, scene.account, scene.mailbox, [2], FlagMode.ADD, [b"\\Deleted"]))
    run(expunge(scene.house.store.tx, scene.account, scene.mailbox, None))
    scene.execute("UPDATE messages SET object = NULL WHERE mailbox = %s AND uid = 2", scene.mailbox)


def set_spare(assignment: str) -> Callable[[Scene], None]:
    sql = f"UPDATE mailboxes SET {assignment} WHERE id = %s"  # noqa: S608
    return lambda scene: scene.execute(sql, scene.spare)


def give_spare_back(scene: Scene) -> None:
    scene.execute("UPDATE mailboxes SET account = %s WHERE id = %s", scene.account.id, scene.spare)


def domain_back(scene: Scene) -> None:
    scene.execute("UPDATE accounts SET domain = (SELECT MIN(id) FROM domains) WHERE id = %s", scene.account.id)


CASES = [
    case(
        "message-without-mailbox",
        lambda scene: scene.execute("DELETE FROM mailboxes WHERE id = %s", scene.mailbox),
        "usage-differs",
        "keyword-without-mailbox",
    ),
    case("message-of-other-account", of_message(f"account = {GONE}")),
    case("uid-not-below-uidnext", of_mailbox("uidnext = 2")),
    case("modseq-above-mailbox", of_mailbox("highest_modseq = 2")),
    case("message-without-object", lose_an_object_row, undo=expunge_the_lost_one),
    case("tombstone-without-object", of_message(f"object = {GONE}", 4)),
    case("object-not-live", condemn_a_referred_object),
    case("octets-differ", of_message("octets = octets + 7"), "usage-differs"),
    case("fate-impossible", of_message("fate = 1")),
    case("fate-impossible", of_message("fate = NULL", 4)),
    case("moved-with-object", of_message("fate = 2", 4)),
    case("flag-without-name", of_message("flags = flags | 1048576")),
    case("mailbox-without-account", set_spare(f"account = {GONE}"), undo=give_spare_back),
    case("mailbox-of-deleted-account", leave_a_mailbox_of_a_deleted_account),
    case("forgotten-above-highest", of_mailbox("forgotten_modseq = highest_modseq + 5")),
    case("recent-not-below-uidnext", of_mailbox("recent_uid = uidnext + 5")),
    case("journal-above-highest", of_mailbox("journal_modseq = highest_modseq + 5")),
    case("epoch-above-store", of_mailbox("epoch = 7")),
    case("uidvalidity-not-below-next", of_account("UPDATE accounts SET next_uidvalidity = 5 WHERE id = %s")),
    case(
        "account-without-domain",
        of_account("UPDATE accounts SET domain = 999999999 WHERE id = %s"),
        undo=domain_back,
    ),
    case(
        "account-without-inbox",
        of_account("UPDATE mailboxes SET deleted_at = 5 WHERE account = %s AND name = x'494E424F58'"),
    ),
    case("usage-missing", of_account("DELETE FROM account_usage WHERE account = %s")),
    case("usage-differs", of_account("UPDATE account_usage SET octets = octets + 1 WHERE account = %s")),
    case("usage-differs", of_account("UPDATE account_usage SET messages = messages - 1 WHERE account = %s")),
    case("object-live-but-marked", mark_a_live_object),
    case(
        "alias-without-domain",
        inserted("aliases", address=b"x@gone.example", target=b"y@example.org", domain=GONE),
        undo=lambda scene: scene.execute("DELETE FROM aliases WHERE domain = %s", GONE),
    ),
]


LEFTOVERS = [
    case("mark-without-object", inserted("condemned", object=GONE, since_us=1, reason=b"test")),
    case("keyword-without-mailbox", inserted("keywords", mailbox=GONE, flag_bit=16, name=b"x", folded=b"x")),
    case(
        "unused-keyword-without-mailbox",
        inserted("unused_keywords", mailbox=GONE, flag_bit=16, since_us=1, retired=0),
    ),
    case("subscription-without-account", inserted("subscriptions", account=GONE, name=b"x y")),
    case("former-name-without-account", inserted("former_names", account=GONE, name=b"x", uidvalidity=1)),
    case("usage-without-account", inserted("account_usage", account=GONE, octets=1, messages=1)),
    case("journal-mark-without-account", inserted("journal_marks", account=GONE, meta_seq=1)),
    case("quota-warning-without-account", inserted("quota_warnings", account=GONE, kind=b"warning", warned_at=1)),
    case(
        "app-password-without-account",
        inserted("app_passwords", account=GONE, name=b"x", secret_sha256=b"s" * 32, protocols=b"imap", created_at=1),
    ),
    case("domain-limit-without-domain", inserted("domain_limits", domain=GONE, accounts=1)),
    case("calendar-without-account", inserted("calendars", account=GONE, name=b"x", created_at=1)),
    case(
        "event-without-calendar",
        inserted(
            "calendar_events",
            calendar=GONE,
            account=GONE,
            uid=b"x",
            object_key=b"calendars/x",
            octets=1,
            sha256=b"s" * 32,
            starts_us=1,
            recurrence=b"",
            created_at=1,
            updated_at=1,
        ),
    ),
    case(
        "deleted-view-without-account",
        inserted("deleted_views", account=GONE, name=b"x", uidvalidity=1, uidnext=1, epoch=1),
    ),
    case(
        "deleted-uid-without-message",
        inserted("deleted_uids", deleted_view=GONE, deleted_uid=1, mailbox=GONE, uid=1),
    ),
]


@pytest.mark.parametrize("fault", CASES, ids=lambda fault: fault.kind)
def test_a_fault_of_rows_is_found_and_repaired_where_that_is_promised(scene: Scene, fault: Case) -> None:
    fault.make(scene)
    assert scene.house.kinds() == {fault.kind} | fault.also
    report, found = scene.house.verify(mending=True)
    if CHECKS[fault.kind].mends is None:
        assert not report.clean
        assert [finding.kind for finding in found if not finding.repaired] == [fault.kind]
        assert fault.undo is not None
        fault.undo(scene)
    else:
        assert report.clean, [finding.line() for finding in found]
        assert fault.kind in report.counts
    assert scene.house.kinds() == set()


def test_rows_that_belong_to_nothing_are_found_and_removed(scene: Scene) -> None:
    for fault in LEFTOVERS:
        fault.make(scene)
    kinds = {fault.kind for fault in LEFTOVERS}
    assert scene.house.kinds() == kinds
    report, _ = scene.house.verify(mending=True)
    assert report.counts == dict.fromkeys(kinds, (1, 1))
    assert scene.house.kinds() == set()


def test_every_kind_of_finding_that_rows_alone_show_is_tried_here() -> None:
    elsewhere = {
        "uid-twice",
        "mailbox-name-twice",
        "object-without-mark",
        "rendering-without-object",
        "object-absent",
        "orphan",
        "foreign-key",
        "object-damaged",
        "object-row-differs",
        "object-misdescribed",
        "object-of-others",
        "rendering-missing",
        "rendering-differs",
        "snapshot-differs",
        "snapshot-unusable",
        "snapshot-without-mailbox",
        "snapshot-leftover",
        "event-object-not-kept",
        "event-absent",
        "event-damaged",
        "event-object-leftover",
    }
    assert {fault.kind for fault in CASES + LEFTOVERS} | elsewhere == set(CHECKS)


def test_only_the_account_that_is_asked_for_is_looked_at(scene: Scene) -> None:
    other = scene.house.store.account()
    scene.house.fill(other)
    of_account("UPDATE account_usage SET octets = octets + 1 WHERE account = %s")(scene)
    of_mailbox("uidnext = 2")(scene)
    assert scene.house.kinds(account=other.id) == set()
    assert scene.house.kinds(account=other.id, deep=True) == set()
    assert scene.house.kinds(account=scene.account.id) == {"usage-differs", "uid-not-below-uidnext"}
    report, _ = scene.house.verify(account=scene.account.id, mending=True)
    assert report.clean


def test_messages_whose_mailbox_is_gone_are_found_again_in_a_mailbox_of_its_own(scene: Scene) -> None:
    scene.execute("DELETE FROM mailboxes WHERE id = %s", scene.mailbox)
    report, _ = scene.house.verify(mending=True)
    assert report.clean
    found = scene.house.store.mailbox(scene.account, f"Recovered {scene.mailbox}")
    assert found.id == scene.mailbox
    assert scene.house.store.uids(found.id) == [1, 2, 3]
    assert found.uidnext == 5
    assert scene.house.store.usage(scene.account)[1] == 3
    assert run(scene.house.put_in(scene.account, found.id, b"Subject: more\r\n\r\n")) == 5


def test_settled_counters_let_clients_see_what_they_missed(scene: Scene) -> None:
    before = scene.house.store.mailbox(scene.account, "Archive")
    of_mailbox("highest_modseq = 2")(scene)
    scene.house.store.heard.hints.clear()
    scene.house.verify(mending=True)
    after = scene.house.store.mailbox(scene.account, "Archive")
    assert after.highest_modseq > before.highest_modseq - 1
    assert (scene.mailbox, after.highest_modseq) in scene.house.store.heard.hints
    assert run(scene.house.put_in(scene.account, scene.mailbox, b"Subject: more\r\n\r\n")) == 5


def test_a_flag_without_a_name_is_cleared_with_a_higher_modseq_and_named_ones_stay(scene: Scene) -> None:
    of_message("flags = flags | 1048577", 1)(scene)
    before = scene.house.store.mailbox(scene.account, "Archive").highest_modseq
    scene.house.verify(mending=True)
    assert scene.house.store.flags(scene.mailbox)[1] == {b"\\Seen", b"$Label"}
    assert scene.house.store.mailbox(scene.account, "Archive").highest_modseq == before + 1


def test_a_moved_message_that_alone_holds_its_object_can_be_restored_and_else_lets_it_go(scene: Scene) -> None:
    run(copy(scene.house.store.tx, scene.account, scene.mailbox, [3], scene.spare))
    run(store_flags(scene.house.store.tx, scene.account, scene.mailbox, [3], FlagMode.ADD, [b"\\Deleted"]))
    run(expunge(scene.house.store.tx, scene.account, scene.mailbox, None))
    of_message("fate = 2", 3)(scene)
    of_message("fate = 2", 4)(scene)
    assert scene.house.verify(mending=True)[0].clean
    sql = "SELECT uid, fate, object IS NULL FROM messages WHERE mailbox = %s AND uid > 2 ORDER BY uid"
    assert [tuple(row) for row in scene.house.store.rows(sql, scene.mailbox)] == [(3, 2, 1), (4, 1, 0)]


def test_a_size_is_taken_from_the_object_only_where_the_object_itself_says_so(scene: Scene) -> None:
    octets = scene.value("SELECT octets FROM objects WHERE id = %s", scene.object(2))
    scene.execute("UPDATE objects SET octets = octets + 1 WHERE id = %s", scene.object(2))
    report, _ = scene.house.verify(mending=True)
    assert report.counts == {"octets-differ": (1, 0)}
    # A deep run sees which of the two is wrong, and puts that one right.
    assert scene.house.kinds(deep=True) == {"object-row-differs", "octets-differ"}
    report, found = scene.house.verify(deep=True, mending=True)
    assert report.clean, [finding.line() for finding in found]
    assert scene.value("SELECT octets FROM messages WHERE mailbox = %s AND uid = 2", scene.mailbox) == octets


def test_a_uid_given_twice_is_given_anew_to_the_later_message(scene: Scene) -> None:
    mariadb = scene.house.store.database.dialect == "mysql"
    scene.execute(
        "ALTER TABLE messages DROP PRIMARY KEY, ADD KEY test_uid (mailbox, uid)"
        if mariadb
        else "DROP INDEX messages_uid"
    )
    try:
        of_message("uid = 1", 2)(scene)
        assert scene.house.kinds() == {"uid-twice"}
        assert scene.house.verify(mending=True)[0].clean
        assert scene.house.store.uids(scene.mailbox) == [1, 3, 5]
    finally:
        scene.execute(
            "ALTER TABLE messages DROP KEY test_uid, ADD PRIMARY KEY (mailbox, uid)"
            if mariadb
            else "CREATE UNIQUE INDEX messages_uid ON messages (mailbox, uid)"
        )


def test_of_two_mailboxes_of_one_name_the_later_one_gets_another(scene: Scene) -> None:
    mariadb = scene.house.store.database.dialect == "mysql"
    run(create(scene.house.store.tx, scene.account, "Twin"))
    twin = scene.house.store.mailbox(scene.account, "Twin").id
    scene.execute("ALTER TABLE mailboxes DROP KEY mailboxes_name" if mariadb else "DROP INDEX mailboxes_name")
    try:
        scene.execute("UPDATE mailboxes SET name = %s WHERE id = %s", b"Archive", twin)
        assert scene.house.kinds() == {"mailbox-name-twice"}
        assert scene.house.verify(mending=True)[0].clean
    finally:
        scene.execute("CREATE UNIQUE INDEX mailboxes_name ON mailboxes (account, name, deleted_at)")
    assert scene.house.store.mailbox(scene.account, f"Recovered {twin}").id == twin


def test_an_object_that_is_on_its_way_out_unmarked_is_marked(scene: Scene) -> None:
    scene.execute(
        "INSERT INTO objects (object_key, octets, stored_octets, codec, sha256, frames, born_at, state)"
        " VALUES (%s, 1, 1, %s, %s, %s, 1, 3)",
        b"emails/00/01890000-0000-7000-8000-000000000000.eml.zst",
        b"zstd",
        bytes(32),
        b"",
    )
    assert scene.house.kinds() == {"object-without-mark"}
    assert scene.house.verify(mending=True)[0].clean
    scene.execute("DELETE FROM objects WHERE state = 3")
    assert scene.house.kinds() == {"mark-without-object"}
    assert scene.house.verify(mending=True)[0].clean


def test_a_rendering_of_nothing_is_found_by_a_deep_run(scene: Scene) -> None:
    object_ = scene.object(2)
    scene.execute("UPDATE renderings SET object = %s WHERE object = %s", GONE, object_)
    assert scene.house.kinds() == set()
    assert scene.house.kinds(deep=True) == {"rendering-without-object", "rendering-missing"}
    assert scene.house.verify(deep=True, mending=True)[0].clean


def test_every_kind_of_finding_is_explained_to_operators() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "verify.md").read_text()
    assert [kind for kind in CHECKS if f"`{kind}`" not in page] == []


def test_every_check_over_rows_is_in_the_table() -> None:
    surveyed = {kind for survey in (MESSAGES, *TABLES) for kind in survey.conditions}
    assert surveyed <= set(CHECKS)
