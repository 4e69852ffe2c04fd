"""FETCH reads for commands to come as well: in fewer hand-offs, within bounds, and with the same answers."""

from __future__ import annotations

import random

from lightmail.model import BlobRef
from lightmail.objects.ahead import AHEAD_OCTETS, Ahead, Room
from lightmail.objects.keys import new_key
from tests.support.imapworld import ImapWorld
from tests.support.troubledstore import Client, TroubledStore, fill, small

MESSAGES = 40


def pipelined(client: Client, commands: list[bytes]) -> list[bytes]:
    """The response lines of commands that are sent at once; tags are cut off."""
    tags = [b"p%d" % number for number in range(len(commands))]
    client.connection.send(b"".join(b"%b %b\r\n" % pair for pair in zip(tags, commands, strict=True)))
    lines: list[bytes] = []
    for tag in tags:
        while not (line := client.connection.line()).startswith(tag + b" "):
            lines.append(line)
        lines.append(line[len(tag) :])
    return lines


def one_by_one(client: Client, commands: list[bytes]) -> list[bytes]:
    lines = []
    for command in commands:
        *untagged, tagged = client.command(command)
        lines += [*untagged, tagged[tagged.index(b" ") :]]
    return lines


def held(world: ImapWorld) -> int:
    octets: int = world.call(lambda: world.factory.services.blobs.ahead_octets)
    return octets


def test_what_is_pipelined_is_answered_as_one_by_one(client: Client, store: TroubledStore, world: ImapWorld) -> None:
    fill(client, store, [small(number) for number in range(MESSAGES)])
    source = random.Random(4)
    forms = (
        b"FETCH %d BODY.PEEK[]",
        b"UID FETCH %d (FLAGS BODY.PEEK[TEXT])",
        b"FETCH %d BODY.PEEK[]<3.5>",
        b"FETCH %d UID",
    )
    commands = [source.choice(forms) % source.randint(1, MESSAGES) for _ in range(60)] + [b"NOOP", b"FETCH 99 BODY[]"]
    wanted = one_by_one(client, commands)
    assert pipelined(client, commands) == wanted
    assert held(world) == 0


def test_each_object_is_read_once(client: Client, store: TroubledStore, world: ImapWorld) -> None:
    fill(client, store, [small(number) for number in range(MESSAGES)])
    for ask in (pipelined, one_by_one):
        before = store.reads
        ask(client, [b"FETCH %d BODY.PEEK[]" % (number + 1) for number in range(MESSAGES)])
        assert store.reads - before == MESSAGES


def test_a_client_that_goes_its_own_way_is_not_read_ahead_for(client: Client, store: TroubledStore) -> None:
    fill(client, store, [small(number) for number in range(MESSAGES)])
    before = store.reads
    one_by_one(client, [b"FETCH %d BODY.PEEK[]" % number for number in (9, 3, 4, 20, 1, 2, 30)])
    one_by_one(client, [b"FETCH %d BODY.PEEK[]<0.9>" % number for number in range(1, 9)])
    assert store.reads - before == 7 + 8


def test_trouble_ahead_is_no_answer(client: Client, store: TroubledStore) -> None:
    keys = fill(client, store, [small(number) for number in range(6)])
    store.down = set(keys[2:])
    lines = pipelined(client, [b"FETCH %d BODY.PEEK[]" % (number + 1) for number in range(6)])
    assert [b" OK " in line for line in lines if line.startswith((b" OK", b" NO"))] == [True, True] + [False] * 4
    assert sum(b"NO [UNAVAILABLE]" in line for line in lines) == 4
    store.down = set()
    assert b" OK " in client.command(b"FETCH 4 BODY.PEEK[]")[-1]


def test_what_others_expunge_meanwhile_changes_no_answer(
    client: Client, store: TroubledStore, world: ImapWorld
) -> None:
    fill(client, store, [small(number) for number in range(MESSAGES)])
    commands = [b"FETCH %d BODY.PEEK[]" % number for number in range(1, 12)]
    wanted = one_by_one(client, commands)
    other = Client(world)
    try:
        other.command(b"SELECT INBOX")
        other.command(b"STORE 7:9 +FLAGS.SILENT (\\Deleted)")
        other.command(b"EXPUNGE")
    finally:
        other.connection.close()
    # By sequence number nobody is told of an EXPUNGE, so the numbers mean what they meant.
    assert pipelined(client, commands) == wanted
    one_by_one(client, [*commands[:5], b"NOOP"])
    lines = pipelined(client, commands[5:8])
    assert [line for line in lines if line.startswith(b"text")] == [b"text of 5", b"text of 9", b"text of 10"]


def test_nothing_is_kept_when_the_mailbox_is_left(client: Client, store: TroubledStore, world: ImapWorld) -> None:
    fill(client, store, [small(number) for number in range(MESSAGES)])
    one_by_one(client, [b"FETCH %d BODY.PEEK[]" % number for number in (1, 2, 3, 4)])
    assert held(world) > 0
    client.command(b"UNSELECT" if b"UNSELECT" in client.command(b"CAPABILITY")[0] else b"EXAMINE INBOX")
    assert held(world) == 0


def ref(octets: int) -> BlobRef:
    return BlobRef(b"a" * 16, new_key("zstd", 1_700_000_000_000_000), octets, octets, "zstd", bytes(32), b"")


def test_what_is_read_ahead_is_bounded_for_one_and_for_all() -> None:
    room = Room(3 * AHEAD_OCTETS // 2)
    one, two = Ahead(room), Ahead(room)
    refs = [ref(100_000) for _ in range(40)]
    for ahead, most in ((one, AHEAD_OCTETS - 50_000), (two, AHEAD_OCTETS // 2 + 100_000)):
        chosen = ahead.choose(refs, 50_000)
        assert most - 100_000 < sum(each.octets for each in chosen) <= most
        for each in chosen:
            ahead.hold(each, bytes(each.octets))
        assert ahead.choose(refs, 50_000) == []
    assert len(Ahead(Room()).choose([ref(10) for _ in range(99)], 0)) == 32
    assert two.choose([ref(300_000)], 0) == []  # and what leads elsewhere lets go of what was held
    assert one.take(refs[0]) == bytes(100_000)
    assert one.take(refs[0]) is None
    one.close()
    assert room.held == 0


def test_what_comes_late_is_not_held() -> None:
    room = Room(150_000)
    one, two = Ahead(room), Ahead(room)
    refs = [ref(100_000), ref(100_000)]
    # Both have chosen before either holds anything, and the first has left before it is read.
    assert one.choose(refs[:1], 0) == refs[:1]
    assert two.choose(refs[1:], 0) == refs[1:]
    one.close()
    one.hold(refs[0], bytes(100_000))
    assert room.held == 0
    two.hold(refs[1], bytes(100_000))
    two.hold(refs[0], bytes(100_000))
    assert room.held == 100_000
