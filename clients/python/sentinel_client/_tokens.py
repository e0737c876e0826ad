"""Access tokens by the client credentials grant (RFC 6749, 4.4), over mutual TLS."""

from __future__ import annotations

import re
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

from sentinel_client._connection import Answer, Shut, Unreachable

EARLY = 60.0  # seconds before its end a token is not used any more
_SHOWN = re.compile(r"[a-z_]{1,40}")
Ask = Callable[[bytes, dict[str, str]], Answer]


class Tokens:
    """The token of a service, fetched when it is needed. `api_key` is the file of its API key.

    The file is read for each token, so that a key which was renewed counts. `clock` is monotonic.
    """

    def __init__(self, service: str, api_key: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._service = service
        self._api_key = api_key
        self._clock = clock
        self._token = ""
        self._until = 0.0

    def __repr__(self) -> str:
        return f"Tokens({self._service!r})"

    @property
    def held(self) -> bool:
        """Whether there is one, good or not."""
        return bool(self._token)

    def forget(self) -> None:
        """Have the next one fetched: this one was refused, or is bound to another certificate."""
        self._token = ""

    def bearer(self, ask: Ask) -> str:
        """Return a token that is good for a while. `ask(body, headers)` posts to the token endpoint.

        Raises `Shut` where none is given, `Unreachable` where none can be had now.
        """
        if self._token and self._clock() < self._until:
            return self._token
        headers = {"Authorization": self._basic(), "Content-Type": "application/x-www-form-urlencoded"}
        asked = self._clock()
        answer = ask(b"grant_type=client_credentials", headers)
        told = answer.told
        token, lives = told.get("access_token"), told.get("expires_in", 2 * EARLY)
        if answer.status != 200 or not isinstance(token, str) or not _sendable(token):
            raise _none(answer)
        seconds = float(lives) if isinstance(lives, int | float) else 2 * EARLY
        self._token = token
        self._until = asked + max(seconds / 2, seconds - EARLY)
        return token

    def _basic(self) -> str:
        """Return id and key as RFC 6749, 2.3.1 has it: each encoded, then joined."""
        from urllib.parse import quote

        try:
            secret = self._api_key.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise Shut(f"{self._api_key}: {why}") from None
        pair = f"{quote(self._service, safe='')}:{quote(secret, safe='')}"
        return f"Basic {b64encode(pair.encode()).decode()}"


def _sendable(token: str) -> bool:
    return token.isascii() and token.isprintable() and 0 < len(token) <= 16_384


def _none(answer: Answer) -> Shut | Unreachable:
    if answer.status in {404, 405}:
        return Shut("there is no POST /v1/token at this address: name that of the service API")
    kind = answer.told.get("error")
    why = kind if isinstance(kind, str) and _SHOWN.fullmatch(kind) else f"status {answer.status}"
    if answer.status in {400, 401, 403}:
        return Shut(f"no access token was given: {why}")
    return Unreachable(f"no access token was given: {why}")
