"""sentinel-verify: check a bundle of a Sentinel chain, or of one entry, trusting nothing but public keys.

    sentinel-verify FILE --key VKEY [--witness VKEY ... [--quorum N]] [--max-age SECONDS] [--json]

FILE is what `sentinel bundle` wrote, or - for standard input. Exit codes: 0 verified, 1 not, 2 wrong usage.
This file is all of it: it imports the standard library and `cryptography` (for Ed25519) and nothing of
Sentinel. Whatever it does not know (a version, a field, a kind, a key) makes it refuse the bundle.

    salt   = SHA256("SX1" ‖ nonce ‖ context)                      one for each segment
    leaf_n = SHA256("SL1" ‖ salt ‖ entry)                         or as it stands, where the entry was erased
    H_n    = SHA256("SC1" ‖ leaf_n ‖ H_(n-1) ‖ u64(t) ‖ service)  H_(-1) = SHA256("SG1" ‖ chain)
    tree   : RFC 6962 over H_0 .. H_n: leaf SHA256(0 ‖ H), node SHA256(1 ‖ left ‖ right)
    checkpoint: a signed note (C2SP tlog-checkpoint) of origin, size and root of that tree
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import sys
import time
from hashlib import sha256
from typing import Any, BinaryIO
from urllib.parse import quote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

LINE_LIMIT = 1 << 27  # bytes of a line; a segment unpacks to 16 MB at most, and JSON escapes some of it
PLAIN, TIMED = 1, 4  # types of keys: Ed25519 over the text, and over time and text (a cosignature)
LATEST = 253_402_300_799  # the last second that has a date of four digits
DEPTH = 200  # of objects and lists in each other
SKEW = 600  # seconds that the log's clock may be ahead where it has to say that it is fresh
NUMBER = re.compile(r"0|[1-9][0-9]{0,14}")
ENTRY = ("seq", "t", "prev", "nonce", "context", "entry", "proof")
BLANK = (bytes(32), b"{}")  # nonce and context beside what was erased: no hash commits to others
Signatures = list[tuple[str, bytes, bytes]]  # name, key id, signature


class Refused(Exception):
    """The bundle does not verify: the kind of the damage, the entry where it begins, and what is wrong."""

    def __init__(self, kind: str, entry: int, detail: str) -> None:
        super().__init__(detail)
        self.kind, self.entry, self.detail, self.line = kind, entry, detail, 0


# --- Reading. All of it raises ValueError, which refuses the bundle for its format.


def need(holds: bool, what: str) -> None:
    """Raise `ValueError` unless something holds."""
    if not holds:
        raise ValueError(what)


def strict(raw: str | bytes) -> Any:
    """Parse JSON that means one thing only: no floats, no name twice, text that is UTF-8."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        need(len(dict(found)) == len(found), "a name stands twice in an object")
        return dict(found)

    def integer(text: str) -> int:
        need(bool(NUMBER.fullmatch(text)), "a number is not one that is used here")
        return int(text)

    hooks: dict[str, Any] = {"parse_float": integer, "parse_constant": integer, "parse_int": integer}
    text = raw.decode() if isinstance(raw, bytes) else raw
    try:
        found = json.loads(text, object_pairs_hook=pairs, **hooks)
        json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    depth, level = 0, [found]
    while level:
        need(depth < DEPTH, "it is nested too deep")
        groups = [each for each in level if type(each) in (dict, list)]
        level = [inner for each in groups for inner in (each.values() if type(each) is dict else each)]
        depth += 1
    return found


def fields(value: Any, *names: str) -> list[Any]:
    """Return the values of an object that has exactly these names."""
    need(type(value) is dict and set(value) == set(names), f"an object has exactly {', '.join(names)}")
    return [value[name] for name in names]


def number(value: Any) -> int:
    """Return a count or a sequence number."""
    need(type(value) is int, "a number was expected")
    return int(value)


def listed(value: Any) -> list[Any]:
    """Return a list."""
    need(type(value) is list, "a list was expected")
    return list(value)


def text_of(value: Any) -> str:
    """Return a text."""
    need(type(value) is str, "a text was expected")
    return str(value)


