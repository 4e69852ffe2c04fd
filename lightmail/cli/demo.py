"""``lightmail demo``: the embedded server in the foreground, with an account, a few messages and an administrator."""

from __future__ import annotations

import os
import secrets
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click

from lightmail import app
from lightmail.app import Rows, systemd
from lightmail.app.privileges import prepare_directory
from lightmail.auth.passwords import hash_password
from lightmail.cli.common import account_id, console, in_reactor
from lightmail.cli.samples import sample_messages
from lightmail.config import Config, load
from lightmail.errors import AlreadyExists, StartupError
from lightmail.model import INBOX
from lightmail.operations.accounts import Change, add_account, change_account
from lightmail.operations.actors import Actor
from lightmail.operations.administrators import add_administrator, set_password
from lightmail.operations.domains import add_domain
from lightmail.store import accounts, administrators, mailboxes

DOMAIN: Final = "example.org"
ADDRESS: Final = f"demo@{DOMAIN}"
ADMINISTRATOR: Final = "demo"
_READY_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 60.0


@click.command("demo")
def demo() -> None:
    """Run the embedded server with a demo account, a few messages and an administrator, in the foreground.

    Everything is kept in ./var; running it again finds the mail of the first time.
    """
    # An empty LIGHTMAIL_CONFIG means: embedded, even where /etc/lightmail/config.ini exists.
    environ = {**os.environ, "LIGHTMAIL_CONFIG": ""}
    config = load(None, environ)
    if config.lmtp is None or config.api is None or config.imap is None or config.pop3 is None:
        raise StartupError("The demo needs every service of the embedded default.")
    prepare_directory(config.system)
    directory = Path(config.system.data_directory)
    password, sign_in = _password(directory / "demo-password"), _password(directory / "demo-admin-password")
    hashed, sign_in_hashed = hash_password(password), hash_password(sign_in)
    actor = console()

    async def make(rows: Rows) -> bool:
        await rows.database.migrate()
        untouched = await _prepare(rows, actor, hashed)
        await _appoint(rows, actor, sign_in_hashed)
        return untouched

    def prepare(reactor: Any) -> Awaitable[bool]:
        return app.with_rows(config, make, reactor, migrating=True)

    untouched = in_reactor(prepare)
    # The server itself says when it is ready, as to systemd: whatever answers on its ports may be another one.
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind("")  # Linux chooses a name
    environ["NOTIFY_SOCKET"] = "@" + told.getsockname()[1:].decode("ascii")
    twistd = Path(sys.executable).with_name("twistd")
    server = subprocess.Popen([twistd, "--nodaemon", "--pidfile=", "lightmail"], env=environ)
    signal.signal(signal.SIGTERM, lambda _number, _frame: server.terminate())
    try:
        with told:
            _wait_until_ready(server, told)
        if untouched:
            _deliver(config.lmtp.bind, config.lmtp.port)
        click.echo(_welcome(config, password, sign_in))
        status = server.wait()
    except KeyboardInterrupt:
        # Ctrl-C reached the server, too: it is stopping already.
        status = server.wait(_STOP_SECONDS)
    finally:
        if server.poll() is None:
            server.terminate()
            server.wait(_STOP_SECONDS)
    # twistd ends by the signal that told it to stop, after stopping in order: for us that is a success.
    sys.exit(max(status, 0))


async def _prepare(rows: Rows, actor: Actor, password_hash: str) -> bool:
    """Make the domain and the account, or give the account the password; True when no mail ever came."""
    with suppress(AlreadyExists):
        await add_domain(rows.transactions, actor, DOMAIN)
    try:
        await add_account(rows.transactions, actor, ADDRESS, password_hash)
    except AlreadyExists:
        existing = await account_id(rows, ADDRESS)
        await change_account(rows.transactions, actor, existing, Change(password_hash=password_hash))
    found = await rows.database.read("demo", accounts.by_address_txn, ADDRESS)
    assert found is not None
    inbox = await rows.database.read("demo", mailboxes.by_name_txn, found[0].id, INBOX)
    return inbox is None or inbox.uidnext == 1


async def _appoint(rows: Rows, actor: Actor, password_hash: str) -> None:
    """Make the administrator, or give him the password."""
    try:
        await add_administrator(rows.transactions, actor, ADMINISTRATOR, password_hash)
    except AlreadyExists:
        existing = await rows.database.read("demo", administrators.by_name_txn, ADMINISTRATOR)
        assert existing is not None
        await set_password(rows.transactions, actor, existing.administrator.id, password_hash)


def _password(path: Path) -> str:
    """A password: made once, then found again in `path`."""
    try:
        return path.read_text("ascii").strip()
    except FileNotFoundError:
        password = "-".join(secrets.token_hex(2) for _ in range(3))
    except (OSError, UnicodeDecodeError):
        raise StartupError(f"{path} cannot be read; remove it, or run as its owner.") from None
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(password + "\n")
    except OSError as error:
        raise StartupError(f"{path} cannot be written: {error.strerror}; run where you may write.") from None
    return password


def _wait_until_ready(server: subprocess.Popen[bytes], told: socket.socket) -> None:
    told.settimeout(0.1)
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit(server.returncode or 1)  # it has said why
        with suppress(TimeoutError):
            if told.recv(4096) == systemd.READY.encode("ascii"):
                return
    raise StartupError(f"The server was not ready within {_READY_SECONDS:.0f} s; see its log above.")


def _deliver(host: str, port: int) -> None:
    with smtplib.LMTP(host, port) as lmtp:
        for message in sample_messages(ADDRESS):
            lmtp.sendmail("welcome@example.org", [ADDRESS], message)


def _welcome(config: Config, password: str, sign_in: str) -> str:
    assert config.imap is not None
    assert config.pop3 is not None
    assert config.lmtp is not None
    assert config.api is not None
    assert config.tls is not None
    imap, pop3, lmtp, api = config.imap, config.pop3, config.lmtp, config.api
    return f"""
LightMail is running; its data is in {config.system.data_directory}. Ctrl-C stops it.

demo account: {ADDRESS} password: {password}

Admin web: http://{_host(api.bind)}:{api.port}/ name: {ADMINISTRATOR} password: {sign_in}

Settings for a mail client (user name: {ADDRESS}):
  IMAP    {imap.bind}  port {imap.ssl_port} with TLS, or {imap.port} with STARTTLS
  POP3    {pop3.bind}  port {pop3.ssl_port} with TLS, or {pop3.port} with STARTTLS
  The certificate signs itself: accept it once, or trust {config.tls.cert}

Mail comes in over LMTP at {lmtp.bind} port {lmtp.port}; http://{_host(api.bind)}:{api.port}/metrics tells how it goes.

A first look:
  curl --insecure --user {ADDRESS}:{password} 'imaps://{_host(imap.bind)}:{imap.ssl_port}/INBOX;MAILINDEX=1'
"""


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
