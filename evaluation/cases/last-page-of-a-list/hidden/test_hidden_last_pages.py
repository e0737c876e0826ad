import pytest

from listing.documents import Archive, Document
from listing.pages import Page, page_from
from listing.requests import listed, walked

IDS = [4, 9, 11, 15, 16, 20, 31]


def test_the_last_page_has_what_is_left():
    assert page_from(IDS, 31, 3) == Page((31,), None)


def test_a_full_last_page_has_no_next():
    assert page_from(IDS, 16, 3) == Page((16, 20, 31), None)


def test_a_page_larger_than_the_list_has_all_of_it():
    assert page_from(IDS, 0, 50) == Page(tuple(IDS), None)


def test_what_is_behind_the_end_is_an_empty_last_page():
    assert page_from(IDS, 32, 3) == Page((), None)
    assert page_from([], 0, 3) == Page((), None)


@pytest.mark.parametrize("size", range(1, 9))
def test_all_pages_together_are_the_list(size):
    for count in range(8):
        archive = Archive(Document(key, str(key)) for key in IDS[:count])
        assert list(walked(archive, size)) == [str(key) for key in IDS[:count]]


def test_the_last_page_is_answered():
    archive = Archive(Document(key, f"letter {key}") for key in IDS)
    assert listed(archive, {"size": "3", "from": "31"}) == {"titles": ["letter 31"], "next": None}
