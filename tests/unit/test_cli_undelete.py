"""What `lightmail undelete` takes for a moment, prints of strangers' text, and refuses before it opens anything."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import click
import pytest
from click.testing import CliRunner

from lightmail.cli import cli
from lightmail.cli.common import operator
from lightmail.cli.undelete import Moment, clean


def us(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp() * 1_000_000)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01", us(2026, 3, 1)),
        ("2026-03-01T14:05", us(2026, 3, 1, 14, 5)),
        ("2026-03-01 14:05:06", us(2026, 3, 1, 14, 5, 6)),
        ("2026-03-01T14:05+02:00", us(2026, 3, 1, 12, 5)),
    ],
)
def test_moments(text: str, moment: int) -> None:
    assert Moment().convert(text, None, None) == moment


def test_ages() -> None:
    now = time.time() * 1_000_000
    for text, seconds in (("5m", 300), ("2h", 7200), ("3d", 259_200), ("1w", 604_800)):
        assert abs(now - seconds * 1_000_000 - Moment().convert(text, None, None)) < 60_000_000


@pytest.mark.parametrize("text", ["", "yesterday", "3y", "2026-13-01", "-1d", "9999999d", "2026-03-01; DROP"])
def test_no_moments(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Moment().convert(text, None, None)


def test_what_strangers_wrote_cannot_write_to_the_terminal() -> None:
    assert clean("a\x1b[2Jb\nc\u202ed") == "a?[2Jb?c?d"
    assert len(clean("x" * 1000)) == 48


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "say what to restore"),
        (["1", "--subject", "x"], "not both"),
        (["0"], "not in the range"),
        (["--since", "soon", "--all"], "must be a date"),
    ],
)
def test_what_restore_refuses(arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(cli, ["undelete", "restore", "a@example.org", *arguments])
    assert done.exit_code == 2
    assert says in done.output


def test_the_audit_log_names_the_user_and_who_is_behind_him(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    alone = operator()
    monkeypatch.setenv("SUDO_USER", "ada")
    assert operator() == f"{alone} (ada by sudo)"
