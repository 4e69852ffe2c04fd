"""The contract of mail that is withheld for a virus, over every database: kept, in no mailbox, in nobody's way, and
brought back by administrators alone."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from lightmail.errors import Cannot, NoSuchAccount, NoSuchMessage, OverQuota
from lightmail.mime import render
from lightmail.model import Account, Fate, MailboxId, StoredBlob, Virus
from lightmail.operations import admin_messages, deleted, mailboxes, undelete
from lightmail.operations.actors import CONSOLE, Actor
from lightmail.operations.deliver import Delivered, Duplicate, Recipient, deliver
from lightmail.operations.viruses import Carrier, refused
from lightmail.store import messages
from lightmail.store.browsing import Listed, Wanted
from lightmail.store.undelete import Filters
from tests.support.actors import OPERATOR, of_domain
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, NOW_US, Store, blob, fresh_config, open_store, together

WITHHOLD = Virus("Eicar-Signature", "withhold")
JUNK = replace(WITHHOLD, action="junk")
WITHHELD = Wanted(withheld=True)
KINDS = ("message.delivered", "virus.found", "quota.exceeded")


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as opened:
        opened.tx.events.want(KINDS)
        yield opened


def carrier() -> StoredBlob:
    """A message as it is stored: an event tells its subject."""
    return replace(blob(), rendering=render(io.BytesIO(b"From: Mallory <a@example.net>\r\nSubject: Bill\r\n\r\n")))


def bring(
    store: Store, *accounts: Account, virus: Virus | None = WITHHOLD, digest: bytes | None = None
) -> list[Delivered | Duplicate | Exception]:
    """What comes of one message for the INBOX of each account."""
    to = [Recipient(account, store.mailbox(account).id, account.address) for account in accounts]
    return list(run(deliver(store.tx, carrier(), "mallory@example.net", digest, to, NOW_US, virus)))


def withheld(store: Store, account: Account, actor: Actor = OPERATOR) -> list[Listed]:
    return run(admin_messages.of_account(store.tx, actor, account.id, WITHHELD, None, 100)).messages


def owner(store: Store, account: Account) -> Actor:
    """The account's owner, as he is signed in to the web."""
    return Actor(account.address, CONSOLE, -1, account=account.id)


def told(store: Store, account: Account) -> list[tuple[str, dict[str, object]]]:
    rows = store.rows("SELECT kind, payload FROM webhook_queue WHERE account = %s ORDER BY id", account.id)
    return [(kind.decode(), json.loads(payload)) for kind, payload in rows]


def test_it_is_kept_and_shows_nowhere(store: Store) -> None:
    account = store.account()
    inbox = store.mailbox(account)
    before = store.snapshot(inbox.id)
    assert bring(store, account) == [Delivered(1, withheld=True)]
    assert store.uids(inbox.id) == []
    assert store.usage(account) == (0, 0)
    found = run(store.database.read("test", messages.changes_txn, inbox.id, before.highest_modseq))
    assert (found.rows, found.expunged, found.uidnext) == ([], [1], 2), "as if it had come and gone between two looks"
    (row,) = store.rows(
        "SELECT fate, object IS NULL, modseq, deleted_at > 0 FROM messages WHERE mailbox = %s", inbox.id
    )
    assert row == (Fate.WITHHELD.value, 0, found.highest_modseq, 1)
    assert store.count("SELECT COUNT(*) FROM objects o JOIN messages m ON m.object = o.id WHERE mailbox = %s", inbox.id)


def test_what_comes_behind_it_has_the_next_uid(store: Store) -> None:
    account = store.account()
    inbox = store.mailbox(account).id
    bring(store, account)
    assert bring(store, account, virus=None) == [Delivered(2)]
    assert store.uids(inbox) == [2]
    assert store.usage(account) == (1000, 1)


