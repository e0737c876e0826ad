"""CPU of the ingest handler on batches of 500 entries, over the floor of what it must do.

The handler is `functions/ingest/handler.py` with an API Gateway event; the DynamoDB client is real, and the
network is stubbed below botocore, so that building, signing and parsing the request count. The floor is
orjson.loads of each line, the two hashes of each line, and zstd of the batch, in the same process. The
handler is measured for a service whose entries are stored as they are, and for one with data keys of its own
(docs/encryption.md); all of it in turns, and the ratios are those of the medians.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import zstandard

from benchmarks.lines import entries
from benchmarks.report import report

BATCH = 500
ROUNDS = 60
BATCHES = 8
FUNCTION = Path(__file__).resolve().parents[1] / "functions" / "ingest" / "handler.py"


def floor(lines: list[bytes]) -> bytes:
    """Do what no implementation of the design can leave out."""
    prev = bytes(32)
    sha256 = hashlib.sha256
    prefix, tail = b"SL1" + bytes(32), bytes(8) + b"checkout"
    for line in lines:
        orjson.loads(line)
    for line in lines:
        prev = sha256(b"SC1" + sha256(prefix + line).digest() + prev + tail).digest()
    return prev + zstandard.ZstdCompressor(level=1).compress(b"\n".join(lines))


def handler_with_stub() -> tuple[Callable[[dict[str, Any], Any], dict[str, Any]], list[int]]:
    """Return the handler, its DynamoDB answering at once below botocore, and the sizes it was sent."""
    os.environ.update(
        SENTINEL_LEDGER_TABLE="ledger",
        SENTINEL_KEYS_TABLE="keys",
        SENTINEL_DATA_KEY="alias/benchmark",
        AWS_ACCESS_KEY_ID="benchmark",
        AWS_SECRET_ACCESS_KEY="benchmark",
        AWS_DEFAULT_REGION="eu-central-1",
        AWS_LAMBDA_FUNCTION_NAME="ingest",  # so that logging and metrics count as in Lambda
    )
    from sentinel.bootstrap import bootstrap

    sizes: list[int] = []

    def answer(request: Any, **_: Any) -> Any:
        sizes.append(len(request.body))
        return answered(request, b"{}")

    app = bootstrap()
    app.dynamodb_once.meta.events.register("before-send.dynamodb.PutItem", answer)
    # The record of a data key, one a process and half an hour.
    app.dynamodb.meta.events.register(
        "before-send.dynamodb.PutItem", lambda request, **_: answered(request, b"{}")
    )
    app.dynamodb.meta.events.register(
        "before-send.dynamodb.Query", lambda request, **_: answered(request, b'{"Items":[],"Count":0}')
    )
    kms: Any = app.data_keys
    made = {
        "CiphertextBlob": base64.b64encode(bytes(168)).decode(),
        "Plaintext": base64.b64encode(bytes(32)).decode(),
    }
    kms._kms.meta.events.register(
        "before-send.kms.GenerateDataKey", lambda request, **_: answered(request, orjson.dumps(made))
    )
    spec = importlib.util.spec_from_file_location("ingest_handler", FUNCTION)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.handler, sizes


def answered(request: Any, body: bytes) -> Any:
    """Answer a request below botocore."""
    from botocore.awsrequest import AWSResponse, HeadersDict

    headers: Any = HeadersDict()
    response: Any = AWSResponse(request.url, 200, headers, None)
    response._content = body
    return response


def event(lines: list[bytes], number: int, policy: str) -> dict[str, Any]:
    """Return the API Gateway event of one batch, of a service whose encryption is `policy`."""
    return {
        "resource": "/v1/entries",
        "path": "/v1/entries",
        "httpMethod": "POST",
        "headers": {"Content-Type": "application/x-ndjson", "Sentinel-Batch-Id": f"{number:032x}"},
        "queryStringParameters": None,
        "pathParameters": None,
        "requestContext": {
            "requestId": f"{number:08x}-0000-4000-8000-000000000000",
            "identity": {"sourceIp": "10.0.0.1"},
            "authorizer": {"service": f"checkout-{policy}", "scopes": "ingest", "encryption": policy},
        },
        "body": base64.b64encode(b"\n".join(lines)).decode(),
        "isBase64Encoded": True,
    }


class Context:
    """What Lambda tells a handler of its invocation."""

    aws_request_id = "8f0c2ad4-0000-4000-8000-000000000000"


def cpu(work: Callable[[], object]) -> float:
    """Return the CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> int:
    """Run the benchmark; return 0 where its target is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the result as the last line")
    as_json = parser.parse_args().json
    lines, source = entries(BATCH * BATCHES)
    batches = [lines[i * BATCH : (i + 1) * BATCH] for i in range(BATCHES)]
    handler, sizes = handler_with_stub()
    floors: list[float] = []
    handlers: dict[str, list[float]] = {"store": [], "own": []}
    for turn in range(ROUNDS):
        batch = batches[turn % BATCHES]
        floors.append(cpu(lambda batch=batch: floor(batch)))  # type: ignore[misc]
        for policy, times in handlers.items():
            sent = event(batch, turn + 1, policy)
            answers: list[dict[str, Any]] = []
            with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
                times.append(cpu(lambda sent=sent, answers=answers: answers.append(handler(sent, Context()))))  # type: ignore[misc]
            assert answers[0]["statusCode"] == 200, answers[0]["body"]
            assert orjson.loads(answers[0]["body"])["first"] == turn * BATCH
    warm = slice(BATCHES, None)
    per_floor = statistics.median(floors[warm]) / BATCH * 1e6
    per_handler, per_own = (statistics.median(times[warm]) / BATCH * 1e6 for times in handlers.values())
    figures = {
        "floor_us_per_entry": round(per_floor, 3),
        "handler_us_per_entry": round(per_handler, 3),
        "ratio": round(per_handler / per_floor, 3),
        "encrypted_us_per_entry": round(per_own, 3),
        "encrypted_ratio": round(per_own / per_floor, 3),
        "entry_bytes": round(sum(map(len, lines)) / len(lines), 1),
        "request_bytes_per_entry": round(statistics.median(sizes) / BATCH, 1),
    }
    print(f"entries: {source}")
    return (
        0
        if report(
            "ingest",
            figures,
            {"ratio": {"at_most": 2.6}, "encrypted_ratio": {"at_most": 2.8}},
            as_json=as_json,
        )
        else 1
    )


if __name__ == "__main__":
    raise SystemExit(main())
