"""Endpoints about jobs: long work that is asked for here and done by any server process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from lightmail.errors import Cannot
from lightmail.model import AccountId
from lightmail.operations import jobs as operations
from lightmail.operations import undelete_choice
from lightmail.operations.actors import Actor
from lightmail.operations.jobpaths import below, existing
from lightmail.store.jobs import STATES, Job
from lightmail.store.undelete import FOR_EVER_US, Filters
from lightmail.web.api.endpoints import Call, Endpoint, Json, Page, Query, Run
from lightmail.web.api.schemas import (
    Anything,
    Boolean,
    Choice,
    Id,
    Integer,
    ListOf,
    MapOf,
    Moment,
    Nullable,
    Object,
    Schema,
    Text,
    moment_text,
    optional_moment,
)
from lightmail.web.api.scopes import Scope
from lightmail.web.api.services import ApiServices

_STATE: Final = Choice(STATES)
_KIND: Final = Choice(operations.KINDS)
_PROGRESS: Final = Object(
    {},
    {
        "stage": Text(1000, about="What it is at: a mailbox, a pass."),
        "done": Integer(),
        "total": Integer(),
        "percent": Integer(0, 100),
    },
)

JOB: Final = Object(
    {
        "id": Id(),
        "kind": _KIND,
        "state": _STATE,
        "requested_by": Text(320),
        "origin": Text(64, about="The address it was asked from, or `console`."),
        "arguments": MapOf(Anything()),
        "progress": _PROGRESS,
        "result": MapOf(Anything(), about="What came of it; `error` says why it failed."),
        "created_at": Moment(),
        "started_at": Nullable(Moment()),
        "finished_at": Nullable(Moment()),
        "cancel_requested_at": Nullable(Moment()),
    },
    name="Job",
)

_PATH: Final = Text(1000, minimum=1, about="Below [api] job_directory.")
_PATTERNS: Final = ListOf(Text(1000, minimum=1), 100)
_ACCOUNT: Final = Id("The account whose mail it is.")
_IMPORTS: Final[dict[str, Schema]] = {
    "into": Text(1000, about="The mailbox below which the source's are put."),
    "only": ListOf(Text(1000, minimum=1), 100, about="Only mailboxes of these patterns, as the source calls them."),
    "without": ListOf(Text(1000, minimum=1), 100, about="Not those of these patterns."),
    "again": Boolean(about="Bring all of it once more, though it was brought before."),
    "dry_run": Boolean(about="Only say what would be brought."),
}
_EXPORTS: Final[dict[str, Schema]] = {"only": _PATTERNS, "without": _PATTERNS}
# What is to be said of a job, by its kind; one that is not among them takes nothing.
BODIES: Final[Mapping[str, Object]] = {
    operations.VERIFY: Object(
        {},
        {
            "account_id": Id("Only this account's mail. Who administers one domain is to name one."),
            "deep": Boolean(about="Read every object, too."),
            "repair": Boolean(about="Put right what can be."),
            "rate": Integer(0, 1_000_000, about="Rows or objects a second at most; 0: no limit."),
        },
        name="VerifyJob",
    ),
    operations.UNDELETE: Object(
        {"account_id": Id("The account whose deleted messages are restored.")},
        {
            "mailbox": Text(1000, minimum=1, about="Only what was in mailboxes of that name."),
            "mailbox_id": Id("Only what was in the mailbox of that id, deleted or not."),
            "since": Moment(about="Only what was deleted then or later."),
            "until": Moment(about="Only what was deleted before; never what is deleted after the job is asked for."),
            "sender": Text(1000, about="Part of the From field, in any case."),
            "subject": Text(1000, about="Part of the Subject field, in any case."),
            "deleted_mailboxes": Boolean(about="Only what went with a mailbox that was deleted."),
            "into": Text(1000, minimum=1, about="The mailbox it goes to, made where it is missing; else where it was."),
        },
        name="UndeleteJob",
    ),
    operations.IMPORT_MAILDIR: Object(
        {"account_id": _ACCOUNT, "path": _PATH},
        {"dates": Choice(("file", "name"), about="Where times of arrival are taken from."), **_IMPORTS},
        name="ImportMaildirJob",
    ),
    operations.IMPORT_MBOX: Object(
        {"account_id": _ACCOUNT, "path": _PATH},
        {
            "quoting": Choice(("rd", "o", "none"), about="How lines that begin with From were quoted."),
            "zone": Text(64, minimum=1, about="The time zone of dates that name none."),
            **_IMPORTS,
        },
        name="ImportMboxJob",
    ),
    operations.IMPORT_IMAP: Object(
        {
            "account_id": _ACCOUNT,
            "host": Text(253, pattern=r"[A-Za-z0-9.:-]+"),
            "password": Text(1000, minimum=1, secret=True, about="It stays with the process that is told it."),
        },
        {
            "user": Text(320, minimum=1, about="Who to log in as there; the account's address if not given."),
            "port": Integer(1, 65535, about="993, or 143 without implicit TLS."),
            "tls": Choice(("implicit", "starttls", "off")),
            "insecure": Boolean(about="Trust any certificate."),
            "keep_names": Boolean(about="Do not put special mailboxes into the account's of the same use."),
            **_IMPORTS,
        },
        name="ImportImapJob",
    ),
    operations.EXPORT_MAILDIR: Object({"account_id": _ACCOUNT, "path": _PATH}, _EXPORTS, name="ExportMaildirJob"),
    operations.EXPORT_MBOX: Object({"account_id": _ACCOUNT, "path": _PATH}, _EXPORTS, name="ExportMboxJob"),
}


def document(job: Job) -> dict[str, Any]:
    """A job as JSON."""
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "requested_by": job.requested_by,
        "origin": job.origin,
        "arguments": dict(job.arguments),
        "progress": dict(job.progress),
        "result": dict(job.result),
        "created_at": moment_text(job.created_us),
        "started_at": optional_moment(job.started_us),
        "finished_at": optional_moment(job.finished_us),
        "cancel_requested_at": optional_moment(job.cancel_requested_us),
    }


async def list_(call: Call) -> Page:
    """Jobs, the newest first."""
    page = call.page
    before = None if page.after is None else int(page.after[0])
    found, total = await operations.listed(
        call.services.database,
        call.actor,
        state=call.query["state"] or "",
        kind=call.query["kind"] or "",
        before=before,
        limit=page.limit + 1,
        offset=page.offset,
    )
    shown = found[: page.limit]
    following = (shown[-1].id,) if len(found) > page.limit else None
    return Page([document(job) for job in shown], following, total)


async def show(call: Call) -> Json:
    """One job, with how far it is."""
    return Json(document(await operations.show(call.services.database, call.actor, call.path["id"])))


async def cancel(call: Call) -> Json:
    """Ask for a job's end."""
    job = await operations.cancel(call.services.transactions, call.actor, call.path["id"])
    call.services.desk.hasten()
    return Json(document(job))


