"""Both clients hide the same, and put the same in its place: Python and TypeScript on the same entries."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sentinel_client.privacy import Policy, Privacy
from tests.clients.test_typescript import CLIENT, NODE, _built, pytestmark
from tests.e2e.trees import ROOT

__all__ = ["_built", "pytestmark"]

SURROUNDINGS: tuple[Callable[[str], str], ...] = (
    lambda text: text,
    lambda text: f"before {text} after",
    lambda text: f"\n{text}\t",
    lambda text: f'"{text}"',
    lambda text: f"é{text}€😀",
    lambda text: f'{{"password": "{text}"}}',
    lambda text: text.upper(),
)


def _entries() -> Iterator[dict[str, Any]]:
    """Yield entries with each example of the detector table in many places."""
    table = json.loads((ROOT / "clients" / "detectors.json").read_text())
    for row in table["detectors"]:
        for text in (*row["match"], *row["no_match"]):
            for around in SURROUNDINGS:
                yield {"message": around(text)}
            yield {"message": "x", "list": ["x", text, ["token", text]], text: 1}
            yield {"name": text, "value": text, "n": 4111111111111111, "f": 1.5}


def test_typescript_hides_what_python_hides(tmp_path: Path) -> None:
    """Each example of the table, wherever it stands, becomes the same in both languages."""
    key = tmp_path / "tokens.key"
    key.write_bytes(b"0123456789abcdef0123456789abcdef")
    privacy = Privacy(Policy.from_mapping({"key_file": str(key), "detectors": {"random": "mask"}}))
    entries = list(_entries())
    lines = "".join(f"{json.dumps(each, ensure_ascii=False)}\n" for each in entries)
    done = subprocess.run(
        [str(NODE), str(CLIENT / "test" / "mask-lines.mjs"), str(key)],
        input=lines.encode(),
        stdout=subprocess.PIPE,
        timeout=120,
        check=True,
    )
    hidden = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert len(hidden) == len(entries)
    for entry, told in zip(entries, hidden, strict=True):
        assert told == privacy.entry(entry)
