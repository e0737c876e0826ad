"""The calls of the system that the write-ahead log makes, so that tests can make each of them fail."""

from __future__ import annotations

import errno
import os
import sys
import time

NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
READ = os.O_RDONLY | NOFOLLOW
CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | NOFOLLOW
UPDATE = os.O_RDWR | NOFOLLOW


class Disk:
    """What the write-ahead log asks of the file system; each call raises as its namesake in `os` does.

    The functions are those of `os`, not wrappers of them: `pwrite` is on the path of every entry.
    """

    open = staticmethod(os.open)
    close = staticmethod(os.close)
    pread = staticmethod(os.pread)
    pwrite = staticmethod(os.pwrite)
    truncate = staticmethod(os.ftruncate)
    listing = staticmethod(os.listdir)
    replace = staticmethod(os.replace)
    unlink = staticmethod(os.unlink)
    mkdir = staticmethod(os.mkdir)
    rmdir = staticmethod(os.rmdir)
    stat = staticmethod(os.lstat)
    fstat = staticmethod(os.fstat)
    now = staticmethod(time.time_ns)

    @staticmethod
    def sync(fd: int) -> None:
        """Return once a file's bytes and its length survive loss of power.

        macOS's `fsync` leaves them in the drive's cache, and `F_FULLFSYNC` does not (fsync(2) there).
        """
        if sys.platform == "darwin":
            import fcntl

            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        else:
            os.fdatasync(fd)

    def sync_folder(self, path: str) -> None:
        """Return once the names in a folder survive loss of power."""
        fd = self.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            self.close(fd)


DISK = Disk()


def write_whole(disk: Disk, fd: int, data: bytes, at: int) -> None:
    """Write all of `data` at an offset, also where a call writes a part of it only.

    Raises `OSError`: a part of it may be there then.
    """
    done = disk.pwrite(fd, data, at)
    while done < len(data):
        more = disk.pwrite(fd, data[done:], at + done)
        if more <= 0:
            raise OSError(errno.EIO, "nothing was written")
        done += more


def read_whole(disk: Disk, fd: int, size: int, at: int) -> bytes:
    """Read up to `size` bytes from an offset; fewer only where the file ends."""
    data = disk.pread(fd, size, at)
    while data and len(data) < size:
        more = disk.pread(fd, size - len(data), at + len(data))
        if not more:
            break
        data += more
    return data


def is_full(error: OSError) -> bool:
    """Say whether the disk, or what the user may use of it, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
