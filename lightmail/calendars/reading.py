"""From the text of an event to what is known of it: parsed by the icalendar library, held to RFC 5545 and RFC 4791.

A text is one calendar object (RFC 4791 section 4.1): an event, which may recur, and changes of its occurrences, all of
one UID. Definitions of time zones in it are passed over, and zones known by their names: a definition could say
anything, at any length, and the library remembers them across texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import available_timezones

from lightmail.calendars.recurrence import Change, Length, Place, Recurrence
from lightmail.calendars.rules import FREQUENCIES, Budget, Rule, TooMuch
from lightmail.errors import Invalid

TEXT_OCTETS: Final = 256 << 10
UID_OCTETS: Final = 255
SUMMARY_OCTETS: Final = 1000
EXCEPTIONS: Final = 300
# What a row keeps of a recurrence.
RECURRENCE_OCTETS: Final = 32 << 10
_LINES: Final = 5_000
_DEPTH: Final = 5
_RULES: Final = 4
# Times of one day that a rule may name.
_TIMES: Final = 96
# Days looked at to find out when a rule with a count ends.
_DAYS: Final = 100_000
# A year, for what recurs: to know what touches a day, so much before it is looked at.
_LONGEST: Final = timedelta(days=366)
_YEARS: Final = range(1600, 9800)
_LENGTH_DAYS: Final = 36_600

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_TZID: Final = re.compile(r';TZID=("[^"]*"|[^;:"]*)', re.IGNORECASE)
_WITH_ZONE: Final = re.compile(r"(?:DTSTART|DTEND|RECURRENCE-ID|RDATE|EXDATE|DUE)[;:]", re.IGNORECASE)
_WEEKDAYS: Final = {"MO": 0, "TU": 1, "WE": 2, "TH": 3, "FR": 4, "SA": 5, "SU": 6}


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text says. Times are Unix us and span all occurrences; `ends_us` None: they have no end.

    `recurrence` is None for what happens once.
    """

    uid: str
    summary: str
    all_day: bool
    starts_us: int
    ends_us: int | None
    recurrence: Recurrence | None


def read(octets: bytes) -> Reading:
    """What the text of an event says. Takes milliseconds: in a thread. Raises Invalid, which says what is wrong."""
    if len(octets) > TEXT_OCTETS:
        raise Invalid(f"The event has over {TEXT_OCTETS} octets.")
    calendar = _parsed(_plain_lines(octets))
    events = calendar.subcomponents
    if "METHOD" in calendar:
        raise Invalid("The text is a message about an event (METHOD), not an event of a calendar.")
    if not events or any(each.name != "VEVENT" for each in events):
        raise Invalid("The text has to have an event (VEVENT), and nothing else.")
    masters = [each for each in events if "RECURRENCE-ID" not in each]
    if len(masters) != 1 or len({_text(each, "UID") for each in events}) != 1:
        raise Invalid("The text has to have one event, of one UID, and changes of it by RECURRENCE-ID.")
    for each in events:
        _check(each)
    return _reading(masters[0], [each for each in events if each is not masters[0]])


def recurrence_text(recurrence: Recurrence | None) -> bytes:
    """What a row keeps of a recurrence: JSON, nothing for what happens once."""
    return b"" if recurrence is None else json.dumps(recurrence.document(), separators=(",", ":")).encode("ascii")


def recurrence_of(text: bytes) -> Recurrence:
    """The recurrence that `recurrence_text` was made of."""
    return Recurrence.of(json.loads(text))


# --- lines ---


def _plain_lines(octets: bytes) -> list[str]:
    """The lines, unfolded, without definitions of time zones, zones called as zoneinfo does."""
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise Invalid("The text is not UTF-8.") from None
    if _CONTROL.search(text):
        raise Invalid("The text has control characters.")
    unfolded = text.replace("\r\n", "\n").replace("\n ", "").replace("\n\t", "")
    lines = [line for line in unfolded.split("\n") if line]
    if len(lines) > _LINES:
        raise Invalid(f"The text has over {_LINES} lines.")
    return [_with_known_zone(line) for line in _without_zones(lines)]


