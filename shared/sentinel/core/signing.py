"""Whose documents are in force: rules, recipes and what they need as their authors signed them.

A document is pushed as its text, or as a DSSE envelope around that text (`core.dsse`). Where a deployment
requires signatures, a document counts only with one by an author whom the registry knows: at the push, and
again whenever it is read from the catalog, so that what somebody wrote into the table sets nothing off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sentinel.core import dsse
from sentinel.core.access import Author
from sentinel.errors import Malformed

PAYLOAD_TYPES: Mapping[str, str] = {
    "account": "application/vnd.sentinel.account+yaml",
    "delivery": "application/vnd.sentinel.delivery+yaml",
    "model": "application/vnd.sentinel.model+yaml",
    "recipe": "application/vnd.sentinel.recipe+yaml",
    "repository": "application/vnd.sentinel.repository+yaml",
    "rule": "application/vnd.sentinel.rule+yaml",
    "sink": "application/vnd.sentinel.sink+yaml",
}


@dataclass(frozen=True, slots=True)
class Opened:
    """A document's text, and the id of the author whose signature it bears; "" where none was looked for."""

    payload: bytes = field(repr=False)
    author: str = ""


class Opener(Protocol):
    """Opens stored documents as a deployment takes them."""

    def revision(self) -> str:
        """Return a token that changes whenever a document may open differently. Raises `Unavailable`."""

    def open(self, kind: str, name: str, body: bytes) -> Opened:
        """Open a document. Raises `Malformed` where it is not to be used; `name` is for the message."""


class Unsigned:
    """The opener of a deployment that asks for no signatures: envelopes are opened, and not judged."""

    def revision(self) -> str:
        """Return the same token always."""
        return ""

    def open(self, kind: str, name: str, body: bytes) -> Opened:
        """Return the document's text. Raises `Malformed` for an envelope around another kind."""
        return Opened(unwrap(kind, name, body)[0])


def unwrap(kind: str, name: str, body: bytes) -> tuple[bytes, dsse.Envelope | None]:
    """Return a document's text and the envelope it came in, if any. Raises `Malformed`."""
    try:
        envelope = dsse.load(body)
    except Malformed as error:
        raise Malformed(f"{name}: {error}") from None
    if envelope is None:
        return body, None
    if envelope.payload_type != PAYLOAD_TYPES[kind]:
        raise Malformed(f"{name}: signed as something else than a {kind}: sign it as {PAYLOAD_TYPES[kind]}")
    return envelope.payload, envelope


def valid(authors: Iterable[Author], now: float) -> dict[str, bytes]:
    """Return the public keys that count at `now` (epoch seconds), by their authors' ids."""
    return {each.id: each.public for each in authors if not each.until or now < each.until}


def opened(kind: str, name: str, body: bytes, keys: Mapping[str, bytes]) -> Opened:
    """Return a document's text and its author. Raises `Malformed` where none of `keys` signed it."""
    payload, envelope = unwrap(kind, name, body)
    if envelope is None:
        raise Malformed(
            f"{name}: is not signed, and this deployment requires that: use `sentinel recipes sign`"
        )
    names = dsse.signers(envelope, keys)
    if not names:
        raise Malformed(
            f"{name}: bears no signature of an author who is trusted here: see `sentinel authors ls`"
        )
    return Opened(payload, names[0])
