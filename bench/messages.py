"""The mail of the benchmarks: message i of a seed is always the same octets, so that an answer can be checked."""

from __future__ import annotations

import base64
import random
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

WORDS = (
    "account agenda annual answer archive attached autumn balance before budget calendar change client column "
    "confirm contract council customer deadline delivery design detail document draft estimate evening factory "
    "figure garden harbour invoice journal kitchen ledger letter library machine market meeting minute morning "
    "number office order package paper payment people picture please price project proposal quarter question "
    "receipt report request review river schedule second sheet station summer supplier table thanks ticket "
    "together tomorrow traffic update village weather website winter window yesterday"
).split()
NAMES = ("Ada Byron", "Grace Murray", "Mary Ross", "Karen Jones", "Jürgen Müller", "Zoë Núñez", "Li Wei", "Olu Ade")
# A word that few texts have.
NEEDLE = "quincunx"
_EPOCH = datetime(2025, 1, 6, 8, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Facts:
    """What a search can ask of a message: the sender's address, the subject, the Date field, its size."""

    sender: str
    subject: str
    date: datetime
    octets: int


@cache
def facts(seed: int, number: int) -> Facts:
    """What is true of message `number` of `seed`."""
    octets = message(seed, number)
    header = octets.partition(b"\r\n\r\n")[0].decode()
    fields = dict(re.findall(r"^(From|Subject): ([^\r]*)", header, re.MULTILINE))
    return Facts(fields["From"].partition("<")[2].rstrip(">"), fields["Subject"], _when(number), len(octets))


def has_needle(number: int) -> bool:
    """Whether a message's text has the word NEEDLE in it, in one of its lines."""
    return number % 97 == 13


def kind(number: int) -> str:
    """The subtype of a message's outermost MIME part, where no size was asked for."""
    return ("plain", "plain", "alternative", "mixed")[number % 4]


def message_id(seed: int, number: int) -> str:
    """The Message-ID of message `number`, angle brackets included: how an answer is told from another."""
    return f"<{number}.{seed}@bench.example>"


def message(seed: int, number: int, octets: int = 0) -> bytes:
    """Message `number` of `seed`, CRLF line ends; padded or cut to about `octets` where that is given.

    One in two is plain text, one in four has an HTML alternative, one in four an attachment, in one of a
    hundred a large one (200 KiB to 1 MiB). Texts have 4 KiB in the median, and seldom ten times that.
    """
    rng = random.Random(seed * 1_000_003 + number)
    subtype = kind(number) if not octets else "plain"
    text = _paragraphs(rng, octets - 700 if octets else min(int(rng.lognormvariate(8.3, 0.8)), 100_000))
    if has_needle(number) and not octets:
        text += f"It is the {NEEDLE} of the matter.\r\n"
    header, body = _body(rng, subtype, text, number)
    fields = [*_trace(rng, number), *_fields(rng, seed, number), *header]
    return ("\r\n".join(fields) + "\r\n\r\n").encode() + body


def _trace(rng: random.Random, number: int) -> list[str]:
    when = _date(number)
    return [
        f"Received: from mx{hop}.example.net (mx{hop}.example.net [192.0.2.{rng.randint(1, 250)}])\r\n"
        f"\tby relay{hop}.example.org (Postfix) with ESMTPS id {rng.getrandbits(40):010X}\r\n"
        f"\tfor <bench@example.org>; {when}"
        for hop in range(3)
    ]


def _fields(rng: random.Random, seed: int, number: int) -> list[str]:
    sender, name = rng.choice(NAMES), rng.choice(NAMES)
    subject = " ".join(rng.choices(WORDS, k=rng.randint(3, 8)))
    fields = [
        f"Message-ID: {message_id(seed, number)}",
        f"Date: {_date(number)}",
        f"From: {_phrase(sender)} <{_local(sender)}@example.net>",
        f"To: {_phrase(name)} <{_local(name)}@example.org>",
        f"Subject: {subject}",
        "MIME-Version: 1.0",
    ]
    if number % 3 == 0:
        fields.append(f"In-Reply-To: {message_id(seed, number // 2)}")
        fields.append(f"References: {message_id(seed, number // 4)} {message_id(seed, number // 2)}")
    return fields


def _body(rng: random.Random, subtype: str, text: str, number: int) -> tuple[list[str], bytes]:
    if subtype == "plain":
        return ["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"], text.encode()
    boundary = f"=_{number}_{rng.getrandbits(32):08x}"
    first = f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}"
    if subtype == "alternative":
        markup = text.replace("\r\n", "<br>\r\n")
        second = f"Content-Type: text/html; charset=utf-8\r\n\r\n<html><body>{markup}</body></html>\r\n"
    else:
        size = rng.randint(2_000, 20_000) if number % 100 != 3 else rng.randint(200 << 10, 1 << 20)
        data = base64.encodebytes(rng.randbytes(size)).replace(b"\n", b"\r\n").decode()
        second = (
            f'Content-Type: application/pdf; name="{rng.choice(WORDS)}.pdf"\r\nContent-Disposition: attachment\r\n'
            f"Content-Transfer-Encoding: base64\r\n\r\n{data}"
        )
    body = f"--{boundary}\r\n{first}\r\n--{boundary}\r\n{second}\r\n--{boundary}--\r\n"
    return [f'Content-Type: multipart/{subtype}; boundary="{boundary}"'], body.encode()


def _paragraphs(rng: random.Random, octets: int) -> str:
    lines: list[str] = []
    while octets > 0:
        piece = rng.choices(_lines(), k=octets // 100 + 1)
        lines += piece
        octets -= sum(map(len, piece)) + 2 * len(piece)
    return "\r\n".join(lines) + "\r\n"


@cache
def _lines() -> list[str]:
    """What texts are made of. Some lines need care: a dot that LMTP and POP3 double, a From that is no mbox's."""
    rng = random.Random("lines")
    lines = [" ".join(rng.choices(WORDS, k=10)) for _ in range(16_384)]
    lines[::61] = ["." + line for line in lines[::61]]
    lines[::83] = ["From " + line for line in lines[::83]]
    return lines


def _when(number: int) -> datetime:
    return _EPOCH + timedelta(minutes=7 * number)


def _date(number: int) -> str:
    return _when(number).strftime("%a, %d %b %Y %H:%M:%S +0000")


def _phrase(name: str) -> str:
    return name if name.isascii() else f"=?utf-8?B?{base64.b64encode(name.encode()).decode()}?="


def _local(name: str) -> str:
    return name.encode("ascii", "ignore").decode().lower().replace(" ", ".")
