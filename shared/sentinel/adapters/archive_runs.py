"""What both archives have in common: runs as objects, each named by its first entry, put once.

Since a run begins where the archive ended, and of any number that put one name exactly one succeeds, runs
neither overlap nor leave gaps, whoever crashed in between. The next run's name is the end of the one before,
so that reading on needs no listing.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from sentinel.adapters.archive_kept import KeptRuns
from sentinel.core.payload import Opener
from sentinel.core.runs import Run, alike, check_linked, commitment, decode, end_of
from sentinel.core.segment import Segment
from sentinel.errors import Conflict, Tampered, Unavailable

LAST = 10**16 - 1  # no chain has an entry of this number: names of objects have as many digits
_TRIES = 8


class Runs(ABC):
    """`ports_log.Archive` on objects. `opener` decrypts what is read, where it is encrypted.

    `clock` gives epoch seconds.
    """

    def __init__(self, opener: Opener | None, clock: Callable[[], float] = time.time) -> None:
        self._opener = opener
        self._kept = KeptRuns(clock)

    @abstractmethod
    def put(self, run: Run) -> bool:
        """Store a run if none has its first entry; return whether it was."""

    @abstractmethod
    def get(self, chain: str, first: int) -> tuple[bytes, str] | None:
        """Return the bytes of the run that begins at `first`, and their version."""

    @abstractmethod
    def version(self, chain: str, first: int) -> str | None:
        """Return the version of the run that begins at `first`, as `get` does; None where there is none."""

    @abstractmethod
    def begin(self, chain: str, first: int) -> bytes:
        """Return the first `BEGIN_BYTES` bytes of that run."""

    @abstractmethod
    def replace_run(self, run: Run, version: str) -> bool:
        """Put a run in the place of what still is of this version; return whether it was."""

    @abstractmethod
    def newest_at(self, chain: str, seq: int) -> int | None:
        """Return where the last run begins that begins at `seq` or before it."""

    @abstractmethod
    def tidy(self, chain: str) -> str:
        """See `ports_log.Archive`."""

    @abstractmethod
    def chains(self) -> Iterator[str]:
        """See `ports_log.Archive`."""

    def store(self, chain: str, segments: list[Segment]) -> None:
        """See `ports_log.Archive`. Raises `Tampered` for what is no run."""
        check_linked(chain, segments)
        run = Run(tuple(segments))
        if self.put(run):
            return
        found = self._run(chain, run.first)
        if found is None or len(found.segments) != len(segments):
            raise Conflict(f"the archive has another run of {chain} from entry {run.first} on")
        if not all(map(alike, found.segments, segments)):
            raise Conflict(f"the archive has other segments of {chain} from entry {run.first} on")

    def replace(self, segment: Segment, before: Segment) -> bool:
        """See `ports_log.Archive`."""
        return self.replace_all([(segment, before)])

    def replace_all(self, changes: Sequence[tuple[Segment, Segment]]) -> bool:
        """See `ports_log.Archive`."""
        left = list(changes)
        while left:
            chain, seq = left[0][0].chain, left[0][0].first
            first = self.newest_at(chain, seq)
            done = 0 if first is None else self._replaced(chain, first, left)
            if not done:
                return False
            left = left[done:]
        return True

    def _replaced(self, chain: str, first: int, changes: Sequence[tuple[Segment, Segment]]) -> int:
        """Replace those segments that a run holds; return how many, 0 where one of them is another."""
        for _ in range(_TRIES):
            stored = self.get(chain, first)
            if stored is None:
                return 0
            raw, version = stored
            run = decode(chain, first, raw, self._opener)
            mine = [each for each in changes if each[0].first < run.end]
            # Others erase and encrypt anew, too: what they took out may not come back.
            now = {each.first: each for each in run.segments}
            if not all(now.get(new.first) in (before, new) for new, before in mine):
                return 0
            changed = run.with_segments([new for new, _ in mine])
            if changed is None:
                return 0
            if changed == run or self.replace_run(changed, version):
                return len(mine)
        raise Unavailable(f"others keep changing what is archived of {chain}", 0.2)

    def end(self, chain: str) -> int:
        """See `ports_log.Archive`."""
        first = self.newest_at(chain, LAST)
        return 0 if first is None else end_of(chain, first, self.begin(chain, first))

    def at(self, chain: str, seq: int) -> Segment | None:
        """See `ports_log.Archive`."""
        first = self.newest_at(chain, seq)
        run = None if first is None else self._run(chain, first)
        return None if run is None else run.at(seq)

    def holds(self, segment: Segment) -> bool:
        """See `ports_log.Archive`.

        An object is read again only where it is of another version than what is kept of it.
        """
        chain, digest = segment.chain, commitment(segment)
        if self._kept.has(chain, segment.first, digest):
            return True
        first = self.newest_at(chain, segment.first)
        if first is None:
            return False
        known = self._kept.get(chain, first)
        if known is not None and self.version(chain, first) == known.version:
            self._kept.renew(chain, known)
            return digest in known.digests
        stored = self.get(chain, first)
        if stored is None:
            self._kept.forget(chain, first)
            return False
        return digest in self._kept.keep(decode(chain, first, stored[0]), stored[1]).digests

    def read(self, chain: str, first: int = 0) -> Iterator[Segment]:
        """See `ports_log.Archive`. Raises `Tampered` where a run is gone, or not linked to the one before."""
        at = self.newest_at(chain, first) if first else 0
        before: tuple[Segment, ...] = ()
        while at is not None and (run := self._run(chain, at)) is not None:
            check_linked(chain, (*before, run.segments[0]))
            # Copies, as whoever opens one keeps what it unpacks to: a run may come to gigabytes of that.
            yield from (replace(each) for each in run.segments if each.first >= first)
            before, at = run.segments[-1:], run.end
        newest = None if at is None else self.newest_at(chain, LAST)
        if at is not None and newest is not None and newest >= at:
            raise Tampered(chain, at, "archive", "what was archived from here on is gone")

    def _run(self, chain: str, first: int) -> Run | None:
        stored = self.get(chain, first)
        return None if stored is None else decode(chain, first, stored[0], self._opener)