def test_no_quota_refuses_it(store: Store) -> None:
    octets, count = store.account(quota_octets=999), store.account(quota_messages=1)
    store.fill(count, "INBOX", [()])
    full = [answer for account in (octets, count) for answer in bring(store, account, virus=None)]
    assert [type(answer) for answer in full] == [OverQuota, OverQuota]
    assert bring(store, octets, count) == [Delivered(1, withheld=True), Delivered(2, withheld=True)]
    assert (store.usage(octets), store.usage(count)) == ((0, 0), (1000, 1))


def test_beside_others_in_one_transaction_each_is_what_it_is(store: Store) -> None:
    account, tight = store.account(), store.account(quota_octets=1500)
    digest = b"d" * 32

    def one(to: Account, virus: Virus | None) -> object:
        recipient = Recipient(to, store.mailbox(to).id, to.address)
        return deliver(store.tx, carrier(), "m@example.net", None, [recipient], NOW_US, virus)

    answers = together(*(one(to, virus) for to in (account, tight) for virus in (None, WITHHOLD) * 3))  # type: ignore[arg-type]
    kinds = [answer[0] if isinstance(answer, list) else answer for answer in answers]
    assert all(isinstance(kind, Delivered) and kind.withheld for kind in kinds[1::2])
    assert store.usage(account) == (3000, 3)
    assert store.usage(tight) == (1000, 1)
    assert len(withheld(store, account)) == len(withheld(store, tight)) == 3
    assert bring(store, account, digest=digest) == [Delivered(7, withheld=True)]
    assert [type(answer) for answer in bring(store, account, digest=digest)] == [Duplicate]


def test_owners_see_nothing_of_it(store: Store) -> None:
    account = store.account()
    inbox = store.mailbox(account)
    bring(store, account)
    me = owner(store, account)
    with pytest.raises(NoSuchAccount):
        withheld(store, account, me)
    (there,) = withheld(store, account)
    for looked in (admin_messages.shown(store.tx, me, there.id), admin_messages.restore(store.tx, me, there.id)):
        with pytest.raises(NoSuchMessage):
            run(looked)  # type: ignore[arg-type]
    everything = Filters()
    assert run(undelete.plan(store.tx, account, everything)).messages == 0
    with pytest.raises(Cannot):
        run(undelete.plan(store.tx, account, Filters(ids=(there.id,))))
    assert run(deleted.names(store.tx, account)) == []
    listed = run(admin_messages.deleted_of_account(store.tx, me, account.id, None, Wanted(), None, 100))
    assert listed.messages == []
    assert store.uids(inbox.id) == []


def test_administrators_list_it_by_page_and_by_text(store: Store) -> None:
    account = store.account()
    bring(store, account)
    bring(store, account, virus=None)
    bring(store, account)
    found = withheld(store, account)
    assert [(each.uid, each.withheld, each.mailbox_name) for each in found] == [(3, True, "INBOX"), (1, True, "INBOX")]
    first = run(admin_messages.of_account(store.tx, OPERATOR, account.id, WITHHELD, None, 1))
    second = run(admin_messages.of_account(store.tx, OPERATOR, account.id, WITHHELD, first.next, 1))
    assert [each.uid for each in (*first.messages, *second.messages)] == [3, 1]
    inbox = store.mailbox(account).id
    of_box = run(admin_messages.of_mailbox(store.tx, OPERATOR, inbox, WITHHELD, None, 10))
    assert ([each.uid for each in of_box.found.messages], of_box.total) == ([3, 1], None)
    for text, count in (("MALLORY", 2), ("nobody", 0)):
        wanted = replace(WITHHELD, sender=text)
        page = run(admin_messages.of_account(store.tx, OPERATOR, account.id, wanted, None, 10))
        assert len(page.messages) == count
    live = run(admin_messages.of_account(store.tx, OPERATOR, account.id, Wanted(), None, 10)).messages
    assert [(each.uid, each.withheld) for each in live] == [(2, False)]
    elsewhere = of_domain(10**6)
    with pytest.raises(NoSuchAccount):
        withheld(store, account, elsewhere)


