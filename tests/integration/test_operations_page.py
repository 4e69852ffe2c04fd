"""What a new operator reads is done word by word, on a Debian machine of its own: real MariaDB, S3, Postfix, curl."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.machine import ROOT, Machine, missing
from tests.support.walkthrough import Walk, walk

DOCS = ROOT / "docs"
# Not run, for a stand-in has been put in its place (tests/support/machine/layer).
NOT_INSTALLED = ("apt-get install -y certbot",)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    why = missing()
    if why is not None:
        pytest.skip(why)
    with Machine() as machine:
        yield machine


@pytest.fixture(scope="module")
def operations(machine: Machine) -> Walk:
    """docs/operations.md, from nothing to its end."""
    return walk(machine, DOCS / "operations.md", without=NOT_INSTALLED)


def test_nothing_is_bad_after_the_first_start(operations):
    said = operations.printed("lightmail doctor")
    assert "bad  " not in said
    assert " 0 bad" in said


def test_mail_arrives_over_smtp_and_is_read_over_tls(operations):
    read = operations.printed("'imaps://mail.example.org/INBOX;MAILINDEX=1'")
    assert "It works." in read


def test_what_was_deleted_comes_back(operations):
    assert "hello" in operations.printed("undelete list").lower()
    assert "restored 1" in operations.printed("undelete restore")
