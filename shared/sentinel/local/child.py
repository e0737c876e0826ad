"""The child processes of `sentinel up`: `python -m sentinel.local.child ROLE`, which the supervisor starts.

Roles: `gateway` (its socket is inherited; the file descriptor's number is the second argument), `feeds`
(ledger to detect, tasks to dispatch, the sweep's schedule), `work_siem` and `work_action`. Settings come by
the environment, as in Lambda.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading

from sentinel.errors import SentinelError
from sentinel.local import lifeline

WORKERS = ("work_siem", "work_action")


def main(role: str, *rest: str) -> int:
    """Run one role until SIGTERM, or until the supervisor is gone."""
    stop = lifeline.stop_of_child()
    _log_to_stderr()
    if role == "gateway":
        _gateway(int(rest[0]), stop)
    elif role == "feeds":
        _feeds(stop)
    elif role in WORKERS:
        _work(role, stop)
    else:
        raise SystemExit(f"there is no role {role}")
    return 0


def _log_to_stderr() -> None:
    from sentinel.bootstrap import bootstrap

    logging.basicConfig(
        level=bootstrap().settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


def _gateway(fd: int, stop: lifeline.Stop) -> None:
    import asyncio
    import socket

    from sentinel.local import gateway

    async def run() -> None:
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_reader(stop.fd, stopped.set)
        await gateway.serve(socket.socket(fileno=fd), stopped)

    asyncio.run(run())


def _feeds(stop: lifeline.Stop) -> None:
    from sentinel.adapters.sqlite_counters import SqliteCounters
    from sentinel.adapters.sqlite_cursors import SqliteCursors
    from sentinel.adapters.sqlite_ledger import SqliteLedger
    from sentinel.adapters.sqlite_tasks import SqliteTasks
    from sentinel.bootstrap import bootstrap
    from sentinel.local import feeds, functions, home, loops, tidy

    app = bootstrap()
    ledger, tasks, counters = app.ledger, app.tasks, app.counters
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
    prunes = {"detect": ledger.prune, "dispatch": tasks.prune}
    old = (cursors, prunes, counters.forget, stop)
    threads.append(threading.Thread(target=tidy.run, args=old, name="tidy"))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _work(role: str, stop: lifeline.Stop) -> None:
    from sentinel.local import functions, loops

    loops.work(role, functions.load(role), stop)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
