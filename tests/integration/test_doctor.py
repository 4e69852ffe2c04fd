"""`lightmail doctor`: what it finds of stores that serve, and of each thing that is wrong with them."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lightmail.app.doctor import (
    Check,
    Verdict,
    certificates,
    clocks,
    databases,
    directories,
    doors,
    files,
    objects,
    scanners,
)
from lightmail.config import (
    ClamavConfig,
    Config,
    ImapConfig,
    LmtpConfig,
    S3Config,
    StorageConfig,
    SystemConfig,
    TlsConfig,
    load,
)
from lightmail.objects.backends import open_unmetered
from tests.integration.servers import HOST, MailServer
from tests.support import clamd as clamds
from tests.support import mariadb
from tests.support.clamd import Clamd
from tests.support.scriptedclamd import answering, daemon
from tests.support.seaweedfs import free_ports

GOOD, WARNING, BAD = Verdict.GOOD, Verdict.WARNING, Verdict.BAD


def verdicts(checks: list[Check]) -> dict[str, Verdict]:
    """The worst that was said under each name."""
    order = [GOOD, WARNING, BAD]
    found: dict[str, Verdict] = {}
    for check in checks:
        found[check.name] = max(found.get(check.name, GOOD), check.verdict, key=order.index)
        assert bool(check.advice) == (check.verdict is not GOOD), check
    return found


# --- as operators run it ---


def test_a_server_on_mariadb_and_s3_that_serves(production: MailServer) -> None:
    production.config.chmod(0o600)
    production.directory.chmod(0o711)
    done = production.cli("doctor", check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "0 bad" in done.stdout
    assert f"good     port: [imap] port = {production.imap}: LightMail listens" in done.stdout
    assert f"good     port: [imap] ssl_port = {production.imaps}: LightMail listens" in done.stdout
    for name in ("schema", "grants", "objects", "clock of the database", "clock of the objects", "name", "socket"):
        assert f"good     {name}: " in done.stdout, done.stdout


def test_a_file_that_everybody_may_read_may_hold_no_password(tmp_path: Path) -> None:
    server = MailServer(tmp_path, {"api": {"token": "a-token-of-some-length"}})
    server.config.chmod(0o644)
    assert verdicts(list(files.look(load(str(server.config)))))["secrets"] is BAD
    server.sections["api"].pop("token")
    server.write_config()
    from_elsewhere = load(str(server.config), {"LIGHTMAIL_API_TOKEN": "a-token-of-some-length"})
    assert verdicts(list(files.look(from_elsewhere)))["secrets"] is GOOD


def test_what_is_wrong_is_told_with_what_to_do(tmp_path: Path) -> None:
    server = MailServer(tmp_path, {"lmtp": {"socket": tmp_path / "none" / "s"}, "api": {"token": "sesame"}})
    server.config.chmod(0o644)
    with socket.create_server((HOST, server.imap)):
        done = server.cli("doctor", "--quiet", check=False)
    assert done.returncode == 1
    assert "port: [imap] port" in done.stdout
    assert "run `lightmail migrate`" in done.stdout
    assert f"chmod o-rwx {server.config}" in done.stdout
    assert "sesame" not in done.stdout + done.stderr
    assert "\ngood " not in done.stdout
    server.config.write_text("[imap]\nprot = 1\n")
    done = server.cli("doctor", "--json", check=False)
    assert done.returncode == 1
    assert '"bad": 1' in done.stdout
    assert "did you mean port" in done.stdout


# --- each look ---


def config_of(production: MailServer) -> Config:
    return load(str(production.config))


def test_databases_that_do_not_serve(production: MailServer) -> None:
    config = config_of(production)
    assert set(verdicts(list(databases.look(config))).values()) <= {GOOD, WARNING}
    for change, words in (({"password": "wrong"}, "wrong user or password"), ({"database": "no_such"}, "")):
        (check,) = databases.look(replace(config, database=replace(config.database, **change)))
        assert check.verdict is BAD
        assert words in check.found


def test_grants_that_do_not_suffice(production: MailServer) -> None:
    config = config_of(production).database
    with mariadb.server().connect() as admin, admin.cursor() as cursor:
        cursor.execute("CREATE USER auditor@localhost IDENTIFIED BY 'r'")
        cursor.execute(f"GRANT SELECT ON `{config.database}`.* TO auditor@localhost")
    try:
        auditor = replace(config, user="auditor", password="r")
        found = verdicts(list(databases.look(replace(config_of(production), database=auditor))))
        assert (found["grants"], found["schema"]) == (BAD, BAD)
    finally:
        with mariadb.server().connect() as admin, admin.cursor() as cursor:
            cursor.execute("DROP USER auditor@localhost")


def test_object_stores_that_do_not_serve(production: MailServer) -> None:
    config = config_of(production)
    assert config.s3 is not None
    assert verdicts(list(objects.look(config))) == {"objects": GOOD}
    for s3 in (replace(config.s3, secret_key="wrong"), replace(config.s3, bucket="no-such-bucket")):
        assert verdicts(list(objects.look(replace(config, s3=s3)))) == {"objects": BAD}
    nobody = replace(config, s3=S3Config(endpoint=f"{HOST}:{free_ports(1)[0]}", use_ssl=False, bucket="b"))
    assert verdicts(list(clocks.look(nobody)))["clock of the objects"] is WARNING
    # Nothing is left of the probes.
    assert not any("doctor" in key for key in open_unmetered(config.storage, config.s3).keys("meta"))


def test_clocks_that_are_apart() -> None:
    found = [clocks.apart("clock", "there", ahead).verdict for ahead in (0.2, -30, 700, -4000)]
    assert found == [GOOD, WARNING, BAD, BAD]


def certified(directory: Path, names: list[str], begins: timedelta, ends: timedelta) -> TlsConfig:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Issuer")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject).issuer_name(issuer).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now + begins).not_valid_after(now + ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (directory / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (directory / "key.pem").chmod(0o600)
    return TlsConfig(str(directory / "cert.pem"), str(directory / "key.pem"))


DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("names", "begins", "ends", "told"),
    [
        (["mail.example.org"], -DAY, 60 * DAY, {"lifetime": GOOD, "name": GOOD, "issuer": WARNING}),
        (["*.example.org"], -DAY, 5 * DAY, {"lifetime": WARNING, "name": GOOD}),
        (["example.org", "*.mail.example.org"], -9 * DAY, -DAY, {"lifetime": BAD, "name": WARNING}),
        (["MAIL.example.org"], DAY, 5 * DAY, {"lifetime": BAD, "name": GOOD}),
    ],
)
def test_certificates(
    tmp_path: Path, names: list[str], begins: timedelta, ends: timedelta, told: Mapping[str, Verdict]
) -> None:
    tls = certified(tmp_path, names, begins, ends)
    config = Config(system=SystemConfig(hostname="mail.example.org"), tls=tls, imap=ImapConfig())
    found = verdicts(list(certificates.look(config)))
    assert {name: found[name] for name in told} == told
    Path(tls.key).chmod(0o644)
    assert verdicts(list(certificates.look(config)))["key"] is BAD
    (tmp_path / "other").mkdir()
    other = certified(tmp_path / "other", names, begins, ends)
    mixed = replace(config, tls=TlsConfig(tls.cert, other.key))
    assert verdicts(list(certificates.look(mixed))) == {"certificate": BAD}
    assert verdicts(list(certificates.look(replace(config, tls=None)))) == {"certificate": WARNING}


def test_certificates_of_a_directory(tmp_path: Path) -> None:
    live = tmp_path / "live"
    for name, ends in (("good.example.com", 60 * DAY), ("late.example.com", -DAY)):
        directory = live / name
        directory.mkdir(parents=True)
        certified(directory, [name], -9 * DAY, ends)
        (directory / "cert.pem").rename(directory / "fullchain.pem")
        (directory / "key.pem").rename(directory / "privkey.pem")
    tls = replace(certified(tmp_path, ["mail.example.org"], -DAY, 60 * DAY), directory=str(live))
    config = Config(system=SystemConfig(hostname="mail.example.org"), tls=tls, imap=ImapConfig())
    found = [(check.name, check.verdict) for check in certificates.look(config)]
    assert found[-3:] == [("certificates", GOOD), ("lifetime", GOOD), ("lifetime", BAD)]
    (live / "good.example.com" / "privkey.pem").write_text("nonsense")
    assert ("certificates", BAD) in [(check.name, check.verdict) for check in certificates.look(config)]


def test_the_lmtp_socket_and_who_may_reach_it(tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    config = Config(lmtp=LmtpConfig(socket=str(path), socket_mode=0o660))
    assert verdicts(list(doors.look(config)))["socket"] is GOOD
    path.write_text("no socket")
    assert verdicts(list(doors.look(config)))["socket"] is BAD
    path.unlink()
    with socket.socket(socket.AF_UNIX) as leftover:
        leftover.bind(str(path))
    assert verdicts(list(doors.look(config)))["socket"] is GOOD
    assert (
        verdicts(list(doors.look(replace(config, lmtp=LmtpConfig(socket=str(tmp_path / "no" / "s"))))))["socket"]
        is WARNING
    )


@pytest.mark.skipif(subprocess.run(["id", "postfix"], capture_output=True, check=False).returncode, reason="no postfix")
def test_whether_postfix_may_deliver(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    def told(**keys: object) -> Verdict:
        lmtp = LmtpConfig(socket=str(tmp_path / "lmtp"), **keys)
        return verdicts(list(doors.look(Config(lmtp=lmtp))))["postfix"]

    assert told(socket_mode=0o666) is GOOD
    assert told(socket_mode=0o660, socket_group="postfix") is GOOD
    assert told(socket_mode=0o660) is BAD
    tmp_path.chmod(0o700)
    assert told(socket_mode=0o666) is BAD


def test_directories(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    system = SystemConfig(data_directory=str(tmp_path / "data"))
    storage = StorageConfig(driver="directory", path=str(tmp_path / "new" / "objects"), spool_directory="/proc/none")
    checks = [check for check in directories.look(Config(system=system, storage=storage)) if check.name == "directory"]
    assert [check.verdict for check in checks][:1] == [WARNING]
    assert checks[-1].verdict is GOOD
    assert "will be made in" in checks[-1].found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_a_data_directory_that_the_servers_user_may_not_enter(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    sections = {"system": {"owner": "nobody"}, "lmtp": {"port": 0}}
    server = MailServer(tmp_path, sections)
    server.cli("migrate", "--config", str(server.config), check=False)
    done = server.cli("doctor", check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert "bad      directory: [system] data_directory" in done.stdout
    assert "clock: this host's clock" in done.stdout


def test_a_configuration_that_names_what_is_not_here() -> None:
    config = Config(system=SystemConfig(owner="no-such-user-here"))
    assert verdicts(list(files.look(config)))["configuration"] is BAD


def scanned(config: ClamavConfig) -> dict[str, Verdict]:
    return verdicts(list(scanners.look(Config(clamav=config))))


def test_a_scanner_that_serves(clamd: Clamd) -> None:
    for config in (clamd.config(), clamd.config(address=clamd.address, max_octets=1 << 20)):
        # This one has signatures of its own and none of ClamAV's, which alone have a day.
        assert scanned(config) == {"scanner": GOOD, "signatures": WARNING, "scan": GOOD}
    assert scanned(replace(clamd.config(), enabled=False)) == {}


@pytest.mark.parametrize("bound", ["stream_max_octets", "file_max_octets"])
def test_a_scanner_that_takes_less_than_it_is_sent(bound: str) -> None:
    with clamds.running(**{bound: 500_000}) as small:
        (*_, check) = scanners.look(Config(clamav=small.config(max_octets=500_001)))
        assert (check.name, check.verdict) == ("scan", WARNING)
        assert "MaxFileSize" in check.advice
        assert ("delivered unscanned" if bound == "stream_max_octets" else "without looking into it") in check.found
        assert scanned(small.config(max_octets=500_000))["scan"] is GOOD


def test_scanners_that_do_not_serve(tmp_path: Path) -> None:
    config = ClamavConfig(enabled=True, address=str(tmp_path / "none"))
    assert scanned(config) == {"scanner": BAD}
    for answer in (b"", b"220 mx.example.org ESMTP\0"):
        with daemon(answering(answer)) as address:
            assert scanned(replace(config, address=address)) == {"scanner": BAD}


@pytest.mark.parametrize(("days", "verdict"), [(0, GOOD), (6, GOOD), (9, WARNING), (400, WARNING), (None, WARNING)])
def test_signatures_that_are_too_old(days: int | None, verdict: Verdict) -> None:
    said = b"ClamAV 1.4.6"
    if days is not None:
        said += f"/27430/{datetime.now() - timedelta(days=days):%a %b %e %H:%M:%S %Y}".encode()
    with daemon(answering(said + b"\0")) as address:
        found = scanned(ClamavConfig(enabled=True, address=address))
    # It says its version to a message, too, which is no verdict.
    assert found == {"scanner": GOOD, "signatures": verdict, "scan": BAD}


def test_a_scanner_without_the_signature_of_eicar() -> None:
    with daemon(answering(b"stream: OK\0")) as address:
        (check,) = [scanners._length("", ClamavConfig(enabled=True, address=address))]
    assert (check.verdict, "freshclam" in check.advice) == (WARNING, True)
