"""The steps of Dockerfile and compose.yaml, done on a machine of its own where there is no engine to do them.

Debian's MariaDB and PyPI's SeaweedFS stand in the places of their images, all containers share one root and one
network, and ports are the containers' own. The same are each command, each variable, the user, and what is copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.containers import Instruction, compose, dockerfile
from tests.support.machine import ROOT, Machine, missing

pytestmark = pytest.mark.heavy

CHECKOUT = "/home/ada/lightmail"
PASSWORD = "correct-horse-battery"
GIVEN = {
    "MAIL_HOST": "mail.example.org",
    "DATABASE_PASSWORD": "d" * 32,
    "S3_SECRET_KEY": "s" * 40,
    "API_TOKEN": "t" * 48,
}
# In one network both cannot have port 8080.
ELSEWHERE = ("-dir=/srv/objects", "-volume.port=8334", "-s3.port.iceberg=0", "-s3.port.lance=0")
MESSAGE = "From: grace@example.net\r\nTo: ada@example.org\r\nSubject: In a container\r\n\r\nIt works.\r\n"


@dataclass
class Image:
    """What a container of the image runs as."""

    environ: str = ""
    user: str = "root"
    directory: str = "/"
    command: tuple[str, ...] = ()
    check: tuple[str, ...] = ()


class Containers:
    """Runs services of the compose file, each as a unit of the machine's systemd."""

    def __init__(self, machine: Machine, image: Image) -> None:
        self.machine = machine
        self.image = image
        self.services: dict[str, Any] = compose(ROOT / "compose.yaml", GIVEN)["services"]

    def once(self, name: str, *command: str) -> str:
        """Run a command in a service's container; what it prints."""
        environ, user, directory = self._as(name)
        nobody = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--no-new-privs"]
        return self.machine.run(*(nobody if user != "root" else []), "env", "-C", directory, *environ, *command)

    def start(self, name: str, *command: str) -> None:
        """Start a service."""
        environ, user, directory = self._as(name)
        options = [
            f"--unit={name}",
            f"--uid={user}",
            f"--working-directory={directory}",
            "--property=NoNewPrivileges=yes",
        ]
        self.machine.run("systemd-run", "--quiet", *options, "env", *environ, *command)

    def _as(self, name: str) -> tuple[list[str], str, str]:
        """The environment, the user and the directory of a service's commands."""
        service = self.services[name]
        environ = [f"{key}={value}" for key, value in service.get("environment", {}).items()]
        if service["image"] != "lightmail":
            return environ, "root", "/"
        return [*environ, self.image.environ], self.image.user, self.image.directory


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    why = missing()
    if why is not None:
        pytest.skip(why)
    with Machine(CHECKOUT) as machine:
        yield machine


@pytest.fixture(scope="module")
def image(machine: Machine) -> Image:
    """The image, built."""
    made = Image()
    for step in dockerfile(ROOT / "Dockerfile"):
        match step.name:
            case "FROM":
                made = Image()
            case "RUN":
                machine.run("env", "-C", made.directory, "sh", "-euc", step.text)
            case "COPY" if "--from" not in step.text:
                copy(machine, made.directory, step)
            case "WORKDIR":
                machine.run("mkdir", "-p", step.text)
                made.directory = step.text
            case "ENV":
                made.environ = step.text
            case "USER":
                made.user = step.text
            case "CMD":
                made.command = tuple(step.words)
            case "HEALTHCHECK":
                check = Instruction("CMD", step.text.partition("CMD ")[2], step.stage)
                made.check = tuple(check.words)
    return made


def copy(machine: Machine, directory: str, step: Instruction) -> None:
    """Copy as an engine does: of a directory its content; a target that ends with a slash is a directory."""
    *sources, target = step.words
    goal = target if target.startswith("/") else f"{directory}/{target}"
    if (ROOT / sources[0]).is_dir():
        machine.run("mkdir", "-p", goal)
        machine.run("cp", "-R", f"{CHECKOUT}/{sources[0]}/.", goal)
    else:
        machine.run("mkdir", "-p", goal.rpartition("/")[0])
        machine.run("cp", *(f"{CHECKOUT}/{source}" for source in sources), goal)


@pytest.fixture(scope="module")
def containers(machine: Machine, image: Image) -> Containers:
    """All services of the compose file, up, in the order that it asks for."""
    up = Containers(machine, image)
    hosts = machine.files / "etc" / "hosts"
    hosts.write_text(hosts.read_text() + "127.0.0.1 database objects\n")
    rows = up.services["database"]["environment"]
    machine.run("systemctl", "start", "mariadb")
    sql = "CREATE DATABASE {0}; CREATE USER '{1}'@'%' IDENTIFIED BY '{2}'; GRANT ALL ON {0}.* TO '{1}'@'%'"
    machine.run("mariadb", "-e", sql.format(rows["MARIADB_DATABASE"], rows["MARIADB_USER"], rows["MARIADB_PASSWORD"]))
    machine.run("mkdir", "-p", "/srv/objects")
    up.start("objects", "/usr/lib/machine/scripts/weed", *up.services["objects"]["command"], *ELSEWHERE)
    bucket = up.services["bucket"]
    for _ in range(2):  # the second time it is there
        up.once("bucket", *bucket["entrypoint"], *bucket["command"])
    machine.run("env", "-C", CHECKOUT, "sh", "-euc", f"{certificate()}cp -Rp tls /etc/lightmail/")
    up.once("migrate", *up.services["migrate"]["command"])
    up.start("mail", *image.command)
    machine.run(*"curl --silent --fail --retry 100 --retry-delay 1 --retry-all-errors 127.0.0.1:8080/ready".split())
    return up


def certificate() -> str:
    """The commands of docs/install.md that make the certificate."""
    text = (ROOT / "docs" / "install.md").read_text()
    return text[text.index("install -d -m 750 tls") : text.index("(umask 077; cat > .env)")]


def test_mail_comes_in_and_is_read(containers):
    machine = containers.machine
    containers.once("mail", "lightmail", "domain", "add", "example.org")
    account = "lightmail account add ada@example.org --quota 10G --password-stdin"
    containers.once("mail", "sh", "-c", f"echo {PASSWORD} | {account}")
    deliver = "import smtplib, sys; smtplib.LMTP('127.0.0.1', 1024).sendmail(*sys.argv[1:])"
    machine.run("/usr/bin/python3", "-c", deliver, "grace@example.net", "ada@example.org", MESSAGE)
    asked = f"curl --silent --show-error --cacert {CHECKOUT}/tls/fullchain.pem --user ada@example.org:{PASSWORD}"
    assert "It works." in machine.run(*asked.split(), "imaps://mail.example.org:1993/INBOX;MAILINDEX=1")


def test_it_is_found_healthy_and_does_as_it_is_told(containers):
    containers.once("mail", *containers.image.check)
    assert ", 0 bad" in containers.once("mail", "lightmail", "doctor")
    token = f"Authorization: Bearer {GIVEN['API_TOKEN']}"
    asked = ("curl", "--silent", "--show-error", "--fail", "--header", token)
    assert "example.org" in containers.machine.run(*asked, "http://127.0.0.1:8080/admin/domains")


def test_it_stops_in_order(containers):
    containers.machine.run("systemctl", "stop", "mail")
    said = containers.machine.run("journalctl", "--no-pager", "--unit", "mail")
    assert "stopped" in said
    assert "Traceback" not in said
    assert "Failed with result" not in said
