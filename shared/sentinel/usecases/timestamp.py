"""Timestamp: ask an outside authority (RFC 3161) to say when a checkpoint was there already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

from sentinel.core import timestamps
from sentinel.core.notes import Checkpoint
from sentinel.errors import BadAnswer, Malformed, Unavailable
from sentinel.ports import Http, HttpRequest
from sentinel.ports_log import Notes
from sentinel.usecases.seal import Sealed


@dataclass(slots=True)
class Stamper:
    """Asks one authority. `nonce` gives random bytes. It remembers what was stamped last of each chain."""

    url: str
    notes: Notes
    http: Http
    nonce: Callable[[int], bytes]
    _stamped: dict[str, int] = field(default_factory=dict)

    def due(self, sealed: Sealed) -> bool:
        """Say whether a checkpoint is of a tree that has grown since the last one that was stamped.

        A process that has stamped none of the chain yet looks at the checkpoint before.
        """
        known = self._stamped.get(sealed.chain)
        if known is None:
            try:
                known = self._stamped[sealed.chain] = self._before(sealed)
            except Unavailable:
                return False
        return sealed.checkpoint.size > known

    def ask(self, sealed: Sealed, seconds: float) -> bytes:
        """Return the authority's answer, checked, in `seconds` at most.

        Raises `Unavailable`, `Forbidden` and `Malformed` as `ports.Http` does, `BadAnswer` for an answer
        that is not one to what was asked.
        """
        digest = sha256(sealed.note.bytes).digest()
        nonce = int.from_bytes(self.nonce(timestamps.NONCE_BYTES), "big")
        headers = {"Content-Type": timestamps.QUERY_TYPE, "Accept": timestamps.REPLY_TYPE}
        body = timestamps.query(digest, nonce)
        answer = self.http.send(HttpRequest("POST", self.url, headers, body, seconds))
        if answer.status != 200:
            raise BadAnswer(f"the timestamp authority answered with status {answer.status}")
        try:
            timestamps.check(answer.body, digest, nonce)
        except Malformed as error:
            raise BadAnswer(str(error)) from None
        return answer.body

    def kept(self, sealed: Sealed) -> None:
        """Remember that a checkpoint's answer was attached to it."""
        self._stamped[sealed.chain] = sealed.checkpoint.size

    def _before(self, sealed: Sealed) -> int:
        raw = self.notes.get(sealed.chain, sealed.number - 1) if sealed.number else None
        if raw is None:
            return 0
        text = raw.partition(b"\n\n")[0].decode(errors="replace") + "\n"
        try:
            return Checkpoint.read(text).size
        except Malformed:
            return 0
