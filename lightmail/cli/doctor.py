"""``lightmail doctor``: look at everything that a server needs, and say what to do.

Exit status: 0 when nothing is bad, 1 when something is.
"""

from __future__ import annotations

import json
import sys
from collections import Counter

import click

from lightmail.app.doctor import Check, Verdict, examine
from lightmail.cli.common import config_option, configuration
from lightmail.errors import ConfigError

_NOTHING_BAD, _BAD = 0, 1
_COLOURS = {Verdict.GOOD: "green", Verdict.WARNING: "yellow", Verdict.BAD: "red"}


@click.command("doctor")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document of all checks.")
@click.option("--quiet", is_flag=True, help="Print only what is not good.")
def doctor(as_json: bool, quiet: bool) -> None:
    """Check configuration, certificate, ports, directories, database, object store and clocks.

    The server may run meanwhile, or not yet. Run it as root, or as the server's user. Exit status: 0 when nothing is
    bad, 1 when something is.
    """
    try:
        config = configuration()
    except ConfigError as error:
        found = [Check("configuration", "the file", Verdict.BAD, str(error), "correct it (docs/configure.md)")]
    else:
        found = []
        for check in examine(config):
            found.append(check)
            if not as_json:
                _show(check, quiet)
    counts = Counter(check.verdict for check in found)
    if as_json:
        click.echo(json.dumps({"bad": counts[Verdict.BAD], "checks": [check.document() for check in found]}))
    else:
        if len(found) == 1:
            _show(found[0], quiet)
        bad, warnings, good = counts[Verdict.BAD], counts[Verdict.WARNING], counts[Verdict.GOOD]
        click.echo(f"{good} good, {warnings} to think about, {bad} bad")
    sys.exit(_BAD if counts[Verdict.BAD] else _NOTHING_BAD)


def _show(check: Check, quiet: bool) -> None:
    if quiet and check.verdict is Verdict.GOOD:
        return
    verdict = click.style(f"{check.verdict.value:7}", fg=_COLOURS[check.verdict])
    click.echo(f"{verdict}  {check.name}: {check.looked_at}: {check.found}")
    if check.advice:
        click.echo(f"         → {check.advice}")
