"""What verifying costs: ``python -m bench verify`` fills a store with messages and looks at all of it, quick and deep.

Rows are in SQLite or MariaDB, objects in a directory or on an S3 server; each object has ten messages that refer to it,
so that the rows of a large store fit beside the objects of a small one. The pauses between steps are part of the time.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Sequence

from bench.garbage import Site, open_site
from bench.messages import message
from lightmail.jobs.verify import Hands, Options, Report, verify
from lightmail.model import Account, MailboxId
from lightmail.objects.writing import BlobWriter
from lightmail.operations.append import NewMessage, append
from lightmail.operations.copy import copy
from lightmail.operations.mailboxes import create
from tests.support.reactor import run
from tests.support.storekit import NOW_US

_AT_ONCE = 200
_OCTETS = 10_240
_COPIES = ("Sent", "Drafts", "Trash", "Junk", "Archive", "Older", "Oldest", "Lists", "Reports")


def main(count: int) -> None:
    """Print a table: µs of CPU and of time, statements (round trips on MariaDB) and store calls for each run."""
    print("| run | stores | of | µs CPU | µs CPU, servers | µs | statements per 1,000 | store calls per 1,000 |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in ("sqlite-directory", "mariadb-s3"):
        with contextlib.ExitStack() as stack:
            for line in _lines(open_site(name, stack), count):
                print(line, flush=True)


def _lines(site: Site, count: int) -> list[str]:
    account = site.store.account()
    inbox = site.store.mailbox(account).id
    _fill(site, account, inbox, count)
    for name in _COPIES:
        _copy(site, account, inbox, name, count)
    rows = count * (1 + len(_COPIES))

    async def look(deep: bool) -> Report:
        report = await verify(Hands(site.store.tx, site.objects, site.pool), Options(deep=deep, restart=True))
        assert report.clean, report.counts
        return report

    return [
        site.measure("quick, a message", rows, lambda: look(False)),
        site.measure("deep, an object", count, lambda: look(True)),
    ]


def _fill(site: Site, account: Account, inbox: MailboxId, count: int) -> None:
    writer = BlobWriter(site.objects, "zstd", 3, None)
    owners = [(account.uuid, inbox)]

    def write(numbers: Sequence[int]) -> list[NewMessage]:
        made = []
        for number in numbers:
            octets = message(1, number, _OCTETS)
            blob = writer.write(
                io.BytesIO(octets),
                len(octets),
                now_us=time.time_ns() // 1000,
                internaldate_us=NOW_US,
                owners=owners,
            )
            made.append(NewMessage(blob, (), NOW_US))
        return made

    for start in range(0, count, _AT_ONCE):
        made = run(site.pool.run(write, range(start, min(start + _AT_ONCE, count))))
        run(append(site.store.tx, account, inbox, made))


def _copy(site: Site, account: Account, inbox: MailboxId, name: str, count: int) -> None:
    if name not in site.store.names(account):
        run(create(site.store.tx, account, name))
    destination = site.store.mailbox(account, name).id
    for start in range(1, count + 1, 2000):
        uids = range(start, min(start + 2000, count + 1))
        run(copy(site.store.tx, account, inbox, uids, destination))
