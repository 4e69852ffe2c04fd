"""From a request's octets to a `Call`: what the endpoint declares is read, everything else refused."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from lightmail.web.api import pages
from lightmail.web.api.endpoints import Call, Endpoint
from lightmail.web.api.problems import InvalidField, Problem
from lightmail.web.api.schemas import Schema
from lightmail.web.api.services import ApiServices
from lightmail.web.api.tokens import Caller
from lightmail.web.http import BODY_OCTETS, BoundedRequest

_MOST_FIELDS: Final = 50
# Lists and objects of a body: a mebibyte of empty ones would keep the interpreter busy for a sixth of a second.
_MOST_BRACKETS: Final = 20_000


def read_call(
    request: BoundedRequest,
    endpoint: Endpoint,
    variables: Mapping[str, str],
    caller: Caller,
    services: ApiServices,
) -> Call:
    """What is asked of an endpoint. Raises Problem: 400, 413, 415, or 422 with the field that is wrong."""
    path = {name: endpoint.variable(name).read_text(text, name) for name, text in variables.items()}
    query = _read_query(request.query, endpoint)
    page = pages.read_page(query, endpoint.position) if endpoint.paged else pages.PageRequest()
    _require_room(request)
    body: Mapping[str, Any]
    if endpoint.takes is not None:
        body, octets = {}, request.body()
    else:
        body, octets = _read_body(request, endpoint), b""
    return Call(caller.actor, caller.scopes, path, query, body, page, services, request.id, octets)


def query_fields(endpoint: Endpoint) -> dict[str, Schema]:
    """All fields that the endpoint's query may have."""
    declared = {each.name: each.type for each in endpoint.query}
    return {**declared, **pages.fields(offset=endpoint.offset)} if endpoint.paged else declared


def _read_query(text: bytes, endpoint: Endpoint) -> dict[str, Any]:
    types = query_fields(endpoint)
    found: dict[str, Any] = dict.fromkeys(types)
    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise Problem(400, "bad_query", f"The query is not UTF-8, or has over {_MOST_FIELDS} fields.") from None
    given = set()
    for name, value in pairs:
        if name not in types:
            raise InvalidField(_printable(name), "There is no such field.")
        if name in given:
            raise InvalidField(name, "It is given twice.")
        given.add(name)
        found[name] = types[name].read_text(value, name)
    for each in endpoint.query:
        if each.required and each.name not in given:
            raise InvalidField(each.name, "It is missing.")
    return found


def _require_room(request: BoundedRequest) -> None:
    """Raise Problem where the body was thrown away."""
    if request.too_big:
        raise Problem(413, "body_too_big", f"The body is over {BODY_OCTETS} octets.")
    if request.crowded:
        raise Problem(503, "busy", "Too many bodies at once; try again later.", headers={"Retry-After": "5"})


def _read_body(request: BoundedRequest, endpoint: Endpoint) -> Mapping[str, Any]:
    octets = request.body()
    if endpoint.body is None:
        if octets:
            raise Problem(422, "body_not_expected", "This takes no body.", field="body")
        return {}
    if not octets and not endpoint.body.required and not endpoint.body.least:
        return {}
    _require_json(request)
    body: Mapping[str, Any] = endpoint.body.read(_parsed(octets), "")
    return body


def _require_json(request: BoundedRequest) -> None:
    kind = request.requestHeaders.getRawHeaders(b"content-type", [b""])[-1]
    essence, _, parameters = kind.lower().partition(b";")
    charset = parameters.replace(b'"', b"").strip()
    if essence.strip() != b"application/json" or charset not in (b"", b"charset=utf-8"):
        raise Problem(
            415, "not_json", "The body must be application/json, in UTF-8.", headers={"Accept": "application/json"}
        )


def _parsed(octets: bytes) -> Any:
    """The JSON value, which must be one whatever reads it: no duplicate names, no NaN, no nesting without end."""
    if octets.count(b"[") + octets.count(b"{") > _MOST_BRACKETS:
        raise Problem(400, "bad_json", f"The body has over {_MOST_BRACKETS} lists and objects.")
    try:
        return json.loads(octets.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise Problem(400, "bad_json", "The body is nested too deeply.") from None
    except UnicodeDecodeError:
        raise Problem(400, "bad_json", "The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Problem(400, "bad_json", f"The body is not JSON: {where}.") from None
    except ValueError:
        raise Problem(400, "bad_json", "The body is not JSON: a number has too many digits.") from None


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise Problem(400, "bad_json", "The body names a field twice.", field=_printable(name))
        found[name] = value
    return found


def _no_constant(word: str) -> Any:
    raise Problem(400, "bad_json", f"The body is not JSON: {word} is no number.")


def _printable(name: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in name[:64])
