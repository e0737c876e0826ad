"""The names and numbers of levels: those of Python's `logging`, and `TRACE` below and `OFF` above them."""

from __future__ import annotations

TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL, OFF = 5, 10, 20, 30, 40, 50, 1_000
NAMES = {
    TRACE: "TRACE",
    DEBUG: "DEBUG",
    INFO: "INFO",
    WARNING: "WARNING",
    ERROR: "ERROR",
    CRITICAL: "CRITICAL",
}
NUMBERS = {name: number for number, name in NAMES.items()} | {
    "NOTSET": 0,
    "WARN": WARNING,
    "FATAL": CRITICAL,
    "OFF": OFF,
    "SILENT": OFF,
}


def number_of(level: str | int) -> int:
    """Return a level's number. Raises `ValueError` for a name that is none.

    >>> number_of("warn"), number_of(35)
    (30, 35)
    """
    if isinstance(level, int):
        return level
    found = NUMBERS.get(str(level).strip().upper())
    if found is None:
        raise ValueError(f"{level!r} is no level; levels are {', '.join(NUMBERS)}")
    return found


def name_of(number: int) -> str:
    """Return a level's name, that of `logging.addLevelName` where the number is not one of ours.

    >>> name_of(20), name_of(21)
    ('INFO', 'Level 21')
    """
    found = NAMES.get(number)
    if found is None:
        import logging

        found = logging.getLevelName(number)
    return found
