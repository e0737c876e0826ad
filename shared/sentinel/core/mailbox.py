r"""Patches as mail in the form of `git format-patch`, which `git am` takes: CRLF, new files, any letters.

`git am` takes CR away at the end of a line and splits a mailbox at lines that begin with `From `. Where a
diff has either, its lines are sent as quoted-printable (RFC 2045, 6.7), which git decodes.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.header import Header
from email.utils import format_datetime
from typing import Final

from sentinel.core.diffs import changes, lines_of
from sentinel.core.edits import Patch
from sentinel.core.pull_requests import PullRequest
from sentinel.core.tasks import SECOND

_COLUMNS: Final = 74  # of a line that is quoted
_NOWHERE: Final = "0" * 40  # the commit's own name, which is not known yet
_PLAIN: Final = frozenset(range(33, 127)) - {ord("=")}


def patch_mail(wanted: PullRequest, name: str, email: str) -> str:
    """Return a pull request's commit as mail from an author: UTF-8 text that `git am` takes.

    The commit is made as the publisher makes it: the same message, time and files.
    """
    when = format_datetime(datetime.fromtimestamp(wanted.t // SECOND, UTC))
    subject, _, rest = wanted.message.partition("\n\n")
    body = f"{rest}---\n{stat(wanted.patch)}\n{wanted.patch.diff}-- \nsentinel\n"
    quoted = "\r" in body or "\nFrom " in body
    head = [
        f"From {_NOWHERE} Mon Sep 17 00:00:00 2001",
        f"From: {_word(name)} <{email}>",
        f"Date: {when}",
        f"Subject: [PATCH] {_word(subject)}",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=UTF-8",
        f"Content-Transfer-Encoding: {'quoted-printable' if quoted else '8bit'}",
    ]
    return "\n".join([*head, "", _quoted(body) if quoted else body])


def stat(patch: Patch) -> str:
    r"""Return how many lines each file of a patch gains and loses.

    >>> from sentinel.core.edits import patch_of
    >>> print(stat(patch_of({"a": b"x\n"}, {"a": b"y\nz\n"})), end="")
     a | +2 -1
     1 file, +2 -1
    """
    told, more, less = [], 0, 0
    paths = sorted({*patch.before, *patch.after})
    for path in paths:
        old, new = (
            lines_of(side.get(path, b"").decode(errors="replace")) for side in (patch.before, patch.after)
        )
        runs = changes(old, new)
        gone, come = sum(b - a for a, b, _, _ in runs), sum(d - c for _, _, c, d in runs)
        told.append(f" {path} | +{come} -{gone}\n")
        more, less = more + come, less + gone
    files = "1 file" if len(paths) == 1 else f"{len(paths)} files"
    return f"{''.join(told)} {files}, +{more} -{less}\n"


def _word(text: str) -> str:
    line = " ".join(text.split())
    return line if line.isascii() else Header(line, "utf-8", maxlinelen=70).encode(linesep="\n")


def _quoted(text: str) -> str:
    lines = []
    for line in text.split("\n"):
        # A line that would begin a new mail is not seen as one: its first letter is quoted.
        parts = [chr(each) if each in _PLAIN or each == 32 else f"={each:02X}" for each in line.encode()]
        if parts and parts[-1] == " ":
            parts[-1] = "=20"
        lines += _folded(parts)
    return re.sub(r"(?m)^F", "=46", "\n".join(lines))


def _folded(parts: list[str]) -> list[str]:
    lines, line = [], ""
    for part in parts:
        if len(line) + len(part) > _COLUMNS - 2:
            lines.append(f"{line}=")
            line = ""
        line += part
    return [*lines, line]
