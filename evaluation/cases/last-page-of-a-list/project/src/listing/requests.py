"""Answers requests for lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from listing.documents import Archive
from listing.pages import page_from


def listed(archive: Archive, query: dict[str, str]) -> dict[str, Any]:
    """Return a page of titles as JSON: by `from`, `size` and `tag` of the query, each of which may be absent."""
    first, size = int(query.get("from", "0")), int(query.get("size", "20"))
    page = page_from(archive.ids(query.get("tag", "")), first, size)
    return {"titles": [archive.title(key) for key in page.ids], "next": page.next}


def walked(archive: Archive, size: int, tag: str = "") -> Iterator[str]:
    """Yield the titles of all pages, one page after the other, as a client would ask for them."""
    query = {"size": str(size), "tag": tag}
    while True:
        answer = listed(archive, query)
        yield from answer["titles"]
        if answer["next"] is None:
            return
        query["from"] = str(answer["next"])
