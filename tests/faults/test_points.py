"""A server killed at every named point of the order of writes: what it acknowledged is there once, and nothing torn.

Each life of the server ends at the next point. The sender then sends again what it had no answer to, as Postfix does;
a client that appended does not.
"""

from __future__ import annotations

import imaplib
import random
import signal
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product

import pytest

from lightmail.points import POINTS
from tests.faults.test_kill import Sender, expect_all_there, mail, one_life
from tests.integration.servers import HOST
from tests.support.lmtpclient import LmtpClient
from tests.support.seaweedfs import SeaweedFS
from tests.support.stack import EMBEDDED, MARIADB_S3, STACKS, Stack, open_stack

USER = "ada@example.org"
DRAFTS = "Drafts"
DATA, APPEND = "DATA", "APPEND"

# The object is there from here on, and from there on its rows are.
_WRITING, _STORED, _COMMITTED = map(POINTS.index, ("object-writing", "object-stored", "committed"))
# Only messages over a spool's memory go to a file, and only those over a frame go to S3 in parts. In a directory these
# are written beside the others, and smaller ones straight under their names.
_LARGE = {"message-spooled": 1_300_000, "object-part": 1_900_000}
_WRITTEN_BESIDE = ("object-writing", "APPEND")
# The transport may have sent at once what it was handed.
_ANSWERED = "reply-written"
# Of messages that a writer process would take, these are passed by that process.
_WRITER_POINTS = ("object-named", "object-writing", "object-stored")


def writers(processes: int) -> dict[str, dict[str, object]]:
    """The section for so many writer processes."""
    return {"storage": {"writer_processes": processes}}


def points_of(stack: str) -> list[str]:
    """The points that a message passes on that stack."""
    return [point for point in POINTS if point != "object-part" or stack == MARIADB_S3]


