"""The write-ahead log against a model of it: any sequence of what processes, shippers and disks do."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sentinel_client._wal import Wal
from tests.clients.wal_cases import Faulty, always, counts, entry, make, numbers, segments, ship
from tests.sampling import thorough

BUDGET = 6000


class Log(RuleBasedStateMachine):
    """One slot, used by one process after another: what `append` numbered is sent once, or counted."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.disk = Faulty(always())
        self.given: list[int] = []  # the value of each number
        self.sent: dict[str, dict[int, int]] = {"http": {}, "file": {}}
        self.batches: dict[tuple[str, int, int], list[int]] = {}
        self.counted = {"evicted": 0, "corrupt": 0}
        self.value = 0
        self.killed = False
        self.wal = self._open()

    def _open(self) -> Wal:
        return make(
            self.root,
            disk=self.disk,
            max_bytes=BUDGET,
            segment_bytes=700,
            transports=("http", "file"),
            fsync="never",
        )

    def _note_counts(self) -> None:
        for name, count in counts(self.wal).items():
            # Of what is evicted between others that stay, a kill can come before that is noted.
            assert name in ("evicted", "unsynced") or (name == "corrupt" and self.killed)
            self.counted[name] = self.counted.get(name, 0) + count

    @rule(count=st.integers(1, 12), size=st.integers(0, 400))
    def append(self, count: int, size: int) -> None:
        """Log some entries, whether the disk takes them or not."""
        for _ in range(count):
            assert self.wal.append(entry(self.value, size)) == len(self.given)
            self.given.append(self.value)
            self.value += 1

    @rule(transport=st.sampled_from(["http", "file"]), most=st.integers(1, 20))
    def send(self, transport: str, most: int) -> None:
        """Send a batch, and have it acknowledged."""
        ship(self.wal, transport, lambda *batch: self._arrive(transport, *batch), most)

    @rule(transport=st.sampled_from(["http", "file"]), most=st.integers(1, 20))
    def send_and_die(self, transport: str, most: int) -> None:
        """Be killed between sending a batch and its acknowledgement."""

        class Killed(Exception):
            """In the place of SIGKILL."""

        def send(*batch: object) -> None:
            self._arrive(transport, *batch)  # type: ignore[arg-type] # as they are sent
            raise Killed

        if self.wal.stats()["bridged"]:
            return
        try:
            ship(self.wal, transport, send, most)
        except Killed:
            self.crash(torn=most)

    def _arrive(self, transport: str, producer: str, first: int, count: int, lines: list[bytes]) -> None:
        values = numbers(lines)
        key = (transport, first, count)
        if key in self.batches:
            assert self.batches[key] == values
        self.batches[key] = values
        for value in values:
            number = self.given.index(value, first, first + count)
            known = self.sent[transport].setdefault(number, value)
            assert known == value
        assert len(values) <= count

    @precondition(lambda self: not self.wal.stats()["bridged"])
    @rule(torn=st.integers(0, 60))
    def crash(self, torn: int) -> None:
        """Be killed while a write is under way, a part of which is there; go on as another process."""
        self.disk.plan = always()
        self.killed = True
        store = self.wal._journal.store
        self._note_counts()
        if store is not None:
            if store.writer.fd >= 0:
                os.pwrite(store.writer.fd, random.Random(torn).randbytes(torn), store.writer.end)
            for fd in [store.writer.fd, *store.retired.values()]:
                if fd >= 0:
                    os.close(fd)
            store.slot.release()
            self.wal._journal.store = None  # a test that forks would close its descriptors once more
        if self.wal._keeper is not None:
            self.wal._keeper.stop()
        self.wal = self._open()

    @rule()
    def reopen(self) -> None:
        """End in order, and go on."""
        self.disk.plan = always()
        self.wal.close()
        self._note_counts()
        self.wal = self._open()

    @rule(what=st.sampled_from([("pwrite",), ("open",), ("pwrite", "open", "replace", "sync", "mkdir")]))
    def break_disk(self, what: tuple[str, ...]) -> None:
        """Have the disk fail from now on, once the slot is taken."""
        self.wal.producer  # noqa: B018 # it takes its slot
        self.disk.plan = always(*what)

    @rule()
    def mend_disk(self) -> None:
        """Have the disk work again, and the keeper notice."""
        self.disk.plan = always()
        self.wal.keep()

    @rule()
    def sync(self) -> None:
        """Sync."""
        self.wal.sync()

    @invariant()
    def the_budget_holds(self) -> None:
        """No more is on disk than may be, but for a torn tail that nobody has looked at yet."""
        assert (
            self.wal._journal.store is None
            or sum(path.stat().st_size for path in segments(self.root)) <= BUDGET
        )

    def teardown(self) -> None:
        """Send what is left: all entries have arrived, but for as many as were counted."""
        self.disk.plan = always()
        self.wal.keep()
        for transport in ("http", "file"):
            while ship(self.wal, transport, lambda *batch, to=transport: self._arrive(to, *batch)):
                pass
        assert self.wal.drained()
        self._note_counts()
        missing = [
            number
            for number in range(len(self.given))
            if any(number not in arrived for arrived in self.sent.values())
        ]
        assert len(missing) <= self.counted["evicted"] + self.counted["corrupt"]
        assert self.wal.next() == len(self.given)
        self.wal.close()
        shutil.rmtree(self.root)


TestLog = Log.TestCase
TestLog.settings = settings(max_examples=400 if thorough() else 12, stateful_step_count=40, deadline=None)
