import pytest

from contacts.contact import BadFile
from contacts.files import LARGEST, text_of


def test_what_holds_no_text_is_refused():
    with pytest.raises(BadFile, match="no text"):
        text_of(b"PK\0\0")


def test_what_is_too_large_is_refused():
    assert len(text_of(b"a" * LARGEST)) == LARGEST
    with pytest.raises(BadFile, match="more than"):
        text_of(b"a" * (LARGEST + 1))
