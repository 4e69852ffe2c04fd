"""What an endpoint answers instead of a result: problems as RFC 9457 has them, each with a stable code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from lightmail.errors import Invalid, MailError

CONTENT_TYPE = "application/problem+json"


class Problem(Exception):
    """An answer of 400 and above. `code` is stable, `detail` is one line for people, `field` is what it is about.

    A field is a name of the path, the query or the body; inside the body a path such as ``mailboxes[2].name``.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.field = field
        self.headers = headers or {}

    def document(self, request_id: str) -> dict[str, Any]:
        """The members of the problem's JSON object (RFC 9457 section 3)."""
        members: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.field is not None:
            members["field"] = self.field
        return {**members, "request_id": request_id}


class InvalidField(Problem):
    """A value that is not what the field takes: 422, code ``invalid_field``."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(422, "invalid_field", detail, field=field)


def of_mail_error(error: MailError) -> Problem:
    """The problem that an operation's error is: its HTTP status, and its class's name as the code."""
    if isinstance(error, Invalid):
        return Problem(422, "invalid", error.text)
    headers = {"Retry-After": "5"} if error.http == 503 else {}
    return Problem(error.http, code_of(type(error)), error.text, headers=headers)


def code_of(error: type[MailError]) -> str:
    """The code of a class of errors: ``no_such_account`` for NoSuchAccount."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", error.__name__).lower()


@contextmanager
def about(field: str) -> Iterator[None]:
    """Have what an operation finds Invalid in here named as the fault of `field`: a 422 that says so."""
    try:
        yield
    except Invalid as error:
        raise InvalidField(field, error.text) from None
