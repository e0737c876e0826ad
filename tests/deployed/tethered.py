"""Runs a program that ends with whoever started it, however they end: by kill -9 too, and on any Unix.

    python tests/deployed/tethered.py PROGRAM [ARGUMENT ...]

Standard input is the tether, a pipe that only the starter holds open. When it closes, or when the program
ends by itself, everything in this process group is killed, the program's own children with it. Start it in a
session of its own. It imports nothing of ours, so any Python runs it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def main() -> None:
    """Run the program that the command line names."""
    program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    program.wait()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
