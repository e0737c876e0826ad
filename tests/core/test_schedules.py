"""Schedules: the dialect of cron, and local time with its holes and doubles."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.core import schedules
from sentinel.core.schedules import DAY, FAR, SECOND, parse, regular, times, zone


def at(text: str) -> int:
    """Return a time of ISO 8601 in epoch nanoseconds; UTC where it says nothing else."""
    found = datetime.fromisoformat(text)
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()) * SECOND


def fired(cron: str, where: str, after: str, count: int = 4, until: str = "") -> list[str]:
    """Return when an expression fires next, as UTC."""
    end = at(until) if until else at(after) + FAR
    found = islice(times(parse(cron), zone(where), at(after), end), count)
    return [f"{datetime.fromtimestamp(each // SECOND, UTC):%Y-%m-%d %H:%M}" for each in found]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 3 * * 1-5", ["2026-11-27 03:00", "2026-11-30 03:00", "2026-12-01 03:00"]),  # a Friday
        ("*/20 * * * *", ["2026-11-27 00:20", "2026-11-27 00:40", "2026-11-27 01:00"]),
        ("5/25 8-10/2 * * *", ["2026-11-27 08:05", "2026-11-27 08:30", "2026-11-27 08:55"]),
        ("0 0 1,15 * *", ["2026-12-01 00:00", "2026-12-15 00:00", "2027-01-01 00:00"]),
        ("0 0 1 * mon", ["2026-11-30 00:00", "2026-12-01 00:00", "2026-12-07 00:00"]),  # either day
        ("0 0 */10 * 1", ["2026-12-21 00:00", "2027-01-11 00:00", "2027-02-01 00:00"]),  # `*/10` is a star
        ("30 12 * feb,Mar SUN", ["2027-02-07 12:30", "2027-02-14 12:30", "2027-02-21 12:30"]),
        ("30 12 * 2,3 7", ["2027-02-07 12:30", "2027-02-14 12:30", "2027-02-21 12:30"]),
        ("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("0 0 31 4,5 *", ["2027-05-31 00:00", "2028-05-31 00:00", "2029-05-31 00:00"]),
    ],
)
def test_the_dialect(cron: str, expected: list[str]) -> None:
    """Fields, ranges, lists, steps, names, both spellings of Sunday, and either kind of day."""
    assert fired(cron, "UTC", "2026-11-27T00:00", 3)[: len(expected)] == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *"),
        *(
            "* * * * 8",
            "5-1 * * * *",
            "*/0 * * * *",
            "a * * * *",
            "* * * jam *",
            "1,,2 * * * *",
            "-1 * * * *",
        ),
        *(
            "* * 31 2 *",
            "0 0 30 feb *",
            "0 0 31 4,6,9,11 *",
            "@daily",
            "* * L * *",
            "٣ * * * *",
            "1.5 * * * *",
        ),
    ],
)
def test_what_is_not_cron_is_refused(text: str) -> None:
    """What is out of range, misspelt, or would never fire, is refused when it is read."""
    with pytest.raises(ValueError, match=r"cron"):
        parse(text)


@pytest.mark.parametrize("name", ["", "Europe/Atlantis", "../../etc/passwd", "/etc/passwd", "CET\0"])
def test_only_time_zones_are_time_zones(name: str) -> None:
    """A name that is no IANA zone is refused, whatever path it spells."""
    with pytest.raises(ValueError, match="IANA"):
        zone(name)


def test_a_skipped_time_fires_once_when_the_clock_is_put_forward() -> None:
    """In Berlin 02:00 to 03:00 does not exist on 2026-03-29: 02:30 fires at 01:00 UTC, as 03:00 then is."""
    assert fired("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00", 3) == [
        *("2026-03-28 01:30", "2026-03-29 01:00", "2026-03-30 00:30")
    ]
    assert fired("*/30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", 2) == [
        *("2026-03-29 01:00", "2026-03-30 00:00")
    ]


def test_each_quarter_of_an_hour_stays_that() -> None:
    """With `*` as the hour nothing is skipped and nothing doubled: 15 minutes lie between any two."""
    for day in ("2026-03-28T22:00", "2026-10-24T22:00"):
        found = list(times(parse("*/15 * * * *"), zone("Europe/Berlin"), at(day), at(day) + DAY // 2))
        assert {b - a for a, b in pairwise(found)} == {15 * 60 * SECOND}
        assert len(found) == 48


def test_a_doubled_time_fires_the_first_time() -> None:
    """In Berlin 02:00 to 03:00 comes twice on 2026-10-25: 02:30 fires in summer time, and not again."""
    assert fired("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", 2) == [
        *("2026-10-25 00:30", "2026-10-26 01:30")
    ]
    assert fired("30 1-3 * * *", "Europe/Berlin", "2026-10-24T12:00", 3) == [
        *("2026-10-24 23:30", "2026-10-25 00:30", "2026-10-25 02:30")
    ]


def test_a_skipped_midnight_and_a_skipped_day() -> None:
    """Where the clock goes forward at midnight, midnight fires at that moment; a day that is left out too."""
    # Beirut, 2026-03-29: 00:00 to 01:00 does not exist. Samoa had no 30 December 2011.
    assert fired("0 0 * * *", "Asia/Beirut", "2026-03-28T00:00", 2) == [
        *("2026-03-28 22:00", "2026-03-29 21:00")
    ]
    assert fired("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00", 3) == [
        *("2011-12-29 22:00", "2011-12-30 10:00", "2011-12-30 22:00")
    ]


def test_half_an_hour_of_summer_time() -> None:
    """Lord Howe Island's clock goes by half an hour: 02:15 is skipped on 2026-10-04 and fires at 02:30."""
    assert fired("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", 1) == ["2026-10-03 15:30"]


