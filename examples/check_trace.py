"""Checks a trace with nothing but Python's own hashlib: no part of Sentinel is used or trusted.

    sentinel trace TASK --json | python -m examples.check_trace

The shape is that of `docs/trace.md`, the scheme that of `docs/wire.md`. Prints what is proven, each with the
head that it is proven up to: compare those with heads that you have from elsewhere. Exits 1 at the first
thing that does not follow.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from typing import Any

Json = dict[str, Any]


class Broken(Exception):
    """The trace does not prove what it says."""


def check(trace: Json) -> list[str]:
    """Check a trace; return what it proves, a line each. Raises `Broken`."""
    if trace["format"] != 1:
        raise Broken(f"format {trace['format']} is not known here")
    for run in trace["runs"]:
        _run(run)
    told = [_entry(entry, trace["runs"]) for entry in trace["entries"] if entry["proven"]]
    places = {(entry["chain"], entry["seq"]) for entry in trace["entries"]}
    for task in trace["tasks"]:
        told += _task(task, places if "entry" not in trace["asked"] else None)
    for each in trace["damage"]:
        raise Broken(f"it says itself that {each['chain']} is damaged at {each['seq']}: {each['detail']}")
    return told


def _run(run: Json) -> None:
    """Follow the links of a run of segments, from the head before it to its own."""
    head, size = bytes.fromhex(run["prev"]), run["first"]
    if size == 0 and head != _hash(b"SG1", run["chain"].encode()):
        raise Broken(f"{run['chain']} does not begin with its own name")
    if run["service"] != run["chain"].rpartition("/")[0]:
        raise Broken(f"{run['chain']} is not a chain of {run['service']}")
    for segment in run["segments"]:
        if segment["first"] != size or segment["count"] != len(segment["leaves"]):
            raise Broken(f"{run['chain']}: the segment at {segment['first']} does not follow")
        head = _links(head, segment["leaves"], segment["t"], run["service"])
        if head.hex() != segment["head"]:
            raise Broken(f"{run['chain']}: the segment at {segment['first']} does not lead to its head")
        size += segment["count"]
    if (head.hex(), size) != (run["head"], run["entries"]):
        raise Broken(f"{run['chain']}: the run does not end where it says")


def _links(head: bytes, leaves: list[str], t: int, service: str) -> bytes:
    for leaf in leaves:
        head = _hash(b"SC1", bytes.fromhex(leaf), head, t.to_bytes(8, "big"), service.encode())
    return head


def _before(run: Json, segment: Json) -> bytes:
    at = run["segments"].index(segment)
    return bytes.fromhex(run["segments"][at - 1]["head"] if at else run["prev"])


def _entry(entry: Json, runs: list[Json]) -> str:
    """Find an entry's leaf in a run; where the entry itself is told, make its leaf anew."""
    where = f"{entry['chain']} entry {entry['seq']}"
    for run in runs:
        for segment in run["segments"]:
            at = entry["seq"] - segment["first"]
            if run["chain"] == entry["chain"] and 0 <= at < segment["count"]:
                if (segment["leaves"][at], segment["t"]) != (entry["leaf"], entry["t"]):
                    raise Broken(f"{where} is not what its segment holds")
                links = _links(
                    _before(run, segment), segment["leaves"][: at + 1], segment["t"], run["service"]
                )
                if links.hex() != entry["hash"]:
                    raise Broken(f"{where} has another hash")
                if "entry" in entry:
                    salt = _hash(b"SX1", bytes.fromhex(segment["nonce"]), _raw(segment["context"]))
                    if _hash(b"SL1", salt, _raw(entry["entry"])).hex() != entry["leaf"]:
                        raise Broken(f"{where} is not what its leaf commits to")
                return f"{where}: in the chain, up to head {run['head']} of {run['entries']} entries"
    raise Broken(f"{where} is said to be proven, and no run has it")


def _task(task: Json, places: set[tuple[str, int]] | None) -> list[str]:
    """Follow a task's lineage, and hold its effects and causes against what that tells."""
    chain = f"task/{task['id']}"
    head = _hash(b"SG1", chain.encode())
    bodies = []
    for number, event in enumerate(task["lineage"]["events"]):
        leaf, body = _event(chain, event)
        head = _links(head, [leaf], event["t"], "task")
        if event["seq"] != number or head.hex() != event["head"]:
            raise Broken(f"{chain}: event {number} does not follow")
        bodies.append(body)
    if not bodies or head.hex() != task["lineage"]["head"]:
        raise Broken(f"{chain}: the lineage does not end where the task says")
    for place in bodies[0].get("entries", []) if places is not None else []:
        if (place["chain"], place["seq"]) not in (places or ()):
            raise Broken(f"{chain}: its cause {place['chain']} {place['seq']} is not told")
    told = [f"{chain}: {len(bodies)} events, up to head {head.hex()}"]
    told += [
        f"{chain}: event {event['seq']} was erased, as a note of the log says; its signature is not checked"
        for event in task["lineage"]["events"]
        if "note" in event
    ]
    return told + [_effect(chain, effect, bodies) for effect in task["effects"]]


def _event(chain: str, event: Json) -> tuple[str, Json]:
    """Return an event's leaf, and what it says; of one that was erased what the log says that stays of it."""
    if "note" not in event:
        salt = _hash(b"SX1", bytes.fromhex(event["nonce"]), b"{}")
        return _hash(b"SL1", salt, _raw(event["entry"])).hex(), json.loads(_raw(event["entry"]))
    lines = event["note"].split("\n")
    leaf, stays = event["entry"]["erased"], _raw(event["stays"])
    digests = [base64.b64encode(each).decode() for each in (bytes.fromhex(leaf), _hash(stays))]
    if lines[0] != "sentinel-erased-event/v1" or [lines[2], *lines[4:6]] != [str(event["seq"]), *digests]:
        raise Broken(f"{chain}: the note of event {event['seq']} is about something else")
    return leaf, json.loads(stays)


def _effect(chain: str, effect: Json, bodies: list[Json]) -> str:
    where = f"{chain}: the effect of step {effect['step']}"
    for body in bodies:
        if body.get("effect") == effect["key"] and body.get("outcome") and effect["t"] <= body["t"]:
            digest = _hash(json.dumps(effect["result"], **_CANONICAL).encode()).hex()
            if effect["state"] != "done" or body.get("result") not in {None, digest}:
                raise Broken(f"{where} is not the one that was told")
            return f"{where}: {body['outcome']}, its result as the lineage commits to it"
    return f"{where}: {effect['state']}, and no event tells of it as done"


_CANONICAL: Json = {"sort_keys": True, "separators": (",", ":"), "ensure_ascii": False}


def _hash(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def _raw(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value["b64"])


def main() -> int:
    """Check standard input."""
    try:
        told = check(json.load(sys.stdin))
    except (Broken, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"broken: {error}\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in told))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
