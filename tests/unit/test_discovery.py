"""What mail clients are told of their servers, as each of them reads it."""

from __future__ import annotations

import plistlib
import shutil
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightmail.app.certificate import make_self_signed
from lightmail.config import Config, TlsConfig
from lightmail.config.sections import ClientsConfig, ImapConfig, Pop3Config, SystemConfig
from lightmail.errors import Cannot, Invalid
from lightmail.web.discovery.autoconfig import autoconfig
from lightmail.web.discovery.autodiscover import autodiscover, requested_address
from lightmail.web.discovery.mobileconfig import mobileconfig, signed
from lightmail.web.discovery.servers import Server, servers

_SYSTEM = SystemConfig(hostname="mail.example.org")
_BOTH = Config(system=_SYSTEM, imap=ImapConfig(), pop3=Pop3Config())
_OUTLOOK = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
_REQUEST = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006">'
    "<Request><EMailAddress>%s</EMailAddress><AcceptableResponseSchema>%s</AcceptableResponseSchema></Request>"
    "</Autodiscover>"
)


def test_clients_are_told_of_the_ports_that_are_listened_on_tls_first() -> None:
    told = servers(_BOTH)
    assert told.incoming == (
        Server("imap", "mail.example.org", 993, "tls"),
        Server("imap", "mail.example.org", 143, "starttls"),
        Server("pop3", "mail.example.org", 995, "tls"),
        Server("pop3", "mail.example.org", 110, "starttls"),
    )
    assert told.outgoing == Server("smtp", "mail.example.org", 587, "starttls")


def test_a_balancer_s_ports_take_the_place_of_ours() -> None:
    told = servers(
        replace(
            _BOTH,
            imap=ImapConfig(port=1143, ssl_port=1993),
            pop3=None,
            clients=ClientsConfig(imap_host="imap.example.net", imap_port=993, smtp_port=465, smtp_security="tls"),
        )
    )
    assert told.incoming == (Server("imap", "imap.example.net", 993, "tls"),)
    assert told.outgoing == Server("smtp", "mail.example.org", 465, "tls")


def test_where_only_tls_is_allowed_starttls_is_not_offered() -> None:
    told = servers(replace(_BOTH, imap=ImapConfig(tls_only=True), pop3=None))
    assert [server.security for server in told.incoming] == ["tls"]


def test_thunderbird_reads_servers_in_the_order_of_preference() -> None:
    root = ElementTree.fromstring(autoconfig(servers(_BOTH), "example.org"))
    assert (root.tag, root.get("version")) == ("clientConfig", "1.1")
    provider = root[0]
    assert provider.get("id") == provider.findtext("domain") == "example.org"
    incoming = [
        (each.get("type"), each.findtext("port"), each.findtext("socketType"))
        for each in provider.findall("incomingServer")
    ]
    assert incoming == [
        ("imap", "993", "SSL"),
        ("imap", "143", "STARTTLS"),
        ("pop3", "995", "SSL"),
        ("pop3", "110", "STARTTLS"),
    ]
    names = {each.findtext("username") for each in provider if each.tag.endswith("Server")}
    assert names == {"%EMAILADDRESS%"}


def test_outlook_is_told_of_one_server_a_protocol() -> None:
    root = ElementTree.fromstring(autodiscover(servers(_BOTH), "ada@example.org"))
    protocols = root.findall(f".//{{{_OUTLOOK}}}Protocol")
    told = [[each.findtext(f"{{{_OUTLOOK}}}{name}") for name in ("Type", "Port", "Encryption")] for each in protocols]
    assert told == [["IMAP", "993", "SSL"], ["POP3", "995", "SSL"], ["SMTP", "587", "TLS"]]
    assert {each.findtext(f"{{{_OUTLOOK}}}LoginName") for each in protocols} == {"ada@example.org"}


def test_outlook_s_request_is_read() -> None:
    assert requested_address((_REQUEST % (" ada@example.org\n", _OUTLOOK)).encode()) == "ada@example.org"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<",
        b"\xff\xfe\x00",
        b"<Autodiscover/>",
        (_REQUEST % ("", _OUTLOOK)).encode(),
        (_REQUEST % ("a" * 1000 + "@example.org", _OUTLOOK)).encode(),
        (_REQUEST % ("ada@example.org", _OUTLOOK.replace("outlook/", "mobilesync/"))).encode(),
        b'<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><EMailAddress>&c;</EMailAddress>',
    ],
)
def test_what_is_no_request_of_outlook_s_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        requested_address(body)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_no_request_does_more_than_be_refused(body: bytes) -> None:
    with suppress(Invalid):
        assert len(requested_address(body)) <= 320


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=30))
def test_no_name_breaks_out_of_its_element(name: str) -> None:
    told = replace(servers(_BOTH), name=name)
    if not any(ord(character) in (0xFFFE, 0xFFFF) for character in name):
        assert ElementTree.fromstring(autoconfig(told, "example.org")).findtext(".//displayName") == name
    (mail,) = plistlib.loads(mobileconfig(told, "ada@example.org", name))["PayloadContent"]
    assert mail["EmailAccountName"] == mail["EmailAccountDescription"] == name


def _profile(octets: bytes) -> dict[str, Any]:
    return dict(plistlib.loads(octets))


def test_a_profile_installed_again_replaces_the_one_before() -> None:
    told = servers(_BOTH)
    first, again, other = (_profile(mobileconfig(told, f"{name}@example.org")) for name in ("ada", "ada", "bob"))
    assert first == again
    assert first["PayloadUUID"] != other["PayloadUUID"]
    (mail,) = first["PayloadContent"]
    assert (mail["EmailAccountType"], mail["IncomingMailServerPortNumber"]) == ("EmailTypeIMAP", 993)


def test_without_imap_a_profile_reads_by_pop3_and_without_both_there_is_none() -> None:
    (mail,) = _profile(mobileconfig(servers(replace(_BOTH, imap=None)), "ada@example.org"))["PayloadContent"]
    assert mail["EmailAccountType"] == "EmailTypePOP"
    with pytest.raises(Cannot):
        mobileconfig(servers(replace(_BOTH, imap=None, pop3=None)), "ada@example.org")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl: install Debian's openssl")
def test_openssl_finds_the_profile_in_what_is_signed(tmp_path: Path) -> None:
    tls = TlsConfig(cert=str(tmp_path / "cert.pem"), key=str(tmp_path / "key.pem"))
    make_self_signed(tls, "mail.example.org")
    profile = mobileconfig(servers(_BOTH), "ada@example.org")
    path = tmp_path / "ada.mobileconfig"
    path.write_bytes(signed(profile, tls))
    verify = ["openssl", "cms", "-verify", "-inform", "DER", "-in", str(path), "-CAfile", tls.cert, "-purpose", "any"]
    result = subprocess.run(verify, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    assert _profile(result.stdout) == _profile(profile)
