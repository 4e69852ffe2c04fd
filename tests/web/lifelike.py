"""A server as it looks after months: long names, mail of all kinds, jobs that went wrong; and one that is new."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from lightmail.config import ApiConfig, S3Config, StorageConfig, WebhookConfig
from lightmail.config.sections import GarbageConfig, ImapConfig, Pop3Config, SystemConfig
from lightmail.model import AccountId, Fate
from lightmail.operations import administrators, aliases, jobs, samples
from lightmail.operations import sessions as reported
from lightmail.operations.actors import Actor
from lightmail.operations.events import new_id
from lightmail.records import RECENT
from lightmail.store import webhooks
from lightmail.store.jobs import CANCELLED, DONE, FAILED, INTERRUPTED
from lightmail.store.samples import MINUTE, QUARTER, TWO_HOURS, Sample
from lightmail.store.sessions import NOBODY, Process, Report, beat_txn
from lightmail.store.webhooks import Event, Repeat
from tests.support.actors import OPERATOR
from tests.support.apikit import TOKEN, Api, serve_api
from tests.support.apiworld import Realm, put_message
from tests.support.reactor import run
from tests.support.seaweedfs import SeaweedFS, stored
from tests.support.storekit import Store, fresh_config, open_store
from tests.support.visitors import HASH
from tests.web.worlds import World

_LONG: Final = "subsidiary-with-a-rather-long-name.holding.example"
_LONG_LOCAL: Final = "hubert.blaine.wolfeschlegelsteinhausenbergerdorff.senior.the.first"
_DAY_US: Final = 86_400_000_000
_GIB: Final = 1 << 30
_PROCESS: Final = Process(b"q" * 16, "mx1.example.org", 4711, "1.0", time.time_ns() // 1000 - 40 * _DAY_US)
_NOBODY: Final = Realm("", 0, 0, 0, 0, "", {})


@contextmanager
def lived_in(directory: Path, s3: SeaweedFS | None = None) -> Iterator[World]:
    """Much of everything. `server` has the server, `ours` two domains of it, and the owner an account."""
    (directory / "files").mkdir()
    changes: dict[str, Any] = {
        "s3": S3Config(bucket="mail", endpoint="s3.eu-central-1.amazonaws.com", region="eu-central-1"),
        "storage": StorageConfig(driver="memory"),
        "garbage": GarbageConfig(),
        "webhook": WebhookConfig(
            enabled=True, url="https://hooks.example.net/lightmail/events", secret="whsec_" + "A" * 32
        ),
        "api": ApiConfig(token=TOKEN, job_directory=str(directory / "files")),
    }
    with _served(directory, s3, **changes) as api:
        _furnish(api)
        people = {"server": "root", "ours": "hostmaster", "owner": "ada@example.org"}
        yield World(api, _NOBODY, _NOBODY, people)


@contextmanager
def brand_new(directory: Path, s3: SeaweedFS | None = None) -> Iterator[World]:
    """Nothing yet but an administrator, and an account of a domain that is nobody else's, with nothing in it."""
    with _served(directory, s3) as api:
        api.store.execute("DELETE FROM domains")
        run(administrators.add_administrator(api.store.tx, OPERATOR, "root", HASH))
        yield World(api, _NOBODY, _NOBODY, {"server": "root"})


@contextmanager
def _served(directory: Path, server: SeaweedFS | None, **changes: Any) -> Iterator[Api]:
    """On SQLite, objects in memory, or with an S3 server on MariaDB and that."""
    services = {"imap": ImapConfig(), "pop3": Pop3Config(), "system": SystemConfig(hostname="mail.example.org")}
    objects = stored(server, f"lived-{directory.name}") if server else {}
    with (
        fresh_config("mariadb" if server else "sqlite", directory) as config,
        open_store(config) as store,
        serve_api(store, pages=True, **{**services, **changes, **objects}) as api,
    ):
        yield api


def _furnish(api: Api) -> None:
    _add_people(api)
    ada = _id(api, "ada@example.org")
    _add_mail(api, ada)
    _add_jobs(api, ada)
    _add_running(api, ada)
    _write_samples(api.store)
    _say(api, ada)


def _id(api: Api, address: str) -> int:
    return api.store.count("SELECT id FROM accounts WHERE address = %s AND deleted_at = 0", address.encode())


