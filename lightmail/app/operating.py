"""What a running server does for its operator: it tells of its sessions and ends them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightmail.app.backends import Backends
from lightmail.app.lifecycle import Part
from lightmail.app.listeners import HTTP
from lightmail.config import Config
from lightmail.jobs.sessions import SessionKeeper


def sessions_part(config: Config, backends: Backends, factories: Mapping[str, Any], reactor: Any) -> Part:
    """The part that reports the sessions of the mail services, where somebody may list them, and ends them."""
    registries = [factory.sessions for name, factory in factories.items() if name not in HTTP]
    keeper = SessionKeeper(
        backends.database, backends.process, registries, listed=config.api is not None, reactor=reactor
    )
    return Part("sessions", keeper.start, keeper.stop)
