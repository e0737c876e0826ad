"""How senders prove themselves that do not follow a scheme of their own: by a signature, or by a secret.

Both compare with all secrets that count, in the same time whichever is right, and refuse with one sentence.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from sentinel.errors import Malformed, Unauthenticated

MIN_SECRET: Final = 16  # characters; what is shorter can be guessed
MAX_SIGNATURES: Final = 16
KEY_HEADER: Final = "x-sentinel-key"
USER: Final = "sentinel"
OPTIONS: Final[Mapping[str, str]] = {
    "header": f"the header that brings the secret, where it is not `{KEY_HEADER}`",
    "user": f"the user of `Authorization: Basic`, where it is not `{USER}`",
}
REFUSED: Final = "the message does not prove that its sender has a secret of this webhook"

_HEADER = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_USER = re.compile(r"[!-9;-~]{1,100}")  # printable ASCII without the colon, which ends it


def usable(secret: str) -> bool:
    """Say whether a secret is long enough, and can stand in a header as it is."""
    plain = secret.isascii() and secret.isprintable() and secret == secret.strip()
    return plain and len(secret) >= MIN_SECRET


class Presented:
    """The secret itself comes: in a header of its own, or as the password of Basic, or as a Bearer token.

    A value is compared as a whole. `options` may hold those of `OPTIONS`; raises `Malformed`.
    """

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        told = options or {}
        self._header = told.get("header", KEY_HEADER).lower()
        self._user = told.get("user", USER)
        if not _HEADER.fullmatch(self._header) or self._header == "authorization":
            raise Malformed("header is the name of a header: up to 64 of a-z, 0-9 and -")
        if not _USER.fullmatch(self._user):
            raise Malformed("user is up to 100 printable ASCII characters without blank and colon")

    @property
    def headers(self) -> Sequence[str]:
        """Names of the headers that are read."""
        return (self._header, "authorization")

    def check(self, headers: Mapping[str, str], secrets: Sequence[str]) -> None:
        """Raise `Unauthenticated` unless one of `secrets` came."""
        scheme, _, credential = headers.get("authorization", "").partition(" ")
        given = (
            headers.get(self._header, "").encode("utf-8", "replace"),
            f"{scheme.lower()} {credential.strip()}".encode("utf-8", "replace"),
        )
        genuine = False
        for secret in filter(usable, secrets):
            basic = base64.b64encode(f"{self._user}:{secret}".encode()).decode()
            genuine |= hmac.compare_digest(given[0], secret.encode())
            for expected in (f"bearer {secret}", f"basic {basic}"):
                genuine |= hmac.compare_digest(given[1], expected.encode())
        if not genuine:
            raise Unauthenticated(REFUSED)


def check_signatures(
    given: Iterable[str],
    secrets: Sequence[str],
    signed: bytes,
    written: Callable[[bytes], str],
    algorithm: str = "sha256",
) -> None:
    """Raise `Unauthenticated` unless one of the `given` signatures is an HMAC of `signed`.

    Its key is one of `secrets`, as UTF-8; `written` is how the sender writes a digest. At most 16 signatures
    are looked at.
    """
    found = [each.encode("utf-8", "replace") for each in given][:MAX_SIGNATURES]
    genuine = False
    for secret in filter(usable, secrets):
        expected = written(hmac.digest(secret.encode(), signed, algorithm)).encode()
        for signature in found:  # all of them, however early one fits
            genuine |= hmac.compare_digest(expected, signature)
    if not genuine:
        raise Unauthenticated(REFUSED)
