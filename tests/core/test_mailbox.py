"""Patches as mail: git itself applies them, and what it makes is what was proposed."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from sentinel.adapters.git_local_publish import LocalPublisher
from sentinel.core.edits import Patch, patch_of
from sentinel.core.mailbox import patch_mail
from sentinel.core.repositories import LocalRepository
from sentinel.core.trees import PLAIN, Held
from tests.repositories import git, made_repository, pull_request

LONG = "é" * 300
FILES = {
    "crlf.txt": b"one\r\ntwo\r\nthree\r\n",
    "mixed.txt": b"one\r\ntwo\nlone\rcr\n",
    "no-end.txt": b"one\ntwo",
    "run.sh": b"echo 1\n",
    "sp ace.txt": b"x\n",
    "données.txt": "à\n".encode(),
}
PATCHES = {
    "plain": patch_of({"run.sh": b"echo 1\n"}, {"run.sh": b"echo 2\n", "new/a.py": b"x = 1\n"}),
    "unicode": patch_of({"données.txt": "à\n".encode()}, {"données.txt": f"ç {LONG} \U0001f600\n".encode()}),
    "crlf": patch_of({"crlf.txt": FILES["crlf.txt"]}, {"crlf.txt": b"one\r\n2 = \t \r\nthree\r\n"}),
    "mixed": patch_of({"mixed.txt": FILES["mixed.txt"]}, {"mixed.txt": b"1\r\ntwo \nlone\rcr\r\n"}),
    "no end": patch_of({"no-end.txt": b"one\ntwo"}, {"no-end.txt": b"one\n2"}),
    "new without end": patch_of({}, {"new.txt": b"-- \nFrom x"}),
    "new crlf without end": patch_of({}, {"new.txt": f"{LONG}=\r\nFrom me".encode()}),
    "a name with a blank": patch_of({"sp ace.txt": b"x\n"}, {"sp ace.txt": b"---\ndiff --git a b\n"}),
    "gone": patch_of({"run.sh": b"echo 1\n"}, {}),
}


@pytest.mark.parametrize("name", PATCHES)
def test_git_makes_of_it_what_was_proposed(name: str, tmp_path: Path) -> None:
    """`git am` makes a commit with the very files, author, time and message: that of the publisher."""
    patch: Patch = PATCHES[name]
    made = made_repository(tmp_path / "r", {path: Held(PLAIN, data) for path, data in FILES.items()})
    title = "Fix données: " + "of a long title that is folded " * 2 if name == "unicode" else "Fix x"
    wanted = replace(pull_request(made.commit), patch=patch, title=title.strip())
    mail = tmp_path / "patch"
    mail.write_bytes(patch_mail(wanted, "Sentinel é", "sentinel@example.com").encode())
    git(made.path, "am", "-q", str(mail))
    for path in {*patch.before, *patch.after}:
        file = made.path / path
        assert (file.read_bytes() if file.exists() else None) == patch.after.get(path)
    told = git(made.path, "show", "-s", "--format=%an|%ae|%at|%B", "HEAD")
    assert told == f"Sentinel é|sentinel@example.com|1790000000|{wanted.message.strip()}"
    published = LocalPublisher([str(made.path)]).publish(
        LocalRepository(kind="local", path=str(made.path)), wanted
    )
    assert git(made.path, "rev-parse", "HEAD^{tree}") == git(
        made.path, "rev-parse", f"{published.commit}^{{tree}}"
    )


def test_what_a_diff_says_begins_no_other_mail(tmp_path: Path) -> None:
    """A line of a file that looks like the beginning of a mail, at a fold, stays in this one."""
    begins = "From 1234567890123456789012345678901234567890 Mon Sep 17 00:00:00 2001"
    for pad in range(60, 75):
        patch = patch_of({}, {"a": f"{'x' * pad}{begins}\r\n".encode()})
        mail = patch_mail(replace(pull_request("a" * 40), patch=patch), "S", "s@example.com")
        assert sum(line.startswith("From ") for line in mail.splitlines()) == 1
        (tmp_path / "mail").write_text(mail)
        split = ["git", "mailsplit", f"-o{tmp_path}", "--", "mail"]
        ran = subprocess.run(split, cwd=tmp_path, capture_output=True, check=True)
        assert ran.stdout.strip() == b"1"
        (tmp_path / "0001").unlink()
