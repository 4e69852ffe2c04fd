"""What people enter in forms, read: numbers, sizes, and the name of what they want deleted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from lightmail.config import values
from lightmail.errors import Invalid, MailError
from lightmail.web.pages.views import Visit

MOST: Final = (1 << 63) - 1
LEAST_PASSWORD_CHARACTERS: Final = 10
_UNITS: Final = (("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10))
_size: Final = values.octets()


class WrongField(Invalid):
    """What stands in one field cannot be taken; `field` is its name."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


@dataclass(frozen=True, slots=True)
class Trouble:
    """What a form is shown again with: a line for people, the field that it is about, and the page's status."""

    line: str = ""
    field: str = ""
    status: int = 200


def trouble(error: MailError, line: str = "", field: str = "") -> Trouble:
    """What to say of an error; `line` where the page knows better than the error what to do next."""
    if isinstance(error, WrongField):
        return Trouble(error.text, error.field, 422)
    # The page is there; what was entered is not.
    return Trouble(line or error.text, field, 422 if error.http in (400, 404) else error.http)


@contextmanager
def about(field: str) -> Iterator[None]:
    """Say which field it was that could not be taken, where nobody did. Raises WrongField for Invalid."""
    try:
        yield
    except WrongField:
        raise
    except Invalid as error:
        raise WrongField(field, error.text) from None


def identifier(path: Mapping[str, str], missing: type[MailError], name: str = "id") -> int:
    """The id in a page's path. Raises `missing` for what can be none."""
    text = path[name]
    if re.fullmatch(r"[1-9][0-9]{0,18}", text, re.ASCII) is None or int(text) > MOST:
        raise missing
    return int(text)


def number(form: Mapping[str, str], name: str) -> int:
    """A number from 0 on; an empty field is 0. Raises WrongField."""
    text = form.get(name, "").strip().replace(",", "")
    if not text:
        return 0
    if re.fullmatch(r"[0-9]{1,19}", text, re.ASCII) is None or int(text) > MOST:
        raise WrongField(name, "Enter a whole number such as 100, or nothing for no limit.")
    return int(text)


def size(form: Mapping[str, str], name: str) -> int:
    """A size in octets, which people enter as 10G or 500M; an empty field is 0. Raises WrongField."""
    text = form.get(name, "").strip()
    if not text:
        return 0
    try:
        return int(_size(text))
    except ValueError:
        raise WrongField(name, "Enter a size such as 500M or 10G, or nothing for no limit.") from None


def day(query: Mapping[str, str], name: str) -> int | None:
    """When a day, entered as 2026-01-31, begins in UTC, in Unix microseconds; empty: None. Raises WrongField."""
    text = query.get(name, "").strip()
    if not text:
        return None
    try:
        began = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise WrongField(name, "Enter a day such as 2026-01-31, or nothing.") from None
    return int(began.timestamp()) * 1_000_000


def size_entered(octets: int) -> str:
    """A size as `size` reads it, exactly; empty for 0."""
    if not octets:
        return ""
    return next((f"{octets // factor}{unit}" for unit, factor in _UNITS if octets % factor == 0), str(octets))


def number_entered(value: int) -> str:
    """A number as `number` reads it; empty for 0."""
    return str(value) if value else ""


def new_password(form: Mapping[str, str]) -> str:
    """The fields `password` and `repeated`. Raises WrongField."""
    password = form.get("password", "")
    if len(password) < LEAST_PASSWORD_CHARACTERS:
        raise WrongField("password", f"A password has {LEAST_PASSWORD_CHARACTERS} characters at least.")
    if password != form.get("repeated", ""):
        raise WrongField("repeated", "The password was not repeated as it is. Enter it twice again.")
    return password


def is_typed(visit: Visit, expected: str) -> bool:
    """Whether the name of what is to go was typed, in any case."""
    return visit.form.get("typed", "").strip().casefold() == expected.casefold()
