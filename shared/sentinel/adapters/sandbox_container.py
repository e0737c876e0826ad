"""A sandbox for inside of a build container that is one itself: no namespaces can be made there.

The container is what keeps the program from the host and, by its subnet, from the network. This keeps it
from what else is in the container: a user of its own for each run, limits, no rights, none of our variables
and descriptors, the filter of system calls, and an end for all that runs as that user. Where that is allowed
it has a network namespace of its own, too. It sees what everybody in the container may read. It is chosen by
name only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from sentinel.adapters import sandbox_filter, sandbox_view
from sentinel.adapters.sandbox_bwrap import own_user
from sentinel.adapters.sandbox_run import PROGRAM, Place, Supervised, Task, job, seen_variables, started
from sentinel.core.proving import Limits, Ran
from sentinel.errors import Unavailable

EVERYBODYS: Final = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 # where any user may leave files
# Begun by root, since the user may not get to the interpreter. The signal reaches what is the user's alone.
_KILL = """
import os, sys
uid = int(sys.argv[1])
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
os.kill(-1, 9)
"""


class Container:
    """`Sandbox` by a user of its own. Only root can make one. Share it by threads."""

    def run(
        self,
        files: Sequence[tuple[str, str, bytes]],
        command: Sequence[str],
        limits: Limits,
        *,
        environment: str = "",
        variables: Sequence[tuple[str, str]] = (),
        bring: Sequence[str] = (),
        stopped: Callable[[], bool] = lambda: False,
    ) -> Ran:
        """See `Sandbox`. `environment` has to be readable by everybody."""
        if os.geteuid() != 0:
            raise Unavailable("a build container's sandbox is made by root; outside of one use bubblewrap")
        with ExitStack() as held:
            uid = held.enter_context(own_user())
            folder = _folder(held, uid)
            place = _place(folder, limits, uid)
            task = Task(files, command, limits, seen_variables(environment, place, variables), bring)
            parts = job(task, place)
            process, answer = _started(held)
            kill = partial(_kill, process, uid)
            held.callback(kill)
            return Supervised(task, stopped, kill).run(process, answer, parts)


def _place(folder: Path, limits: Limits, uid: int) -> Place:
    """Say where things are: all below one folder, though there are others that everybody may write to."""
    work, home, temporary = (f"{folder}/{name}" for name in ("work", "home", "tmp"))
    disks = tuple((path, limits.disk) for path in dict.fromkeys((str(folder.parent), *EVERYBODYS)))
    return Place(work, home, temporary, disks, mounted=False, uid=uid, filter=sandbox_filter.program())


def _folder(held: ExitStack, uid: int) -> Path:
    """Return a folder that is the user's alone; in the end it is gone, with what else the user left."""
    folder = Path(tempfile.mkdtemp(prefix="sentinel-sandbox-"))
    held.callback(_remove, folder, uid)
    os.chown(folder, uid, uid)
    return folder


def _remove(folder: Path, uid: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for place in map(Path, EVERYBODYS):
        for path in place.iterdir() if place.is_dir() else ():
            try:
                if path.lstat().st_uid == uid:
                    _remove_one(path)
            except FileNotFoundError:
                continue


def _remove_one(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)  # safe against links that are put in its way
    else:
        path.unlink()


def _started(held: ExitStack) -> tuple[subprocess.Popen[bytes], int]:
    """Start the program that becomes the user by itself. Return it, and where its answer is read."""
    ours, theirs = os.pipe()
    held.callback(os.close, ours)
    try:
        command = (sandbox_view.interpreter(), "-I", "-S", "-B", "-c", PROGRAM, str(theirs))
        process = held.enter_context(started(command, (theirs,)))
    finally:
        os.close(theirs)
    return process, ours


def _running(uid: int) -> Iterator[str]:
    """Yield the processes of a user that have not ended."""
    owner = re.compile(rf"^Uid:\s+{uid}\s", re.MULTILINE)
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            text = path.read_text(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if owner.search(text) and "\nState:\tZ" not in text:
            yield path.parent.name


def _kill(process: subprocess.Popen[bytes], uid: int) -> None:
    """Kill everything that runs as a user, all at once, so that none forks away. Returns when it is gone."""
    process.kill()
    process.wait()
    while any(_running(uid)):
        subprocess.run(  # noqa: S603 # our own words
            (sandbox_view.interpreter(), "-I", "-S", "-B", "-c", _KILL, str(uid)),
            env={},
            cwd="/",
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