def nanoseconds(value: Any) -> int:
    """Return a time, which is decimal text: many readers of JSON lose digits of large numbers."""
    need(bool(re.fullmatch(r"0|[1-9][0-9]{0,19}", text_of(value))), "a time is nanoseconds as text")
    need(int(value) < 1 << 64, "a time has 64 bits")
    return int(value)


def digest(value: Any) -> bytes:
    """Return 32 bytes from lower-case hex."""
    need(bool(re.fullmatch(r"[0-9a-f]{64}", text_of(value))), "32 bytes of hex were expected")
    return bytes.fromhex(value)


def unbase64(value: Any) -> bytes:
    """Return bytes from base64 in its one canonical form."""
    raw = base64.b64decode(text_of(value), validate=True)
    need(base64.b64encode(raw).decode() == value, "this is no canonical base64")
    return raw


def stored(value: Any) -> bytes:
    """Return stored bytes: text, or {"b64": ...} where they are not UTF-8."""
    return unbase64(fields(value, "b64")[0]) if type(value) is dict else text_of(value).encode()


def leaf_of(value: Any, salt: bytes) -> tuple[bytes | None, bytes]:
    """Return (entry, leaf); (None, leaf) of one that was erased."""
    if type(value) is dict and "erased" in value:
        return None, digest(fields(value, "erased")[0])
    return stored(value), sha256(b"SL1" + salt + stored(value)).digest()


# --- Signed notes (C2SP signed-note): text, an empty line, and signatures: dash, name, base64(id, signature).


class Key:
    """A public key: its name, its type, its 32 bytes."""

    def __init__(self, name: str, kind: int, public: bytes) -> None:
        self.name, self.kind, self.public = name, kind, public
        self.id = sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]

    @staticmethod
    def read(vkey: str) -> Key:
        """Read a vkey: NAME+ID+BASE64(type, 32 bytes)."""
        name, _, rest = vkey.partition("+")
        key_id, _, encoded = rest.partition("+")
        raw = unbase64(encoded)
        need(bool(re.fullmatch(r"[^\s+]+", name)) and len(raw) == 33, "a key is NAME+ID+BASE64 of 33 bytes")
        key = Key(name, raw[0], raw[1:])
        need(key.kind in (PLAIN, TIMED), "a key is Ed25519, of type 1 or 4 (C2SP signed-note)")
        need(key.id.hex() == key_id, "the id of this key is not that of its bytes: it was copied wrong")
        return key

    def signed(self, text: str, signatures: Signatures) -> int | None:
        """Return when it signed a text, epoch seconds, 0 without a time; None where it did not.

        Raises `InvalidSignature` where what stands there as its signature is none.
        """
        found = None
        for raw in [each[2] for each in signatures if each[:2] == (self.name, self.id)]:
            found, signature, message = 0, raw, text
            if self.kind == TIMED:
                found, signature = int.from_bytes(raw[:8], "big"), raw[8:]
                message = f"cosignature/v1\ntime {found}\n{text}"
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message.encode())
        return found


def opened(note: Any) -> tuple[list[str], str, Signatures]:
    """Return the lines of a signed note, its text, and its signatures."""
    need(len(text_of(note).encode()) <= 100_000, "a note is shorter")
    need(not re.search(r"[\x00-\x09\x0b-\x1f]", note), "a note has no control characters")
    text, gap, below = note.rpartition("\n\n")
    need(bool(gap) and below.endswith("\n"), "a signed note ends with signatures")
    found = []
    for line in below.split("\n")[:-1]:
        match = re.fullmatch("\u2014 ([^\\s+]+) ([A-Za-z0-9+/=]+)", line)
        raw = unbase64(match[2]) if match else b""
        need(len(raw) > 4, "a signature is a dash, a name and base64 of a key's id and more")
        found.append((match[1] if match else "", raw[:4], raw[4:]))
    need(len(found) <= 64, "a note has 64 signatures at most")
    return text.split("\n"), text + "\n", found


# --- The tree.


