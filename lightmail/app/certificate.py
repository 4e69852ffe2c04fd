"""One certificate: a pair of PEM files made into a TLS context for servers; and a self-signed one, for a first try."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.ssl import CertificateOptions, TLSVersion

from lightmail.config import TlsConfig
from lightmail.errors import StartupError

# Of a file: what changes when it is replaced or written to, wherever a link may lead.
Mark = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its key, as its files were at `marks`. `names` are the DNS names that it is good for, in lower
    case, perhaps with an asterisk as the first label; it is valid from `begins` to `ends`."""

    context: SSL.Context
    names: frozenset[str]
    begins: datetime
    ends: datetime
    marks: tuple[Mark, Mark]


def marks(cert: str, key: str) -> tuple[Mark, Mark]:
    """What tells whether the files have changed. Raises StartupError where one cannot be read."""
    return _mark("cert", cert), _mark("key", key)


def read_pair(cert: str, key: str) -> Pair:
    """The pair of the files `cert`, a certificate with its chain, and `key`: TLS 1.2 or later. Raises StartupError."""
    before = marks(cert, key)  # so that what is replaced while it is read is read again
    first, *chain = _load_chain(cert)
    # Certificates as `cryptography` has them: pyOpenSSL, below Twisted, deprecates its own.
    material: dict[str, Any] = {"privateKey": _load_key(key), "certificate": first, "extraCertChain": chain}
    options = CertificateOptions(**material, raiseMinimumTo=TLSVersion.TLSv1_2)
    try:
        context = options.getContext()
        context.check_privatekey()
        context.set_alpn_select_callback(_pass_over)
    except SSL.Error:
        raise StartupError(f"[tls] key: {key} does not belong to the certificate in {cert}") from None
    return Pair(context, dns_names(first), first.not_valid_before_utc, first.not_valid_after_utc, before)


def _pass_over(connection: SSL.Connection, offered: list[bytes]) -> Any:
    """A client's offer of protocols (ALPN, RFC 7301): the port has said already what is spoken.

    Twisted's own answer to an offer without a protocol that it knows, "imap" say, is to break the handshake off.
    """
    return SSL.NO_OVERLAPPING_PROTOCOLS


def dns_names(certificate: x509.Certificate) -> frozenset[str]:
    """The DNS names in the certificate (RFC 6125: not its common name), in lower case."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(name.lower() for name in names.get_values_for_type(x509.DNSName))


def make_self_signed(tls: TlsConfig, hostname: str) -> bool:
    """Write a certificate for `hostname` and loopback unless one of the two files exists; True when it was made.

    It is good for ten years and meant for a first try: a client has to be told to trust it.
    """
    if os.path.exists(tls.cert) or os.path.exists(tls.key):
        return False
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:64])])
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1")), x509.IPAddress(ip_address("::1"))]
    if hostname.isascii() and hostname != "localhost":
        names.insert(0, x509.DNSName(hostname))
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    os.makedirs(os.path.dirname(tls.cert), exist_ok=True)
    os.makedirs(os.path.dirname(tls.key), exist_ok=True)
    _write(tls.key, private, 0o600)
    _write(tls.cert, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return True


def _write(path: str, octets: bytes, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(octets)


def _mark(which: str, path: str) -> Mark:
    try:
        # To be told now, and not when it is renewed, that the server's user may not read it.
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
    except OSError as error:
        raise StartupError(f"[tls] {which}: {path}: {error.strerror}") from None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _load_chain(path: str) -> list[x509.Certificate]:
    try:
        with open(path, "rb") as file:
            return x509.load_pem_x509_certificates(file.read())
    except OSError as error:
        raise StartupError(f"[tls] cert: {path}: {error.strerror}") from None
    except ValueError:
        raise StartupError(f"[tls] cert: {path} holds no PEM certificate") from None


def _load_key(path: str) -> PrivateKeyTypes:
    try:
        with open(path, "rb") as file:
            return serialization.load_pem_private_key(file.read(), password=None)
    except OSError as error:
        raise StartupError(f"[tls] key: {path}: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise StartupError(f"[tls] key: {path} holds no PEM private key, or one that needs a passphrase") from None
