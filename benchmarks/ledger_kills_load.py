"""The load of `benchmarks.ledger_kills`, and what became of it: see there."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from typing import Any

from sentinel.bootstrap import App
from sentinel.core.verify import Verifier

SERVICE, CHAIN = "kills", "kills/0"
BATCH = 20


class Producer(threading.Thread):
    """Sends numbered batches to a port, each again until it is acknowledged."""

    def __init__(self, number: int, port: int) -> None:
        super().__init__(daemon=True)
        self.number, self.port = number, port
        self.receipts: dict[str, dict[str, Any]] = {}
        self.sends = 0
        self.ended = threading.Event()

    def run(self) -> None:
        """See the class."""
        since = "0"
        while not self.ended.is_set():
            name = f"{self.number}-{len(self.receipts)}"
            boom = len(self.receipts) % 5 == 0
            lines = [
                json.dumps({"kind": "boom" if boom and at == 0 else "calm", "id": f"{name}-{at}"})
                for at in range(BATCH)
            ]
            told = {"Sentinel-Service": SERVICE, "Sentinel-Batch-Id": name, "Sentinel-Since": since}
            while (receipt := self._send("\n".join(lines).encode(), told)) is None:
                time.sleep(0.02)
            self.receipts[name] = receipt
            time.sleep(0.02)  # the processors are for what is killed
            since = f"{receipt['first'] + receipt['count']} {receipt['chain']}"

    def _send(self, body: bytes, headers: dict[str, str]) -> dict[str, Any] | None:
        self.sends += 1
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", "/v1/entries", body, headers)
            answer = connection.getresponse()
            raw = answer.read()
            found: dict[str, Any] | None = json.loads(raw) if answer.status == 200 else None
        except (OSError, ValueError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return found


def judged(app: App, receipts: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Compare what was acknowledged with what is in the ledger, after verifying it, and its checkpoints."""
    checked, ids, roots = Verifier(CHAIN), list[str](), {0: Verifier(CHAIN).root}
    heads: dict[int, str] = {}
    for segment in app.ledger.read(CHAIN):
        checked.check(segment)
        roots[checked.next], heads[checked.next] = checked.root, segment.head.hex()
        ids += [json.loads(entry)["id"] for entry in segment.opened.entries]
    lost = 0
    for name, receipt in receipts.items():
        first, end = receipt["first"], receipt["first"] + receipt["count"]
        there = (
            ids[first:end] == [f"{name}-{at}" for at in range(BATCH)] and heads.get(end) == receipt["head"]
        )
        lost += 0 if there else BATCH
    acknowledged = {f"{name}-{at}" for name in receipts for at in range(BATCH)}
    newest = app.sealer.newest(CHAIN)
    sizes, contradicted = [0], 0
    for number in range(newest.number + 1 if newest else 0):
        point = app.sealer.keys.read(CHAIN, number, app.notes.get(CHAIN, number) or b"").checkpoint
        contradicted += roots.get(point.size) != point.root or point.size < sizes[-1]
        sizes.append(point.size)
    return {
        "acknowledged": len(acknowledged),
        "found": len(ids),
        "lost": lost,
        "doubled": sum(count - 1 for count in Counter(ids).values()),
        "unannounced": len(set(ids) - acknowledged),
        "checkpoints": len(sizes) - 1,
        "contradicted": contradicted,
    }
