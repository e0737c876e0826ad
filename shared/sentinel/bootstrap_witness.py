"""The wiring of what is asked of outsiders about checkpoints: witnesses, and a timestamp authority."""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sentinel.core import timestamps, urls
from sentinel.core.witnessing import places
from sentinel.errors import Malformed
from sentinel.usecases.cosign import Cosigner
from sentinel.usecases.submit import Submitter
from sentinel.usecases.timestamp import Stamper

if TYPE_CHECKING:
    from sentinel.ports import Http
    from sentinel.ports_log import Notes, Tiles
    from sentinel.settings import Settings
    from sentinel.usecases.seal import Sealed


def cosigner_of(
    settings: Settings, notes: Notes, tiles: Tiles, newest: Callable[[str], Sealed | None]
) -> Cosigner:
    """Make what offers checkpoints, as the settings say. Raises `Malformed` with the name of a bad one."""
    found = places(settings.witnesses)
    quorum = settings.witness_quorum
    if quorum > len(found):
        raise Malformed(f"SENTINEL_WITNESS_QUORUM is {quorum}, and there are {len(found)} witnesses")
    stores = (notes, tiles, newest, time.time_ns)
    asked = [Submitter(url, key, _outside(settings, url), *stores) for url, key in found]
    return Cosigner(asked, notes, time.time_ns, quorum, _stamper(settings, notes))


def _stamper(settings: Settings, notes: Notes) -> Stamper | None:
    url = settings.timestamp_url
    if not url:
        return None
    try:
        urls.parse(url)
    except ValueError as error:
        raise Malformed(f"SENTINEL_TIMESTAMP_URL: {error}") from None
    return Stamper(url, notes, _outside(settings, url), secrets.token_bytes)


def _outside(settings: Settings, url: str) -> Http:
    """Return what sends to the one host of a setting, and nowhere else.

    A private address is reached where the setting itself has it; a name that resolves to one is not.
    """
    from sentinel.adapters.hosts import Hosts
    from sentinel.adapters.http import HttpClient

    host = urlsplit(url).hostname or ""
    hosts = Hosts([host], private=settings.http_private or _literal(host))
    return HttpClient(hosts, max_answer=timestamps.MOST + 1)


def _literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True
