"""What `twistd lightmail` runs: its options, and the service made of them."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from functools import partial
from types import FrameType
from typing import Any

from twisted.application.service import MultiService
from twisted.internet import reactor
from twisted.logger import ILogObserver, LogPublisher
from twisted.python import usage
from twisted.python.components import Componentized

from lightmail import logs, records
from lightmail.app.build import make_service
from lightmail.app.logfile import LogFile
from lightmail.app.reloading import Reloading
from lightmail.config import Config, check_host, load
from lightmail.errors import ConfigError, StartupError


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
    log_file = _log_file(config, options)
    # Whether the host has what it names is for each part to say that takes it on: root's files may be out of reach now.
    reloading = Reloading(config, partial(load, options["config"]), log_file, reactor)

    def hang_up(_number: int, _frame: FrameType | None) -> None:
        reactor.callFromThread(reloading.hang_up)

    signal.signal(signal.SIGHUP, hang_up)
    observers: list[Any] = [log_file, logs.count]
    service = _Service(None if log_file is None else LogPublisher(*observers))
    make_service(config, reloading, reactor).setServiceParent(service)  # type: ignore[no-untyped-call]
    return service


def _log_file(config: Config, options: Options) -> LogFile | None:
    """The log that [logging] asks for; None where twistd was told to log elsewhere."""
    twistd: Mapping[str, Any] = options.parent or {}
    if twistd.get("logfile") or twistd.get("syslog") or twistd.get("logger"):
        return None
    try:
        return LogFile(config.logging, records.RECENT.add)
    except StartupError as error:
        raise SystemExit(f"lightmail: {config.source}: {error}") from None
