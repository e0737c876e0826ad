import pytest

from contacts.contact import BadFile, Contact
from contacts.importing import import_contacts


def test_each_row_is_a_contact():
    found = import_contacts(b"name;mail\nKim;Kim@Example.com\nBo ; bo@example.com\n")
    assert found.contacts == [Contact("Kim", "kim@example.com"), Contact("Bo", "bo@example.com")]
    assert found.skipped == []


def test_rows_that_are_no_contact_are_told_by_their_numbers():
    found = import_contacts(b"name;mail\n;kim@example.com\nBo;bo@example.com\nLee;nowhere\n")
    assert found.skipped == [2, 4]


def test_a_file_without_the_header_is_refused():
    with pytest.raises(BadFile, match="name;mail"):
        import_contacts(b"Kim;kim@example.com\n")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_utf_8_is_read_with_and_without_a_mark(encoding):
    data = "name;mail\nMüller;m@example.com\n".encode(encoding)
    assert import_contacts(data).contacts[0].name == "Müller"
