import pytest

from downloads.errors import NotSatisfiable
from downloads.ranges import parse
from downloads.serve import serve

CONTENT = bytes(range(100))


def test_the_last_bytes_are_sent() -> None:
    response = serve(CONTENT, {"range": "bytes=-30"})
    assert (response.status, response.body) == (206, CONTENT[70:])
    assert response.headers["content-range"] == "bytes 70-99/100"


def test_more_last_bytes_than_there_are_is_all() -> None:
    assert parse("bytes=-500", 100) == (0, 99)
    assert parse("bytes=-100", 100) == (0, 99)


def test_no_last_bytes_is_not_satisfiable() -> None:
    with pytest.raises(NotSatisfiable):
        parse("bytes=-0", 100)


@pytest.mark.parametrize("header", ["pages=1-2", "bytes=1-2,4-5", "bytes=-", "bytes=a-b", "bytes"])
def test_other_headers_are_ignored(header: str) -> None:
    assert parse(header, 100) is None
    assert serve(CONTENT, {"range": header}).body == CONTENT


def test_ranges_from_the_start_stay() -> None:
    assert parse("bytes=0-0", 100) == (0, 0)
    assert parse("bytes=10-19", 100) == (10, 19)
    assert parse("bytes=99-", 100) == (99, 99)


def test_a_range_behind_the_end_stays_refused() -> None:
    assert serve(CONTENT, {"range": "bytes=100-"}).status == 416
