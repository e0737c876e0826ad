"""Ten minutes of trouble, simulated: a sink that is down, flaps or throttles while entries are being sealed.

The deliverer, its stores (SQLite), its HTTP client and the target's server are the real ones; only time is
not: whoever sleeps moves it, so that ten minutes take some seconds. Afterwards the target is well, and time
goes on until everything has arrived or an hour is over. Each entry of the ledger is looked for by its place.

- *down*: connections are refused for ten minutes.
- *flapping*: 20 s up, 20 s down, over and over; the last request before it goes down is taken and its reply
  is lost, and while the server goes, kept connections hang up.
- *throttling*: the target takes half of what is sealed. Else it answers 429 with and without `Retry-After`,
  or 503 with HEC's codes 9 and 26; single items of a bulk request are put off; now and then a reply is lost.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.delivery_targets import KINDS, SECRET, Mood, Served
from sentinel.actions.deliver_tools import Counts
from sentinel.core.tasks import SECOND
from tests.deliveries import START, World

MINUTES: Final = 600.0
PATIENCE: Final = 3600.0  # seconds after the trouble
SEALED: Final = 102  # entries a second, over all chains
CHAINS: Final = ("shop/0", "shop/1", "pay/0")
RATE: Final = 1_000  # events a second: the plan's
PERIOD: Final = 20.0
NAME: Final = "all"


class Weather:
    """How the target is at a moment, `t` in seconds. This one is down until `end`."""

    def __init__(self, end: float = MINUTES) -> None:
        self.end = end
        self.turn = 0

    def up(self, t: float) -> bool:
        """Whether connections are taken."""
        return t >= self.end

    def mood(self, t: float) -> Mood:
        """How the next request is answered."""
        return Mood.GOOD if self.up(t) else Mood.HUNG

    def took(self, t: float, events: int) -> None:
        """Hear that events were looked at."""


class Flapping(Weather):
    """Up and down; the first request after it should have gone down is the one whose reply is lost."""

    def __init__(self, end: float = MINUTES) -> None:
        super().__init__(end)
        self._lost_in = -1

    def _should(self, t: float) -> bool:
        return t >= self.end or int(t // PERIOD) % 2 == 0

    def up(self, t: float) -> bool:
        """Whether connections are taken: until the reply was lost, for half a period at most."""
        period = int(t // PERIOD)
        return self._should(t) or (self._lost_in != period and t % PERIOD < PERIOD / 2)

    def mood(self, t: float) -> Mood:
        """Lose one reply, then hang up."""
        if self._should(t):
            return Mood.GOOD
        period = int(t // PERIOD)
        if self._lost_in == period:
            return Mood.HUNG
        self._lost_in = period
        return Mood.LOST


class Throttling(Weather):
    """Takes half of what is sealed: after each request it is busy for as long as that one's events take."""

    def __init__(self, end: float = MINUTES) -> None:
        super().__init__(end)
        self._free = 0.0

    def up(self, t: float) -> bool:
        """Take connections always."""
        del t
        return True

    def mood(self, t: float) -> Mood:
        """Busy, or one of the others in turns."""
        if t >= self.end:
            return Mood.GOOD
        if t < self._free:
            return Mood.BUSY
        self.turn += 1
        return {0: Mood.LOST, 2: Mood.PARTLY, 4: Mood.PARTLY}.get(self.turn % 6, Mood.GOOD)

    def took(self, t: float, events: int) -> None:
        """Be busy for a while."""
        self._free = max(self._free, t) + events / (SEALED / 2)


WEATHERS: Final[Mapping[str, Callable[[float], Weather]]] = {
    "down": Weather,
    "flapping": Flapping,
    "throttling": Throttling,
}


@dataclass
class Bucket:
    """Whether a pace was kept: `peak` is the most that ever stood in a bucket that `rate` a second empties.

    A pace of so many events a second with one second's burst never fills it over `rate`.
    """

    rate: float
    level: float = 0.0
    peak: float = 0.0
    t: float = 0.0
    total: int = field(default=0)

    def add(self, t: float, events: int) -> None:
        """Note that events came at `t`."""
        self.level = max(0.0, self.level - (t - self.t) * self.rate) + events
        self.t, self.peak, self.total = t, max(self.peak, self.level), self.total + events


