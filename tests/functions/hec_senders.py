"""What senders of Splunk's Event Collector send, as their sources have it (`tests/goldens/hec`)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "goldens" / "hec"


@dataclass(frozen=True)
class Sent:
    """One request, and the entries that it is stored as. `ack`: it is of a webhook with acks."""

    path: str
    body: bytes
    entries: Sequence[str]
    headers: Mapping[str, str]
    query: Mapping[str, str] = field(default_factory=dict)
    gzip: bool = False
    ack: bool = False

    @property
    def packed(self) -> bytes:
        """The body as it goes over the wire."""
        return gzip.compress(self.body, mtime=0) if self.gzip else self.body

    @property
    def sent(self) -> dict[str, str]:
        """The headers, with how the body is packed."""
        return {**self.headers, **({"Content-Encoding": "gzip"} if self.gzip else {})}


def _senders() -> dict[str, Sent]:
    told = json.loads((FOLDER / "senders.json").read_text())
    return {name: Sent(**{**case, "body": case["body"].encode()}) for name, case in told.items()}


SENDERS: Mapping[str, Sent] = _senders()
