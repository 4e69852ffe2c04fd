"""TLS for the listeners: the context of a configured certificate, and a self-signed one for an embedded server."""

from __future__ import annotations

import os
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


def context(tls: TlsConfig) -> CertificateOptions:
    """The context for servers: TLS 1.2 or later, the certificate with its chain. Raises StartupError."""
    first, *chain = _load_chain(tls.cert)
    key = _load_key(tls.key)
    # Certificates as `cryptography` has them: pyOpenSSL, below Twisted, deprecates its own.
    material: dict[str, Any] = {"privateKey": key, "certificate": first, "extraCertChain": chain}
    options = CertificateOptions(**material, raiseMinimumTo=TLSVersion.TLSv1_2)
    try:
        options.getContext().check_privatekey()
    except SSL.Error:
        raise StartupError(f"[tls] key: {tls.key} does not belong to the certificate in {tls.cert}") from None
    return options


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