class Tree:
    """A Merkle tree that grows: (height, hash) of its complete subtrees, largest first."""

    def __init__(self) -> None:
        self.peaks: list[tuple[int, bytes]] = []

    def push(self, hashed: bytes) -> None:
        """Let it grow by H of an entry."""
        height, found = 0, sha256(b"\0" + hashed).digest()
        while self.peaks and self.peaks[-1][0] == height:
            height, found = height + 1, sha256(b"\1" + self.peaks.pop()[1] + found).digest()
        self.peaks.append((height, found))

    def root(self) -> bytes:
        """Return its root."""
        found = self.peaks[-1][1] if self.peaks else sha256(b"").digest()
        for _, left in reversed(self.peaks[:-1]):
            found = sha256(b"\1" + left + found).digest()
        return found


def root_by_proof(index: int, size: int, hashed: bytes, proof: list[bytes]) -> bytes | None:
    """Return the root that an inclusion proof leads to (RFC 9162, 2.1.3.2); None where it is none."""
    at, last, found = index, size - 1, sha256(b"\0" + hashed).digest()
    for each in proof:
        if last == 0:
            return None
        if at & 1 or at == last:
            found = sha256(b"\1" + each + found).digest()
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = sha256(b"\1" + found + each).digest()
        at, last = at >> 1, last >> 1
    return found if last == 0 else None


# --- The checks.


