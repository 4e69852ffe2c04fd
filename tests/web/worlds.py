"""A server with something of everything, and people who may see all of it, some of it, or nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import bcrypt

from lightmail.config import ApiConfig
from lightmail.config.sections import ImapConfig, Pop3Config, SystemConfig
from lightmail.model import AccountId
from lightmail.operations import administrators, jobs, samples
from lightmail.operations.actors import Actor
from lightmail.store.samples import MINUTE, Sample
from tests.support.actors import OPERATOR
from tests.support.apikit import TOKEN, Api, serve_api
from tests.support.apiworld import Realm, put_message, settle
from tests.support.browser import Browser, Page
from tests.support.reactor import run
from tests.support.seaweedfs import SeaweedFS, stored
from tests.support.storekit import Store, fresh_config, open_store
from tests.web.screens import Driver

PASSWORD: Final = "correct horse battery"
# The cheapest there is: it is checked often.
_HASH: Final = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
_MAIL: Final = (
    b"From: Gr\xc3\xa9ta <greta@example.net>\r\nTo: owner@ours.example\r\nSubject: ours holiday pictures\r\n"
    b"Date: Thu, 1 Jan 2026 10:00:00 +0100\r\nMessage-ID: <1@example.net>\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<h1>ours beach</h1><p>Look at <b>this</b>.</p>\r\n"
    b'--b\r\nContent-Type: image/png\r\nContent-Disposition: attachment; filename="beach.png"\r\n\r\nPNG\r\n--b--\r\n'
)


@dataclass(frozen=True)
class World:
    """`ours` and `others` are two domains alike; of the first, pages of the second's people must have nothing.

    `people` are names by what they are: `server` has the server, `ours` and `others` a domain each, and each of these
    domains has an owner of an account.
    """

    api: Api
    ours: Realm
    others: Realm
    people: Mapping[str, str]

    @property
    def base(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self.api.port}"

    def enter(self, driver: Driver, who: str) -> Browser:
        """Have somebody signed in with a real browser; the one that reads HTML alone, in which he is, too."""
        light, _ = self.sign_in(who)
        driver.become(f"{self.base}/web/sign-in", light.cookies)
        return light

    def sign_in(self, who: str) -> tuple[Browser, Page]:
        """Somebody's browser, and what he sees first."""
        browser = Browser(self.api.port)
        form = browser.get("/").form("/web/sign-in")
        return browser, browser.send(form, name=self.people[who], password=PASSWORD)


@contextmanager
def inhabited(directory: Path, s3: SeaweedFS | None = None) -> Iterator[World]:
    """The world: on SQLite, its objects in memory, or with an S3 server on MariaDB and that."""
    (directory / "files").mkdir()
    with (
        fresh_config("mariadb" if s3 else "sqlite", directory) as config,
        open_store(config) as store,
        serve_api(
            store,
            pages=True,
            api=ApiConfig(token=TOKEN, job_directory=str(directory / "files")),
            imap=ImapConfig(),
            pop3=Pop3Config(),
            system=SystemConfig(hostname="mail.example.org"),
            **(stored(s3, f"web-{directory.name}") if s3 else {}),
        ) as api,
    ):
        ours, others = settle(api, "ours"), settle(api, "others")
        _add_mail(api, ours)
        _write_samples(store)
        store.execute("UPDATE accounts SET password_hash = %s, quota_octets = %s", _HASH.encode(), 1 << 30)
        yield World(api, ours, others, _people(api, ours, others))


def _write_samples(store: Store) -> None:
    """What the overview draws: an hour of one process."""
    minute = int(time.time()) // 60
    told = {
        "delivered": 120,
        "refused": 2,
        "cache_hits": 9,
        "cache_lookups": 10,
        "deliveries": 9,
        "delivery_seconds": 1,
    }
    written = [
        Sample(MINUTE, (minute - n) * 60_000_000, {**told, "delivered": 20 + n}, {"sessions_imap": 7}, {"garbage": 42})
        for n in range(1, 60)
    ]
    run(samples.write(store.database, b"p" * 16, written))


def _add_mail(api: Api, realm: Realm) -> None:
    for text in (_MAIL, b"Subject: ours deleted\r\n\r\nours, deleted\r\n"):
        message = put_message(api, realm.account, realm.mailbox, text)
    assert api.delete(f"/admin/messages/{message}").status == 204
    owner = Actor(f"owner@{realm.name}.example", "192.0.2.1", -1, account=realm.account)
    run(jobs.start(api.store.tx, owner, jobs.UNDELETE, {"subject": "deleted"}, account=AccountId(realm.account)))


def _people(api: Api, ours: Realm, others: Realm) -> Mapping[str, str]:
    tx = api.store.tx
    run(administrators.add_administrator(tx, OPERATOR, "root", _HASH))
    for realm in (ours, others):
        run(administrators.add_administrator(tx, OPERATOR, f"{realm.name}-admin", _HASH, [realm.domain]))
    return {
        "server": "root",
        "ours": "ours-admin",
        "others": "others-admin",
        "owner": "owner@ours.example",
        "other owner": "owner@others.example",
    }
