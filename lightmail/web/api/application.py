"""The routes of the API, made of the table: each request is authenticated, read, carried out, answered and logged."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from klein import Klein
from klein.resource import KleinResource
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from lightmail.errors import MailError, ServerBug
from lightmail.metrics import API_REQUESTS, API_SECONDS
from lightmail.operations.tokens import TokenUse
from lightmail.traces import CURRENT
from lightmail.web.api.endpoints import Endpoint
from lightmail.web.api.problems import Problem, of_mail_error
from lightmail.web.api.replies import send, send_problem
from lightmail.web.api.requests import read_call
from lightmail.web.api.services import ApiServices
from lightmail.web.api.tokens import Tokens
from lightmail.web.http import BoundedRequest

log = Logger()

# What the log and the metrics say of a request whose client did not wait for the answer.
_CLIENT_GONE: Final = 499
_VARIABLE: Final = re.compile(r"\{([a-z_]+)\}")


class _Resource(KleinResource):
    """Klein's resource, for requests whose method and path it can read."""

    def render(self, request: Any) -> Any:
        """Route the request; what cannot be a route's path is no page."""
        if not (_is_text(request.method) and all(_is_text(part) for part in request.postpath)):
            send_problem(request, Problem(404, "no_such_page", "There is no such page."))
            request.finish()
            return NOT_DONE_YET
        return super().render(request)


def make_resource(endpoints: Sequence[Endpoint], services: ApiServices) -> Any:
    """The resource that serves the endpoints."""
    app = Klein()
    app.url_map.merge_slashes = False
    use = TokenUse(services.transactions, services.reactor)
    tokens = Tokens(services.configuration, use)
    methods = _methods(endpoints)
    for endpoint in endpoints:
        rule = _VARIABLE.sub(r"<\1>", endpoint.path)
        name = f"{endpoint.method} {endpoint.path}"
        app.route(rule, methods=[endpoint.method], endpoint=name, strict_slashes=True)(
            _handler(endpoint, tokens, methods, services)
        )
    app.handle_errors(HTTPException)(_no_route(methods))
    return _Resource(app)


def _methods(endpoints: Sequence[Endpoint]) -> Mapping[bytes, str]:
    """The methods of each path without variables, as a field Allow names them."""
    found: dict[bytes, set[str]] = {}
    for each in endpoints:
        if "{" not in each.path:
            methods = found.setdefault(each.path.encode("ascii"), set())
            methods |= {"GET", "HEAD"} if each.method == "GET" else {each.method}
    return {path: ", ".join(sorted(methods)) for path, methods in found.items()}


def _handler(
    endpoint: Endpoint, tokens: Tokens, methods: Mapping[bytes, str], services: ApiServices
) -> Callable[..., Awaitable[None]]:
    """What Klein calls for an endpoint's requests."""

    async def handle(request: BoundedRequest, **variables: str) -> None:
        CURRENT.set(request.id)
        began = services.reactor.seconds()
        try:
            if "{" in endpoint.path and request.path in methods:
                raise _not_allowed(methods[request.path])  # the path of another page is not the name of a thing
            caller = await tokens.caller(request, endpoint)
            request.caller = caller.actor.name
            call = read_call(request, endpoint, variables, caller, services)
            await send(request, endpoint, await endpoint.run(call), services.reactor)
        except CancelledError:
            request.code = _CLIENT_GONE
            request.cut()
        except Exception as error:
            _fail(request, error)
        API_REQUESTS.labels(endpoint.method, request.code).inc()
        API_SECONDS.observe(services.reactor.seconds() - began)
        if endpoint.scope is not None:
            _note(request)

    return handle


def _fail(request: BoundedRequest, error: Exception) -> None:
    """Answer what was raised; a bug is logged, and its text goes nowhere else."""
    if isinstance(error, Problem):
        problem = error
    elif isinstance(error, MailError):
        problem = of_mail_error(error)
    else:
        log.failure(
            "{method} {path} failed", method=_shown(request.method), path=_shown(request.path), session=request.id
        )
        problem = of_mail_error(ServerBug())
    if request.startedWriting:
        # An answer that was begun cannot become another one: the client sees that it is not whole.
        log.warn("the answer was cut off: {why}", why=problem.detail, session=request.id)
        request.code = problem.status
        request.cut()
        return
    send_problem(request, problem)


def _no_route(methods: Mapping[bytes, str]) -> Any:
    """What answers a path that no endpoint has, or not by this method."""

    def answer(request: Any, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, MethodNotAllowed):
            problem = _not_allowed(methods.get(request.path) or ", ".join(sorted(error.valid_methods or ())))
        else:
            problem = Problem(404, "no_such_page", "There is no such page.")
        send_problem(request, problem)
        API_REQUESTS.labels("other", request.code).inc()
        _note(request)

    return answer


def _not_allowed(allowed: str) -> Problem:
    return Problem(405, "method_not_allowed", f"This page has only {allowed}.", headers={"Allow": allowed})


def _note(request: BoundedRequest) -> None:
    log.info(
        "{caller} {method} {path} {status}",
        caller=request.caller or "nobody",
        method=_shown(request.method),
        path=_shown(request.path),
        status=request.code,
        session=request.id,
    )


def _shown(octets: bytes) -> str:
    return octets[:200].decode("utf-8", "backslashreplace")


def _is_text(octets: bytes) -> bool:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True
