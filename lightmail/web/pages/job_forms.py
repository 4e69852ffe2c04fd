"""What is asked of who starts a job: the fields of each kind, and from them what the API takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from lightmail.operations import jobs
from lightmail.web.api.jobs import BODIES
from lightmail.web.api.problems import InvalidField
from lightmail.web.pages.fields import WrongField

ADDRESS: Final = "address"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a form. `kind` is one of text, password, number, moment, lines (a list, one on a line), check and
    choice; `choices` are the values of the last, each with its words."""

    name: str
    label: str
    hint: str = ""
    kind: str = "text"
    required: bool = False
    choices: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class JobForm:
    """A kind of jobs: what it is called, what it does, its button, and its fields."""

    title: str
    about: str
    button: str
    fields: Sequence[Field] = ()


_ACCOUNT: Final = Field(ADDRESS, "Account", "its address", required=True)
_PATH: Final = Field("path", "Path", "on the server, below the job directory", required=True)
_ONLY: Final = Field("only", "Only these mailboxes", "one on a line, such as Work/*; nothing for all", "lines")
_WITHOUT: Final = Field("without", "Not these mailboxes", "one on a line, such as Trash", "lines")
_MOMENT: Final = "a day or a time in UTC, such as 2026-01-31 or 2026-01-31 14:05; nothing for all"
_IMPORTS: Final = (
    Field("into", "Below the mailbox", "nothing: as they stand there"),
    _ONLY,
    _WITHOUT,
    Field("again", "Bring messages again that were brought before", kind="check"),
    Field("dry_run", "Only say what would be brought", kind="check"),
)

FORMS: Final[Mapping[str, JobForm]] = MappingProxyType(
    {
        jobs.GARBAGE: JobForm(
            "Collect garbage",
            "Remove what was deleted so long ago that it cannot be brought back, and free its space. The server does"
            " this by itself, little by little; the job does at once all that is due.",
            "Collect garbage",
        ),
        jobs.VERIFY: JobForm(
            "Verify",
            "See whether the database and the stored objects agree, and say what is wrong. Mail goes on meanwhile.",
            "Verify",
            (
                Field(ADDRESS, "Account", "its address; nothing for the whole server"),
                Field("deep", "Read every object, too, which takes long", kind="check"),
                Field("repair", "Put right what can be", kind="check"),
                Field("rate", "At most so many a second", "rows or objects; nothing for no limit", "number"),
            ),
        ),
        jobs.UNDELETE: JobForm(
            "Restore deleted mail",
            "Bring back messages of an account that were deleted: those that meet all that is entered here, or all that"
            " there are. They go back to the mailboxes they were in. Where not all of it fits into the account, nothing"
            " is restored.",
            "Restore",
            (
                _ACCOUNT,
                Field("since", "Deleted since", _MOMENT, "moment"),
                Field("until", "Deleted before", "the same; nothing for now", "moment"),
                Field("sender", "From contains"),
                Field("subject", "Subject contains"),
                Field("mailbox", "Deleted from", "the name of a mailbox; nothing for all"),
                Field("mailbox_id", "Or from the mailbox with the id", "where several had the name", "number"),
                Field("deleted_mailboxes", "Only what went with a mailbox that was deleted", kind="check"),
                Field("into", "Restore into", "the name of a mailbox; nothing: where each message was"),
            ),
        ),
        jobs.IMPORT_IMAP: JobForm(
            "Import from another server",
            "Bring the mail of an account of another server into an account here, over IMAP. Started again, it brings"
            " what is new since.",
            "Import",
            (
                _ACCOUNT,
                Field("host", "Other server", "its name", required=True),
                Field("user", "User name there", "nothing: the same address"),
                Field("password", "Password there", "not kept, and shown to nobody", "password", required=True),
                Field(
                    "tls",
                    "Security",
                    kind="choice",
                    choices=(("implicit", "SSL/TLS"), ("starttls", "STARTTLS"), ("off", "none")),
                ),
                Field("port", "Port", "nothing: 993, or 143 without SSL/TLS", "number"),
                Field("insecure", "Trust any certificate, which lets others read along", kind="check"),
                Field("keep_names", "Leave Sent, Drafts and Trash under their names there", kind="check"),
                *_IMPORTS,
            ),
        ),
        jobs.IMPORT_MAILDIR: JobForm(
            "Import a Maildir",
            "Bring the mail of a Maildir on the server's disk into an account. Started again, it brings what is new"
            " since.",
            "Import",
            (
                _ACCOUNT,
                _PATH,
                Field(
                    "dates",
                    "Times of arrival",
                    kind="choice",
                    choices=(("file", "when the files were written"), ("name", "as the files' names say")),
                ),
                *_IMPORTS,
            ),
        ),
        jobs.IMPORT_MBOX: JobForm(
            "Import mbox files",
            "Bring the mail of an mbox file, or of all below a directory, into an account. Started again, it brings"
            " what is new since.",
            "Import",
            (
                _ACCOUNT,
                _PATH,
                Field(
                    "quoting",
                    "Lines that begin with From",
                    kind="choice",
                    choices=(
                        ("rd", "quoted each time (mboxrd)"),
                        ("o", "quoted once (mboxo)"),
                        ("none", "not quoted"),
                    ),
                ),
                Field("zone", "Time zone of dates that name none", "such as Europe/Berlin; nothing: UTC"),
                *_IMPORTS,
            ),
        ),
        jobs.EXPORT_MAILDIR: JobForm(
            "Export as a Maildir",
            "Write an account's mail as a Maildir on the server's disk. Started again, it adds what is new since.",
            "Export",
            (_ACCOUNT, _PATH, _ONLY, _WITHOUT),
        ),
        jobs.EXPORT_MBOX: JobForm(
            "Export as mbox files",
            "Write an account's mail as files of mbox on the server's disk.",
            "Export",
            (_ACCOUNT, _PATH, _ONLY, _WITHOUT),
        ),
    }
)


