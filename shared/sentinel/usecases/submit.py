"""Submit: ask one witness for a cosignature of a checkpoint (C2SP tlog-witness, the log's side).

The consistency proof comes from the stored tiles, and is verified here before it is sent: so a witness that
refuses it has cosigned another tree. Where the witness cosigned last is remembered, else read off the
checkpoint before; where that is not so, its answer 409 says it, and it is asked once more.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sentinel.core import merkle, notes, tiles, witnessing
from sentinel.core.notes import Checkpoint, Key, Note, Signature
from sentinel.core.witnessing import Submission
from sentinel.errors import (
    BadAnswer,
    Conflict,
    Forbidden,
    Malformed,
    Missing,
    Tampered,
    TimedOut,
    Unavailable,
)
from sentinel.ports import Http, HttpRequest, HttpResponse
from sentinel.ports_log import Notes, Tiles
from sentinel.usecases.checkpoints import name_of
from sentinel.usecases.seal import SECOND, Sealed

TIMEOUT = 4.0  # seconds for one request
MOST_ANSWER = 16_384  # bytes
SKEW = 600  # seconds that a witness's clock may be off; an older cosignature would say nothing about now
TRIES = 2

log = logging.getLogger("sentinel.cosign")


@dataclass(slots=True)
class Submitter:
    """Asks one witness. `url` is its submission prefix, `key` the key of its cosignatures.

    `newest` returns a chain's newest checkpoint as it is stored; `clock` gives epoch nanoseconds.
    """

    url: str
    key: Key
    http: Http
    notes: Notes
    tiles: Tiles
    newest: Callable[[str], Sealed | None]
    clock: Callable[[], int]
    _last: dict[str, int] = field(default_factory=dict)

    def ask(self, sealed: Sealed, seconds: float) -> bytes:
        """Return the witness's cosignature of a checkpoint, verified, a line; in about `seconds` at most.

        Raises `Tampered` where the witness has cosigned what this log has not signed; `Conflict` where it was
        asked about a newer checkpoint already; `Missing`, `Forbidden` where it does not know the log, or its
        key; `BadAnswer`, `TimedOut` and all that `ports.Http` raises.
        """
        end = time.monotonic() + seconds
        old = self._old(sealed)
        for _ in range(TRIES):
            answer = self._send(self._submission(sealed, old), end - time.monotonic())
            if answer.status != 409:
                return self._cosignature(sealed, old, answer)
            old = self._conflict(sealed, old, answer)
        raise Conflict("it is asked about this chain by others at the same time")

    def _old(self, sealed: Sealed) -> int:
        """Return the size that the witness cosigned last, as far as is known; 0 where it is not."""
        known = self._last.get(sealed.chain)
        if known is None:
            try:
                known = self._attached(sealed.chain, sealed.number - 1)
            except (Unavailable, Malformed):
                known = 0
        return min(known, sealed.checkpoint.size)

    def _attached(self, chain: str, number: int) -> int:
        """Return the size of a checkpoint that has a cosignature of this witness; 0 where it has none."""
        if number < 0 or name_of(self.key) not in self.notes.attached(chain, number):
            return 0
        raw = self.notes.get(chain, number)
        return Checkpoint.read(notes.read(raw).text).size if raw else 0

    def _submission(self, sealed: Sealed, old: int) -> Submission:
        new = sealed.checkpoint
        proof: list[bytes] = []
        if 0 < old < new.size:
            nodes = tiles.TiledNodes(new.size, lambda path: self.tiles.get(sealed.chain, path))
            try:
                proof = merkle.consistency(old, new.size, nodes)
                before = merkle.root([nodes(level, index) for level, index in merkle.spans(0, old)])
            except LookupError:
                raise Missing("the tiles that its proof is made of are not there") from None
            if not merkle.verify_consistency(old, new.size, proof, before, new.root):
                raise Malformed("the tiles that its proof is made of are not those of the signed tree")
        return Submission(old, tuple(proof), sealed.note, new)

    def _send(self, submission: Submission, left: float) -> HttpResponse:
        if left <= 0:
            raise TimedOut("it did not answer in time")
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        url = f"{self.url.rstrip('/')}/add-checkpoint"
        return self.http.send(HttpRequest("POST", url, headers, submission.body, min(left, TIMEOUT)))

    def _conflict(self, sealed: Sealed, old: int, answer: HttpResponse) -> int:
        """Return the size that the witness says it cosigned last, if that is one that it can have."""
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != witnessing.SIZE_TYPE:
            raise BadAnswer("it answered with a conflict and did not say the size")
        try:
            theirs = witnessing.size_of(answer.body)
        except Malformed as error:
            raise BadAnswer(str(error)) from None
        if theirs > sealed.checkpoint.size:
            # Whoever signs stores first and offers then: what others have signed meanwhile is there by now.
            newest = self.newest(sealed.chain)
            ours = newest.checkpoint.size if newest else 0
            if theirs > ours:
                raise self._against(sealed, f"of {theirs} entries; this log has signed none above {ours}")
            raise Conflict("it was asked about a newer checkpoint already")
        if theirs == old:
            if old == sealed.checkpoint.size:
                raise self._against(sealed, f"of {old} entries which is not the one that this log has signed")
            raise BadAnswer("it answered with a conflict where there is none")
        if theirs < self._last.get(sealed.chain, 0):
            log.warning("the witness %s has forgotten what it cosigned of %s", self.key.name, sealed.chain)
        return theirs

    def _cosignature(self, sealed: Sealed, old: int, answer: HttpResponse) -> bytes:
        if answer.status == 422 and 0 < old < sealed.checkpoint.size:
            told = (
                f"of {old} entries which is not the one that this log has signed: a right proof was refused"
            )
            raise self._against(sealed, told)
        refusals = {404: Missing("it does not know this log"), 403: Forbidden("it knows another key")}
        if answer.status in refusals:
            raise refusals[answer.status]
        if answer.status != 200 or len(answer.body) > MOST_ANSWER:
            raise BadAnswer(f"it answered with status {answer.status} and {len(answer.body)} bytes")
        line = self._verified(sealed.note.text, answer.body)
        self._last[sealed.chain] = sealed.checkpoint.size
        return line.line.encode()

    def _verified(self, text: str, body: bytes) -> Signature:
        """Return the witness's own line of an answer; lines of others are let be."""
        try:
            lines = notes.read_lines(body.decode())
            ours = [each for each in lines if (each.name, each.id) == (self.key.name, self.key.id)]
            times = [seconds for _, seconds in Note(text, tuple(ours)).verified([self.key])]
        except (Malformed, UnicodeDecodeError) as error:
            raise BadAnswer(f"its cosignature is refused: {error}") from None
        if not ours:
            raise BadAnswer("its answer holds no cosignature by the key that is set for it")
        if abs(times[0] - self.clock() // SECOND) > SKEW:
            raise BadAnswer(f"its cosignature is of a time over {SKEW} seconds away")
        return ours[0]

    def _against(self, sealed: Sealed, what: str) -> Tampered:
        detail = (
            f"the witness {self.key.name} says that it has cosigned a tree {what}. Somebody else signs with "
            "the log's key, or an old copy of this log was restored: ask the witness for that checkpoint"
        )
        return Tampered(sealed.chain, sealed.checkpoint.size, "witness", detail)