class Bundle:
    """A bundle that is checked line by line: what was verified so far."""

    def __init__(self, keys: list[Key], witnesses: list[Key], quorum: int) -> None:
        self.keys, self.witnesses, self.quorum = keys, witnesses, quorum
        self.kind = self.chain = self.origin = self.service = ""
        self.next = self.t = self.segments = self.checkpoints = self.records = 0
        self.number, self.size, self.seconds = -1, 0, 0  # the newest checkpoint
        self.hash, self.root, self.tree = b"", b"", Tree()
        self.cosigned: list[str] = []
        self.leaves: dict[int, bytes] = {}  # of erased entries
        self.unrecorded: set[int] = set()  # those of them that no record was seen for yet
        self.entry: int | None = None
        self.ended = False

    def header(self, value: Any) -> None:
        """Take in the first line."""
        version, self.kind, self.chain, self.origin = fields(
            value, "sentinel-bundle", "kind", "chain", "origin"
        )
        need(number(version) == 1, "a bundle of this version is not known here")
        need(self.kind in ("chain", "entry"), "a bundle is of a chain or of an entry")
        end = "/" + quote(text_of(self.chain), safe="/.:@-_~")
        need(text_of(self.origin).endswith(end) and self.origin != end, "its origin is none of its chain")
        log, self.service = self.origin.removesuffix(end), self.chain.rpartition("/")[0]
        self.hash = sha256(b"SG1" + self.chain.encode()).digest()
        mine = dict.fromkeys(key.public for key in self.keys if key.name in (log, self.origin))
        if not mine:
            raise Refused("key", 0, f"none of the keys given is of the log {json.dumps(log)}")
        self.signers = [(Key(self.origin, PLAIN, each), Key(log, TIMED, each)) for each in mine]

    def line(self, value: Any) -> None:
        """Take in a further line: an object with one name."""
        need(not self.ended, "something follows the end")
        need(type(value) is dict and len(value) == 1, "a line is an object with one name")
        ((name, told),) = value.items()
        if self.kind == "chain":
            due = ["segment", "checkpoint", "end"]
        elif not self.checkpoints:
            due = ["checkpoint"]
        else:
            due = ["entry"] if self.entry is None else ["record"] if self.unrecorded else ["end"]
        need(name in due, f"a line {name[:20]!r} does not stand here")
        getattr(self, f"take_{name}")(told)

    def take_segment(self, value: Any) -> None:
        """Check a segment: its place, and that its entries, context and time give its head."""
        names = ("first", "count", "prev", "head", "t", "nonce", "context", "entries")
        first, count, prev, head, t, nonce, context, entries = fields(value, *names)
        self._place(number(first), digest(prev), nanoseconds(t))
        if not listed(entries) or number(count) != len(entries):
            raise Refused("count", first, "it does not hold as many entries as it says")
        salt = sha256(b"SX1" + digest(nonce) + stored(context)).digest()
        lines = [leaf_of(each, salt) for each in entries]
        hashed, tail = self.hash, nanoseconds(t).to_bytes(8, "big") + self.service.encode()
        for _, leaf in lines:
            hashed = sha256(b"SC1" + leaf + hashed + tail).digest()
            self.tree.push(hashed)
        if hashed != digest(head):
            raise Refused("hash", first, "its entries, context or time are not those its head commits to")
        if all(line is None for line, _ in lines) and (digest(nonce), stored(context)) != BLANK:
            raise Refused("hash", first, "beside erased entries something stands")
        for seq, (line, leaf) in enumerate(lines, first):
            if line is None:
                self.leaves[seq] = leaf
                self.unrecorded.add(seq)
            elif is_erasure(stored(context)):
                self._settle(seq, line, None)
        self.next, self.hash, self.t = first + len(entries), hashed, nanoseconds(t)
        self.segments += 1

    def _place(self, first: int, prev: bytes, t: int) -> None:
        if first > self.next:
            raise Refused("missing", self.next, f"entries {self.next} to {first - 1} are gone")
        if first < self.next:
            raise Refused("place", first, f"it stands where entry {self.next} should begin")
        if prev != self.hash:
            raise Refused("link", first, "it is not linked to the entry before it")
        if t < self.t:
            raise Refused("time", first, "it is older than the segment before it")

    def take_checkpoint(self, value: Any) -> None:
        """Check a checkpoint: signed by a known key, behind the one before, and of the tree so far."""
        count, note = fields(value, "number", "note")
        what = f"checkpoint {number(count)}"
        try:
            lines, text, signatures = opened(note)
            need(len(lines) == 3 and lines[0] == self.origin, "it is none of this chain's")
            need(bool(NUMBER.fullmatch(lines[1])), "it has no size")
            size, root, seconds = int(lines[1]), unbase64(lines[2]), self._signed(text, signatures)
        except (ValueError, InvalidSignature) as error:
            detail = str(error) or "a signature is wrong"
            raise Refused("checkpoint", self.size, f"{what}: {detail}") from None
        if self.kind == "chain" and count != self.number + 1:
            raise Refused("order", self.size, f"checkpoint {self.number + 1} is gone")
        if size < self.size or seconds < self.seconds:
            raise Refused("order", self.size, f"{what} goes back behind the one before it")
        if self.kind == "chain" and size > self.next:
            raise Refused("cut", self.next, f"the chain ends at entry {self.next - 1}; {size} were signed")
        if self.kind == "chain" and (size < self.next or root != self.tree.root()):
            raise Refused("rewritten", size - 1, f"the tree of {size} is not the one that was signed")
        self.number, self.size, self.seconds, self.root = count, size, seconds, root
        self.checkpoints += 1
        try:
            by = {key.name for key in self.witnesses if key.signed(text, signatures) is not None}
        except InvalidSignature:
            raise Refused("cosignature", size, f"{what}: a witness's signature is wrong") from None
        self.cosigned = sorted(by)

    def _signed(self, text: str, signatures: Signatures) -> int:
        """Return when the log signed a checkpoint."""
        for plain, timed in self.signers:
            once, seconds = plain.signed(text, signatures), timed.signed(text, signatures)
            if once is not None and seconds is not None:
                need(seconds <= LATEST, "its time has no date")
                return seconds
        raise ValueError("it is not signed by a known key of this log, plain and with the time")

    def take_entry(self, value: Any) -> None:
        """Check the entry."""
        seq, line, leaf, _ = self._proven(fields(value, *ENTRY))
        self.entry, self.t = seq, nanoseconds(value["t"])
        if line is None:
            self.leaves[seq] = leaf
            self.unrecorded.add(seq)

    def take_record(self, value: Any) -> None:
        """Check the record of an erased entry."""
        *entry, leaves = fields(value, *ENTRY, "leaves")
        seq, line, _, context = self._proven(entry)
        self.records += 1
        if line is not None and is_erasure(context):
            self._settle(seq, line, [digest(each) for each in listed(leaves)])
        self._recorded()

    def _proven(self, told: list[Any]) -> tuple[int, bytes | None, bytes, bytes]:
        """Check that the tree has an entry: H from it, its context, time and the H before, and the proof."""
        seq, t, prev, nonce, context, entry, proof = told
        need(number(seq) < self.size, "an entry is one of the checkpoint before it")
        line, leaf = leaf_of(entry, sha256(b"SX1" + digest(nonce) + stored(context)).digest())
        tail = nanoseconds(t).to_bytes(8, "big") + self.service.encode()
        hashed = sha256(b"SC1" + leaf + digest(prev) + tail).digest()
        path = [digest(each) for each in listed(proof)]
        if root_by_proof(seq, self.size, hashed, path) != self.root:
            raise Refused("proof", seq, f"it is not entry {seq} of the tree of {self.size} that was signed")
        if line is None and (digest(nonce), stored(context)) != BLANK:
            raise Refused("hash", seq, "beside its leaf something stands")
        return seq, line, leaf, stored(context)

    def _settle(self, seq: int, entry: bytes, leaves: list[bytes] | None) -> None:
        """Note what an entry is a valid record of; one that is none leaves it to be refused at the end.

        `leaves` are those of all entries that it names, where they are not known from the chain.
        """
        try:
            told = strict(entry)
            lines, text, signatures = opened(told["note"])
            first, last = number(told["first"]), number(told["last"])
            by = [key.signed(text, signatures) for key, _ in self.signers]
            reason = base64.b64encode(sha256(text_of(told["reason"]).encode()).digest()).decode()
        except (ValueError, KeyError, TypeError, InvalidSignature):
            return
        if any(each is not None for each in by) and first <= last < seq and len(lines) == 6:
            named = range(first, last + 1)
            if leaves is None and len(named) <= len(self.leaves):
                leaves = [self.leaves.get(each, b"") for each in named]
            hashed = base64.b64encode(sha256(b"".join(leaves or [])).digest()).decode()
            says = [*("sentinel-erasure/v1", self.origin, f"{first}-{last}"), lines[3], hashed, reason]
            mine = {each for each in self.unrecorded if each in named}
            if leaves and lines == says and len(leaves) == len(named):
                self.unrecorded -= {each for each in mine if leaves[each - first] == self.leaves[each]}

    def _recorded(self) -> None:
        if self.unrecorded:
            detail = "it was erased, and no record that the log signed says so"
            raise Refused("erasure", min(self.unrecorded), detail)

    def take_end(self, value: Any) -> None:
        """Check the last line, and what can only be said at the end."""
        counted = {"records": self.records}
        if self.kind == "chain":
            counted = {"entries": self.next, "segments": self.segments, "checkpoints": self.checkpoints}
            counted["unsealed"] = self.next - self.size
        if list(map(number, fields(value, *counted))) != list(counted.values()):
            raise Refused("cut", self.next, "the bundle does not hold what its end says")
        self._recorded()
        if not self.checkpoints:
            raise Refused("checkpoint", 0, "nothing of this chain was ever signed: it proves nothing")
        if len(self.cosigned) < self.quorum:
            detail = f"{len(self.cosigned)} of {self.quorum} witnesses cosigned the newest checkpoint"
            raise Refused("quorum", self.size, detail)
        self.ended = True

    def done(self) -> None:
        """Check that the last line was one."""
        if not self.ended:
            raise Refused("cut", self.next, "the bundle has no end: it was cut off")

    def fresh(self, now: int, most: int | None) -> None:
        """Check that the newest checkpoint is at most so many seconds old, and not of a time to come."""
        if most is not None and not -SKEW <= now - self.seconds <= most:
            raise Refused("stale", self.size, f"the newest checkpoint is {now - self.seconds} s old")


