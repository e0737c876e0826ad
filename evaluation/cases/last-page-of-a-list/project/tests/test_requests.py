from listing.documents import Archive, Document
from listing.requests import listed

ARCHIVE = Archive(Document(key, f"letter {key}", "mail" if key % 2 else "") for key in range(1, 41))


def test_the_first_page_has_twenty_titles():
    answer = listed(ARCHIVE, {})
    assert (answer["titles"][0], len(answer["titles"]), answer["next"]) == ("letter 1", 20, 21)


def test_a_tag_chooses_documents():
    assert listed(ARCHIVE, {"tag": "mail", "size": "2"}) == {"titles": ["letter 1", "letter 3"], "next": 5}
