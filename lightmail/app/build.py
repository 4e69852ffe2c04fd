"""What a server is made of: backends opened in order, protocols on top of them, listeners last.

Nothing is opened before `assemble` runs: twistd may fork after the service is built, and neither obstore's threads nor
our own survive that. Parts stop in the opposite order: listeners, workers, notify, objects, database.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from lightmail.app import bring_up, make_database_directory
from lightmail.app.api import http_factories
from lightmail.app.backends import Backends
from lightmail.app.certificate import make_self_signed
from lightmail.app.certificates import Certificates, renewals
from lightmail.app.jobs import start_jobs
from lightmail.app.lifecycle import OrderedService, Part, Parts, service_part
from lightmail.app.listeners import HTTP, Listeners
from lightmail.app.opening import check_or_wait, compare_epochs
from lightmail.app.operating import reloading_part, sessions_part
from lightmail.app.privileges import drop, prepare_directory
from lightmail.app.ready import readiness
from lightmail.app.reloading import Reloading
from lightmail.app.watchdog import Watchdog
from lightmail.app.webhooks import webhooks_part
from lightmail.arenas import share_arenas
from lightmail.auth.login import Authenticator
from lightmail.config import Config
from lightmail.cycles import QuietCollector
from lightmail.errors import StartupError
from lightmail.imap.factory import ImapFactory
from lightmail.imap.services import ImapServices
from lightmail.index.chunk_reader import ChunkReader
from lightmail.index.loading import Roots
from lightmail.index.registry import Indexes
from lightmail.index.rendered import RenderedCache
from lightmail.jobs.app_password_uses import AppPasswordUses
from lightmail.jobs.epochs import Epochs
from lightmail.jobs.garbage.collector import Collector, steps
from lightmail.jobs.garbage.service import Garbage
from lightmail.jobs.journal.service import JOURNAL_STOP_SECONDS, CountedHints, JournalService
from lightmail.jobs.quota_notice import read_notice
from lightmail.jobs.quotas import QuotaWarnings
from lightmail.jobs.samples import Sampler
from lightmail.jobs.sessions import this_process
from lightmail.jobs.snapshots import SnapshotWriter, snapshots_service
from lightmail.lmtp.factory import LmtpFactory
from lightmail.lmtp.services import LmtpServices
from lightmail.notify.hints import Notifier
from lightmail.notify.poll import Poll
from lightmail.objects.backends import ObjectStore, open_store
from lightmail.objects.blobs import Blobs
from lightmail.objects.cache import DiskCache, MemoryCache
from lightmail.objects.spool import Spools
from lightmail.objects.writers import Writers, open_writers
from lightmail.operations.housekeeping import Housekeeping
from lightmail.operations.jobs import Desk
from lightmail.operations.recovery import require_whole
from lightmail.operations.transactions import Transactions
from lightmail.pop3.factory import Pop3Factory
from lightmail.pop3.services import Pop3Services
from lightmail.scanning import Scanner
from lightmail.stalls import StallMeter
from lightmail.store import credentials
from lightmail.store.database import Database, open_database
from lightmail.threads import BoundedPool
from lightmail.web.readiness import Readiness
from lightmail.webhooks import Receiver

log = Logger()

# What parts need beyond the time that sessions are given to end.
_MARGIN_SECONDS: Final = 5.0
# How long requests that are being answered may take when the mail sessions have ended.
_HTTP_SECONDS: Final = 5.0


def make_service(config: Config, reloading: Reloading, reactor: Any) -> OrderedService:
    """The service of a whole server. Making it opens nothing."""
    listeners = Listeners(config)
    certificates = None if config.tls is None else Certificates(config.tls)

    def privileged() -> None:
        share_arenas()
        if not any((config.imap, config.pop3, config.lmtp, config.api, config.garbage, config.journal)):
            raise StartupError("no service is configured; add [imap], [pop3], [lmtp], [api], [garbage] or [journal]")
        prepare_directory(config.system)
        if config.tls is not None and certificates is not None:
            if config.embedded and make_self_signed(config.tls, config.system.hostname):
                log.info("made a self-signed certificate: {path}", path=config.tls.cert)
            certificates.load()
        listeners.bind()

    async def assemble(parts: Parts) -> None:
        await parts.start(service_part("stall meter", StallMeter(reactor)))
        backends = await _open_backends(config, parts, reactor)
        await _start_workers(config, parts, backends, reactor)
        factories = _factories(config, backends, certificates, reactor)
        factories |= http_factories(config, backends, lambda: reloading.config, reactor)
        if certificates is not None:
            renewing = renewals(certificates, backends.pool.run, reactor=reactor)
            await parts.start(service_part("certificates", renewing))
        await parts.start(sessions_part(config, backends, factories, reactor))
        await parts.start(service_part("collector of cycles", QuietCollector(reactor)))
        await _open_listeners(config, parts, listeners, backends.readiness, factories, certificates, reactor)
        await parts.start(reloading_part(reloading, backends, factories, certificates))
        await parts.start(service_part("watchdog", Watchdog(reactor)))

    return OrderedService(assemble, reactor, privileged=privileged, settle=lambda: drop(config.system))


async def _open_backends(config: Config, parts: Parts, reactor: Any) -> Backends:
    limits = config.limits
    make_database_directory(config.database)
    database = open_database(config.database, reactor=reactor)
    await parts.start(Part("database", database.start, database.stop))
    await bring_up(config, database)
    await require_whole(database)

    pool = BoundedPool("objects", limits.object_threads, limits.object_queue, reactor=reactor)
    await parts.start(_pool_part(pool))
    store = open_store(config.storage, config.s3)
    spools = Spools(pool, config.storage.spool_directory, limits.spool_memory_octets, limits.spool_total_octets)
    notifier = Notifier(reactor)
    hints = CountedHints(notifier)
    transactions = Transactions(database, hints, reactor=reactor)
    epochs = Epochs(database, store, pool)
    established = await epochs.established()
    await check_or_wait("object store", store.check, pool, parts, reactor, established=established)
    await check_or_wait("spool", spools.check, pool, parts, reactor, established=established)
    await compare_epochs(epochs, parts, reactor)
    scanner = Scanner(config.clamav, reactor=reactor)
    await parts.start(Part("scanner", scanner.start, scanner.stop))
    writers = open_writers(config.storage, config.s3, limits.object_threads, reactor=reactor)
    await parts.start(_writers_part(writers))

    roots = Roots(store, pool, limits.snapshot_messages, reactor=reactor) if limits.snapshot_messages else None
    reader = ChunkReader(store, pool, reactor=reactor)
    indexes = Indexes(database, notifier, limits.index_octets, reactor=reactor, roots=roots)
    indexes.when_behind(epochs.lost_tail)
    poll = Poll(notifier, indexes.modseqs, reactor=reactor)
    await parts.start(service_part("notify", poll))

    hashing = BoundedPool(
        "passwords", limits.password_threads or os.cpu_count() or 1, limits.password_queue, reactor=reactor
    )
    await parts.start(_pool_part(hashing))

    process = this_process()

    return Backends(
        database=database,
        transactions=transactions,
        epochs=epochs,
        notifier=notifier,
        indexes=indexes,
        roots=roots,
        reader=reader,
        hints=hints,
        objects=store,
        pool=pool,
        blobs=_blobs(config, store, pool, writers),
        spools=spools,
        scanner=scanner,
        hashing=hashing,
        authenticator=_authenticator(config, hashing, database, reactor),
        readiness=readiness(database, store, pool, reactor),
        process=process,
        desk=Desk(process.id),
        receiver=Receiver(config.webhook, reactor),
    )


def _authenticator(config: Config, hashing: BoundedPool, database: Database, reactor: Any) -> Authenticator:
    limits = config.limits
    return Authenticator(
        lambda address, secret: database.read("login", credentials.find_txn, address, secret),
        hashing,
        reactor=reactor,
        verified_seconds=limits.verified_seconds,
        trusted_networks=limits.trusted_networks,
    )


async def _start_workers(config: Config, parts: Parts, backends: Backends, reactor: Any) -> None:
    """What goes round in the background. It stops after the listeners."""
    uses = AppPasswordUses(backends.database, backends.authenticator.uses, reactor=reactor)
    await parts.start(service_part("app passwords", uses))
    quota = config.quota
    notice = await backends.spools.pool.run(read_notice, quota.warning_template)
    if quota.warn_percent:
        warnings = QuotaWarnings(
            backends.transactions,
            backends.blobs,
            backends.spools,
            notice,
            percent=quota.warn_percent,
            interval_seconds=quota.check_seconds,
            reactor=reactor,
        )
        await parts.start(service_part("quota warnings", warnings))
    if backends.roots is not None:
        writer = SnapshotWriter(
            backends.transactions,
            backends.indexes,
            backends.roots,
            backends.objects,
            backends.pool,
            backends.reader,
        )
        snapshots = snapshots_service(writer, config.limits.snapshot_seconds, reactor=reactor)
        await parts.start(service_part("snapshots", snapshots))
    sampler = Sampler(backends.database, backends.process.id, reactor=reactor)
    await parts.start(service_part("samples", sampler))
    await parts.start(webhooks_part(backends, reactor))
    await parts.start(_collecting_part(config, backends, reactor))
    await start_jobs(config, parts, backends, reactor)
    if config.journal is not None:
        journal = JournalService(
            backends.database, backends.objects, backends.pool, config.journal, backends.hints, reactor=reactor
        )
        await parts.start(Part("journal", journal.start, journal.stop, JOURNAL_STOP_SECONDS))


def _collecting_part(config: Config, backends: Backends, reactor: Any) -> Part:
    """The collector, or what of its work every server does."""
    if config.garbage is None:
        return service_part("housekeeping", Housekeeping(backends.database, reactor=reactor))
    made = steps(backends.transactions, backends.objects, backends.pool)
    collector = Collector(config.garbage, backends.database, made, backends.epochs.begin_pass)
    return service_part("garbage", Garbage(collector, config.garbage, reactor=reactor))


def _blobs(config: Config, store: ObjectStore, pool: BoundedPool, writers: Writers) -> Blobs:
    storage = config.storage
    # A directory is as near as its cache would be, and its pages are in the kernel's cache already.
    cached = storage.driver == "s3" and storage.cache_octets > 0
    return Blobs(
        store,
        pool,
        codec=storage.compression,
        level=storage.level,
        cache=DiskCache(storage.cache_directory, storage.cache_octets) if cached else None,
        memory=MemoryCache(config.limits.body_octets),
        directory=storage.spool_directory,
        writers=writers,
    )


def _factories(config: Config, backends: Backends, tls: Any, reactor: Any) -> dict[str, Any]:
    """The factory of each configured mail service. IMAP and POP3 share the indexes."""
    factories: dict[str, Any] = {}
    limits, database = config.limits, backends.database
    indexes = backends.indexes
    rendered = RenderedCache(database, limits.rendered_octets, backends.reader)
    backends.epochs.when_raised(indexes.forget_chunks)
    backends.epochs.when_raised(rendered.clear)
    if config.imap is not None:
        imap = ImapServices(
            config=config.imap,
            limits=limits,
            authenticator=backends.authenticator,
            database=database,
            transactions=backends.transactions,
            blobs=backends.blobs,
            spools=backends.spools,
            scanner=backends.scanner,
            indexes=indexes,
            rendered=rendered,
            notifier=backends.notifier,
            tls=tls,
        )
        factories["imap"] = ImapFactory(imap)
    if config.pop3 is not None:
        pop3 = Pop3Services(
            config=config.pop3,
            limits=limits,
            authenticator=backends.authenticator,
            database=database,
            transactions=backends.transactions,
            blobs=backends.blobs,
            indexes=indexes,
            reactor=reactor,
            tls=tls,
        )
        factories["pop3"] = Pop3Factory(pop3)
    if config.lmtp is not None:
        lmtp = LmtpServices(
            hostname=config.system.hostname,
            config=config.lmtp,
            limits=limits,
            database=database,
            transactions=backends.transactions,
            blobs=backends.blobs,
            spools=backends.spools,
            scanner=backends.scanner,
            reactor=reactor,
        )
        factories["lmtp"] = LmtpFactory(lmtp)
    return factories


async def _open_listeners(
    config: Config,
    parts: Parts,
    listeners: Listeners,
    readiness: Readiness,
    factories: Mapping[str, Any],
    tls: Certificates | None,
    reactor: Any,
) -> None:
    drain_seconds = config.limits.drain_seconds

    async def start() -> None:
        listeners.open(factories, tls, reactor)

    async def stop() -> None:
        readiness.stop()
        await listeners.close(keep=HTTP)  # which tells a balancer that we are stopping
        await _drained([factory for name, factory in factories.items() if name not in HTTP], drain_seconds)
        await listeners.close()
        await _drained([factory for name, factory in factories.items() if name in HTTP], _HTTP_SECONDS)

    await parts.start(Part("listeners", start, stop, drain_seconds + _HTTP_SECONDS + _MARGIN_SECONDS))


async def _drained(factories: Sequence[Any], seconds: float) -> None:
    """Return when the sessions of the factories have ended."""
    ends = [Deferred.fromCoroutine(factory.drain(seconds)) for factory in factories]
    await DeferredList(ends, consumeErrors=True)


def _pool_part(pool: BoundedPool) -> Part:
    async def start() -> None:
        pool.start()

    return Part(pool.name, start, pool.stop)


def _writers_part(writers: Writers) -> Part:
    async def start() -> None:
        writers.start()

    return Part("writer processes", start, writers.stop)
