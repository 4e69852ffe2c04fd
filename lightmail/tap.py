"""What `twistd lightmail` runs: its options, and the service made of them."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from types import FrameType
from typing import Any

from twisted.application.service import MultiService
from twisted.internet import reactor
from twisted.logger import ILogObserver, LogPublisher
from twisted.python import usage
from twisted.python.components import Componentized

from lightmail import logs, records
from lightmail.app.build import make_service
from lightmail.config import Config, check_host, load
from lightmail.errors import ConfigError


class Options(usage.Options):
    """The command line after `twistd lightmail`."""

    synopsis = "[--config FILE]"
    longdesc = "A mail store server. Without a configuration it runs embedded in ./var, on high ports of loopback."
    optParameters = [
        ["config", "c", None, "Configuration file; the default is /etc/lightmail/config.ini if it exists."]
    ]


class _Service(MultiService):
    """The server's service, bringing its log observer along as an Application's component."""

    def __init__(self, observer: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._observer = observer

    def setServiceParent(self, parent: Any) -> None:
        """Called with the Application that twistd has made."""
        if self._observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]


def makeService(options: Options) -> Any:
    """The IService of the configuration that `options` names. Ends the process with one line where it is wrong."""
    try:
        config = load(options["config"])
        check_host(config)
    except ConfigError as error:
        raise SystemExit(f"lightmail: {error}") from None
    service = _Service(_observer(config, options))
    make_service(config, reactor).setServiceParent(service)  # type: ignore[no-untyped-call]
    return service


def _observer(config: Config, options: Options) -> Any:
    """The observer that [logging] asks for; None where twistd was told to log elsewhere."""
    twistd: Mapping[str, Any] = options.parent or {}
    if twistd.get("logfile") or twistd.get("syslog") or twistd.get("logger"):
        return None
    try:
        destination = logs.Destination(config.logging.path)
    except OSError as error:
        path = config.logging.path
        raise SystemExit(f"lightmail: {config.source}: [logging] path: {path}: {error.strerror}") from None

    def reopen(_number: int, _frame: FrameType | None) -> None:
        reactor.callFromThread(destination.reopen)

    signal.signal(signal.SIGHUP, reopen)
    observers = [logs.observer(destination, config.logging.level, config.logging.json, records.RECENT.add), logs.count]
    if config.logging.path is not None:
        # Whoever starts the server sees why it does not start, wherever it logs.
        observers.append(logs.observer(logs.Destination(None), "critical", as_json=False))
    return LogPublisher(*observers)
