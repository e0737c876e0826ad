"""To the console: one line an entry, as people read it, or as it is.

A batch whose end was cut off by a kill is written again as a whole.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, TextIO

from sentinel_client._types import Batch, Later, Outcome, Sent

_SHOWN = ("time", "level", "logger", "message", "exception")
_COLOURS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}


class ConsoleTransport:
    """Writes to `stream`, by default standard error. `raw` writes entries as they are.

    Colours are for terminals where `NO_COLOR` (no-color.org) is not set. Control characters of entries
    are shown as escapes: what is logged cannot drive the terminal.
    """

    max_entries = 1_000
    max_bytes = 1_000_000

    def __init__(self, stream: TextIO | None = None, *, raw: bool = False, name: str = "console") -> None:
        self.name = name
        self._stream = stream
        self._raw = raw

    def send(self, batch: Batch, timeout: float) -> Outcome:  # noqa: ARG002 - nothing here can be bounded
        """Write a batch; `Later` where the stream does not take it. See `Transport`."""
        stream = self._stream or sys.stderr
        if stream is None:  # pythonw has none
            return Sent()
        lines = (each.decode(errors="replace") for each in batch.entries)
        coloured = not self._raw and stream.isatty() and not os.environ.get("NO_COLOR")
        text = "".join(f"{each if self._raw else shown(each, coloured)}\n" for each in lines)
        try:
            stream.write(text)
            stream.flush()
        except BrokenPipeError:
            return Sent()  # nobody reads any more, and never will
        except (OSError, ValueError) as error:
            return Later(f"the console does not take it: {type(error).__name__}")
        return Sent()

    def close(self) -> None:
        """Leave the stream open: it is not ours."""


def shown(line: str, coloured: bool = False) -> str:
    """Return an entry as people read it.

    >>> shown('{"time":0,"level":"INFO","logger":"shop","message":"paid","cart":7}')
    '1970-01-01T00:00:00.000Z INFO     shop: paid cart=7'
    >>> shown('[1]')
    '[1]'
    """
    try:
        entry = json.loads(line)
    except ValueError:
        return _safe(line)
    if not isinstance(entry, dict):
        return _safe(line)
    level = str(entry.get("level", ""))
    label = f"{level:<8}"
    if coloured and level in _COLOURS:
        label = f"\x1b[{_COLOURS[level]}m{label}\x1b[0m"
    fields = " ".join(f"{name}={_value(value)}" for name, value in entry.items() if name not in _SHOWN)
    logger = f"{entry['logger']}: " if entry.get("logger") else ""
    text = _safe(f"{logger}{entry.get('message', '')} {fields}".strip())
    return f"{_when(entry.get('time'))} {label if coloured else _safe(label)} {text}{_thrown(entry)}"


def _when(told: Any) -> str:
    if isinstance(told, bool) or not isinstance(told, int | float) or not 0 <= told < 253_402_300_800:
        return "-"
    moment = time.gmtime(int(told))
    return time.strftime("%Y-%m-%dT%H:%M:%S", moment) + f".{int(told % 1 * 1000):03d}Z"


def _value(value: Any) -> str:
    if isinstance(value, str) and value and not any(each in value for each in ' "=\\'):
        return value
    return json.dumps(value, ensure_ascii=False)


def _thrown(entry: dict[str, Any]) -> str:
    found = entry.get("exception")
    if not isinstance(found, dict):
        return ""
    return _safe(f" ({found.get('type', '')}: {found.get('message', found.get('value', ''))})")


def _safe(text: str) -> str:
    """Return text whose control and format characters are escapes."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
