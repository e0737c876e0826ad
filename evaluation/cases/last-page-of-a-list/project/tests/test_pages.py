import pytest

from listing.pages import LARGEST, Page, page_from


def test_a_page_has_as_many_as_asked_for():
    assert page_from([3, 5, 8, 13, 21], 0, 3) == Page((3, 5, 8), 13)


def test_a_page_begins_with_the_next_id_where_its_first_is_gone():
    assert page_from([3, 5, 8, 13, 21], 4, 2) == Page((5, 8), 13)


def test_no_page_is_larger_than_the_largest():
    page = page_from(list(range(1_000)), 0, 500)
    assert (len(page.ids), page.next) == (LARGEST, LARGEST)


def test_a_page_without_entries_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        page_from([3, 5], 0, 0)


def test_a_page_in_the_middle_leads_to_the_next():
    assert page_from([3, 5, 8, 13, 21], 5, 2) == Page((5, 8), 13)
