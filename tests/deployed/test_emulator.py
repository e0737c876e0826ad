"""The emulator is ours alone: on loopback, out of reach of AWS, and gone with whoever started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.deployed import emulator
from tests.deployed.emulator import ROOT, Emulator, NotLoopback, must_be_loopback, run_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("deployed")]
# Starts a program that starts another, says both numbers, and would run for a minute.
STARTER = '''
import subprocess, sys, time
from pathlib import Path
from tests.deployed.emulator import Tethered
inner = """
import os, subprocess
below = subprocess.Popen(['sleep', '60'])
print(os.getpid(), below.pid, flush=True)
below.wait()
"""
log = Path(sys.argv[1])
program = Tethered([sys.executable, "-c", inner], dict(PATH="/bin:/usr/bin"), log)
program.wait(lambda: log.read_text().count(" ") == 1, "the program")
print(log.read_text(), flush=True)
time.sleep(60)
'''


@pytest.mark.parametrize(
    "url",
    [
        "https://dynamodb.eu-central-1.amazonaws.com",
        "http://dynamodb.eu-central-1.amazonaws.com:80",
        "http://127.0.0.1.example.com:4566",
        "http://127.0.0.1:4566@example.com:80",
        "http://localhost:4566",  # a name: what it means is up to somebody else
        "http://0.0.0.0:4566",
        "https://127.0.0.1:4566",
        "http://127.0.0.1",
    ],
)
def test_only_loopback_is_an_endpoint(url: str) -> None:
    """An address that is not plain HTTP to a port of 127.0.0.1 is refused."""
    with pytest.raises(NotLoopback):
        must_be_loopback(url)


@pytest.mark.nightly
@pytest.mark.parametrize("url", ["http://192.0.2.1:4566/", "http://127.0.0.1:1/"])
def test_a_client_sends_to_the_emulator_only(running: Emulator, url: str) -> None:
    """A request that something turned to another address is not sent."""

    def turn(request: Any, **_: object) -> None:
        request.url = url

    client = running.client("sts")
    assert client.get_caller_identity()["Account"] == emulator.ACCOUNT
    client.meta.events.register("request-created", turn)
    with pytest.raises(NotLoopback):
        client.get_caller_identity()


@pytest.mark.nightly
def test_nothing_of_the_callers_reaches_a_process(
    running: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Profiles, endpoints, proxies and files of the caller's reach no process and no client."""
    config = tmp_path / "config"
    config.write_text("[profile prod]\nendpoint_url = https://example.com\nregion = us-east-1\n")
    for name, value in {
        "AWS_PROFILE": "no-such-profile",
        "AWS_CONFIG_FILE": str(config),
        "AWS_ENDPOINT_URL_STS": "https://sts.example.com",
        "AWS_SESSION_TOKEN": "of-the-caller",
        "HTTP_PROXY": "http://192.0.2.1:3128",
        "http_proxy": "http://192.0.2.1:3128",
    }.items():
        monkeypatch.setenv(name, value)
    assert running.client("sts").get_caller_identity()["Account"] == emulator.ACCOUNT
    told = running.environ()
    assert {name for name in told if name.startswith("AWS_")} == {
        "AWS_ACCESS_KEY_ID",
        "AWS_CONFIG_FILE",
        "AWS_DEFAULT_REGION",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_ENDPOINT_URL",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SHARED_CREDENTIALS_FILE",
    }
    assert told["AWS_CONFIG_FILE"] == os.devnull
    assert not {name for name in told if "proxy" in name.lower()} - {"NO_PROXY"}


@pytest.mark.nightly
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's /proc")
def test_it_listens_on_loopback_only(running: Emulator) -> None:
    """No port of the emulator's is open to another machine."""
    listening = [
        parts[1]
        for table in ("tcp", "tcp6")
        for parts in map(str.split, Path(f"/proc/net/{table}").read_text().splitlines()[1:])
        if parts[3] == "0A" and f"socket:[{parts[9]}]" in _sockets(running.pid)
    ]
    assert listening
    assert {address.partition(":")[0] for address in listening} == {"0100007F"}


def _sockets(group: int) -> set[str]:
    """Return the sockets that the processes of a group have open."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(process.name)) == group:
                found |= {str(each.readlink()) for each in (process / "fd").iterdir()}
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def test_a_program_ends_with_a_starter_that_is_killed(tmp_path: Path) -> None:
    """After kill -9 of the starter neither the program nor what it started runs on."""
    path = f"{ROOT / 'shared'}{os.pathsep}{ROOT}"
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert starter.stdout is not None
    program, below = map(int, starter.stdout.readline().split())
    assert _alive(program)
    assert _alive(below)
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    deadline = time.monotonic() + 10
    while _alive(program) or _alive(below):
        assert time.monotonic() < deadline, "it runs on"
        time.sleep(0.02)


def _alive(number: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has waited for does not."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{number}/stat")
    try:
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_a_killed_run_left_is_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The folder of a run whose process is gone is removed by the next one, that of a living one stays."""
    monkeypatch.setattr(emulator, "BUILD", tmp_path)
    left = tmp_path / "runs" / "run-left"
    left.mkdir(parents=True)
    (left / "owner").touch()
    with run_folder() as living, run_folder() as other:
        assert not left.exists()
        assert living.exists()
        assert living != other
    assert not living.exists()


def test_a_program_that_does_not_start_says_why(tmp_path: Path) -> None:
    """What a program that ends at once has written is in the error."""
    program = emulator.Tethered([sys.executable, "-c", "print('no such luck')"], {}, tmp_path / "log")
    with pytest.raises(emulator.EmulatorFailed, match="no such luck"):
        program.wait(lambda: False, "the program")
    assert not program.alive
