r"""FETCH when objects are damaged, missing or out of reach, when messages are large, and when nobody reads."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

import pytest

from tests.support.imapworld import ImapWorld
from tests.support.reactor import run
from tests.support.troubledstore import Client, TroubledStore, fill, small

MIB = 1 << 20


def large(mebibytes: int) -> bytes:
    line = bytes(range(33, 110)) + b"\r\n"
    return b"Subject: large\r\n\r\n" + line * (mebibytes * MIB // len(line)) + b"\0end\r\n"


def fetched(lines: Sequence[bytes]) -> list[int]:
    """The sequence numbers of FETCH responses, none of whose literals is cut short."""
    return [int(match[1]) for match in map(re.compile(rb"\* (\d+) FETCH \(").match, lines) if match]


def test_a_missing_object_costs_its_message_only(client: Client, store: TroubledStore) -> None:
    keys = fill(client, store, [small(number) for number in range(1, 5)])
    store.delete([keys[1]])
    lines = client.command(b"FETCH 1:4 BODY.PEEK[]")
    assert fetched(lines) == [1, 3, 4]
    assert lines[-1].startswith(b"t7 NO [CORRUPTION] ")
    # What does not need the object is not touched by it.
    assert fetched(client.command(b"FETCH 1:4 (ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER])")) == [1, 2, 3, 4]


def test_a_damaged_object_costs_its_message_only(client: Client, store: TroubledStore) -> None:
    keys = fill(client, store, [small(1), small(2)])
    octets = store.read(keys[0], 0, 1 << 16)
    store.put(keys[0], octets[:-3] + bytes([octets[-3] ^ 1]) + octets[-2:])
    lines = client.command(b"FETCH 1:2 BODY.PEEK[TEXT]")
    assert fetched(lines) == [2]
    assert b" NO [CORRUPTION] " in lines[-1]


def test_a_store_out_of_reach_is_a_transient_answer(client: Client, store: TroubledStore) -> None:
    keys = fill(client, store, [small(1), small(2), small(3)])
    store.down = {keys[0]}
    lines = client.command(b"FETCH 1:3 (UID BODY.PEEK[])")
    assert b" NO [UNAVAILABLE] " in lines[-1]
    store.down = set()
    assert fetched(client.command(b"FETCH 1:3 BODY.PEEK[]")) == [1, 2, 3]


def test_search_gives_no_answer_where_it_cannot_look(client: Client, store: TroubledStore) -> None:
    keys = fill(client, store, [small(1), small(2)])
    store.down = {keys[1]}
    assert b" NO [UNAVAILABLE] " in client.command(b"SEARCH BODY text")[-1]
    assert client.command(b"SEARCH SUBJECT 2")[0] == b"* SEARCH 2"
    store.down = set()
    store.delete([keys[0]])
    assert client.command(b"SEARCH BODY text")[0] == b"* SEARCH 2"


def test_a_large_message_comes_whole(client: Client, store: TroubledStore) -> None:
    message = large(3)
    fill(client, store, [small(1), message, small(3)])
    client.begin(b"FETCH 1:3 (UID BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT]<5.4>)")
    sent = message.replace(b"\0", b"\x80")
    while client.connection.line() != b"of 1)":
        pass
    assert client.connection.line() == b"* 2 FETCH (UID 2 BODY[] {%d}" % len(message)
    assert client.connection.octets(len(message)) == sent
    assert client.connection.line() == b" BODY[HEADER] {18}"
    lines = client.lines()
    assert lines[2] == b" BODY[TEXT]<5> {4}"
    assert lines[3] == message[message.index(b"\r\n\r\n") + 9 :][:4] + b")"
    assert fetched(lines) == [3]
    assert b" OK " in lines[-1]


def test_ranges_of_a_large_message_touch_only_what_they_need(client: Client, store: TroubledStore) -> None:
    message = large(5)
    fill(client, store, [message])
    before = store.reads
    lines = client.command(b"FETCH 1 BODY.PEEK[]<%d.20>" % (3 * MIB))
    assert lines[1].rstrip(b")") in message[3 * MIB : 3 * MIB + 20]
    assert store.reads == before + 1


def test_a_large_message_that_cannot_be_begun_is_left_out(client: Client, store: TroubledStore) -> None:
    keys = fill(client, store, [small(1), large(3), small(3)])
    store.down = {keys[1]}
    lines = client.command(b"FETCH 1:3 BODY.PEEK[]")
    assert fetched(lines) == [1, 3]
    assert b" NO [UNAVAILABLE] " in lines[-1]


def test_a_literal_that_cannot_be_finished_closes_the_connection(client: Client, store: TroubledStore) -> None:
    message = large(3)
    keys = fill(client, store, [message, small(2)])
    store.breaks_at = (store.size(keys[0]) or 0) // 2
    client.begin(b"FETCH 1:2 BODY.PEEK[]")
    assert client.connection.line() == b"* 1 FETCH (BODY[] {%d}" % len(message)
    received = b""
    with pytest.raises((EOFError, ConnectionError)) as lost:
        client.connection.octets(len(message))
    if isinstance(lost.value, EOFError):
        received = lost.value.args[0]
    # Nothing but the message's own octets, and not all of them.
    assert message.startswith(received)
    assert len(received) < len(message)


def test_a_reader_that_stops_stops_the_reading(client: Client, store: TroubledStore, world: ImapWorld) -> None:
    message = large(16)
    fill(client, store, [message, small(2)])
    before = store.reads
    client.begin(b"FETCH 1 BODY.PEEK[]")
    deadline = time.monotonic() + 5
    reads = -1
    while store.reads != reads and time.monotonic() < deadline:
        reads = store.reads
        time.sleep(0.2)
    # The sockets' buffers hold some mebibytes, the server about one more.
    assert store.reads - before < 14
    other = Client(world)
    assert b" OK " in other.command(b"NOOP")[-1]
    other.connection.close()
    client.connection.line()
    assert client.connection.octets(len(message)) == message.replace(b"\0", b"\x80")
    assert b" OK " in client.lines()[-1]


def test_bodies_come_in_batches_that_fit(client: Client, store: TroubledStore) -> None:
    body = b"x" * 70 + b"\r\n"
    messages = [b"Subject: %d\r\n\r\n" % number + body * 9000 for number in range(8)]
    fill(client, store, messages)
    client.begin(b"FETCH 1:8 BODY[]")
    for number, message in enumerate(messages, 1):
        expected = b"* %d FETCH (FLAGS (\\Seen \\Recent) BODY[] {%d}" % (number, len(message))
        assert client.connection.line() == expected
        assert client.connection.octets(len(message)) == message
        assert client.connection.line() == b")"
    assert b" OK " in client.lines()[-1]


def forget_renderings(world: ImapWorld, uid: int) -> None:
    """Delete what was rendered of a message of INBOX, as a purge does with what nobody can restore any more."""
    run(
        world.database.run(
            "forget",
            lambda cursor: cursor.execute(
                "DELETE FROM renderings WHERE object IN (SELECT object FROM messages WHERE uid = %s)", (uid,)
            ),
        )
    )


def test_what_others_expunged_and_purged_is_reported_after_the_rest(
    client: Client, store: TroubledStore, world: ImapWorld
) -> None:
    fill(client, store, [small(1), small(2), small(3)])
    other = Client(world)
    other.command(b"SELECT INBOX")
    other.command(b"STORE 2 +FLAGS (\\Deleted)")
    other.command(b"EXPUNGE")
    other.connection.close()
    forget_renderings(world, 2)
    lines = client.command(b"FETCH 1:3 ENVELOPE")
    assert fetched(lines)[:3] == [1, 3]
    assert b" NO [EXPUNGEISSUED] " in lines[-1]
    # The numbers of the session still hold, and what the index knows can still be had.
    assert fetched(client.command(b"FETCH 1:3 (UID FLAGS)")) == [1, 2, 3]
    # To a UID command a message that is no more is none (RFC 3501 section 6.4.8), and it tells so.
    lines = client.command(b"UID FETCH 1:3 ENVELOPE")
    assert fetched(lines) == [1, 3]
    assert lines[-3] == b"* 2 EXPUNGE"
    assert b" OK " in lines[-1]


def test_a_message_without_its_rendering_is_damaged(client: Client, store: TroubledStore, world: ImapWorld) -> None:
    fill(client, store, [small(1), small(2)])
    forget_renderings(world, 1)
    lines = client.command(b"FETCH 1:2 BODY.PEEK[HEADER.FIELDS (Subject)]")
    assert fetched(lines) == [2]
    assert b" NO [CORRUPTION] " in lines[-1]


def test_search_reads_only_the_text_of_a_large_message(client: Client, store: TroubledStore) -> None:
    attachment = b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" + large(6) + b"\r\n"
    text = b"Content-Type: text/plain; charset=utf-8\r\n\r\nzw\xc3\xb6lf Boxk\xc3\xa4mpfer\r\n"
    head = b"Subject: large\r\nContent-Type: multipart/mixed; boundary=cut\r\n\r\n"
    message = head + b"--cut\r\n" + attachment + b"--cut\r\n" + text + b"--cut--\r\n"
    fill(client, store, [small(1), message])
    before = store.reads
    assert client.command('SEARCH BODY "ZWÖLF BOXKÄMPFER"'.encode())[0] == b"* SEARCH 2"
    # The small message, and the piece of the large one that holds its text.
    assert store.reads == before + 2


def test_sections_that_overlap_are_not_held_together(client: Client, store: TroubledStore) -> None:
    message = large(2)
    fill(client, store, [message])
    starts = range(60)
    client.begin(b"FETCH 1 (" + b" ".join(b"BODY.PEEK[]<%d.1048576>" % start for start in starts) + b")")
    assert client.connection.octets(11) == b"* 1 FETCH ("
    for start in starts:
        label = b"BODY[]<%d> {1048576}\r\n" % start
        assert client.connection.octets(len(label)) == label
        assert client.connection.octets(1 << 20) == message[start : start + (1 << 20)]
        assert client.connection.octets(1) == (b")" if start == starts[-1] else b" ")
    assert b" OK " in client.lines()[-1]


def test_list_views_open_no_object(client: Client, store: TroubledStore) -> None:
    fill(client, store, [small(number) for number in range(5)])
    before = store.reads
    client.command(b"FETCH 1:* FULL")
    client.command(b"FETCH 1:* (BODYSTRUCTURE RFC822.HEADER BODY[HEADER.FIELDS (Subject)] BODY.PEEK[HEADER]<3.4>)")
    client.command(b"SEARCH HEADER Subject 3 SENTSINCE 1-Jan-2020 FROM x LARGER 5")
    assert store.reads == before


def test_seen_is_set_for_all_messages_at_once(client: Client, store: TroubledStore, world: ImapWorld) -> None:
    fill(client, store, [small(number) for number in range(9)])
    trips = world.database.round_trips
    client.command(b"FETCH 1 BODY[]")
    one = trips["flags"]
    client.command(b"FETCH 2:9 BODY[]")
    assert trips["flags"] == 2 * one
    # Nothing is written where nothing changes.
    client.command(b"FETCH 1:9 BODY[]")
    assert trips["flags"] == 2 * one
