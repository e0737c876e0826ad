"""How the names of secrets begin that patches need, so that rights can tell whose they are.

The worker that reads repositories may read secrets of the first kind alone, the one that proposes to them
those of the second, the one that asks models those of the third; nobody else any of them. A document that
names a secret of another kind is to be refused when it is read, and not first by a role without the right.
"""

from __future__ import annotations

from typing import Final

from sentinel.errors import Malformed

READ: Final = "read."
PUBLISH: Final = "publish."
MODEL: Final = "model."
KINDS: Final = (READ, PUBLISH, MODEL)


def checked(name: str, kind: str) -> str:
    """Return the name of a secret of a kind. Raises `Malformed` that says how it has to begin.

    >>> checked("read.checkout", READ)
    'read.checkout'
    """
    if not name.startswith(kind) or name == kind:
        raise Malformed(f"the name of this secret begins with {kind}: rights are given by that")
    return name
