"""The client: what the calls of a process share, which is options, policy, the log on disk and its shippers.

A call does everything up to the log on disk in its own thread, raises nothing, and waits no longer than
`block_seconds`. What was left out is told by a thread that wakes once a minute.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ._context import CONTEXT, RESERVED, bound, traced
from ._counts import Counts
from ._entry import Bytes, ExcInfo, add, add_exception, exc_info
from ._flow import Call, Flow
from ._levels import INFO, name_of, number_of
from ._plain import MAX_KEYS, MAX_TEXT, QUICK

REPORT_SECONDS: Final = 60.0
OWN: Final = "sentinel_client"  # the logger of what the client tells of itself
_MODULES = sys.modules

if TYPE_CHECKING:
    from ._options import Options
    from ._types import Store


class Client:
    """Logs to one place with one set of options. Threads share it; a forked child has its own log on disk."""

    def __init__(
        self, options: Options | None = None, *, store: Store | None = None, **arguments: Any
    ) -> None:
        """`arguments` are options by name (docs/clients.md). Raises `OptionsError`."""
        from ._options import Options
        from ._types import MAX_ENTRY

        self.options = Options.load(arguments) if options is None else options
        self._most = MAX_ENTRY
        self.counts = Counts()
        self.threshold = number_of(self.options.level)
        self.levels = [(name, number_of(level)) for name, level in self.options.levels.items()]
        self.levels.sort(key=lambda each: -len(each[0]))
        flow = Flow(self.options, self.counts)
        self._flow = None if flow.idle else flow
        self._common = bound(self.options.fields)
        self._bytes = Bytes()
        self._encode = self._bytes.encode
        self._due = 0.0  # when the next report may be told; 0 until the thread that tells it runs
        self._ended = threading.Event()
        self._reporting = threading.Lock()
        self.closed = False
        if store is None:
            from ._stored import Stored

            store = Stored(self.options, self.counts, self._told)
        self._store = store
        self._append, self._mask = store.append, store.mask
        self.own_threads = store.threads
        _CLIENTS.add(self)

    def level_of(self, logger: str) -> int:
        """Return the level from which on a logger's entries are made."""
        for name, level in self.levels:
            if (logger + ".").startswith(name + "."):
                return level
        return self.threshold

    def log(
        self,
        level: int | str,
        message: str,
        fields: Mapping[str, Any] | None = None,
        *,
        logger: str = "root",
        error: object = None,
    ) -> None:
        """Log one entry. `error` is an exception, or true for the one that is being handled.

        A level that is none counts as INFO.
        """
        try:
            number = number_of(level)
        except ValueError:
            number = INFO
        if number >= self.level_of(logger):
            found = None if error is None else exc_info(error)
            self.record(time.time(), number, name_of(number), logger, message, fields or {}, found)

    def record(
        self,
        now: float,
        level: int,
        name: str,
        logger: str,
        message: str,
        fields: Mapping[str, Any],
        error: ExcInfo | None = None,
        template: str | None = None,
    ) -> None:
        """Make an entry and keep it, or count why not. `now` in epoch seconds; `level` was admitted."""
        try:
            if now >= self._due or self._flow is not None or error is not None:
                extra = self._admitted(now, level, name, logger, message, fields, error, template)
                if extra is not None:
                    self.put(self._entry(now, name, logger, message, fields, error) | extra)
                return
            entry = {"time": int(now * 1e6) / 1e6, "level": name, "logger": logger, "message": message}
            shared = CONTEXT.get()
            if shared or self._common or "opentelemetry.trace" in _MODULES:
                entry |= {**self._common, **shared, **traced()}
            for value in fields.values():
                kind = type(value)
                if kind not in QUICK or (kind is float and value - value != 0):
                    add(entry, fields)
                    break
            else:  # what `add` does, but faster: most entries come this way
                if RESERVED.isdisjoint(fields) and len(fields) < MAX_KEYS:
                    entry.update(fields)
                else:
                    add(entry, fields)
            self.put(entry)
        except Exception:  # noqa: BLE001 - what logs goes on, whatever was logged
            self.counts.add("broken")

    def put(self, entry: dict[str, Any]) -> bool:
        """Keep an entry that is plain; whether it is kept. Everything that is written goes this way."""
        try:
            line = self._encode(entry)
        except (TypeError, ValueError, RecursionError):
            line = self._bytes.of(entry)
        if len(line) > MAX_TEXT:
            line = self._bytes.of(entry)
        try:
            line = self._mask(line, entry, self._encode)
        except Exception:  # noqa: BLE001 - what cannot be masked is not written
            self.counts.add("masking")
            return False
        if len(line) > self._most:
            self.counts.add("oversized")
            return False
        return self._append(line) >= 0

    def flush(self, seconds: float = 10.0) -> bool:
        """Send what was logged until now, within so many seconds; whether all of it is sent."""
        self._tell_repeats(float("inf"))
        return self._store.flush(seconds)

    def close(self, seconds: float | None = None) -> bool:
        """Tell what was left out, send what is there, within `exit_seconds` by default, and end.

        A client that has logged does so by itself at the end of the process.
        """
        if self.closed:
            return True
        self.closed = True
        atexit.unregister(self.close)
        self._ended.set()
        self._tell(float("inf"))
        return self._store.close(self.options.exit_seconds if seconds is None else seconds)

    def stats(self) -> dict[str, Any]:
        """Return what was counted since the process began, by reason, and the state of log and transports."""
        return {"counts": self.counts.total(), **self._store.stats()}

    def _entry(
        self,
        now: float,
        name: str,
        logger: str,
        message: str,
        fields: Mapping[str, Any],
        error: ExcInfo | None,
    ) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "time": int(now * 1e6) / 1e6,
            "level": name,
            "logger": logger,
            "message": message,
            **self._common,
            **CONTEXT.get(),
            **traced(),
        }
        add(entry, fields)
        if error is not None:
            add_exception(entry, error, self.options.frame_variables)
        return entry

    def _admitted(
        self,
        now: float,
        level: int,
        name: str,
        logger: str,
        message: str,
        fields: Mapping[str, Any],
        error: ExcInfo | None,
        template: str | None,
    ) -> dict[str, Any] | None:
        """Return what policy adds to an entry, or None where the call is left out."""
        if now >= self._due:
            self._report(now)
        if self._flow is None:
            return {}
        trace = fields.get("trace_id") or traced().get("trace_id") or CONTEXT.get().get("trace_id") or ""
        call = Call(now, level, logger, message if template is None else template, fields, str(trace))
        rate = self._flow.admits(call, lambda: self._entry(now, name, logger, message, fields, error))
        if rate == 0:
            return None
        return {"sampled": rate} if rate < 1 else {}

    def _report(self, now: float) -> None:
        """Tell what is due, and see to it that it is told when nobody logs."""
        if not self._reporting.acquire(blocking=False):
            return
        try:
            first, self._due = self._due == 0, now + REPORT_SECONDS
            self._store.wake()
            if not first:
                self._tell(now)
            elif not self.closed:
                atexit.unregister(self.close)  # those that come last go first: before the shippers' own end
                atexit.register(self.close)
                with contextlib.suppress(RuntimeError):  # the interpreter is shutting down
                    threading.Thread(target=self._watch, name="sentinel-client", daemon=True).start()
        finally:
            self._reporting.release()

    def _watch(self) -> None:
        window = self.options.repeats_seconds or REPORT_SECONDS
        told = time.monotonic()
        while not self._ended.wait(min(window, REPORT_SECONDS)):
            self._tell_repeats(time.time())
            if time.monotonic() - told >= REPORT_SECONDS:
                told = time.monotonic()
                self._report(time.time())

    def _tell(self, now: float) -> None:
        """Write the repeats that have ended, and what was left out since the last report."""
        self._tell_repeats(now)
        counts = self.counts.untold()
        if not counts:
            return
        left_out = {reason: count for reason, count in counts.items() if reason != "altered"}
        if not left_out or self._say("WARNING", "entries were left out", {"left_out": left_out}):
            self.counts.told(counts)

    def _told(self, what: Mapping[str, object]) -> None:
        """Write what a shipper has to tell: a receipt that does not fit."""
        self._say("ERROR", "a receipt does not fit what was sent", what)

    def _say(self, level: str, message: str, fields: Mapping[str, object]) -> bool:
        entry: dict[str, Any] = {"time": int(time.time() * 1e6) / 1e6, "level": level, "logger": OWN}
        entry |= {"message": message, **self._common}
        try:
            add(entry, fields)
            return self.put(entry)
        except Exception:  # noqa: BLE001 - it is called by threads that have to go on
            return False

    def _tell_repeats(self, now: float) -> None:
        if self._flow is not None and self._flow.repeats is not None:
            for entry in self._flow.repeats.ended(now):
                self.put(entry)

    def _forked(self) -> None:
        """Be a client of a forked child: threads and held locks stay with the parent."""
        self._due = 0.0
        self._ended = threading.Event()
        self._reporting = threading.Lock()
        self.counts.begin_anew()
        if self._flow is not None:
            self._flow = Flow(self.options, self.counts)


_CLIENTS: Final[weakref.WeakSet[Client]] = weakref.WeakSet()


def _after_fork() -> None:
    for client in list(_CLIENTS):
        client._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