def _without_zones(lines: Sequence[str]) -> list[str]:
    kept: list[str] = []
    inside: list[str] = []
    for line in lines:
        name = line.strip().upper()
        if name.startswith("BEGIN:"):
            inside.append(name[6:])
            if len(inside) > _DEPTH:
                raise Invalid("The text is nested too deeply.")
        if "VTIMEZONE" not in inside:
            kept.append(line)
        if name.startswith("END:") and (not inside or inside.pop() != name[4:]):
            raise Invalid("A component ends that did not begin.")
    if inside:
        raise Invalid("A component does not end.")
    return kept


def _with_known_zone(line: str) -> str:
    if not _WITH_ZONE.match(line):
        return line
    return _TZID.sub(lambda match: f";TZID={zone_name(match[1].strip(chr(34)))}", line, count=1)


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def zone_name(name: str) -> str:
    """The name of a time zone as zoneinfo has it: of one of Windows, or behind a vendor's prefix. Raises Invalid."""
    from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

    plain = name.strip("/")
    parts = plain.split("/")[:8]
    for known in (WINDOWS_TO_OLSON.get(plain, plain), *("/".join(parts[at:]) for at in range(1, len(parts)))):
        if known in _zones():
            return known
    raise Invalid("A time zone (TZID) has no name that is known, such as Europe/Berlin.")


def _parsed(lines: Sequence[str]) -> Any:
    """The calendar as the library reads it."""
    # Here and not above: it takes 0.1 s to load, and most processes have nothing to do with calendars.
    from icalendar import Calendar

    try:
        calendar: Any = Calendar.from_ical("\r\n".join([*lines, ""]))
        name = calendar.name
    except Exception:
        # Whatever a library may raise over a stranger's text: it could not be read.
        raise Invalid("The text is not iCalendar (RFC 5545).") from None
    if name != "VCALENDAR" or calendar.errors:
        raise Invalid("The text has to be one calendar (VCALENDAR).")
    return calendar


# --- an event ---


def _check(event: Any) -> None:
    for name, _ in event.errors:
        raise Invalid(f"The property {name} cannot be read." if _is_name(name) else "A property cannot be read.")
    for name in ("DTSTART", "DTEND", "DURATION", "SUMMARY", "RECURRENCE-ID", "UID"):
        if isinstance(event.get(name), list):
            raise Invalid(f"The property {name} is given twice.")
    if "DTSTART" not in event:
        raise Invalid("The property DTSTART is missing.")
    if "EXRULE" in event:
        raise Invalid("The property EXRULE is not supported; RFC 5545 has EXDATE.")
    if "DTEND" in event and "DURATION" in event:
        raise Invalid("An event has DTEND or DURATION, not both.")
    for name in ("DTSTART", "DTEND", "RECURRENCE-ID"):
        if name in event and _moment(event, name).year not in _YEARS:
            raise Invalid(f"The property {name} is too far away.")


def _is_name(name: object) -> bool:
    return isinstance(name, str) and re.fullmatch(r"[A-Z0-9-]{1,64}", name) is not None


def _text(event: Any, name: str) -> str:
    return str(event.get(name, ""))


def _moment(event: Any, name: str) -> date | datetime:
    value = getattr(event[name], "dt", None)
    if not isinstance(value, date):
        raise Invalid(f"The property {name} is no time.")
    return value


def _reading(master: Any, changed: Sequence[Any]) -> Reading:
    uid, shown = _text(master, "UID"), _on_a_line(_text(master, "SUMMARY"))
    if not uid or len(uid.encode()) > UID_OCTETS or _UNSEEN.search(uid):
        raise Invalid(f"The property UID has to have 1 to {UID_OCTETS} octets, all of them visible.")
    start = _moment(master, "DTSTART")
    zone = _zone(start)
    place = Place(zone)
    first, length = _local(start, zone), _length(master, place, zone)
    all_day = not isinstance(start, datetime)
    recurs = any(name in master for name in ("RRULE", "RDATE", "EXDATE")) or changed
    if not recurs:
        return Reading(uid, shown, all_day, place.us(first), place.end_us(first, length), None)
    if timedelta(length.days, microseconds=length.us) > _LONGEST:
        raise Invalid("An event that recurs may not last for over a year.")
    rules = _rules(master, first, zone)
    dates, without = _dates(master, place, zone), frozenset(_local(each, zone) for each in _listed(master, "EXDATE"))
    changes = dict(_change(each, place, zone) for each in changed)
    if len(dates) + len(without) + len(changes) > EXCEPTIONS:
        raise Invalid(f"An event may have {EXCEPTIONS} dates, exceptions and changes.")
    recurrence = Recurrence(zone, first, length, rules, dates, without, changes)
    if len(recurrence_text(recurrence)) > RECURRENCE_OCTETS:
        raise Invalid("The event has too many exceptions and changes.")
    return Reading(uid, shown, all_day, *recurrence.span(), recurrence)


