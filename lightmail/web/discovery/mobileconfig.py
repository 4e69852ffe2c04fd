"""Apple's configuration profiles: iOS and macOS make the account from one after asking for the password
(developer.apple.com, Device Management, profile `Mail`).
"""

from __future__ import annotations

import plistlib
from typing import Any, Final
from uuid import UUID, uuid5

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from twisted.logger import Logger

from lightmail.config import Config, TlsConfig
from lightmail.errors import Cannot
from lightmail.threads import BoundedPool
from lightmail.web.discovery.servers import Server, Servers, servers

log = Logger()

CONTENT_TYPE: Final = "application/x-apple-aspen-config"
_OURS: Final = UUID("6f0c6c1e-8a2e-5d0b-9d50-3a5d1c2b7e11")
_TYPES: Final = {"imap": "EmailTypeIMAP", "pop3": "EmailTypePOP"}


def mobileconfig(told: Servers, address: str, full_name: str = "") -> bytes:
    """The profile for `address`: IMAP, or POP3 where there is no IMAP. The device asks for the password.

    The same address has the same identifiers, so that a profile installed again replaces the one before.
    Raises Cannot where no server is to be read from.
    """
    server = told.first("imap") or told.first("pop3")
    if server is None:
        raise Cannot("There is no IMAP and no POP3 server to read mail from.")
    identifier = ".".join(reversed(address.rpartition("@")[2].split("."))) + ".mail"
    profile: dict[str, Any] = {
        "PayloadContent": [_mail(told, server, address, full_name, identifier)],
        "PayloadDisplayName": f"Mail for {address}",
        "PayloadDescription": f"Sets up {address} in Mail.",
        "PayloadOrganization": told.name,
        "PayloadIdentifier": identifier,
        "PayloadRemovalDisallowed": False,
        "PayloadType": "Configuration",
        "PayloadUUID": _uuid("profile", address),
        "PayloadVersion": 1,
    }
    return plistlib.dumps(profile)


def _mail(told: Servers, server: Server, address: str, full_name: str, identifier: str) -> dict[str, Any]:
    outgoing = told.outgoing
    return {
        "EmailAccountDescription": told.name,
        "EmailAccountName": full_name or address,
        "EmailAccountType": _TYPES[server.protocol],
        "EmailAddress": address,
        "IncomingMailServerAuthentication": "EmailAuthPassword",
        "IncomingMailServerHostName": server.host,
        "IncomingMailServerPortNumber": server.port,
        "IncomingMailServerUseSSL": True,
        "IncomingMailServerUsername": address,
        "OutgoingMailServerAuthentication": "EmailAuthPassword",
        "OutgoingMailServerHostName": outgoing.host,
        "OutgoingMailServerPortNumber": outgoing.port,
        "OutgoingMailServerUseSSL": True,
        "OutgoingMailServerUsername": address,
        "OutgoingPasswordSameAsIncomingPassword": True,
        "PayloadDisplayName": told.name,
        "PayloadIdentifier": f"{identifier}.account",
        "PayloadType": "com.apple.mail.managed",
        "PayloadUUID": _uuid("account", address),
        "PayloadVersion": 1,
    }


def _uuid(kind: str, address: str) -> str:
    return str(uuid5(_OURS, f"{kind} {address}")).upper()


async def signed_if_possible(pool: BoundedPool, config: Config, address: str) -> bytes:
    """The profile for `address`, signed in a thread of `pool` where `[tls]` has a certificate that can sign it.

    Raises Cannot where no server is to be read from.
    """
    profile = mobileconfig(servers(config), address)
    if config.tls is None:
        return profile
    try:
        return await pool.run(signed, profile, config.tls)
    except (OSError, ValueError) as error:
        log.warn("profiles for Apple's devices are not signed: {why}", why=str(error))
        return profile


def signed(profile: bytes, tls: TlsConfig) -> bytes:
    """The profile in a PKCS #7 envelope, signed with the server's certificate: devices show it as verified.

    Reads the files of `[tls]`: to be called in a thread. Raises OSError and ValueError where they cannot be used.
    """
    with open(tls.cert, "rb") as file:
        first, *chain = x509.load_pem_x509_certificates(file.read())
    with open(tls.key, "rb") as file:
        key = serialization.load_pem_private_key(file.read(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ValueError("only RSA and elliptic curve keys sign profiles")
    builder = pkcs7.PKCS7SignatureBuilder().set_data(profile).add_signer(first, key, hashes.SHA256())
    for certificate in chain:
        builder = builder.add_certificate(certificate)
    return builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])
