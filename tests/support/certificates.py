"""A certificate for tests: the one that an embedded server makes for itself."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.ssl import CertificateOptions

from lightmail.app.certificate import context, make_self_signed
from lightmail.config import TlsConfig


def certificate(directory: Path) -> CertificateOptions:
    """What a server shows: self-signed, its files in `directory`."""
    tls = TlsConfig(str(directory / "cert.pem"), str(directory / "key.pem"))
    make_self_signed(tls, "localhost")
    return context(tls)