async def _start(kind: str, call: Call) -> Json:
    """Queue a job of that kind."""
    return Json(document(await start(call.services, call.actor, kind, call.body)))


async def start(services: ApiServices, actor: Actor, kind: str, body: Mapping[str, Any]) -> Job:
    """Queue a job of which `body` says what its kind's in `BODIES` takes, and have it taken up soon.

    Raises NoSuchAccount, NoSuchFile, NotPermitted, Cannot, LimitReached, Unavailable.
    """
    given = dict(body)
    account, password = given.pop("account_id", None), given.pop("password", None)
    if kind == operations.UNDELETE:
        given = _undelete(given)
    if "path" in given:
        directory = services.config.api.job_directory if services.config.api is not None else ""
        await services.pool.run(_finder(kind), directory, given["path"])
    if password is not None and services.config.api is not None and not services.config.api.jobs_at_once:
        raise Cannot("This server runs no jobs ([api] jobs_at_once), and the password cannot go to another.")
    job = await operations.start(
        services.transactions,
        actor,
        kind,
        given,
        account=None if account is None else AccountId(account),
        secret=None if password is None else (services.desk, password),
    )
    services.desk.hasten()
    return job


def _undelete(given: Mapping[str, Any]) -> dict[str, Any]:
    """A body's choice of deleted messages, as rows have it."""
    filters = Filters(
        mailbox=given.get("mailbox"),
        since_us=given.get("since", 0),
        until_us=given.get("until", FOR_EVER_US),
        sender=given.get("sender", ""),
        subject=given.get("subject", ""),
        whole=given.get("deleted_mailboxes", False),
        box=given.get("mailbox_id", 0),
    )
    return undelete_choice.arguments(filters, given.get("into"))


def _finder(kind: str) -> Callable[[str, str], str]:
    """What an export writes need not be there yet."""
    return below if kind in (operations.EXPORT_MAILDIR, operations.EXPORT_MBOX) else existing


_SUMMARIES: Final = {
    operations.GARBAGE: "Collect garbage until none is due",
    operations.VERIFY: "Verify that rows and objects agree",
    operations.UNDELETE: "Restore deleted messages of an account",
    operations.IMPORT_MAILDIR: "Bring a Maildir into an account",
    operations.IMPORT_MBOX: "Bring files of mbox into an account",
    operations.IMPORT_IMAP: "Bring an account of another server into an account",
    operations.EXPORT_MAILDIR: "Write an account's mail as a Maildir",
    operations.EXPORT_MBOX: "Write an account's mail as files of mbox",
}
_TROUBLE: Final = {"no_such_account": 404, "no_such_file": 404, "cannot": 409, "limit_reached": 409}


def _starting(kind: str) -> Endpoint:
    run: Run = partial(_start, kind)
    return Endpoint(
        "POST",
        f"/admin/jobs/{kind}",
        Scope.JOBS_WRITE,
        _SUMMARIES[kind],
        run,
        body=BODIES.get(kind),
        answer=JOB,
        status=202,
        server_only=kind not in operations.OF_A_DOMAIN,
        codes={"not_permitted": 403, **_TROUBLE} if kind == operations.VERIFY else _TROUBLE,
    )


ENDPOINTS: Final = (
    Endpoint(
        "GET",
        "/admin/jobs",
        Scope.JOBS_READ,
        "List jobs, the newest first",
        list_,
        query=(Query("state", _STATE), Query("kind", _KIND)),
        answer=JOB,
        paged=True,
    ),
    Endpoint("GET", "/admin/jobs/{id}", Scope.JOBS_READ, "Show a job", show, answer=JOB, codes={"no_such_job": 404}),
    Endpoint(
        "POST",
        "/admin/jobs/{id}/cancel",
        Scope.JOBS_WRITE,
        "Cancel a job: at once where it is queued, else some seconds later",
        cancel,
        answer=JOB,
        codes={"no_such_job": 404, "cannot": 409},
    ),
    *(_starting(kind) for kind in operations.KINDS),
)
