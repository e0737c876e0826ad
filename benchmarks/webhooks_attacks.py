"""What is tried at webhooks, each way of each source: the messages that must be refused, or recognised.

Every attack begins with a genuine message that has been taken. A try counts as stopped when it is refused, or
when its answer is the genuine message's own receipt, and when nothing more is in the chain afterwards. Who
shows a secret does not sign the body: there an altered body is another message, which is counted apart, and
must not get the first one's receipt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import orjson

from benchmarks.webhooks_ways import Way
from benchmarks.webhooks_world import World, numbered
from sentinel.core.window import WINDOW
from tests.webhooks.senders import NOW, first

DECOY: Final = "whsec_" + "A" * 43 + "="  # what unknown webhooks are checked against
SHORT: Final = ("", "x", "whsec_", "a" * 15)
WRONG: Final = ("", " ", "ü", "\0", "v1,", "Bearer ", "Basic ", "0" * 64)
Line = tuple[str, str]


@dataclass(frozen=True)
class Try:
    """One request: its header lines, its body, how many seconds later, and where else than at the webhook."""

    lines: tuple[Line, ...]
    body: bytes
    later: int = 0
    source: str = ""
    hook: str = ""


@dataclass(frozen=True)
class Genuine:
    """A genuine message of a way, at its webhook."""

    way: Way
    hook: str

    @property
    def body(self) -> bytes:
        """A body of the source that tells something."""
        return first(self.way.source)

    def lines(self, body: bytes | None = None, secret: str = "", now: int = NOW) -> tuple[Line, ...]:
        """Return the headers with which the sender would send a body."""
        sender = self.way.sender
        signed = sender.sign(self.body if body is None else body, secret or sender.secret, now)
        return (("content-type", "application/json"), *signed.items())

    def proofs(self) -> list[str]:
        """Return the names of the headers that prove."""
        return [name for name, _ in self.lines()[1:]]

    def secrets(self) -> list[str]:
        """Return the names of those that come of the secret."""
        other = dict(self.lines(secret=self.way.sender.other))
        return [name for name, value in self.lines()[1:] if other[name] != value]

    def changed(self, name: str, value: str) -> tuple[Line, ...]:
        """Return the headers with another value of one."""
        return tuple((each, value if each == name else kept) for each, kept in self.lines())


def wrong_signature(good: Genuine) -> Iterator[Try]:
    """Change each of the last characters of what proves, cut it, prolong it, or put something else there."""
    for name in good.secrets():
        value = dict(good.lines())[name]
        for at in range(len(value) - 40, len(value)):
            flipped = value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]
            yield Try(good.changed(name, flipped), good.body)
        for other in (*WRONG, value[:-1], value + "A", value.swapcase(), value[::-1]):
            yield Try(good.changed(name, other), good.body)


def wrong_secret(good: Genuine) -> Iterator[Try]:
    """Prove with another secret: a stranger's, the decoy's, one too short, another webhook's."""
    for secret in (good.way.sender.other, DECOY, *SHORT[1:]):
        yield Try(good.lines(secret=secret), good.body)


def elsewhere(good: Genuine) -> Iterator[Try]:
    """Send the genuine message to another webhook, a disabled one, none, and as another source."""
    source, other = good.way.source, "sentry" if good.way.source != "sentry" else "pagerduty"
    for at in (f"{good.hook}-other", f"{good.hook}-shut", "nobody", ""):
        yield Try(good.lines(), good.body, source=source, hook=at)
    yield Try(good.lines(), good.body, source=other, hook=good.hook)
    yield Try(good.lines(), good.body, source="nothing", hook=good.hook)


