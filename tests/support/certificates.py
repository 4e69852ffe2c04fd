"""A certificate for tests: the one that an embedded server makes for itself."""

from __future__ import annotations

from pathlib import Path

from lightmail.app.certificate import make_self_signed
from lightmail.app.certificates import Certificates
from lightmail.config import TlsConfig


def certificate(directory: Path) -> Certificates:
    """What a server shows: self-signed, its files in `directory`."""
    tls = TlsConfig(str(directory / "cert.pem"), str(directory / "key.pem"))
    make_self_signed(tls, "localhost")
    certificates = Certificates(tls)
    certificates.load()
    return certificates
