"""Reloading: all or nothing, one at a time, nothing but what is live; and systemd's watchdog is fed."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lightmail.app.logfile import LogFile
from lightmail.app.reloading import Reloading, at_once
from lightmail.app.watchdog import Watchdog
from lightmail.config import (
    Config,
    ImapConfig,
    LimitsConfig,
    LmtpConfig,
    LoggingConfig,
    Pop3Config,
    StorageConfig,
    TlsConfig,
)
from lightmail.config.changes import changes, in_force
from lightmail.config.loader import SECTIONS, keys_of
from lightmail.errors import ConfigError, StartupError

BASE = Config(storage=StorageConfig(driver="directory"))
# Every section, and nothing in them that does not go together.
WHOLE = replace(
    Config(**{name: kind() for name, kind in SECTIONS.items()}),
    storage=BASE.storage,
    tls=TlsConfig("cert", "key"),
    lmtp=LmtpConfig(port=24),
)


# What goes with no more than this here.
ALONE = {("webhook", "enabled")}


class Other:
    """Equal to nothing else, and shown as such."""

    def __str__(self) -> str:
        return "other"


def other(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, tuple):
        return (*value, Other())
    return {"x": r"\\y"} if not isinstance(value, str | None) else f"{value or ''}x"


@pytest.mark.parametrize(
    ("section", "key", "field", "live"),
    [(name, key, field.name, setting.live) for name in SECTIONS for key, field, setting in keys_of(name)],
)
def test_a_key_is_taken_on_where_it_is_live_and_is_told_of_in_any_case(
    section: str, key: str, field: str, live: bool
) -> None:
    old = getattr(WHOLE, section)
    new = replace(old, **{field: other(getattr(old, field))})
    after = replace(WHOLE, **{section: new})
    (change,) = changes(WHOLE, after)
    assert (change.section, change.key, change.live) == (section, key, live)
    if (section, field) in ALONE:
        with pytest.raises(ConfigError):
            in_force(WHOLE, after)
        return
    assert getattr(in_force(WHOLE, after), section) == (new if live else old)


def test_sections_come_and_go_with_a_restart() -> None:
    without = replace(WHOLE, pop3=None)
    for before, after in ((WHOLE, without), (without, WHOLE)):
        (change,) = changes(before, after)
        assert (change.section, change.key, change.live) == ("pop3", "", False)
        assert in_force(before, after) == before


def test_secrets_are_not_told() -> None:
    after = replace(WHOLE, api=replace(WHOLE.api, token="sesame"))  # type: ignore[type-var]
    (change,) = changes(WHOLE, after)
    assert (change.before, change.after) == ("", "(hidden)")


def test_what_goes_with_a_restart_only_is_refused() -> None:
    before = replace(BASE, imap=ImapConfig(ssl_port=0))
    after = replace(BASE, imap=ImapConfig(ssl_port=0, tls_only=True), tls=TlsConfig("c", "k"))
    with pytest.raises(ConfigError, match="without a restart: "):
        in_force(before, after)


class Room:
    """A `Reloading` whose thread is the test."""

    def __init__(self) -> None:
        self.wanted = BASE
        self.waiting: list[Deferred[None]] = []
        self.taken: list[Config] = []
        self.held = False
        self.clock: Any = Clock()
        self.reloading = Reloading(BASE, self.read, None, self.clock)
        self.reloading.add(at_once(self.taken.append))
        self.run(self.reloading.start(self.in_thread))

    def read(self) -> Config:
        return self.wanted

    async def in_thread(self, fn: Callable[..., Any], *args: Any) -> Any:
        if self.held:
            self.waiting.append(Deferred())
            await self.waiting[-1]
        return fn(*args)

    def run(self, coroutine: Any) -> Deferred[Any]:
        return Deferred.fromCoroutine(coroutine)


LIMITED = replace(BASE, limits=LimitsConfig(recipients=7))


def test_what_is_read_is_taken_on() -> None:
    room = Room()
    room.wanted = replace(LIMITED, pop3=Pop3Config(ssl_port=0))
    room.reloading.hang_up()
    assert room.taken == [LIMITED]
    assert room.reloading.config == LIMITED, "the new section takes a restart"


@pytest.mark.parametrize("trouble", [ConfigError("x"), StartupError("x")])
def test_who_refuses_refuses_for_all(trouble: Exception) -> None:
    room = Room()
    room.wanted = LIMITED

    def refuse(config: Config) -> Callable[[], None]:
        raise trouble

    room.reloading.add(refuse)
    room.reloading.hang_up()
    assert room.taken == []
    assert room.reloading.config == BASE


def test_signals_meanwhile_are_one_more_reload() -> None:
    room = Room()
    room.held = True
    for _ in range(5):
        room.reloading.hang_up()
    assert len(room.waiting) == 1
    room.wanted = LIMITED
    room.waiting[0].callback(None)
    assert len(room.waiting) == 2
    room.waiting[1].callback(None)
    assert (len(room.taken), len(room.waiting)) == (2, 2)


def test_files_that_cannot_be_read_in_time_change_nothing() -> None:
    room = Room()
    room.held = True
    room.wanted = LIMITED
    room.reloading.hang_up()
    room.clock.advance(61)
    assert room.taken == []
    room.held = False
    room.reloading.hang_up()
    assert room.taken == [LIMITED]


def test_a_stop_waits_for_the_reload_and_there_is_none_after_it() -> None:
    room = Room()
    room.held = True
    room.reloading.hang_up()
    room.reloading.hang_up()
    stopped = room.run(room.reloading.stop())
    assert not stopped.called
    room.waiting[0].callback(None)
    assert stopped.called
    room.reloading.hang_up()
    assert len(room.waiting) == 1


def test_the_log_moves_only_when_it_is_told_to(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    log = LogFile(LoggingConfig(path=str(first)))
    event: dict[str, Any] = {"log_format": "word {n}", "log_time": 0.0, "log_namespace": "x"}
    log({**event, "n": 1})
    take = log.prepare(LoggingConfig(path=str(second), json=True))
    log({**event, "n": 2})
    take()
    log({**event, "n": 3})
    second.rename(tmp_path / "second.1")
    log.reopen()
    log({**event, "n": 4})
    second.unlink()
    with pytest.raises(StartupError, match=r"^\[logging\] path: "):
        log.prepare(LoggingConfig(path=str(tmp_path / "none" / "log")))
    log.prepare(LoggingConfig())()
    assert [line[-1] for line in first.read_text().splitlines()] == ["1", "2"]
    assert '"message": "word 3"' in (tmp_path / "second.1").read_text()


def test_the_watchdog_is_fed_thrice_in_its_time(tmp_path: Path) -> None:
    path, clock = str(tmp_path / "notify"), Clock()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.setblocking(False)
        watchdog = Watchdog(clock, {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "30000000"})
        watchdog.startService()
        clock.pump([10] * 5)
        watchdog.stopService()
        clock.advance(30)
        heard = [manager.recv(100) for _ in range(6)]
        assert heard == [b"WATCHDOG=1"] * 6
        with pytest.raises(BlockingIOError):
            manager.recv(100)


@pytest.mark.parametrize(
    "environ", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"}]
)
def test_nobody_watches(environ: dict[str, str]) -> None:
    clock = Clock()
    watchdog = Watchdog(clock, environ)
    watchdog.startService()
    assert clock.getDelayedCalls() == []
    watchdog.stopService()


def test_every_section_is_known_to_the_law() -> None:
    assert {field.name for field in fields(Config)} == {*SECTIONS, "source", "embedded"}
