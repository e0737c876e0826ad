"""What the program's policy leaves out before an entry is made: sampling, rates by key, repeats.

In this order. Each is off unless options say otherwise, and whatever is left out is counted by its reason.
Times are epoch seconds of the entries, so nothing here asks a clock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ._counts import Counts
from ._levels import OFF, number_of
from ._plain import shown

if TYPE_CHECKING:
    from ._options import Options

MAX_KEYS: Final = 10_000  # of buckets, and of repeats that are waited for
MAX_TEMPLATE: Final = 1_024  # characters of a logger's name or template that are told apart
_WHOLE = 1 << 64


class Call(NamedTuple):
    """One call as policy sees it. `template` is the message before its arguments."""

    time: float
    level: int
    logger: str
    template: str
    fields: Mapping[str, Any]
    trace: str  # hex, or empty


class _Which(NamedTuple):
    """Which calls a rule is for: those of a logger and below it, and up to a level."""

    logger: str
    most: int

    def fits(self, call: Call) -> bool:
        within = not self.logger or (call.logger + ".").startswith(self.logger + ".")
        return within and call.level <= self.most


class Sampling:
    """Keeps a part of the calls; of a trace all or none, by its id as OpenTelemetry's samplers decide it."""

    def __init__(self, rules: Sequence[Any], draw: Callable[[], float] | None = None) -> None:
        import random

        self._draw = draw or random.random
        self._rules = []
        for each in rules:
            rule = _rule("sampling", each, {"logger", "level", "rate"})
            self._rules.append((_which(rule), _number("sampling", rule, "rate", 1.0)))

    def rate(self, call: Call) -> float | None:
        """Return the part that is kept of such calls where this one is kept, else None."""
        for which, rate in self._rules:
            if which.fits(call):
                return rate if self._kept(call, rate) else None
        return 1.0

    def _kept(self, call: Call, rate: float) -> bool:
        if rate >= 1:
            return True
        try:
            return int(call.trace[-16:], 16) < rate * _WHOLE
        except ValueError:
            return self._draw() < rate


class Rates:
    """Token buckets by key: so many calls a second, and so many at once."""

    def __init__(self, rules: Sequence[Any]) -> None:
        self._lock = threading.RLock()  # a signal's handler may log while its thread holds it
        self._rules = []
        for each in rules:
            rule = _rule("rates", each, {"by", "per_second", "burst", "logger", "level"})
            by = rule.get("by", ["logger", "template"])
            names = (by,) if isinstance(by, str) else tuple(map(str, by))
            rate = _number("rates", rule, "per_second")
            burst = _number("rates", {"burst": max(1.0, rate), **rule}, "burst")
            buckets: dict[tuple[object, ...], tuple[float, float]] = {}
            self._rules.append((_which(rule), names, rate, burst, buckets))

    def admits(self, call: Call) -> bool:
        """Take a token of every bucket that counts for a call, until one has none; whether all had."""
        with self._lock:
            return all(
                _take(buckets, _key(names, call), call.time, rate, burst)
                for which, names, rate, burst, buckets in self._rules
                if which.fits(call)
            )


def _take(
    buckets: dict[tuple[object, ...], tuple[float, float]],
    key: tuple[object, ...],
    now: float,
    rate: float,
    burst: float,
) -> bool:
    held, since = buckets.pop(key, (burst, now))
    held = min(burst, held + max(0.0, now - since) * rate)
    if len(buckets) >= MAX_KEYS:
        del buckets[next(iter(buckets))]  # the one that was used longest ago
    buckets[key] = (held - 1 if held >= 1 else held, now)
    return held >= 1


def _key(names: Sequence[str], call: Call) -> tuple[object, ...]:
    own = {"logger": _cut(call.logger), "template": _cut(call.template), "level": call.level}
    return tuple(own[each] if each in own else shown(call.fields.get(each), 100) for each in names)


def _cut(name: str) -> str:
    return name[:MAX_TEMPLATE]


class Repeats:
    """Calls of one logger, level and template within a window: the first goes out, the rest are one entry."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._lock = threading.RLock()  # a signal's handler may log while its thread holds it
        self._open: dict[tuple[str, int, str], _Window] = {}
        self._over: list[_Window] = []

    def holds(self, call: Call, entry: Callable[[], dict[str, Any]]) -> bool:
        """Whether a call is a repeat, which is kept back; `entry` makes the entry that stands for it."""
        key = (_cut(call.logger), call.level, _cut(call.template))
        with self._lock:
            found = self._open.get(key)
            if found is None or not 0 <= call.time - found.began < self.seconds:
                if found is not None:
                    self._over.append(self._open.pop(key))
                if len(self._open) < MAX_KEYS:
                    self._open[key] = _Window(call.time)
                return False
            found.repeated += 1
        last = entry()  # the program's code runs in it, which may log: not under the lock
        with self._lock:
            found.last = last
        return True

    def ended(self, now: float) -> list[dict[str, Any]]:
        """Return entries for the repeats whose window has ended, each with `repeated`, and forget them."""
        with self._lock:
            for key in [k for k, each in self._open.items() if not 0 <= now - each.began < self.seconds]:
                self._over.append(self._open.pop(key))
            over, self._over = self._over, []
        return [{**each.last, "repeated": each.repeated} for each in over if each.last is not None]


class _Window:
    """When it began, how many calls it holds back, and the entry of the last of them."""

    __slots__ = ("began", "last", "repeated")

    def __init__(self, began: float) -> None:
        self.began = began
        self.repeated = 0
        self.last: dict[str, Any] | None = None


class Flow:
    """All three, for one client."""

    def __init__(self, options: Options, counts: Counts) -> None:
        self._counts = counts
        self._sampling = Sampling(options.sampling) if options.sampling else None
        self._rates = Rates(options.rates) if options.rates else None
        self.repeats = Repeats(options.repeats_seconds) if options.repeats_seconds else None

    @property
    def idle(self) -> bool:
        """Whether nothing is ever left out."""
        return self._sampling is None and self._rates is None and self.repeats is None

    def admits(self, call: Call, entry: Callable[[], dict[str, Any]]) -> float:
        """Return 0 where a call is left out, and counts it; else the part that is kept of calls like it."""
        rate = 1.0
        if self._sampling is not None:
            found = self._sampling.rate(call)
            if found is None:
                self._counts.add("sampled")
                return 0.0
            rate = found
        if self._rates is not None and not self._rates.admits(call):
            self._counts.add("rate")
            return 0.0
        if self.repeats is not None and self.repeats.holds(call, entry):
            self._counts.add("repeated")
            return 0.0
        return rate


def _wrong(says: str) -> Exception:
    from ._options import OptionsError

    return OptionsError(says)


def _rule(name: str, told: Any, known: set[str]) -> Mapping[str, Any]:
    if not isinstance(told, Mapping):
        raise _wrong(f"{name}: each rule is an object")
    wrong = set(told) - known
    if wrong:
        raise _wrong(f"{name}: there is no {min(map(str, wrong))!r}; there are {', '.join(sorted(known))}")
    return told


def _which(rule: Mapping[str, Any]) -> _Which:
    try:
        return _Which(str(rule.get("logger", "")), number_of(rule.get("level", OFF)))
    except (ValueError, AttributeError) as error:
        raise _wrong(f"level: {error}") from None


def _number(name: str, rule: Mapping[str, Any], of: str, most: float = 1e9) -> float:
    value = rule.get(of)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise _wrong(f"{name}: {of} is a number from 0 to {most:g}")
    return float(value)
