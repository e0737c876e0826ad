"""A contact, and what is wrong with a row that is none."""

from __future__ import annotations

from dataclasses import dataclass, field


class BadFile(ValueError):
    """A file is no export of contacts. Whoever sent it sees the message."""


@dataclass(frozen=True)
class Contact:
    """A person with an address."""

    name: str
    mail: str


@dataclass
class Imported:
    """What came of a file: contacts, and the numbers of the rows that were skipped."""

    contacts: list[Contact] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
