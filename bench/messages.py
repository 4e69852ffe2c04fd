"""The mail of the benchmarks: message i of a seed is always the same octets, so that an answer can be checked."""

from __future__ import annotations

import base64
import random
from datetime import UTC, datetime, timedelta

WORDS = (
    "account agenda annual answer archive attached autumn balance before budget calendar change client column "
    "confirm contract council customer deadline delivery design detail document draft estimate evening factory "
    "figure garden harbour invoice journal kitchen ledger letter library machine market meeting minute morning "
    "number office order package paper payment people picture please price project proposal quarter question "
    "receipt report request review river schedule second sheet station summer supplier table thanks ticket "
    "together tomorrow traffic update village weather website winter window yesterday"
).split()
NAMES = ("Ada Byron", "Grace Murray", "Mary Ross", "Karen Jones", "Jürgen Müller", "Zoë Núñez", "Li Wei", "Olu Ade")
_EPOCH = datetime(2025, 1, 6, 8, 0, tzinfo=UTC)


def message_id(seed: int, number: int) -> str:
    """The Message-ID of message `number`, angle brackets included: how an answer is told from another."""
    return f"<{number}.{seed}@bench.example>"


def message(seed: int, number: int, octets: int = 0) -> bytes:
    """Message `number` of `seed`, CRLF line ends; padded or cut to about `octets` where that is given.

    One in two is plain text, one in four has an HTML alternative, one in four an attachment.
    """
    rng = random.Random(seed * 1_000_003 + number)
    kind = ("plain", "plain", "alternative", "mixed")[number % 4] if not octets else "plain"
    text = _paragraphs(rng, octets - 700 if octets else rng.randint(400, 6000))
    header, body = _body(rng, kind, text, number)
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


def _body(rng: random.Random, kind: str, text: str, number: int) -> tuple[list[str], bytes]:
    if kind == "plain":
        return ["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"], text.encode()
    boundary = f"=_{number}_{rng.getrandbits(32):08x}"
    first = f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}"
    if kind == "alternative":
        markup = text.replace("\r\n", "<br>\r\n")
        second = f"Content-Type: text/html; charset=utf-8\r\n\r\n<html><body>{markup}</body></html>\r\n"
    else:
        data = base64.encodebytes(rng.randbytes(rng.randint(2000, 20000))).replace(b"\n", b"\r\n").decode()
        second = (
            f'Content-Type: application/pdf; name="{rng.choice(WORDS)}.pdf"\r\nContent-Disposition: attachment\r\n'
            f"Content-Transfer-Encoding: base64\r\n\r\n{data}"
        )
    body = f"--{boundary}\r\n{first}\r\n--{boundary}\r\n{second}\r\n--{boundary}--\r\n"
    return [f'Content-Type: multipart/{kind}; boundary="{boundary}"'], body.encode()


def _paragraphs(rng: random.Random, octets: int) -> str:
    lines: list[str] = []
    size = 0
    while size < octets:
        line = " ".join(rng.choices(WORDS, k=10))
        lines.append(line)
        size += len(line) + 2
    return "\r\n".join(lines) + "\r\n"


def _date(number: int) -> str:
    return (_EPOCH + timedelta(minutes=7 * number)).strftime("%a, %d %b %Y %H:%M:%S +0000")


def _phrase(name: str) -> str:
    return name if name.isascii() else f"=?utf-8?B?{base64.b64encode(name.encode()).decode()}?="


def _local(name: str) -> str:
    return name.encode("ascii", "ignore").decode().lower().replace(" ", ".")
