"""Where a client keeps its lines: masked, in the write-ahead log on disk, and sent from there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ._counts import Counts
from ._options import MEGABYTE, Options, OptionsError
from ._outgoing import transports
from ._shipper import Pace, Shipper
from ._wal import Wal
from .privacy import Policy, Privacy

Tell = Callable[[Mapping[str, object]], None]


class Stored:
    """The log on disk of one client, and a shipper for each transport; `tell` gets what they have to say."""

    def __init__(self, options: Options, counts: Counts, tell: Tell) -> None:
        root = options.folder()
        outgoing = transports(options)
        self.wal = Wal(
            root,
            fsync=options.fsync,
            interval=options.fsync_seconds,
            max_bytes=options.disk_mb * MEGABYTE,
            when_full=options.when_full,
            block=options.block_seconds,
            segment_bytes=options.segment_mb * MEGABYTE,
            counts=counts,
            transports=[each.name for each in outgoing],
            bridge_bytes=options.memory_kb * 1024,
        )
        pace = Pace(
            max_entries=options.batch_entries,
            max_bytes=options.batch_kb * 1024,
            max_age=options.batch_seconds,
            timeout=options.timeout_seconds,
            exit=options.exit_seconds,
        )
        self.shippers = [Shipper(self.wal, each, counts, pace, tell=tell, root=root) for each in outgoing]
        self.threads = frozenset(f"sentinel-{each.name}" for each in outgoing)
        self.append = self.wal.append
        self.mask = privacy(options).line

    def wake(self) -> None:
        """Have the shippers run, which look for entries themselves from then on."""
        for shipper in self.shippers:
            shipper.wake()

    def flush(self, seconds: float) -> bool:
        """Send what is in the log now, within so many seconds; whether all transports have it."""
        return self._each(seconds, lambda shipper, left: shipper.flush(left))

    def close(self, seconds: float) -> bool:
        """Send what is there within so many seconds, and give the slot back; whether all is sent."""
        try:
            return self._each(seconds, lambda shipper, left: shipper.close(left))
        finally:
            self.wal.close()

    def stats(self) -> dict[str, Any]:
        """Return the state of the log, and that of each transport."""
        return {"log": self.wal.stats(), "transports": [each.stats() for each in self.shippers]}

    def _each(self, seconds: float, act: Callable[[Shipper, float], bool]) -> bool:
        """Do something with all shippers, one behind the other, within so many seconds together."""
        end = time.monotonic() + seconds
        for each in self.shippers:
            each.hurry()  # so that one that is down does not take the time of the others
        try:
            done = [act(each, max(0.0, end - time.monotonic())) for each in self.shippers]
        finally:
            for each in self.shippers:
                each.ease()
        return all(done)


def privacy(options: Options) -> Privacy:
    """Return what masks the entries of a client. Raises `OptionsError` for a policy that is none."""
    try:
        return Privacy(policy(options))
    except ValueError as error:
        raise OptionsError(str(error)) from None


def policy(options: Options) -> Policy:
    """Return the policy of options. Raises `OptionsError`."""
    try:
        return Policy.from_mapping(options.privacy, options.folder())
    except ValueError as error:
        raise OptionsError(str(error)) from None
