"""Schedules: when a recipe fires by the clock. Pure; times are epoch nanoseconds.

The cron dialect is that of POSIX crontab(5) with the usual additions: five fields (minute, hour, day of the
month, month, day of the week), each `*`, a number, a range `1-5`, a list `1,15`, with steps `*/10` and
`8-18/2`; months and days of the week also by their English names of three letters; Sunday is 0 and 7. Where
the day of the month and the day of the week are both restricted, either of them suffices, as POSIX has it.

Local time has holes and doubles, where clocks are put forward and back:

* A time that is skipped fires once, at the moment at which the clock was put forward.
* A time that comes twice fires the first time only, unless the hour is `*`: what is meant for each hour is
  meant for the doubled one too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
FAR = 9 * 366 * DAY  # the longest wait there is: 29 February, over the end of a century
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_PART = re.compile(r"(?:(\*)|(\w{1,3})(?:-(\w{1,3}))?)(?:/(\d{1,2}))?", re.ASCII)
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed expression. `weekdays` count from Sunday, 0; `either`: one kind of day suffices."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool = False
    each_hour: bool = False

    def on(self, day: date) -> bool:
        """Whether it fires on a day."""
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return of_month or of_week if self.either else of_month and of_week


def parse(text: str) -> Cron:
    """Parse a cron expression. Raises `ValueError` that says what to change.

    >>> parse("0 3 * * 1-5").hours, sorted(parse("0 3 * * mon-fri").weekdays)
    ((3,), [1, 2, 3, 4, 5])
    """
    fields = text.split()
    if len(fields) != 5 or len(text) > 200:
        raise ValueError("cron has five fields: minute, hour, day of the month, month, day of the week")
    minutes = _field("minute", fields[0], 0, 59)
    hours = _field("hour", fields[1], 0, 23)
    days = _field("day of the month", fields[2], 1, 31)
    months = _field("month", fields[3], 1, 12, _MONTHS, 1)
    weekdays = frozenset(each % 7 for each in _field("day of the week", fields[4], 0, 7, _WEEKDAYS))
    free = fields[2].startswith("*"), fields[4].startswith("*")
    if free == (False, True) and not any(min(days) <= _LONGEST[month - 1] for month in months):
        raise ValueError("cron names a day of the month that none of its months has")
    return Cron(
        tuple(sorted(minutes)),
        tuple(sorted(hours)),
        days,
        months,
        weekdays,
        either=free == (False, False),
        each_hour=fields[1] == "*",
    )


def _field(
    name: str, text: str, low: int, high: int, names: tuple[str, ...] = (), first: int = 0
) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        read = _PART.fullmatch(part)
        if read is None:
            raise ValueError(f"cron: {name}: is *, numbers, ranges and lists, with steps: {low}-{high}")
        everything, start, end, step = read.groups()
        if everything:
            begin, last = low, high
        else:
            begin = _number(name, start, names, first)
            # `5/10` begins at 5 and goes on to the end, as crontabs of today have it.
            last = _number(name, end, names, first) if end else (high if step else begin)
        if not (low <= begin <= last <= high) or step == "0" or (step and not int(step)):
            raise ValueError(f"cron: {name}: is {low} to {high}, ranges begin with the smaller number")
        found.update(range(begin, last + 1, int(step or 1)))
    return frozenset(found)


def _number(name: str, text: str, names: tuple[str, ...], first: int) -> int:
    if text.lower() in names:
        return names.index(text.lower()) + first
    if not text.isdigit():
        raise ValueError(f"cron: {name}: has numbers" + (f" and {', '.join(names)}" if names else ""))
    return int(text)


def zone(name: str) -> tzinfo:
    """Return the time zone of an IANA name. UTC needs no database of zones. Raises `ValueError`."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("the time zone is an IANA name such as Europe/Berlin or UTC") from None


def regular(every: int, after: int, until: int) -> Iterator[int]:
    """Yield the multiples of `every` since the epoch that are after `after` and not after `until`.

    >>> list(regular(10, 20, 40))
    [30, 40]
    """
    yield from range((after // every + 1) * every, until + 1, every)


def times(cron: Cron, where: tzinfo, after: int, until: int) -> Iterator[int]:
    """Yield when an expression fires after `after` and not after `until`, in order, each time once."""
    begin = datetime.fromtimestamp(after // SECOND, where).date() - timedelta(days=1)
    end = datetime.fromtimestamp(until // SECOND, where).date() + timedelta(days=1)
    last = after
    for number in range(begin.toordinal(), end.toordinal() + 1):
        day = date.fromordinal(number)
        if not cron.on(day):
            continue
        for moment in _moments(cron, where, day):
            if last < moment <= until:
                yield moment
                last = moment


def _moments(cron: Cron, where: tzinfo, day: date) -> list[int]:
    found: set[int] = set()
    for hour in cron.hours:
        for minute in cron.minutes:
            local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=where)
            found.update(_instants(local, both=cron.each_hour))
    return sorted(found)


def _instants(local: datetime, *, both: bool) -> Iterator[int]:
    """Yield the instants at which a local time is shown, by the rules above."""
    first, second = _utc(local), _utc(local.replace(fold=1))
    if first > second:  # PEP 495: in a hole the times go by the offsets before and after it
        yield _forward(second, first, local) * SECOND
        return
    yield first * SECOND
    if both and second > first:
        yield second * SECOND


def _forward(low: int, high: int, local: datetime) -> int:
    """Return the second between `low` and `high` at which the clock was put forward."""
    where = local.tzinfo
    before = datetime.fromtimestamp(low, where).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, where).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


def _utc(local: datetime) -> int:
    return int((local.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