def _on_a_line(text: str) -> str:
    return _UNSEEN.sub("", " ".join(text.split())).encode()[:SUMMARY_OCTETS].decode(errors="ignore")


def _zone(start: date | datetime) -> str:
    """The zone in which the event recurs."""
    key = getattr(getattr(start, "tzinfo", None), "key", None)
    return key if isinstance(key, str) else "UTC"


def _local(moment: date | datetime, zone: str) -> datetime:
    """A moment as a local time of the event's zone; one without a zone is taken to be of that."""
    if not isinstance(moment, datetime):
        return datetime.combine(moment, time())
    if moment.tzinfo is None or _zone(moment) == zone:
        return moment.replace(tzinfo=None, fold=0)
    place = Place(_zone(moment))
    return Place(zone).local(place.us(moment.replace(tzinfo=None)))


def _length(event: Any, place: Place, zone: str) -> Length:
    start = _moment(event, "DTSTART")
    if "DURATION" in event:
        length = getattr(event["DURATION"], "dt", None)
        if not isinstance(length, timedelta) or length < timedelta():
            raise Invalid("The property DURATION is no length of time.")
        return _nominal(length)
    if "DTEND" not in event:
        return Length() if isinstance(start, datetime) else Length(1)
    end = _moment(event, "DTEND")
    if isinstance(end, datetime) != isinstance(start, datetime):
        raise Invalid("DTSTART and DTEND have to be both times or both days.")
    first, last = _local(start, zone), _local(end, zone)
    if not isinstance(start, datetime):
        length = Length((last - first).days)
    else:
        length = Length(0, place.us(last) - place.us(first))
    if length.days < 0 or length.us < 0:
        raise Invalid("The event ends before it begins.")
    if timedelta(length.days, microseconds=length.us).days > _LENGTH_DAYS:
        raise Invalid("The event lasts for too long.")
    return length


def _nominal(length: timedelta) -> Length:
    if length.days > _LENGTH_DAYS:
        raise Invalid("The event lasts for too long.")
    return Length(length.days, length.seconds * 1_000_000 + length.microseconds)


def _change(event: Any, place: Place, zone: str) -> tuple[datetime, Change]:
    if "RANGE" in event["RECURRENCE-ID"].params:
        raise Invalid("Changes of all that follows (RANGE) are not supported.")
    own = _zone(_moment(event, "DTSTART"))
    begin, there = _local(_moment(event, "DTSTART"), own), Place(own)
    length = _length(event, there, own)
    summary = _on_a_line(_text(event, "SUMMARY")) if "SUMMARY" in event else None
    change = Change(there.us(begin), there.end_us(begin, length), summary)
    return _local(_moment(event, "RECURRENCE-ID"), zone), change


# --- rules and dates ---


def _listed(event: Any, name: str) -> list[Any]:
    """The values of a property that may be given several times, and have several values."""
    found = event.get(name, [])
    lists = found if isinstance(found, list) else [found]
    values = [value.dt for each in lists for value in getattr(each, "dts", [])]
    if len(values) > EXCEPTIONS:
        raise Invalid(f"The property {name} has over {EXCEPTIONS} values.")
    for value in values:
        moment = value[0] if isinstance(value, tuple) else value
        if not isinstance(moment, date) or moment.year not in _YEARS:
            raise Invalid(f"The property {name} has a value that is no time, or too far away.")
    return values


