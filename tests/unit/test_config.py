"""The configuration: what is written is what comes out, and whatever is wrong is one line that says where and what."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path

import pytest

from lightmail.config import Config, check_host, load, shown
from lightmail.config.loader import SECTIONS, keys_of
from lightmail.errors import ConfigError

EXAMPLE = Path(__file__).resolve().parents[2] / "etc" / "config.ini"


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> str:
        path = tmp_path / "config.ini"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


SMALL = "[database]\ndriver = sqlite\n[storage]\ndriver = directory\n"


def complaint(path: str | None, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as raised:
        load(path, environ or {})
    text = str(raised.value)
    assert "\n" not in text
    return text


def test_embedded_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load(None, {"LIGHTMAIL_CONFIG": ""})
    assert config.embedded
    assert config.source is None
    assert config.database.driver == "sqlite"
    assert config.database.path == str(tmp_path / "var" / "lightmail.sqlite")
    assert config.storage.path == str(tmp_path / "var" / "objects")
    assert config.tls is not None
    assert config.tls.key == str(tmp_path / "var" / "tls" / "key.pem")
    assert config.imap is not None
    assert (config.imap.bind, config.imap.port, config.imap.ssl_port) == ("127.0.0.1", 1143, 1993)
    assert config.pop3 is not None
    assert (config.pop3.port, config.pop3.ssl_port) == (1110, 1995)
    assert config.lmtp is not None
    assert (config.lmtp.bind, config.lmtp.port, config.lmtp.socket) == ("127.0.0.1", 1024, None)
    assert config.api is not None
    assert (config.api.bind, config.api.port) == ("127.0.0.1", 8080)
    check_host(config)  # the certificate is made at start


def test_which_file_is_read(write, tmp_path, monkeypatch):
    installed, named = write(SMALL), tmp_path / "named.ini"
    named.write_text(SMALL)
    monkeypatch.setattr("lightmail.config.loader.DEFAULT_PATH", installed)
    assert load(None, {}).source == installed
    assert load(None, {"LIGHTMAIL_CONFIG": str(named)}).source == str(named)
    assert load(installed, {"LIGHTMAIL_CONFIG": str(named)}).source == installed
    # The demo beside an installed server must not touch the latter's store.
    assert load(None, {"LIGHTMAIL_CONFIG": ""}).embedded


def test_absent_services_are_none(write):
    config = load(write(SMALL), {})
    assert (config.imap, config.pop3, config.lmtp, config.api, config.s3, config.tls) == (None,) * 6
    assert config.limits.line_octets == 65536
    assert not config.embedded


def test_defaults_of_the_fixed_names(write, tmp_path):
    pem = tmp_path / "some.pem"
    pem.write_text("")
    path = write(
        f"[storage]\ndriver=s3\n[s3]\nendpoint=h:1\nbucket=b\naccess_key=a\nsecret_key=s\n"
        f"[tls]\ncert={pem}\nkey={pem}\n[imap]\n[pop3]\n[lmtp]\nsocket=/run/x\n[api]\n"
    )
    config = load(path, {})
    assert (config.database.port, config.database.database, config.database.pool_size) == (3306, "maildb", 10)
    assert config.database.connect_timeout_seconds == 10
    assert (config.storage.compression, config.storage.level) == ("zstd", 3)
    assert config.s3 is not None
    assert (config.s3.region, config.s3.use_ssl) == ("us-east-1", True)
    for service, port, ssl_port in ((config.imap, 143, 993), (config.pop3, 110, 995)):
        assert service is not None
        assert (service.bind, service.port, service.ssl_port, service.tls_only) == ("0.0.0.0", port, ssl_port, False)
        assert (service.session_timeout_seconds, service.max_failed_attempts) == (1800, 5)
    assert config.lmtp is not None
    assert (config.lmtp.socket_mode, config.lmtp.port, config.lmtp.max_message_octets) == (0o660, 0, 52428800)
    assert config.api is not None
    assert (config.api.bind, config.api.port) == ("127.0.0.1", 8080)
    assert (config.logging.level, config.logging.json) == ("info", False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[imapp]\n", r"unknown section \[imapp\]; did you mean imap\?"),
        ("[imap]\nprot = 1\n", r"\[imap\] prot is an unknown key; did you mean port\?"),
        ("[imap]\nport = 70000\n", r"\[imap\] port must be a number from 0 to 65535, not '70000'"),
        ("[imap]\nport = \n", r"\[imap\] port must be a number"),
        ("[imap]\ntls_only = maybe\n", r"\[imap\] tls_only must be true or false, not 'maybe'"),
        ("[imap]\nbind = localhost\n", r"\[imap\] bind must be an IP address"),
        ("[imap]\nssl_port = 993\n", r"\[imap\] ssl_port = 993 needs \[tls\] cert and key"),
        ("[imap]\nport=0\nssl_port = 0\n", r"\[imap\] port and ssl_port are both 0"),
        ("[api]\njob_directory = jobs\n", r"\[api\] job_directory must be an absolute path"),
        ("[pop3]\nssl_port=0\ntls_only=on\n", r"\[pop3\] tls_only needs \[tls\]"),
        ("[lmtp]\n", r"\[lmtp\] socket or port is missing"),
        ("[lmtp]\nport=24\nsocket_mode = 888\n", r"\[lmtp\] socket_mode must be octal permissions"),
        ("[lmtp]\nport=24\nmax_message_size = lots\n", r"\[lmtp\] max_message_size must be a size in octets"),
        ("[s3]\nendpoint = ftp://h\n", r"\[s3\] endpoint must be host:port, or a URL"),
        ("[s3]\nendpoint = h:x\n", r"\[s3\] endpoint must be host:port, or a URL"),
        ("[tls]\ncert = /x\n", r"\[tls\] key is missing"),
        ("[logging]\nlevel = loud\n", r"\[logging\] level must be one of debug, info, warn, error, not 'loud'"),
        ("[limits]\ntrusted_networks = 10.0.0.1/8\n", r"\[limits\] trusted_networks must be a list of networks"),
        ("[imap]\nspecial_use_names = Sent\n", r"\[imap\] special_use_names must be pairs"),
        ("[system]\nhostname =\n", r"\[system\] hostname must be a text that is not empty"),
        ("[api]\nport=1\nport=2\n", r"\[api\] port stands twice \(line 7\)"),
        ("[database]\n", r"\[database\] stands twice"),
        ("nonsense\n", r"line 5 is neither"),
        ("[DEFAULT]\nx = 1\n", r"unknown section \[DEFAULT\]"),
        ("[api]\ntoken = a\n  b\n", r"\[api\] token goes over several lines"),
    ],
)
def test_what_is_wrong_is_one_line(write, text, expected):
    path = write(SMALL + text)
    message = complaint(path)
    assert message.startswith(f"{path}: ")
    assert re.search(expected, message), message


def test_broken_files(write, tmp_path):
    assert complaint(str(tmp_path / "none.ini")) == (
        f"{tmp_path}/none.ini: No such file or directory; name a readable file with --config"
    )
    assert "before any [section]" in complaint(write("port = 1\n"))
    (tmp_path / "latin.ini").write_bytes(b"[api]\ntoken = \xe9\n")
    assert "not UTF-8" in complaint(str(tmp_path / "latin.ini"))


@pytest.mark.parametrize("missing", ["bucket", "access_key", "secret_key"])
def test_s3_storage_needs_its_section(write, missing):
    keys = {"endpoint": "h:1", "bucket": "b", "access_key": "a", "secret_key": "s"}
    del keys[missing]
    path = write("[storage]\ndriver = s3\n[s3]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items()))
    assert f"[s3] {missing} is missing" in complaint(path)


@pytest.mark.parametrize(("codec", "level"), [("gzip", 10), ("lz4", 17)])
def test_levels_belong_to_codecs(write, codec, level):
    path = write(f"[storage]\ndriver = memory\ncompression = {codec}\nlevel = {level}\n")
    assert f"for {codec}" in complaint(path)


def test_the_environment_wins(write):
    path = write(SMALL + "[imap]\nport = 1\nssl_port = 0\n")
    config = load(path, {"LIGHTMAIL_IMAP_PORT": "2", "LIGHTMAIL_POP3_SSL_PORT": "0", "OTHER": "x"})
    assert config.imap is not None
    assert config.imap.port == 2
    assert config.pop3 is not None  # the environment can bring a section of its own
    assert config.pop3.port == 110


def test_secrets_from_files(write, tmp_path):
    (tmp_path / "secret").write_text(" p%ss;#word \n")
    path = write(SMALL)
    config = load(path, {"LIGHTMAIL_DATABASE_PASSWORD_FILE": str(tmp_path / "secret")})
    assert config.database.password == "p%ss;#word"
    both = {"LIGHTMAIL_DATABASE_PASSWORD_FILE": "x", "LIGHTMAIL_DATABASE_PASSWORD": "y"}
    assert "both give [database] password" in complaint(path, both)
    gone = complaint(path, {"LIGHTMAIL_DATABASE_PASSWORD_FILE": "/none"})
    assert gone == "environment: LIGHTMAIL_DATABASE_PASSWORD_FILE: [database] password is to come from /none: " + (
        "No such file or directory"
    )
    assert "names no section and key" in complaint(path, {"LIGHTMAIL_IMAP_PORT_FILE": "x"})


def test_bad_environment(write):
    path = write(SMALL)
    assert complaint(path, {"LIGHTMAIL_IMAP_PORT": "x"}).startswith(
        "environment: LIGHTMAIL_IMAP_PORT: [imap] port must"
    )
    assert "did you mean LIGHTMAIL_STORAGE_PATH?" in complaint(path, {"LIGHTMAIL_STORGE_PATH": "x"})
    # What Kubernetes sets for a service called "lightmail" is no key of ours.
    load(path, {"LIGHTMAIL_SERVICE_HOST": "10.0.0.1", "LIGHTMAIL_PORT_143_TCP": "tcp://10.0.0.1:143"})


def test_a_secret_is_never_shown(write, monkeypatch):
    path = write(SMALL + "[s3]\nsecret_key = sesame\n[api]\ntoken = sesame\n")
    config = load(path, {"LIGHTMAIL_DATABASE_PASSWORD": "sesame"})
    text = repr(list(shown(config)))
    assert "sesame" not in text
    assert text.count("(hidden)") == 3


def test_what_is_shown_can_be_read_again(write):
    path = write(
        SMALL + "[lmtp]\nport = 24\nsocket_mode = 600\n[limits]\ntrusted_networks = 10.0.0.0/8, ::1\n"
        "[imap]\nssl_port = 0\nspecial_use_names = Sent Items = \\Sent, Junk E-mail = \\Junk\n"
    )
    config = load(path, {})
    again = load(write("".join(_ini(config))), {})
    assert again == config
    assert again.limits.trusted_networks == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert again.imap is not None
    assert dict(again.imap.special_use_names) == {"Sent Items": "\\Sent", "Junk E-mail": "\\Junk"}


def _ini(config: Config):
    for section, pairs in shown(config):
        yield f"[{section}]\n"
        yield from (f"{key} = {value}\n" for key, value in pairs)


def test_missing_files_and_users(write, tmp_path):
    pem = tmp_path / "some.pem"
    pem.write_text("")
    path = write(SMALL + f"[tls]\ncert = {pem}\nkey = /none\n")
    with pytest.raises(ConfigError, match=rf"^{path}: \[tls\] key: /none: No such file"):
        check_host(load(path, {}))
    path = write(SMALL + "[system]\nowner = nobody-of-that-name\n")
    with pytest.raises(ConfigError, match=r"\[system\] owner: there is no user nobody-of-that-name"):
        check_host(load(path, {}))
    path = write(SMALL + "[lmtp]\nport = 24\nsocket_group = no-such-group\n")
    with pytest.raises(ConfigError, match=r"\[lmtp\] socket_group: there is no group no-such-group"):
        check_host(load(path, {}))


def test_the_example_names_every_key_and_its_default(write):
    text = EXAMPLE.read_text(encoding="utf-8")
    load(str(EXAMPLE), {})
    sections = dict(re.findall(r"^\[(\w+)\]\n(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL))
    assert list(sections) == list(SECTIONS)
    # These show an example, for their defaults are none or the host's.
    free = {"hostname", "special_use_names", "trusted_networks", "socket", "writer_processes"}
    for section, body in sections.items():
        written = _pairs(body)
        assert set(written) == {key for key, _, _ in keys_of(section)}, section
        for key, field, setting in keys_of(section):
            value, commented = written[key]
            if commented and key not in free and value:
                assert setting.parse(value) == field.default, (section, key)


def _pairs(body: str) -> dict[str, tuple[str, bool]]:
    return {
        key: (value, bool(mark))
        for mark, key, value in re.findall(r"^(# )?([a-z0-9_]+) =[ ]?(.*)$", body, re.MULTILINE)
    }
