"""What all processes in the sandbox take together, as `sandbox_starter` sees it, in there.

Memory is what is a process's own and what is shared, without files. Where several have the same page it is
divided among them before anybody is killed for it.
"""

from __future__ import annotations

import os
import stat
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PER_FILE = 4096  # bytes of disk that the name of a file counts for
TICKS = os.sysconf("SC_CLK_TCK")


def _read(pid: str, name: str) -> bytes:
    with open(f"/proc/{pid}/{name}", "rb") as file:
        return file.read()


def _one(pid: str, uid: int) -> tuple[int, int, float]:
    """Return (threads, bytes of memory, seconds of CPU) of a process; all 0 where it is another user's."""
    status = dict(line.split(b":", 1) for line in _read(pid, "status").splitlines()[1:] if b":" in line)
    if uid and int(status[b"Uid"].split()[0]) != uid:
        return 0, 0, 0.0
    memory = sum(int(status.get(name, b"0").split()[0]) for name in (b"RssAnon", b"RssShmem"))
    times = _read(pid, "stat").rpartition(b")")[2].split()[11:15]
    return int(status[b"Threads"]), memory * 1024, sum(map(int, times)) / TICKS


def _shared_out(pid: str, memory: int) -> int:
    """Return a process's memory, what several have divided among them, where it can be looked into."""
    try:
        rows = dict(line.split(b":", 1) for line in _read(pid, "smaps_rollup").splitlines()[1:])
    except OSError:
        return memory
    parts = (b"Pss_Anon", b"Pss_Shmem")
    return sum(int(rows[part].split()[0]) for part in parts) * 1024 if parts[0] in rows else memory


def _processes(uid: int) -> dict[str, tuple[int, int, float]]:
    """Return {process: (threads, bytes, seconds)} of everything here but this one."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                found[name] = _one(name, uid)
            except (OSError, KeyError, ValueError):
                continue  # it ended meanwhile
    return {name: each for name, each in found.items() if each[0]}


def _mounted(disks: list[tuple[str, int]]) -> tuple[bool, int]:
    """Return whether one of the run's file systems holds more than it may, and how many files all have."""
    full, files = False, 0
    for folder, most in disks:
        seen = os.statvfs(folder)
        full = full or (seen.f_blocks - seen.f_bfree) * seen.f_frsize > most
        files += seen.f_files - seen.f_ffree
    return full, files


def _walked(disks: list[tuple[str, int]], uid: int, most: int) -> tuple[bool, int]:
    """Return whether a user has more than it may below some folders, and how many files were seen."""
    size = files = 0
    waiting = [folder for folder, _ in disks]
    while waiting and size <= most and files * PER_FILE <= 2 * most:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    found = entry.stat(follow_symlinks=False)
                    if found.st_uid == uid:
                        size, files = size + found.st_blocks * 512, files + 1
                        if stat.S_ISDIR(found.st_mode):
                            waiting.append(entry.path)
        except OSError:
            continue  # it went meanwhile
    return size > most, files


class Watch:
    """Looks at what all processes take, and says at which limit they are to end, "" for none."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job, self.limits = job, job["limits"]
        self.since = time.monotonic()
        self.files = self._disk()[1]
        self.next = self.since

    def seconds(self) -> float:
        """Return how long it has been watching."""
        return time.monotonic() - self.since

    def _disk(self) -> tuple[bool, int]:
        if self.job["mounted"]:
            return _mounted(self.job["disks"])
        return _walked(self.job["disks"], self.job["uid"], self.limits["disk"])

    def _full(self) -> bool:
        before = time.monotonic()
        if before < self.next:
            return False
        full, files = self._disk()
        now = time.monotonic()
        self.next = now + 4 * (now - before)  # looking takes at most a fifth of the time
        return full or (files - self.files) * PER_FILE > self.limits["disk"]

    def _too_much(self, found: dict[str, tuple[int, int, float]]) -> bool:
        if sum(memory for _, memory, _ in found.values()) <= self.limits["memory"]:
            return False
        exact = (_shared_out(pid, memory) for pid, (_, memory, _) in found.items())
        return bool(sum(exact) > self.limits["memory"])

    def over(self) -> str:
        """Return the limit that is passed."""
        if self.seconds() > self.limits["seconds"]:
            return "seconds"
        found = _processes(self.job["uid"])
        if self._too_much(found):
            return "memory"
        if sum(threads for threads, _, _ in found.values()) > self.limits["processes"]:
            return "processes"
        ended = os.times()
        busy = ended.children_user + ended.children_system + sum(each[2] for each in found.values())
        if busy > self.limits["cpu"]:
            return "cpu"
        return "disk" if self._full() else ""
