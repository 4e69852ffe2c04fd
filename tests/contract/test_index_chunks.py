"""Rendered metadata with chunks and without, over every database: whatever is wrong with a chunk, the answers stay."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import count
from typing import Any

import pytest
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred

from lightmail.config import StorageConfig
from lightmail.errors import Unavailable
from lightmail.index.chunk_reader import ChunkReader
from lightmail.index.chunk_writer import ChunkWriter, lack_lists
from lightmail.index.chunks import ENVELOPES, HEADERS, ChunkRef
from lightmail.index.rendered import RenderedCache
from lightmail.mime.fields import FieldList
from lightmail.mime.rendering import RENDER_VERSION, render
from lightmail.mime.strings import literal
from lightmail.model import Account, AccountId, ObjectId, Rendering
from lightmail.objects import keys
from lightmail.objects.backends import ObjectStore
from lightmail.objects.backends import open_store as open_objects
from lightmail.store.blobs import INSERT_RENDERING, rendering_row
from lightmail.threads import BoundedPool
from tests.support.reactor import call, run
from tests.support.storekit import BACKENDS, Store, fresh_config, open_store

reactor: Any = installed_reactor

ACCOUNT = Account(AccountId(1), b"u" * 16, "user@example.org", True, 0, 0)
DATES = FieldList(frozenset([b"date", b"from"]))
REST = FieldList(frozenset([b"received"]), inverted=True)
ODD = FieldList(frozenset([b"x y", b"from"]))
LISTS = (DATES, REST, ODD, FieldList(frozenset()), FieldList(frozenset([b"x-none"])))
_ids = count(1000)


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as opened:
        yield opened


class Objects:
    """A store of objects in memory that can be told to fail, and counts what is read of it."""

    def __init__(self) -> None:
        self.store: ObjectStore = open_objects(StorageConfig(driver="memory"), None)
        self.reads = 0
        self.down = False

    def read(self, key: str, start: int, stop: int) -> bytes:
        self.reads += 1
        if self.down:
            raise Unavailable
        return self.store.read(key, start, stop)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


@dataclass
class World:
    """Renderings in a database, and a process that packs and reads them."""

    store: Store
    pool: BoundedPool
    objects: Objects = field(default_factory=Objects)
    rendered: dict[ObjectId, Rendering] = field(default_factory=dict)

    def add(self, number: int, subject: bytes = b"", version: int = RENDER_VERSION) -> list[ObjectId]:
        """That many new objects with renderings."""
        new = [ObjectId(next(_ids)) for _ in range(number)]
        for of in new:
            rendering = render(BytesIO(message(of, subject)))
            self.rendered[of] = replace(rendering, version=version)

        def write(cursor: Any) -> None:
            cursor.script([(INSERT_RENDERING, (of, *rendering_row(self.rendered[of]))) for of in new])

        run(self.store.database.run("test", write))
        return new

    def reader(self) -> ChunkReader:
        return call(lambda: ChunkReader(self.objects, self.pool, reactor=reactor))

    def cache(self, octets: int = 1 << 24, reader: ChunkReader | None = None) -> RenderedCache:
        return RenderedCache(self.store.database, octets, reader or self.reader())

    def pack(
        self,
        objects: list[ObjectId],
        present: tuple[ChunkRef, ...] = (),
        asked: tuple[FieldList, ...] = (),
        reader: ChunkReader | None = None,
    ) -> tuple[ChunkRef, ...]:
        def new_key() -> str:
            return keys.new_index_key(keys.CHUNK, 1_700_000_000_000_000)

        database, store = self.store.database, self.objects
        writer = ChunkWriter(database, store, self.pool, reader or self.reader(), new_key)
        return run(writer.renewed(array("Q", objects), present, asked)).chunks

    def check(self, cache: RenderedCache, objects: list[ObjectId], chunks: tuple[ChunkRef, ...]) -> None:
        """Every answer of the cache is what was rendered."""
        expected = {of: self.rendered[of] for of in objects if of in self.rendered}

        def same(found: Mapping[ObjectId, Any], value: Callable[[Rendering], Any]) -> None:
            assert found == {of: value(rendering) for of, rendering in expected.items()}

        same(run(cache.envelopes(ACCOUNT, objects, chunks)), lambda each: (each.envelope, each.bodystructure))
        same(run(cache.headers(ACCOUNT, objects, chunks)), lambda each: (each.header, each.header_fields))
        same(run(cache.parts(ACCOUNT, objects, chunks)), lambda each: each.parts)
        columns = run(cache.search_columns(ACCOUNT, objects, chunks))
        same({of: (found.sent_us, found.subject, found.from_, found.message_id) for of, found in columns.items()},
             lambda each: (each.sent_us, each.subject, each.from_, each.message_id))  # fmt: skip
        for fields in LISTS:
            answers = {of: literal(fields.cut(each.header, each.header_fields)) for of, each in expected.items()}
            assert run(cache.answers(ACCOUNT, objects, fields, chunks)) == answers

    def trips(self) -> int:
        return sum(self.store.database.round_trips.values())


def message(of: int, subject: bytes) -> bytes:
    chosen = random.Random(of)
    lines = [
        b"Received: from somewhere\r\n\tby here",
        b"From: =?utf-8?q?J=C3=B6?= <joe%d@example.org>" % of,
        b"To: ann@example.org,\r\n bob@example.org",
        b"Date: Fri, 21 Nov 1997 09:55:06 -0600",
        b"Subject: " + (subject or b"number %d" % of),
        b"Message-ID: <%d@example.org>" % of,
    ]
    chosen.shuffle(lines)
    return b"\r\n".join(lines[: chosen.randint(1, 6)]) + b"\r\n\r\nbody\r\n"


@pytest.fixture
def world(store: Store) -> Iterator[World]:
    pool = BoundedPool("chunk-test", 4, 100, reactor=reactor)
    call(pool.start)
    try:
        yield World(store, pool)
    finally:
        run(pool.stop())


def test_chunks_answer_without_the_database(world: World) -> None:
    objects = world.add(300)
    chunks = world.pack(objects, asked=(DATES,))
    before = world.trips()
    world.check(world.cache(), objects, chunks)
    # The list with an odd name is cut from header blocks, which the cache has by then.
    assert world.trips() == before
    assert [fields for chunk in chunks for fields in chunk.lists] == [DATES]


def test_a_column_is_read_once_for_all_who_ask(world: World) -> None:
    objects = world.add(300)
    chunks, cache = world.pack(objects), world.cache()
    before = world.objects.reads
    for start in range(0, 300, 100):
        run(cache.envelopes(ACCOUNT, objects[start : start + 100], chunks))
    assert world.objects.reads == before + 1
    run(cache.envelopes(ACCOUNT, objects[:1], chunks))
    assert world.objects.reads == before + 1


def test_few_objects_are_read_from_their_rows(world: World) -> None:
    objects = world.add(300)
    chunks = world.pack(objects)
    before = world.objects.reads
    assert len(run(world.cache().envelopes(ACCOUNT, objects[:9], chunks))) == 9
    assert world.objects.reads == before


def test_what_chunks_lack_comes_from_rows(world: World) -> None:
    absent = [ObjectId(next(_ids)) for _ in range(3)]
    long = world.add(2, subject=b"x" * 60_000)
    older = world.add(5, version=RENDER_VERSION - 1)
    objects = [*world.add(100), *absent, *long, *older, *world.add(100)]
    chunks = world.pack(objects, asked=(REST,))
    world.check(world.cache(), [*objects, *world.add(40)], chunks)


@pytest.mark.parametrize("trouble", ["flipped", "short", "missing", "version", "down"])
def test_a_chunk_that_cannot_be_used_costs_time_only(world: World, trouble: str) -> None:
    objects = world.add(150)
    chunks = world.pack(objects, asked=(DATES,))
    reader = world.reader()
    if trouble == "version":
        chunks = tuple(replace(chunk, render_version=RENDER_VERSION + 1) for chunk in chunks)
    elif trouble == "down":
        world.objects.down = True
    else:
        spoil(world, chunks, trouble)
    world.check(world.cache(reader=reader), objects, chunks)
    world.check(world.cache(reader=reader), objects, chunks)
    world.objects.down = False
    renewed = world.pack(objects, chunks, (DATES,), reader)
    assert (renewed == chunks) == (trouble == "down"), "what is known to be of no use is written anew"
    before = world.trips()
    world.check(world.cache(), objects, renewed)
    assert world.trips() == before


def spoil(world: World, chunks: tuple[ChunkRef, ...], trouble: str) -> None:
    """Do something to every object of some chunks."""
    store = world.objects.store
    for key in {key for chunk in chunks for key in chunk.keys}:
        size = store.size(key)
        assert size is not None
        octets = bytearray(store.read(key, 0, size))
        for chunk in chunks:
            for column in chunk.columns:
                octets[column.start + column.octets // 2] ^= 1
        if trouble == "missing":
            store.delete([key])
        else:
            store.put(key, bytes(octets) if trouble == "flipped" else bytes(octets[: size // 2]))


def test_new_messages_are_packed_and_small_chunks_merged(world: World) -> None:
    objects: list[ObjectId] = []
    chunks: tuple[ChunkRef, ...] = ()
    for _ in range(20):
        objects += world.add(80)
        chunks = world.pack(objects, chunks)
        assert sorted(of for chunk in chunks for of in chunk.objects) == objects
    assert len(chunks) <= 6
    objects += world.add(10)
    assert world.pack(objects, chunks) == chunks, "too few to pack"


def test_dead_chunks_go_and_living_ones_stay(world: World) -> None:
    first, second = world.add(100), world.add(600)
    chunks = world.pack(second, world.pack([*second]))
    chunks = world.pack([*first, *second], chunks)
    assert len(chunks) == 2
    assert world.pack(second, chunks) == chunks[:1]
    assert world.pack([*first[:60], *second], chunks) == chunks
    (one,) = world.pack([*first, *second[:250]], chunks)
    assert list(one.objects) == [*first, *second[:250]]


def test_lists_asked_for_since_are_added(world: World) -> None:
    objects = world.add(120)
    chunks = world.pack(objects)
    assert lack_lists(chunks, [DATES])
    added = world.pack(objects, chunks, (DATES,))
    assert not lack_lists(added, [DATES])
    for one, other in zip(chunks, added, strict=True):
        assert one.keys < other.keys, "in an object of its own"
        assert one.column(ENVELOPES) == other.column(ENVELOPES)
        assert one.column(HEADERS) == other.column(HEADERS)
    assert world.pack(objects, added) == added, "and stay, though nobody asked since"
    many = tuple(FieldList(frozenset([b"x-%d" % number])) for number in range(3))
    assert {fields for chunk in world.pack(objects, added, many) for fields in chunk.lists} == set(many)
    world.check(world.cache(), objects, added)


@pytest.mark.parametrize("octets", [0, 1000, 40_000, 1 << 20])
def test_the_bound_holds_whatever_is_asked(world: World, octets: int) -> None:
    objects = world.add(400)
    chunks = world.pack(objects, asked=(DATES,))
    cache = world.cache(octets)
    for start in range(0, 400, 50):
        world.check(cache, objects[start : start + 100], chunks if start % 100 else ())
        assert cache.octets <= octets
    for number in range(300):
        fields = FieldList(frozenset([b"x-%d" % number]))
        run(cache.answers(ACCOUNT, objects[:2], fields))
        assert cache.octets <= octets


def test_what_is_being_read_when_ids_lose_their_meaning_is_not_kept(world: World) -> None:
    objects = world.add(100)
    chunks, cache = world.pack(objects), world.cache()

    async def cleared_while_reading(chunks: tuple[ChunkRef, ...]) -> None:
        reading = Deferred.fromCoroutine(cache.envelopes(ACCOUNT, objects, chunks))
        cache.clear()
        await reading

    run(cleared_while_reading(()))
    assert cache.octets == 0
    before = world.trips()
    run(cleared_while_reading(chunks))
    assert world.trips() > before, "the chunks may be about others"
