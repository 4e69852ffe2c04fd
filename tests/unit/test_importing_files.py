"""Maildirs and mbox files as others write them: flags, dates, order, folders, and what is not to be read."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner

from lightmail.cli import cli
from lightmail.jobs.importing.maildir import MaildirSource
from lightmail.jobs.importing.mbox import MboxSource
from lightmail.jobs.importing.mboxfile import parse, spans
from lightmail.jobs.importing.source import Left, Loaded, Source, SourceError, kept_flags, with_crlf


def put(path: Path, text: bytes, moment: float = 1_700_000_000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    os.utime(path, (moment, moment))
    return path


def loaded(source: Source, place: str = "") -> list[Loaded]:
    folder = next(folder for folder in source.folders()[0] if folder.place == place)
    items, left = source.items(folder)
    assert left == []
    found = source.load(folder, items)
    assert all(isinstance(each, Loaded) for each in found)
    return [each for each in found if isinstance(each, Loaded)]


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


# --- Maildir ---


def test_flags_keywords_and_times_of_a_maildir(tmp_path: Path) -> None:
    put(tmp_path / "cur" / "1600000000.a.host,S=3:2,DFPRSTac", b"a\nb", 1_700_000_000.5)
    put(tmp_path / "new" / "1600000001.b.host", b"c\r\nd\n")
    put(tmp_path / "cur" / "1600000002.c.host:2,z", b"e")
    put(tmp_path / "dovecot-keywords", b"0 $Work\n2 Later\nnonsense\n")
    first, second, third = sorted(loaded(MaildirSource(str(tmp_path))), key=lambda each: each.octets)
    assert first.octets == b"a\r\nb"
    system = {b"\\Draft", b"\\Flagged", b"$Forwarded", b"\\Answered", b"\\Seen", b"\\Deleted"}
    assert set(first.flags) == system | {b"$Work", b"Later"}
    assert first.internaldate_us == 1_700_000_000_500_000
    assert (second.octets, second.flags) == (b"c\r\nd\r\n", ())
    assert third.flags == ()
    by_name = loaded(MaildirSource(str(tmp_path), dates="name"))
    assert [each.internaldate_us // 1_000_000 for each in by_name] == [1_600_000_000, 1_600_000_001, 1_600_000_002]


def test_folders_and_subscriptions_of_a_maildir(tmp_path: Path) -> None:
    for name in ("", ".Sent", ".Work.&AOk-t&AOk-", ".INBOX.below", "nested/deep", ".empty-of-maildir"):
        for box in ("cur", "new", "tmp") if name != ".empty-of-maildir" else ():
            (tmp_path / name / box).mkdir(parents=True)
    put(tmp_path / "subscriptions", b"V\t2\n\nSent\nWork\t&AOk-t&AOk-\n")
    folders, left = MaildirSource(str(tmp_path)).folders()
    assert left == []
    assert {folder.levels: folder.subscribed for folder in folders} == {
        ("INBOX",): True,
        ("Sent",): True,
        ("Work", "été"): True,
        ("INBOX", "below"): False,
        ("nested", "deep"): False,
    }
    (tmp_path / "subscriptions").write_bytes(b"INBOX.Sent\n")
    folders, _ = MaildirSource(str(tmp_path)).folders()
    assert {folder.levels for folder in folders if folder.subscribed} == {("INBOX",), ("Sent",)}
    (tmp_path / "subscriptions").unlink()
    assert {folder.subscribed for folder in MaildirSource(str(tmp_path)).folders()[0]} == {None}


def test_messages_come_in_the_order_of_their_uids(tmp_path: Path) -> None:
    for name in ("3.x", "1.x", "2.x", "0.new"):
        put(tmp_path / "cur" / f"{name}:2,", name.encode())
    put(tmp_path / "dovecot-uidlist", b"3 V1 N9 G0\n5 :2.x\n4 W12 :3.x\n8 :1.x:2,S\n")
    assert [each.octets for each in loaded(MaildirSource(str(tmp_path)))] == [b"3.x", b"2.x", b"1.x", b"0.new"]


def test_nothing_is_reached_through_a_link(tmp_path: Path) -> None:
    secret = put(tmp_path / "secret", b"secret")
    root = tmp_path / "mail"
    put(root / "cur" / "1.a:2,", b"mine")
    (root / "cur" / "2.b:2,").symlink_to(secret)
    os.mkfifo(root / "cur" / "3.c:2,")
    put(tmp_path / "other" / "cur" / "1.z", b"secret")
    (root / ".Other").symlink_to(tmp_path / "other")
    (root / ".Half").mkdir()
    (root / ".Half" / "cur").symlink_to(tmp_path / "other" / "cur")
    source = MaildirSource(str(root))
    folders, left = source.folders()
    assert [each.place for each in left] == [".Other"]
    told: list[str] = []
    for folder in folders:
        items, left = source.items(folder)
        told += [each.place for each in left]
        assert [each.octets for each in source.load(folder, items) if isinstance(each, Loaded)] in ([b"mine"], [])
    assert sorted(told) == [".Half/cur", "cur/2.b:2,", "cur/3.c:2,"]


def test_a_message_that_gets_a_flag_meanwhile_is_found_and_one_that_goes_is_not_missed(tmp_path: Path) -> None:
    here, gone = put(tmp_path / "new" / "1.a", b"a"), put(tmp_path / "cur" / "2.b:2,", b"b")
    (tmp_path / "cur").mkdir(exist_ok=True)
    source = MaildirSource(str(tmp_path))
    (folder,) = source.folders()[0]
    items, _ = source.items(folder)
    here.rename(tmp_path / "cur" / "1.a:2,S")
    gone.unlink()
    (found,) = source.load(folder, items)
    assert isinstance(found, Loaded)
    assert (found.octets, found.flags) == (b"a", (b"\\Seen",))
    # The key is that of the name's lasting part, so a second run knows the message again.
    assert source.items(folder)[0][0].key == items[0].key


def test_a_directory_that_is_no_maildir_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no Maildir is there"):
        MaildirSource(str(tmp_path)).folders()
    with pytest.raises(SourceError, match="no mbox is there"):
        MboxSource(str(tmp_path)).folders()


# --- mbox ---


@pytest.mark.parametrize(
    ("line", "moment"),
    [
        (b"From a@b Sat Jan  6 14:01:02 2024", "2024-01-06T14:01:02"),
        (b"From - Sat Jan 06 14:01:02 2024", "2024-01-06T14:01:02"),
        (b"From a@b Sat Jan  6 14:01:02 2024 +0130", "2024-01-06T12:31:02"),
        (b"From a@b Sat Jan  6 14:01:02 +0130 2024", "2024-01-06T12:31:02"),
        (b"From a@b Sat Jan  6 14:01:02 UTC 2024", "2024-01-06T14:01:02"),
        (b"From a@b Sat Jan  6 14:01 2024", "2024-01-06T14:01:00"),
        (b"From a@b Sat Feb 31 14:01:02 2024", None),
        (b"From a@b", None),
    ],
)
def test_dates_of_from_lines(line: bytes, moment: str | None) -> None:
    assert parse(line + b"\nX: y\n\n", "rd").internaldate_us == (us(moment) if moment else None)


def test_a_date_without_a_zone_is_of_the_zone_that_was_named() -> None:
    found = parse(b"From a Sat Jul  6 14:01:02 2024\nX: y\n\n", "rd", ZoneInfo("Europe/Berlin"))
    assert found.internaldate_us == us("2024-07-06T12:01:02")


def test_what_readers_wrote_into_a_message_becomes_flags_and_is_left_out() -> None:
    found = parse(
        b"From a Sat Jul  6 14:01:02 2024\nStatus: RO\nX-Status: AFTD\nSubject: s\nX-Keywords: $Work later\n"
        b"   more\nContent-Length: 9\nX-UID: 5\n\nStatus: text\n\n",
        "rd",
    )
    assert found.octets == b"Subject: s\r\n\r\nStatus: text\r\n"
    system = {b"\\Seen", b"\\Answered", b"\\Flagged", b"\\Draft", b"\\Deleted"}
    assert set(found.flags) == system | {b"$Work", b"later", b"more"}
    thunderbird = parse(b"From - x\nX-Mozilla-Status: 1007\nX-Mozilla-Keys: $label1 \nA: b\n\nc\n", "rd")
    assert thunderbird.octets == b"A: b\r\n\r\nc\r\n"
    assert set(thunderbird.flags) == {b"\\Seen", b"\\Answered", b"\\Flagged", b"$Forwarded", b"$label1"}


@pytest.mark.parametrize(
    ("quoting", "text"),
    [("rd", b"From a\n>From b\n>>From c\n> From d\n"), ("o", b"From a\n>>From b\n>>>From c\n> From d\n"),
     ("none", b">From a\n>>From b\n>>>From c\n> From d\n")],
)  # fmt: skip
def test_quoted_from_lines(quoting: str, text: bytes) -> None:
    raw = b"From x\nA: b\n\n>From a\n>>From b\n>>>From c\n> From d\n\n"
    assert parse(raw, quoting).octets == b"A: b\r\n\r\n" + with_crlf(text)


def test_only_a_from_line_behind_an_empty_one_begins_a_message() -> None:
    text = (
        b"From a Mon Jan  1 00:00:00 2024\n\nFrom here on\n\nFrom time to time at 10:30\nx\n"
        b"From b Mon Jan  1 00:00:00 2024\n\nFrom c Mon Jan  1 00:00:00 2024\r\n\r\ny\r\n\r\nFrom d 1:00 2024"
    )
    begins = [text[start:].split(b"\n")[0].split()[1] for start, _ in spans(io.BytesIO(text))]
    assert begins == [b"a", b"c", b"d"]


def test_a_tree_of_mbox_files(tmp_path: Path) -> None:
    one = b"From a Mon Jan  1 00:00:00 2024\nA: b\n\nc\n\n"
    for name in ("Inbox", "Inbox.sbd/Below", "Work.mbox", "Work/&AOk-.mbox", "Apple.mbox/mbox", "Local/Grüße"):
        put(tmp_path / name, one)
    put(tmp_path / "Empty", b"")
    put(tmp_path / "Inbox.msf", b"index")
    put(tmp_path / ".hidden", one)
    put(tmp_path / "notes.txt", b"Hello")
    (tmp_path / "link").symlink_to(tmp_path / "Inbox")
    folders, left = MboxSource(str(tmp_path)).folders()
    assert {folder.levels for folder in folders} == {
        ("Inbox",), ("Inbox", "Below"), ("Work",), ("Work", "é"), ("Apple",), ("Local", "Grüße"), ("Empty",)
    }  # fmt: skip
    assert sorted(each.place for each in left) == ["link", "notes.txt"]


def test_a_file_of_its_own_and_the_note_that_servers_put_first(tmp_path: Path) -> None:
    text = (
        b"From MAILER-DAEMON Mon Jan  1 00:00:00 2024\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n"
        b"X-IMAP: 1 2\n\nnote\n\n" + 2 * b"From a Mon Jan  1 00:00:00 2024\nA: b\n\nc\n\n"
    )
    path = put(tmp_path / "mbox", text)
    source = MboxSource(str(path))
    (folder,) = source.folders()[0]
    assert folder.levels == ("INBOX",)
    items, _ = source.items(folder)
    assert len({item.key for item in items}) == 2
    put(path, text.replace(b"c\n", b"cc\n"))
    assert all(isinstance(each, Left) for each in source.load(folder, items))
    with pytest.raises(SourceError, match="it is no mbox"):
        MboxSource(str(put(tmp_path / "other", b"Hello"))).folders()


def test_a_message_that_is_too_large_is_listed_and_never_read(tmp_path: Path) -> None:
    path = put(tmp_path / "f", b"From a Mon Jan  1 00:00:00 2024\n" + b"x" * 5000)
    source = MboxSource(str(path), most_octets=1000)
    (item,), _ = source.items(source.folders()[0][0])
    assert item.octets > 5000


def test_flags_that_may_be_kept() -> None:
    given = [b"\\SEEN", b"\\Recent", b"\\Odd", b"$Label1", b"$label1", b"no space", b"", b"x" * 101, b"(", b"\xff"]
    assert kept_flags(given) == (b"\\Seen", b"$Label1")


def test_arguments_that_cannot_be_used(tmp_path: Path) -> None:
    path = str(put(tmp_path / "f", b""))

    def told(*arguments: str) -> str:
        done = CliRunner().invoke(cli, ["import", *arguments], env={"IMPORT_PASSWORD": None})
        assert done.exit_code == 2
        return done.output

    assert "no time zone No/Where" in told("mbox", "ada@example.org", path, "--zone", "No/Where")
    assert "--password-file" in told("imap", "ada@example.org", "imap.example.net")
    assert "password is empty" in told("imap", "ada@example.org", "imap.example.net", "--password-file", path)
    assert "does not exist" in told("maildir", "ada@example.org", str(tmp_path / "none"))
