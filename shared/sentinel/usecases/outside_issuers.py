"""Outside issuers of tokens: whose tokens are taken, and their keys, found by OpenID Connect Discovery 1.0.

An issuer is on the deployment's list with the audience that its tokens must name for us; a token of any other
issuer is refused before anything is fetched. Keys are kept as long as their `Cache-Control` says, within
bounds, and fetched anew for a key id that is not known, at most once in `COOL_DOWN` seconds. Where an issuer
does not answer, its keys are used for `STALE` seconds longer.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson

from sentinel.core.issuers import Issuers, is_https
from sentinel.errors import Forbidden, Malformed, Rejected, Unavailable
from sentinel.ports import HttpRequest

if TYPE_CHECKING:
    from sentinel.core.jws import PublicKey
    from sentinel.ports import Http

LEAST, MOST = 60.0, 86_400.0  # seconds that keys are kept, whatever their headers say
STALE: Final = 3_600.0
COOL_DOWN: Final = 30.0
SECONDS: Final = 3.0  # that one answer may take: two fit into what an authorizer has
MAX_BYTES: Final = 256_000
DISCOVERY: Final = "/.well-known/openid-configuration"

_MAX_AGE = re.compile(r"(?:^|,)\s*max-age\s*=\s*\"?(\d{1,9})\"?\s*(?:,|$)", re.IGNORECASE)


@dataclass(slots=True)
class _Known:
    """What is known of one issuer. `until`: when its keys are fetched anew; `tried`: when they were last."""

    lock: threading.Lock
    keys: Mapping[str, PublicKey] | None = None
    until: float = 0.0
    tried: float = float("-inf")


class OutsideIssuers:
    """Finds the keys of outside issuers. `clock` is monotonic, in seconds; threads may share it."""

    def __init__(self, issuers: Issuers, http: Http, clock: Callable[[], float]) -> None:
        self._issuers = issuers
        self._hosts = frozenset(issuers.hosts)
        self._http = http
        self._clock = clock
        self._known = {issuer: _Known(threading.Lock()) for issuer in issuers.audiences}

    def audience(self, issuer: str) -> str | None:
        """Return the audience that an issuer's tokens must name; None: its tokens are not taken."""
        return self._issuers.audiences.get(issuer)

    def key(self, issuer: str, kid: str) -> PublicKey | None:
        """Return the issuer's key with this id. Raises `Unavailable` where its keys cannot be had."""
        known = self._known[issuer]
        now = self._clock()
        if known.keys is not None and now < known.until and kid in known.keys:
            return known.keys[kid]
        with known.lock:
            return self._look(issuer, known, kid)

    def _look(self, issuer: str, known: _Known, kid: str) -> PublicKey | None:
        now = self._clock()
        missing = known.keys is None or kid not in known.keys
        if (missing or now >= known.until) and now - known.tried >= COOL_DOWN:
            known.tried = now
            try:
                known.keys, kept = self._fetch(issuer)
                known.until = self._clock() + kept
            except Rejected as error:
                self._failed(known, now, Unavailable(f"an outside issuer is not usable: {error}", COOL_DOWN))
            except Unavailable as error:
                self._failed(known, now, error)
        if known.keys is None or now >= known.until + STALE:
            raise Unavailable("an outside issuer's keys cannot be had; it will be asked again", COOL_DOWN)
        return known.keys.get(kid)

    def _failed(self, known: _Known, now: float, error: Unavailable) -> None:
        """Go on with the keys that are kept, where they are fresh enough still."""
        if known.keys is None or now >= known.until + STALE:
            raise error

    def _fetch(self, issuer: str) -> tuple[Mapping[str, PublicKey], float]:
        """Return an issuer's keys and how long to keep them. Raises `Unavailable` and `Rejected`."""
        from sentinel.core.jws import public_keys

        told, _ = self._get(issuer.removesuffix("/") + DISCOVERY)
        if told.get("issuer") != issuer:
            raise Malformed("its discovery document names another issuer")
        where = told.get("jwks_uri")
        if not isinstance(where, str) or not is_https(where) or urlsplit(where).hostname not in self._hosts:
            raise Forbidden("its keys are not at the https address of an issuer that is listed")
        document, age = self._get(where)
        return public_keys(document), min(max(age, LEAST), MOST)

    def _get(self, url: str) -> tuple[dict[str, Any], float]:
        answer = self._http.send(HttpRequest("GET", url, {"Accept": "application/json"}, timeout=SECONDS))
        if answer.status >= 500 or answer.status == 429:
            raise Unavailable(f"an outside issuer answered {answer.status}", COOL_DOWN)
        if answer.status != 200 or len(answer.body) > MAX_BYTES:
            raise Malformed(f"it answered {answer.status}, or over {MAX_BYTES} bytes")
        try:
            told = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            raise Malformed("it answered with something that is not JSON") from None
        if not isinstance(told, dict):
            raise Malformed("it answered with something that is not a JSON object")
        return told, _max_age(answer.headers.get("cache-control", ""))


def _max_age(cache_control: str) -> float:
    """Return the seconds that an answer may be kept for (RFC 9111, 5.2); 0 where it says none.

    >>> _max_age("public, max-age=300"), _max_age("no-store, max-age=300"), _max_age("")
    (300.0, 0.0, 0.0)
    """
    if re.search(r"\bno-(?:store|cache)\b", cache_control, re.IGNORECASE):
        return 0.0
    found = _MAX_AGE.search(cache_control)
    return float(found[1]) if found else 0.0
