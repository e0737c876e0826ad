"""`python -m examples.run --once`: the main job on a log, from its first line to its last line of JSON."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from examples import traffic
from examples.run import INTERRUPTED, service_of
from sentinel.core.chain import check_service
from tests.data import need
from tests.e2e.trees import ROOT, environment, sentinel

SYSTEMS = (
    "Android",
    "Apache",
    "BGL",
    "HDFS",
    "HealthApp",
    "Linux",
    "OpenSSH",
    "OpenStack",
    "Spark",
    "Windows",
)
KEYS = {"entries", "segments", "chains", "verified", "tasks", "deliveries", "seconds"}


def once(home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the example once on a free port."""
    command = [sys.executable, "-m", "examples.run", "--once", "--port", "0", "--home", str(home)]
    return subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=100,
        env=environment(),
        cwd=ROOT,
        check=False,
    )


def figures(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the account, which is the last line."""
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == KEYS
    assert found["verified"] is True
    return found


def test_a_log_is_stored_matched_delivered_and_verified_and_again_alike(tmp_path: Path) -> None:
    """A text log goes all the way; the same log once more gives the same account and stores nothing."""
    log = tmp_path / "auth log.txt"
    lines = [f"Jan 01 00:00:{at % 60:02d} host sshd[{at}]: Failed password for root" for at in range(700)]
    log.write_text("\r\n".join(lines))
    first = figures(once(tmp_path / "home", "--input", log))
    assert (first["entries"], first["segments"], first["chains"]) == (700, 2, 1)
    assert first["tasks"] >= 1
    assert first["deliveries"] >= 2
    told = (tmp_path / "home" / "files" / "alerts.ndjson").read_bytes()
    again = figures(once(tmp_path / "home", "--input", log))
    assert {**again, "seconds": 0} == {**first, "seconds": 0}
    assert (tmp_path / "home" / "files" / "alerts.ndjson").read_bytes() == told


@pytest.mark.nightly
def test_ndjson_is_stored_as_it_is(tmp_path: Path) -> None:
    """An NDJSON log is recognised, and every line is an entry."""
    log = tmp_path / "app.ndjson"
    log.write_text("".join(json.dumps({"n": number}) + "\n" for number in range(50)))
    found = figures(once(tmp_path / "home", "--input", log))
    assert (found["entries"], found["segments"], found["tasks"]) == (50, 1, 0)


def test_the_shop_fails_for_real_and_sentinel_sees_it(tmp_path: Path) -> None:
    """Without an input the shop runs: its bugs become a task that tells the SIEM and opens an incident."""
    done = once(tmp_path / "home")
    found = figures(done)
    assert found["entries"] > 50
    assert found["deliveries"] >= 3
    words = [line.split()[0] for line in done.stdout.splitlines()[:-1]]
    for word in ("up", "stored", "matched", "task", "delivered", "verified", "checked"):
        assert word in words
    assert "http 201" in done.stdout
    patch = "awaiting-approval" if "patches    none are made here" not in done.stdout else "patches"
    assert patch in words, "the crash becomes a proven patch, where there is a sandbox"
    again = figures(once(tmp_path / "home"))
    assert again["deliveries"] >= 3, "another run of the shop is another incident"


@pytest.mark.nightly
def test_it_stays_up_until_ctrl_c(tmp_path: Path) -> None:
    """Without `--once` it says where everything is, goes on telling what happens, and ends with code 0."""
    command = [sys.executable, "-m", "examples.run", "--port", "0", "--home", str(tmp_path / "home")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(), cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            told: dict[str, str] = {}
            while "waiting" not in told:
                word, text = process.stdout.readline().split(None, 1)
                told[word] = text.strip()
            traffic.drive(told["shop"], 12, seed=2)
            assert any(line.startswith("stored") for line in process.stdout)
        finally:
            process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(timeout=60) == 0
    assert sentinel("verify", home=tmp_path / "home").returncode == 0


@pytest.mark.parametrize("content", [None, b"", b"\n \n\r\n"])
def test_an_input_that_cannot_be_used_is_said_plainly(tmp_path: Path, content: bytes | None) -> None:
    """A missing or empty file is an error in two lines with exit code 2, before anything is started."""
    log = tmp_path / "x.log"
    if content is not None:
        log.write_bytes(content)
    done = once(tmp_path / "home", "--input", log)
    assert done.returncode == 2
    assert str(log) in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "home").exists()


@pytest.mark.nightly
def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    """What comes through a named pipe is all stored: nothing is read ahead and thrown away."""
    pipe = tmp_path / "lines.pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("".join(f"line {n}\n" for n in range(3000)),))
    writer.start()
    assert figures(once(tmp_path / "home", "--input", pipe))["entries"] == 3000
    writer.join()


@pytest.mark.nightly
def test_an_interrupted_run_says_so(tmp_path: Path) -> None:
    """A run that was stopped before its account was given exits 130, not 0."""
    pipe = tmp_path / "never.pipe"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "examples.run", "--once", "--port", "0", "--input", str(pipe)]
    with subprocess.Popen(
        [*command, "--home", str(tmp_path / "home")],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        assert any(line.startswith("up ") for line in process.stdout)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == INTERRUPTED


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("my log.txt", "my-log"),
        ("日本.log", "input"),
        ("!!!", "input"),
        (".hidden", "hidden"),
        ("x" * 200, "x" * 128),
        ("x" * 127 + "-y" * 20, "x" * 127),
    ],
)
def test_a_files_name_becomes_a_service_id(name: str, service: str) -> None:
    """Whatever a file is called, the service made of its name is one that is taken."""
    assert check_service(service_of(Path(name))) == service


@pytest.mark.parametrize(("arguments", "code"), [(("--port", "70000"), 2), (("--home", "{log}"), 3)])
def test_what_cannot_be_had_is_said_plainly(tmp_path: Path, arguments: tuple[str, ...], code: int) -> None:
    """A port that is none, and a folder that is a file, are errors without a traceback."""
    log = tmp_path / "x.log"
    log.write_text("hello\n")
    done = once(tmp_path / "home", "--input", log, *(each.format(log=log) for each in arguments))
    assert done.returncode == code
    assert "Traceback" not in done.stderr


@pytest.mark.nightly
def test_every_log_of_loghub(tmp_path: Path) -> None:
    """Each real log of 2,000 lines is stored whole and verified; three of them are known to set tasks off."""
    folder = need("loghub")
    inputs = [arg for name in SYSTEMS for arg in ("--input", folder / name / f"{name}_2k.log")]
    done = once(tmp_path / "home", *inputs)
    found = figures(done)
    assert (found["entries"], found["chains"]) == (20_000, 10)
    assert found["segments"] >= 40
    for title, name in (
        ("Many failed logins", "OpenSSH"),
        ("Fatal line", "BGL"),
        ("Many error lines", "Apache"),
    ):
        assert any(title in line and f"{name}_2k/0" in line for line in done.stdout.splitlines())