def is_erasure(context: bytes) -> bool:
    """Say whether the context of a segment is that of a record of an erasure."""
    try:
        found = strict(context) if b'"erase"' in context else None
    except ValueError:
        return False
    return type(found) is dict and found.get("endpoint") == "erase"


def verify(file: BinaryIO, keys: list[Key], witnesses: list[Key], quorum: int) -> Bundle:
    """Check a bundle. Raises `Refused`."""
    bundle, count = Bundle(keys, witnesses, quorum), 0
    try:
        while line := file.readline(LINE_LIMIT):
            count += 1
            need(line.endswith(b"\n"), "a line is cut off, or too long")
            (bundle.line if count > 1 else bundle.header)(strict(line))
        bundle.done()
    except ValueError as error:
        refused = Refused("format", bundle.next, str(error))
    except Refused as error:
        refused = error
    else:
        return bundle
    refused.line = count
    raise refused


# --- What is told.


def result(bundle: Bundle, now: int) -> dict[str, Any]:
    """Return what was checked, and against what."""
    about: dict[str, Any] = {"entry": bundle.entry, "t": str(bundle.t)}
    if bundle.kind == "chain":
        about = {"entries": bundle.next, "segments": bundle.segments, "checkpoints": bundle.checkpoints}
        about |= {"head": bundle.hash.hex(), "unsealed": bundle.next - bundle.size}
    point = {
        "number": bundle.number,
        "size": bundle.size,
        "time": bundle.seconds,
        "cosigned": bundle.cosigned,
    }
    names = {"kind": bundle.kind, "chain": bundle.chain, "origin": bundle.origin}
    point["age"] = now - bundle.seconds
    return {"verified": True, **names, **about, "erased": len(bundle.leaves), "checkpoint": point}


