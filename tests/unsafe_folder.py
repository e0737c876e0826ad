"""Runs programs in a plain folder, without a sandbox: only for tests whose programs are our own."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sentinel.core.proving import Limits, Ran


class UnsafeFolder:
    """The port `Sandbox` without any safety. It counts what it ran."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, ...]] = []

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
        """Run a command in a folder of its own, for at most its seconds."""
        self.commands.append(tuple(command))
        if stopped():
            return Ran(-9, b"", b"", 0.0, "stopped")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for path, _, data in files:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(data)
            seen = {"PATH": f"{environment}/bin:{os.defpath}", "HOME": name, **dict(variables)}
            begun = time.monotonic()
            try:
                code, out, err = _ended(command, folder, seen, limits)
            except subprocess.TimeoutExpired:
                return Ran(-9, b"", b"", limits.seconds, "seconds")
            if code == -signal.SIGXCPU:
                return Ran(code, out, err, time.monotonic() - begun, "cpu")
            brought = {path: (folder / path).read_bytes() for path in bring if (folder / path).is_file()}
            return Ran(code, out, err, time.monotonic() - begun, "", brought)


def _ended(
    command: Sequence[str], folder: Path, seen: dict[str, str], limits: Limits
) -> tuple[int, bytes, bytes]:
    """Run a command and return its code and output; its CPU time is bounded, so that load does not matter."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, env=seen, stdout=pipe, stderr=pipe) as process:
        most = int(limits.cpu)
        resource.prlimit(process.pid, resource.RLIMIT_CPU, (most, most + 1))
        try:
            out, err = process.communicate(timeout=limits.seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return process.returncode, out, err