def message(name: str, octets: int = 3_000) -> bytes:
    """The message of that name, always the same; it does not compress well."""
    source = random.Random(name)
    lines = [f"{source.getrandbits(288):072x}\r\n" for _ in range(octets // 74)]
    return f"Message-ID: <{name}@points>\r\nSubject: {name}\r\n\r\n{''.join(lines)}".encode()


def send(stack: Stack, how: str, octets: bytes) -> bool:
    """Send a message; whether it was acknowledged. OSError or IMAP4.abort where the server dies over it."""
    if how == DATA:
        with LmtpClient(HOST, stack.server.lmtp) as client:
            (reply,) = client.deliver("sender@example.net", [USER], octets)
            return reply.startswith(b"250")
    client = imaplib.IMAP4(HOST, stack.server.imap, timeout=60)
    try:
        client.login(USER, "secret")
        return client.append(DRAFTS, None, None, octets)[0] == "OK"  # type: ignore[arg-type]
    finally:
        client.shutdown()


def dies_at(stack: Stack, point: str, how: str, octets: bytes) -> None:
    """Start the server, send it the message, and see it die there: without an answer unless that was written."""
    process = stack.server.launch(LIGHTMAIL_KILL=point)
    stack.server.wait_until_ready()
    try:
        acknowledged = send(stack, how, octets)
    except (OSError, imaplib.IMAP4.abort):
        acknowledged = False
    assert not acknowledged or point == _ANSWERED, f"acknowledged before {point}"
    assert process.wait(60) == -signal.SIGKILL, f"{point} was not passed"
    stack.server.kill()


def there(stack: Stack, how: str) -> Counter[bytes]:
    """The messages in the mailbox, without the trace fields of our own before them."""
    found = mail(stack.server, USER, "INBOX" if how == DATA else DRAFTS)
    assert len({uid for uid, _ in found}) == len(found)
    return Counter(octets[octets.index(b"Message-ID:") :] for _, octets in found)


def orphans(stack: Stack) -> set[str]:
    """Objects without a row, all of which the collector's listing will come to; everything else holds."""
    stored, known = stack.object_keys(), stack.known_keys()
    assert known <= stored
    verified = stack.server.cli("verify", "--deep", check=False)
    assert verified.returncode == 0, verified.stdout
    return stored - known


def octets_of(point: str, way: str) -> int:
    """How large a message must be to pass that point, or to leave there what others do not."""
    return 1_900_000 if (point, way) == _WRITTEN_BESIDE else _LARGE.get(point, 3_000)


def die_everywhere(stack: Stack, points: Iterable[str], ways: Iterable[str]) -> None:
    """Kill a life of the server at each point for each way in, and hold what is left against the order of writes."""
    sent = {(point, way): message(f"{point}.{way}", octets_of(point, way)) for point, way in product(points, ways)}
    for (point, way), octets in sent.items():
        dies_at(stack, point, way, octets)
    stack.server.start()
    unanswered = {way: Counter[bytes]() for way in ways}
    for (point, way), octets in sent.items():
        if POINTS.index(point) >= _COMMITTED:
            unanswered[way][octets] = 1
    for way in ways:
        assert there(stack, way) == unanswered[way], "exactly what was committed is there"
    beside = _WRITTEN_BESIDE in sent and stack.s3 is None
    named = _WRITING if stack.s3 is None and not beside else _STORED
    without_rows = [point for point, _ in sent if named <= POINTS.index(point) < _COMMITTED and point != "object-part"]
    assert len(orphans(stack)) == len(without_rows)
    assert len(stack.unfinished()) == beside
    for (_, way), octets in sent.items():
        if way == DATA:
            assert send(stack, way, octets), "the sender sends again what it had no answer to"
    if DATA in unanswered:
        assert there(stack, DATA) == Counter(octets for (_, way), octets in sent.items() if way == DATA)
    assert stack.server.stop() == 0
    assert "Traceback" not in stack.server.log(), stack.server.log()[-5000:]


def test_killed_at_every_point_of_data():
    with open_stack(EMBEDDED, sections=writers(0)) as stack:
        die_everywhere(stack, points_of(EMBEDDED), [DATA])


def test_killed_where_append_is_not_as_data():
    """The points between are passed in the same code."""
    points = ["message-begun", "object-writing", "committed"]
    with open_stack(EMBEDDED, sections=writers(0)) as stack:
        die_everywhere(stack, points, [APPEND])


def test_killed_around_put_and_commit_on_mariadb_and_s3(s3_server: SeaweedFS):
    with open_stack(MARIADB_S3, s3_server, sections=writers(0)) as stack:
        die_everywhere(stack, ["object-part", "rows-written", "committed"], [DATA])


@pytest.mark.parametrize("kind", [EMBEDDED, pytest.param(MARIADB_S3, marks=pytest.mark.heavy)])
@pytest.mark.parametrize(
    "point", [pytest.param(point, marks=pytest.mark.heavy) for point in _WRITER_POINTS[:2]] + ["object-stored"]
)
def test_a_writer_process_dies_and_nobody_hears_of_it(s3_server: SeaweedFS, kind: str, point: str):
    """Its server does what it was doing; an object it had stored is an orphan."""
    with open_stack(kind, s3_server, sections=writers(1)) as stack:
        stack.server.launch(LIGHTMAIL_KILL_WRITER=point)
        stack.server.wait_until_ready()
        sent = []
        while "a writer process has ended" not in stack.server.log():
            assert len(sent) < 200, "the process never came up"
            # Of two at once the first, being alone, is written by the thread that commits it, where objects are files.
            together = [message(f"{point}.{len(sent) + k}") for k in range(1 if stack.s3 else 2)]
            sent += together
            with ThreadPoolExecutor(2) as senders:
                assert all(senders.map(partial(send, stack, DATA), together))
        assert there(stack, DATA) == Counter(sent)
        stored = POINTS.index(point) >= (_WRITING if stack.s3 is None else _STORED)
        assert len(orphans(stack)) == stored
        assert stack.server.stop() == 0


@pytest.mark.heavy
@pytest.mark.parametrize("way", [DATA, APPEND])
@pytest.mark.parametrize("kind", STACKS)
@pytest.mark.parametrize("processes", [0, 1])
def test_killed_at_every_point(s3_server: SeaweedFS, kind: str, way: str, processes: int):
    with open_stack(kind, s3_server, sections=writers(processes)) as stack:
        points = [point for point in points_of(kind) if not (processes and point in _WRITER_POINTS)]
        die_everywhere(stack, points, [way])


@pytest.mark.heavy
@pytest.mark.parametrize("kind", STACKS)
def test_killed_at_every_point_among_many_messages(s3_server: SeaweedFS, kind: str):
    sender = Sender()
    counts = random.Random(len(POINTS))
    with open_stack(kind, s3_server, sections=writers(0)) as stack:
        server = stack.server
        for point in points_of(kind):
            # Few of the messages are large.
            most = 3 if point in _LARGE else 60
            process = server.launch(LIGHTMAIL_KILL=f"{point}:{counts.randint(2, most)}")
            server.wait_until_ready()
            one_life(server, sender, lambda process=process: process.wait(60))
            assert process.returncode == -signal.SIGKILL
            server.kill()
        expect_all_there(server, sender)
        orphans(stack)


@pytest.mark.heavy
def test_killed_within_an_upload_in_parts(s3_server: SeaweedFS):
    """Blocks are 256 KiB and parts 5 MiB: when the 25th block comes, a part is in the store."""
    large = message("upload", 14_000_000)
    with open_stack(MARIADB_S3, s3_server) as stack:
        dies_at(stack, "object-part:25", DATA, large)
        assert stack.object_keys() == set()
        stack.server.start()
        assert send(stack, DATA, large)
        assert there(stack, DATA) == Counter([large])
