"""One build: fetches its job from the bucket, proves it, and writes its report back under its own id.

It takes nothing but the name of the job from whoever began it, and nothing from a repository but the job's
bytes, which have to be those of the name. A build that ends without a report has failed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from sentinel.adapters.codebuild import JOB, JOBS, report_key
from sentinel.errors import Malformed, Tampered

BUILD = "CODEBUILD_BUILD_ID"
BUCKET = "SENTINEL_BLOBS_BUCKET"


def carry_out(s3: Any, environ: Mapping[str, str], prove: Callable[[bytes], bytes]) -> str:
    """Prove the job that the environment names by `prove`, job to report; return the report's name.

    Raises `Malformed` where a variable is missing, and `Tampered` where the job is not what its name says.
    """
    for name in (JOB, BUILD, BUCKET):
        if not environ.get(name):
            raise Malformed(f"{name} is not set: this runs in a build of Sentinel's project")
    job = s3.get_object(Bucket=environ[BUCKET], Key=JOBS + environ[JOB])["Body"].read()
    if sha256(job).hexdigest() != environ[JOB]:
        raise Tampered("jobs", 0, "digest", "the job is not the one that this build was begun for")
    report = report_key(environ[BUILD])
    s3.put_object(Bucket=environ[BUCKET], Key=report, Body=prove(job))
    return report


def prove(data: bytes) -> bytes:
    """Prove a job, both as bytes; what keeps its tests from being run at all is told in the report."""
    from sentinel.adapters.sandbox_bwrap import here
    from sentinel.core.proof_json import evidence_bytes, job_of, refusal_bytes
    from sentinel.usecases.prove_patch import ProveHere

    try:
        return evidence_bytes(ProveHere(here()).prove(job_of(data), "", "", lambda: False))
    except Malformed as error:
        return refusal_bytes(str(error))


def main() -> None:
    """Carry out the build that this runs in."""
    from sentinel.bootstrap import bootstrap, environment

    carry_out(bootstrap().bucket_client, environment(), prove)


if __name__ == "__main__":
    main()
