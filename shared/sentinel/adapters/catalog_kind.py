"""Which words can be kinds of documents: the same for every store of the catalog."""

from __future__ import annotations

from sentinel.errors import Malformed


def check_kind(kind: str) -> str:
    """Return `kind`, or raise `Malformed`: `#` parts a kind from an id, and the catalog keeps two itself."""
    if not kind or "#" in kind or kind in {"revision", "activations"}:
        raise Malformed("a kind of document is a word without #, and not `revision` or `activations`")
    return kind
