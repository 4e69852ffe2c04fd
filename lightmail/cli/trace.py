"""``lightmail trace``: where is my mail? It reads the log of this host, whether or not a server runs."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import click

from lightmail.cli.common import Refused, config_option, configuration
from lightmail.cli.undelete import Moment
from lightmail.records import Blocks, Search, Wanted, file_blocks, stream_blocks

_TRACE: Final = re.compile(r"[0-9a-f]{12,16}(?:\.\d{1,9})?", re.IGNORECASE)
# As far back as a file is read.
_OCTETS: Final = 4 << 30


@click.command("trace")
@click.argument("word", metavar="ID|ADDRESS|MESSAGE-ID")
@click.option("--log", "path", metavar="FILE", help="The log; - is standard input. Without it, [logging] path.")
@click.option("--since", type=Moment(), help="Not what is older: 2026-03-01, 2026-03-01T14:05, or an age: 3d.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=10_000, help="At most so many records, the newest.")
@config_option
def trace(word: str, path: str | None, since: int | None, limit: int) -> None:
    """Show what the log says of a message, an account or a session.

    ID is what Received fields and the log name a mail transaction or a session by. With ADDRESS or MESSAGE-ID all
    records of the mail transactions come that name it: from LMTP to the clients that were told. Servers that log to
    the journal are asked by

        journalctl -u lightmail -o cat --since yesterday | lightmail trace ada@example.org --log -
    """
    search = Search(_wanted(word, since), _blocks(path), limit)
    while search.step():
        pass
    for line in reversed(search.found):
        click.echo(line)
    if not search.complete:
        click.echo(f"lightmail: these are the newest {limit} records; --since and --limit choose others", err=True)
    if not search.found:
        raise Refused(f"the log says nothing of {word}")


def _wanted(word: str, since: int | None) -> Wanted:
    moment = ""
    if since is not None:
        moment = datetime.fromtimestamp(since / 1_000_000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
    if _TRACE.fullmatch(word):
        return Wanted(trace=word, since=moment)
    if word.startswith("<"):
        return Wanted(message_id=word, since=moment)
    return Wanted(address=word, since=moment)


def _blocks(path: str | None) -> Blocks:
    if path == "-":
        blocks = list(stream_blocks(_standard_input()))
        return lambda: blocks
    if path is None:
        path = configuration().logging.path
        if path is None:
            raise Refused("[logging] path is not set; name the log with --log FILE, or pipe the journal into --log -")
    paths = [path, f"{path}.1"]
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from None
    return lambda: file_blocks(paths, _OCTETS)


def _standard_input() -> Iterator[str]:
    for line in sys.stdin.buffer:
        yield line.decode("utf-8", "replace").rstrip("\n")
