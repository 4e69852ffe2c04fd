"""What the verbs share: ``--config FILE``, one reactor run per verb, passwords, sizes, tables."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import click
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from lightmail import app
from lightmail.app import Rows, Stores, intake
from lightmail.app.intake import Intake
from lightmail.app.privileges import drop, prepare_directory
from lightmail.config import Config, load
from lightmail.config.values import octets
from lightmail.config.values import size_text as size_text
from lightmail.errors import Invalid, MailError, NoSuchAccount, NoSuchDomain
from lightmail.model import AccountId
from lightmail.operations.actors import CONSOLE, Actor
from lightmail.store import accounts, domains
from lightmail.store.addresses import normalised, normalised_domain

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_CONFIG = "lightmail.config"


def explained(error: Exception) -> str:
    """An error as an operator is told of it: more than a client is, where the error knows more."""
    return (error.reason if isinstance(error, MailError) else None) or str(error)


def config_option(command: F) -> F:
    """The option ``--config FILE``, before the verb or after it."""

    def remember(context: click.Context, _option: click.Parameter, path: str | None) -> None:
        if path is not None:
            context.find_root().meta[_CONFIG] = path

    option = click.option(
        "-c",
        "--config",
        metavar="FILE",
        expose_value=False,
        callback=remember,
        help="Configuration file; the default is /etc/lightmail/config.ini if it exists, else the embedded default.",
    )
    return option(command)


def configuration() -> Config:
    """The configuration that the command line names. Raises ConfigError."""
    return load(click.get_current_context().find_root().meta.get(_CONFIG))


def operator() -> str:
    """The system user who runs this, as the audit log names him."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    behind = os.environ.get("SUDO_USER")
    return f"{name} ({behind} by sudo)" if behind else name


def console() -> Actor:
    """Who runs this, as operations want him: whoever may read the configuration may do everything. To be asked before
    `with_rows`, which drops root's rights."""
    return Actor(operator(), CONSOLE)


class Refused(Exception):
    """What a verb was asked to do cannot be done; the text is one line that names the address or domain."""


def with_rows(work: Callable[[Rows], Awaitable[T]], about: str = "", *, migrating: bool = False) -> T:
    """The result of `work` on the configured database, which is checked first unless `migrating`.

    `about` is the address or domain that a refusal names, for a script that adds a thousand.
    Root becomes [system] owner first, as the server does: files that SQLite makes must be the server's.
    """
    config = _as_owner(configuration())
    try:
        return in_reactor(lambda reactor: app.with_rows(config, work, reactor, migrating=migrating))
    except MailError as error:
        if not about:
            raise
        raise Refused(f"{about}: {error}") from error


def with_stores(work: Callable[[Stores], Awaitable[T]]) -> T:
    """The result of `work` on the configured database, which is checked first, and object store, which is not."""
    config = _as_owner(configuration())
    return in_reactor(lambda reactor: app.with_stores(config, work, reactor))


def with_intake(work: Callable[[Intake], Awaitable[T]], *, writing: bool) -> T:
    """The result of `work` on the configured stores, with what reads and, if `writing`, writes messages."""
    config = _as_owner(configuration())
    return in_reactor(lambda reactor: intake.with_intake(config, work, reactor, writing=writing))


def _as_owner(config: Config) -> Config:
    """Become [system] owner where this process is root."""
    if config.database.driver == "sqlite":
        prepare_directory(config.system)
    drop(config.system)
    return config


async def account_id(rows: Rows, address: str) -> AccountId:
    """The account of an address as people write it. Raises NoSuchAccount, Invalid."""
    found = await rows.database.read("cli", accounts.by_address_txn, normalised(address))
    if found is None:
        raise NoSuchAccount
    return found[0].id


async def domain_id(rows: Rows, name: str) -> int:
    """The domain of a name as people write it. Raises NoSuchDomain, Invalid."""
    found = await rows.database.read("cli", domains.by_name_txn, normalised_domain(name))
    if found is None:
        raise NoSuchDomain
    return found.id


def in_reactor(main: Callable[[Any], Awaitable[T]]) -> T:
    """The result of `main(reactor)`; its exception is raised here. Only once in a process: reactors end once."""
    from twisted.internet import reactor as the_reactor

    reactor: Any = the_reactor  # imported late: importing it installs it
    outcome: list[T | Failure] = []

    async def run() -> T:
        return await main(reactor)

    def begin() -> None:
        def end(result: T | Failure) -> None:
            outcome.append(result)
            reactor.stop()

        Deferred.fromCoroutine(run()).addBoth(end)

    reactor.callWhenRunning(begin)
    reactor.run()
    if not outcome:
        raise click.Abort  # SIGINT or SIGTERM ended the reactor first
    result = outcome[0]
    if isinstance(result, Failure):
        assert result.value is not None
        raise result.value
    return result


def read_password(from_stdin: bool) -> str:
    """A password from the first line of standard input, or asked for twice on the terminal."""
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        raise Invalid("There is no terminal to ask for the password; use --password-stdin.")
    if not password:
        raise Invalid("The password is empty.")
    return password


class Size(click.ParamType[int]):
    """Octets, such as 10G; 0 means none."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The size in octets."""
        if isinstance(value, int):
            return value
        try:
            return int(octets()(value))
        except ValueError as error:
            self.fail(f"must be {error}", param, ctx)


def table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns, the first row as the heading."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
