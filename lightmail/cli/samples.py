"""The messages of the demo: one of each kind that a mail client shows differently."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime


def sample_messages(to: str) -> list[bytes]:
    """The messages as octets for LMTP, oldest first, with dates of the last hours."""
    now = datetime.now(UTC)
    makers: list[Callable[[], EmailMessage]] = [_welcome, _html, _picture, _foreign, _reply]
    messages = []
    for number, make in enumerate(makers, 1):
        message = make()
        message["To"] = to
        message["Date"] = format_datetime(now - timedelta(hours=len(makers) - number, minutes=7 * number))
        message["Message-ID"] = f"<sample-{number}@example.org>"
        messages.append(message.as_bytes(policy=SMTP))
    return messages


def _message(sender: str, subject: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = sender
    message["Subject"] = subject
    return message


def _welcome() -> EmailMessage:
    message = _message("LightMail <welcome@example.org>", "Welcome to LightMail")
    message.set_content(
        "This message came in over LMTP, was compressed and stored as one object,\n"
        "and its rows went into the database. You are reading it over IMAP or POP3.\n\n"
        "Try what you like: move it, flag it, delete it, run a second client beside\n"
        "the first. Everything is still there after a restart.\n"
    )
    return message


def _html() -> EmailMessage:
    message = _message("Ada Example <ada@example.org>", "Two ways to read this")
    message.set_content("A client that shows no HTML shows this text.\n")
    message.add_alternative(
        "<html><body><p>A client that shows <b>HTML</b> shows <i>this</i> text.</p></body></html>\n", subtype="html"
    )
    return message


def _picture() -> EmailMessage:
    message = _message("Ada Example <ada@example.org>", "A picture and a table")
    message.set_content("The picture is small, and so is the table.\n")
    message.add_attachment(_png(96, 64), maintype="image", subtype="png", filename="colours.png")
    message.add_attachment("fruit,count\napples,3\npears,5\n", subtype="csv", filename="fruit.csv")
    return message


def _foreign() -> EmailMessage:
    message = _message("Грета Пример <greta@example.org>", "Grüße aus Zürich – ありがとう 🐦")
    message.set_content("Umlaute äöü, кириллица, 漢字 and an emoji 🐦 arrive as they were sent.\n")
    return message


def _reply() -> EmailMessage:
    message = _message("Ada Example <ada@example.org>", "Re: Welcome to LightMail")
    message["In-Reply-To"] = "<sample-1@example.org>"
    message["References"] = "<sample-1@example.org>"
    message.set_content("> Try what you like\n\nA client that shows threads puts this one under the welcome.\n")
    return message


def _png(width: int, height: int) -> bytes:
    """A picture of colours, so that the demo needs no file beside it."""
    rows = b"".join(
        b"\0" + b"".join(bytes((255 * x // width, 255 * y // height, 160)) for x in range(width)) for y in range(height)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
