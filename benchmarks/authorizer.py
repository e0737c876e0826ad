"""The authorizer's CPU time a call, warm, over one bare verification of an ES256 signature.

The real handler (`functions/authorize`) answers a realistic event of API Gateway: a client certificate in
PEM, a token of nine claims, ten routes. The comparison verifies that very token's signature with the
cryptography library and nothing else: no parsing, no JSON, no key set. The two alternate in one process; the
figures are medians of the CPU time of the thread. Where Project Wycheproof's vectors are beside the checkout,
the invalid ones that are taken are counted, too.
"""

from __future__ import annotations

import argparse
import base64
import copy
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from benchmarks.report import Targets, report
from sentinel.core import jws
from sentinel.errors import Unauthenticated
from tests.data import DATA
from tests.doors import World

ROUNDS = 3_000
WARM = 200
ROOT = Path(__file__).resolve().parents[1]
TARGETS: Targets = {
    "p50_ms": {"at_most": 1.0},
    "ratio": {"at_most": 2.0},
    "wycheproof_false_accepts": {"at_most": 0},
}
VECTORS = ("json_web_signature", "json_web_key", "json_web_crypto")


class Context:
    """What Lambda tells a handler of its invocation."""

    aws_request_id = "8f0c2ad4-0000-4000-8000-000000000000"


def handler() -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """Load the deployed handler from its file, as Lambda does."""
    path = ROOT / "functions" / "authorize" / "handler.py"
    spec = importlib.util.spec_from_file_location("authorize", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[[dict[str, Any], Any], dict[str, Any]] = module.handler
    return found


def event(world: World, token: str) -> dict[str, Any]:
    """Return the event of a request with checkout's certificate and a token."""
    path = ROOT / "tests" / "functions" / "events" / "authorize.json"
    made: dict[str, Any] = copy.deepcopy(json.loads(path.read_text()))
    made["headers"]["Authorization"] = f"Bearer {token}"
    made["multiValueHeaders"]["Authorization"] = [f"Bearer {token}"]
    made["requestContext"]["identity"]["clientCert"]["clientCertPem"] = world.pem
    return made


def bare(world: World, token: str) -> Callable[[], None]:
    """Return one verification of the token's signature, everything around it done before."""
    text, _, last = token.rpartition(".")
    raw = base64.urlsafe_b64decode(last + "==")
    signature = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    private = serialization.load_pem_private_key(world.ring.keys[0].value.encode(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    public, data = private.public_key(), text.encode()
    return lambda: public.verify(signature, data, ec.ECDSA(hashes.SHA256()))


def cpu_us(work: Callable[[], object]) -> float:
    """Return the CPU microseconds of one call."""
    start = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - start) / 1_000


def measure(world: World, rounds: int) -> dict[str, float]:
    """Time both in turns. A new token for each call would be as fast: no answer about one is kept."""
    token = world.token()
    call, sent, verify = handler(), event(world, token), bare(world, token)
    assert call(sent, Context())["principalId"] == "checkout"
    calls: list[float] = []
    bares: list[float] = []
    for number in range(WARM + rounds):
        # Lambda's runtime decodes each event anew, so no string of it is the same object twice.
        fresh = json.loads(json.dumps(sent))
        pair = cpu_us(lambda fresh=fresh: call(fresh, Context())), cpu_us(verify)  # type: ignore[misc]
        if number >= WARM:
            calls.append(pair[0])
            bares.append(pair[1])
    return {
        "p50_ms": statistics.median(calls) / 1_000,
        "p99_ms": statistics.quantiles(calls, n=100)[98] / 1_000,
        "bare_p50_us": statistics.median(bares),
        "ratio": statistics.median(calls) / statistics.median(bares),
    }


def false_accepts() -> dict[str, float]:
    """Return how many invalid tokens of the vectors there are, and how many are taken."""
    invalid = taken = 0
    for name in VECTORS:
        path = DATA / "badinput" / "wycheproof" / f"{name}_test.json"
        for group in json.loads(path.read_text())["testGroups"] if path.exists() else ():
            key = group.get("public") or group["private"]
            keys = jws.public_keys(key if "keys" in key else {"keys": [key]})
            for case in group["tests"]:
                if case["result"] == "invalid":
                    invalid += 1
                    taken += _taken(keys, case.get("jws", case.get("jwe", "")))
    return {"wycheproof_invalid": invalid, "wycheproof_false_accepts": taken} if invalid else {}


def _taken(keys: dict[str, jws.PublicKey], token: object) -> bool:
    try:
        jws.verify(token if isinstance(token, str) else json.dumps(token), keys, 0)
    except Unauthenticated:
        return False
    return True


def main() -> int:
    """Run the benchmark; return 0 where its targets are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the result as the last line")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="calls that are timed")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SENTINEL_HOME"] = folder
        world = World(Path(folder) / "registry.db", now=int(time.time()))
        figures = measure(world, told.rounds) | false_accepts()
    targets = {name: bounds for name, bounds in TARGETS.items() if name in figures}
    return 0 if report("authorizer", figures, targets, as_json=told.json) else 1


if __name__ == "__main__":
    sys.exit(main())
