"""Messages that have tripped mail servers, and what a client must get back of them."""

from __future__ import annotations

from email.message import EmailMessage
from email.policy import SMTP
from functools import cache


@cache  # boundaries are made at random, and a message must stay what it is
def message(number: int) -> bytes:
    """Message `number` of an endless corpus, CRLF-true; its Message-ID is <number@corpus.example.net>."""
    makers = (_plain, _dots, _eight_bit, _attachment, _forwarded)
    head = (
        f"Message-ID: <{number}@corpus.example.net>\r\n"
        f"Date: Mon, 02 Mar 2026 10:{number % 60:02}:00 +0100\r\n"
        "From: =?utf-8?q?Gr=C3=A9ta?= Example <greta@example.net>\r\n"
        "To: someone@example.org\r\n"
        f"Subject: number {number}\r\n"
    )
    return head.encode("ascii") + makers[number % len(makers)](number)


def _plain(number: int) -> bytes:
    return f"\r\nThe body of {number}.\r\n".encode()


def _dots(number: int) -> bytes:
    return b"\r\n.\r\n..\r\n...\r\n. leading dots\r\nFrom the start of a line\r\n" + b"x" * 900 + b"\r\n"


def _eight_bit(number: int) -> bytes:
    text = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    return (text + "Grüße, привет, 漢字\r\n" * (number + 1)).encode("utf-8")


def _attachment(number: int) -> bytes:
    made = EmailMessage(policy=SMTP)
    made.set_content(f"See the attachment of {number}.\n")
    made.add_attachment(bytes(range(256)) * 400, maintype="application", subtype="octet-stream", filename="ä.bin")
    return made.as_bytes()


def _forwarded(number: int) -> bytes:
    inner = EmailMessage(policy=SMTP)
    inner["Subject"] = "inner"
    inner.set_content("inner text\n")
    made = EmailMessage(policy=SMTP)
    made.set_content("outer text\n")
    made.add_attachment(inner)
    return made.as_bytes()


def number_of(octets: bytes) -> int:
    """Which message of the corpus `octets` are."""
    start = octets.index(b"Message-ID: <") + 13
    return int(octets[start : octets.index(b"@", start)])


def assert_same(octets: bytes, number: int) -> None:
    """`octets`, as a client has them, are message `number`: its body, and every line of its header.

    Servers and clients add fields of their own, and clients write LF.
    """
    head, _, body = octets.replace(b"\r\n", b"\n").partition(b"\n\n")
    wanted_head, _, wanted_body = message(number).replace(b"\r\n", b"\n").partition(b"\n\n")
    assert body.rstrip(b"\n") == wanted_body.rstrip(b"\n")
    assert [line for line in head.split(b"\n") if line in wanted_head.split(b"\n")] == wanted_head.split(b"\n")
