"""An event collector and a `_bulk` endpoint that keep count: of what came, came twice, and came out of order.

Both read a body with a few calls into C (gzip, one `orjson.loads`), so that they are far faster than what
they measure. They refuse what the real ones refuse of a well-meant request: a wrong secret, a body that is no
JSON, an event without its id. `Mood` says how they answer next; what it may be is what the products document:
HEC's codes 9 and 26, 429 with `Retry-After`, single items of a bulk request with 429, and a reply that is
lost after all has been taken.

As a program this is a server in a process of its own: it prints its port, and for each line on standard input
prints what it has counted, forgets everything and begins anew.
"""

from __future__ import annotations

import gzip
import json
import sys
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

import orjson

from tests.loopback import Asked, Loopback, Told

SECRET: Final = "benchmark-secret"
JSON: Final = {"Content-Type": "application/json"}
PART: Final = 3  # of the items of a bulk request every third is answered with 429 where it is partly busy


class Mood(StrEnum):
    """How a target answers."""

    GOOD = "good"
    BUSY = "busy"  # it takes nothing and says so
    PARTLY = "partly"  # `_bulk` takes some of the items; HEC takes all, and asks to slow down
    LOST = "lost"  # it takes everything and hangs up in the place of the answer
    HUNG = "hung"  # it takes nothing and hangs up


@dataclass
class Counted:
    """What came. `stored` are events with an id that was new, `doubled` those that were stored once more.

    `known` are events that were there already and were not stored again; `disorder` counts events that were
    new and came after a later one of their chain, or before one that an earlier request had brought and the
    target had put off (that one itself cannot come in order any more).
    """

    requests: int = 0
    stored: int = 0
    doubled: int = 0
    known: int = 0
    disorder: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    bytes: int = 0


class Target:
    """What both share. `mood` is asked at each request; `arrived` is told how many events were looked at."""

    def __init__(
        self, mood: Callable[[], Mood] = lambda: Mood.GOOD, arrived: Callable[[int], None] = lambda _: None
    ) -> None:
        self.counted = Counted()
        self.places: dict[tuple[str, int], str] = {}
        self._mood = mood
        self._arrived = arrived
        self._last: dict[str, int] = {}
        self._off: dict[str, dict[int, int]] = {}
        self._turn = 0

    def answer(self, asked: Asked) -> Told:
        """Answer one request."""
        mood = self._mood()
        told = Told(lost=True) if mood is Mood.HUNG else self._told(asked, mood)
        name = mood.value if told.lost else str(told.status)
        self.counted.requests += 1
        self.counted.answers[name] = self.counted.answers.get(name, 0) + 1
        return told

    def _told(self, asked: Asked, mood: Mood) -> Told:
        if asked.headers.get("Authorization") != self.authorization:
            return self.refusal(401)
        self._turn += 1
        if mood is Mood.BUSY:
            return self.busy(self._turn)
        self.counted.bytes += len(asked.body)
        try:
            told = self.take(read(asked), mood)
        except (ValueError, KeyError, TypeError, OSError, EOFError, zlib.error):
            return self.refusal(400)
        return Told(lost=True) if mood is Mood.LOST else told

    @property
    def authorization(self) -> str:
        """The header that lets in."""
        raise NotImplementedError

    def busy(self, turn: int) -> Told:
        """Say that there is too much now; turns take turns in how."""
        raise NotImplementedError

    def refusal(self, status: int) -> Told:
        """Refuse a request that is wrong."""
        raise NotImplementedError

    def take(self, rows: list[Any], mood: Mood) -> Told:
        """Store what a request brings."""
        raise NotImplementedError

    def seen(self, place: tuple[str, int], name: str, *, again: bool) -> bool:
        """Note an event; say whether its place in the ledger was new. `again`: it is stored once more."""
        found, counted = self.places.get(place), self.counted
        if found is not None:
            # One entry has one id: with another one it is a second document.
            twice = again or found != name
            counted.doubled += twice
            counted.known += not twice
            return False
        self.places[place] = name
        counted.stored += 1
        counted.disorder += self._misplaced(*place)
        return True

    def put_off(self, place: tuple[str, int]) -> None:
        """Note that an event is to come again."""
        chain, seq = place
        self._off.setdefault(chain, {})[seq] = self._turn

    def _misplaced(self, chain: str, seq: int) -> bool:
        off = self._off.get(chain)
        if off:
            if off.pop(seq, None) is not None:
                return False
            if any(turn < self._turn for turn in off.values()):
                return True
        if seq < self._last.get(chain, -1):
            return True
        self._last[chain] = seq
        return False


