"""Proves one job of a file and writes what was seen: what a build service runs.

    python -m sentinel.entrypoints.prove_job JOB.json REPORT.json

The build's container is the sandbox: it has no network and nothing that is worth anything. Needed are Python,
`orjson` and `zstandard` for Sentinel, and what the repository's tests need. It ends with 0 where there is a
report, whatever it says, with 2 where the tests cannot be run, which the report then says, too, else with 1.
"""

from __future__ import annotations

import sys
from pathlib import Path

import orjson

from sentinel.adapters.sandbox_container import Container
from sentinel.core.proof_json import evidence_bytes, job_of
from sentinel.errors import Malformed
from sentinel.usecases.prove_patch import ProveHere


def main(arguments: list[str]) -> int:
    """Prove the job of the first file, write to the second, and return the exit code."""
    job, report = (Path(each) for each in arguments)
    try:
        evidence = ProveHere(Container()).prove(job_of(job.read_bytes()), "", "", lambda: False)
    except Malformed as error:
        report.write_bytes(orjson.dumps({"malformed": str(error)}))
        return 2
    report.write_bytes(evidence_bytes(evidence))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:3]))
