"""Somebody sends an export of the older system."""

from contacts.importing import import_contacts

import_contacts(b"name;mail\r\nJens Kr\xfcger;jens.krueger@example.com\r\nAna Ruiz;ana@example.com\r\n")
