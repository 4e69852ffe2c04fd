"""Verified credentials are found while they are fresh and nothing about them has changed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from twisted.internet.task import Clock

from lightmail.auth.verified import VerifiedCache
from lightmail.model import Account, AccountId

DEMO = Account(AccountId(1), b"u" * 16, "demo@example.org", True, 0, 0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_was_right_is_right_for_a_while(clock: Clock) -> None:
    cache = VerifiedCache(60, 10, clock.seconds)
    digest = cache.digest(DEMO, "$2b$", b"secret")
    assert digest not in cache
    cache.add(digest)
    clock.advance(59)
    assert digest in cache
    clock.advance(1)
    assert digest not in cache
    assert len(cache) == 0


def test_every_part_of_a_credential_counts(clock: Clock) -> None:
    cache = VerifiedCache(60, 10, clock.seconds)
    cache.add(cache.digest(DEMO, "$2b$", b"secret"))
    others = [
        cache.digest(DEMO, "$2b$", b"Secret"),
        cache.digest(DEMO, "$2b", b"$secret"),
        cache.digest(DEMO, "$2a$", b"secret"),
        cache.digest(replace(DEMO, id=AccountId(2)), "$2b$", b"secret"),
        cache.digest(replace(DEMO, uuid=b"v" * 16), "$2b$", b"secret"),
        cache.digest(replace(DEMO, active=False), "$2b$", b"secret"),
        cache.digest(None, "$2b$", b"secret"),
    ]
    assert not any(digest in cache for digest in others)
    assert len(set(others)) == len(others)


def test_another_process_has_another_key(clock: Clock) -> None:
    one, other = VerifiedCache(60, 10, clock.seconds), VerifiedCache(60, 10, clock.seconds)
    assert one.digest(DEMO, "$2b$", b"secret") != other.digest(DEMO, "$2b$", b"secret")


def test_the_oldest_goes_when_it_is_full(clock: Clock) -> None:
    cache = VerifiedCache(60, 3, clock.seconds)
    digests = [cache.digest(DEMO, "$2b$", b"%d" % number) for number in range(5)]
    for digest in digests:
        cache.add(digest)
        clock.advance(1)
    assert [digest in cache for digest in digests] == [False, False, True, True, True]
    assert len(cache) == 3


def test_what_is_over_is_dropped_without_being_asked_for(clock: Clock) -> None:
    cache = VerifiedCache(60, 1000, clock.seconds)
    for number in range(100):
        cache.add(cache.digest(DEMO, "$2b$", b"%d" % number))
    clock.advance(61)
    cache.add(cache.digest(DEMO, "$2b$", b"new"))
    assert len(cache) == 1