def altered_body(good: Genuine) -> Iterator[Try]:
    """Change a bit at many places, cut, prolong, write anew, empty."""
    body = good.body
    for at in range(0, len(body), max(1, len(body) // 16)):
        yield Try(good.lines(), body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :])
    for other in (body + b" ", b" " + body, body[:-1], b"", b"{}", orjson.dumps(orjson.loads(body))):
        yield Try(good.lines(), other)


def replayed_body(good: Genuine) -> Iterator[Try]:
    """Send the same again: at once, later, an hour later, with other values in what nobody signs."""
    for later in (0, 0, 29, 3600):
        yield Try(good.lines(), good.body, later=later)
    more = (("request-id", "other"), ("sentry-hook-timestamp", "1"), ("user-agent", "replay/1"))
    yield Try((*good.lines(), *more), good.body)
    yield Try(tuple(reversed(good.lines())), good.body)
    yield Try(tuple((name.title(), value) for name, value in good.lines()), good.body)


def missing_header(good: Genuine) -> Iterator[Try]:
    """Leave out each header that proves, and all of them."""
    for name in good.proofs():
        yield Try(tuple(line for line in good.lines() if line[0] != name), good.body)
    yield Try(good.lines()[:1], good.body)
    yield Try((), good.body)


def header_twice(good: Genuine) -> Iterator[Try]:
    """Send each header that proves twice, right and wrong in either order, in one spelling and in two."""
    for name in good.proofs():
        value = dict(good.lines())[name]
        for values in ((value, value), ("x", value), (value, "x")):
            for spelling in (name, name.title()):
                rest = [line for line in good.lines() if line[0] != name]
                yield Try((*rest, (name, values[0]), (spelling, values[1])), good.body)


def stale_time(good: Genuine) -> Iterator[Try]:
    """Where a time is signed: a second too old, too early, by far, and a new time with the old signature."""
    if not good.way.sender.dated:
        return
    tolerance = int(good.way.sender.options.get("tolerance", "300"))
    for off in (tolerance + 1, -tolerance - 1, 86_400, -86_400, 10**9):
        yield Try(good.lines(now=NOW - off), good.body)
    yield Try(good.lines(), good.body, later=tolerance + 1)
    (clock,) = [name for name in good.proofs() if name not in good.secrets() and name != "webhook-id"]
    value = dict(good.lines())[clock]
    for other in (str(int(value) + 1), "-1", "9" * 40, f"{value}.0", "", "now"):
        yield Try(good.changed(clock, other), good.body)


ATTACKS: Mapping[str, Callable[[Genuine], Iterator[Try]]] = {
    "wrong signature": wrong_signature,
    "wrong secret": wrong_secret,
    "elsewhere": elsewhere,
    "altered body": altered_body,
    "replayed body": replayed_body,
    "missing header": missing_header,
    "header twice": header_twice,
    "stale time": stale_time,
}


@dataclass
class Tally:
    """What came of the tries of one attack; `other` are altered bodies that were not signed."""

    tries: int = 0
    refused: int = 0
    recognised: int = 0
    other: int = 0

    @property
    def stopped(self) -> int:
        """Those that did nothing."""
        return self.refused + self.recognised

    def add(self, more: Tally) -> None:
        """Add what came of others."""
        self.tries += more.tries
        self.refused += more.refused
        self.recognised += more.recognised
        self.other += more.other


def tallied(world: World, way: Way) -> dict[str, Tally]:
    """Try everything at one way; return what came of each attack.

    Raises `SystemExit` where the genuine message is not taken, or a chain grew by what should not be there.
    """
    hook = f"{way.source}-{sha256(way.name.encode()).hexdigest()[:12]}"
    for each in (hook, f"{hook}-other", f"{hook}-shut"):
        secret = way.sender.secret if each == hook else way.sender.other
        world.add(each, way.source, way.sender.options, secret)
    world.disable(f"{hook}-shut")
    good = Genuine(way, hook)
    return attacked(world, way.source, hook, good.lines(), good.body, _tries(good), covers=way.sender.covers)


def _tries(good: Genuine) -> dict[str, Iterable[Try]]:
    return {name: attack(good) for name, attack in ATTACKS.items()}


def attacked(
    world: World,
    source: str,
    hook: str,
    lines: Iterable[Line],
    body: bytes,
    attacks: Mapping[str, Iterable[Try]],
    *,
    covers: bool,
) -> dict[str, Tally]:
    """Have the genuine message taken, try the attacks, and count."""
    world.now = float(NOW)
    receipt = world.tried(source, hook, lines, body)
    if receipt is None:
        raise SystemExit(
            f"{source} {hook}: the genuine message is refused, so that nothing else means anything"
        )
    world.restart()
    found: dict[str, Tally] = {}
    for name, tries in attacks.items():
        tally, before = Tally(), _size(world, hook)
        for each in tries:
            _count(world, each, (source, hook), receipt, tally)
        if name == "altered body" and not covers:
            tally.other = tally.tries - tally.stopped
        elif _size(world, hook) != before:
            print(f"THE CHAIN GREW: {source} {hook}: {name}")
            tally.refused = tally.recognised = 0
        found[name] = tally
    return found


def remembered(world: World, way: Way) -> bool:
    """Say whether a replay does nothing after so many further messages that the chain forgot the first.

    Where a time is signed it is refused by then, an hour later.
    """
    hook = f"{way.source}-remembered"
    world.add(hook, way.source, way.sender.options, way.sender.secret)
    good = Genuine(way, hook)
    world.now = float(NOW)
    receipt = world.receive(way.source, hook, good.lines(), good.body)
    for number in range(1_000, 1_000 + WINDOW):  # no number that a golden has
        body = numbered(way.source, good.body, number)
        world.receive(way.source, hook, good.lines(body), body)
    world.now = float(NOW + 3600)
    answer = world.tried(way.source, hook, good.lines(), good.body)
    return answer is None or answer == receipt


def _count(world: World, each: Try, at: tuple[str, str], receipt: Mapping[str, object], tally: Tally) -> None:
    source, hook = each.source or at[0], each.hook if each.source else at[1]
    world.now = float(NOW + each.later)
    answer = world.tried(source, hook, each.lines, each.body)
    tally.tries += 1
    tally.refused += answer is None
    same_message = (source, hook) == at and answer == receipt
    tally.recognised += same_message
    world.now = float(NOW)


def _size(world: World, hook: str) -> int:
    return sum(len(world.entries(each)) for each in (hook, f"{hook}-other", f"{hook}-shut"))
