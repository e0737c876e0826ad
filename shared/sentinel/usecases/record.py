"""Record: signs the record of an erasure with the log's key.

In AWS this is all that a function of its own does, so that whoever erases has no right to the key: with that
one could sign checkpoints, too, and begin another history. On one machine it runs with the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sentinel.core import erasure
from sentinel.core.erasure_notes import Asked
from sentinel.ports_log import LogSigner
from sentinel.usecases.seal import SECOND, LogKeys


@dataclass(frozen=True, slots=True)
class LogRecorder:
    """The use case: `ports_erasure.Recorder` by the log's key itself. `clock` gives epoch nanoseconds."""

    signer: LogSigner
    log: str
    clock: Callable[[], int]

    def public_key(self) -> bytes:
        """See `ports_erasure.Recorder`."""
        return self.signer.public_key()

    def record(self, asked: Asked) -> bytes:
        """See `ports_erasure.Recorder`."""
        chain = asked.chain(self.log)
        key = LogKeys(self.log, self.signer.public_key()).of(chain)
        note = erasure.noted(asked.at(self.clock() // SECOND), key, self.signer.sign)
        return asked.answered(note.bytes, key).bytes
