"""The outside issuers whose tokens a deployment accepts, as the setting `oidc_issuers` lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from sentinel.core import urls
from sentinel.errors import Malformed


@dataclass(frozen=True, slots=True)
class Issuers:
    """The outside issuers by name, each with the audience that its tokens must name."""

    audiences: Mapping[str, str]

    @property
    def hosts(self) -> list[str]:
        """The hosts that keys may be fetched from: those of the issuers."""
        return sorted({urlsplit(issuer).hostname or "" for issuer in self.audiences})


def parse_issuers(text: str) -> Issuers:
    """Read the setting `oidc_issuers`: `issuer=audience`, comma separated. Raises `Malformed`.

    >>> parse_issuers("https://id.example.com/realm=sentinel").hosts
    ['id.example.com']
    """
    found: dict[str, str] = {}
    for each in filter(None, (part.strip() for part in text.split(","))):
        issuer, _, audience = (part.strip() for part in each.partition("="))
        if not is_https(issuer) or set("?#") & set(issuer) or not audience or issuer in found:
            raise Malformed(
                "SENTINEL_OIDC_ISSUERS is issuer=audience, comma separated: "
                "https addresses without query or fragment, each once"
            )
        found[issuer] = audience
    return Issuers(found)


def is_https(url: str) -> bool:
    """Say whether a URL is one of https."""
    try:
        return urls.parse(url).scheme == "https"
    except ValueError:
        return False
