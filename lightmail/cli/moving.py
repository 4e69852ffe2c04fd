"""What `import` and `export` share: whose mail it is, a bar that counts messages, an end before the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

from lightmail.app import Rows
from lightmail.cli.common import Refused
from lightmail.errors import NoSuchAccount
from lightmail.model import Account
from lightmail.store import accounts
from lightmail.store.addresses import normalised

UNFINISHED = 2


async def account_of(rows: Rows, address: str) -> Account:
    """The account of that address. Raises Refused, Invalid, Unavailable."""
    found = await rows.database.read("cli", accounts.by_address_txn, normalised(address))
    if found is None:
        raise Refused(f"{address}: {NoSuchAccount()}")
    return found[0]


@contextmanager
def message_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on the terminal, none elsewhere; it is told the mailbox, how many messages are done, and how many there
    are."""
    if not sys.stderr.isatty():
        yield lambda _name, _done, _total: None
        return
    with click.progressbar(length=1, file=sys.stderr, show_pos=True, item_show_func=lambda name: name or "") as bar:

        def told(name: str, done: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos, name)

        yield told


def unfinished(verb: str, why: str) -> NoReturn:
    """Say why the run did not come to its end, and exit."""
    click.echo(f"lightmail: {verb} could not finish: {why}; the same command goes on from there", err=True)
    sys.exit(UNFINISHED)