def test_every_counts_from_the_epoch() -> None:
    """The times of `every` are its multiples: the same whoever asks, and from whenever."""
    found = list(regular(900 * SECOND, at("2026-11-27T00:10"), at("2026-11-27T00:45")))
    assert found == [at("2026-11-27T00:15"), at("2026-11-27T00:30"), at("2026-11-27T00:45")]


FIELDS = st.tuples(
    st.sampled_from(["*", "0", "59", "*/7", "10-20", "0,30"]),
    st.sampled_from(["*", "0", "2", "23", "*/5", "1-3", "2,3"]),
    st.sampled_from(["*", "1", "31", "*/9"]),
    st.sampled_from(["*", "3", "10", "jan-mar,oct"]),
    st.sampled_from(["*", "0", "mon-fri", "6"]),
).map(" ".join)
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"]
)
MOMENTS = st.integers(at("2025-01-01") // SECOND, at("2027-12-31") // SECOND)


@settings(max_examples=60, deadline=None)
@given(FIELDS, ZONES, MOMENTS, st.integers(1, 20))
def test_times_do_not_hang_on_where_one_begins(cron: str, where: str, start: int, days: int) -> None:
    """Looking in two parts finds what looking once does: in order, each once, within the bounds."""
    parsed, place = parse(cron), zone(where)
    begin, end = start * SECOND, start * SECOND + days * DAY
    whole = list(times(parsed, place, begin, end))
    assert whole == sorted(set(whole))
    assert all(begin < each <= end for each in whole)
    for middle in {begin + (end - begin) // 3, *(whole[:1])}:
        parts = [*times(parsed, place, begin, middle), *times(parsed, place, middle, end)]
        assert parts == whole


@settings(max_examples=60, deadline=None)
@given(FIELDS, ZONES, MOMENTS)
def test_what_fires_reads_so_on_the_clock(cron: str, where: str, start: int) -> None:
    """Each time that fires reads on the local clock as the expression says, but at the end of a hole."""
    parsed, place = parse(cron), zone(where)
    for each in islice(times(parsed, place, start * SECOND, start * SECOND + 40 * DAY), 200):
        local = datetime.fromtimestamp(each // SECOND, place)
        forward = local.utcoffset() != (
            datetime.fromtimestamp(each // SECOND - 1, place).utcoffset() or timedelta()
        )
        assert forward or (parsed.on(local.date()) and local.hour in parsed.hours)
        assert forward or local.minute in parsed.minutes


def test_the_longest_wait_is_found() -> None:
    """29 February over the end of a century is the rarest time there is, and within `FAR`."""
    found = next(times(parse("0 0 29 2 *"), zone("UTC"), at("2096-03-01"), at("2096-03-01") + schedules.FAR))
    assert found == at("2104-02-29")