def _made(api: Api, path: str, **body: Any) -> int:
    answer = api.post(path, body)
    assert answer.status == 201, answer
    return int(answer.json["id"])


def _add_people(api: Api) -> None:
    long = _made(api, "/admin/domains", name=_LONG, max_accounts=250)
    for name in ("empty.example", "xn--bcher-kva.example"):
        _made(api, "/admin/domains", name=name)
    people = [
        ("ada@example.org", "Augusta Ada King, Countess of Lovelace", 10 * _GIB, 0),
        ("bob@example.org", "Bob", 0, 0),
        ("full@example.org", "Filled to the brim", 1 << 20, 100),
        (f"{_LONG_LOCAL}@{_LONG}", "Hubert Blaine Wolfeschlegelsteinhausenbergerdorff Senior", 500 << 20, 10_000),
        *((f"user{number:02}@example.org", "", 2 * _GIB, 0) for number in range(1, 60)),
    ]
    for address, name, octets, messages in people:
        body = {"full_name": name, "quota_octets": octets, "quota_messages": messages}
        _made(api, "/admin/accounts", address=address, password="correct horse battery", **body)
    for address in ("former@example.org", f"retired@{_LONG}"):
        gone = _made(api, "/admin/accounts", address=address, password="correct horse battery")
        assert api.delete(f"/admin/accounts/{gone}").status == 204
    assert api.put(f"/admin/accounts/{_id(api, 'bob@example.org')}", {"active": False}).status == 200
    store = api.store
    store.execute("UPDATE accounts SET password_hash = %s", HASH.encode())
    for address, octets in (("ada@example.org", 93 * _GIB // 10), ("full@example.org", 1 << 20)):
        id = _id(api, address)
        store.execute("UPDATE account_usage SET octets = %s, messages = 41234 WHERE account = %s", octets, id)
    for alias, target in (
        ("info@example.org", "ada@example.org"), ("info@example.org", "bob@example.org"),
        (f"postmaster@{_LONG}", f"{_LONG_LOCAL}@{_LONG}"), ("sales@example.org", "info@example.org"),
    ):  # fmt: skip
        run(aliases.add_alias(store.tx, OPERATOR, alias, target))
    own = api.store.count("SELECT id FROM domains WHERE name = %s", b"example.org")
    for name, domains in (("root", None), ("hostmaster", [own, long]), ("former-hostmaster", [long]), ("phone", None)):
        run(administrators.add_administrator(store.tx, OPERATOR, name, HASH, domains))
    for name, column in (("former-hostmaster", "active = 0"), ("phone", f"totp_secret = x'{'61' * 20}'")):
        store.execute(f"UPDATE administrators SET {column} WHERE name = %s", name.encode())  # noqa: S608


_SUBJECTS: Final = (
    "Re: Lunch on Thursday?",
    "Minutes of the meeting of the working group on the analytical engine, with all annexes and the corrections that"
    " were asked for by the secretary since the last time we met, and the time before",
    "",
    "=?utf-8?q?=C3=9Cberweisung_best=C3=A4tigt_=E2=82=AC_4=2E711?=",
    "=?utf-8?b?5pel5pys6Kqe44Gu5Lu25ZCN44Gn44GZ?=",
    "Your_invoice_number_2026-11-00004711-with-no-space-anywhere-in-it-whatever-happens-at-all.pdf",
    "[list] Re: Fwd: Re: Holiday pictures",
)
_SENDERS: Final = (
    "Charles Babbage <charles@example.net>",
    "=?utf-8?q?Gr=C3=A9ta_Garb=C3=B3?= <greta@example.net>",
    "no-reply-notifications-service-account-0000000000@mailing.marketing.a-company-with-a-long-name.example.com",
    "Mary Somerville <mary.somerville@example.com>",
)
_HTML: Final = (
    '<h1>Our autumn offers</h1><p>Dear Ada,</p><p>Have a look at <a href="https://shop.example.net/autumn">our shop</a>'
    '. <img src="https://track.example.net/pixel.gif" alt="a pixel"> All <b>prices</b> are final:</p><table><tr>'
    "<th>Thing</th><th>Price</th></tr><tr><td>Engine</td><td>17,000</td></tr></table><script>alert(1)</script>"
)


def _letter(number: int) -> bytes:
    subject, sender = _SUBJECTS[number % len(_SUBJECTS)], _SENDERS[number % len(_SENDERS)]
    head = (
        f"From: {sender}\r\nTo: Ada <ada@example.org>, Bob <bob@example.org>\r\nCc: info@example.org\r\n"
        f"Date: Thu, 19 Nov 2026 10:{number % 60:02}:00 +0100\r\nMessage-ID: <{number}.4711@example.net>\r\n"
        f"{f'Subject: {subject}' if subject else 'X-Nothing: here'}\r\nMIME-Version: 1.0\r\n"
    )
    text = (
        "Dear Ada,\r\n\r\nthe engine weaves algebraic patterns just as the loom weaves flowers and leaves.\r\n\r\n" * 4
    )
    if number:
        return f"{head}\r\n{text}> quoted\r\n-- \r\nCharles\r\n".encode()
    parts = [
        f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}",
        f"Content-Type: text/html; charset=utf-8\r\n\r\n{_HTML}\r\n",
        *(
            f'Content-Type: {kind}\r\nContent-Disposition: attachment; filename="{name}"\r\n\r\n{"x" * octets}\r\n'
            for kind, name, octets in (
                ("image/jpeg", "beach.jpeg", 200_000),
                (
                    "application/pdf",
                    "Minutes of the meeting of the working group, corrected, final version 7.pdf",
                    90_000,
                ),
            )
        ),
    ]
    body = "".join(f"--b\r\n{part}" for part in parts)
    return f'{head}Content-Type: multipart/mixed; boundary="b"\r\n\r\n{body}--b--\r\n'.encode()


def _add_mail(api: Api, ada: int) -> None:
    names = ("Work", "Work/Engine/Notes and sketches of the second half of the year", "Übersicht & Pläne", "x" * 120)
    boxes = {name: _made(api, f"/admin/accounts/{ada}/mailboxes", name=name) for name in names}
    inbox = api.store.count("SELECT id FROM mailboxes WHERE account = %s AND name = %s", ada, b"INBOX")
    now = time.time_ns() // 1000
    messages = [put_message(api, ada, inbox, _letter(number)) for number in (*range(1, 64), 0)]
    for name in names[:2]:
        messages += [put_message(api, ada, boxes[name], _letter(number)) for number in range(1, 4)]
    for place, message in enumerate(messages):
        at, seen = now - (len(messages) - place) * 3_600_000_000, 1 if place % 3 else 5
        sql = "UPDATE messages SET internaldate_us = %s, flags = %s WHERE id = %s"
        api.store.execute(sql, at, seen if place % 2 else 0, message)
    for place, message in enumerate(messages[:9]):
        assert api.delete(f"/admin/messages/{message}").status == 204
        api.store.execute("UPDATE messages SET deleted_at = %s WHERE id = %s", now - place // 2 * _DAY_US, message)
    for message in messages[9:11]:
        assert api.delete(f"/admin/messages/{message}").status == 204
        api.store.execute("UPDATE messages SET fate = %s WHERE id = %s", Fate.WITHHELD.value, message)
    for name, protocols in (("phone", ["imap"]), ("the old laptop that stands in the summer house", ["imap", "pop3"])):
        _made(api, f"/admin/accounts/{ada}/app-passwords", name=name, protocols=protocols)
    api.store.execute(
        "UPDATE app_passwords SET last_used_at = %s, last_used_from = %s WHERE name = %s",
        now - _DAY_US, b"2001:db8:85a3:8d3:1319:8a2e:370:7348", b"phone",
    )  # fmt: skip


def _finding(kind: str, uid: int, detail: str) -> dict[str, Any]:
    return {
        "finding": kind, "severity": "loss", "account": "ada@example.org", "mailbox": "INBOX", "uid": uid,
        "key": f"emails/ab/0193527a-4c1e-7d2a-9f00-{uid:012}.eml.zst", "row": {}, "detail": detail,
        "means": "A message's object is gone: it cannot be read.",
        "todo": "Restore the object from a backup of the bucket, or delete the message.", "repaired": False,
    }  # fmt: skip


def _add_jobs(api: Api, ada: int) -> None:
    verified = {
        "summary": True, "clean": False, "found": 2, "repaired": 0,
        "kinds": {"object.missing": {"found": 2, "repaired": 0}}, "looked": {"objects": 48_211, "messages": 51_007},
        "resumed": False, "seconds": 127.482,
        "findings": [_finding("object.missing", n, "the store has no such object") for n in (17, 4711)],
    }  # fmt: skip
    brought = {
        "folders": [
            {"name": "INBOX", "mailbox": "INBOX", "known": 0, "brought": 8123, "pending": 0, "octets": 912_345_678},
            {"name": "Gesendete Objekte", "mailbox": "Sent", "known": 12, "brought": 9, "pending": 0, "octets": 9_123},
        ],
        "left": [["INBOX/4713", "larger than [limits] append_size allows (52,428,800 octets)"]],
        "octets": 912_444_801, "seconds": 1207.4, "known": 12, "brought": 8_132, "pending": 0,
    }  # fmt: skip
    owner = Actor("ada@example.org", "192.0.2.17", -1, account=AccountId(ada))
    of_ada = {"account_id": ada, "address": "ada@example.org"}
    imap = {
        **of_ada,
        "host": "imap.old-provider.example.net",
        "user": "ada.lovelace",
        "tls": "implicit",
        "only": ["Work/*"],
    }
    refused = "imap.old-provider.example.net refused the password: [AUTHENTICATIONFAILED] Authentication failed."
    for kind, arguments, state, result in (
        (
            jobs.GARBAGE,
            {},
            DONE,
            {"passes": 3, "counts": {"objects": 4_711, "rows": 9_000}, "octets_freed": 81_234_567},
        ),
        (jobs.VERIFY, {**of_ada, "deep": True}, DONE, verified),
        (jobs.IMPORT_IMAP, imap, FAILED, {"error": refused}),
        (jobs.IMPORT_IMAP, imap, DONE, brought),
        (jobs.VERIFY, {}, CANCELLED, {}),
        (jobs.EXPORT_MAILDIR, {**of_ada, "path": "ada/Maildir"}, INTERRUPTED, {"error": "the server process is gone"}),
        (jobs.UNDELETE, {**of_ada, "subject": "Holiday"}, DONE, {"restored": 2_345, "over_quota": 0, "gone": 3}),
        (jobs.GARBAGE, {}, "", {"stage": "pass 2", "percent": 37, "done": 12_345, "total": 33_001}),
        (jobs.VERIFY, {}, "", {"stage": "objects"}),
        (jobs.VERIFY, {}, "queued", {}),
    ):
        actor = owner if kind == jobs.UNDELETE else OPERATOR
        job = run(jobs.start(api.store.tx, actor, kind, arguments, account=AccountId(ada) if arguments else None))
        if state == "queued":
            continue
        assert run(jobs.claim(api.store.database, job.id, _PROCESS.id))
        if state:
            run(
                jobs.end(
                    api.store.database, job.id, _PROCESS.id, state, {"percent": 100 if state == DONE else 37}, result
                )
            )
        else:
            run(jobs.beat(api.store.database, _PROCESS.id, {job.id: result}, []))


def _add_running(api: Api, ada: int) -> None:
    database, now = api.store.database, time.time_ns() // 1000
    run(database.run("test", beat_txn, _PROCESS))
    clients = (
        ("imap", "2001:db8:85a3:8d3:1319:8a2e:370:7348", True, "Mozilla Thunderbird 140.5.0esr on Linux x86_64", ada),
        ("imap", "192.0.2.17", True, "Apple Mail", ada),
        ("pop3", "198.51.100.4", False, "", _id(api, f"{_LONG_LOCAL}@{_LONG}")),
        ("lmtp", "", False, "mx1.example.org", NOBODY),
    )
    reports = [
        Report(f"s{place}", AccountId(account), protocol, address, secure, client, now - place * 7_200_000_000)
        for place, (protocol, address, secure, client, account) in enumerate(clients)
    ]
    run(reported.report(database, _PROCESS, reports, ()))
    # It is not heard of again, and not to be taken for dead while pages are looked at.
    api.store.execute("UPDATE processes SET heartbeat_at = %s", now + _DAY_US)
    for name, scopes, domain, days in (
        ("backup", ["accounts:read", "messages:read", "messages:content"], None, 0),
        ("monitoring of the data centre in Frankfurt, second floor", ["status:read"], None, 90),
        ("last year's migration", ["accounts:write", "jobs:read", "jobs:write"], None, -3),
    ):
        body = {"name": name, "scopes": scopes, **({} if domain is None else {"domain_id": domain})}
        token = _made(api, "/admin/tokens", **body)
        expires = now + days * _DAY_US if days else 0
        sql = "UPDATE api_tokens SET expires_at = %s, last_used_at = %s WHERE id = %s"
        api.store.execute(sql, expires, now - _DAY_US if days else 0, token)
    events = [
        Event(new_id(), kind, AccountId(ada), b"{}")
        for kind in ("message.delivered", "account.disable", "quota.exceeded")
    ]
    run(database.run("test", lambda cursor: cursor.script(webhooks.queue_statements(events))))
    ids = [id for (id,) in api.store.rows("SELECT id FROM webhook_queue ORDER BY id")]
    failed = "the receiver answered 503 Service Unavailable: upstream connect error or disconnect before headers"
    repeats = [Repeat(ids[-3], 12, failed, None), Repeat(ids[-2], 2, "no answer within 5,000 ms", 60_000_000)]
    run(database.run("test", webhooks.settle_txn, [], repeats, []))


def _write_samples(store: Store) -> None:
    """What the overview draws: a working day's ups and downs, with an hour in which nothing ran."""
    now = int(time.time())
    for step, spans in ((MINUTE, 60), (QUARTER, 96), (TWO_HOURS, 84)):
        last = now // step
        written = [_sample(step, (last - n) * step) for n in range(spans) if not spans // 3 <= n < spans // 3 + 4]
        run(samples.write(store.database, b"p" * 16, written))


def _sample(step: int, began: int) -> Sample:
    busy = 1.2 + math.sin(began / 86_400 * 2 * math.pi) + 0.3 * math.sin(began / 97)
    minutes = step / 60
    lookups = 4_000 * busy * minutes
    counts = {
        "delivered": 210 * busy * minutes, "deferred": 3 * (began // step % 7 == 0), "refused": 9 * busy * minutes,
        "delivery_seconds": 210 * busy * minutes * 0.021 * busy, "deliveries": 210 * busy * minutes,
        "logins": 90 * busy * minutes, "failed_logins": 7 * minutes * (began // step % 11 == 0),
        "cache_hits": lookups * (0.9 + 0.05 * math.sin(began / 500)), "cache_lookups": lookups,
        "database_calls": 2_400 * busy * minutes, "object_writes": 190 * busy * minutes,
        "object_reads": 55 * busy * minutes, "octets_written": 190 * busy * minutes * 31_000,
        "octets_read": 55 * busy * minutes * 70_000,
    }  # fmt: skip
    levels = {"sessions_imap": 412 * busy * minutes, "sessions_pop3": 17 * minutes, "sessions_lmtp": 4 * busy * minutes}
    return Sample(step, began * 1_000_000, counts, levels, {"garbage": 800 * busy})


def _say(api: Api, ada: int) -> None:
    inbox = api.store.count("SELECT id FROM mailboxes WHERE account = %s AND name = %s", ada, b"INBOX")
    place = f"UID 63 in mailbox {inbox} of ada@example.org"
    lines: Sequence[tuple[str, str]] = (
        ("lmtp.handover", f"delivered from <charles@example.net> to <ada@example.org>: {place}, 1,234 octets,"
         " Message-ID <63.4711@example.net>"),
        ("lmtp.handover", "refused from <charles@example.net> to <full@example.org>: 452 4.2.2 The mailbox is full"),
        ("lmtp.handover", "refused from <charles@example.net> to <nobody@example.org>: 550 5.1.1 No such account here"),
        ("imap.idle", f"told ada@example.org of 1 new messages in mailbox {inbox}, up to UID 63"),
    )  # fmt: skip
    for number, (source, text) in enumerate(lines):
        at = datetime.fromtimestamp(time.time() - 60 + number, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        RECENT.add(f"{at} info  {source} [6f2a1c9d3b4e.1] {text}")
