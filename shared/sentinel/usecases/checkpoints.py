"""Stored checkpoints as they are shown to others: with the cosignatures that were attached to them."""

from __future__ import annotations

from sentinel.core import notes
from sentinel.core.notes import MOST_SIGNATURES, Key, Note, Signature
from sentinel.errors import Malformed, Missing
from sentinel.ports_log import Notes

WITNESS = "witness-"  # what the names of attached cosignatures begin with; the key's id follows, in hex
TIMESTAMP = "timestamp"


def name_of(key: Key) -> str:
    """Return the name under which a witness's cosignature is attached: it stays when settings are reordered.

    >>> name_of(Key("witness.example/w1", 4, bytes(32)))
    'witness-490ca8b1'
    """
    return WITNESS + key.id.hex()


def whole(stored: Notes, chain: str, number: int) -> Note:
    """Return a checkpoint with its cosignatures: first the log's lines as they are stored, then witnesses'.

    Nothing of it is verified here; what is attached and cannot be read counts as not there. Raises `Missing`;
    `Malformed` where the checkpoint itself cannot be read.
    """
    raw = stored.get(chain, number)
    if raw is None:
        raise Missing(f"there is no checkpoint {number} of this chain")
    note = notes.read(raw)
    lines: list[Signature] = []
    for name, data in sorted(stored.attached(chain, number).items()):
        if name.startswith(WITNESS):
            lines += _lines(data)[:1]  # one each, so that no single attachment displaces the others
    return note.with_lines(lines[: MOST_SIGNATURES - len(note.signatures)])


def _lines(data: bytes) -> list[Signature]:
    try:
        return notes.read_lines(data.decode())
    except (Malformed, UnicodeDecodeError):
        return []
