"""A tree of categories, told by the name of what each is directly below. The root is below nothing."""

from __future__ import annotations

from collections.abc import Mapping

ROOT = "all"


class Misplaced(ValueError):
    """A category has no place in the tree."""


def path_of(parents: Mapping[str, str], name: str) -> list[str]:
    """Return the names from the root to a category. Raises `Misplaced` where it does not hang on the root."""
    if name == ROOT:
        return [ROOT]
    above = parents[name]
    if above not in parents:
        raise Misplaced(f"{name} is below {above}, which there is none of")
    return [*path_of(parents, above), name]
