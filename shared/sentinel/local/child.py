"""The child processes of `sentinel up`: `python -m sentinel.local.child ROLE`, which the supervisor starts.

Roles: `gateway` (its sockets are inherited; further arguments are its mode and the numbers of their file
descriptors, that of the service API first), `feeds` (ledger to detect, tasks to dispatch, the schedules of
the sweep, of sealing and of the archive), `work_siem`, `work_action` and `work_patches`, which run several
tasks at once, and `deliver`, the deliveries. `work_patches` is three workers in one process, which waits
until a repository or a model is in force: most deployments make few patches or none.
Settings come by the environment, as in Lambda.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from sentinel.errors import SentinelError
from sentinel.local import lifeline

# Where processors are scarce, acknowledging comes first: what is stored can be looked at a moment later.
NICENESS = 5
PATCHES = "work_patches"
WORKERS = ("work_siem", "work_action", PATCHES)
LATER = 2.0  # seconds that patches wait, while everything else starts
LOOK = 1.0  # seconds between two looks whether there is anything that patches are made for
PATCHERS = 2  # threads for each of these streams: a proof takes a processor for minutes


def main(role: str, *rest: str) -> int:
    """Run one role until SIGTERM, or until the supervisor is gone."""
    stop = lifeline.stop_of_child()
    if role != "gateway":
        os.nice(NICENESS)
    if role == PATCHES and not _wanted(stop):
        return 0
    _log_to_stderr()
    if role == "gateway":
        _gateway(rest[0], [int(each) for each in rest[1:]], stop)
    elif role == "feeds":
        _feeds(stop)
    elif role in WORKERS:
        _work(role, stop)
    elif role == "deliver":
        _deliver(stop)
    else:
        raise SystemExit(f"there is no role {role}")
    return 0


def _wanted(stop: lifeline.Stop) -> bool:
    """Wait until a repository or a model is in force: before that there is nothing to do, or to import."""
    from sentinel.local.home import names_of_patches
    from sentinel.settings import Settings

    home = Path(Settings.from_environ(os.environ).home)
    if stop.wait(LATER):
        return False
    while not names_of_patches(home):
        if stop.wait(LOOK):
            return False
    return True


def _log_to_stderr() -> None:
    from sentinel.bootstrap import bootstrap

    logging.basicConfig(
        level=bootstrap().settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


def _gateway(mode: str, fds: list[int], stop: lifeline.Stop) -> None:
    import asyncio
    import socket

    from sentinel.local import fronts, listeners

    async def run() -> None:
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_reader(stop.fd, stopped.set)
        sockets = [socket.socket(fileno=fd) for fd in fds]
        await listeners.serve(fronts.build(mode, *sockets), stopped)

    asyncio.run(run())


def _feeds(stop: lifeline.Stop) -> None:
    from sentinel.adapters.sqlite_counters import SqliteCounters
    from sentinel.adapters.sqlite_cursors import SqliteCursors
    from sentinel.adapters.sqlite_expiring import SqliteExpiring
    from sentinel.adapters.sqlite_ledger import SqliteLedger
    from sentinel.adapters.sqlite_tasks import SqliteTasks
    from sentinel.bootstrap import bootstrap
    from sentinel.local import feeds, functions, home, loops
    from sentinel.local.upkeep import Upkeep

    app = bootstrap()
    ledger, tasks, counters = app.segments, app.tasks, app.counters
    assert isinstance(ledger, SqliteLedger)  # noqa: S101 - the supervisor refuses tables in AWS
    assert isinstance(tasks, SqliteTasks)  # noqa: S101 - as above
    assert isinstance(counters, SqliteCounters)  # noqa: S101 - as above
    with contextlib.suppress(SentinelError):
        app.playbook.current()  # reading rules takes a second: better now than when the first entry comes
    cursors = SqliteCursors(app.home / home.FEEDS_DB)
    both = (
        feeds.Feed("detect", feeds.ledger_changes(ledger), functions.load("detect"), cursors, stop),
        feeds.Feed("dispatch", feeds.task_changes(tasks), functions.load("dispatch"), cursors, stop),
    )
    threads = [threading.Thread(target=feed.run, name=feed.name) for feed in both]
    sweep = (loops.SWEEP_SECONDS, "sweep", functions.load("sweep"), stop)
    threads.append(threading.Thread(target=loops.every, args=sweep, name="sweep"))
    seal = (functions.load("seal"), stop)
    threads.append(threading.Thread(target=loops.seal, args=seal, name="seal"))
    upkeep = Upkeep(ledger, tasks, counters, cursors, time.time_ns)
    upkeep = replace(upkeep, expiring=SqliteExpiring(app.home / "ledger.db"), archive=app.archive)
    threads.append(threading.Thread(target=upkeep.run, args=(stop,), name="upkeep"))
    archive = (functions.load("archive"), stop)
    threads.append(threading.Thread(target=loops.archive, args=archive, name="archive"))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _deliver(stop: lifeline.Stop) -> None:
    from sentinel.local import functions, loops

    loops.every(loops.DELIVER_SECONDS, "deliver", functions.load("deliver"), stop)


def _work(role: str, stop: lifeline.Stop) -> None:
    from sentinel.bootstrap import bootstrap
    from sentinel.core.pauses import PATCHING
    from sentinel.local import functions, loops

    app, patches = bootstrap(), role == PATCHES
    streams = PATCHING if patches else (role.removeprefix("work_"),)
    count = min(app.settings.worker_threads, PATCHERS) if patches else app.settings.worker_threads
    # Each thread waits for hints of its own, so that a step which takes long keeps no other task waiting.
    threads = []
    for stream in streams:
        app.executor(stream)  # makes what the threads share, before there are any
        function = f"work_{stream}"
        args = (function, functions.load(function), stop, loops.seconds_of(stream))
        threads += [
            threading.Thread(target=loops.work, name=f"{function}-{number}", args=args)
            for number in range(count)
        ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
