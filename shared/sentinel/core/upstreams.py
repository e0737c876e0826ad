"""Upstreams: the servers that requests may be passed on to, as the setting `proxy` lists them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sentinel.core import forwarding, urls
from sentinel.errors import Malformed

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


@dataclass(frozen=True, slots=True)
class Upstream:
    """One server that requests may be passed on to. `base` is its own path, without a slash at its end."""

    name: str
    scheme: str
    authority: str
    host: str
    base: str = ""

    def url(self, path: str) -> str:
        """Return the URL of a clean path below this upstream's own."""
        return f"{self.scheme}://{self.authority}{self.base}/{path}"


def parse_upstreams(text: str) -> dict[str, Upstream]:
    """Read the setting `proxy`: `name=https://host:port/base, ...`. Raises `Malformed` saying what is wrong.

    >>> parse_upstreams("reports=https://reports.internal:8443/api/")["reports"].url("daily")
    'https://reports.internal:8443/api/daily'
    """
    found: dict[str, Upstream] = {}
    for each in filter(None, map(str.strip, text.split(","))):
        upstream = _upstream(*map(str.strip, each.partition("=")[::2]))
        if upstream.name in found:
            raise Malformed(f"SENTINEL_PROXY names the upstream {upstream.name} twice")
        found[upstream.name] = upstream
    return found


def _upstream(name: str, url: str) -> Upstream:
    if not _NAME.fullmatch(name):
        raise Malformed("SENTINEL_PROXY: each upstream is NAME=URL, a name of a-z, 0-9 and -, 64 at most")
    try:
        parts = urls.parse(url)
        base = parts.path.rstrip("/")
        encoded = forwarding.clean_path(base[1:])
    except (ValueError, Malformed) as error:
        raise Malformed(f"SENTINEL_PROXY: the upstream {name} cannot be used: {error}") from None
    if base[1:] != encoded:
        raise Malformed(f"SENTINEL_PROXY: the path of the upstream {name} must be percent-encoded")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise Malformed(f"SENTINEL_PROXY: the upstream {name} has a query or a fragment; give a path only")
    if not urls.safe_for_secrets(parts):
        raise Malformed(f"SENTINEL_PROXY: the upstream {name} must be https://; http:// is for loopback only")
    return Upstream(name, parts.scheme, parts.netloc, parts.hostname or "", base)
