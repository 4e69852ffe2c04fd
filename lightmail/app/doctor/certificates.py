"""The certificate: there, with its key, for our name, for long enough."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509

from lightmail.app.certificate import dns_names, read_pair
from lightmail.app.certificates import read
from lightmail.app.doctor.checks import Check, bad, good, warning
from lightmail.config import Config, TlsConfig
from lightmail.errors import StartupError

_SOON: Final = timedelta(days=14)
_RENEW: Final = "renew it (certbot renew); the server takes it on within a minute"


def look(config: Config) -> Iterator[Check]:
    """What clients will see of [tls]."""
    tls = config.tls
    if tls is None:
        if config.imap is not None or config.pop3 is not None:
            yield warning(
                "certificate",
                "[tls]",
                "none is configured: from elsewhere than this host nobody can log in",
                "name [tls] cert and key",
            )
        return
    if config.embedded and not os.path.exists(tls.cert):
        yield good("certificate", tls.cert, "none yet; an embedded server makes one when it starts")
        return
    try:
        read_pair(tls.cert, tls.key)
        with open(tls.cert, "rb") as file:
            chain = x509.load_pem_x509_certificates(file.read())
    except StartupError as error:
        yield bad("certificate", tls.cert, str(error), "name a certificate with its chain, and the key made for it")
        return
    yield good("certificate", tls.cert, f"it and its key belong together; {len(chain)} in the chain")
    yield _lifetime(tls.cert, chain[0].not_valid_before_utc, chain[0].not_valid_after_utc, datetime.now(UTC))
    yield _names(tls.cert, chain[0], config.system.hostname)
    if chain[0].issuer == chain[0].subject:
        yield warning(
            "issuer", tls.cert, "it signs itself: clients must be told to trust it", "get one, by certbot say"
        )
    elif len(chain) == 1:
        yield warning(
            "issuer",
            tls.cert,
            "the issuer's own certificate is not in the file: some clients will not find it",
            "use the full chain (certbot's fullchain.pem)",
        )
    if os.stat(tls.key).st_mode & (stat.S_IROTH | stat.S_IWOTH):
        yield bad("key", tls.key, "everybody on this host can read it", f"chmod o-rwx {tls.key}")
    if tls.directory:
        yield from _others(tls)


def _others(tls: TlsConfig) -> Iterator[Check]:
    """The certificates of [tls] directory."""
    served = read(tls, lambda connection: None)
    for trouble in served.troubles:
        yield bad("certificates", tls.directory, trouble, "put the pair right, or take its directory away")
    found = [(files[0], pair) for files, pair in served.pairs.items() if pair is not served.first]
    names = ", ".join(sorted(name for _, pair in found for name in pair.names))
    yield good("certificates", tls.directory, f"{len(found)} more, for {names or 'nobody'}")
    for path, pair in found:
        yield _lifetime(path, pair.begins, pair.ends, datetime.now(UTC))


def _lifetime(path: str, begins: datetime, ends: datetime, now: datetime) -> Check:
    until = f"{ends:%Y-%m-%d %H:%M} UTC"
    if now < begins:
        return bad("lifetime", path, f"it is not valid before {begins:%Y-%m-%d %H:%M} UTC", "check this host's clock")
    if now > ends:
        return bad("lifetime", path, f"it expired at {until}", _RENEW)
    if ends - now < _SOON:
        return warning("lifetime", path, f"it expires in {(ends - now).days} days, at {until}", _RENEW)
    return good("lifetime", path, f"it is good for {(ends - now).days} days, until {until}")


def _names(path: str, certificate: x509.Certificate, hostname: str) -> Check:
    listed = sorted(dns_names(certificate))
    if any(_covers(name, hostname.lower()) for name in listed):
        return good("name", path, f"it names {hostname}")
    return warning(
        "name",
        path,
        f"it names {', '.join(listed) or 'nothing'}, and [system] hostname is {hostname}",
        "get one for the name that clients are given, or correct [system] hostname",
    )


def _covers(pattern: str, hostname: str) -> bool:
    """RFC 6125 section 6.4.3: an asterisk stands for the first label, and for one."""
    if pattern.startswith("*."):
        return hostname.partition(".")[2] == pattern[2:]
    return pattern == hostname