def read(asked: Asked) -> list[Any]:
    """Return the JSON values of a body, one a line. Raises `ValueError` where it is none."""
    body = asked.body
    if asked.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    found: list[Any] = orjson.loads(b"[" + body.rstrip(b"\n").replace(b"\n", b",") + b"]")
    return found


class Hec(Target):
    """Splunk's HTTP Event Collector: whatever comes is stored, also once more."""

    authorization = f"Splunk {SECRET}"

    def busy(self, turn: int) -> Told:
        """Answer 503 with code 9 or 26, and 429 with the time to wait, in turns."""
        if turn % 3 == 0:
            return Told(429, b'{"text":"Too many requests"}', {**JSON, "Retry-After": "2"})
        told = b'{"text":"Server is busy","code":9}' if turn % 3 == 1 else b'{"text":"Queue","code":26}'
        return Told(503, told, JSON)

    def refusal(self, status: int) -> Told:
        """Answer with HEC's codes for a wrong token and for what is no data."""
        if status == 401:
            return Told(403, b'{"text":"Invalid token","code":4}', JSON)
        return Told(400, b'{"text":"Invalid data format","code":6}', JSON)

    def take(self, rows: list[Any], mood: Mood) -> Told:
        """Store all events; where it is partly busy, say that the queue fills."""
        self._arrived(len(rows))
        for row in rows:
            told = row["fields"]
            place = told["sentinel_chain"], int(told["sentinel_seq"])
            self.seen(place, told["sentinel_event_id"], again=True)
        if mood is Mood.PARTLY:
            return Told(200, b'{"text":"Success","code":24}', JSON)
        return Told(200, b'{"text":"Success","code":0}', JSON)


class Bulk(Target):
    """A data stream of Elasticsearch behind `_bulk`: an id that is there is there."""

    authorization = f"ApiKey {SECRET}"

    def busy(self, turn: int) -> Told:
        """Answer 429, in turns with and without the time to wait, and 503."""
        if turn % 3 == 0:
            return Told(503, b'{"error":{"type":"unavailable_shards_exception"},"status":503}', JSON)
        headers = {**JSON, "Retry-After": "2"} if turn % 3 == 1 else JSON
        return Told(429, b'{"error":{"type":"es_rejected_execution_exception"},"status":429}', headers)

    def refusal(self, status: int) -> Told:
        """Answer as Elasticsearch does."""
        return Told(status, b'{"error":{"type":"illegal_argument_exception"}}', JSON)

    def take(self, rows: list[Any], mood: Mood) -> Told:
        """Create each document; where it is partly busy, some are to come again."""
        self._arrived(len(rows) // 2)
        items = [
            self._create(action["create"]["_id"], document, number if mood is Mood.PARTLY else 0)
            for number, (action, document) in enumerate(zip(rows[::2], rows[1::2], strict=True), 1)
        ]
        bad = any("error" in item["create"] for item in items)
        return Told(200, orjson.dumps({"errors": bad, "items": items}), JSON)

    def _create(self, name: str, document: Mapping[str, Any], number: int) -> dict[str, Any]:
        place = document["labels"]["sentinel_chain"], document["event"]["sequence"]
        if number and number % PART == 0 and place not in self.places:
            self.put_off(place)
            return _BUSY
        if document["event"]["id"] != name or "@timestamp" not in document:
            return _ODD
        return _CREATED if self.seen(place, name, again=False) else _KNOWN


def _item(status: int, kind: str) -> dict[str, Any]:
    return {"create": {"status": status, "error": {"type": kind}}}


_CREATED: Final[dict[str, Any]] = {"create": {"status": 201}}
_KNOWN: Final = _item(409, "version_conflict_engine_exception")
_BUSY: Final = _item(429, "es_rejected_execution_exception")
_ODD: Final = _item(400, "document_parsing_exception")
KINDS: Final[Mapping[str, type[Target]]] = {"splunk": Hec, "elastic": Bulk}


class Served(Loopback):
    """A target behind a port; of its requests none are kept."""

    def __init__(self, target: Target, port: int = 0) -> None:
        self.target = target
        self._wanted = port
        super().__init__(self._one)

    def server_bind(self) -> None:
        """Take the port that is wanted, so that a target can come back where it was."""
        self.server_address = ("127.0.0.1", self._wanted)
        super().server_bind()

    def _one(self, asked: Asked) -> Told:
        self.asked.clear()
        return self.target.answer(asked)


def main(kind: str) -> None:
    """Be the server."""
    served = Served(KINDS[kind]())
    print(served.port, flush=True)
    before = time.process_time()
    for _ in sys.stdin:
        cpu = time.process_time() - before
        print(json.dumps(asdict(served.target.counted) | {"cpu": cpu}), flush=True)
        served.target = KINDS[kind]()
        before = time.process_time()
    served.stop()


if __name__ == "__main__":
    main(sys.argv[1])
