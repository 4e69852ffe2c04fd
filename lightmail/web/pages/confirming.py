"""Pages that ask again before something goes: they name it, and take its name typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lightmail.errors import MailError
from lightmail.web.pages import fields
from lightmail.web.pages.views import Html, Visit


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be confirmed.

    `title` heads the page and `button` says what it does; `going` says, line by line, what will go; `undo` how it comes
    back, or that it does not. `typed` is the name to type. The form goes to `action`, with the fields `hidden`; `back`
    is the page that who would rather not goes to.
    """

    title: str
    going: Sequence[str]
    undo: str
    typed: str
    button: str
    action: str
    back: str
    hidden: Mapping[str, str] = field(default_factory=dict)


def deletion(what: str, name: str, path: str, going: Sequence[str], undo: str) -> Question:
    """The question whether what has a page at `path` is to be deleted; `what` is such as ``the administrator``."""
    title = f"Delete {what} {name}" if what else f"Delete {name}"
    return Question(title, going, undo, name, f"Delete {name}", f"{path}/delete", path)


def ask(question: Question, trouble: fields.Trouble | None = None) -> Html:
    """The page."""
    shown = trouble or fields.Trouble()
    return Html("confirm.html", {"question": question, "trouble": shown}, shown.status)


def refused(visit: Visit, question: Question) -> Html | None:
    """The page again, where the name was not typed; None where it was."""
    if fields.is_typed(visit, question.typed):
        return None
    return ask(question, fields.Trouble(f"Type {question.typed} to go on. Nothing was changed.", "typed", 422))


def failed(question: Question, error: MailError, line: str = "") -> Html:
    """The page again, with what went wrong."""
    return ask(question, fields.trouble(error, line))
