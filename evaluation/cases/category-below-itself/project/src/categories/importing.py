"""Imports categories. Suppliers make mistakes; what has no place is told to them and the rest is imported.

How deep a tree is, is up to the supplier: one has a category for each part of a part of a machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from categories.tree import ROOT, Misplaced, path_of


@dataclass
class Imported:
    """Categories by name, with their paths, and in words what is wrong with the others."""

    paths: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def import_categories(lines: Iterable[str]) -> Imported:
    """Return what came of lines `name < name of what it is below`. An empty line says nothing."""
    parents = {ROOT: ""}
    found = Imported()
    for line in lines:
        name, mark, above = (part.strip() for part in line.partition("<"))
        if mark and name and above and name not in parents:
            parents[name] = above
        elif line.strip():
            found.problems.append(f"not a category of its own: {line.strip()}")
    for name in parents:
        try:
            found.paths[name] = "/".join(path_of(parents, name))
        except Misplaced as error:
            found.problems.append(str(error))
    return found
