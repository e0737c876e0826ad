"""Runs a starter, whichever sandbox it is in: hands it the job, keeps its output, and ends it for certain.

The starter keeps the limits, from inside. What it cannot know is done from here: the order to stop, the bound
of the output, and that a starter which does not answer in time is killed with everything in it.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path, PurePosixPath
from types import CodeType
from typing import Final

from sentinel.adapters import sandbox_starter, sandbox_watch
from sentinel.core.proving import Limits, Ran
from sentinel.errors import Malformed, Unavailable

MUCH: Final = 16  # times what is kept of the output may be printed
LONGER: Final = 20.0  # seconds for all that comes before and after the command
_LOOK = 0.05  # seconds between two questions whether to stop
_AT_ONCE = 1 << 16  # bytes of one read or write
_KILLED = -9


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be run: as `Sandbox.run` has it, and where in the sandbox."""

    files: Sequence[tuple[str, str, bytes]] = field(repr=False)
    command: Sequence[str]
    limits: Limits
    variables: Mapping[str, str] = field(repr=False)
    bring: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the sandbox the files are, what else is the program's own, and as which user it is to run.

    `uid` is 0 where the starter is nobody already. `disks` are the folders that can be written to, with the
    bytes that each may hold where `mounted` says that they are file systems of this run.
    """

    folder: str
    home: str
    temporary: str
    disks: tuple[tuple[str, int], ...]
    mounted: bool
    uid: int = 0
    filter: bytes = b""


# Reads the job with as few imports as can be, and makes the modules that came with it.
PROGRAM: Final = """
import marshal, os, sys
def exactly(size):
    parts = []
    while size:
        parts.append(os.read(0, min(size, 1 << 20)))
        size -= len(parts[-1])
        if not parts[-1]:
            os._exit(3)
    return b"".join(parts)
job = marshal.loads(exactly(int.from_bytes(exactly(8), "big")))
for name, code in job["code"]:
    module = sys.modules[name] = type(sys)(name)
    exec(code, module.__dict__)
