"""LightMail as users run it: a `twistd` process with a configuration file, the `lightmail` command beside it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import bcrypt
from twisted.internet import reactor

from lightmail.app import Rows, with_rows
from lightmail.app.certificate import make_self_signed
from lightmail.config import DatabaseConfig, TlsConfig, load
from lightmail.operations.accounts import add_account
from lightmail.operations.domains import add_domain
from tests.support.actors import OPERATOR
from tests.support.reactor import run
from tests.support.seaweedfs import SeaweedFS, free_ports

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
START_SECONDS = 60
STOP_SECONDS = 60

Sections = dict[str, dict[str, object]]


def program(name: str) -> str:
    """A console script of the environment that runs the tests."""
    return str(Path(sys.executable).with_name(name))


def environment(**more: str) -> dict[str, str]:
    """The environment for a process that is to import this checkout, whatever is installed."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LIGHTMAIL_")}
    return {**inherited, "PYTHONPATH": str(ROOT), **more}


def mysql_section(config: DatabaseConfig) -> dict[str, object]:
    """The [database] section for a MariaDB of `tests.support.mariadb`."""
    return {
        "driver": "mysql",
        "socket": config.socket or "",
        "host": config.host,
        "port": config.port,
        "user": config.user,
        "password": config.password,
        "database": config.database,
    }


def s3_section(server: SeaweedFS, bucket: str | None = None) -> dict[str, object]:
    """The [s3] section for a SeaweedFS of `tests.support.seaweedfs`."""
    return {
        "endpoint": server.endpoint,
        "bucket": bucket or server.bucket,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
    }


class MailServer:
    """One server: its directory, its ports, its configuration file, and the process while it runs.

    Without `sections` it has SQLite and a directory; `sections` replaces or adds keys, None removes a section.
    """

    def __init__(self, directory: Path, sections: Mapping[str, Mapping[str, object] | None] | None = None) -> None:
        self.directory = directory
        self.process: subprocess.Popen[bytes] | None = None
        self.imap, self.imaps, self.pop3, self.pop3s, self.lmtp, self.http = free_ports(6)
        self.socket = directory / "lmtp.sock"
        self.tls = TlsConfig(str(directory / "tls" / "cert.pem"), str(directory / "tls" / "key.pem"))
        make_self_signed(self.tls, "mail.example.org")
        self.sections: Sections = self._defaults()
        for name, keys in (sections or {}).items():
            if keys is None:
                self.sections.pop(name, None)
            else:
                self.sections[name] = {**self.sections.get(name, {}), **keys}
        self.config = directory / "config.ini"
        self.write_config()

    def _defaults(self) -> Sections:
        return {
            "system": {"hostname": "mail.example.org", "data_directory": self.directory / "data"},
            "database": {"driver": "sqlite"},
            "storage": {"driver": "directory"},
            "tls": {"cert": self.tls.cert, "key": self.tls.key},
            "imap": {"bind": HOST, "port": self.imap, "ssl_port": self.imaps},
            "pop3": {"bind": HOST, "port": self.pop3, "ssl_port": self.pop3s},
            "lmtp": {"bind": HOST, "port": self.lmtp, "socket": self.socket, "socket_mode": "666"},
            "api": {"bind": HOST, "port": self.http},
        }

    def ports(self) -> dict[str, str]:
        """The environment that moves the embedded default to this server's ports, for others may be testing here."""
        moved = {
            "LIGHTMAIL_IMAP_PORT": self.imap,
            "LIGHTMAIL_IMAP_SSL_PORT": self.imaps,
            "LIGHTMAIL_POP3_PORT": self.pop3,
            "LIGHTMAIL_POP3_SSL_PORT": self.pop3s,
            "LIGHTMAIL_LMTP_PORT": self.lmtp,
            "LIGHTMAIL_API_PORT": self.http,
        }
        return {name: str(port) for name, port in moved.items()}

    def write_config(self) -> None:
        """Write the sections to the configuration file, in one piece: a server may read it just then."""
        lines = []
        for name, keys in self.sections.items():
            lines += [f"[{name}]", *(f"{key} = {value}" for key, value in keys.items()), ""]
        whole = self.config.with_suffix(".new")
        whole.write_text("\n".join(lines))
        whole.replace(self.config)

    def cli(self, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `lightmail ARGUMENTS --config FILE`."""
        done = subprocess.run(
            [sys.executable, "-m", "lightmail.cli", *arguments, "--config", str(self.config)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=self.directory,
            env=environment(),
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def populate(self, *addresses: str, password: str = "secret") -> None:
        """Lay the schema, the domains and the accounts, without a process of the command line for each."""
        config = load(str(self.config), {})
        cheap = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()

        async def migrate(rows: Rows) -> None:
            await rows.database.migrate()

        async def add(rows: Rows) -> None:
            for domain in {address.partition("@")[2] for address in addresses}:
                await add_domain(rows.transactions, OPERATOR, domain)
            for address in addresses:
                await add_account(rows.transactions, OPERATOR, address, cheap)

        run(with_rows(config, migrate, reactor, migrating=True))
        run(with_rows(config, add, reactor))

    def account(self, address: str, password: str = "secret", *options: str) -> None:
        """Add an account."""
        self.cli("account", "add", address, "--password-stdin", *options, stdin=password + "\n")

    def launch(self, **environ: str) -> subprocess.Popen[bytes]:
        """Start the process and do not wait."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [program("twistd"), "--nodaemon", "--pidfile=", "lightmail", "--config", str(self.config)],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(**environ),
            )
        return self.process

    def start(self) -> None:
        """Start the process and wait until it is ready."""
        self.launch()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait for /ready; AssertionError with the log when the process ends or takes too long instead."""
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                status = self.process.poll()
                self.kill()
                raise AssertionError(f"twistd is not ready, its status is {status}:\n{self.log()[-3000:]}")
            time.sleep(0.05)

    def ready(self) -> bool:
        """Whether /ready says yes."""
        try:
            return self.get("/ready")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def get(self, path: str) -> tuple[int, bytes]:
        """A page of the HTTP listener."""
        connection = http.client.HTTPConnection(HOST, self.http, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def stop(self) -> int:
        """Stop it as systemd would; its exit status."""
        self.terminate()
        return self.wait()

    def terminate(self) -> None:
        """Tell it to stop."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Wait for its end; its exit status, where ending by SIGTERM is 0, as it is to systemd."""
        process, self.process = self.process, None
        assert process is not None
        try:
            status = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        # twistd stops in order and then ends by the signal that it was told to stop with.
        return 0 if status == -signal.SIGTERM else status

    def kill(self) -> None:
        """Stop it as a crash would."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()

    @property
    def log_path(self) -> Path:
        """Where the process's output goes."""
        return self.directory / "log"

    def log(self) -> str:
        """What the process has said so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def deliver(self, recipient: str, message: bytes, sender: str = "sender@example.net") -> None:
        """Deliver a message over LMTP."""
        with smtplib.LMTP(HOST, self.lmtp, timeout=60) as lmtp:
            lmtp.sendmail(sender, [recipient], message)

    def checks(self) -> dict[str, str]:
        """What /ready says of each check."""
        found: dict[str, str] = json.loads(self.get("/ready")[1])["checks"]
        return found
