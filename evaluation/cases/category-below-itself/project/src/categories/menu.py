"""The menu of the public pages. A category whose name begins with a point is for the staff alone."""

from __future__ import annotations

from categories.importing import Imported


def menu(imported: Imported) -> list[str]:
    """Return the paths that everybody sees, in order. What is below a hidden category is hidden as well."""
    return sorted(path for path in imported.paths.values() if not hidden(path))


def hidden(path: str) -> bool:
    """Whether a path is for the staff alone."""
    return any(name.startswith(".") for name in path.split("/"))
