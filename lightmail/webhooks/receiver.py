"""Who is told of events, as it is configured now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightmail.config import WebhookConfig
from lightmail.webhooks.sending import Sender


class Receiver:
    """The receiver of a server's events: its configuration, and a `sender` to it, None where it is disabled.

    Both may change while the server runs; ask for them each time. `close` it.
    """

    def __init__(self, config: WebhookConfig, reactor: Any, *, trust_root: Any = None, resolver: Any = None) -> None:
        self._reactor = reactor
        self._trust_root = trust_root
        self._resolver = resolver
        self._watchers: list[Callable[[], None]] = []
        self.config = config
        self.sender = self._sender()

    def when_changed(self, call: Callable[[], None]) -> None:
        """Have `call` called after each change of the configuration."""
        self._watchers.append(call)

    async def reconfigure(self, config: WebhookConfig) -> None:
        """Go on with another configuration. Requests under way end as they began."""
        old, self.config = self.sender, config
        self.sender = self._sender()
        for call in self._watchers:
            call()
        if old is not None:
            await old.close()

    async def close(self) -> None:
        """Let go of the connections that are kept."""
        if self.sender is not None:
            await self.sender.close()

    def _sender(self) -> Sender | None:
        if not self.config.enabled:
            return None
        return Sender(self.config, self._reactor, trust_root=self._trust_root, resolver=self._resolver)
