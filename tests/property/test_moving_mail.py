"""What is exported and imported again is what it was; and whatever stands in a file, reading it ends well."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from lightmail.jobs import folders
from lightmail.jobs.exporting.maildir import MaildirSink
from lightmail.jobs.exporting.mbox import MboxSink, entry
from lightmail.jobs.exporting.message import Exported, Origin
from lightmail.jobs.importing.imapwire import fetched, listed
from lightmail.jobs.importing.maildir import MaildirSource
from lightmail.jobs.importing.mbox import MboxSource
from lightmail.jobs.importing.mboxfile import QUOTINGS, parse, spans
from lightmail.jobs.importing.source import Loaded, Source
from lightmail.model import FIXED_FLAGS
from lightmail.operations.names import canonical

lines = st.sampled_from(
    b"|From ada@example.org Mon Jan  1 00:00:00 2024|>From x|>>From y|From z|Subject: s|.| folded|a|\xff\0|\t".split(
        b"|"
    )
)
# Lines as they come over the wire, and for a Maildir whatever can stand in a message.
canonical_octets = st.lists(lines, min_size=1).map(lambda found: b"".join(line + b"\r\n" for line in found))
any_octets = st.lists(st.sampled_from([b"\r", b"\r\n", b"a", b"From ", b"\xff", b"\0", b">"]), min_size=1).map(b"".join)
keywords = st.sampled_from([b"$Work", b"later", b"NonJunk", b"a/b"])
flags = st.sets(st.one_of(st.sampled_from(FIXED_FLAGS), keywords)).map(lambda found: tuple(sorted(found)))
moments_us = st.integers(min_value=0, max_value=4_102_444_800_000_000)
levels = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
ORIGIN = Origin("INBOX", 7, 1000, bytes(16))


def messages(octets: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[Exported]]:
    made = st.tuples(octets, flags, moments_us)
    return st.lists(made, max_size=6).map(lambda found: [Exported(uid, *each) for uid, each in enumerate(found, 1)])


@contextmanager
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def read_all(source: Source) -> dict[tuple[str, ...], list[Loaded]]:
    found, left = source.folders()
    assert left == []
    got: dict[tuple[str, ...], list[Loaded]] = {}
    for folder in found:
        items, left = source.items(folder)
        assert left == []
        loaded = source.load(folder, items)
        got[folder.levels] = [each for each in loaded if isinstance(each, Loaded)]
        assert len(got[folder.levels]) == len(loaded)
        assert len({item.key for item in items}) == len(items)
        # A second look finds the same keys: that is what keeps a second run from bringing anything twice.
        assert [item.key for item in source.items(folder)[0]] == [item.key for item in items]
    source.close()
    return got


@settings(max_examples=60, deadline=None)
@given(messages(st.one_of(canonical_octets, any_octets)))
@example([Exported(1, b"a\r\r\n", (), 1)])
@example([Exported(1, b"a\r\n\r", (), 1)])
def test_a_maildir_brings_back_what_was_written(written: list[Exported]) -> None:
    with directory() as path:
        sink = MaildirSink(str(path))
        assert sink.begin(ORIGIN) == set()
        sink.write(ORIGIN, written)
        sink.end(ORIGIN)
        assert sink.begin(ORIGIN) == {each.uid for each in written}
        got = read_all(MaildirSource(str(path)))[("INBOX",)]
    assert [(each.octets, set(each.flags), each.internaldate_us) for each in got] == [
        (each.octets, set(each.flags), each.internaldate_us) for each in written
    ]


@settings(max_examples=60, deadline=None)
@given(messages(canonical_octets))
@example([Exported(1, b"\r\n", (), 0), Exported(2, b"From a\r\n", (b"later",), 0), Exported(3, b"\r\n\r\n", (), 0)])
@example([Exported(1, b"a\r\n", (), 1), Exported(2, b"a\r\n", (b"\\Seen",), 1)])
def test_an_mbox_brings_back_what_was_written(written: list[Exported]) -> None:
    with directory() as path:
        sink = MboxSink(str(path))
        assert sink.begin(ORIGIN) == set()
        sink.write(ORIGIN, written)
        sink.end(ORIGIN)
        assert sink.begin(ORIGIN) is None
        got = read_all(MboxSource(str(path)))[("INBOX",)]
    assert [(each.octets, set(each.flags), each.internaldate_us) for each in got] == [
        (each.octets, set(each.flags), each.internaldate_us // 1_000_000 * 1_000_000) for each in written
    ]


@settings(deadline=None)
@given(messages(canonical_octets), st.integers(min_value=2000, max_value=4000))
def test_where_messages_begin_does_not_hang_on_how_the_file_is_read(written: list[Exported], step: int) -> None:
    text = b"".join(entry(each) for each in written) * 3

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(step)

    assert list(spans(Slow(text))) == list(spans(io.BytesIO(text)))


@given(levels, st.booleans())
def test_a_level_is_read_as_it_was_spelled(level: str, dots: bool) -> None:
    spelled = folders.spelled(level, dots=dots)
    assert spelled.isascii()
    assert not (dots and "." in spelled)
    assert folders.read(spelled) == level


@given(st.lists(st.text(max_size=12), max_size=5), st.sampled_from(["", "Old", "a/b"]))
def test_any_name_becomes_one_that_may_be(found: list[str], into: str) -> None:
    name = folders.target_name(found, into)
    assert canonical(name) == name
    assert not set("*%") & set(name)
    assert name == into or name.startswith(f"{into}/" if into else "")


@given(st.lists(st.sampled_from(["INBOX", "a", "a (2)", "b"])))
def test_no_two_mailboxes_get_one_name_but_the_inbox(names: list[str]) -> None:
    unique = folders.without_conflicts(names)
    others = [name for name in unique if name != "INBOX"]
    assert len(others) == len(set(others))
    assert unique.count("INBOX") == names.count("INBOX")


@given(st.binary(max_size=300), st.sampled_from(QUOTINGS))
def test_parsing_an_mbox_never_crashes(octets: bytes, quoting: str) -> None:
    for start, end in spans(io.BytesIO(octets)):
        parse(octets[start:end], quoting)
    parse(octets, quoting)


@given(st.lists(st.one_of(st.none(), st.binary(max_size=60), st.tuples(st.binary(max_size=60), st.binary(max_size=9)))))
def test_what_a_server_says_never_crashes_us(data: list[bytes]) -> None:
    listed(data)
    fetched(data)
