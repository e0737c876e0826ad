"""A delivering process to be killed: it delivers what is in a folder to a sink until it is.

    python -m tests.faults.delivering HOME PLAN URL

For each line on standard input it forks one and answers with its process id.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from unittest import mock

from sentinel.actions import deliver_store
from sentinel.core.tasks import SECOND
from tests.deliveries import World

LEASE = SECOND // 2


def world(home: Path, url: str) -> World:
    """Return the world of a folder, in real time: two plans, one to a file and one to an Elasticsearch."""
    found = World(home)
    found.secret("key", "k")
    found.file()
    found.sink("elastic", kind="elastic", url=url, token="key", timeout=2)
    found.plan("files", to="file", batch={"events": 40, "within": "20ms"})
    found.plan("bulk", to="elastic", parallel=2, batch={"events": 30, "within": "20ms"})
    found.clock = time.time_ns  # type: ignore[method-assign]
    found.sleep = time.sleep  # type: ignore[assignment,method-assign]
    return found


def main() -> None:
    """Fork a deliverer for each line of standard input; see the module."""
    home, url = Path(sys.argv[1]), sys.argv[2]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the killed are reaped by the kernel
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            with (
                mock.patch.object(deliver_store, "LEASE", LEASE),
                mock.patch("sentinel.actions.deliver_session.LEASE", LEASE),
            ):
                until = time.time_ns() + 60 * SECOND
                world(home, url).deliverer(str(os.getpid())).run(until, lambda: False)
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