module.main(job, exactly)
"""


@cache
def _code() -> tuple[tuple[str, CodeType], ...]:
    """Return the modules that run in the sandbox, compiled, in the order in which they need each other."""
    modules = (sandbox_watch, sandbox_starter)
    texts = [(each.__name__, Path(str(each.__file__)).read_text()) for each in modules]
    return tuple((name, compile(text, name, "exec", dont_inherit=True)) for name, text in texts)


def job(task: Task, place: Place) -> list[bytes]:
    """Return a job as the starter reads it. Raises `Malformed` for a path that leads outside."""
    files = [(path, mode, data) for path, mode, data in task.files if mode != "160000"]
    for path in (*(path for path, _, _ in files), *task.bring):
        if not path or "\0" in path or {"", ".", ".."} & set(path.split("/")):
            raise Malformed("a path for the sandbox is not one below its folder")
    if not task.command or any("\0" in each for each in task.command):
        raise Malformed("a command for the sandbox is empty, or has a null character")
    head = marshal.dumps(
        {
            **asdict(place),
            "code": _code(),
            "files": [(path, mode, len(data)) for path, mode, data in files],
            "command": list(task.command),
            "limits": asdict(task.limits),
            "variables": dict(task.variables),
            "bring": list(task.bring),
        }
    )
    return [len(head).to_bytes(8, "big"), head, *(data for _, _, data in files)]


class _Kept:
    """The first and the last half of what a program printed, and how much that was."""

    def __init__(self, most: int) -> None:
        self.half = most // 2
        self.first, self.last = bytearray(), bytearray()
        self.size = 0

    def add(self, data: bytes) -> None:
        self.size += len(data)
        room = self.half - len(self.first)
        self.first += data[:room]
        self.last += data[room:]
        del self.last[: max(0, len(self.last) - self.half)]

    def whole(self) -> bytes:
        left_out = self.size - len(self.first) - len(self.last)
        mark = b"\n[%d bytes are left out here]\n" % left_out if left_out else b""
        return bytes(self.first) + mark + bytes(self.last)


class Supervised:
    """One starter, from its first byte to its last. Used once, in one thread: it dies with it."""

    def __init__(self, task: Task, stopped: Callable[[], bool], kill: Callable[[], None]) -> None:
        limits = task.limits
        self.limits, self.bring, self.stopped, self.kill = limits, task.bring, stopped, kill
        self.out, self.err = _Kept(limits.output // 2), _Kept(limits.output // 2)
        self.answer = bytearray()
        self.why = ""
        self.since = time.monotonic()
        self.until = self.since + limits.seconds + LONGER

    def run(self, process: subprocess.Popen[bytes], answer: int, parts: Sequence[bytes]) -> Ran:
        """Follow a process to its end. Raises `Unavailable` where it did not come to run the command."""
        with selectors.DefaultSelector() as waiting:
            self._register(waiting, process, answer)
            feed = self._feed(process, waiting, parts)
            next(feed)
            while any(key.data != "in" for key in waiting.get_map().values()):
                for key, _ in waiting.select(_LOOK):
                    if key.data == "in":
                        next(feed, None)
                    else:
                        self._take(waiting, key)
                self._look(process, waiting)
        process.wait()
        return self._ran()

    def _register(
        self, waiting: selectors.BaseSelector, process: subprocess.Popen[bytes], answer: int
    ) -> None:
        assert process.stdin is not None  # noqa: S101 # as it was started
        os.set_blocking(process.stdin.fileno(), False)
        waiting.register(process.stdin, selectors.EVENT_WRITE, "in")
        for stream, kept in ((process.stdout, self.out), (process.stderr, self.err)):
            assert stream is not None  # noqa: S101
            waiting.register(stream, selectors.EVENT_READ, kept)
        waiting.register(answer, selectors.EVENT_READ, "answer")

    def _feed(
        self, process: subprocess.Popen[bytes], waiting: selectors.BaseSelector, parts: Sequence[bytes]
    ) -> Iterator[None]:
        """Write the job as far as it is taken, each time that this is resumed."""
        stdin = process.stdin
        assert stdin is not None  # noqa: S101
        yield
        try:
            for data in _pieces(parts):
                view = memoryview(data)
                while view:
                    view = view[os.write(stdin.fileno(), view) :]
                    yield
        except BrokenPipeError:
            pass  # it is gone, and why is said elsewhere
        waiting.unregister(stdin)

    def _take(self, waiting: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        data = os.read(key.fd, _AT_ONCE)
        if not data:
            waiting.unregister(key.fileobj)
        elif isinstance(key.data, _Kept):
            key.data.add(data)
        else:
            self.answer += data

    def _look(self, process: subprocess.Popen[bytes], waiting: selectors.BaseSelector) -> None:
        """Give the order to stop where there is a reason to, and kill where it is not followed."""
        now = time.monotonic()
        if not self.why:
            if self.out.size + self.err.size > MUCH * self.limits.output:
                self.why = "output"
            elif self.stopped():
                self.why = "stopped"
            if self.why:
                self.until = min(self.until, now + LONGER / 4)
                with contextlib.suppress(KeyError):
                    waiting.unregister(process.stdin)  # type: ignore[arg-type] # it is there
                process.stdin.close()  # type: ignore[union-attr]
        if now > self.until or len(self.answer) > 2 * self.limits.file + _AT_ONCE:
            self.why = self.why or "seconds"
            self.kill()

    def _ran(self) -> Ran:
        out, err, took = self.out.whole(), self.err.whole(), time.monotonic() - self.since
        if not self.answer:
            if self.why:
                return Ran(_KILLED, b"", b"", took, self.why)
            words = err.decode("utf-8", "replace").strip().splitlines() or ["nothing was said"]
            raise Unavailable(f"the sandbox did not start: {words[-1][:200]}")
        try:
            head, _, rest = self.answer[1:].partition(b"\n\n")
            first, *lines = head.decode("ascii").split("\n")
            code, ended, seconds = first.split()
            sizes = [(self.bring[int(which)], int(size)) for which, size in map(str.split, lines)]
            said = Ran(
                _KILLED if code == "None" else int(code), out, err, float(seconds), ended.strip("-"), {}
            )
        except (ValueError, IndexError):  # it was killed before it had answered
            return Ran(_KILLED, out, err, took, self.why)
        files, at = {}, 0
        for path, size in sizes:
            files[path] = bytes(rest[at : at + size])
            at += size
        return replace(
            said, ended=self.why or "stopped" if said.ended == "stopped" else said.ended, files=files
        )


def _pieces(parts: Sequence[bytes]) -> Iterator[bytes]:
    """Join small parts, so that many small files are not as many calls."""
    held = bytearray()
    for part in parts:
        held += part
        if len(held) >= _AT_ONCE:
            yield bytes(held)
            held.clear()
    yield bytes(held)


def seen_variables(environment: str, place: Place, more: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return all environment variables that the program sees."""
    path = ["/usr/local/bin", "/usr/bin", "/bin"]
    if environment:
        path.insert(0, str(PurePosixPath(environment) / "bin"))
    plain = {"PATH": ":".join(path), "HOME": place.home, "TMPDIR": place.temporary, "LANG": "C.UTF-8"}
    return {**plain, **dict(more)}


def started(command: Sequence[str], handles: Sequence[int]) -> subprocess.Popen[bytes]:
    """Start a program with nothing of ours: no variables, no folder, no descriptors but these."""
    return subprocess.Popen(  # noqa: S603 # a list of words, and no shell
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        pass_fds=handles,
        env={},
        cwd="/",
        umask=0o022,
    )
