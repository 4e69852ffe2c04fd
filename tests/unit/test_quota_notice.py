"""The text that warns an owner, and the message that it becomes."""

from __future__ import annotations

import email
import email.policy
from pathlib import Path

import pytest

from lightmail.errors import StartupError
from lightmail.jobs.quota_notice import DEFAULT_TEMPLATE, Notice, read_notice
from lightmail.model import Account, AccountId, MailboxId
from lightmail.store.accounts import Quota
from lightmail.store.quotas import Filling

ROOT = Path(__file__).resolve().parents[2]
AT_US = 1_700_000_000_000_000


def filling(address: str = "ada@example.org", quota: Quota | None = None) -> Filling:
    quota = quota or Quota(10 << 30, 0, 9 << 30, 123)
    account = Account(AccountId(1), b"u" * 16, address, True, quota.octets, quota.messages)
    return Filling(account, MailboxId(1), quota)


def composed(notice: Notice, found: Filling) -> tuple[bytes, email.message.EmailMessage]:
    octets = notice.compose(found, AT_US)
    return octets, email.message_from_bytes(octets, policy=email.policy.default)  # type: ignore[return-value]


def test_the_default_says_how_much_and_what_to_do() -> None:
    octets, message = composed(Notice(DEFAULT_TEMPLATE), filling())
    assert octets.count(b"\n") == octets.count(b"\r\n")
    assert octets.endswith(b"\r\n")
    assert message["Subject"] == "Your mailbox is 90 % full"
    assert (message["From"], message["To"]) == ("Mail system <postmaster@example.org>", "ada@example.org")
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime.timestamp() == AT_US // 1_000_000
    text = message.get_content()
    assert "space      9G of 10G" in text
    assert "messages   123 of any number" in text
    assert "empty the trash" in text
    assert "$" not in text
    assert not message.defects


def test_other_languages_and_addresses() -> None:
    notice = Notice(
        "Subject: Postfach $address zu $percent % gefüllt – bitte aufräumen\r\n\r\nKosten: 5 $$\r\n$messages"
    )
    octets, message = composed(notice, filling("jörg@bücher.example", Quota(0, 10, 5, 9)))
    assert message["Subject"] == "Postfach jörg@bücher.example zu 90 % gefüllt – bitte aufräumen"
    assert message.get_content() == "Kosten: 5 $\r\n9\r\n"
    subject = octets[octets.index(b"Subject:") : octets.index(b"Date:")]
    assert subject.isascii()
    assert all(len(line) <= 78 for line in subject.split(b"\r\n"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "must begin with a line Subject"),
        ("Hello\n\ntext", "must begin with a line Subject"),
        ("Subject:\n\ntext", "must begin with a line Subject"),
        ("Subject: x\n\n \n", "must begin with a line Subject"),
        ("Subject: x\nBcc: all@example.org\n\ntext", "must begin with a line Subject"),
        ("Subject: x\n\n$used of $quota", r"\$quota is no placeholder; the known ones are \$address, "),
        ("Subject: x\n\n5 $ a month", r"is written \$\$"),
        ("Subject: x\n\n" + "y" * (64 << 10), "longer than 64 KiB"),
    ],
)
def test_a_template_that_cannot_be_used_is_one_line(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "warning.txt"
    path.write_text(text)
    with pytest.raises(StartupError, match=why) as caught:
        read_notice(str(path))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="name a readable file"):
        read_notice(str(tmp_path / "none"))
    (tmp_path / "latin").write_bytes(b"Subject: \xfc\n\ntext\n")
    with pytest.raises(StartupError, match="not UTF-8"):
        read_notice(str(tmp_path / "latin"))


def test_a_template_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "warning.txt"
    path.write_text("Subject: full\n\n$address\n")
    assert composed(read_notice(str(path)), filling())[1].get_content() == "ada@example.org\r\n"


def test_the_page_shows_the_default() -> None:
    page = (ROOT / "docs" / "quotas.md").read_text(encoding="utf-8")
    shown = "".join(line.removeprefix("    ") for line in page.splitlines(keepends=True))
    assert DEFAULT_TEMPLATE in shown