def legible(text: str) -> str:
    """Return a text as it may be printed: a terminal obeys some characters, and does not show others."""
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def sentences(found: dict[str, Any]) -> str:
    """Return the same for people."""
    point, what = found["checkpoint"], f"entry {found.get('entry')}, stored at {found.get('t')} ns"
    if found["kind"] == "chain":
        what = f"{found['entries']} entries, {found['segments']} segments, {found['checkpoints']} checkpoints"
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(point["time"]))
    by = (
        "cosigned by " + ", ".join(point["cosigned"]) if point["cosigned"] else "by no witness that was named"
    )
    text = f"verified  {legible(found['chain'])}: {what}\n"
    text += (
        f"against   checkpoint {point['number']} of {found['origin']}: the first {point['size']} entries\n"
    )
    text += f"signed    {when}, {point['age']} s ago, {by}"
    if found["erased"]:
        text += f"\nerased    {found['erased']} entries, each with the log's record of it"
    if found.get("unsealed"):
        text += f"\nUNSEALED  the last {found['unsealed']} entries are in no checkpoint yet: only linked"
    return text


def main(arguments: list[str] | None = None) -> int:
    """Be the command."""
    parser = argparse.ArgumentParser("sentinel-verify", description="Check a bundle of a Sentinel chain.")
    parser.add_argument("file", metavar="FILE", help="what `sentinel bundle` wrote; - for standard input")
    parser.add_argument("--key", action="append", required=True, metavar="VKEY", help="the log's public key")
    parser.add_argument("--witness", action="append", default=[], metavar="VKEY", help="a witness's key")
    parser.add_argument("--quorum", type=int, help="how many of them must have cosigned; all by default")
    parser.add_argument("--max-age", type=int, metavar="SECONDS", help="of the newest checkpoint")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args(arguments)
    try:
        keys, witnesses = list(map(Key.read, asked.key)), list(map(Key.read, asked.witness))
        quorum = len(witnesses) if asked.quorum is None else asked.quorum
        need(all(key.kind == TIMED for key in witnesses), "a witness's key is of type 4")
        need(
            0 <= quorum <= len({key.name for key in witnesses}), "a quorum is one of witnesses that are named"
        )
        owners: dict[bytes, str | None] = {key.public: None for key in keys}
        for key in witnesses:
            own = owners.setdefault(key.public, key.name) == key.name
            need(own, "each witness has a key of its own, and not the log's")
        with sys.stdin.buffer if asked.file == "-" else open(asked.file, "rb") as file:  # noqa: PTH123
            bundle = verify(file, keys, witnesses, quorum)
        bundle.fresh(int(time.time()), asked.max_age)
        found = result(bundle, int(time.time()))
    except (ValueError, OSError) as error:
        parser.error(str(error))
    except Refused as no:
        text = f"REFUSED   at entry {no.entry}, line {no.line}: {no.kind}: {no.detail}"
        about = {"kind": no.kind, "entry": no.entry, "line": no.line, "detail": no.detail}
        print(json.dumps({"verified": False, **about}) if asked.json else text)
        return 1
    print(json.dumps(found) if asked.json else sentences(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
