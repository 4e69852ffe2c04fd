"""The contract of an object store, kept by memory, directory and a real S3 server alike."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from lightmail.config import StorageConfig
from lightmail.objects.backends import ObjectMissing, ObjectStore, open_store
from tests.support.seaweedfs import s3_config


@pytest.fixture(params=["memory", "directory", pytest.param("s3", marks=pytest.mark.s3)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    driver: str = request.param
    # The server is the session's, so each test has a prefix of its own.
    s3 = s3_config(request.getfixturevalue("s3_server"), f"test-{os.urandom(6).hex()}") if driver == "s3" else None
    store = open_store(StorageConfig(driver=driver, path=str(tmp_path / "objects")), s3)
    store.check()
    return store


def test_what_was_put_is_read_back(store: ObjectStore) -> None:
    store.put("emails/aa/one.eml.zst", b"octets")
    assert store.read("emails/aa/one.eml.zst", 0, 6) == b"octets"
    assert store.size("emails/aa/one.eml.zst") == 6


def test_a_range_is_exactly_the_slice(store: ObjectStore) -> None:
    store.put("emails/aa/one", b"0123456789")
    assert [store.read("emails/aa/one", a, b) for a, b in ((0, 1), (3, 7), (9, 10))] == [b"0", b"3456", b"9"]


def test_a_range_beyond_the_end_is_cut_short(store: ObjectStore) -> None:
    store.put("emails/aa/one", b"0123456789")
    assert store.read("emails/aa/one", 5, 20) == b"56789"
    assert store.read("emails/aa/one", 10, 20) == b""
    assert store.read("emails/aa/one", 15, 20) == b""


def test_a_put_replaces(store: ObjectStore) -> None:
    store.put("meta/epoch", b"first, and longer")
    store.put("meta/epoch", b"second")
    assert store.read("meta/epoch", 0, 100) == b"second"
    assert store.size("meta/epoch") == 6


@pytest.mark.parametrize("octets", [0, 1, (5 << 20) - 1, 5 << 20, (5 << 20) + 1, 11 << 20])
def test_a_reader_of_any_length_is_stored_whole(store: ObjectStore, octets: int) -> None:
    body = os.urandom(octets)
    store.put("emails/aa/large", io.BytesIO(body))
    assert store.size("emails/aa/large") == octets
    assert store.read("emails/aa/large", 0, octets + 1) == body


def test_an_absent_object_is_missing_for_sure(store: ObjectStore) -> None:
    with pytest.raises(ObjectMissing):
        store.read("emails/aa/absent", 0, 1)
    assert store.size("emails/aa/absent") is None


def test_delete_takes_present_and_absent_alike(store: ObjectStore) -> None:
    for name in "abc":
        store.put(f"emails/aa/{name}", b"x")
    store.delete(["emails/aa/a", "emails/aa/absent", "emails/aa/c", "emails/zz/none"])
    assert store.keys("emails") == ["emails/aa/b"]
    store.delete([])


def test_keys_are_listed_in_order_below_a_prefix(store: ObjectStore) -> None:
    keys = [f"emails/{hh}/{n:02}.eml.zst" for hh in ("0f", "a0", "ab") for n in (3, 1, 2)]
    for key in [*keys, "journal/1", "emails2/a", "top"]:
        store.put(key, b"x")
    assert store.keys("emails") == sorted(keys)
    assert store.keys("emails/a0") == sorted(key for key in keys if "/a0/" in key)
    assert store.keys("emails/a") == []
    assert store.keys("nowhere") == []
    assert store.keys("emails/a0/01.eml.zst") == []
    assert [key for key in store.keys("") if key != "meta/probe"] == sorted([*keys, "journal/1", "emails2/a", "top"])


def test_a_listing_is_paged_by_the_last_key(store: ObjectStore) -> None:
    keys = [f"emails/{hh}/{n}" for hh in ("00", "01", "ff") for n in range(4)]
    for key in keys:
        store.put(key, b"x")
    paged: list[str] = []
    while page := store.keys("emails", after=paged[-1] if paged else "", limit=5):
        assert len(page) <= 5
        paged += page
    assert paged == keys


def test_the_start_up_check_passes_and_again(store: ObjectStore) -> None:
    store.check()
    store.check()
