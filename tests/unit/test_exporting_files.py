"""Files of an export: whose a directory is, what an mbox's entry looks like, names that a Maildir cannot have."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightmail.jobs.exporting.files import ExportError, claim, with_lf
from lightmail.jobs.exporting.maildir import MaildirSink
from lightmail.jobs.exporting.mbox import MboxSink, entry
from lightmail.jobs.exporting.message import Exported, Origin
from lightmail.jobs.importing.maildir import MaildirSource

ADA, BEN = b"a" * 16, b"b" * 16


def origin(name: str) -> Origin:
    return Origin(name, 7, 3, bytes(16))


def test_a_directory_is_one_accounts_export(tmp_path: Path) -> None:
    place = str(tmp_path / "new" / "deep")
    claim(place, "maildir", ADA, force=False)
    claim(place, "maildir", ADA, force=False)
    for kind, account in (("mbox", ADA), ("maildir", BEN)):
        with pytest.raises(ExportError, match="another account or format"):
            claim(place, kind, account, force=False)
    (tmp_path / "mine").write_text("x")
    with pytest.raises(ExportError, match="not empty"):
        claim(str(tmp_path), "maildir", ADA, force=False)
    claim(str(tmp_path), "maildir", ADA, force=True)
    with pytest.raises(ExportError, match=r"File exists|Not a directory"):
        claim(str(tmp_path / "mine"), "maildir", ADA, force=False)


def test_an_entry_of_an_mbox() -> None:
    octets = b"Return-Path: <a@b>\r\nSubject: s\r\n\r\nFrom here\r\n>From there\r\nend"
    message = Exported(1, octets, (b"\\Seen", b"\\Flagged", b"\\Deleted", b"$Work"), 1_700_000_000_999_999)
    assert entry(message) == (
        b"From a@b Tue Nov 14 22:13:20 2023\nReturn-Path: <a@b>\nSubject: s\n"
        b"X-UID: 1\nStatus: RO\nX-Status: FD\nX-Keywords: $Work\n\n>From here\n>>From there\nend\n\n"
    )
    assert entry(Exported(1, b"no header end\r\n", (), 0)).endswith(b"\nno header end\nX-UID: 1\nStatus: O\n\n")


def test_line_ends_are_only_changed_where_they_can_be_changed_back() -> None:
    assert with_lf(b"a\r\nb\r\n") == b"a\nb\n"
    for octets in (b"a\nb\r\n", b"a\r\r\n"):
        assert with_lf(octets) == octets


def test_names_that_have_dots_or_are_too_long(tmp_path: Path) -> None:
    sink = MaildirSink(str(tmp_path))
    for name in ("INBOX", "v1.2/été"):
        sink.begin(origin(name))
    assert (tmp_path / ".v1&AC4-2.&AOk-t&AOk-" / "cur").is_dir()
    assert {folder.levels for folder in MaildirSource(str(tmp_path)).folders()[0]} == {("INBOX",), ("v1.2", "été")}
    with pytest.raises(ExportError, match="too long"):
        sink.begin(origin("x" * 300))
    with pytest.raises(ExportError, match="too long"):
        MboxSink(str(tmp_path)).begin(origin("x" * 300))


def test_more_keywords_than_a_maildir_has_letters_for(tmp_path: Path) -> None:
    sink = MaildirSink(str(tmp_path))
    sink.begin(origin("INBOX"))
    sink.write(origin("INBOX"), [Exported(n, b"x\r\n", (b"k%d" % n, b"\\Seen"), 1) for n in range(1, 31)])
    assert len((tmp_path / "dovecot-keywords").read_text().splitlines()) == 26
    assert len(sink.notes) == 1
    # The letters stay what they were when the export is gone on with.
    again = MaildirSink(str(tmp_path))
    assert len(again.begin(origin("INBOX"))) == 30
    again.write(origin("INBOX"), [Exported(40, b"x\r\n", (b"K3",), 1)])
    (name,) = [path.name for path in (tmp_path / "cur").iterdir() if "U40." in path.name]
    assert name.endswith(":2,c")


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".Work").write_text("in the way")
    with pytest.raises(ExportError, match=r"\.Work"):
        MaildirSink(str(tmp_path)).begin(origin("Work"))
    (tmp_path / "Work").write_text("in the way")
    with pytest.raises(ExportError, match="Work"):
        MboxSink(str(tmp_path)).begin(origin("Work/below"))