def _dates(event: Any, place: Place, zone: str) -> dict[datetime, Length | None]:
    found: dict[datetime, Length | None] = {}
    for value in _listed(event, "RDATE"):
        if not isinstance(value, tuple):
            found[_local(value, zone)] = None
            continue
        begin, end = _local(value[0], zone), value[1]
        length = (
            _nominal(end) if isinstance(end, timedelta) else Length(0, place.us(_local(end, zone)) - place.us(begin))
        )
        if length.us < 0 or length.days < 0 or timedelta(length.days, microseconds=length.us) > _LONGEST:
            raise Invalid("A period of RDATE ends before it begins, or a year after.")
        found[begin] = length
    return found


def _rules(event: Any, first: datetime, zone: str) -> tuple[Rule, ...]:
    found = event.get("RRULE", [])
    rules = found if isinstance(found, list) else [found]
    if len(rules) > _RULES:
        raise Invalid(f"An event may have {_RULES} rules.")
    budget = Budget(_DAYS)
    try:
        return tuple(_rule(each, first, zone).bounded(first, budget) for each in rules)
    except TooMuch:
        raise Invalid("A rule (RRULE) goes on for too long; give it an UNTIL.") from None


def _rule(rule: Any, first: datetime, zone: str) -> Rule:
    """A rule of the library's as ours. Raises Invalid for what it may not say."""
    frequency = str(next(iter(rule.get("FREQ", [])), ""))
    if frequency not in FREQUENCIES:
        raise Invalid(f"A rule (RRULE) needs a FREQ of {', '.join(FREQUENCIES)}.")
    if "RSCALE" in rule or "SKIP" in rule:
        raise Invalid("Rules of other calendars (RSCALE) are not supported.")
    until = next(iter(rule.get("UNTIL", [])), None)
    count = _numbers(rule, "COUNT", 1, 100_000)
    if until is not None and count:
        raise Invalid("A rule (RRULE) has UNTIL or COUNT, not both.")
    hours, minutes, seconds = (
        _numbers(rule, name, 0, most) for name, most in (("BYHOUR", 23), ("BYMINUTE", 59), ("BYSECOND", 60))
    )
    if max(len(hours), 1) * max(len(minutes), 1) * max(len(seconds), 1) > _TIMES:
        raise Invalid(f"A rule (RRULE) may name {_TIMES} times of a day.")
    return Rule(
        frequency,
        next(iter(_numbers(rule, "INTERVAL", 1, 10_000)), 1),
        next(iter(count), None),
        None if until is None else _until(until, zone),
        _WEEKDAYS[str(next(iter(rule.get("WKST", [])), "MO"))[-2:]],
        _numbers(rule, "BYMONTH", 1, 12),
        _signed(rule, "BYWEEKNO", 53),
        _signed(rule, "BYYEARDAY", 366),
        _signed(rule, "BYMONTHDAY", 31),
        tuple(_weekday(str(each)) for each in [*rule.get("BYDAY", []), *rule.get("BYWEEKDAY", [])]),
        hours,
        minutes,
        seconds,
        _signed(rule, "BYSETPOS", 366),
    )


def _until(until: Any, zone: str) -> datetime | None:
    """The last moment, local; a day is meant to its end. None where it is so far away that it is none."""
    if not isinstance(until, date):
        raise Invalid("The UNTIL of a rule (RRULE) is no time.")
    if until.year >= _YEARS.stop:
        return None
    if isinstance(until, datetime):
        return _local(until, zone)
    return datetime.combine(until, time.max)


def _weekday(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)", text.upper())
    if match is None or (match[1] and not 1 <= abs(int(match[1])) <= 53):
        raise Invalid("The BYDAY of a rule (RRULE) has a value that is no weekday.")
    return int(match[1] or 0), _WEEKDAYS[match[2]]


def _numbers(rule: Any, name: str, least: int, most: int) -> tuple[int, ...]:
    found = sorted({int(each) for each in rule.get(name, [])})
    if any(not least <= each <= most for each in found):
        raise Invalid(f"The {name} of a rule (RRULE) has a value that cannot be.")
    return tuple(found)


def _signed(rule: Any, name: str, most: int) -> tuple[int, ...]:
    found = _numbers(rule, name, -most, most)
    if 0 in found:
        raise Invalid(f"The {name} of a rule (RRULE) has a value that cannot be.")
    return found
