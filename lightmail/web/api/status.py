"""Endpoints about the server itself: is it well, what is it, how is it configured, what stands in it."""

from __future__ import annotations

from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST

from lightmail.web.api.endpoints import Call, Endpoint, Json, Octets
from lightmail.web.api.schemas import Boolean, Choice, MapOf, Object
from lightmail.web.exposition import exposition

READY: Final = Object({"ready": Boolean(), "checks": MapOf(Choice(("ok", "failed", "stopping")))}, name="Ready")


async def health(call: Call) -> Octets:
    """The process runs and its event loop turns; nothing more is asked."""
    return Octets("text/plain; charset=utf-8", None, b"OK")


async def ready(call: Call) -> Json:
    """Whether to send clients here."""
    is_ready, state = await call.services.readiness.state()
    return Json({"ready": is_ready, "checks": dict(state)}, 200 if is_ready else 503)


async def metrics(call: Call) -> Octets:
    """What Prometheus scrapes."""
    return Octets(CONTENT_TYPE_LATEST, None, await exposition(call.services.reactor))


METRICS: Final = (Endpoint("GET", "/metrics", None, "Metrics for Prometheus", metrics, media="text/plain"),)
ENDPOINTS: Final = (
    Endpoint("GET", "/health", None, "Whether the process runs", health, media="text/plain"),
    Endpoint("GET", "/ready", None, "Whether it can serve clients", ready, answer=READY, others={503: READY}),
    *METRICS,
)
