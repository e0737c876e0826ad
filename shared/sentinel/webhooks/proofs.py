"""How a sender proves itself that can be told how: with a secret that it shows, or by signing the body.

A secret that is shown says who sends and nothing about the body: TLS alone keeps that whole. A signature
covers the body, and a time with it only where the sender signs one. `Proven` is what all sources have in
common whose senders do either.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sentinel.core.alerts import instant
from sentinel.core.hook_tokens import Taken
from sentinel.core.issuers import is_https
from sentinel.errors import Malformed, Unauthenticated
from sentinel.ports_doors import Delivery
from sentinel.webhooks import credentials
from sentinel.webhooks.source import hashed, stored

TOLERANCE: Final = 300  # seconds that a signed time may be off, either way
_HEADER = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_PREFIX = re.compile(r"[A-Za-z0-9=:_-]{0,20}")
_TOKENS = ("oauth2", "jwt")
_OUTSIDE = {"issuer", "audience", "subjects", "parties"}
_PARTS = re.compile(r"(\{timestamp\}|\{body\})")

# How a digest is written.
WRITTEN: Final[Mapping[str, Callable[[bytes], str]]] = {
    "hex": bytes.hex,
    "base64": lambda digest: base64.b64encode(digest).decode(),
}
SHOWN: Final[Mapping[str, str]] = {
    "auth": "`secret`, the usual: the sender shows it; `oauth2`: it gets a token for it here; "
    "`jwt`: it has one of an outside issuer",
    **credentials.OPTIONS,
    "issuer": "with `jwt`: the issuer, one of `SENTINEL_OIDC_ISSUERS`",
    "audience": "with `jwt`: the audience that a token names",
    "subjects": "with `jwt`: whom a token may be about (`sub`), with commas between",
    "parties": "with `jwt`: to whom a token may be given (`azp`, `appid`, `client_id`), with commas between",
}
OPTIONS: Final[Mapping[str, str]] = {
    **SHOWN,
    "auth": "`secret`, the usual: the sender shows it; `signature`: the sender signs the body with it; "
    "`oauth2`: it gets a token for it here; `jwt`: it has one of an outside issuer",
    "signature_header": "with `signature`: the header with the signature",
    "timestamp_header": "with `signature`: the header with the time, where the sender signs one",
    "signed": "with `signature`: what is signed, of `{timestamp}`, `{body}` and up to 20 characters between",
    "encoding": "with `signature`: `hex`, the usual, or `base64`",
    "prefix": "with `signature`: what stands before the signature, such as `sha256=`",
    "algorithm": "with `signature`: `sha256`, the usual, `sha384` or `sha512`",
    "tolerance": f"with `signature`: seconds that the time may be off, 1 to 3600; else {TOLERANCE}",
}


class Proof(Protocol):
    """One way to prove. Pure: the time is an argument."""

    @property
    def headers(self) -> Sequence[str]:
        """The names of the headers that are read, in lower case."""

    def prove(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: int) -> None:
        """Raise `Unauthenticated` unless one of `secrets` was used; `now` is in epoch seconds."""


class Shown:
    """The secret itself comes; see `credentials.Presented`."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self._presented = credentials.Presented(options)

    @property
    def headers(self) -> Sequence[str]:
        """See `Proof`."""
        return self._presented.headers

    def prove(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: int) -> None:
        """See `Proof`."""
        del body, now
        self._presented.check(headers, secrets)


@dataclass(frozen=True, slots=True)
class Token:
    """An access token comes. Its issuer's keys are needed to check it: whoever has them goes by `taken`."""

    taken: Taken
    headers: Sequence[str] = ("authorization",)

    def prove(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: int) -> None:
        """Refuse: no secret proves anything here."""
        del headers, body, secrets, now
        raise Unauthenticated(credentials.REFUSED)


@dataclass(frozen=True, slots=True)
class Signed:
    """HMAC over the body as it came, keyed with the secret's UTF-8 bytes.

    With a `timestamp` header, `signed` says how both are joined, and the time may be `tolerance` seconds off.
    Several signatures have commas between; one that fits is enough.
    """

    header: str
    timestamp: str = ""
    signed: str = "{body}"
    encoding: str = "hex"
    prefix: str = ""
    algorithm: str = "sha256"
    tolerance: int = TOLERANCE

    @property
    def headers(self) -> Sequence[str]:
        """See `Proof`."""
        return (self.header, self.timestamp) if self.timestamp else (self.header,)

    def prove(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: int) -> None:
        """See `Proof`."""
        at = headers.get(self.timestamp, "") if self.timestamp else ""
        message = b"".join(self._message(at, body))
        given = self._given(headers.get(self.header, ""))
        credentials.check_signatures(given, secrets, message, WRITTEN[self.encoding], self.algorithm)
        if self.timestamp and not self._fresh(at, now):
            raise Unauthenticated(credentials.REFUSED)

    def _message(self, at: str, body: bytes) -> Iterator[bytes]:
        for part in _PARTS.split(self.signed):
            yield {"{timestamp}": at.encode("utf-8", "replace"), "{body}": body}.get(part, part.encode())

    def _given(self, header: str) -> Iterator[str]:
        for each in header.split(",")[: credentials.MAX_SIGNATURES]:
            if each.strip().startswith(self.prefix):
                yield each.strip().removeprefix(self.prefix)

    def _fresh(self, at: str, now: int) -> bool:
        return abs(now - instant(at) / 1e9) <= self.tolerance


