"""The values that the API takes and gives: each type reads a value, names the field where it is wrong, and says of
itself what JSON Schema (2020-12) says."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from lightmail.errors import Invalid
from lightmail.store.addresses import normalised
from lightmail.web.api.problems import InvalidField

JsonSchema = dict[str, Any]

_MOST: Final = (1 << 63) - 1
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,18})", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def moment_text(us: int) -> str:
    """Unix microseconds as RFC 3339 in UTC, to the millisecond: ``2026-01-31T12:00:00.000Z``."""
    seconds, rest = divmod(us, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest // 1000:03}Z"


def optional_moment(us: int) -> str | None:
    """As `moment_text`; None for 0, which says never."""
    return moment_text(us) if us else None


class Schema(ABC):
    """A type of values."""

    about: str

    @abstractmethod
    def read(self, value: Any, at: str) -> Any:
        """What the program works with for a JSON value found at the field `at`. Raises InvalidField."""

    def read_text(self, text: str, at: str) -> Any:
        """As `read`, for a value in a path or a query."""
        return self.read(text, at)

    @abstractmethod
    def json_schema(self) -> JsonSchema:
        """The JSON Schema of the type, without its description."""

    def described(self) -> JsonSchema:
        """The JSON Schema with what the value is about."""
        return {**self.json_schema(), "description": self.about} if self.about else self.json_schema()


@dataclass(frozen=True, slots=True)
class Text(Schema):
    """A text of `minimum` to `maximum` characters; without control characters unless `lines`, which allows line
    ends and tabs. A `pattern` is to match the whole."""

    maximum: int = 255
    _: KW_ONLY
    minimum: int = 0
    lines: bool = False
    pattern: str | None = None
    secret: bool = False
    about: str = ""

    def read(self, value: Any, at: str) -> str:
        if not isinstance(value, str):
            raise InvalidField(at, "It must be a text.")
        if not self.minimum <= len(value) <= self.maximum:
            raise InvalidField(at, f"It must have {self.minimum} to {self.maximum} characters.")
        plain = value.translate(_LINES) if self.lines else value
        if _CONTROL.search(plain) or _SURROGATE.search(plain):
            raise InvalidField(at, "It must not have control characters.")
        if self.pattern is not None and re.fullmatch(self.pattern, value) is None:
            raise InvalidField(at, f"It must match {self.pattern}.")
        return value

    def json_schema(self) -> JsonSchema:
        schema: JsonSchema = {"type": "string", "maxLength": self.maximum}
        if self.minimum:
            schema["minLength"] = self.minimum
        control = r"\u0000-\u0008\u000b\u000c\u000e-\u001f" if self.lines else r"\u0000-\u001f"
        schema["pattern"] = f"^(?:{self.pattern})$" if self.pattern else rf"^[^{control}\u007f-\u009f\u2028\u2029]*$"
        if self.secret:
            schema["format"] = "password"
        return schema


_LINES: Final = {ord("\n"): None, ord("\r"): None, ord("\t"): None}


@dataclass(frozen=True, slots=True)
class Integer(Schema):
    """A whole number from `minimum` to `maximum`."""

    minimum: int = 0
    maximum: int = _MOST
    _: KW_ONLY
    about: str = ""

    def read(self, value: Any, at: str) -> int:
        if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
            value = int(value)  # JSON Schema has 1.0 for an integer, too
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidField(at, "It must be a whole number.")
        if not self.minimum <= value <= self.maximum:
            raise InvalidField(at, f"It must be from {self.minimum} to {self.maximum}.")
        return value

    def read_text(self, text: str, at: str) -> int:
        if _INTEGER.fullmatch(text) is None:
            raise InvalidField(at, "It must be a whole number.")
        return self.read(int(text), at)

    def json_schema(self) -> JsonSchema:
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


def Id(about: str = "") -> Integer:
    """The type of the ids of rows."""
    return Integer(1, about=about)


@dataclass(frozen=True, slots=True)
class Number(Schema):
    """A number, whole or not; only in answers."""

    _: KW_ONLY
    about: str = ""

    def read(self, value: Any, at: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidField(at, "It must be a number.")
        return float(value)

    def json_schema(self) -> JsonSchema:
        return {"type": "number"}


@dataclass(frozen=True, slots=True)
class Boolean(Schema):
    """true or false."""

    _: KW_ONLY
    about: str = ""

    def read(self, value: Any, at: str) -> bool:
        if not isinstance(value, bool):
            raise InvalidField(at, "It must be true or false.")
        return value

    def read_text(self, text: str, at: str) -> bool:
        if text not in ("true", "false"):
            raise InvalidField(at, "It must be true or false.")
        return text == "true"

    def json_schema(self) -> JsonSchema:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Choice(Schema):
    """One of some words."""

    words: tuple[str, ...]
    _: KW_ONLY
    about: str = ""

    def read(self, value: Any, at: str) -> str:
        if value not in self.words:
            raise InvalidField(at, f"It must be one of {', '.join(self.words)}.")
        return str(value)

    def json_schema(self) -> JsonSchema:
        return {"type": "string", "enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Address(Schema):
    """A mail address; read as the store has it: normalised."""

    _: KW_ONLY
    about: str = ""

    def read(self, value: Any, at: str) -> str:
        text = _ADDRESS.read(value, at)
        try:
            return normalised(text)
        except Invalid as error:
            raise InvalidField(at, error.text) from None

    def json_schema(self) -> JsonSchema:
        return {"type": "string", "maxLength": 320, "format": "email"}


_ADDRESS: Final = Text(320, minimum=3)


@dataclass(frozen=True, slots=True)
class Moment(Schema):
    """A time as RFC 3339 writes it, ``2026-01-31T12:00:00Z``; read as Unix microseconds (0 to the year 9999)."""

    _: KW_ONLY
    about: str = ""

    def read(self, value: Any, at: str) -> int:
        if not isinstance(value, str) or _RFC3339.fullmatch(value) is None:
            raise InvalidField(at, "It must be a time such as 2026-01-31T12:00:00Z.")
        try:
            read = datetime.fromisoformat(value.upper())
            us = (read - _EPOCH) // _MICROSECOND
        except (ValueError, OverflowError):
            raise InvalidField(at, "It must be a time that the calendar has.") from None
        if us < 0:
            raise InvalidField(at, "It must not be before 1970.")
        return us

    def json_schema(self) -> JsonSchema:
        return {"type": "string", "format": "date-time", "pattern": "^(?:19[7-9]|[2-9][0-9]{2})"}


_MICROSECOND: Final = datetime.resolution


@dataclass(frozen=True, slots=True)
class Nullable(Schema):
    """A value of another type, or null, read as None."""

    of: Schema
    _: KW_ONLY
    about: str = ""

    def read(self, value: Any, at: str) -> Any:
        return None if value is None else self.of.read(value, at)

    def json_schema(self) -> JsonSchema:
        return {"anyOf": [self.of.described(), {"type": "null"}]}


@dataclass(frozen=True, slots=True)
class ListOf(Schema):
    """A list of `minimum` to `maximum` values of one type; in a query, words between commas."""

    of: Schema
    maximum: int = 1000
    _: KW_ONLY
    minimum: int = 0
    about: str = ""

    def read(self, value: Any, at: str) -> list[Any]:
        if not isinstance(value, list):
            raise InvalidField(at, "It must be a list.")
        self._check_length(value, at)
        return [self.of.read(each, f"{at}[{position}]") for position, each in enumerate(value)]

    def read_text(self, text: str, at: str) -> list[Any]:
        words = text.split(",", self.maximum) if text else []
        self._check_length(words, at)
        return [self.of.read_text(each, at) for each in words]

    def _check_length(self, value: list[Any], at: str) -> None:
        if not self.minimum <= len(value) <= self.maximum:
            raise InvalidField(at, f"It must have {self.minimum} to {self.maximum} elements.")

    def json_schema(self) -> JsonSchema:
        schema: JsonSchema = {"type": "array", "items": self.of.described(), "maxItems": self.maximum}
        return {**schema, "minItems": self.minimum} if self.minimum else schema


@dataclass(frozen=True, slots=True)
class MapOf(Schema):
    """An object whose names are data; only in answers."""

    of: Schema
    _: KW_ONLY
    about: str = ""

    def read(self, value: Any, at: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise InvalidField(at, "It must be an object.")
        return {name: self.of.read(each, f"{at}.{name}") for name, each in value.items()}

    def json_schema(self) -> JsonSchema:
        return {"type": "object", "additionalProperties": self.of.described()}


@dataclass(frozen=True, slots=True)
class Anything(Schema):
    """Any JSON value; only in answers."""

    _: KW_ONLY
    about: str = ""

    def read(self, value: Any, at: str) -> Any:
        return value

    def json_schema(self) -> JsonSchema:
        return {}


@dataclass(frozen=True, slots=True)
class Object(Schema):
    """An object with these fields and no others. Read as a dict that has the optional ones only where they were given.

    One with a `name` stands under that name in the document's components.
    """

    required: Mapping[str, Schema] = field(default_factory=dict)
    optional: Mapping[str, Schema] = field(default_factory=dict)
    _: KW_ONLY
    name: str = ""
    least: int = 0  # fields that must be given, for changes
    about: str = ""

    def read(self, value: Any, at: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise InvalidField(at or "body", "It must be an object.")
        for name in value:
            if name not in self.required and name not in self.optional:
                raise InvalidField(_below(at, _shown(name)), "There is no such field.")
        for name in self.required:
            if name not in value:
                raise InvalidField(_below(at, name), "It is missing.")
        if len(value) < self.least:
            raise InvalidField(at or "body", f"It must have at least {self.least} of {', '.join(self.optional)}.")
        return {name: self._type(name).read(each, _below(at, name)) for name, each in value.items()}

    def _type(self, name: str) -> Schema:
        return self.required.get(name) or self.optional[name]

    def json_schema(self) -> JsonSchema:
        if self.name:
            return {"$ref": f"#/components/schemas/{self.name}"}
        return self.definition()

    def definition(self) -> JsonSchema:
        """The JSON Schema in full, where `json_schema` refers to it by name."""
        fields = {**self.required, **self.optional}
        schema: JsonSchema = {
            "type": "object",
            "properties": {name: schema.described() for name, schema in fields.items()},
            "additionalProperties": False,
        }
        if self.required:
            schema["required"] = list(self.required)
        if self.least:
            schema["minProperties"] = self.least
        return schema


def _below(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _shown(name: str) -> str:
    """A client's field name as an error can repeat it: short, printable."""
    return "".join(character if character.isprintable() else "?" for character in name[:64])
