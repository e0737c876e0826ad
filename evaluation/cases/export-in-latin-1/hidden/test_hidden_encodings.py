import pytest

from contacts.contact import BadFile, Contact
from contacts.files import text_of
from contacts.importing import import_contacts

NAMES = ["Krüger", "Ångström", "Núñez", "Façade", "ÿ"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_latin_1_is_read_letter_for_letter(name):
    found = import_contacts(f"name;mail\n{name};x@example.com\n".encode("latin-1"))
    assert found.contacts == [Contact(name, "x@example.com")]


@pytest.mark.parametrize("name", [*NAMES, "Łukasz", "李"])
def test_a_name_in_utf_8_stays_what_it_is(name):
    found = import_contacts(f"name;mail\n{name};x@example.com\n".encode())
    assert found.contacts == [Contact(name, "x@example.com")]


def test_a_name_of_one_letter_is_not_skipped():
    found = import_contacts("name;mail\nØ;x@example.com\n".encode("latin-1"))
    assert (len(found.contacts), found.skipped) == (1, [])


def test_a_mark_is_no_part_of_the_text():
    assert text_of(b"\xef\xbb\xbfname") == "name"


def test_what_holds_no_text_is_still_refused():
    with pytest.raises(BadFile):
        import_contacts(b"name;mail\n\xff\0;x@example.com\n")
