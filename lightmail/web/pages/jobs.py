"""Jobs: long work that is asked for here and done by a server process; how far it is, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from lightmail.errors import Cannot, Invalid, MailError, NoSuchFile, NoSuchJob
from lightmail.model import MailboxId
from lightmail.operations import jobs as operations
from lightmail.store import browsing, jobs, profiles
from lightmail.store.addresses import normalised
from lightmail.store.jobs import Job
from lightmail.store.profiles import Profile
from lightmail.web.api.jobs import start as start_job
from lightmail.web.pages import accounts, domains, fields, job_forms, lists, telling
from lightmail.web.pages.fields import Trouble, WrongField
from lightmail.web.pages.job_forms import ADDRESS, FORMS
from lightmail.web.pages.subjects import OF_OWNERS
from lightmail.web.pages.views import Access, Answer, Html, Redirect, View, Visit

_PATH: Final = "/web/jobs"
_OWN: Final = f"{OF_OWNERS}/jobs"
_DELETED: Final = f"{OF_OWNERS}/deleted"
_NO_DIRECTORY: Final = (
    "Files on the server's disk can be used once [api] job_directory says where they are; set it, and restart the"
    " server."
)
_NO_FILE: Final = "There is no such file or directory below the job directory. Put it there, or enter another path."


async def list_(visit: Visit) -> Answer:
    """The jobs, the newest first; of one domain for who has not the server."""
    chosen = await accounts.chosen_domain(visit)
    own = domains.administered(visit)
    state, kind = visit.query.get("state", ""), visit.query.get("kind", "")
    state, kind = state if state in jobs.STATES else "", kind if kind in FORMS else ""
    found, total = await operations.listed(
        visit.services.database,
        visit.actor if chosen is None else visit.actor_of(chosen.id),
        state=state,
        kind=kind,
        before=None,
        limit=lists.LENGTH + 1,
        offset=lists.offset(visit),
    )
    of = "" if chosen is None else chosen.name
    values = {
        "list": lists.listing(visit, _PATH, {"state": state, "kind": kind, "domain": of}, found, total),
        "forms": FORMS,
        "startable": [(each, form) for each, form in FORMS.items() if _may_start(visit, each)],
        "state": state,
        "kind": kind,
        "states": [("", "all"), *((each, each) for each in jobs.STATES)],
        "kinds": [("", "all"), *((each, form.title) for each, form in FORMS.items() if _may_start(visit, each))],
        "domain": of,
        "choice": None if own is None else [name for _, name in own],
        "narrowed": bool(state or kind or (of and own is None)),
    }
    return Html("jobs.html", values)


async def ask_start(visit: Visit) -> Answer:
    """The form for a job of one kind."""
    return _form(visit, _kind(visit))


async def start(visit: Visit) -> Answer:
    """Queue a job."""
    kind = _kind(visit)
    try:
        account = await _account(visit, kind)
        given = job_forms.arguments(kind, visit.form, None if account is None else account.id)
        actor = visit.actor if account is None else visit.actor_of(account.domain)
        job = await start_job(visit.services, actor, kind, given)
    except NoSuchFile as error:
        return _form(visit, kind, fields.trouble(error, _NO_FILE, "path"))
    except Cannot as error:
        line = _NO_DIRECTORY if "job_directory" in error.text else ""
        return _form(visit, kind, fields.trouble(error, line))
    except MailError as error:
        return _form(visit, kind, fields.trouble(error))
    return Redirect(f"{_PATH}/{job.id}", "job-started")


async def show(visit: Visit) -> Answer:
    """One job."""
    job = await _asked_for(visit)
    form = FORMS[job.kind]
    own = _is_owner(visit)
    again = job_forms.entered_again(job.kind, job.arguments)
    values = {
        "job": job,
        "form": form,
        "address": address(visit, job),
        "back": (_DELETED, "To your deleted mail") if own else (_PATH, "To the jobs"),
        "of": str(job.arguments.get("address", "")),
        "arguments": telling.pairs(await _arguments(visit, job), ("account_id", "address", "mailbox_id")),
        "percent": _number(job, "percent"),
        "done": _number(job, "done"),
        "total": _number(job, "total"),
        "stage": str(job.progress.get("stage", "")),
        "left_to_others": _left_to_others(visit, job.kind),
        "error": str(job.result.get("error", "")),
        "result": telling.pairs(job.result, ("error", "summary")),
        "tables": telling.tables(job.result),
        "again": "" if own or not _may_start(visit, job.kind) else lists.link(f"{_PATH}/start/{job.kind}", again),
    }
    return Html("job.html", values)


async def cancel(visit: Visit) -> Answer:
    """Ask for a job's end."""
    job = await _asked_for(visit)
    try:
        await operations.cancel(visit.services.transactions, visit.actor_of(job.domain), job.id)
    except Cannot:
        return Redirect(address(visit, job), "job-ended")
    visit.services.desk.hasten()
    return Redirect(address(visit, job), "job-cancelled")


