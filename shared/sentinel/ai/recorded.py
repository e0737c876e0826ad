"""The model `recorded`: replies that were kept, byte for byte, with their usage and what they cost.

An exchange (`core.exchanges`) is kept in a file named after its question. A question that was not recorded
is an error: nobody is asked in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from sentinel.ai.model import ModelConfig, Path, Reach
from sentinel.core import exchanges
from sentinel.core.questions import NotAnswered, Question, Reply
from sentinel.errors import Missing, Tampered


class RecordedConfig(ModelConfig):
    """`folder` is a path below the deployment's folder."""

    kind: Literal["recorded"]
    folder: Path


class Recorded:
    """Replays: `ports_patches.Model`. `find` returns the exchange of a question's key, or None."""

    def __init__(self, find: Callable[[str], bytes | None]) -> None:
        self._find = find

    def ask(self, question: Question, deadline: int) -> Reply:
        """Return the reply that was kept; takes no time. Raises `NotAnswered` where there is none."""
        del deadline
        key = exchanges.key(question)
        found = self._find(key)
        if found is None:
            raise NotAnswered(f"no reply to this question was recorded ({key[:16]}): ask it once and keep it")
        kept, reply = exchanges.parse(found)
        if exchanges.key(kept) != key:
            raise Tampered("recorded", 0, "question", f"what is kept as {key[:16]} answers another question")
        return reply


def in_folder(config: RecordedConfig, reach: Reach) -> Recorded:
    """Return the model whose exchanges are files: `FOLDER/KEY.json`."""

    def find(key: str) -> bytes | None:
        try:
            return reach.read(f"{config.folder}/{key}.json")
        except Missing:
            return None

    return Recorded(find)
