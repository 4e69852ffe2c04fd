"""What the log says is read back as it was said, and a search finds what a look at every line would find."""

from __future__ import annotations

import string
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import Logger, LogLevel, LogPublisher

from lightmail import logs, traces
from lightmail.records import Recent, Record, Search, Wanted, file_blocks, read, stream_blocks

DELIVERY, OTHER, SESSION = "4be1c09a77d2.1", "4be1c09a77d2.12", "0d67ba1f7bd8"
LINES = [
    f"2026-01-01T00:00:01.000Z info  auth.login [{SESSION}] login ok for 'ada@example.org' from 192.0.2.1 over imap",
    f"2026-01-01T00:00:02.000Z info  lmtp.handover [{DELIVERY}] delivered from <bob@x.example> to <Ada@example.org>: "
    "UID 1 in mailbox 1 of ada@example.org, 37 octets, Message-ID <m1@x.example>",
    f"2026-01-01T00:00:02.500Z warn  objects.spool [{DELIVERY}] something about it",
    f"2026-01-01T00:00:03.000Z info  lmtp.handover [{OTHER}] refused from <bob@x.example> to <nada@example.org>: 550",
    "2026-01-01T00:00:03.500Z critical operations it broke",
    "    Traceback (most recent call last):",
    "      ValueError: ada@example.org",
    f"2026-01-01T00:00:04.000Z info  imap.idle [{SESSION} {DELIVERY}] told of 1 new messages in mailbox 1",
    f"2026-01-01T00:00:05.000Z info  imap.server [{SESSION}] ended",
]


def find(wanted: Wanted, limit: int = 100, lines: Sequence[str] = LINES, size: int = 3) -> list[str]:
    """What a search finds in blocks of some lines, oldest first."""
    blocks = [lines[start : start + size] for start in range(0, len(lines), size)][::-1]
    search = Search(wanted, lambda: blocks, limit)
    while search.step():
        pass
    return search.found[::-1]


def numbers(wanted: Wanted, **more: int) -> list[int]:
    return [LINES.index(line) for line in find(wanted, **more)]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_an_address_leads_to_the_whole_way_of_its_mail(size: int) -> None:
    assert numbers(Wanted(address="ada@example.org"), size=size) == [0, 1, 2, 7]
    assert numbers(Wanted(address="ADA@EXAMPLE.ORG"), size=size) == [0, 1, 2, 7]
    assert numbers(Wanted(address="nada@example.org"), size=size) == [3]
    assert numbers(Wanted(address="da@example.org"), size=size) == []
    assert numbers(Wanted(address="ada@example.or"), size=size) == []


def test_a_message_id_does_so_too() -> None:
    for given_ in ("<m1@x.example>", "m1@x.example", "M1@X.EXAMPLE"):
        assert numbers(Wanted(message_id=given_)) == [1, 2, 7]
    assert numbers(Wanted(message_id="1@x.example")) == []


def test_a_trace_is_one_transaction_or_a_session_with_all_of_its() -> None:
    assert numbers(Wanted(trace=DELIVERY)) == [1, 2, 7]
    assert numbers(Wanted(trace=OTHER)) == [3]
    assert numbers(Wanted(trace="4be1c09a77d2")) == [1, 2, 3, 7]
    assert numbers(Wanted(trace=SESSION)) == [0, 7, 8]
    assert numbers(Wanted(trace="be1c09a77d2")) == []


def test_a_client_that_was_told_without_the_trace_is_found_by_the_place() -> None:
    told = "2026-01-01T00:00:0{}.000Z info  imap.idle [a0] told ada@x of {} new messages in mailbox {}, up to UID {}"
    elsewhere = [told.format(6, 1, 1, 1), told.format(7, 3, 1, 3)]
    others = [told.format(8, 1, 2, 1), told.format(8, 1, 1, 2), told.format(9, 2, 1, 3)]
    for wanted in (Wanted(trace=DELIVERY), Wanted(message_id="m1@x.example"), Wanted(address="ada@example.org")):
        found = find(wanted, lines=[*LINES, *elsewhere, *others])
        assert found[-2:] == elsewhere, wanted
    assert not set(find(Wanted(trace=OTHER), lines=[*LINES, *elsewhere])) & set(elsewhere)


def test_words_together_narrow_a_search() -> None:
    assert numbers(Wanted(address="bob@x.example")) == [1, 2, 3, 7]
    assert numbers(Wanted(address="bob@x.example", message_id="m1@x.example")) == [1, 2, 7]


def test_since_and_until_are_included() -> None:
    since, until = LINES[2][:24], LINES[7][:24]
    assert numbers(Wanted(since=since, until=until)) == [2, 3, 4, 7]
    assert numbers(Wanted(trace=DELIVERY, since=since)) == [2, 7]
    assert numbers(Wanted(since="2027")) == []


