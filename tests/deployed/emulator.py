"""The AWS emulator: an environment of its own, one process on loopback, nothing left of it afterwards.

Nothing here can reach AWS. The credentials are the emulator's own and open nothing elsewhere; every client
is given the loopback address and refuses to send to any other; what runs as a process gets an environment
that is made from nothing, so no profile, no proxy and no endpoint of the caller's is in it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
BUILD = ROOT / "build" / "emulator"
REQUIREMENTS = HERE / "requirements.txt"
REGION = "eu-central-1"
ACCOUNT = "000000000000"  # no account of AWS has this number
KEY = "test"  # the emulator's root, id and secret alike
START_SECONDS = 30.0

Say = Callable[[str, str], None]


class NotLoopback(RuntimeError):
    """A request would have left this machine. It was not sent."""


class EmulatorFailed(RuntimeError):
    """The emulator or what it needs did not start; the message has the end of its log."""


def must_be_loopback(url: str) -> str:
    """Return `url` if it is plain HTTP to 127.0.0.1, else raise `NotLoopback`."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname != "127.0.0.1" or parts.port is None:
        raise NotLoopback(f"{parts.scheme}://{parts.hostname} is not the emulator: nothing is sent there")
    return url


def free_port() -> int:
    """Return a TCP port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def python() -> Path:
    """Return the Python of the emulator's environment, made from the lock if it is not made from it yet."""
    BUILD.mkdir(parents=True, exist_ok=True)
    venv = BUILD / "venv"
    found = venv / "bin" / "python"
    lock = f"{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()} {sys.version}"
    with (BUILD / "venv.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        stamp = venv / ".locked"
        if stamp.exists() and stamp.read_text() == lock:
            return found
        shutil.rmtree(venv, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(venv)])
        _run([*f"{found} -m pip install --quiet --require-hashes --no-deps -r".split(), str(REQUIREMENTS)])
        stamp.write_text(lock)
    return found


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise EmulatorFailed(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")


@contextmanager
def run_folder() -> Iterator[Path]:
    """Give a folder that is gone afterwards; folders of runs that were killed go as well."""
    runs = BUILD / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    with (BUILD / "runs.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        for each in runs.iterdir():
            if not _in_use(each):
                shutil.rmtree(each, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=runs))
        owner = (folder / "owner").open("w")
        fcntl.flock(owner, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        owner.close()
        shutil.rmtree(folder, ignore_errors=True)


def _in_use(folder: Path) -> bool:
    """Whether the process that made a folder is alive: it holds a lock on a file there as long as it is."""
    try:
        with (folder / "owner").open() as owner:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


class Tethered:
    """A program that runs no longer than this process, with its output in a file."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(HERE / "tethered.py"), *command],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=dict(environ),
                cwd=log.parent,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process group."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def wait(self, ready: Callable[[], bool], what: str) -> None:
        """Wait until it is ready. Raises `EmulatorFailed` where it ends, or needs too long."""
        deadline = time.monotonic() + START_SECONDS
        while self.alive and time.monotonic() < deadline:
            if ready():
                return
            time.sleep(0.02)
        tail = self.log.read_text(errors="replace")[-2000:]
        self.kill()
        raise EmulatorFailed(f"{what} did not start:\n{tail}")

    def kill(self) -> None:
        """Kill it and all its children: it keeps nothing that would be lost."""
        tether: IO[bytes] | None = self._process.stdin
        if tether and not tether.closed:
            tether.close()  # which kills the group, from inside
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)
            self._process.wait()


class Emulator:
    """One running emulator. `endpoint` is its address; IAM is enforced for the roles of functions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.endpoint = ""
        self._process: Tethered | None = None

    def start(self) -> None:
        """Start it. Raises `EmulatorFailed`."""
        program = python()
        for again in (True, True, False):  # a port that was free may be taken by the time it is used
            port = free_port()
            self.endpoint = must_be_loopback(f"http://127.0.0.1:{port}")
            self._process = Tethered(
                [str(program), "-m", "ministack"], self._server_environ(port), self.folder / "emulator.log"
            )
            try:
                self._process.wait(self._healthy, "the emulator")
                break
            except EmulatorFailed:
                if not again:
                    raise

    def _server_environ(self, port: int) -> dict[str, str]:
        scratch = self.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        return {
            **self._bare(),
            "AUTH": "true",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": KEY,
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "IOT_MTLS_ENABLED": "0",
            "LAMBDA_EXECUTOR": "local",
            "LOG_LEVEL": "INFO",
            "MINISTACK_REGION": REGION,
            "SFTP_ENABLED": "0",
            "TMPDIR": str(scratch),
        }

    def _bare(self) -> dict[str, str]:
        """Return the environment of a process that knows nothing of whoever started it."""
        return {
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "NO_PROXY": "*",
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _healthy(self) -> bool:
        try:
            with _open(f"{self.endpoint}/_ministack/health", timeout=2) as answer:
                return "services" in json.load(answer)
        except (OSError, ValueError):
            return False

    def environ(self) -> dict[str, str]:
        """Return the environment of a process that calls AWS, which finds this emulator and nothing else."""
        return {
            **self._bare(),
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": must_be_loopback(self.endpoint),
            "AWS_REGION": REGION,
            "AWS_SECRET_ACCESS_KEY": KEY,
            "PYTHONPATH": f"{ROOT / 'shared'}{os.pathsep}{ROOT}",
        }

    def client(self, service: str, key: str = KEY, secret: str = KEY, token: str | None = None) -> Any:
        """Return a client of a service, by default as the account's root. It sends to the emulator only."""
        import botocore.session
        from botocore.config import Config

        nothing = (None, None, None, None)
        files = (None, None, os.devnull, None)
        session = botocore.session.Session(
            {"profile": nothing, "config_file": files, "credentials_file": files}
        )
        made = session.create_client(
            service,
            region_name=REGION,
            endpoint_url=must_be_loopback(self.endpoint),
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=Config(connect_timeout=2, read_timeout=60, retries={"total_max_attempts": 1}, proxies={}),
        )
        made.meta.events.register("before-send", self._before_send)
        return made

    def _before_send(self, request: Any, **_: object) -> None:
        if must_be_loopback(request.url) and not request.url.startswith(self.endpoint + "/"):
            raise NotLoopback("the request is not for this emulator")

    @property
    def pid(self) -> int:
        """The process group of the emulator and all functions."""
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        """Return what it logged, the functions' output with it."""
        return (self.folder / "emulator.log").read_text(errors="replace")

    def stop(self) -> None:
        """Kill it, and all functions."""
        if self._process is not None:
            self._process.kill()


def _open(url: str, timeout: float) -> Any:
    """Open a loopback URL past any proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(must_be_loopback(url), timeout=timeout)
