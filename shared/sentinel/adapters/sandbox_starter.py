"""The program that stands between Sentinel and what runs in the sandbox. It imports nothing of Sentinel's.

Sentinel hands it, compiled, to an interpreter in the sandbox, with `sandbox_watch`. It lays the files out,
starts the command, watches what all processes take together, ends them all, and only then, when nobody is
left to change anything, reads the files that are to be brought out, as the user that the program was. More
input after the job, or its end, is the order to stop. The answer is "!" when the files are there, and in the
end lines of text: `CODE LIMIT SECONDS`, and for each file `WHICH SIZE`, by its number among those that were
asked for; then an empty line, and the bytes of the files.

In a process namespace of its own it is process 1: nothing in there can signal it. Elsewhere it is root, and
does as the program's user whatever touches the program's files. It cannot be traced. It is sparing with
imports, since each costs a run some milliseconds: `signal` alone would bring `enum` and `re`.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # the part of `signal` that is in C
import os
import resource
import select
import stat
import sys

from sentinel.adapters.sandbox_watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

TICK = 0.02  # seconds between two looks
SLACK = 2  # processes over the limit, by which it is seen that it was passed: this one, and one more
HANDLES = 256
_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 4, 22, 36, 38
_NEW_NET, _NEW_IPC = 0x40000000, 0x08000000
_SIOCSIFFLAGS, _UP = 0x8914, 0x1


def _write(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def _separate() -> None:
    """Leave the network behind where that is allowed, and bring up a loopback of its own."""
    import ctypes
    import fcntl
    import socket
    import struct

    if ctypes.CDLL(None).unshare(_NEW_NET | _NEW_IPC) == 0:
        with socket.socket() as any_socket:
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _UP))


def _protect(job: dict[str, Any]) -> None:
    """Become untraceable, and the first that the kernel ends where the machine has no memory left."""
    import _ctypes  # `ctypes` around it costs 10 ms

    with open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")
    itself = _ctypes.dlopen(None, 0)  # type: ignore[arg-type] # typeshed does not know of it
    prctl = _ctypes.dlsym(itself, "prctl")
    if _ctypes.call_function(prctl, (_PR_SET_DUMPABLE, 0, 0, 0, 0)):
        raise SystemExit(6)
    _ctypes.call_function(prctl, (_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
    if job["uid"]:
        _separate()


def _become(job: dict[str, Any]) -> None:
    """Become the program's user, for good. The order matters: what takes rights comes last."""
    import ctypes
    import struct

    libc = ctypes.CDLL(None)
    os.setgroups([])
    os.setresgid(job["uid"], job["uid"], job["uid"])
    os.setresuid(job["uid"], job["uid"], job["uid"])
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise SystemExit(4)
    if code := job["filter"]:
        text = ctypes.create_string_buffer(code, len(code))
        whole = struct.pack("HP", len(code) // 8, ctypes.addressof(text))
        if libc.prctl(_PR_SET_SECCOMP, 2, whole, 0, 0):
            raise SystemExit(5)


def _as_user(job: dict[str, Any], act: Callable[[], object]) -> None:
    """Do something as the program's user: here, or in a process of its own where this one is root."""
    if not job["uid"]:
        act()
        return
    child, failed = os.fork(), 1
    if not child:
        try:
            _become(job)
            act()
            failed = 0
        except OSError as error:
            _write(2, f"{error.strerror}\n".encode())
        finally:
            os._exit(failed)
    if os.waitpid(child, 0)[1]:
        raise SystemExit(7)


def _lay_out(job: dict[str, Any], exactly: Callable[[int], bytes]) -> None:
    for folder in (job["folder"], job["home"], job["temporary"]):
        os.makedirs(folder, mode=0o700, exist_ok=True)
    os.chdir(job["folder"])
    links, made = [], {""}
    for path, mode, size in job["files"]:
        data = exactly(size)
        if mode == "120000":
            links.append((path, data))
            continue
        parent = path.rpartition("/")[0]
        if parent not in made:
            os.makedirs(parent, exist_ok=True)
            made.add(parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        handle = os.open(path, flags, 0o755 if mode == "100755" else 0o644)
        _write(handle, data)
        os.close(handle)
    for path, target in links:
        if os.path.dirname(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(target, path)


def _bounds(limits: dict[str, Any]) -> dict[int, tuple[int, int]]:
    """Say what one process may take; what all take together is watched."""
    seconds = int(limits["cpu"]) + 1
    return {
        resource.RLIMIT_CPU: (seconds, seconds + 1),
        resource.RLIMIT_NPROC: (limits["processes"] + SLACK,) * 2,
        resource.RLIMIT_FSIZE: (limits["file"],) * 2,
        resource.RLIMIT_DATA: (2 * limits["memory"],) * 2,
        resource.RLIMIT_NOFILE: (HANDLES,) * 2,
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_MSGQUEUE: (0, 0),
        resource.RLIMIT_MEMLOCK: (0, 0),
    }


def _become_command(command: list[str], variables: dict[str, str]) -> None:
    """Be the command, as PATH has it. `os.execvpe` would import something that this user may not read."""
    folders = [""] if "/" in command[0] else [f"{each}/" for each in variables["PATH"].split(":")]
    refused = OSError(0, "no such program")
    for folder in folders:
        try:
            os.execve(folder + command[0], command, variables)  # noqa: S606 # never a shell
        except FileNotFoundError:
            continue
        except OSError as error:
            refused = error
    raise refused


def _begin(job: dict[str, Any], folder: int) -> int:
    """Start the command in the folder and in a session of its own, and return its process."""
    child = os.fork()
    if child:
        return child
    try:
        if job["uid"]:
            _become(job)
        os.fchdir(folder)
        os.setsid()
        nothing = os.open("/dev/null", os.O_RDONLY)
        os.dup2(nothing, 0)
        os.closerange(3, 65536)
        for number in (_signal.SIGPIPE, _signal.SIGXFSZ, _signal.SIGINT):
            _signal.signal(number, _signal.SIG_DFL)
        for which, bound in _bounds(job["limits"]).items():
            hard = resource.getrlimit(which)[1]
            resource.setrlimit(which, bound if hard < 0 else (min(bound[0], hard), min(bound[1], hard)))
        _become_command(job["command"], job["variables"])
    except OSError as error:
        _write(2, f"{job['command'][0]} cannot be run: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _reap(child: int, code: int | None) -> int | None:
    """Take the ends of all that have ended; return the command's exit code once it is known."""
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return code
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
    except ChildProcessError:
        return code


def _follow(job: dict[str, Any], child: int) -> tuple[int | None, str, float]:
    """Wait for the command's end, its limits, or the order to stop. Return (code or None, why it ended)."""
    watch = Watch(job)
    waiting = select.poll()
    waiting.register(os.pidfd_open(child), select.POLLIN)
    waiting.register(0, select.POLLIN | select.POLLHUP)
    code: int | None = None
    why = ""
    while code is None and not why:
        ready = dict(waiting.poll(TICK * 1000))
        code = _reap(child, None)
        if code is None:
            why = "stopped" if 0 in ready else watch.over()
    named: dict[int | None, str] = {-_signal.SIGXCPU: "cpu", -_signal.SIGXFSZ: "disk"}
    return code, why or named.get(code, ""), watch.seconds()


def _kill_all() -> None:
    try:
        os.kill(-1, _signal.SIGKILL)  # all at once: none can fork away
    except OSError:  # there is nobody
        pass


def _end_all(job: dict[str, Any], child: int, code: int | None) -> int | None:
    """Kill everything but this process, and return when nothing is left."""
    while True:
        _as_user(job, _kill_all)
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return code
        if pid == child and code is None:
            code = os.waitstatus_to_exitcode(status)


def _brought(path: str, most: int) -> bytes | None:
    """Return the bytes of a regular file below the folder, or None. No link is followed, at no place."""
    *folders, name = path.split("/")
    handles = [os.open(".", os.O_RDONLY | os.O_DIRECTORY)]
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
        for folder in folders:
            handles.append(os.open(folder, flags | os.O_DIRECTORY, dir_fd=handles[-1]))
        handles.append(os.open(name, flags, dir_fd=handles[-1]))
        found = os.fstat(handles[-1])
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1 or found.st_size > most:
            return None
        with os.fdopen(os.dup(handles[-1]), "rb") as file:
            data = file.read(most + 1)
    except OSError:
        return None
    else:
        return data if len(data) <= most else None
    finally:
        for handle in handles:
            os.close(handle)


def _answer(job: dict[str, Any], folder: int, answer: int, said: str) -> None:
    """Read the files that are to be brought out, and write the answer."""
    os.fchdir(folder)
    files, left = [], job["limits"]["file"]
    for which, path in enumerate(job["bring"]):
        data = _brought(path, left)
        if data is not None:
            files.append((which, data))
            left -= len(data)
    lines = [said, *(f"{which} {len(data)}" for which, data in files), "", ""]
    _write(answer, b"".join(["\n".join(lines).encode(), *(data for _, data in files)]))


def main(job: dict[str, Any], exactly: Callable[[int], bytes]) -> None:
    """Do a job, whose files `exactly` reads; the answer goes to the descriptor in the first argument."""
    answer = int(sys.argv[1])
    os.umask(0o022)
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)  # the one that the interpreter would have taken note of
    _protect(job)
    _as_user(job, lambda: _lay_out(job, exactly))
    folder = os.open(job["folder"], os.O_RDONLY | os.O_DIRECTORY)  # whatever it is called in the end
    os.write(answer, b"!")  # from here on, whatever happens is the command's doing
    child = _begin(job, folder)
    code, ended, seconds = _follow(job, child)
    code = _end_all(job, child, code)
    _as_user(job, lambda: _answer(job, folder, answer, f"{code} {ended or '-'} {seconds}"))
