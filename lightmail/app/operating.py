"""What a running server does for its operator: tell of its sessions and end them, reload its configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lightmail.app.backends import Backends
from lightmail.app.certificates import Certificates
from lightmail.app.lifecycle import Part
from lightmail.app.listeners import HTTP
from lightmail.app.reloading import Reloading, at_once
from lightmail.config import Config
from lightmail.jobs.sessions import SessionKeeper

log = Logger()


def sessions_part(config: Config, backends: Backends, factories: Mapping[str, Any], reactor: Any) -> Part:
    """The part that reports the sessions of the mail services, where somebody may list them, and ends them."""
    registries = [factory.sessions for name, factory in factories.items() if name not in HTTP]
    keeper = SessionKeeper(
        backends.database, backends.process, registries, listed=config.api is not None, reactor=reactor
    )
    return Part("sessions", keeper.start, keeper.stop)


def reloading_part(
    reloading: Reloading, backends: Backends, factories: Mapping[str, Any], certificates: Certificates | None
) -> Part:
    """The part that has SIGHUP reload what may change while the server runs."""
    if certificates is not None:
        reloading.add(_certificates(certificates))
    reloading.add(at_once(lambda config: _configure(config, backends, factories)))

    async def start() -> None:
        await reloading.start(backends.pool.run)

    return Part("reloading", start, reloading.stop)


def _certificates(certificates: Certificates) -> Callable[[Config], Callable[[], None]]:
    def prepare(config: Config) -> Callable[[], None]:
        assert config.tls is not None  # the section comes and goes with a restart only
        return certificates.prepare(config.tls)

    return prepare


def _configure(config: Config, backends: Backends, factories: Mapping[str, Any]) -> None:
    """Have everything go by `config` from now on."""
    for name, factory in factories.items():
        if name not in HTTP:  # which ask for the configuration at each request
            factory.configure(getattr(config, name), config.limits)
    limits = config.limits
    backends.scanner.configure(config.clamav)
    backends.authenticator.configure(limits.verified_seconds, limits.trusted_networks)
    receiving = Deferred.fromCoroutine(backends.receiver.reconfigure(config.webhook))
    receiving.addErrback(lambda failure: log.failure("the webhook's old connections did not close", failure=failure))
