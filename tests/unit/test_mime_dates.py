"""Dates: the Date field of RFC 5322, IMAP's date-time and date of RFC 3501."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lightmail.mime.dates import SentDate, format_internaldate, parse_internaldate, parse_search_date, parse_sent


def us(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (b"Fri, 21 Nov 1997 09:55:06 -0600", SentDate(us(1997, 11, 21, 9, 55, 6), -360)),
        (b"Thu, 13 Feb 1969 23:32 -0330", SentDate(us(1969, 2, 13, 23, 32), -210)),
        (b"21 Nov 97 09:55:06 GMT", SentDate(us(1997, 11, 21, 9, 55, 6), 0)),
        (b"Thu,\t13\tFeb\t1969\t23:32:00\t-0330 (Newfoundland Time)", SentDate(us(1969, 2, 13, 23, 32), -210)),
        (b"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", SentDate(us(1997, 11, 21, 9, 55, 6), -360)),
        (b"1 jan 49 0:00:00 EST", SentDate(us(2049, 1, 1), -300)),
        (b"1 Jan 50 00:00:00 Z", SentDate(us(1950, 1, 1), 0)),
        (b"1 Jan 102 00:00:00 +0000", SentDate(us(2002, 1, 1), 0)),
        (b"Mon, 1 January 2024 10:00:00", SentDate(us(2024, 1, 1, 10), 0)),
        (b"Monday, 01-Jan-24 10:00:00 GMT", SentDate(us(2024, 1, 1, 10), 0)),
        (b"Sat, 31 Dec 2016 23:59:60 +0000", SentDate(us(2016, 12, 31, 23, 59, 59), 0)),
        (b"Mon Jan  1 10:00:00 2024", SentDate(us(2024, 1, 1, 10), 0)),
        (b"Mon Jan  1 10:00:00 CET 2024", SentDate(us(2024, 1, 1, 10), 0)),
        (b"1 Jan 2024", SentDate(us(2024, 1, 1), 0)),
        (b"", None),
        (b"yesterday", None),
        (b"31 Feb 2024 10:00:00 +0000", None),
        (b"1 Foo 2024 10:00:00 +0000", None),
        (b"1 Jan 2024 25:00:00 +0000", None),
        (b"1 Jan 0000 00:00:00 +0000", None),
    ],
)
def test_sent(value: bytes, sent: SentDate | None) -> None:
    assert parse_sent(value) == sent


def test_internaldates() -> None:
    moment = us(1996, 7, 17, 2, 44, 25)
    assert format_internaldate(moment) == b'"17-Jul-1996 02:44:25 +0000"'
    assert format_internaldate(moment + 999_999) == b'"17-Jul-1996 02:44:25 +0000"'
    assert format_internaldate(us(1969, 12, 31, 23, 59, 59)) == b'"31-Dec-1969 23:59:59 +0000"'
    assert parse_internaldate(b'"17-Jul-1996 02:44:25 -0700"') == moment + 7 * 3600 * 1_000_000
    assert parse_internaldate(b" 7-jul-1996 02:44:25 +0130") == us(1996, 7, 7, 1, 14, 25)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"17-Jul-1996",
        b"17-Jul-1996 02:44:25",
        b"7-Jul-1996 02:44:25 +0000",
        b"  -Jul-1996 02:44:25 +0000",
        b"32-Jul-1996 02:44:25 +0000",
        b"17-Xxx-1996 02:44:25 +0000",
        b"17-Jul-1996 24:00:00 +0000",
        b"17-Jul-1996 02:44:25 +0060",
    ],
)
def test_what_is_no_date_time(value: bytes) -> None:
    with pytest.raises(ValueError, match="not a date-time"):
        parse_internaldate(value)


def test_search_dates() -> None:
    assert parse_search_date(b"1-Feb-1994") == parse_search_date(b'"01-FEB-1994"') == us(1994, 2, 1)
    for value in (b"", b"30-Feb-1994", b"1-Feb-94", b"1 Feb 1994"):
        with pytest.raises(ValueError, match="not a date"):
            parse_search_date(value)
