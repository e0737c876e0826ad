"""Imports an export: a header, then a row for each contact, with semicolons between."""

from __future__ import annotations

from contacts.contact import BadFile, Contact, Imported
from contacts.files import text_of

HEADER = ["name", "mail"]


def import_contacts(data: bytes) -> Imported:
    """Return the contacts of a file. Rows without a name or a proper address are skipped.

    Raises `BadFile` where the file is no export.
    """
    rows = text_of(data).splitlines()
    if not rows or rows[0].lower().split(";") != HEADER:
        raise BadFile("the first line is not name;mail")
    found = Imported()
    for number, row in enumerate(rows[1:], start=2):
        contact = contact_of(row)
        if contact is None:
            found.skipped.append(number)
        else:
            found.contacts.append(contact)
    return found


def contact_of(row: str) -> Contact | None:
    """Return the contact of a row, or None where it is none."""
    name, _, mail = (part.strip() for part in row.partition(";"))
    if not name or mail.count("@") != 1:
        return None
    return Contact(name, mail.lower())
