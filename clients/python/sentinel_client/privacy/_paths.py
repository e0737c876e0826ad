"""Key paths: which fields of an entry a policy names.

A path is names with dots between them, compared without regard to case. `*` is any one name, `**` any number
of names, none included. Lists have no names of their own: what is in them has the list's path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from sentinel_client.privacy._errors import BadPolicy

ACTIONS = ("drop", "mask", "hash", "encrypt")
_NAME = r"[^.*\s](?:[^.*]*[^.*\s])?|\*|\*\*"

_LEADING = {"*": r"[^.]+\.", "**": r"(?:[^.]+\.)*"}
_LAST = {"*": r"[^.]+", "**": r".+"}


class Paths:
    """What is to be done with fields, by their path.

    >>> paths = Paths({"user.email": "mask", "**.password": "drop"})
    >>> [paths.action(each) for each in ("User.Email", "a.b.password", "password", "email")]
    ['mask', 'drop', 'drop', '']
    """

    def __init__(self, actions: Mapping[str, str]) -> None:
        self._rules = tuple((_expression(path), action) for path, action in actions.items())
        lasts = {path.lower().rpartition(".")[2] for path in actions}
        self.any_name = bool(lasts & {"*", "**"})
        self._lasts = frozenset(lasts)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def named(self, names: Iterable[str]) -> bool:
        """Whether a path can end with one of these names (in small letters)."""
        return self.any_name or any(name.rpartition(".")[2] in self._lasts for name in names)

    def action(self, path: str) -> str:
        """Return what is to be done with a field, "" for nothing; of paths that fit, the first counts."""
        lower = path.lower()
        if not self._rules or not self.named((lower,)):
            return ""
        return next((action for rule, action in self._rules if rule.fullmatch(lower)), "")


def _expression(path: str) -> re.Pattern[str]:
    names = path.lower().split(".")
    if not all(re.fullmatch(_NAME, name) for name in names):
        raise BadPolicy(f"{path!r} is no path: names, * or ** with dots between them, as in user.email")
    if names.count("**") > 2:
        raise BadPolicy(f"the path {path!r} has ** more than twice")
    pieces = [_LEADING.get(name) or re.escape(name) + r"\." for name in names[:-1]]
    pieces.append(_LAST.get(names[-1]) or re.escape(names[-1]))
    return re.compile("".join(pieces))
