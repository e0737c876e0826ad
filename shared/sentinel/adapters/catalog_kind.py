"""Which words can be kinds of documents: the same for every store of the catalog."""

from __future__ import annotations

from sentinel.errors import Malformed


def check_kind(kind: str) -> str:
    """Return `kind`, or raise `Malformed`: `#` parts a kind from an id, and `revision` is the token's."""
    if not kind or "#" in kind or kind == "revision":
        raise Malformed("a kind of document is a word without #, and not `revision`")
    return kind
