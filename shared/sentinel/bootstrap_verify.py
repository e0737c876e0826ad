"""The wiring of verification: chains against what was signed of them, on all cores of the machine."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from sentinel.bootstrap_log import Logged
from sentinel.settings import Settings

if TYPE_CHECKING:
    from sentinel.core.notes import Key
    from sentinel.ports import Ledger
    from sentinel.usecases.bundle import Bundler
    from sentinel.usecases.course import Attested
    from sentinel.usecases.verify_chain import ChainVerification, Done, Job


class Verifying(Logged):
    """The use cases of verification, each made on first use."""

    @cached_property
    def attested(self) -> Attested:
        """What chains are verified against: the log's checkpoints."""
        from sentinel.usecases.course import Attested

        return Attested(self.notes, lambda: self.log_keys, tiles=self.tiles)

    @cached_property
    def verification(self) -> ChainVerification:
        """Verifies chains."""
        from sentinel.usecases.verify_chain import ChainVerification

        ledger = self.ledger
        return ChainVerification(ledger, self.attested, Processes(self.settings, ledger), cores())

    def verifying(self, witnesses: Sequence[Key], quorum: int) -> ChainVerification:
        """Return what verifies chains and their witnesses' cosignatures."""
        attested = replace(self.attested, witnesses=tuple(witnesses), quorum=quorum)
        return replace(self.verification, attested=attested)

    @cached_property
    def bundler(self) -> Bundler:
        """Makes bundles."""
        from sentinel.usecases.bundle import Bundler

        ledger = self.ledger
        return Bundler(ledger, self.notes, self.tiles, self.settings.log, lambda: self.log_keys)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Processes:
    """Checks runs of a chain on all cores: here, and in processes that open the stores by our settings."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger

    def __call__(self, jobs: Sequence[Job]) -> Iterable[Done]:
        """See `verify_chain.Spread`. Processes are started anew: a fork would share open databases.

        While they start this one works already, from the other end.
        """
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        from sentinel.usecases.verify_chain import check_run

        pool = ProcessPoolExecutor(max(1, cores() - 1), mp_context=get_context("spawn"))
        try:
            waiting = [pool.submit(check, self._settings, job) for job in jobs]
            mine = {}
            for at in reversed(range(len(jobs))):
                if waiting[at].cancel():  # nobody has begun it
                    mine[at] = check_run(self._ledger, jobs[at])
            for at, each in enumerate(waiting):
                yield mine[at] if at in mine else each.result()
        finally:
            pool.shutdown(cancel_futures=True)


@functools.cache
def _app(settings: Settings) -> Verifying:
    from sentinel.bootstrap import App

    return App(settings)


def check(settings: Settings, job: Job) -> Done:
    """Check a run in a process of its own."""
    from sentinel.usecases.verify_chain import check_run

    return check_run(_app(settings).ledger, job)
