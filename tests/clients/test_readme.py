"""The README of the Python client: every example runs, and what it logs arrives."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

import sentinel_client
from sentinel_client.aws_lambda import flushed
from sentinel_client.testing import capture

README = Path(__file__).resolve().parents[2] / "clients" / "python" / "README.md"
SECTIONS = [part.partition("\n") for part in README.read_text().split("\n## ")[1:]]
BLOCKS = [
    (f"{title}-{at}", code)
    for title, _, text in SECTIONS
    for at, code in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
]
# What an example logs, by the messages; those without have nothing to log by themselves.
LOGGED = {
    "Start-0": ["paid"],
    "Native loggers-0": ["paid", "card declined", "no price"],
    "Context-0": ["begun", "swept"],
    "structlog and loguru-0": ["paid"],
    "structlog and loguru-1": ["paid"],
}


@pytest.fixture
def arriving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have what the examples install write to a file: their options come from a configuration file."""
    path = tmp_path / "arrived.ndjson"
    config = tmp_path / "config.json"
    told = {
        "url": "http://127.0.0.1:9",
        "service": "readme",
        "directory": str(tmp_path / "log"),
        "transports": [{"kind": "file", "path": str(path)}],
        "exit_seconds": 0.2,
    }
    config.write_text(json.dumps(told))
    monkeypatch.setenv("SENTINEL_CONFIG", str(config))
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield path
    sentinel_client.uninstall()
    structlog.reset_defaults()
    root.handlers[:] = before
    root.setLevel(level)


@pytest.mark.parametrize(("name", "code"), BLOCKS, ids=[name for name, _ in BLOCKS])
def test_examples_run(name: str, code: str, arriving: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block by itself, with nothing set but the environment; what it logs is sent."""
    if name == "structlog and loguru-1":
        import loguru

        monkeypatch.setattr("loguru._logger.Core.handlers", {}, raising=False)
        loguru.logger.remove()
    if "install(" not in code:  # the reader has started it
        sentinel_client.install(capture=False)
    within: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, f"README.md, {name}", "exec"), within)
    if name == "AWS Lambda-0":
        assert within["handler"]({"kind": "test"}, None) == {"ok": True}
        assert "called" in arriving.read_text()
    if name == "Tests-0":
        within["pay"] = lambda order: sentinel_client.get_logger("shop").info("paid", order=order)
        within["test_paying_is_logged"]()
        within["pay"] = lambda order: None
        with pytest.raises(AssertionError, match="nothing was logged"):
            within["test_paying_is_logged"]()
    if name in LOGGED:
        assert sentinel_client.flush(10)
        found = [json.loads(line)["message"] for line in arriving.read_text().splitlines()]
        wanted = LOGGED[name]
        assert [each for each in found if each in wanted] == wanted


def test_the_shell_example_names_options_that_there_are() -> None:
    """Variables of the environment in the README are options."""
    from sentinel_client._options import FIELDS

    named = set(re.findall(r"SENTINEL_([A-Z_]+)", README.read_text())) - {"CONFIG"}
    assert {each.lower() for each in named if each} <= set(FIELDS)


def test_the_sections_link_to_what_is_there() -> None:
    """The option table that it links to is in the documentation."""
    assert "\n## Options\n" in (README.parents[2] / "docs" / "clients.md").read_text()


def test_flushed_takes_the_client_that_capture_lends() -> None:
    """Handlers of Lambda can be tested without a server."""
    with capture() as log:
        handler = flushed(
            lambda event, context: sentinel_client.get_logger("f").info(event), client=_Client()
        )
        handler("called", None)
    assert log.messages == ["called"]


class _Client:
    def flush(self, deadline: float) -> bool:
        """Flush whatever is installed."""
        return sentinel_client.installed().flush(deadline)
