"""Messages that arrive: APPEND over IMAP, deliveries over LMTP, and one that is very large."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace

from bench import cpu
from bench.measuring import WINDOW, anew, empty, exists, fresh_seeds, gone, login, measured, share
from bench.messages import message
from bench.model import Row, Settings, Target
from bench.wire import Lmtp, WrongAnswer, appending, fetch_items, stuff


async def seed(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """Fill INBOX of the target's own user with the seed's messages; nothing to do where they are there."""
    session = await login(target, mailbox=None)
    there = exists(await session.command(b"SELECT INBOX"))
    if there > settings.count:
        raise WrongAnswer(f"{target.name} holds {there} messages, wanted {settings.count}: empty its INBOX first")

    async def fill() -> None:
        mail = (message(settings.seed, number) for number in range(there, settings.count))
        await session.pipeline((appending("INBOX", each) for each in mail), WINDOW)

    if there < settings.count:
        yield await measured("APPEND pipelined, filling the mailbox", target, settings.count - there, fill)
    await session.logout()


async def append(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """APPEND of messages of one size to an empty mailbox, one after the other; every octet is read back."""
    total = max(1, settings.deliveries // 4)
    number = next(fresh_seeds)
    mailbox = f"bench-append-{number}"
    session = await login(target, mailbox=None)
    await anew(session, [mailbox])
    mail = [message(number, k, settings.octets) for k in range(total)]

    async def fill() -> None:
        for each in mail:
            await session.append(mailbox, each)

    row = await measured("APPEND, one connection", target, total, fill)
    await session.command(b"SELECT " + mailbox.encode())
    found = fetch_items(await session.command(b"FETCH 1:* (BODY.PEEK[])"))
    if [literals[0] for _text, literals in found] != mail:
        raise WrongAnswer(f"{target.name}: {len(found)} messages are there, or one was changed")
    await session.command(b"SELECT INBOX")
    await gone(session, [mailbox])
    await session.logout()
    yield row


async def deliver(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """LMTP deliveries of messages of one size: one connection, many, and ten recipients; read back by IMAP."""
    users = target.scratch[: settings.connections]
    many = min(10, len(users))
    for connections, recipients in ((1, 1), (settings.connections, 1), (1, many), (settings.connections, many)):
        total = settings.deliveries if recipients == 1 else settings.deliveries // 5
        total = max(1, total // 4 if connections == 1 else total)
        await asyncio.gather(*(empty(target, user) for user in users))
        number = next(fresh_seeds)
        mail = [stuff(message(number, k, settings.octets)) for k in range(total)]

        async def worker(_k: int, numbers: list[int], recipients: int = recipients, mail: list[bytes] = mail) -> None:
            session = await Lmtp.open(target.lmtp)
            for k in numbers:
                to = [target.address(users[(k + j) % len(users)]) for j in range(recipients)]
                await session.deliver(to, mail[k])
            await session.quit()

        name = f"LMTP, {connections} connections, {recipients} recipients"
        row = await measured(name, target, total, lambda c=connections, t=total, w=worker: share(c, t, w))
        await _check_delivered(target, settings, number, total * recipients)
        yield row
    await asyncio.gather(*(empty(target, user) for user in users))


async def _check_delivered(target: Target, settings: Settings, seed: int, wanted: int) -> None:
    """Every delivered copy is there once, and one in each mailbox is the message that was sent."""
    seen = 0
    for user in target.scratch[: settings.connections]:
        session = await login(target, user)
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


async def large(target: Target, settings: Settings) -> AsyncIterator[Row]:
    """How far one very large message raises the mail server's memory: over LMTP, then fetched whole over IMAP."""
    user = target.scratch[0]
    await empty(target, user)
    body = message(next(fresh_seeds), 1, settings.large - 4096)
    size = f"{settings.large >> 20} MiB"
    pids = sorted(cpu.tree(target.pids[""]))

    async def over_lmtp() -> None:
        session = await Lmtp.open(target.lmtp)
        await session.deliver([target.address(user)], stuff(body))
        await session.quit()

    async def over_imap() -> None:
        session = await login(target, user)
        got = fetch_items(await session.command(b"FETCH 1 (BODY.PEEK[])"))[0][1][0]
        if not got.rstrip(b"\r\n").endswith(body.rstrip(b"\r\n")):
            raise WrongAnswer("the large message was changed on its way")
        await session.logout()

    for name, work in ((f"{size} over LMTP", over_lmtp), (f"{size} over IMAP", over_imap)):
        for pid in pids:
            cpu.reset_peak(pid)
        before = {pid: cpu.peak_kib(pid) for pid in pids}
        row = await measured(name, target, 1, work)
        grown = sum(cpu.peak_kib(pid) - before[pid] for pid in pids if pid in cpu.tree(target.pids[""]))
        yield replace(row, also={"KiB": float(grown)})
    await empty(target, user)
