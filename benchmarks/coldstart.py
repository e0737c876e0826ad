"""The cold start of each function, over importing boto3 and making a DynamoDB client.

Each run is a fresh process that has the function's asset and layers only, as in Lambda, built for this
machine and with their .pyc files. Timed inside the process: from before the handler's import to after its
first event, with a loopback stand-in for AWS (every table empty) and a real Valkey. The comparison imports
boto3 from this environment, which has its .pyc files too, and makes a client; it sends nothing. The two
alternate, and the figures are medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import boto3

from benchmarks import isolated
from benchmarks.report import report
from sentinel.settings import Settings
from tests.valkey import running

ROUNDS = 9
TARGETS = {"ingest_ratio": {"at_most": 1.3}}
BASELINE = """
import boto3
boto3.client("dynamodb")
"""


def measure(verbs: list[str], environ: dict[str, str], rounds: int) -> dict[str, float]:
    """Return milliseconds by function, and of the comparison under "boto3": medians of `rounds` each."""
    packages = [Path(boto3.__file__).parents[1]]
    found: dict[str, list[float]] = {name: [] for name in ["boto3", *verbs]}
    for _ in range(rounds):
        for verb in verbs:
            found["boto3"].append(isolated.run(BASELINE, packages, environ).ms)
            ended = isolated.handle(verb, environ)
            refused = verb == "authorize" and ended.why == "Unauthorized"  # nobody is known in empty tables
            if (ended.raised and not refused) or ended.strangers or "unavailable" in (ended.answer or {}):
                raise RuntimeError(f"{verb} did not run to its end: {ended}")
            found[verb].append(ended.ms)
    return {name: statistics.median(times) for name, times in found.items()}


def main() -> int:
    """Run the benchmark. Returns the exit status: 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the result as the last line")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="runs of each function")
    told = parser.parse_args()
    verbs = sorted(path.parent.name for path in isolated.ROOT.glob("functions/*/handler.py"))
    with (
        tempfile.TemporaryDirectory() as folder,
        isolated.empty_aws() as (endpoint, _),
        running(Path(folder)) as valkey,
    ):
        settings = Settings(
            ledger_table="ledger",
            tasks_table="tasks",
            catalog_table="catalog",
            counters_table="counters",
            alerts_table="alerts",
            redis_url=valkey.url,
            worker_functions="siem=work-siem,action=work-action",
        )
        environ = {**isolated.aws(endpoint), **settings.to_environ()}
        times = measure(verbs, environ, told.rounds)
    base = times.pop("boto3")
    figures = {"boto3_ms": base}
    figures |= {f"{verb}_ms": ms for verb, ms in times.items()}
    figures |= {f"{verb}_ratio": ms / base for verb, ms in times.items()}
    return 0 if report("coldstart", figures, TARGETS, as_json=told.json) else 1


if __name__ == "__main__":
    sys.exit(main())
