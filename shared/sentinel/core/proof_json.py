"""Jobs and evidence as JSON: how a proof is handed to where it is made, and comes back."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import orjson

from sentinel.core.edits import patch_of
from sentinel.core.failures import Call, Failure
from sentinel.core.prompt_parts import Said
from sentinel.core.proven import RULES
from sentinel.core.proving import Evidence, HowToTest, Job, Limits, Reason
from sentinel.core.trees import Tree
from sentinel.errors import Malformed

MAX_EVIDENCE = 100_000  # bytes


def job_bytes(job: Job) -> bytes:
    """Return a job as JSON; the same job has the same bytes."""
    failure = {
        **{name: getattr(job.failure, name) for name in ("exception", "message", "release", "traces")},
        "calls": [_call(each) for each in job.failure.calls],
        "said": [asdict(each) for each in job.failure.said],
    }
    document = {
        "tree": b64encode(job.tree.packed()).decode(),
        "before": _texts(job.patch.before),
        "after": _texts(job.patch.after),
        "failure": failure,
        "test": asdict(job.test),
        "mutants": job.mutants,
        "share": job.share,
    }
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def job_of(data: bytes) -> Job:
    """Read a job. Raises `Malformed`. The diff is derived anew."""
    try:
        read: dict[str, Any] = orjson.loads(data)
        failure, test = read["failure"], read["test"]
        return Job(
            Tree.unpacked(b64decode(read["tree"])),
            patch_of(_bytes(read["before"]), _bytes(read["after"])),
            Failure(
                failure["exception"],
                failure["message"],
                tuple(Call(**each) for each in failure["calls"]),
                tuple(Said(**each) for each in failure["said"]),
                failure["release"],
                tuple(failure["traces"]),
            ),
            HowToTest(
                tuple(test["command"]),
                tuple(test["roots"]),
                test["environment"],
                test["image"],
                Limits(**test["limits"]),
            ),
            int(read["mutants"]),
            float(read["share"]),
        )
    except (ValueError, TypeError, KeyError):
        raise Malformed("what is to be proven cannot be read: it is not what `job_bytes` makes") from None


def evidence_bytes(evidence: Evidence) -> bytes:
    """Return evidence as JSON, as it is recorded."""
    return orjson.dumps(evidence.json(), option=orjson.OPT_SORT_KEYS)


def refusal_bytes(why: str) -> bytes:
    """Return as JSON why nothing can be proven, for `evidence_of` to raise."""
    return orjson.dumps({"malformed": why})


def evidence_of(data: bytes) -> Evidence:
    """Read evidence that came from elsewhere.

    Raises `Malformed`, also where it contradicts itself, and where it says why nothing can be proven.
    """
    if len(data) > MAX_EVIDENCE:
        raise Malformed(f"evidence has at most {MAX_EVIDENCE:,} bytes")
    try:
        read: Any = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise Malformed("evidence cannot be read: it is not what a proof writes") from None
    if isinstance(read, dict) and isinstance(read.get("malformed"), str):
        raise Malformed(read["malformed"])
    try:
        reasons = tuple(Reason(str(each["rule"]), str(each["words"])) for each in read["reasons"])
        evidence = Evidence(dict(read["seen"]), reasons, tuple(float(each) for each in read["rank"]))
        proven = read["proven"]
    except (ValueError, TypeError, KeyError):
        raise Malformed("evidence cannot be read: it is not what a proof writes") from None
    if proven is not evidence.proven or any(each.rule not in RULES for each in reasons):
        raise Malformed("evidence contradicts itself")
    return evidence


def _call(call: Call) -> dict[str, object]:
    return {"file": call.file, "function": call.function, "line": call.line, "values": dict(call.values)}


def _texts(files: Mapping[str, bytes]) -> dict[str, str]:
    return {path: b64encode(data).decode() for path, data in files.items()}


def _bytes(files: Mapping[str, str]) -> dict[str, bytes]:
    return {path: b64decode(text) for path, text in files.items()}
