"""A mailbox with very many messages, made by rows alone: for what must not cost more the more there are."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Sequence
from typing import Any

from lightmail.mime import render
from lightmail.model import Account, MailboxId
from lightmail.store.blobs import INSERT_OBJECT, INSERT_RENDERING, rendering_row
from lightmail.store.cursor import Cursor
from lightmail.store.messages import INSERT
from lightmail.store.sqltext import pieces, with_rows
from tests.support.reactor import run
from tests.support.storekit import NOW_US, Store

MINUTE_US = 60_000_000
_TEXT = (
    b"Return-Path: <%d@lists.example.net>\r\nReceived: from mx.example.net by mail.example.org; 1 Jan 2026\r\n"
    b"From: =?utf-8?q?Andr=C3=A9_No=2E_%d?= <sender%d@example.net>\r\nTo: ada@example.org\r\n"
    b"Subject: =?utf-8?q?Bericht_Nr=2E_%d_=C3=BCber_die_Woche?=\r\nDate: Thu, 1 Jan 2026 10:00:00 +0100\r\n"
    b"Message-ID: <%d@example.net>\r\n\r\nText.\r\n"
)


def fill(store: Store, account: Account, mailbox: MailboxId, count: int) -> None:
    """Put messages 1 to `count` into an empty mailbox, a minute apart: their numbers are in sender and subject."""
    for numbers in pieces(range(1, count + 1), 5000):
        run(store.database.run("test", _fill_txn, account, mailbox, numbers))
    store.execute("UPDATE mailboxes SET uidnext = %s, highest_modseq = 2 WHERE id = %s", count + 1, mailbox)
    usage = "UPDATE account_usage SET octets = octets + %s, messages = messages + %s WHERE account = %s"
    store.execute(usage, 1000 * count, count, account.id)


def _fill_txn(cursor: Cursor, account: Account, mailbox: MailboxId, numbers: Sequence[int]) -> None:
    born_us = time.time_ns() // 1000
    salt = os.urandom(8).hex()
    objects = [
        (f"emails/ab/{salt}-{n}.eml".encode(), 1000, 500, b"zstd", os.urandom(32), b"", born_us, 1) for n in numbers
    ]
    _insert(cursor, INSERT_OBJECT, objects)
    cursor.execute("SELECT MIN(id) FROM objects WHERE object_key IN (%s, %s)", (objects[0][0], objects[-1][0]))
    row = cursor.fetchone()
    assert row is not None
    first = int(row[0])
    rendered = [rendering_row(render(io.BytesIO(_TEXT % ((n,) * 5)))) for n in numbers]
    _insert(cursor, INSERT_RENDERING, [(first + at, *each) for at, each in enumerate(rendered)])
    messages = [
        (account.id, mailbox, n, 2, first + at, n & 1, NOW_US + n * MINUTE_US, 1000, None)
        for at, n in enumerate(numbers)
    ]
    _insert(cursor, INSERT, messages)


def _insert(cursor: Cursor, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
    for piece in pieces(rows, 250):
        cursor.execute(with_rows(sql, len(piece)), [value for row in piece for value in row])