def test_an_administrator_puts_it_where_it_was_meant_for(store: Store) -> None:
    account = store.account(quota_octets=1000)
    inbox = store.mailbox(account).id
    bring(store, account, account)
    first, second = withheld(store, account)
    assert run(admin_messages.shown(store.tx, OPERATOR, first.id)).whole.message == first
    for act in (
        admin_messages.delete(store.tx, OPERATOR, first.id),
        admin_messages.move(store.tx, OPERATOR, first.id, inbox),
    ):
        with pytest.raises(Cannot):
            run(act)  # type: ignore[arg-type]
    placed = run(admin_messages.restore(store.tx, OPERATOR, first.id))
    assert (placed.mailbox, store.uids(inbox), store.usage(account)) == (inbox, [placed.uid], (1000, 1))
    assert [each.id for each in withheld(store, account)] == [second.id]
    with pytest.raises(NoSuchMessage):
        run(admin_messages.restore(store.tx, OPERATOR, first.id))
    with pytest.raises(OverQuota):
        run(admin_messages.restore(store.tx, OPERATOR, second.id))
    actions = store.rows("SELECT action FROM audit_log WHERE subject = %s ORDER BY id", account.address.encode())
    assert [row[0] for row in actions][-1] == b"message.restore"


def test_an_event_tells_of_it_in_place_of_the_delivery(store: Store) -> None:
    account = store.account()
    inbox = store.mailbox(account).id
    bring(store, account)
    (there,) = withheld(store, account)
    ((kind, payload),) = told(store, account)
    assert kind == payload["event"] == "virus.found"
    assert (payload["signature"], payload["action"]) == ("Eicar-Signature", "withhold")
    assert (payload["mailbox_id"], payload["uid"], payload["size"]) == (inbox, 1, 1000)
    assert (payload["sender"], payload["recipient"]) == ("mallory@example.net", account.address)
    assert list(store.rows("SELECT message FROM webhook_queue WHERE account = %s", account.id)) == [(there.id,)]


def test_in_the_mailbox_for_spam_it_is_both_delivered_and_told(store: Store) -> None:
    account = store.account()
    assert bring(store, account, virus=JUNK) == [Delivered(1)]
    assert store.usage(account) == (1000, 1)
    assert sorted(kind for kind, _ in told(store, account)) == ["message.delivered", "virus.found"]


def test_a_refusal_is_told_for_each_recipient(store: Store) -> None:
    one, two = store.account(), store.account()
    refusal = Carrier("lmtp", "mallory@example.net", 68, Virus("Eicar-Signature", "reject"))
    run(refused(store.tx, refusal, [(one.id, one.address), (two.id, two.address)]))
    for account in (one, two):
        ((kind, payload),) = told(store, account)
        assert kind == "virus.found"
        assert (payload["action"], payload["uid"], payload["size"]) == ("reject", None, 68)
        assert payload["recipient"] == account.address


def test_who_wants_to_hear_nothing_of_it_costs_nothing(store: Store) -> None:
    account = store.account()
    store.tx.events.want(["account.add"])
    try:
        trips = store.trips("virus-refused")
        refusal = Carrier("imap", "", 68, Virus("Eicar-Signature", "reject"))
        run(refused(store.tx, refusal, [(account.id, account.address)]))
        bring(store, account)
        assert told(store, account) == []
        assert store.trips("virus-refused") == trips
    finally:
        store.tx.events.want(KINDS)


def test_it_goes_with_its_mailbox_and_its_time(store: Store) -> None:
    account = store.account()
    run(mailboxes.create(store.tx, account, "Lists"))
    box = store.fill(account, "Lists", [()])
    run(
        deliver(
            store.tx, carrier(), "m@example.net", None, [Recipient(account, box, account.address)], NOW_US, WITHHOLD
        )
    )
    run(mailboxes.delete(store.tx, account, "Lists"))
    assert [each.uid for each in withheld(store, account)] == [2]
    origin = run(undelete.plan(store.tx, account, Filters()))
    assert origin.messages == 1, "what was there comes back, what was withheld does not"
    placed = run(admin_messages.restore(store.tx, OPERATOR, withheld(store, account)[0].id))
    assert store.mailbox(account, "Lists").id == placed.mailbox != MailboxId(box)
