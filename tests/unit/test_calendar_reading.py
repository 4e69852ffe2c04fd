"""What texts of events say: times and zones, recurrences, and what is refused, within bounds, whoever wrote them."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice

import pytest
from icalendar.timezone import tzp

from lightmail.calendars.reading import TEXT_OCTETS, Reading, read, recurrence_of, recurrence_text, zone_name
from lightmail.calendars.recurrence import Window
from lightmail.calendars.rules import Budget
from lightmail.errors import Invalid
from tests.support.icaltext import BERLIN, calendar, event, text

HOUR_US = 3_600_000_000
EVER = Window(0, 1 << 60)


def us(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1_000_000)  # type: ignore[misc,arg-type]


def when(reading: Reading, window: Window = EVER, most: int = 10) -> list[str]:
    """The beginnings of occurrences in UTC, the first `most`."""
    assert reading.recurrence is not None
    kept = recurrence_of(recurrence_text(reading.recurrence))
    assert kept == reading.recurrence
    found = islice(kept.occurrences(window, Budget(1_000_000)), most)
    return [datetime.fromtimestamp(each.starts_us / 1e6, UTC).strftime("%m-%dT%H:%M") for each in found]


def test_what_happens_once() -> None:
    found = read(text("DTEND:20260302T103000Z", summary="Planning\\, again\\nand  more"))
    assert found == Reading(
        "u@example.org", "Planning, again and more", False, us(2026, 3, 2, 9), us(2026, 3, 2, 10, 30), None
    )


@pytest.mark.parametrize(
    ("start", "more", "starts_us", "ends_us"),
    [
        ("DTSTART:20260302T090000Z", [], us(2026, 3, 2, 9), us(2026, 3, 2, 9)),
        ("DTSTART:20260302T090000", ["DURATION:PT90M"], us(2026, 3, 2, 9), us(2026, 3, 2, 10, 30)),
        (f"DTSTART;{BERLIN}:20260702T090000", ["DURATION:PT1H"], us(2026, 7, 2, 7), us(2026, 7, 2, 8)),
        ("DTSTART;VALUE=DATE:20260302", [], us(2026, 3, 2), us(2026, 3, 3)),
        ("DTSTART;VALUE=DATE:20260302", ["DTEND;VALUE=DATE:20260305"], us(2026, 3, 2), us(2026, 3, 5)),
        # A day by the calendar has 23 hours when the clock is put forward, one by the clock has not.
        (f"DTSTART;{BERLIN}:20260328T120000", ["DURATION:P1D"], us(2026, 3, 28, 11), us(2026, 3, 29, 10)),
        (
            f"DTSTART;{BERLIN}:20260328T120000",
            ["DTEND;TZID=America/New_York:20260329T060000"],
            us(2026, 3, 28, 11),
            us(2026, 3, 29, 10),
        ),
        # A time that the clock passes over counts by the offset from before.
        (f"DTSTART;{BERLIN}:20260329T023000", [], us(2026, 3, 29, 1, 30), us(2026, 3, 29, 1, 30)),
    ],
)
def test_when_it_is(start: str, more: list[str], starts_us: int, ends_us: int) -> None:
    found = read(text(*more, start=start))
    assert (found.starts_us, found.ends_us, found.all_day) == (starts_us, ends_us, "VALUE=DATE:" in start)


def test_nine_oclock_stays_nine_oclock() -> None:
    found = read(text("RRULE:FREQ=WEEKLY;COUNT=3", "DURATION:PT1H", start=f"DTSTART;{BERLIN}:20260320T090000"))
    assert when(found) == ["03-20T08:00", "03-27T08:00", "04-03T07:00"]
    assert (found.starts_us, found.ends_us) == (us(2026, 3, 20, 8), us(2026, 4, 3, 8))


def test_dates_are_added_left_out_and_changed() -> None:
    master = event(
        "RRULE:FREQ=DAILY;UNTIL=20260306T090000Z",
        "RDATE:20260401T120000Z,20260402T120000Z",
        "RDATE;VALUE=PERIOD:20260501T120000Z/PT3H",
        "EXDATE:20260303T090000Z",
        "EXDATE;TZID=Europe/Berlin:20260304T100000",
        "DURATION:PT1H",
    )
    moved = event("RECURRENCE-ID:20260305T090000Z", "DURATION:PT2H", start="DTSTART:20260310T100000Z", summary="moved")
    found = read(calendar(master, moved))
    assert when(found) == [
        "03-02T09:00", "03-06T09:00", "03-10T10:00", "04-01T12:00", "04-02T12:00", "05-01T12:00",
    ]  # fmt: skip
    assert found.ends_us == us(2026, 5, 1, 15)
    assert found.recurrence is not None
    (changed,) = [each for each in found.recurrence.occurrences(EVER, Budget(1000)) if each.summary]
    assert (changed.summary, changed.ends_us - changed.starts_us, changed.recurrence_us) == (
        "moved", 2 * HOUR_US, us(2026, 3, 5, 9),
    )  # fmt: skip


def test_an_occurrence_is_in_a_window_while_it_lasts() -> None:
    found = read(text("RRULE:FREQ=DAILY", "DURATION:PT2H"))
    assert found.ends_us is None
    begin = us(2027, 5, 5, 10)
    assert when(found, Window(begin, begin + HOUR_US)) == ["05-05T09:00"]
    assert when(found, Window(us(2027, 5, 5, 11), us(2027, 5, 6, 9))) == []
    assert when(found, Window(us(2027, 5, 5, 11), us(2027, 5, 6, 9) + 1)) == ["05-06T09:00"]
    assert when(found, Window(begin, us(2027, 5, 9), us(2027, 5, 7))) == ["05-07T09:00", "05-08T09:00"]


def test_what_lasts_for_no_time_is_there_when_it_begins() -> None:
    found = read(text("RRULE:FREQ=DAILY"))
    nine = us(2026, 3, 3, 9)
    assert when(found, Window(nine, nine + 1)) == ["03-03T09:00"]
    assert when(found, Window(nine - 1, nine)) == []


def test_zones_by_any_of_their_names() -> None:
    for name in ("Europe/Berlin", "W. Europe Standard Time", "/example.org/2026/Europe/Berlin", "/Europe/Berlin"):
        assert zone_name(name) == "Europe/Berlin"
        assert read(text(start=f'DTSTART;TZID="{name}":20260302T090000')).starts_us == us(2026, 3, 2, 8)
    for name in ("Europe/Nowhere", "", "../../etc/passwd", "a" * 5000, "Europe"):
        with pytest.raises(Invalid):
            read(text(start=f"DTSTART;TZID={name}:20260302T090000"))


def test_definitions_of_zones_are_passed_over() -> None:
    trap = [
        "BEGIN:VTIMEZONE", "TZID:Europe/Berlin", "BEGIN:STANDARD", "DTSTART:16010101T000000", "RRULE:FREQ=SECONDLY",
        "TZOFFSETFROM:+0200", "TZOFFSETTO:+1300", "END:STANDARD", "END:VTIMEZONE",
    ]  # fmt: skip
    own = [line.replace("Europe/Berlin", "Mine") for line in trap]
    found = read(calendar(trap, event(start=f"DTSTART;{BERLIN}:20260302T090000")))
    assert found.starts_us == us(2026, 3, 2, 8)
    with pytest.raises(Invalid, match="TZID"):
        read(calendar(own, event(start="DTSTART;TZID=Mine:20260302T090000")))
    assert tzp.timezone("Mine") is None


@pytest.mark.parametrize(
    ("octets", "says"),
    [
        (b"", "not iCalendar|one calendar"),
        (b"hello", "not iCalendar"),
        (b"\xff", "UTF-8"),
        (b"BEGIN:VCALENDAR\x00", "control"),
        (b"BEGIN:VCALENDAR\r\n", "does not end"),
        (b"END:VCALENDAR\r\n", "ends that did not begin"),
        (b"BEGIN:A\r\n" * 100, "nested"),
        (calendar(), "VEVENT"),
        (calendar(["BEGIN:VTODO", "UID:x", "END:VTODO"]), "VEVENT"),
        (calendar(event(), event(uid="other")), "one UID"),
        (calendar(event(), event()), "one UID"),
        (calendar(event("RECURRENCE-ID:20260302T090000Z")), "one UID"),
        (calendar(["METHOD:REQUEST"], event()), "METHOD"),
        (text(uid=""), "UID"),
        (text(uid="x" * 256), "UID"),
        (text(uid="a\\nb"), "UID"),
        (text(start=""), "DTSTART is missing"),
        (text(start="DTSTART:tomorrow"), "DTSTART"),
        (text(start="DTSTART:20260230T090000Z"), "DTSTART"),
        (text(start="DTSTART:99990101T000000Z"), "too far"),
        (text("DTSTART:20260303T090000Z"), "DTSTART"),
        (text("DTEND:20260301T090000Z"), "before it begins"),
        (text("DTEND;VALUE=DATE:20260303"), "both"),
        (text("DTEND:20260303T090000Z", "DURATION:PT1H"), "not both"),
        (text("DURATION:-PT1H"), "DURATION"),
        (text("DURATION:P99999D"), "too long"),
        (text("EXRULE:FREQ=DAILY"), "EXRULE"),
        (text("RRULE:FREQ=SECONDLY"), "FREQ"),
        (text("RRULE:COUNT=3"), "FREQ"),
        (text("RRULE:FREQ=DAILY;COUNT=0"), "COUNT"),
        (text("RRULE:FREQ=DAILY;INTERVAL=0"), "INTERVAL"),
        (text("RRULE:FREQ=DAILY;INTERVAL=x"), "RRULE|cannot be read"),
        (text("RRULE:FREQ=DAILY;COUNT=1;UNTIL=20270101T000000Z"), "not both"),
        (text("RRULE:FREQ=DAILY;UNTIL=soon"), "RRULE|cannot be read"),
        (text("RRULE:FREQ=YEARLY;BYMONTH=13"), "BYMONTH"),
        (text("RRULE:FREQ=MONTHLY;BYMONTHDAY=0"), "BYMONTHDAY"),
        (text("RRULE:FREQ=MONTHLY;BYDAY=XX"), "RRULE|BYDAY|cannot be read"),
        (text("RRULE:FREQ=MONTHLY;BYDAY=54MO"), "BYDAY"),
        (text("RRULE:FREQ=DAILY;BYHOUR=" + ",".join(map(str, range(24))) + ";BYMINUTE=0,1,2,3,4"), "times of a day"),
        (text("RRULE:FREQ=YEARLY;RSCALE=HEBREW"), "RSCALE"),
        (text("RRULE:FREQ=YEARLY;COUNT=9;BYMONTH=2;BYYEARDAY=366"), "too long"),
        (text("RRULE:FREQ=DAILY;COUNT=100000;BYMONTH=2;BYMONTHDAY=29"), "too long"),
        (text(*["RRULE:FREQ=DAILY"] * 5), "rules"),
        (text("RRULE:FREQ=DAILY", "DURATION:P400D"), "over a year"),
        (text("RDATE:" + ",".join(["20270101T000000Z"] * 301)), "RDATE"),
        (text("RDATE:sometime"), "RDATE"),
        (text("RDATE;VALUE=PERIOD:20270101T000000Z/20260101T000000Z"), "RDATE|cannot be read"),
        (calendar(event("RRULE:FREQ=DAILY"), event("RECURRENCE-ID;RANGE=THISANDFUTURE:20260303T090000Z")), "RANGE"),
        (b"x" * (TEXT_OCTETS + 1), "octets"),
        (text(*["X-A:b"] * 5000), "lines"),
    ],
    ids=str,
)
def test_what_is_refused_is_told_in_plain_words(octets: bytes, says: str) -> None:
    with pytest.raises(Invalid, match=says) as caught:
        read(octets)
    said = str(caught.value)
    assert said.isascii()
    assert len(said) < 200


def test_texts_of_clients_are_read() -> None:
    outlook = calendar(
        [
            "BEGIN:VTIMEZONE", "TZID:W. Europe Standard Time", "BEGIN:STANDARD", "DTSTART:16010101T030000",
            "TZOFFSETFROM:+0200", "TZOFFSETTO:+0100", "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10", "END:STANDARD",
            "END:VTIMEZONE",
        ],
        event(
            "DTEND;TZID=W. Europe Standard Time:20260302T100000",
            "RRULE:FREQ=MONTHLY;COUNT=2;BYDAY=1MO",
            "ATTENDEE;CN=\"Ada, L.\";RSVP=TRUE:mailto:ada@example.org",
            "X-MICROSOFT-CDO-BUSYSTATUS:BUSY",
            "BEGIN:VALARM", "ACTION:DISPLAY", "TRIGGER:-PT15M", "DESCRIPTION:Reminder", "END:VALARM",
            start="DTSTART;TZID=W. Europe Standard Time:20260302T090000",
            summary="Gr\u00fc\r\n \u00dfe",
        ),
    )  # fmt: skip
    found = read(outlook)
    assert found.summary == "Gr\u00fc\u00dfe"
    assert when(found) == ["03-02T08:00", "04-06T07:00"]
    apple = text("RRULE:FREQ=WEEKLY;UNTIL=99991231T235959Z;WKST=SU;BYDAY=MO", "TRANSP:OPAQUE", "SEQUENCE:1")
    assert read(apple).ends_us is None
    lines_of_unix = text("DTEND:20260302T093000Z").replace(b"\r\n", b"\n")
    assert read(lines_of_unix).ends_us == us(2026, 3, 2, 9, 30)


@pytest.mark.parametrize(
    "octets",
    [
        text(*["X-A;B=c:d"] * 4900),
        text("X-A:" + "\\," * 120_000),
        text("X-A;" + "B=c;" * 60_000 + ":x"),
        text("X-A" + " " * 250_000 + ":x"),
        text("CATEGORIES:" + "a," * 120_000),
        text("RRULE:FREQ=YEARLY;BYMONTH=" + "1," * 100_000 + "1"),
        text("RRULE:FREQ=YEARLY;COUNT=99999;BYWEEKNO=53;BYDAY=SU;BYMONTH=2"),
        text("ATTACH;ENCODING=BASE64;VALUE=BINARY:" + "QUJD" * 60_000),
        text("DESCRIPTION:" + "x\r\n " * 60_000),
        text("RDATE:" + ",".join(["20270101T000000Z"] * 12_000)),
        b"BEGIN:VCALENDAR\r\n" + b"\n" * 200_000,
        text(start="DTSTART;" + 'TZID="' + "a/" * 100_000 + '":20260302T090000'),
    ],
    ids=lambda octets: octets[120:160].decode().split("\r\n")[0],
)
def test_no_text_costs_much(octets: bytes) -> None:
    assert len(octets) <= TEXT_OCTETS + 100
    began = time.process_time()
    with suppress(Invalid):
        read(octets)
    assert time.process_time() - began < 2.0
