"""Times and durations as they are given on the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

SECOND = 1_000_000_000


class Time(click.ParamType[int]):
    """A time as epoch nanoseconds."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a time in ISO 8601, UTC where it names no zone, or seconds since 1970."""
        if isinstance(value, int):
            return value
        text = str(value)
        try:
            if text.isascii() and text.isdigit():
                return int(text) * SECOND
            found = datetime.fromisoformat(text)
        except ValueError:
            self.fail("a time is 2026-11-27T08:00:00Z, or seconds since 1970", param, ctx)
        since = (found if found.tzinfo else found.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
        return since // timedelta(microseconds=1) * 1000


class Span(click.ParamType[int]):
    """A duration in nanoseconds, as recipes write it."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read `90s`, `5m`, `2h` or `7d`."""
        from sentinel.core.recipes import duration

        try:
            return duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def moment(t: int) -> str:
    """Show a time to people, in UTC."""
    return f"{datetime.fromtimestamp(t / SECOND, UTC):%Y-%m-%d %H:%M:%S}"
