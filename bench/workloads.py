"""What is measured: each workload drives one target and yields rows of octets, operations and seconds.

A workload checks what it received after the clock has stopped; a wrong answer raises WrongAnswer and no row comes.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

from bench import cpu, stages
from bench.messages import message, message_id
from bench.wire import Imap, Lmtp, Pop3, WrongAnswer, fetch_items, stuff

HEADER_FIELDS = b"DATE FROM TO CC SUBJECT MESSAGE-ID REFERENCES CONTENT-TYPE"
_FLAGS = re.compile(rb"\* \d+ FETCH \((?:UID \d+ FLAGS \([^)]*\)|FLAGS \([^)]*\) UID \d+)\)\r\n")


@dataclass(frozen=True)
class Target:
    """A server under test. ``pids`` are process ids by role; the role "" is the mail server itself.

    ``metrics`` is where a LightMail serves /metrics.
    """

    name: str
    imap: tuple[str, int]
    lmtp: tuple[str, int]
    pop3: tuple[str, int]
    user: str
    scratch: tuple[str, ...]
    password: str
    domain: str
    pids: dict[str, list[int]] = field(default_factory=dict)
    metrics: tuple[str, int] | None = None

    def address(self, user: str) -> str:
        return f"{user}@{self.domain}"

    def login_name(self, user: str) -> str:
        return self.address(user)


@dataclass(frozen=True)
class Settings:
    """How much of everything: `count` messages in the mailbox, `octets` a delivered message."""

    seed: int = 1
    count: int = 10_000
    cycles: int = 300
    deliveries: int = 1_000
    connections: int = 20
    octets: int = 10_240
    idle: int = 500


@dataclass(frozen=True)
class Row:
    """One figure: CPU seconds by role over `operations`, in `wall` seconds; or `kib` of memory.

    ``stages`` are the mean milliseconds of each stage of a delivery, where the server tells.
    """

    workload: str
    target: str
    operations: int
    wall: float
    cpu: dict[str, float]
    kib: float | None = None
    stages: dict[str, float] = field(default_factory=dict)


Workload = Callable[[Target, Settings], AsyncIterator[Row]]

# A server may take the same octets from the same sender for a redelivery and keep one copy: every row has its own mail.
_fresh_seeds = itertools.count(1_000)


async def _measured(name: str, target: Target, operations: int, work: Callable[[], Awaitable[object]]) -> Row:
    before = {role: cpu.seconds(pids) for role, pids in target.pids.items()}
    started = time.perf_counter()
    await work()
    wall = time.perf_counter() - started
    # A server may answer before it has tidied up; that work belongs to the row too.
    await asyncio.sleep(0.2)
    spent = {role: cpu.seconds(pids) - before[role] for role, pids in target.pids.items()}
    return Row(name, target.name, operations, wall, spent)


async def _share(connections: int, total: int, worker: Callable[[int, list[int]], Awaitable[None]]) -> None:
    """Run `connections` workers over the numbers below `total`, dealt out in turn."""
    await asyncio.gather(*(worker(k, list(range(k, total, connections))) for k in range(connections)))


async def seed(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """Fill INBOX of the target's own user with the seed's messages; nothing to do where they are there."""
    session = await Imap.login(target.imap, target.login_name(target.user), target.password)
    there = int(re.search(rb"\* (\d+) EXISTS", await session.command(b"SELECT INBOX")).group(1))  # type: ignore[union-attr]
    if there > settings.count:
        raise WrongAnswer(f"{target.name} holds {there} messages, wanted {settings.count}: empty its INBOX first")

    async def fill() -> None:
        for number in range(there, settings.count):
            await session.append("INBOX", message(settings.seed, number))

    if there < settings.count:
        yield await _measured("APPEND, one connection", target, settings.count - there, fill)
    await session.logout()


async def logins(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """Connect, LOGIN, SELECT, LOGOUT with credentials the server has seen before."""

    async def cycle() -> None:
        session = await Imap.login(target.imap, target.login_name(target.user), target.password)
        answer = await session.command(b"SELECT INBOX")
        if b"* %d EXISTS" % settings.count not in answer or b"UIDVALIDITY" not in answer:
            raise WrongAnswer(f"SELECT gave {answer[-300:]!r}")
        await session.logout()

    async def cycles() -> None:
        for _ in range(settings.cycles):
            await cycle()

    await cycle()
    yield await _measured("login, SELECT, logout", target, settings.cycles, cycles)


async def listing(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """The three list views of mail clients over the whole mailbox, warm."""
    session = await Imap.login(target.imap, target.login_name(target.user), target.password)
    await session.command(b"SELECT INBOX")
    views = (
        ("FETCH 1:* (UID FLAGS)", b"FETCH 1:* (UID FLAGS)", 10),
        ("FETCH header fields", b"UID FETCH 1:* (RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (%s)])" % HEADER_FIELDS, 3),
        ("FETCH ENVELOPE", b"UID FETCH 1:* (ENVELOPE)", 3),
        ("FETCH ENVELOPE BODYSTRUCTURE", b"UID FETCH 1:* (ENVELOPE BODYSTRUCTURE INTERNALDATE)", 3),
    )
    for name, command, times in views:
        answers = [await session.command(command)]

        async def view(command: bytes = command, times: int = times, answers: list[bytes] = answers) -> None:
            for _ in range(times):
                answers[0] = await session.command(command)

        row = await _measured(name, target, settings.count * times, view)
        _check_listing(name, answers[0], settings)
        yield row
    await session.logout()


def _check_listing(name: str, answer: bytes, settings: Settings) -> None:
    if name == "FETCH 1:* (UID FLAGS)":
        found = len(_FLAGS.findall(answer))
    else:
        items = fetch_items(answer)
        found = sum(
            message_id(settings.seed, number).encode() in text + b"".join(literals)
            for number, (text, literals) in enumerate(items)
        )
    if found != settings.count:
        raise WrongAnswer(f"{name}: {found} right answers of {settings.count}")


async def bodies(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """Whole messages in one set, and one command each."""
    session = await Imap.login(target.imap, target.login_name(target.user), target.password)
    await session.command(b"SELECT INBOX")
    total = min(2_000, settings.count)
    got: list[bytes] = []

    async def in_a_set() -> None:
        got.append(await session.command(b"FETCH 1:%d (BODY.PEEK[])" % total))

    row = await _measured("FETCH BODY[] of a set", target, total, in_a_set)
    for number, (_text, literals) in enumerate(fetch_items(got[0])):
        if literals[0] != message(settings.seed, number):
            raise WrongAnswer(f"message {number} differs from what was appended")
    yield row

    async def one_by_one() -> None:
        for number in range(min(500, total)):
            await session.command(b"FETCH %d (BODY.PEEK[])" % (number + 1))

    yield await _measured("FETCH BODY[] one by one", target, min(500, total), one_by_one)
    await session.logout()


async def deliver(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """LMTP deliveries of messages of one size: one connection, many, and ten recipients; read back by IMAP."""
    users = target.scratch[: settings.connections]
    for connections, recipients in ((1, 1), (settings.connections, 1), (settings.connections, 10)):
        total = settings.deliveries if recipients == 1 else settings.deliveries // 5
        total = total // 4 if connections == 1 else total
        await asyncio.gather(*(_empty(target, user) for user in users))
        seed = next(_fresh_seeds)
        mail = [stuff(message(seed, number, settings.octets)) for number in range(total)]

        async def worker(_k: int, numbers: list[int], recipients: int = recipients, mail: list[bytes] = mail) -> None:
            session = await Lmtp.open(target.lmtp)
            for number in numbers:
                to = [target.address(users[(number + j) % len(users)]) for j in range(recipients)]
                await session.deliver(to, mail[number])
            await session.quit()

        name = f"LMTP, {connections} connections, {recipients} recipients"
        before = stages.totals(target.metrics)
        row = await _measured(name, target, total, lambda c=connections, t=total, w=worker: _share(c, t, w))
        spent = stages.milliseconds(before, stages.totals(target.metrics))
        await _check_delivered(target, settings, seed, total * recipients)
        yield replace(row, stages=spent)
    await asyncio.gather(*(_empty(target, user) for user in users))


async def _check_delivered(target: Target, settings: Settings, seed: int, wanted: int) -> None:
    """Every delivered copy is there once, and one in each mailbox is the message that was sent."""
    seen = 0
    for user in target.scratch[: settings.connections]:
        session = await Imap.login(target.imap, target.login_name(user), target.password)
        await session.command(b"SELECT INBOX")
        items = fetch_items(await session.command(b"UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])"))
        ids = [literals[0].strip() for _text, literals in items]
        if len(set(ids)) != len(ids):
            raise WrongAnswer(f"{target.name}: a message was delivered twice to {user}")
        seen += len(ids)
        if ids:
            body = fetch_items(await session.command(b"FETCH 1 (BODY.PEEK[])"))[0][1][0]
            number = int(re.search(rb"<(\d+)\.", ids[0]).group(1))  # type: ignore[union-attr]
            if not body.rstrip(b"\r\n").endswith(message(seed, number, settings.octets).rstrip(b"\r\n")):
                raise WrongAnswer(f"{target.name}: message {number} was changed on its way")
        await session.logout()
    if seen != wanted:
        raise WrongAnswer(f"{target.name}: {seen} copies arrived of {wanted}")


async def _empty(target: Target, user: str) -> None:
    session = await Imap.login(target.imap, target.login_name(user), target.password)
    if b"* 0 EXISTS" not in await session.command(b"SELECT INBOX"):
        await session.command(b"STORE 1:* +FLAGS.SILENT (\\Deleted)")
        await session.command(b"EXPUNGE")
    await session.logout()


async def pop3(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """A POP3 client that reads the first 300 messages one by one."""
    session = await Pop3.login(target.pop3, target.login_name(target.user), target.password)
    total = min(300, settings.count)
    got: list[bytes] = []

    async def read() -> None:
        for number in range(total):
            got.append(await session.retrieve(number + 1))

    row = await _measured("POP3 RETR one by one", target, total, read)
    for number, body in enumerate(got):
        if body.rstrip(b"\r\n") != message(settings.seed, number).rstrip(b"\r\n"):
            raise WrongAnswer(f"POP3: message {number} differs from what was appended")
    await session.quit()
    yield row


async def idle(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """Memory of a connection that has selected INBOX and waits in IDLE, plain."""
    pids = [pid for group in target.pids.values() for pid in group]
    warm = await Imap.login(target.imap, target.login_name(target.user), target.password)
    await warm.command(b"SELECT INBOX")
    before = cpu.resident_kib(pids)
    users = target.scratch
    sessions: list[Imap] = []
    started = time.perf_counter()
    for k in range(settings.idle):
        session = await Imap.login(target.imap, target.login_name(users[k % len(users)]), target.password)
        await session.command(b"SELECT INBOX")
        session.connection.send(b"i IDLE\r\n")
        await session.connection.until(b"+ ")
        sessions.append(session)
    await asyncio.sleep(1)
    grown = cpu.resident_kib(pids) - before
    wall = time.perf_counter() - started
    for session in sessions:
        session.connection.close()
    await warm.logout()
    yield Row("idle connection", target.name, settings.idle, wall, {}, kib=grown / settings.idle)


async def large(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """How far one 50 MiB message raises the mail server's memory: over LMTP, then fetched whole over IMAP."""
    user = target.scratch[0]
    await _empty(target, user)
    body = message(next(_fresh_seeds), 1, 50 * 1024 * 1024 - 4096)
    pids = sorted(cpu.tree(target.pids[""]))

    async def over_lmtp() -> None:
        session = await Lmtp.open(target.lmtp)
        await session.deliver([target.address(user)], stuff(body))
        await session.quit()

    async def over_imap() -> None:
        session = await Imap.login(target.imap, target.login_name(user), target.password)
        await session.command(b"SELECT INBOX")
        got = fetch_items(await session.command(b"FETCH 1 (BODY.PEEK[])"))[0][1][0]
        if not got.rstrip(b"\r\n").endswith(body.rstrip(b"\r\n")):
            raise WrongAnswer("the large message was changed on its way")
        await session.logout()

    for name, work in (("50 MiB over LMTP", over_lmtp), ("50 MiB over IMAP", over_imap)):
        for pid in pids:
            cpu.reset_peak(pid)
        before = {pid: cpu.peak_kib(pid) for pid in pids}
        row = await _measured(name, target, 1, work)
        grown = sum(cpu.peak_kib(pid) - before[pid] for pid in pids if pid in cpu.tree(target.pids[""]))
        yield replace(row, kib=float(grown))
    await _empty(target, user)


WORKLOADS: dict[str, Workload] = {
    "seed": seed,
    "logins": logins,
    "listing": listing,
    "bodies": bodies,
    "deliver": deliver,
    "pop3": pop3,
    "idle": idle,
    "large": large,
}
