"""Has patches tried by a build project: `ports_patches.Prover` in AWS.

A job goes into the bucket under its SHA-256, a build is begun that is told no more than that name, and what
it wrote is read from the bucket under the build's own id, where its role alone may write. The build's program
is `entrypoints/build.py`; its image is one of those that the deployment names.

`idempotencyToken` makes a build be begun once, for five minutes; a worker that dies right after it begins one
and is followed later than that begins a second, which costs and changes nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from sentinel.adapters.aws_errors import code_of, translated
from sentinel.errors import Forbidden, Malformed, Missing, TooLarge, Unavailable
from sentinel.ports_patches import Pending

if TYPE_CHECKING:
    from sentinel.core.proving import Evidence, Job

JOBS: Final = "jobs/"
REPORTS: Final = "reports/"
MOST: Final = 5_000_000  # bytes of a report
JOB: Final = "SENTINEL_JOB"  # the build's variable with the name of its job

# One that was begun a moment ago may not be seen yet: the step's own time bounds how long that is believed.
_GOING = frozenset({"IN_PROGRESS", ""})
_OURS = re.compile(r"[A-Za-z0-9_.-]{1,255}:[A-Za-z0-9-]{1,64}")
_ENDED: Mapping[str, str] = {
    "FAILED": "could not try the patch; its log says why. Its image needs Python with sentinel-service, "
    "bwrap and what the tests need",
    "TIMED_OUT": "took too long: lower the time-out of the repository's tests or the number of mutants",
    "STOPPED": "was stopped by somebody; have the step done once more to try again",
}
_BUSY = frozenset({"AccountLimitExceededException", "AccountSuspendedException"})
_ABSENT = frozenset({"NoSuchKey", "404"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where proofs are made: the project, its bucket, and the images it may use, the first by default."""

    project: str
    bucket: str
    images: Sequence[str]

    def image(self, wanted: str) -> str:
        """Return the image to use. Raises `Forbidden` for one that the deployment does not name."""
        if not wanted and self.images:
            return self.images[0]
        if wanted not in self.images:
            raise Forbidden("the image of the repository's tests is not in SENTINEL_PROVE_IMAGES")
        return wanted


class CodeBuildProver:
    """Proves patches in builds. `codebuild` and `s3` are botocore's clients.

    `packed` writes a job as bytes, `unpacked` reads a report; it raises `Malformed` where the report says
    that the tests cannot be run at all.
    """

    def __init__(
        self,
        codebuild: Any,
        s3: Any,
        place: Place,
        packed: Callable[[Job], bytes],
        unpacked: Callable[[bytes], Evidence],
    ) -> None:
        self._codebuild = codebuild
        self._s3 = s3
        self._place = place
        self._packed = packed
        self._unpacked = unpacked

    def prove(self, job: Job, key: str, handle: str, stopped: Callable[[], bool]) -> Evidence | Pending:
        """Begin a build, or look how far it is; see `ports_patches.Prover`. The handle is the build's id."""
        if not handle:
            return self._begin(job, key)
        if not _OURS.fullmatch(handle):
            raise Malformed("what was handed on is not the id of a build")
        status = self._status(handle)
        if status in _GOING:
            if stopped():
                self._call("stop_build", id=handle)
                raise Unavailable("the proof was stopped, and its build with it")
            return Pending(handle, "the patch is being tried in a build")
        if status == "SUCCEEDED":
            return self._unpacked(self._report(handle))
        if status in _ENDED:
            raise Malformed(f"the build {handle} {_ENDED[status]}")
        # A fault of the service: the same again, under another key.
        return self._begin(job, f"{key} after {handle}")

    def _begin(self, job: Job, key: str) -> Pending:
        image = self._place.image(job.test.image)
        name = self._put(self._packed(job))
        begun = self._call(
            "start_build",
            projectName=self._place.project,
            idempotencyToken=sha256(key.encode()).hexdigest(),
            imageOverride=image,
            environmentVariablesOverride=[{"name": JOB, "value": name, "type": "PLAINTEXT"}],
        )
        return Pending(str(begun["build"]["id"]), "a build was begun that tries the patch")

    def _status(self, build: str) -> str:
        """Return how a build is; "" for one that is not seen."""
        found = self._call("batch_get_builds", ids=[build])["builds"]
        return str(found[0]["buildStatus"]) if found else ""

    def _put(self, data: bytes) -> str:
        name = sha256(data).hexdigest()
        self._call("put_object", self._s3, Bucket=self._place.bucket, Key=JOBS + name, Body=data)
        return name

    def _report(self, build: str) -> bytes:
        found = self._call("get_object", self._s3, Bucket=self._place.bucket, Key=report_key(build))
        with translated():
            data: bytes = found["Body"].read(MOST + 1)
        if len(data) > MOST:
            raise TooLarge(f"the report of the build {build} has more than {MOST:,} bytes")
        return data

    def _call(self, name: str, client: Any = None, **parameters: object) -> Any:
        """Call AWS. Raises `Unavailable` for what may pass, else what the deployment has to change."""
        try:
            with translated():
                return getattr(client or self._codebuild, name)(**parameters)
        except ClientError as error:
            code = code_of(error)
            if code in _BUSY:
                raise Unavailable(f"CodeBuild begins no build now ({code})", retry_after=30.0) from None
            if code in _ABSENT:
                raise Missing("the build ended well and left no report, or one that has expired") from None
            if code == "ResourceNotFoundException":
                raise Missing("there is no such build project: see SENTINEL_PROVE_PROJECT") from None
            raise Forbidden(f"patches may not be tried ({name}: {code})") from None


def report_key(build: str) -> str:
    """Return the name of the report of a build, whose id is `PROJECT:ID`.

    >>> report_key("prove:3f2b0a3e-0c1d")
    'reports/3f2b0a3e-0c1d'
    """
    return REPORTS + build.rpartition(":")[2]
