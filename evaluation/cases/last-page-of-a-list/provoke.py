"""A reader goes on to the last page."""

from listing.documents import Archive, Document
from listing.requests import listed

archive = Archive(Document(key, f"letter {key}") for key in (4, 9, 11, 15, 16, 20, 31))
listed(archive, {"size": "3"})
listed(archive, {"size": "3", "from": "15"})
listed(archive, {"size": "3", "from": "31"})
