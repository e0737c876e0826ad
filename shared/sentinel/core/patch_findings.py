"""What the policy gate finds: rules by name, and what each means for a patch.

A finding names a rule, a path, a line of the file after the patch (of the file before, where it is about
what is gone; 0 where there is none) and says in words what is wrong. It quotes no more than names of tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Verdict(StrEnum):
    """What a finding means for the patch."""

    REFUSED = "refused"
    APPROVAL = "needs approval"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the gate: what it means for a patch, and what it looks at."""

    verdict: Verdict
    what: str


def _refused(**rules: str) -> dict[str, Rule]:
    return {name.replace("_", "-"): Rule(Verdict.REFUSED, what) for name, what in rules.items()}


RULES: Final[Mapping[str, Rule]] = {
    **_refused(
        diff="the diff is not the one that leads from the files before to the files after",
        path="a path is not safe, or not a plain file of the repository",
        outside="a path is not among those that the recipe allows",
        ci="a file tells a CI service or a commit hook what to run",
        lockfile="a file pins what is installed, and is written by a tool",
        infrastructure="a file says how the software is built into images, deployed or run",
        secret_file="a file's name is that of keys or passwords",  # noqa: S106
        licence="a file is a licence or a notice",
        git="a file tells git what to do, such as with submodules and attributes",
        symlink="a file is a symbolic link, or lies behind one",
        submodule="a path is a submodule",
        mode="a file's mode changes, or a new file is not a plain one",
        deletion="a file is taken away",
        binary="a file is not text in UTF-8, or has NUL bytes",
        size="more files, lines or longer lines change than the policy allows",
        hidden="an added line has characters that are not seen or turn the direction of writing",
        secret="an added line holds what looks like a key, token or password",  # noqa: S106
        syntax="a file does not parse any more, or is new and does not parse",
        capability="added lines reach for the network, processes, files or the like, and their file did not",
        swallowed="an added handler outside of tests catches every exception and raises none",
        test_configuration="a file or a part of it says which tests run, or how",
        test_removed="a test, or a case of one, is gone or cannot be found any more",
        test_skipped="a test is skipped, expected to fail, or not collected",
        test_aware="an added line outside of tests asks whether a test is running, or ends the run",
        assert_removed="a test, or a function that it uses, checks less often than before",
        assert_trivial="an assertion cannot fail",
        assert_loosened="an assertion accepts more than before",
        assert_swallowed="an assertion's failure is caught",
        assert_unreached="an assertion is not reached, or only under a condition",
    ),
    "test-changed": Rule(
        Verdict.APPROVAL, "a test that was there is changed otherwise, or what stands around it"
    ),
    "dependency": Rule(Verdict.APPROVAL, "a file or a part of it says what is installed or how it is built"),
    "unread": Rule(Verdict.NOTE, "a file cannot be parsed here, and could not be before"),
}


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that the gate found; see the module."""

    rule: str
    path: str
    line: int
    words: str

    @property
    def verdict(self) -> Verdict:
        """What it means for the patch."""
        return RULES[self.rule].verdict