def arguments(kind: str, entered: Mapping[str, str], account: int | None) -> Mapping[str, Any]:
    """What the API takes for a job of that kind, of what was entered. Raises WrongField."""
    given: dict[str, Any] = {} if account is None else {"account_id": account}
    for field in FORMS[kind].fields:
        if field.name == ADDRESS:
            continue
        value = _value(field, entered.get(field.name, ""))
        if value:
            given[field.name] = value
        elif field.required:
            raise WrongField(field.name, f"{field.label}: enter something.")
    body = BODIES.get(kind)
    if body is None:
        return {}
    try:
        read: Mapping[str, Any] = body.read(given, "")
    except InvalidField as error:
        name = (error.field or "").partition("[")[0]
        label = next((field.label for field in FORMS[kind].fields if field.name == name), name)
        raise WrongField(name, f"{label}: {error.detail}") from None
    return read


def _value(field: Field, text: str) -> Any:
    if field.kind == "check":
        return bool(text)
    if field.kind == "lines":
        return [line.strip() for line in text.splitlines() if line.strip()]
    if field.kind == "moment":
        return _moment(field, text.strip())
    if field.kind == "number":
        digits = text.strip()
        if digits and not (digits.isascii() and digits.isdigit() and len(digits) < 10):
            raise WrongField(field.name, f"{field.label}: enter a whole number, or nothing.")
        return int(digits or "0")
    return text if field.kind == "password" else text.strip()


def _moment(field: Field, text: str) -> str:
    """A day or a time as the API takes it; empty where none was entered. Raises WrongField."""
    if not text:
        return ""
    try:
        read = datetime.fromisoformat(text)
        utc = (read if read.tzinfo is not None else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise WrongField(field.name, f"{field.label}: enter a day or a time such as 2026-01-31 14:05.") from None
    return utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def entered_again(kind: str, given: Mapping[str, Any]) -> dict[str, str]:
    """What is to be entered for a job like one whose row has the arguments `given`."""
    found = {}
    for field in FORMS[kind].fields:
        value = given.get(field.name)
        if value and field.kind != "password":
            found[field.name] = "\n".join(value) if field.kind == "lines" else "yes" if value is True else str(value)
    return found