def test_the_newest_are_found_where_there_are_too_many() -> None:
    search = Search(Wanted(), lambda: [LINES], 3)
    while search.step():
        pass
    assert search.found == [LINES[8], LINES[7], LINES[4]]
    assert not search.complete
    search = Search(Wanted(address="ada@example.org"), lambda: [LINES], 4)
    while search.step():
        pass
    assert len(search.found) == 4
    assert search.complete


def test_lines_of_json_are_found_as_those_of_text(tmp_path: Path) -> None:
    destination = logs.Destination(str(tmp_path / "log"))
    log = Logger(namespace="lightmail.x", observer=LogPublisher(logs.observer(destination, "info", True)))
    log.info("delivered to <{to}>, Message-ID {id}", to="ünï@example.org", id='<a"b\\c@x>', trace=DELIVERY)
    log.info("told", trace=f"{SESSION} {DELIVERY}")
    log.info("something else", trace=OTHER)
    destination.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert find(Wanted(address="ÜNÏ@example.org"), lines=lines) == lines[:2]
    assert find(Wanted(message_id='a"b\\c@x'), lines=lines) == lines[:2]


messages = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(
    messages, st.sampled_from(["", DELIVERY, f"{SESSION} {DELIVERY}"]), st.sampled_from(["info", "warn", "critical"])
)
def test_a_record_is_read_back_as_it_was_written(message: str, trace: str, level: str) -> None:
    written: list[str] = []
    for as_json in (False, True):
        observer = logs.observer(_Nowhere(), "debug", as_json, written.append)
        log = Logger(namespace="lightmail.imap.server", observer=LogPublisher(observer))
        log.emit(LogLevel.lookupByName(level), "{said}", said=message, trace=trace)
    text, json_ = (read(line.rstrip("\n")) for line in written)
    assert text is not None
    assert text == json_ or text.time != json_.time  # type: ignore[union-attr]  # a millisecond may have passed
    assert text == Record(text.time, level, "imap.server", trace, logs.one_line(message))


class _Nowhere(logs.Destination):
    def __init__(self) -> None:
        super().__init__(None)

    def write(self, text: str) -> None:
        pass


@pytest.mark.parametrize("line", ["", "{", '{"time": 1}', "[]", "{}", "    Traceback", "2026 x", '{"time": "x", "lev'])
def test_what_is_no_record_is_none(line: str) -> None:
    assert read(line) is None


@given(st.lists(st.text(string.ascii_letters + "é", max_size=12)), st.integers(1, 40), st.booleans())
def test_a_file_is_read_backwards_whole(lines: list[str], at_once: int, ended: bool) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write("\n".join(lines).encode() + (b"\n" if ended else b""))
        file.flush()
        found = [line for block in reversed(list(file_blocks([file.name], 1 << 20, at_once))) for line in block]
    assert [line for line in found if line] == [line for line in lines if line]


def test_what_logrotate_moved_away_is_read_behind_the_new_file(tmp_path: Path) -> None:
    new, old = tmp_path / "log", tmp_path / "log.1"
    new.write_text("c\nd\n")
    old.write_text("a\nb\n")
    paths = [str(new), str(old), str(tmp_path / "log.2")]
    assert [line for block in file_blocks(paths, 1 << 20) for line in block if line] == ["c", "d", "a", "b"]
    assert [line for block in file_blocks(paths, 1) for line in block if line] == ["c", "d"]


def test_an_endless_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"first\n" + b"x" * (3 << 20) + b"\nlast\n")
    found = [line for block in file_blocks([str(path)], 1 << 30) for line in block if line]
    assert found[0] == "last"
    assert "first" in found


def test_what_is_kept_in_memory_is_bounded() -> None:
    recent = Recent(1000)
    for number in range(1000):
        recent.add(f"{number:9}\n")
    lines = [line for block in recent.blocks() for line in block]
    assert lines == [f"{number:9}\n" for number in range(900, 1000)]
    recent.add("x" * 100_000)
    assert sum(len(line) for block in recent.blocks() for line in block) <= 1000


def test_a_stream_is_searched_as_a_file_is() -> None:
    search = Search(Wanted(trace=DELIVERY), lambda: list(stream_blocks(iter(LINES))), 10)
    while search.step():
        pass
    assert search.found[::-1] == [LINES[1], LINES[2], LINES[7]]


def test_traces_are_joined_once_each_and_bounded() -> None:
    assert traces.joined(["a", "", "b a", "c"]) == "a b c"
    assert len(traces.joined(map(str, range(1000))).split()) == traces.MOST
    assert len({traces.fresh() for _ in range(1000)}) == 1000
