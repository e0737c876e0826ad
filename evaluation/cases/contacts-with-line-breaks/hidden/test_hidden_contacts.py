import pytest

from contacts.book import Book
from contacts.reader import rows

HEAD = "name,email,phone,address\n"


def test_an_address_keeps_all_its_lines() -> None:
    book = Book()
    report = book.load(HEAD + 'Jean,jean@a.example,,"8 rue du Port\n44000 Nantes\nFrance"\n')
    assert report.new == 1
    assert book.contacts["jean@a.example"]["address"] == "8 rue du Port\n44000 Nantes\nFrance"


def test_what_follows_a_cell_with_lines_is_read() -> None:
    text = HEAD + 'Jean,jean@a.example,,"8 rue\nNantes"\nLi,li@a.example,+86,Beijing\n'
    assert [row["name"] for row in rows(text)] == ["Jean", "Li"]


def test_quotes_within_a_cell_are_kept() -> None:
    text = HEAD + 'Jean,jean@a.example,,"""Chez\nNous"", Nantes"\n'
    assert rows(text)[0]["address"] == '"Chez\nNous", Nantes'


@pytest.mark.parametrize("line", ["Li,li@a.example,+86", "Li,li@a.example,+86,"])
def test_a_row_without_an_address_is_a_contact(line: str) -> None:
    book = Book()
    assert book.load(HEAD + line + "\n").new == 1
    assert book.contacts["li@a.example"] == {
        "name": "Li",
        "email": "li@a.example",
        "phone": "+86",
        "address": "",
    }


def test_a_row_with_a_name_only_is_refused_with_its_number() -> None:
    report = Book().load(HEAD + "Li,li@a.example,,\nMax\nEve,eve@a.example\n")
    assert report.new == 2
    assert report.refused == {2: "its e-mail address is none"}


def test_line_ends_of_windows_are_line_ends() -> None:
    text = (HEAD + 'Jean,jean@a.example,,"8 rue\nNantes"\nLi,li@a.example\n').replace("\n", "\r\n")
    assert [row["name"] for row in rows(text)] == ["Jean", "Li"]


def test_full_rows_stay() -> None:
    assert rows(HEAD + "Ada,ada@a.example,1,York\n") == [
        {"name": "Ada", "email": "ada@a.example", "phone": "1", "address": "York"}
    ]


def test_nothing_is_no_rows() -> None:
    assert rows("") == rows(HEAD) == rows(HEAD + "\n\n") == []
