"""The documents of the archive, in memory, by their ids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Document:
    """A document; ids rise in the order in which documents came in."""

    id: int
    title: str
    tag: str = ""


class Archive:
    """Documents by id."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._by_id = {document.id: document for document in documents}

    def __repr__(self) -> str:
        return f"Archive({len(self._by_id)} documents)"

    def ids(self, tag: str = "") -> list[int]:
        """Return the ids of all documents, or of those with a tag, in rising order."""
        return sorted(key for key, each in self._by_id.items() if not tag or each.tag == tag)

    def title(self, key: int) -> str:
        """Return a document's title. Raises `KeyError` where there is none of that id."""
        return self._by_id[key].title
