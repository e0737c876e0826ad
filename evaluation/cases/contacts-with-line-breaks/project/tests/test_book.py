from contacts.book import Book
from contacts.reader import rows

TEXT = """\
name,email,phone,address
Ada,ada@post.example,+44 20 1,"12 St James, London"
Bob,bob@post.example,,Leeds
"""


def test_rows_have_the_names_of_columns() -> None:
    assert rows(TEXT)[1] == {"name": "Bob", "email": "bob@post.example", "phone": "", "address": "Leeds"}


def test_quotes_hold_commas() -> None:
    assert rows(TEXT)[0]["address"] == "12 St James, London"


def test_empty_lines_are_passed_over() -> None:
    assert len(rows(TEXT + "\n\n")) == 2


def test_contacts_are_new_once() -> None:
    book = Book()
    assert book.load(TEXT).new == 2
    report = book.load(TEXT)
    assert (report.new, report.changed) == (0, 0)


def test_a_changed_contact_is_counted() -> None:
    book = Book()
    book.load(TEXT)
    assert book.load(TEXT.replace("Leeds", "York")).changed == 1
    assert book.contacts["bob@post.example"]["address"] == "York"


def test_rows_are_refused_with_their_number() -> None:
    report = Book().load(TEXT + "Eve,eve(at)post.example,,\n ,max@post.example,,\n")
    assert report.refused == {3: "its e-mail address is none", 4: "it has no name"}
