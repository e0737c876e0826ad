"""What a contact has to have."""

from __future__ import annotations

import re
from collections.abc import Mapping

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def problem(contact: Mapping[str, str]) -> str | None:
    """Return what keeps a contact from being imported, or None."""
    if not contact["name"].strip():
        return "it has no name"
    if not _EMAIL.fullmatch(contact["email"].strip()):
        return "its e-mail address is none"
    return None
