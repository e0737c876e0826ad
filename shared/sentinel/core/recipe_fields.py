"""The fields of a recipe's model that several of its parts have: durations, names, cron."""

from __future__ import annotations

import re
from datetime import tzinfo
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints, WithJsonSchema

from sentinel.core import schedules
from sentinel.core.tasks import SECOND

_UNITS = {"ms": SECOND // 1000, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND, "d": 86400 * SECOND}
DURATION_PATTERN = r"^(\d{1,9})(ms|s|m|h|d)$"
_DURATION = re.compile(DURATION_PATTERN[1:-1])
NAME_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}"


def duration(text: object) -> int:
    """Parse `250ms`, `2s`, `5m`, `24h` or `7d` into nanoseconds.

    >>> duration("5m")
    300000000000
    """
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    found = _DURATION.fullmatch(str(text))
    if not found:
        raise ValueError("a duration is a number with a unit: 250ms, 2s, 5m, 24h or 7d")
    return int(found[1]) * _UNITS[found[2]]


def spelled(span: int) -> str:
    """Spell a duration of nanoseconds as it is written.

    >>> spelled(90 * SECOND), spelled(3600 * SECOND)
    ('90s', '1h')
    """
    unit = next(unit for unit in ("d", "h", "m", "s", "ms") if span % _UNITS[unit] == 0)
    return f"{span // _UNITS[unit]}{unit}"


def _name(text: str) -> str:
    if not re.fullmatch(NAME_PATTERN, text):
        raise ValueError("a name is 1 to 100 letters, digits and ._-, not beginning with . or -")
    return text


Duration = Annotated[
    int, BeforeValidator(duration), WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN})
]
Name = Annotated[
    str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME_PATTERN}$"})
]


Glob = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_.*?@+-]+(?:/[A-Za-z0-9_.*?@+-]+){0,20}$")
]  # of paths


class Strict(BaseModel):
    """A part of a recipe: it has no other keys, and never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@lru_cache(maxsize=1024)
def cron_of(text: str, timezone: str) -> tuple[schedules.Cron, tzinfo]:
    """Return a parsed cron expression and its time zone. Raises `ValueError` that says what to change."""
    return schedules.parse(text), schedules.zone(timezone)
