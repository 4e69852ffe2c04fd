"""The API's own description, an OpenAPI 3.1 document, made of the table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final

from lightmail import __version__
from lightmail.web.api import pages
from lightmail.web.api.endpoints import Call, Endpoint, Octets
from lightmail.web.api.problems import CONTENT_TYPE
from lightmail.web.api.requests import query_fields
from lightmail.web.api.schemas import Integer, ListOf, MapOf, Nullable, Object, Schema, Text

PATH: Final = "/openapi.json"

_PROBLEM: Final = Object(
    {
        "type": Text(),
        "title": Text(),
        "status": Integer(400, 599),
        "detail": Text(1000, about="One line for people."),
        "code": Text(64, about="Stable: what programs go by."),
        "request_id": Text(64, about="What the log speaks of this request by."),
    },
    {"field": Text(1000, about="The field that is wrong.")},
    name="Problem",
)
# Whatever is asked, these may be the answer: a database that does not answer, and with a token one that will not do.
_ALWAYS: Final = frozenset({503})
_WITH_TOKEN: Final = frozenset({401, 403})
_WITH_QUERY: Final = frozenset({400, 422})
_WITH_BODY: Final = frozenset({400, 413, 415, 422})
# A body that nobody asked for is refused, too.
_WITHOUT_BODY: Final = frozenset({413, 422})


def endpoint(others: Sequence[Endpoint]) -> Endpoint:
    """The endpoint that shows the document of the others, and of itself."""
    rendered: list[bytes] = []

    async def show(call: Call) -> Octets:
        if not rendered:
            text = json.dumps(document((*others, itself)), ensure_ascii=False, separators=(",", ":"))
            rendered.append(text.encode())
        return Octets("application/json", None, rendered[0])

    itself = Endpoint("GET", PATH, None, "This document", show, media="application/json")
    return itself


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The OpenAPI document of these endpoints."""
    paths: dict[str, dict[str, Any]] = {}
    for each in endpoints:
        operation = _operation(each)
        links = _links(each, endpoints)
        if links:
            operation["responses"][str(each.status)]["links"] = links
        paths.setdefault(each.path, {})[each.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "LightMail",
            "version": __version__,
            "summary": "Administration of a LightMail store",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {each.name: each.definition() for each in _named(endpoints)},
        },
    }


def statuses(endpoint: Endpoint) -> set[int]:
    """The statuses of 400 and above that an endpoint may answer with, but for 500, which would be a bug."""
    found = set(_ALWAYS) | set(endpoint.codes.values()) | set(_WITH_QUERY)
    if endpoint.scope is not None:
        found |= _WITH_TOKEN
    if "{" in endpoint.path:
        found.add(404)
    takes_body = endpoint.body is not None or endpoint.takes is not None
    return found | (_WITH_BODY if takes_body else _WITHOUT_BODY)


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": _name(endpoint), "summary": endpoint.summary, "tags": [_tag(endpoint)]}
    scope = "" if endpoint.scope is None else f"Needs the scope `{endpoint.scope.value}`."
    server_only = "Not for a token of one domain." if endpoint.server_only else ""
    about = " ".join(filter(None, (endpoint.about, scope, server_only)))
    if about:
        operation["description"] = about
    if endpoint.scope is None:
        operation["security"] = []
    parameters = list(_parameters(endpoint))
    if parameters:
        operation["parameters"] = parameters
    if endpoint.body is not None:
        needed = bool(endpoint.body.required or endpoint.body.least)
        content = {"application/json": {"schema": endpoint.body.described()}}
        operation["requestBody"] = {"required": needed, "content": content}
    elif endpoint.takes is not None:
        operation["requestBody"] = {"required": True, "content": {endpoint.takes: {}}}
    operation["responses"] = _responses(endpoint)
    return operation


def _name(endpoint: Endpoint) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", f"{endpoint.method.lower()} {endpoint.path}").strip("_")


