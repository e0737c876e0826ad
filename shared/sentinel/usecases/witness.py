"""Witness: cosign the checkpoints of other people's logs, as long as each continues the one before.

What was cosigned is durable before the cosignature leaves, and looking at what was cosigned last and storing
what is cosigned now are one step, whoever else asks at the same moment (C2SP tlog-witness).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from sentinel.core import notes, witnessing
from sentinel.core.legible import legible
from sentinel.core.notes import COSIGNATURE, Key, Note, Signature
from sentinel.core.witnessing import NOTHING, Logs, Seen, Submission
from sentinel.errors import Missing
from sentinel.ports_log import LogSigner, Witnessed

SECOND = 1_000_000_000
STEP = 600  # seconds that a clock may step back and a cosignature's time stays; it is longer ahead by mistake

log = logging.getLogger("sentinel.witness")


@dataclass(frozen=True, slots=True)
class Witness:
    """The use case. `name` is the witness's own, `clock` gives epoch nanoseconds."""

    name: str
    logs: Logs
    witnessed: Witnessed
    signer: LogSigner
    clock: Callable[[], int]

    @property
    def key(self) -> Key:
        """The public key of its cosignatures."""
        return Key(self.name, COSIGNATURE, self.signer.public_key())

    def add(self, body: bytes) -> str:
        """Return the cosignature of a submitted checkpoint, a line with its end.

        Raises `Malformed`, `Missing` (an unknown log), `Forbidden` (not signed by it), `witnessing.OtherSize`
        with the size that was cosigned last, `witnessing.Unproven`, `Unavailable`: then it may have been
        stored, and asking again gives it.
        """
        asked = Submission.read(body)
        signed = witnessing.signed(asked, self.logs)
        line: list[Signature] = []

        def decide(seen: Seen | None) -> Seen:
            before = seen or NOTHING
            _check(before, asked, signed)
            # A cosignature says what is the largest tree as of a time, so its time is one at which nothing
            # larger can have been stored: that of this decision, which nobody else makes meanwhile.
            seconds = _after(before.seconds, self.clock() // SECOND)
            line[:] = [notes.cosigned(signed.text, self.key, self.signer.sign, seconds)]
            note = signed.with_lines(line).bytes
            return Seen(asked.checkpoint.size, asked.checkpoint.root, seconds, note)

        self.witnessed.advance(asked.checkpoint.origin, decide)
        log.info("cosigned %s at %d", legible(asked.checkpoint.origin), asked.checkpoint.size)
        return line[0].line

    def newest(self, origin: str) -> bytes:
        """Return the checkpoint that was cosigned last of a log, with its cosignature. Raises `Missing`."""
        found = self.witnessed.get(origin)
        if found is None:
            raise Missing("nothing was cosigned of that origin")
        return found.note


def _after(before: int, now: int) -> int:
    """Return a time that is not before the one of the last cosignature.

    Unless that one is far ahead: then the clock was wrong once, and nobody would take another such time.
    """
    return max(now, before) if before - now <= STEP else now


def _check(before: Seen, asked: Submission, signed: Note) -> None:
    """See that a submission continues what was cosigned; keep the proof where its log has two histories."""
    try:
        witnessing.check_growth(before, asked)
    except witnessing.OtherTree:
        both = [each.decode(errors="replace") for each in (before.note, signed.bytes)]
        log.critical("a log has signed two trees of one size: %s", legible(both))
        raise
