"""``lightmail verify``: whether rows and objects agree, while the server runs.

Exit status: 0 when everything holds (after the repairs, if any), 1 when something does not, 2 when the run could not be
finished; the next one goes on from there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from lightmail.app import Stores
from lightmail.cli.common import Refused, config_option, configuration, explained, with_stores
from lightmail.config import Config
from lightmail.errors import ConfigError, MailError, NoSuchAccount, StartupError
from lightmail.jobs.verify import Finding, Hands, Options, Report
from lightmail.jobs.verify import verify as run
from lightmail.model import AccountId
from lightmail.store import accounts
from lightmail.store.addresses import normalised

_CLEAN, _FINDINGS, _UNFINISHED = 0, 1, 2
_NOTCHES = 1000


@click.command("verify")
@config_option
@click.option("--repair", is_flag=True, help="Put right what can be; no object and no message is ever deleted.")
@click.option("--deep", is_flag=True, help="Read every object, too, and hold it against its row and its rendering.")
@click.option("--account", metavar="ADDRESS", help="Only the mail of one account.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document for each finding, and one for the sum.")
@click.option("--restart", is_flag=True, help="Begin anew, though an earlier run was interrupted.")
@click.option(
    "--rate", type=click.IntRange(0), default=0, help="Look at so many rows or objects a second; 0: no limit."
)
@click.option(
    "--readers", type=click.IntRange(1, 16), default=4, show_default=True, help="Objects read at once by --deep."
)
def verify(
    repair: bool, deep: bool, account: str | None, as_json: bool, restart: bool, rate: int, readers: int
) -> None:
    """Verify that messages, objects and what is counted of them agree; the server may run meanwhile.

    Prints a line for each finding. Exit status: 0 when all holds, 1 when something does not, 2 when the run could not
    be finished, which the next one then goes on with.
    """
    try:
        grace_hours = _grace_hours(configuration())
        with _bar() as progress:

            async def work(stores: Stores) -> Report:
                options = Options(
                    deep=deep,
                    mending=repair,
                    account=None if account is None else await _account(stores, account),
                    restart=restart,
                    rate=rate,
                    readers=readers,
                    grace_hours=grace_hours,
                )
                hands = Hands(stores.transactions, stores.objects, stores.pool)
                return await run(hands, options, found=_printed(as_json), progress=progress)

            report = with_stores(work)
    except (ConfigError, StartupError, MailError, Refused) as error:
        click.echo(f"lightmail: verify could not finish: {explained(error)}", err=True)
        sys.exit(_UNFINISHED)
    except click.Abort:
        click.echo("lightmail: verify was interrupted; the next run goes on from there", err=True)
        sys.exit(_UNFINISHED)
    click.echo(json.dumps(report.document()) if as_json else _summary(report))
    sys.exit(_CLEAN if report.clean else _FINDINGS)


def _grace_hours(config: Config) -> int:
    """How old an object without a row must be to be a finding: the collector's own grace, where that is configured."""
    return config.garbage.grace_hours if config.garbage is not None else Options().grace_hours


async def _account(stores: Stores, address: str) -> AccountId:
    found = await stores.database.read("cli", accounts.by_address_txn, normalised(address))
    if found is None:
        raise Refused(f"{address}: {NoSuchAccount()}")
    return found[0].id


def _printed(as_json: bool) -> Callable[[Finding], None]:
    def show(finding: Finding) -> None:
        if sys.stderr.isatty():
            click.echo("\r\x1b[K", nl=False, err=True)  # the bar is drawn again below
        click.echo(json.dumps(finding.document()) if as_json else finding.line())

    return show


@contextmanager
def _bar() -> Iterator[Callable[[str, float], None]]:
    """A progress bar on the terminal, none elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _name, _done: None
        return
    with click.progressbar(length=_NOTCHES, file=sys.stderr, item_show_func=lambda name: name or "") as bar:

        def progress(name: str, done: float) -> None:
            bar.update(max(int(done * _NOTCHES) - bar.pos, 0), name)

        yield progress


def _summary(report: Report) -> str:
    looked = ", ".join(f"{name} {count}" for name, count in report.looked.items() if count)
    lines = [f"{kind}: {found} found, {repaired} repaired" for kind, (found, repaired) in sorted(report.counts.items())]
    if report.resumed:
        lines.insert(0, "went on where an earlier run was interrupted; its findings are counted in")
    lines.append(f"looked at: {looked or 'nothing'}; {report.seconds:.1f} s")
    left = report.found - report.repaired
    remain = "1 finding remains" if left == 1 else f"{left} findings remain"
    lines.append("all holds" if report.clean else f"{remain}; see docs/verify.md")
    return "\n".join(lines)
