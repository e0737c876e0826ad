"""A sandbox of Debian's bubblewrap: namespaces of its own for everything, with nothing of the host in them.

As root it takes a user of its own out of a range first, since limits of processes count a user, and since
what is nobody inside should be nobody still if it ever gets out. Bubblewrap runs twice then: once as root, to
make a root folder with nothing in it but what the program may see, so that paths that only root may walk
through are there; and in there once more, as that user, exactly as it runs for any user of the machine.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final

from sentinel.adapters import sandbox_filter, sandbox_view
from sentinel.adapters.sandbox_run import PROGRAM, Place, Supervised, Task, job, seen_variables, started
from sentinel.core.proving import Limits, Ran
from sentinel.errors import Unavailable

UIDS: Final = range(64001, 64257)  # of a range that Debian leaves to nobody's accounts
PROGRAMS: Final = "/usr/bin:/bin:/usr/local/bin"  # where bubblewrap and setpriv are looked for
SHARED: Final = 16_000_000  # bytes of /dev/shm at most, of those of the disk
SPARE: Final = 1 << 20  # bytes by which a disk is larger than its limit, so that passing it is seen
NONE: Final = (
    "there is no sandbox here, and no program is run without one. Install it: apt-get install bubblewrap"
)
NO_NAMESPACES: Final = (
    "bubblewrap cannot make a sandbox here: {}. Where user namespaces are off, allow them "
    "(sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000; on Ubuntu also "
    "kernel.apparmor_restrict_unprivileged_userns=0), or run in a build container that is a sandbox itself"
)


@contextmanager
def own_user() -> Iterator[int]:
    """Give a user id that no other run on this machine has meanwhile. Raises `Unavailable` for none left."""
    for uid in UIDS:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as held:
            try:
                held.bind(f"\0sentinel-sandbox-{uid}")
            except OSError:
                continue
            yield uid
            return
    raise Unavailable(f"{len(UIDS)} sandboxes run at once on this machine; wait for one to end")


_ALONE: Final = (
    *("--unshare-all", "--unshare-user", "--uid", str(sandbox_view.UID), "--gid", str(sandbox_view.UID)),
    *("--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL", "--disable-userns"),
    *("--clearenv", "--hostname", "sandbox"),
)
_AS_ROOT: Final = (
    "--die-with-parent",
    "--cap-drop",
    "ALL",
    "--cap-add",
    "CAP_SETUID",
    "--cap-add",
    "CAP_SETGID",
)


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """`Sandbox` by bubblewrap. `bwrap` and `setpriv` are the paths of the programs; share it by threads."""

    bwrap: str
    setpriv: str

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
        """See `Sandbox`."""
        place = _place(limits)
        task = Task(files, command, limits, seen_variables(environment, place, variables), bring)
        parts = job(task, place)
        with ExitStack() as held:
            uid = held.enter_context(own_user()) if os.geteuid() == 0 else 0
            process, answer, kill = self._started(held, _Wanted(environment, place, uid))
            return Supervised(task, stopped, kill).run(process, answer, parts)

    def _started(
        self, held: ExitStack, wanted: _Wanted
    ) -> tuple[subprocess.Popen[bytes], int, Callable[[], None]]:
        """Start it, and see to it that nothing of it is left, whatever is raised meanwhile."""
        with ExitStack() as passed:
            answer, said = _pipe(held, passed), _pipe(held, passed)
            handles = [answer[1], said[1]]
            command = self._command(wanted, _Passed(passed, handles), said[1], answer[1])
            process = held.enter_context(started(command, handles))
        kill = partial(_kill, process, said[0])
        held.callback(kill)
        return process, answer[0], kill

    def _command(self, wanted: _Wanted, data: _Passed, said: int, answer: int) -> list[str]:
        view = (*sandbox_view.system(), *sandbox_view.of_environment(wanted.environment))
        inner = [
            *(self.bwrap, *_ALONE, "--info-fd", str(said), *view),
            *("--ro-bind-data", data.add(sandbox_view.PASSWD), "/etc/passwd"),
            *("--ro-bind-data", data.add(sandbox_view.GROUP), "/etc/group"),
            *("--ro-bind-data", data.add(sandbox_view.HOSTS), "/etc/hosts"),
            *("--proc", "/proc", "--dev", "/dev"),
            *(
                word
                for path, most in wanted.place.disks
                for word in ("--size", str(most + SPARE), "--tmpfs", path)
            ),
            *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"),  # noqa: S108
        ]
        if code := sandbox_filter.program():
            inner += ["--seccomp", data.add(code)]
        inner += ["--", sandbox_view.interpreter(), "-I", "-S", "-B", "-c", PROGRAM, str(answer)]
        if not wanted.uid:
            return inner
        user = (f"--reuid={wanted.uid}", f"--regid={wanted.uid}", "--clear-groups", "--pdeathsig", "KILL")
        empty = ("--bind", "/proc", "/proc", "--dev-bind", "/dev", "/dev", "--dir", "/tmp")  # noqa: S108
        outer = (self.bwrap, *_AS_ROOT, *view, *empty, "--remount-ro", "/", "--")
        return [*outer, self.setpriv, *user, "--", *inner]


def _place(limits: Limits) -> Place:
    """Say where things are: what can be written to is on two file systems, which share the disk's bytes."""
    shared = min(SHARED, limits.disk // 8)
    disks = (("/tmp", limits.disk - shared), ("/dev/shm", shared))  # noqa: S108
    return Place("/tmp/work", "/tmp/home", "/tmp", disks, mounted=True)  # noqa: S108


def _file_system(path: str, most: int) -> tuple[str, ...]:
    return "--size", str(most + SPARE), "--tmpfs", path


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is particular to one run: its environment, its folders, and its user, 0 for this one."""

    environment: str
    place: Place
    uid: int


@dataclass(frozen=True, slots=True)
class _Passed:
    """Descriptors that bubblewrap reads and keeps to itself."""

    held: ExitStack
    handles: list[int]

    def add(self, data: bytes) -> str:
        """Return the number of one that has these bytes."""
        handle = os.memfd_create("sentinel")
        self.held.callback(os.close, handle)
        os.write(handle, data)
        os.lseek(handle, 0, os.SEEK_SET)
        self.handles.append(handle)
        return str(handle)


def _pipe(held: ExitStack, passed: ExitStack) -> tuple[int, int]:
    """Return (the end that is read here, the end that is passed on)."""
    ours, theirs = os.pipe()
    held.callback(os.close, ours)
    passed.callback(os.close, theirs)
    os.set_blocking(ours, False)
    return ours, theirs


def _first_process(said: int) -> int | None:
    """Return a descriptor of the sandbox's process 1, which bubblewrap has told the number of."""
    try:
        found = re.search(rb'"child-pid": (\d+)', os.read(said, 4096))
        if found is None:
            return None
        handle = os.pidfd_open(int(found[1]))
        status = Path("/proc", found[1].decode(), "status").read_text()
    except OSError:
        return None
    if re.search(r"^NSpid:\s+\d+\s+1$", status, re.MULTILINE):
        return handle
    os.close(handle)  # it ended, and another has its number
    return None


def _kill(process: subprocess.Popen[bytes], said: int) -> None:
    """Kill everything in a sandbox, and return when it is gone. Harmless where it is gone already."""
    if process.poll() is not None:
        return
    first = _first_process(said)
    if first is None:
        process.kill()
    else:
        try:
            signal.pidfd_send_signal(first, signal.SIGKILL)
            select.select([first], [], [], 5)
        except ProcessLookupError:
            pass
        finally:
            os.close(first)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@cache
def _checked(bwrap: str, setpriv: str) -> Bubblewrap:
    """Return it once it has really run something."""
    sandbox = Bubblewrap(bwrap, setpriv)
    try:
        ran = sandbox.run((), ("true",), Limits(seconds=10, cpu=10, disk=1_000_000))
    except Unavailable as error:
        raise Unavailable(NO_NAMESPACES.format(error)) from None
    if ran.code:
        raise Unavailable(NO_NAMESPACES.format(f"a trial ended with {ran.code}"))
    return sandbox


def here() -> Bubblewrap:
    """Return this machine's sandbox, tried out once a process. Raises `Unavailable` with what to do."""
    bwrap, setpriv = shutil.which("bwrap", path=PROGRAMS), shutil.which("setpriv", path=PROGRAMS)
    if bwrap is None or (setpriv is None and os.geteuid() == 0):
        raise Unavailable(NONE)
    return _checked(bwrap, setpriv or "")
