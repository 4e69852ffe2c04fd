"""Dates of mail: the Date field (RFC 5322 sections 3.3 and 4.3) and IMAP's date and date-time (RFC 3501 section 9)."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

# In a column of days (counted from 1 January 1970, 32 bits) a message without a Date field: before all others.
UNDATED: Final = -(1 << 31)

_MONTHS: Final = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_MONTH_NUMBERS: Final = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_DAY_SECONDS: Final = 86_400
_SECOND_US: Final = 1_000_000
# The pieces of a date-time after its day; formatting them takes four times as long.
_MINUTE_TEXTS: Final = [b"%02d:%02d:" % divmod(minute, 60) for minute in range(24 * 60)]
_SECOND_TEXTS: Final = [b'%02d +0000"' % second for second in range(60)]

# Bounded everywhere: a Date field may be a mebibyte of spaces.
_COLON = rb"[ \t]{0,9}[:.][ \t]{0,9}"
_TIME = rb"(\d{1,2})" + _COLON + rb"(\d{2})(?:" + _COLON + rb"(\d{2})(?:[.,]\d{1,9})?)?"
_ZONE = rb"(?:[ \t]{0,9}([+-]\d{4}|[A-Za-z]{1,5}))?"
_SENT: Final = re.compile(
    rb"(?:[A-Za-z]{2,9}\.?,?[ \t]{0,9})?(\d{1,2})[ \t-]{1,9}([A-Za-z]{3})[a-z]{0,6}\.?[ \t-]{1,9}(\d{2,4})"
    rb"(?:,?[ \t]{1,9}" + _TIME + _ZONE + rb")?"
)
_ASCTIME: Final = re.compile(
    rb"[A-Za-z]{3,9},?[ \t]{1,9}([A-Za-z]{3})[a-z]{0,6}[ \t]{1,9}(\d{1,2}),?[ \t]{1,9}" + _TIME + rb"[ \t]{1,9}"
    rb"(?:[A-Za-z]{1,5}[ \t]{1,9})?(\d{4})" + _ZONE
)
_COMMENT: Final = re.compile(rb"\([^()]{0,200}\)")
_ZONES: Final = {
    b"EST": -300, b"EDT": -240, b"CST": -360, b"CDT": -300, b"MST": -420, b"MDT": -360, b"PST": -480, b"PDT": -420,
}  # fmt: skip
_INTERNALDATE: Final = re.compile(rb'"?([ \d]\d)-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)"?')
_SEARCH_DATE: Final = re.compile(rb'"?(\d{1,2})-([A-Za-z]{3})-(\d{4})"?')


class SentDate(NamedTuple):
    """A Date field: the wall clock it shows as if that were UTC, and its zone's offset from UTC in minutes."""

    local_us: int
    offset_minutes: int


def parse_sent(value: bytes) -> SentDate | None:
    """Return the moment of an unfolded Date field, obsolete forms included, or None where it says none."""
    value = value[:1000]
    if b"(" in value:
        value = _COMMENT.sub(b" ", value)
    value = value.strip()
    match = _SENT.match(value)
    if match is not None:
        day, month, year, hour, minute, second, zone = match.groups(b"")
    else:
        match = _ASCTIME.match(value)
        if match is None:
            return None
        month, day, hour, minute, second, year, zone = match.groups(b"")
    seconds = _local_seconds(
        _full_year(year),
        _MONTH_NUMBERS.get(month.lower(), 0),
        int(day),
        int(hour or 0),
        int(minute or 0),
        int(second or 0),
    )
    return None if seconds is None else SentDate(seconds * _SECOND_US, _zone_minutes(zone))


def format_internaldate(moment_us: int) -> bytes:
    """Return a moment (Unix microseconds, UTC) as IMAP's quoted date-time, in UTC."""
    day, second = divmod(moment_us // _SECOND_US, _DAY_SECONDS)
    minute, second = divmod(second, 60)
    return _day_text(day) + _MINUTE_TEXTS[minute] + _SECOND_TEXTS[second]


def parse_internaldate(value: bytes) -> int:
    """Return the Unix microseconds of IMAP's date-time, with or without its quotes. ValueError if it is none."""
    match = _INTERNALDATE.fullmatch(value)
    if match is None:
        raise ValueError("not a date-time")
    day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = match.groups()
    seconds = _local_seconds(
        int(year), _MONTH_NUMBERS.get(month.lower(), 0), int(day), int(hour), int(minute), int(second)
    )
    if seconds is None or int(zone_minutes) > 59:
        raise ValueError("not a date-time")
    offset = int(zone_hours) * 3600 + int(zone_minutes) * 60
    return (seconds - (offset if sign == b"+" else -offset)) * _SECOND_US


def parse_search_date(value: bytes) -> int:
    """Return the Unix microseconds of midnight of IMAP's date, as if that were UTC. ValueError if it is none."""
    match = _SEARCH_DATE.fullmatch(value)
    seconds = None
    if match is not None:
        seconds = _local_seconds(int(match[3]), _MONTH_NUMBERS.get(match[2].lower(), 0), int(match[1]), 0, 0, 0)
    if seconds is None:
        raise ValueError("not a date")
    return seconds * _SECOND_US


def _local_seconds(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int | None:
    if hour > 23 or minute > 59 or second > 60:
        return None
    try:
        days = date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    return days * _DAY_SECONDS + hour * 3600 + minute * 60 + min(second, 59)


def _full_year(digits: bytes) -> int:
    """RFC 5322 section 4.3: two digits below 50 are this century's, other two and three digits count from 1900."""
    year = int(digits)
    if len(digits) == 2 and year < 50:
        return year + 2000
    return year + 1900 if len(digits) < 4 else year


def _zone_minutes(zone: bytes) -> int:
    """Unknown and military zones say nothing (RFC 5322 section 4.3), which is -0000."""
    if zone[:1] in (b"+", b"-"):
        minutes = int(zone[1:3]) * 60 + int(zone[3:5])
        return -minutes if zone[:1] == b"-" else minutes
    return _ZONES.get(zone.upper(), 0)


@lru_cache(maxsize=4096)
def _day_text(day: int) -> bytes:
    try:
        moment = date.fromordinal(day + _EPOCH_DAY)
    except (ValueError, OverflowError):
        moment = date(1970, 1, 1) if day < 0 else date(9999, 12, 31)
    return b'"%02d-%b-%04d ' % (moment.day, _MONTHS[moment.month - 1], moment.year)