def _links(endpoint: Endpoint, endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """What can be done next with the thing that an endpoint tells of: all endpoints of the page with its id."""
    if not isinstance(endpoint.answer, Object) or "id" not in endpoint.answer.required:
        return {}
    pages_of_it = [each.path for each in endpoints if each.method == "GET" and _is_page_of(each, endpoint)]
    if not pages_of_it:
        return {}
    parameters = {"id": "$response.body#/items/0/id" if endpoint.paged else "$response.body#/id"}
    return {
        _name(each): {"operationId": _name(each), "parameters": parameters}
        for each in endpoints
        if each is not endpoint and each.path.startswith(pages_of_it[0])
    }


def _is_page_of(page: Endpoint, endpoint: Endpoint) -> bool:
    """Whether the path of `page` shows one thing of the kind that `endpoint` tells of."""
    return page.path == f"{endpoint.path}/{{id}}" or (page.path.endswith("/{id}") and page.answer == endpoint.answer)


def _tag(endpoint: Endpoint) -> str:
    """The word after /admin, or the first one: what the endpoint is about."""
    words = endpoint.path.strip("/").split("/")
    return words[1] if words[0] == "admin" and len(words) > 1 else words[0]


def _parameters(endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"\{([a-z_]+)\}", endpoint.path):
        yield _parameter(name, "path", endpoint.variable(name), required=True)
    required = {each.name for each in endpoint.query if each.required}
    for name, schema in query_fields(endpoint).items():
        yield _parameter(name, "query", schema, required=name in required)


def _parameter(name: str, place: str, schema: Schema, *, required: bool) -> dict[str, Any]:
    parameter: dict[str, Any] = {"name": name, "in": place, "required": required, "schema": schema.json_schema()}
    if schema.about:
        parameter["description"] = schema.about
    if isinstance(schema, ListOf):
        parameter |= {"style": "form", "explode": False}
    return parameter


def _responses(endpoint: Endpoint) -> dict[str, Any]:
    problem = {CONTENT_TYPE: {"schema": _PROBLEM.json_schema()}}
    responses: dict[str, Any] = {str(endpoint.status): _success(endpoint)}
    for status in sorted(statuses(endpoint)):
        codes = sorted(code for code, of in endpoint.codes.items() if of == status)
        words = f"{HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in codes)}"
        responses[str(status)] = {"description": words.removesuffix(": "), "content": problem}
    for status, schema in endpoint.others.items():
        content = {"application/json": {"schema": schema.described()}}
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": content}
    return responses


def _success(endpoint: Endpoint) -> dict[str, Any]:
    response: dict[str, Any] = {"description": HTTPStatus(endpoint.status).phrase}
    if endpoint.media is not None:
        response["content"] = {endpoint.media: {}}
    elif endpoint.answer is not None:
        answer = _page(endpoint.answer) if endpoint.paged else endpoint.answer
        response["content"] = {"application/json": {"schema": answer.described()}}
    return response


def _page(item: Schema) -> Object:
    """The type of a page of items."""
    items = ListOf(item, pages.MOST_LIMIT)
    return Object({"items": items, "next_cursor": pages.NEXT_CURSOR, "total": pages.TOTAL})


def _named(endpoints: Iterable[Endpoint]) -> list[Object]:
    """All types with a name, each once. Two different ones of a name are a mistake in the code."""
    found: dict[str, Object] = {"Problem": _PROBLEM}
    for each in endpoints:
        for schema in (each.body, each.answer, *each.others.values()):
            for named in _below(schema):
                if found.setdefault(named.name, named) != named:
                    raise ValueError(f"two types are called {named.name}")
    return [found[name] for name in sorted(found)]


def _below(schema: Schema | None) -> Iterator[Object]:
    """The types with a name in a type, itself among them."""
    if isinstance(schema, Object):
        if schema.name:
            yield schema
        for each in (*schema.required.values(), *schema.optional.values()):
            yield from _below(each)
    elif isinstance(schema, ListOf | MapOf | Nullable):
        yield from _below(schema.of)
