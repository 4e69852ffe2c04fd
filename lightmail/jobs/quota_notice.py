"""The message that tells an owner that the account is nearly full: its text, and how it becomes a message."""

from __future__ import annotations

import os
from email.header import Header
from string import Template
from typing import Final

from lightmail.config.values import size_text
from lightmail.delivery.headers import date_time
from lightmail.errors import StartupError
from lightmail.store.quotas import Filling

TEMPLATE_OCTETS: Final = 64 << 10

DEFAULT_TEMPLATE: Final = """\
Subject: Your mailbox is $percent % full

The mailbox of $address is nearly full:

    space      $used of $limit
    messages   $messages of $message_limit

When it is full, new mail cannot be delivered. It waits at its senders' servers for
some days and is then returned to them. What you have is not touched.

What you can do:

  - Delete messages that you no longer need and empty the trash. In most mail
    programs you can sort by size and begin with the largest.
  - Move old messages to your own computer.
  - Ask whoever runs this mail service for more room.

This message comes once. It comes again only if there has been room meanwhile.
"""


class Notice:
    """A template: a ``Subject:`` line, an empty line, and text, with $address, $percent, $used, $limit, $messages and
    $message_limit in it. Raises ValueError where it is not that."""

    def __init__(self, text: str) -> None:
        subject, _, body = text.replace("\r\n", "\n").partition("\n\n")
        name, _, subject = subject.partition(":")
        if name.lower() != "subject" or not subject.strip() or "\n" in subject.strip() or not body.strip():
            raise ValueError("it must begin with a line Subject: …, then an empty line, then the text")
        self._subject, self._body = Template(subject.strip()), Template(body.rstrip("\n"))
        sample = dict.fromkeys(("address", "percent", "used", "limit", "messages", "message_limit"), "")
        try:
            self._subject.substitute(sample)
            self._body.substitute(sample)
        except KeyError as error:
            raise ValueError(f"${error.args[0]} is no placeholder; the known ones are ${', $'.join(sample)}") from None
        except ValueError:
            raise ValueError("a $ that begins no placeholder is written $$") from None

    def compose(self, filling: Filling, at_us: int) -> bytes:
        """The message for an account: UTF-8, each line ended by CRLF."""
        address, quota = filling.account.address, filling.quota
        values = {
            "address": address,
            "percent": str(quota.percent()),
            "used": size_text(quota.used_octets),
            "limit": size_text(quota.octets) if quota.octets else "any",
            "messages": str(quota.used_messages),
            "message_limit": str(quota.messages) if quota.messages else "any number",
        }
        domain = address.rpartition("@")[2]
        lines = [
            f"From: Mail system <postmaster@{domain}>",
            f"To: <{address}>",
            f"Subject: {_encoded(self._subject.substitute(values))}",
            f"Date: {date_time(at_us)}",
            f"Message-ID: <quota.{at_us}.{os.urandom(6).hex()}@{domain}>",
            "Auto-Submitted: auto-generated",
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Transfer-Encoding: 8bit",
            "",
            *self._body.substitute(values).split("\n"),
            "",
        ]
        return "\r\n".join(lines).encode("utf-8")


def _encoded(text: str) -> str:
    """A field's text as it may stand in a header (RFC 2047)."""
    if text.isascii():
        return text
    return Header(text, "utf-8", header_name="Subject").encode(linesep="\r\n")


def read_notice(path: str | None) -> Notice:
    """The template in the file, or the default one. Blocks. Raises StartupError, one line."""
    if path is None:
        return Notice(DEFAULT_TEMPLATE)
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(TEMPLATE_OCTETS + 1)
        if len(text) > TEMPLATE_OCTETS:
            raise ValueError(f"it is longer than {TEMPLATE_OCTETS >> 10} KiB")
        return Notice(text)
    except OSError as error:
        raise StartupError(f"[quota] warning_template: {path}: {error.strerror}; name a readable file") from None
    except UnicodeDecodeError:
        raise StartupError(f"[quota] warning_template: {path}: it is not UTF-8 text; save it as UTF-8") from None
    except ValueError as error:
        raise StartupError(f"[quota] warning_template: {path}: {error}") from None
