"""What means something to SQL, to its placeholders or to our own markers is text like any other, in every string."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lightmail.errors import Invalid
from lightmail.model import FlagMode, ObjectId
from lightmail.operations import accounts as operations
from lightmail.operations import aliases
from lightmail.operations.append import NewMessage, append
from lightmail.operations.expunge import expunge
from lightmail.operations.flags import store_flags
from lightmail.operations.mailboxes import create, delete, rename, subscribe, unsubscribe
from lightmail.operations.names import canonical
from lightmail.store import accounts, audit, blobs, events, mailboxes, profiles, subscriptions, undelete
from lightmail.store.ranges import names_from
from tests.support.actors import OPERATOR
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, NOW_US, Store, blob, fresh_config, open_store

TEXTS = [
    "'",
    '"',
    "''",
    "`",
    "\\",
    "\\'",
    "\\\\' OR 1=1 -- ",
    "' OR '1'='1",
    "'; DROP TABLE messages; -- ",
    "%s",
    "%(x)s",
    "%",
    "%%",
    "%d%n",
    "?",
    "?1",
    ":a",
    "@a",
    "$1",
    "{list}",
    "{uids}",
    "{}",
    "{0}",
    " VALUES (%s, %s)",
    " FOR UPDATE",
    " LOCK IN SHARE MODE",
    "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)",
    "--",
    "-- x",
    "#",
    "/*! x */",
    ";",
    "x' UNION SELECT 1",
    "a_b",
    "NULL",
    "0x41",
    "\u00e9",
    "e\u0301",
    "\u2019\u02bc\uff07",
    "\U0001f4ec\U00020000",
    "\u00df\u0130\ufb01",
    " leading and trailing ",
]
OCTETS = [*(text.encode() for text in TEXTS), b"\0", b"a\0'b", b"\x1a", b"\xbf'", b"\xbf\x5c\x27", b"\xff\xfe", b"\xc3"]


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    directory: Path = tmp_path_factory.mktemp("store")
    with fresh_config(request.param, directory) as config, open_store(config) as store:
        yield store


def read(store: Store, fn: Any, *args: Any) -> Any:
    return run(store.database.read("test", fn, *args))


def test_mailbox_names(store: Store) -> None:
    account = store.account()
    before = set(store.names(account))
    made = set()
    for number, text in enumerate(TEXTS):
        name = f"{number}-{text}".rstrip("/").replace("/", "|")
        run(create(store.tx, account, name))
        found = store.mailbox(account, canonical(name)).name
        made.add(found)
        assert read(store, mailboxes.status_txn, account.id, found) is not None
    assert len(made) == len(TEXTS)
    assert set(store.names(account)) == before | made
    for name in made:
        run(rename(store.tx, account, name, f"below/{name}"))
        run(rename(store.tx, account, f"below/{name}", f"again {name}"))
        run(delete(store.tx, account, f"again {name}"))
    assert set(store.names(account)) - before == {"below"}


def test_subscriptions(store: Store) -> None:
    account = store.account()
    before = set(read(store, subscriptions.subscriptions_txn, account.id))
    names = [f"{number}{text}".replace("/", "|") for number, text in enumerate(TEXTS)]
    for name in names:
        run(subscribe(store.tx, account, name))
    found = set(read(store, subscriptions.subscriptions_txn, account.id)) - before
    assert len(found) == len(names)
    for name in names:
        run(unsubscribe(store.tx, account, name))
    assert set(read(store, subscriptions.subscriptions_txn, account.id)) == before


def test_addresses_passwords_and_aliases(store: Store) -> None:
    before = read(store, profiles.count_txn, None, names_from())
    made = 0
    for number, text in enumerate(TEXTS):
        address = f"n{number}{text}@example.org"
        try:
            account = run(operations.add_account(store.tx, OPERATOR, address, text))
        except Invalid:
            continue  # what no address can have
        made += 1
        found = read(store, accounts.by_address_txn, account.address)
        assert found == (account, text)
        run(operations.change_account(store.tx, OPERATOR, account.id, operations.Change(password_hash=text + "'")))
        assert read(store, accounts.by_address_txn, account.address) == (account, text + "'")
        alias = f"alias-{number}{text}@example.org"
        run(aliases.add_alias(store.tx, OPERATOR, alias, account.address))
        assert read(store, accounts.route_txn, account.address.replace("n", "alias-", 1)) == [account]
        run(aliases.delete_alias(store.tx, OPERATOR, alias))
    assert made > 15
    assert read(store, profiles.count_txn, None, names_from()) == before + made


@pytest.mark.parametrize("octets", OCTETS)
def test_names_that_log_in_are_only_compared(store: Store, octets: bytes) -> None:
    account = store.account()
    name = octets.decode("utf-8", "surrogateescape")
    for typed in (name, account.address + name, name + account.address):
        try:
            typed.encode()
        except UnicodeEncodeError:
            continue  # who it is is decoded before
        if typed.strip() != account.address:
            assert read(store, accounts.by_address_txn, typed) is None


def test_keywords(store: Store) -> None:
    account = store.account()
    mailbox = store.fill(account, "INBOX", [()])
    words = [b"k%d" % n + text for n, text in enumerate(OCTETS) if len(text) < 30 and b"\0" not in text][:46]
    run(store_flags(store.tx, account, mailbox, [1], FlagMode.ADD, words))
    assert store.flags(mailbox) == {1: set(words)}


def test_what_is_rendered_of_messages(store: Store) -> None:
    account = store.account()
    mailbox = store.mailbox(account).id
    new = []
    for octets in OCTETS:
        text = octets.decode("utf-8", "replace")
        made = blob(header=b"Subject: " + octets + b"\r\n\r\n")
        rendering = replace(
            made.rendering,
            envelope=octets,
            bodystructure=octets,
            header_fields=octets,
            parts=octets,
            subject=text,
            base_subject=text,
            from_=text,
            to=text,
            cc=text,
            bcc=text,
            message_id=text,
            references=text,
        )
        new.append(NewMessage(replace(made, rendering=rendering), (b"\\Deleted",), NOW_US))
    run(append(store.tx, account, mailbox, new))
    ids = [ObjectId(row[6]) for row in store.snapshot(mailbox).rows]
    columns, envelopes, headers = (
        read(store, fn, ids) for fn in (blobs.search_columns_txn, blobs.envelopes_txn, blobs.headers_txn)
    )
    for octets, of in zip(OCTETS, ids, strict=True):
        text = octets.decode("utf-8", "replace")
        found = columns[of]
        assert [found.subject, found.base_subject, found.from_, found.to, found.cc, found.bcc] == [text] * 6
        assert found.message_id == text
        assert envelopes[of] == (octets, octets)
        header, fields = headers[of]
        assert (blobs.unpacked_header(header), fields) == (b"Subject: " + octets + b"\r\n\r\n", octets)

    run(expunge(store.tx, account, mailbox, store.uids(mailbox)))
    for text in TEXTS:
        wanted = text.casefold()
        for filters in (undelete.Filters(subject=text), undelete.Filters(sender=text)):
            shown = read(store, undelete.list_txn, account.id, filters, 1000)
            expected = [octets for octets in OCTETS if wanted in octets.decode("utf-8", "replace")]
            assert len(shown) == len(expected), text


def test_the_journals_of_operators(store: Store) -> None:
    for text in TEXTS:
        statements = [
            audit.record_statement(text, "x", text, {text: text}),
            events.event_statement("x", None, {text: text}),
        ]
        run(store.database.run("test", lambda cursor, statements=statements: cursor.script(statements) and None))

    def written(cursor: Any) -> Any:
        cursor.execute("SELECT actor, subject FROM audit_log WHERE action = %s", (b"x",))
        return cursor.fetchall()

    assert set(read(store, written)) == {(text.encode(), text.encode()) for text in TEXTS}


def test_nothing_of_the_schema_has_gone(store: Store) -> None:
    for table in ("messages", "mailboxes", "accounts", "objects", "renderings", "deliveries", "audit_log"):
        assert store.count(f"SELECT COUNT(*) FROM {table}") >= 0  # noqa: S608
