"""The Python client as a package: what is in its wheel, what importing it costs, and its types for users."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hatchling.builders.wheel import WheelBuilder

import sentinel_client
from sentinel_client.testing import capture

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "clients" / "python"
HEAVY = (
    *("ssl", "http.client", "asyncio", "cryptography", "urllib.request", "uuid", "logging.handlers", "json"),
    *("dataclasses", "inspect", "pathlib", "email", "socket", "subprocess", "sqlite3", "unittest", "decimal"),
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    return Path(next(WheelBuilder(str(CLIENT)).build(directory=str(folder))))


def test_the_wheel_has_the_package_and_nothing_else(wheel: Path) -> None:
    """All modules, the detector table and `py.typed`; no tests."""
    with zipfile.ZipFile(wheel) as packed:
        names = {name for name in packed.namelist() if ".dist-info/" not in name}
        told = packed.read(next(n for n in packed.namelist() if n.endswith("METADATA"))).decode()
    there = {
        str(path.relative_to(CLIENT))
        for path in (CLIENT / "sentinel_client").rglob("*")
        if path.is_file() and not {"__pycache__", ".mypy_cache", ".ruff_cache"} & set(path.parts)
    }
    assert names == there
    assert "sentinel_client/py.typed" in names
    required = [line for line in told.splitlines() if line.startswith("Requires-Dist:")]
    assert [line for line in required if "extra ==" not in line] == ["Requires-Dist: cryptography>=42"]


def test_the_wheel_works_where_nothing_else_is(wheel: Path, tmp_path: Path) -> None:
    """From the wheel alone, without site packages: it logs to disk and says what it counted."""
    program = """
import sys
sys.path.insert(0, sys.argv[1])
import logging, sentinel_client
told = {"url": "http://127.0.0.1:9", "service": "s", "directory": sys.argv[2], "exit_seconds": 0.1}
client = sentinel_client.install(**told)
assert sentinel_client.__file__.startswith(sys.argv[1])
logging.getLogger("a").info("m", extra={"order": 7, "card": "4111 1111 1111 1111"})
assert client.stats()["log"]["next"] == 1, client.stats()
assert not {"orjson", "zstandard", "google_crc32c", "cryptography"} & set(sys.modules)
"""
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(tmp_path / "site"), str(tmp_path / "log")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (segment,) = (tmp_path / "log").glob("*/*.wal")
    assert b"[[card:" in segment.read_bytes()
    assert not re.search(rb"4111 ?1111", segment.read_bytes())  # "4111" may be of a time


def test_importing_is_cheap() -> None:
    """Nothing heavy is imported before it is used: that is what keeps the import below 40 ms."""
    program = (
        "import sys; before = set(sys.modules); import sentinel_client; "
        "from sentinel_client import install, get_logger, SentinelHandler, context, Client; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(CLIENT)!r}); {program}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    imported = done.stdout.split()
    assert "sentinel_client._client" in imported
    assert [name for name in HEAVY if name in imported] == []


if TYPE_CHECKING:  # users have types: what is right passes, and each mistake is found, else its comment is

    def _right() -> bool:
        client: sentinel_client.Client = sentinel_client.install(url="https://x", level="DEBUG")
        log: sentinel_client.Logger = sentinel_client.get_logger("a", order=7)
        log.info("paid %s", 7, amount=1.5)
        log.bind(x=1).exception("failed", exc_info=True)
        with sentinel_client.context(request_id="r"), capture() as captured:
            captured.assert_logged(level="INFO")
        handler: logging.Handler = sentinel_client.SentinelHandler(level="INFO", service="x")
        handler.flush()
        return client.flush(1.0)

    def _wrong() -> str:
        sentinel_client.get_logger("a").info(7)  # type: ignore[arg-type]
        sentinel_client.get_logger("a").inform("m")  # type: ignore[attr-defined]
        sentinel_client.instal()  # type: ignore[attr-defined]
        return sentinel_client.flush(1)  # type: ignore[return-value]