class Proven:
    """What sources have in common whose senders show a secret, or sign with it."""

    def __init__(self, way: Proof) -> None:
        self._way = way

    @property
    def proof(self) -> Sequence[str]:
        """See `Source.proof`."""
        return self._way.headers

    @property
    def tokens(self) -> Taken | None:
        """Whose access tokens are taken in the place of a secret or a signature; None: nobody's."""
        return self._way.taken if isinstance(self._way, Token) else None

    def usable(self, secret: str) -> bool:
        """See `Source.usable`."""
        return credentials.usable(secret)

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: int) -> None:
        """See `Source.verify`."""
        self._way.prove(headers, body, secrets, now)

    def message(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return the hash of the body; see `Source.message`."""
        del headers
        return hashed(body)

    def entries(self, delivery: Delivery, body: bytes) -> list[bytes]:
        """Return the message as it came."""
        return stored(delivery, body)


def chosen(options: Mapping[str, str], signature: str, signed: str = "{timestamp}.{body}") -> Proof:
    """Return the proof that options, of `OPTIONS`, choose. Raises `Malformed` that says what to change.

    `signature` is the sender's usual header of signatures; `signed` how it joins a time and the body.
    """
    if one_of(options, "auth", ("secret", "signature", *_TOKENS)) != "signature":
        _none_of(options, set(OPTIONS) - set(SHOWN), "signature")
        return shown(options)
    _none_of(options, set(SHOWN) - {"auth"}, "secret, oauth2 or jwt")
    timestamp = _header(options, "timestamp_header", "")
    return Signed(
        header=_header(options, "signature_header", signature),
        timestamp=timestamp,
        signed=_template(options.get("signed", signed if timestamp else "{body}"), timestamp),
        encoding=one_of(options, "encoding", tuple(WRITTEN)),
        prefix=_prefix(options.get("prefix", "")),
        algorithm=one_of(options, "algorithm", ("sha256", "sha384", "sha512")),
        tolerance=_seconds(options, "tolerance"),
    )


def either(options: Mapping[str, str], signed: Signed) -> Proof:
    """Return a sender's own signature, or with `auth=secret` the secret itself. Raises `Malformed`."""
    if one_of(options, "auth", ("signature", "secret", *_TOKENS)) != "signature":
        return shown(options)
    _none_of(options, set(SHOWN) - {"auth"}, "secret, oauth2 or jwt")
    return signed


def shown(options: Mapping[str, str]) -> Proof:
    """Return what a sender shows by options of `SHOWN`: the secret or a token. Raises `Malformed`."""
    how = one_of(options, "auth", ("secret", *_TOKENS))
    if how != "jwt":
        _none_of(options, _OUTSIDE, "jwt")
    if how == "secret":
        return Shown(options)
    _none_of(options, set(credentials.OPTIONS), "secret")
    return Token(Taken() if how == "oauth2" else _outside(options))


def _outside(options: Mapping[str, str]) -> Taken:
    """Return whose tokens of an outside issuer are taken. Raises `Malformed`."""
    issuer, audience = options.get("issuer", ""), options.get("audience", "")
    subjects, parties = (_names(options.get(name, "")) for name in ("subjects", "parties"))
    if not is_https(issuer) or not audience or not (subjects or parties):
        raise Malformed("auth=jwt needs issuer (https://...), audience, and subjects or parties")
    return Taken(issuer, audience, subjects, parties)


def _names(text: str) -> frozenset[str]:
    return frozenset(filter(None, (name.strip() for name in text.split(","))))


def one_of(options: Mapping[str, str], name: str, allowed: Sequence[str]) -> str:
    """Return the value of an option, the first of `allowed` where it is not given. Raises `Malformed`."""
    value = options.get(name, allowed[0])
    if value not in allowed:
        raise Malformed(f"{name} is one of {', '.join(allowed)}")
    return value


def _none_of(given: Iterable[str], others: set[str], way: str) -> None:
    wrong = [name for name in given if name in others]
    if wrong:
        raise Malformed(f"{', '.join(wrong)} goes with auth={way} only")


def _header(options: Mapping[str, str], name: str, usual: str) -> str:
    value = options.get(name, usual).lower()
    if (name in options or usual) and not _HEADER.fullmatch(value):
        raise Malformed(f"{name} is the name of a header: up to 64 of a-z, 0-9 and -")
    return value


def _template(text: str, timestamp: str) -> str:
    times = (text.count("{body}"), text.count("{timestamp}"))
    between = _PARTS.sub("", text)
    plain = between.isascii() and between.isprintable() and not set(between) & set("{}")
    if times != (1, 1 if timestamp else 0) or len(between) > 20 or not plain:
        raise Malformed(
            "signed has {body} once, {timestamp} once where there is a timestamp_header, "
            "and up to 20 characters between"
        )
    return text


def _prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise Malformed("prefix is up to 20 letters, digits, =, :, _ and -")
    return text


def _seconds(options: Mapping[str, str], name: str) -> int:
    text = options.get(name, str(TOLERANCE))
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= 3600:
        raise Malformed(f"{name} is a number of seconds from 1 to 3600")
    return int(text)
