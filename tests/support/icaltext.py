"""Texts of events, as calendar clients write them."""

from __future__ import annotations

from collections.abc import Sequence

BERLIN = "TZID=Europe/Berlin"


def calendar(*components: Sequence[str]) -> bytes:
    """A calendar object of these components' lines."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//test//test//EN"]
    for component in components:
        lines += component
    return "\r\n".join([*lines, "END:VCALENDAR", ""]).encode()


def event(
    *lines: str, uid: str = "u@example.org", start: str = "DTSTART:20260302T090000Z", summary: str = "x"
) -> list[str]:
    """The lines of an event."""
    fixed = ["BEGIN:VEVENT", f"UID:{uid}", "DTSTAMP:20260101T000000Z", f"SUMMARY:{summary}"]
    return [*fixed, *([start] if start else []), *lines, "END:VEVENT"]


def text(*lines: str, uid: str = "u@example.org", start: str = "DTSTART:20260302T090000Z", summary: str = "x") -> bytes:
    """A calendar object with one event."""
    return calendar(event(*lines, uid=uid, start=start, summary=summary))
