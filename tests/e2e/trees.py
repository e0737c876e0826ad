"""Real process trees of `sentinel up` for tests: started, asked, killed, and never left behind."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = {"SENTINEL_HTTP_HOSTS": "127.0.0.1", "SENTINEL_HTTP_PRIVATE": "true"}


def environment(**more: str) -> dict[str, str]:
    """Return this environment without settings of ours, and with `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SENTINEL_")}
    return {**kept, "NO_COLOR": "1", **more}


def sentinel(*arguments: str, home: Path, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "sentinel.cli.main", *arguments, "--home", str(home)]
    return subprocess.run(
        command, input=stdin, capture_output=True, timeout=100, env=environment(), check=False
    )


@dataclass
class Tree:
    """One running tree."""

    process: subprocess.Popen[bytes]
    url: str
    home: Path
    hooks: str = ""

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request; return status, headers in lower case, and body."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            raw = answer.read()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, raw
        finally:
            connection.close()

    def post(self, entries: list[object], service: str = "test", **headers: str) -> dict[str, Any]:
        """Store entries; return the receipt."""
        body = b"\n".join(json.dumps(entry).encode() for entry in entries)
        told = {"Sentinel-Service": service} | {k.replace("_", "-"): v for k, v in headers.items()}
        status, _, raw = self.request("POST", "/v1/entries", body, told)
        assert status == 200, raw
        found: dict[str, Any] = json.loads(raw)
        return found

    def pids(self) -> list[int]:
        """Return the processes of the tree, the supervisor first."""
        return [self.process.pid, *_below(self.process.pid)]

    def child(self, word: str) -> int:
        """Return the process of the tree with `word` in its command line."""
        return next(
            pid for pid in self.pids()[1:] if word in Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        )

    def stop(self) -> int:
        """Press Ctrl-C; return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=60)

    def kill(self) -> None:
        """Kill every process of the tree at once, as a power cut would."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):  # its parent's end was its own
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def _below(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                pid = int(path.parent.name)
                found += [pid, *_below(pid)]
        except OSError:
            continue
    return found


def gone(pids: list[int]) -> bool:
    """Whether none of these processes runs any more."""
    return not any(_runs(pid) for pid in pids)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


@contextmanager
def up(
    home: Path,
    *arguments: str,
    insecure: bool = True,
    settings: Mapping[str, str] | None = None,
    stderr: IO[bytes] | None = None,
    **more: str,
) -> Iterator[Tree]:
    """Run `sentinel up` on free ports; whatever is left of it at the end is killed.

    Without doors, unless a test is about them: then whoever asks is whom the header says. `stderr` gets what
    the whole tree logs.
    """
    command = [sys.executable, "-m", "sentinel.cli.main", "up", "--json", "--port", "0", "--home", str(home)]
    if insecure:
        command.append("--insecure")
    with subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=environment(**(settings or {}), **more),
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        pids: list[int] = []
        try:
            assert line, "it did not come up"
            told = json.loads(line)
            tree = Tree(process, told["url"], home, told["hooks"])
            pids = tree.pids()
            yield tree
        finally:
            if process.poll() is None:
                pids = [process.pid, *_below(process.pid)]
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(timeout=60)
                except subprocess.TimeoutExpired:
                    for pid in pids:
                        if _runs(pid):
                            os.kill(pid, signal.SIGKILL)
            until(lambda: gone(pids), "processes are left behind")


def until(true: Callable[[], Any], why: str, seconds: float = 60.0) -> Any:
    """Wait until something is true, and return it."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, why
        time.sleep(0.02)
    return found


def push(home: Path, folder: Path, **documents: str) -> None:
    """Write documents (name without ending: YAML) and push them together."""
    folder.mkdir(exist_ok=True)
    for name, body in documents.items():
        (folder / f"{name}.yaml").write_text(body)
    done = sentinel("recipes", "push", str(folder), home=home)
    assert done.returncode == 0, done.stderr.decode()


def alerts(home: Path, name: str = "alerts.ndjson") -> list[dict[str, Any]]:
    """Return the lines of a file sink."""
    path = home / "files" / name
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
