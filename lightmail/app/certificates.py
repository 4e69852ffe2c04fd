"""The certificates that the listeners show: which one to which client, and the renewed one once it is there.

Each connection begins with the certificate of ``[tls] cert``; a client that names a host (SNI, RFC 6066 section 3)
which a certificate in ``[tls] directory`` is good for gets that one. What is read from files is an immutable set; a
newer set takes its place for all handshakes from then on, and the connections that are open keep what they have.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import Logger
from zope.interface import implementer

from lightmail.app.certificate import Pair, marks, read_pair
from lightmail.config import TlsConfig
from lightmail.errors import StartupError
from lightmail.metrics import CERTIFICATE_EXPIRY
from lightmail.rounds import Rounds

log = Logger()

LOOK_SECONDS: Final = 60.0
_DEADLINE_SECONDS: Final = 60.0
# A directory's certificates: each costs about 100 KiB, and two files are opened each minute.
MOST: Final = 1000
# As certbot names them, in a directory for each certificate.
_CERT: Final = "fullchain.pem"
_KEY: Final = "privkey.pem"

Files = tuple[str, str]
# Calls a function in a thread.
InThread = Callable[..., Awaitable[Any]]
Named = Callable[[SSL.Connection], None]


@dataclass(frozen=True, slots=True)
class Served:
    """What is shown: `first` to who names no host, or one that nothing is known of. `troubles` are lines about what
    could not be read again, or at all."""

    first: Pair
    pairs: Mapping[Files, Pair]
    by_name: Mapping[str, Pair]
    troubles: tuple[str, ...] = field(default=())

    def choose(self, name: str) -> Pair:
        """The pair for the host of that name: exactly its own, else one for all names beside it (RFC 6125, 6.4.3)."""
        known = name.lower().rstrip(".")
        return self.by_name.get(known) or self.by_name.get("*." + known.partition(".")[2]) or self.first


def read(tls: TlsConfig, named: Named, before: Served | None = None) -> Served:
    """Read what has changed since `before`; what cannot be read stays as it was. Blocks on files.

    OpenSSL calls `named` when a client names a host. Raises StartupError where the certificate of `cert` itself was
    never read from these files.
    """
    troubles: list[str] = []
    known: Mapping[Files, Pair] = before.pairs if before is not None else {}
    files = (tls.cert, tls.key)
    first = _again(files, known.get(files), named, troubles)
    if first is None:
        raise StartupError(troubles[0])
    pairs = {files: first}
    for found in _files_in(tls.directory, troubles) if tls.directory else ():
        pair = first if found == files else _again(found, known.get(found), named, troubles)
        if pair is not None:
            pairs[found] = pair
    by_name: dict[str, Pair] = {}
    # Where several are good for one name, the one that lasts longest; but what `cert` names is its own.
    for pair in sorted(pairs.values(), key=lambda pair: (pair is first, pair.ends)):
        by_name.update(dict.fromkeys(pair.names, pair))
    return Served(first, pairs, by_name, tuple(troubles))


def _again(files: Files, known: Pair | None, named: Named, troubles: list[str]) -> Pair | None:
    try:
        if known is not None and marks(*files) == known.marks:
            return known
        pair = read_pair(*files)
        # Of all, for each may become the first one; a context that is in use takes no callback any more.
        pair.context.set_tlsext_servername_callback(named)
        return pair
    except StartupError as error:
        troubles.append(str(error))
        return known


def _files_in(directory: str, troubles: list[str]) -> list[Files]:
    """The pairs of files in the directory's own directories, those that have both."""
    try:
        names = sorted(os.listdir(directory))
    except OSError as error:
        troubles.append(f"[tls] directory: {directory}: {error.strerror}")
        return []
    found = [(os.path.join(directory, name, _CERT), os.path.join(directory, name, _KEY)) for name in names]
    found = [files for files in found if all(os.path.exists(file) for file in files)]
    if len(found) > MOST:
        troubles.append(f"[tls] directory: {directory} has {len(found)} certificates; only {MOST} are served")
    return found[:MOST]


@implementer(IOpenSSLServerConnectionCreator)
class Certificates:
    """Makes the TLS side of each connection, for ports with TLS from the first octet and for STARTTLS alike."""

    def __init__(self, tls: TlsConfig) -> None:
        self._tls = tls
        self._served: Served | None = None
        self._told: tuple[str, ...] = ()

    @property
    def served(self) -> Served:
        """What is shown at present; to be `load`ed first."""
        assert self._served is not None
        return self._served

    def load(self) -> None:
        """Read the files for the first time. Blocks; raises StartupError."""
        self._take(self._tls, read(self._tls, self._name_given))

    def prepare(self, tls: TlsConfig) -> Callable[[], None]:
        """Read the files of another configuration, blocking; what is returned takes them on, in the reactor's thread.

        Raises StartupError.
        """
        if tls.directory and tls.directory != self._tls.directory and not os.access(tls.directory, os.R_OK | os.X_OK):
            raise StartupError(f"[tls] directory: {tls.directory} cannot be read")
        served = read(tls, self._name_given, self._served)
        return lambda: self._take(tls, served)

    async def look(self, in_thread: InThread) -> None:
        """Take on what has been renewed."""
        tls = self._tls
        served: Served = await in_thread(read, tls, self._name_given, self._served)
        if tls is self._tls:  # else it was configured anew meanwhile, and read
            self._take(tls, served)

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """OpenSSL's half of a connection, for Twisted."""
        return SSL.Connection(self.served.first.context, None)

    def _take(self, tls: TlsConfig, served: Served) -> None:
        before, self._tls, self._served = self._served, tls, served
        CERTIFICATE_EXPIRY.set(min(pair.ends.timestamp() for pair in served.pairs.values()))
        for files, pair in served.pairs.items():
            if before is not None and before.pairs.get(files) is not pair:
                log.info(
                    "the certificate in {file} is served from now on; it is good until {ends:%Y-%m-%d %H:%M} UTC",
                    file=files[0],
                    ends=pair.ends,
                )
        for trouble in served.troubles:
            if trouble not in self._told:
                log.error("{trouble}; what was served before still is", trouble=trouble)
        self._told = served.troubles

    def _name_given(self, connection: SSL.Connection) -> None:
        """The client says which host it wants; called by OpenSSL in the middle of the handshake."""
        served, name = self.served, connection.get_servername()
        pair = served.choose(name.decode("ascii", "replace")) if name else served.first
        if pair.context is not connection.get_context():
            connection.set_context(pair.context)


def renewals(certificates: Certificates, in_thread: InThread, *, reactor: Any) -> Rounds:
    """The service that looks after renewed certificates once a minute."""
    return Rounds(
        lambda: certificates.look(in_thread),
        reactor=reactor,
        interval_seconds=LOOK_SECONDS,
        deadline_seconds=_DEADLINE_SECONDS,
        trouble="whether certificates were renewed cannot be found out",
        recovery="renewed certificates are looked for again",
    )
