"""Values as they stand in the environment."""

from __future__ import annotations

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
ON = frozenset({"1", "true", "yes", "on"})
OFF = frozenset({"0", "false", "no", "off", ""})


class BadValue(Exception):
    """A text is not a value of the kind that is wanted."""


def duration(text: str) -> float:
    """Return a duration such as "90s", "1.5h" or "1h30m" in seconds. Raises `BadValue`.

    It is a number and a unit, or several of these, which add up: s, m, h or d.
    """
    text = text.strip()
    unit = text[-1:]
    if unit not in UNITS:
        raise BadValue(f"{text!r} is not a duration such as 90s or 1h30m")
    return float(text[:-1]) * UNITS[unit]


def boolean(text: str) -> bool:
    """Return whether a text says yes, in any case. Raises `BadValue` where it says neither."""
    word = text.strip().lower()
    if word in ON:
        return True
    if word in OFF:
        return False
    raise BadValue(f"{text!r} is neither on nor off")
