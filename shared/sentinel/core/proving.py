"""What is to be proven of a patch, and the evidence: the same whether it is tried here or in a build service.

A proof tries a patch where it can do no harm and says what was seen. `reasons` are why it is not proven; a
patch without any is. Evidence is small JSON, sealed in the lineage by its digest and shown to people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sentinel.core.edits import Patch
from sentinel.core.failures import Failure
from sentinel.core.trees import Tree


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run in the sandbox may take: seconds of wall time and of CPU, bytes, and processes.

    `memory` is of all its processes together, `disk` of all that it writes, `output` of what is kept of its
    output, `file` of one file.
    """

    seconds: float = 120.0
    cpu: float = 120.0
    memory: int = 1_000_000_000
    processes: int = 64
    disk: int = 256_000_000
    file: int = 64_000_000
    output: int = 200_000


PYTEST: Final = ("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junit-xml={report}")


@dataclass(frozen=True, slots=True)
class HowToTest:
    """How a repository's tests are run: `command` in its root, with the interpreter of `environment`.

    `roots` are the folders from which modules are imported, `environment` a folder of a Python environment
    ("" for that of Sentinel), `image` that of a build service. `{report}` in the command stands for the path
    of the JUnit report.
    """

    command: tuple[str, ...] = PYTEST
    roots: tuple[str, ...] = ("src", ".")
    environment: str = ""
    image: str = ""
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Job:
    """One patch to prove: the files before, the patch, the failure that it is to end, and how tests run.

    `mutants` is the most that are tried, `share` how many of these some test has to notice, 0 to 1.
    """

    tree: Tree
    patch: Patch
    failure: Failure
    test: HowToTest
    mutants: int = 40
    share: float = 0.8


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a patch is not proven: a rule of `core.proven.RULES`, and words that hold nothing of a file."""

    rule: str
    words: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen. `seen` is JSON by the names of `docs/proof.md`; `reasons` empty where it is proven.

    `rank` orders proven patches of one task, the greatest first.
    """

    seen: Mapping[str, object]
    reasons: tuple[Reason, ...] = ()
    rank: tuple[float, ...] = ()

    @property
    def proven(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons

    def json(self) -> dict[str, object]:
        """Return it as it is recorded."""
        why = [{"rule": each.rule, "words": each.words} for each in self.reasons]
        return {"proven": self.proven, "reasons": why, "seen": dict(self.seen), "rank": list(self.rank)}


@dataclass(frozen=True, slots=True)
class Ran:
    """What one command did in the sandbox. `code` is its exit code, negative for a signal.

    `ended` is "" where it ended by itself, else the limit that it was killed at: `seconds`, `cpu`, `memory`,
    `processes`, `disk`, `output`, `stopped`. `files` are what was asked to be brought out, as far as there.
    """

    code: int
    out: bytes = field(repr=False)
    err: bytes = field(repr=False)
    seconds: float = 0.0
    ended: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
