"""The slots of a root: which process has which, by `flock`; and that nobody else can write there.

`flock` belongs to an open file: it ends with the process, however that ends, and a forked child that closes
its copy leaves it to the parent. On NFS and SMB it may be local to a machine or not there: roots belong on a
local disk.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from pathlib import Path

from sentinel_client import _state
from sentinel_client._disk import NOFOLLOW, Disk, read_whole, write_whole

LOCK = "lock"
_NAME = re.compile(r"py-[0-9a-f]{16}")
_BOOT = "/proc/sys/kernel/random/boot_id"
_locks: set[int] = set()  # descriptors of `lock` files that this process has open


class Unusable(Exception):
    """The root cannot be used. The message says why and what to do about it."""


class Slot:
    """A slot that this process has. If it is `worn`, its numbers are not certain: it is only sent empty."""

    def __init__(self, disk: Disk, folder: Path, fd: int, state: _state.State, *, worn: bool) -> None:
        self.disk, self.folder, self.fd, self.state, self.worn = disk, folder, fd, state, worn

    @property
    def name(self) -> str:
        """Return the producer id."""
        return self.folder.name

    def note(self, fsync: str) -> None:
        """Write into `lock` who has the slot and by which policy, for the doctor and for the next process.

        With the policy `never` numbers that were used can be gone after a crash of the machine, so the note
        of that policy, and of the boot it counts in, is made durable.
        """
        note = json.dumps({"pid": os.getpid(), "boot": boot(), "fsync": fsync}).encode()
        self.disk.truncate(self.fd, 0)
        write_whole(self.disk, self.fd, note + b"\n", 0)
        if fsync == "never":
            self.disk.sync(self.fd)

    def release(self) -> None:
        """Give the slot back, also where a child that was just forked still has a copy of the lock."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            _unlock(self.disk, fd)

    def remove(self) -> None:
        """Delete the slot, its lock last, and give it up. Foreign files in its folder stay, and so does that.

        Raises `OSError`: a file could not be deleted.
        """
        for name in self.disk.listing(self.folder):
            if re.fullmatch(r"[0-9a-f]{16}\.wal|state\.json(\.new|\.bad)?|receipts\.ndjson", name):
                self.disk.unlink(f"{self.folder}/{name}")
        self.disk.unlink(f"{self.folder}/{LOCK}")
        self.release()
        try:
            self.disk.rmdir(self.folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


def forget_locks() -> None:
    """Close a forked child's copies of its parent's locks, without unlocking them."""
    while _locks:
        try:
            os.close(_locks.pop())
        except OSError:
            continue


def _unlock(disk: Disk, fd: int) -> None:
    import fcntl

    _locks.discard(fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_UN)
    finally:
        disk.close(fd)


def boot() -> str:
    """Return the id of this boot of the machine, or nothing where the system has none."""
    try:
        with open(_BOOT, encoding="ascii") as file:  # noqa: PTH123 # no Path for one read
            return file.read().strip()
    except OSError:
        return ""


def prepare(disk: Disk, root: Path) -> Path:
    """Return the root, made where it is missing, once nobody else can write into it.

    Raises `Unusable`: it belongs to somebody else, others may write into it, or it cannot be made.
    """
    try:
        import fcntl  # noqa: F401 # Windows has none
    except ImportError:
        raise Unusable("the write-ahead log needs flock, which this system does not have") from None
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        link, found = disk.stat(root), os.stat(root)  # noqa: PTH116 # as above
    except OSError as error:
        raise Unusable(
            f"{root}: {error.strerror}; make the folder, or name one that can be written"
        ) from None
    user = os.geteuid()
    if not stat.S_ISDIR(found.st_mode):
        raise Unusable(f"{root} is not a folder; name another")
    if found.st_uid != user or link.st_uid not in (user, 0):
        raise Unusable(
            f"{root} is of user {found.st_uid}, and this is user {user}; chown it, or name another folder"
        )
    if found.st_mode & 0o022:
        raise Unusable(f"others may write into {root}; chmod go-w it")
    return root.resolve()


def free(disk: Disk, root: Path) -> list[Path]:
    """Return the slots of our language, also those in use; the one that was taken longest ago is first."""
    found = []
    for name in disk.listing(root):
        if _NAME.fullmatch(name):
            try:
                taken = disk.stat(f"{root}/{name}/{LOCK}").st_mtime_ns
            except OSError:
                taken = 0
            found.append((taken, name))
    return [root / name for _, name in sorted(found)]


def lock(disk: Disk, folder: Path) -> Slot | None:
    """Take a slot where no process has it, with its state; None where one does, or where it was just removed.

    A state that cannot be read is set aside as `state.json.bad`: the slot's entries are sent, once more
    perhaps. A slot of a later version is left alone.

    Raises `OSError`: its files cannot be read.
    """
    fd = _locked(disk, folder)
    if fd is None:
        return None
    try:
        try:
            state = _state.load(disk, folder)
        except _state.Unreadable:
            disk.replace(f"{folder}/{_state.NAME}", f"{folder}/{_state.NAME}.bad")
            state = _state.State()
        worn = _worn(disk, fd) or f"{_state.NAME}.bad" in disk.listing(folder)
        return Slot(disk, folder, fd, state, worn=worn)
    except _state.Newer:
        _unlock(disk, fd)
        return None
    except BaseException:
        _unlock(disk, fd)
        raise


def _locked(disk: Disk, folder: Path) -> int | None:
    import fcntl

    path = f"{folder}/{LOCK}"
    try:
        fd = disk.open(path, os.O_RDWR | os.O_CREAT | NOFOLLOW, 0o600)
    except FileNotFoundError:
        return None
    _locks.add(fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if disk.stat(path).st_ino == disk.fstat(fd).st_ino:
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        _unlock(disk, fd)
        raise
    _locks.discard(fd)  # another process has it, or has just removed it
    disk.close(fd)
    return None


def _worn(disk: Disk, fd: int) -> bool:
    """Say whether the last process synced nothing and the machine started anew since."""
    try:
        note = json.loads(read_whole(disk, fd, 4096, 0) or b"{}")
        return bool(note.get("fsync") == "never" and note.get("boot") != boot())
    except (ValueError, AttributeError):
        return False


def make(disk: Disk, root: Path, name: str | None = None) -> Slot:
    """Make a slot, with a new producer id or the one given.

    Raises `OSError`: it cannot be made.
    """
    while True:
        folder = root / (name or draw())
        try:
            disk.mkdir(folder, 0o700)
        except FileExistsError:
            if name is None:
                continue
        slot = lock(disk, folder)
        if slot is not None:
            return slot
        if name is not None:
            raise OSError(errno.EBUSY, "the slot is in use")


def draw() -> str:
    """Return a new producer id."""
    return f"py-{os.urandom(8).hex()}"


def take(disk: Disk, root: Path) -> Slot:
    """Take the free slot that was taken longest ago, or make one.

    Raises `OSError`: none can be made.
    """
    for folder in free(disk, root):
        try:
            slot = lock(disk, folder)
        except OSError:
            continue
        if slot is not None and not slot.worn:
            return slot
        if slot is not None:
            slot.release()
    return make(disk, root)
