"""What `benchmarks.ledger_kills` kills: a tree of `sentinel up` without pauses, and a process that seals.

python -m benchmarks.ledger_kills_child tree HOME PORT
python -m benchmarks.ledger_kills_child seal HOME
"""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from sentinel.bootstrap import App
from sentinel.errors import Unavailable
from sentinel.local.lifeline import die_with_parent
from sentinel.local.supervisor import Supervisor, settings_for
from sentinel.settings import Settings


def tree(home: Path, port: int) -> None:
    """Run a tree; say where it is once it is up. What is killed is started again without a pause."""
    settings = settings_for(home, replace(Settings(), log_level="ERROR"))
    with Supervisor(settings, port, insecure=True, tell=lambda _: None, pauses=(0.0,)) as running:
        signal.signal(signal.SIGINT, lambda *_: running.stop.set())
        print(json.dumps({"url": running.url, "hooks": running.hooks}), flush=True)
        running.watch()


def seal(home: Path) -> None:
    """Sign checkpoints of every chain, again and again; say once that it begins."""
    app = App(replace(Settings(), home=str(home)))
    print("sealing", flush=True)
    while True:
        for chain in app.ledger.chains():
            try:
                app.sealer.seal(chain)
            except Unavailable:
                continue
        time.sleep(random.uniform(0, 0.3))


if __name__ == "__main__":
    die_with_parent()
    if sys.argv[1] == "tree":
        tree(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        seal(Path(sys.argv[2]))