def address(visit: Visit, job: Job) -> str:
    """The page of a job, for who asks: an administrator, or the owner of the account that it is about."""
    return f"{_OWN if _is_owner(visit) else _PATH}/{job.id}"


def _is_owner(visit: Visit) -> bool:
    return visit.who is not None and visit.who.account is not None


async def _arguments(visit: Visit, job: Job) -> Mapping[str, Any]:
    """What the job was given, the name of its mailbox in place of the id."""
    id = job.arguments.get("mailbox_id")
    if id is None:
        return job.arguments
    box = await visit.services.database.read("jobs", browsing.box_txn, MailboxId(id))
    # The id is what somebody entered: the name of another account's mailbox is not told.
    is_of_account = box is not None and box.owner.account == job.arguments.get("account_id")
    return {**job.arguments, "mailbox": box.name if box is not None and is_of_account else f"no. {id}, which is gone"}


async def _asked_for(visit: Visit) -> Job:
    id = fields.identifier(visit.path, NoSuchJob)
    found = await visit.services.database.read("jobs", jobs.by_id_txn, id)
    if found is None or not operations.may_see(visit.actor_of(found.domain), found):
        raise NoSuchJob
    return found


def _kind(visit: Visit) -> str:
    kind = visit.path["kind"]
    if kind not in FORMS or not _may_start(visit, kind):
        raise NoSuchJob
    return kind


def _may_start(visit: Visit, kind: str) -> bool:
    return domains.administered(visit) is None or kind in operations.OF_A_DOMAIN


async def _account(visit: Visit, kind: str) -> Profile | None:
    """Whose mail the job is about, None for the server's. Raises WrongField."""
    field = next((each for each in FORMS[kind].fields if each.name == ADDRESS), None)
    address = visit.form.get(ADDRESS, "").strip()
    if field is None:
        return None
    if not address:
        if field.required or domains.administered(visit) is not None:
            raise WrongField(ADDRESS, "Enter the address of an account.")
        return None
    try:
        known = normalised(address)
    except Invalid as error:
        raise WrongField(ADDRESS, error.text) from None
    found = await visit.services.database.read("account", profiles.by_address_txn, known)
    if found is None or not visit.actor_of(found.domain).administers(found.domain):
        raise WrongField(ADDRESS, "There is no such account. Enter the address of one that is here.")
    return found


def _left_to_others(visit: Visit, kind: str) -> str:
    """Why this server does no jobs of that kind, so that they wait for another one; empty where it does."""
    config = visit.services.config
    if config.api is not None and not config.api.jobs_at_once:
        return "This server does no jobs ([api] jobs_at_once is 0): they wait for one that does."
    if kind == operations.GARBAGE and config.garbage is None:
        return "This server has no section [garbage]: the job waits for one that has."
    return ""


def _number(job: Job, name: str) -> int | None:
    """How far it is, None where nobody knows."""
    number = job.progress.get(name)
    return number if isinstance(number, int) else None


def _form(visit: Visit, kind: str, trouble: Trouble | None = None) -> Html:
    shown = trouble or Trouble()
    entered = visit.form if visit.form else visit.query
    form = FORMS[kind]
    api = visit.services.config.api
    values = {
        "kind": kind,
        "form": form,
        "entered": {each.name: "" if each.kind == "password" else entered.get(each.name, "") for each in form.fields},
        "directory": api.job_directory if api is not None else "",
        "uses_files": any(field.name == "path" for field in form.fields),
        "no_directory": _NO_DIRECTORY,
        "left_to_others": _left_to_others(visit, kind),
        "trouble": shown,
    }
    return Html("job_start.html", values, shown.status)


VIEWS: Final = (
    View("GET", _PATH, Access.ADMINISTRATOR, list_),
    View("GET", f"{_PATH}/start/{{kind}}", Access.ADMINISTRATOR, ask_start),
    View("POST", f"{_PATH}/start/{{kind}}", Access.ADMINISTRATOR, start),
    View("GET", f"{_PATH}/{{id}}", Access.ADMINISTRATOR, show),
    View("POST", f"{_PATH}/{{id}}/cancel", Access.ADMINISTRATOR, cancel),
    View("GET", f"{_OWN}/{{id}}", Access.SIGNED_IN, show),
    View("POST", f"{_OWN}/{{id}}/cancel", Access.SIGNED_IN, cancel),
)