class Troubled(World):
    """A world in which entries are sealed each second while the weather lasts, with a target that it hits."""

    def __init__(self, folder: Path, kind: str, weather: Weather) -> None:
        folder.mkdir(parents=True)
        super().__init__(folder)
        self.weather = weather
        self.arrived = Bucket(RATE)
        self.target = KINDS[kind](self._mood, self._took)
        self.sealed: dict[str, int] = dict.fromkeys(CHAINS, 0)
        self.caught_up = 0.0
        self._server: Served | None = Served(self.target)
        self._port = self._server.port
        self._rows = random.Random(5)
        self.secret("token", SECRET)
        self.sink("siem", kind=kind, url=f"http://127.0.0.1:{self._port}", token="token")
        self.plan(NAME, to="siem", rate=RATE)
        self._seconds = self._each_second()
        self.sleep(0)

    @property
    def t(self) -> float:
        """Seconds since the beginning."""
        return (self.now - START) / SECOND

    def sleep(self, seconds: float) -> None:
        """Let time pass; seal what is due, and have the target come and go."""
        self.now += int(seconds * SECOND)
        next(self._seconds)
        up = self.weather.up(self.t)
        if up and self._server is None:
            self._server = Served(self.target, self._port)
        elif not up and self._server is not None:
            self._server.stop()
            self._server = None

    def _each_second(self) -> Iterator[None]:
        second = 0
        while True:
            while second <= min(self.t, self.weather.end - 1):
                for chain in CHAINS:
                    self._seal(chain, SEALED // len(CHAINS))
                second += 1
            yield

    def _seal(self, chain: str, many: int) -> None:
        first = self.sealed[chain]
        noise = f"{self._rows.getrandbits(256):064x}".encode()
        line = b'{"n":%d,"level":"WARN","message":"request %d took too long","trace":"%s"}'
        self.log(chain, [line % (n, n, noise) for n in range(first, first + many)])
        self.sealed[chain] += many

    def _mood(self) -> Mood:
        return self.weather.mood(self.t)

    def _took(self, events: int) -> None:
        self.weather.took(self.t, events)
        self.arrived.add(self.t, events)

    def over(self) -> bool:
        """Whether the trouble is, and everything has arrived."""
        done = self.t >= self.weather.end and len(self.target.places) >= sum(self.sealed.values())
        if done and not self.caught_up:
            self.caught_up = self.t
        return done

    def delivered(self) -> Counts:
        """Run the delivery until all is over."""
        until = START + int((self.weather.end + PATIENCE) * SECOND)
        return self.deliverer().one(NAME, until, self.over)

    def lost(self) -> int:
        """Return how many sealed entries did not arrive, by their places."""
        return sum(
            (chain, seq) not in self.target.places
            for chain, many in self.sealed.items()
            for seq in range(many)
        )

    def close(self) -> None:
        """Stop the server, too."""
        super().close()
        if self._server is not None:
            self._server.stop()


def trouble(folder: Path, kind: str, name: str, end: float = MINUTES) -> dict[str, float]:
    """Run one kind of trouble at one kind of target; return the figures."""
    world = Troubled(folder, kind, WEATHERS[name](end))
    try:
        counts = world.delivered()
    finally:
        world.close()
    counted = world.target.counted
    print(f"{kind} {name}: {counted.requests} requests, answers {dict(sorted(counted.answers.items()))}")
    return {
        "sealed": sum(world.sealed.values()),
        "lost": world.lost(),
        "doubled": counted.doubled,
        "doubled_uncounted": max(0, counted.doubled - counts.twice),
        "counted_as_maybe_twice": counts.twice,
        "disorder": counted.disorder,
        "refused": counts.refused,
        "caught_up_after_s": (world.caught_up or world.t) - end,
        "peak_of_allowed": world.arrived.peak / RATE,
    }


def measured(folder: Path, end: float = MINUTES) -> dict[str, float]:
    """Run all of it; return the figures of each run and what counts of all."""
    figures: dict[str, float] = {}
    runs: dict[tuple[str, str], dict[str, float]] = {}
    for kind in KINDS:
        for name in WEATHERS:
            runs[kind, name] = trouble(folder / f"{kind}-{name}", kind, name, end)
            for figure in ("sealed", "doubled", "counted_as_maybe_twice", "caught_up_after_s"):
                figures[f"{kind}_{name}_{figure}"] = runs[kind, name][figure]
    for figure in ("lost", "refused", "disorder", "doubled_uncounted"):
        figures[figure] = sum(run[figure] for run in runs.values())
    figures["doubled_at_elastic"] = sum(
        run["doubled"] for (kind, _), run in runs.items() if kind == "elastic"
    )
    figures["peak_of_allowed"] = max(run["peak_of_allowed"] for run in runs.values())
    return figures
