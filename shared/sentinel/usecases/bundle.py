"""Bundle: a chain, or one entry, in one file that can be checked offline with nothing but the public key.

A bundle is NDJSON; docs/verify.md has the format. That of a chain has what is stored, damaged or not: who
checks it finds the damage. That of an entry has a proof, which is checked against the signed root here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sentinel.core import chain as hashing
from sentinel.core import erasure_check, merkle, notes, tiles
from sentinel.core.payload import BLANK
from sentinel.core.segment import Segment
from sentinel.errors import Conflict, Malformed, Missing, Tampered
from sentinel.ports import Ledger
from sentinel.ports_log import Notes, Tiles
from sentinel.usecases.course import Stored, look, stored
from sentinel.usecases.exported import plain
from sentinel.usecases.seal import LogKeys, Sealed

VERSION = 1

Line = dict[str, object]


@dataclass(frozen=True, slots=True)
class Bundler:
    """The use case. `log` is the log's name; its public `keys` are asked for where a proof is made."""

    ledger: Ledger
    notes: Notes
    tiles: Tiles
    log: str
    keys: Callable[[], LogKeys]

    def chain(self, chain: str) -> Iterator[Line]:
        """Yield the bundle of a chain as JSON objects, as it is read. Raises `Missing`.

        A checkpoint stands behind the segment that ends where its tree does.
        """
        if self.ledger.head(chain) is None and self.notes.newest(chain) is None:
            raise Missing(f"there is no chain {chain}; `sentinel chains` lists them")
        return self._chain(chain)

    def _chain(self, chain: str) -> Iterator[Line]:
        yield self._begin("chain", chain)
        waiting = stored(self.notes, chain)
        due = self._next(waiting)
        entries = segments = checkpoints = sealed = 0
        for segment in self.ledger.read(chain):
            while due is not None and due[0] <= entries:
                checkpoints, sealed = checkpoints + 1, max(sealed, due[0])
                yield due[1]
                due = self._next(waiting)
            yield {"segment": _segment(segment)}
            entries, segments = segment.next, segments + 1
        while due is not None:
            checkpoints, sealed = checkpoints + 1, max(sealed, due[0])
            yield due[1]
            due = self._next(waiting)
        counts = {"entries": entries, "segments": segments, "checkpoints": checkpoints}
        yield {"end": {**counts, "unsealed": max(0, entries - sealed)}}

    def entry(self, chain: str, seq: int) -> Iterator[Line]:
        """Yield the bundle of one entry. Raises `Missing`, `Conflict` where it is not sealed yet, `Tampered`.

        That of an erased entry has the record of its erasure, too.
        """
        segment = self.ledger.at(chain, seq)
        newest = self.notes.newest(chain)
        if segment is None:
            raise Missing(f"there is no entry {seq} in {chain}; `sentinel chains` lists them")
        sealed = self.keys().read(chain, *newest) if newest else None
        if sealed is None or sealed.checkpoint.size <= seq:
            raise Conflict(f"entry {seq} of {chain} is in no checkpoint yet: one is signed each minute")
        nodes = tiles.TiledNodes(sealed.checkpoint.size, lambda path: self.tiles.get(chain, path))
        proven = self._proven(segment, seq, sealed, nodes)
        lines: list[Line] = [self._begin("entry", chain), self._checkpoint(chain, sealed)]
        lines.append({"entry": proven})
        if seq - segment.first in segment.opened.erased:
            lines.append({"record": self._record(chain, seq, segment, sealed, nodes)})
        yield from lines
        yield {"end": {"records": len(lines) - 3}}

    def _begin(self, kind: str, chain: str) -> Line:
        origin = notes.origin_of(self.log, chain)
        return {"sentinel-bundle": VERSION, "kind": kind, "chain": chain, "origin": origin}

    def _next(self, waiting: Iterator[Stored]) -> tuple[int, Line] | None:
        """Return (size, line) of the next checkpoint that is there; None behind the last.

        One that cannot be read stands where it is; whoever checks the bundle refuses it.
        """
        for held in waiting:
            if held.raw is None:
                continue
            size, text = 0, held.raw.decode(errors="backslashreplace")
            try:
                note = notes.read(held.raw)
                text = held.cosigned(note).bytes.decode()
                size = notes.Checkpoint.read(note.text).size
            except Malformed:
                pass
            return size, {"checkpoint": {"number": held.number, "note": text}}
        return None

    def _checkpoint(self, chain: str, sealed: Sealed) -> Line:
        note = look(self.notes, chain, sealed.number).cosigned(sealed.note)
        return {"checkpoint": {"number": sealed.number, "note": note.bytes.decode()}}

    def _proven(self, segment: Segment, seq: int, sealed: Sealed, nodes: merkle.Node) -> Line:
        """Return an entry with all that its H is made of, and the proof that the checkpoint has it."""
        opened, place = segment.opened, seq - segment.first
        leaves = opened.leaves()
        if place >= len(leaves):
            raise Tampered(segment.chain, seq, "count", f"its segment holds {len(leaves)} entries")
        service = hashing.service_of(segment.chain)
        before = hashing.head(segment.prev, leaves[:place], segment.t, service)
        own = merkle.leaf(hashing.head(before, leaves[place : place + 1], segment.t, service))
        known = sealed.checkpoint
        try:
            proof = merkle.inclusion(seq, known.size, nodes)
        except LookupError as error:
            raise Tampered(segment.chain, seq, "proof", f"{error}; `sentinel seal` makes them anew") from None
        if not merkle.verify_inclusion(seq, known.size, own, proof, known.root):
            what = f"it is not the one in the tree of {known.size} that was signed"
            raise Tampered(segment.chain, seq, "rewritten", what)
        erased = opened.erased.get(place)
        nonce, context = BLANK if erased else (opened.nonce, opened.context)
        return {
            "seq": seq,
            "t": str(segment.t),
            "prev": before.hex(),
            "nonce": nonce.hex(),
            "context": plain(context),
            "entry": {"erased": erased.hex()} if erased else plain(opened.entries[place]),
            "proof": [each.hex() for each in proof],
        }

    def _record(self, chain: str, seq: int, begin: Segment, sealed: Sealed, nodes: merkle.Node) -> Line:
        """Return the record of an erased entry with its own proof, and the leaves that it names."""
        key = self.keys().of(chain)
        for segment in self.ledger.read(chain, begin.first):
            for at, entry in erasure_check.candidates(segment.first, segment.opened):
                found = erasure_check.read(at, entry, key)
                if found and found.covers(seq):
                    if at >= sealed.checkpoint.size:
                        what = f"entry {seq} of {chain} was erased, and the record of it, entry {at},"
                        raise Conflict(f"{what} is in no checkpoint yet: one is signed each minute")
                    leaves: list[str] = []
                    for each in self._from(chain, found.first, found.last + 1):
                        mine = each.opened.leaves()[max(0, found.first - each.first) :]
                        leaves += [leaf.hex() for leaf in mine[: found.last + 1 - found.first - len(leaves)]]
                    return {**self._proven(segment, at, sealed, nodes), "leaves": leaves}
        raise Tampered(chain, seq, "erasure", "it was erased, and no record that the log signed says so")

    def _from(self, chain: str, first: int, end: int) -> Iterator[Segment]:
        """Yield the segments from the one that holds an entry to before `end`."""
        while first < end:
            segment = self.ledger.at(chain, first)
            if segment is None:
                raise Tampered(chain, first, "missing", f"entry {first} is gone")
            yield segment
            first = segment.next


def _segment(segment: Segment) -> Line:
    opened = segment.opened
    entries: list[object] = [plain(entry) for entry in opened.entries]
    for place, leaf in opened.erased.items():
        entries[place] = {"erased": leaf.hex()}
    return {
        "first": segment.first,
        "count": segment.count,
        "prev": segment.prev.hex(),
        "head": segment.head.hex(),
        "t": str(segment.t),
        "nonce": opened.nonce.hex(),
        "context": plain(opened.context),
        "entries": entries,
    }
