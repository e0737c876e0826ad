"""The address book."""

from __future__ import annotations

from dataclasses import dataclass, field

from contacts.checks import problem
from contacts.reader import rows

Contact = dict[str, str]


@dataclass
class Report:
    """What an import did: how many contacts are new or changed, and which rows were refused and why."""

    new: int = 0
    changed: int = 0
    refused: dict[int, str] = field(default_factory=dict)


@dataclass
class Book:
    """Contacts by their e-mail address in lower case."""

    contacts: dict[str, Contact] = field(default_factory=dict)

    def load(self, text: str) -> Report:
        """Import an export. Rows are counted from 1, without the line of names."""
        report = Report()
        for number, row in enumerate(rows(text), start=1):
            reason = problem(row)
            if reason is not None:
                report.refused[number] = reason
                continue
            contact = {name: cell.strip() for name, cell in row.items()}
            key = contact["email"].lower()
            if key not in self.contacts:
                report.new += 1
            elif self.contacts[key] != contact:
                report.changed += 1
            self.contacts[key] = contact
        return report
