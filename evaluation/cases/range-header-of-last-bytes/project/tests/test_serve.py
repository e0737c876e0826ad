import pytest

from downloads.errors import NotSatisfiable
from downloads.ranges import parse
from downloads.serve import serve

CONTENT = b"0123456789"


def test_without_a_range_all_is_sent() -> None:
    response = serve(CONTENT, {})
    assert (response.status, response.body) == (200, CONTENT)


def test_a_range_is_sent_with_its_place() -> None:
    response = serve(CONTENT, {"range": "bytes=2-5"})
    assert (response.status, response.body) == (206, b"2345")
    assert response.headers["content-range"] == "bytes 2-5/10"


def test_a_range_may_have_no_end() -> None:
    assert parse("bytes=7-", 10) == (7, 9)


def test_a_range_ends_with_the_file() -> None:
    assert parse(" bytes=7-99 ", 10) == (7, 9)


def test_a_range_that_ends_before_it_begins_is_ignored() -> None:
    assert parse("bytes=5-2", 10) is None
    assert serve(CONTENT, {"range": "bytes=5-2"}).status == 200


def test_a_range_behind_the_end_is_told() -> None:
    with pytest.raises(NotSatisfiable, match="10 bytes"):
        parse("bytes=10-", 10)
    assert serve(CONTENT, {"range": "bytes=10-"}).headers == {"content-range": "bytes */10"}
