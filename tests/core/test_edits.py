"""Edits: exactly what was meant is changed, everything else stays byte for byte, and git takes the diff."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.core.diffs import changes, lines_of, unified
from sentinel.core.edit_paths import MAX_PATH
from sentinel.core.edit_refusals import (
    MOST_COLUMNS,
    MOST_LINES,
    MOST_PLACES,
    AnchorAmbiguous,
    AnchorMissing,
    EditRefused,
    EditsOverlap,
    FileRefused,
    NothingChanged,
    PathRefused,
)
from sentinel.core.edits import Edit, NewFile, apply


def edited(data: bytes, *edits: tuple[str, str]) -> bytes:
    """Return a file after some edits."""
    return apply({"a": data}, [Edit("a", *each) for each in edits]).after["a"]


@pytest.mark.parametrize(
    ("before", "edit", "after"),
    [
        (b"a\nb\nc\n", ("b\n", "x\ny\n"), b"a\nx\ny\nc\n"),
        (b"a\r\nb\r\n", ("a\nb", "x\ny"), b"x\r\ny\r\n"),
        (b"a\r\nb\r\n", ("a\r\nb", "x\r\ny"), b"x\r\ny\r\n"),
        (b"a\nb\n", ("a\r\nb", "x\r\ny"), b"x\ny\n"),
        (b"a\r\nb\nc\r\nd\r\n", ("c", "x\ny"), b"a\r\nb\nx\r\ny\r\nd\r\n"),
        (b"a\rb\n", ("b", "x"), b"a\rx\n"),
        (b"\xef\xbb\xbfa\n", ("a", "x"), b"\xef\xbb\xbfx\n"),
        (b"a\nb\n", ("b\n", "x"), b"a\nx\n"),
        (b"a\r\nb\r\n", ("b\n", "x"), b"a\r\nx\r\n"),
        (b"a\nb", ("b", "x\n"), b"a\nx"),
        ("a = 'ü'\n".encode(), ("ü", "決"), "a = '決'\n".encode()),
    ],
)
def test_line_ends_mark_and_end_stay(before: bytes, edit: tuple[str, str], after: bytes) -> None:
    """A file keeps its line ends, its byte order mark, and whether it ends with a line end."""
    assert edited(before, edit) == after


def test_several_edits_mean_the_file_as_it_was() -> None:
    """Edits in any order give the same, none sees what another put in, and neighbours may touch."""
    edits = [("one ", "two "), ("two", "three"), ("\n", "!\n")]
    assert edited(b"one two\n", *edits) == edited(b"one two\n", *edits[::-1]) == b"two three!\n"


def test_edits_that_replace_the_same_text_are_refused() -> None:
    """Overlapping edits are refused with the line, whichever comes first; the same edit twice as well."""
    for edits in ([("a b", "x"), ("b c", "y")], [("b c", "y"), ("a b", "x")], [("b", "x")] * 2):
        with pytest.raises(EditsOverlap, match="at line 2"):
            edited(b"\na b c\n", *edits)


def test_an_anchor_stands_once() -> None:
    """An anchor that is there twice is refused with the lines, also where its places overlap."""
    with pytest.raises(AnchorAmbiguous, match="at lines 1, 3;") as error:
        edited(b"x = 1\ny\nx = 1\n", ("x = 1", "x = 2"))
    assert error.value.lines == (1, 3)
    with pytest.raises(AnchorAmbiguous):
        edited(b"aaa", ("aa", "b"))
    with pytest.raises(AnchorAmbiguous, match="and more") as error:
        edited(b"x\n" * 500, ("x", "y"))
    assert len(error.value.lines) == MOST_PLACES


def test_a_missing_anchor_tells_what_is_near() -> None:
    """The correction has the nearest lines with their numbers; the message, which may be logged, has none."""
    with pytest.raises(AnchorMissing) as error:
        edited(
            b"import os\n\ndef pay(cents):\n\treturn cents / 100\n",
            ("def pay(cents):\n    return cents", "x"),
        )
    assert error.value.nearest == ((3, "def pay(cents):"), (4, "\treturn cents / 100"))
    assert "3: def pay(cents):" in error.value.correction()
    assert "cents" not in str(error.value)
    with pytest.raises(AnchorMissing) as error:
        edited(b"a\nb\n", ("nothing like it", "x"))
    assert error.value.nearest == ()


def test_what_is_told_of_a_file_is_bounded() -> None:
    """However long lines and anchors are, a correction is a few short lines, and found in good time."""
    began = time.process_time()
    line = "word " * 5_000
    for data, anchor in (
        (f"{line}\n".encode() * 30, "word\n" * 4_000 + "x"),
        (b"a b c d\n" * 120_000, "a b c e\n" * 2_000),
        (b"x" * 900_000, "x" * 19_000 + "y"),
    ):
        with pytest.raises(AnchorMissing) as error:
            edited(data, (anchor, "z"))
        assert len(error.value.nearest) <= MOST_LINES
        assert all(len(each) <= MOST_COLUMNS for _, each in error.value.nearest)
        assert len(error.value.correction()) < 2_000
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (("a", "a"), NothingChanged),
        (("a\r\n", "a\n"), NothingChanged),
        (("", "a"), NothingChanged),
        (("a\n", ""), NothingChanged),
        (("a\n", "a"), NothingChanged),
        (("a", "\0"), FileRefused),
        (("a", "\ud800"), FileRefused),
        (("a", "x" * 1_000_001), FileRefused),
    ],
)
def test_edits_that_change_nothing_or_make_no_text_are_refused(
    edit: tuple[str, str], error: type[EditRefused]
) -> None:
    """Nothing to find, nothing new, nothing left, or no text afterwards: each is refused."""
    with pytest.raises(error):
        edited(b"a\n", edit)


@pytest.mark.parametrize("data", [b"\xff", b"a\0", b"a" * 1_000_001], ids=["latin", "nul", "large"])
def test_only_text_is_edited(data: bytes) -> None:
    """A file that is not UTF-8, has NUL bytes or is too large cannot be edited."""
    with pytest.raises(FileRefused):
        edited(data, ("a", "b"))


def test_new_files() -> None:
    """A new file is where none was, or one that is empty; not over another, and is not edited as well."""
    assert apply({"a": b"x"}, [NewFile("d/b", "1\r\n2\n")]).after == {"d/b": b"1\n2\n"}
    assert apply({"a": b""}, [NewFile("a", "x\n")]).before == {"a": b""}
    refused: list[list[Edit | NewFile]] = [
        [NewFile("a", "y")],
        [NewFile("b", "y"), NewFile("b", "z")],
        [NewFile("b", "y"), Edit("b", "y", "z")],
        [NewFile("a/b", "y")],
        [NewFile("c", "y")],
        [Edit("c", "x", "y")],
        [Edit("d", "x", "y")],
    ]
    for proposed in refused:
        with pytest.raises(PathRefused):
            apply({"a": b"x"}, proposed, others=["c"])
    with pytest.raises(NothingChanged):
        apply({"a": b"x"}, [])


HOSTILE = (
    *("", "/etc/passwd", "../a", "a/../b", "./a", "a//b", "a/", "-rf", "a/-x", "a\\b", "C:a", "a\nb", "a\0b"),
    *(
        ".git/config",
        "a/.GIT/hooks/x",
        ".gIt",
        ".git./x",
        ".git /x",
        "git~1/x",
        ".g\u200cit/x",
        "a\u202eb",
        "a b ",
    ),
    *(
        "e\u0301.py",
        "aux.py",
        "a/NUL",
        "x" * 121,
        "/".join(["d"] * MAX_PATH),
        "a?",
        'a"b',
        "a\ud800",
        "a\u3164b",
    ),
    *("．git/x", "a\u00a0b"),
)


@pytest.mark.parametrize("path", HOSTILE)
def test_paths_stay_inside_and_are_seen(path: str) -> None:
    """A path that leaves the repository, leads into git's folder or hides something is refused, legibly."""
    for proposed in (NewFile(path, "x"), Edit(path, "a", "b")):
        with pytest.raises(PathRefused) as error:
            apply({path: b"a"} if isinstance(proposed, Edit) else {}, [proposed])
        assert str(error.value).isprintable()
        assert len(str(error.value)) < 1_000


@pytest.mark.parametrize(
    "path", ["src/a.py", "SRC/b.py", "src", "Src", "src/A.py", "src/a.py/b", "src/A.PY/b"]
)
def test_new_paths_are_free_under_any_case(path: str) -> None:
    """A new file is no other file or folder on a system that does not tell case apart."""
    with pytest.raises(PathRefused, match="is there already"):
        apply({"src/a.py": b"x"}, [NewFile(path, "x")])
    with pytest.raises(PathRefused, match="is there already"):
        apply({}, [NewFile("src/a.py", "x"), NewFile(path, "x")])


def git(folder: Path, *words: str, given: bytes = b"") -> None:
    """Run git, which has to accept."""
    done = subprocess.run(
        ["git", "-c", "core.autocrlf=false", *words],
        cwd=folder,
        input=given,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


def applied_by_git(before: dict[str, bytes], after: dict[str, bytes], diff: str) -> None:
    """Check that git takes the diff, and makes of the old files the new ones."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        git(folder, "init", "-q")
        for path, data in before.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        given = diff.encode()
        git(folder, "apply", "--check", "--whitespace=nowarn", "-", given=given)
        git(folder, "apply", "--whitespace=nowarn", "-", given=given)
        there = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and ".git" not in path.relative_to(folder).parts
        }
        assert there == after


LINES = st.lists(
    st.sampled_from(["a", "b", "c", "", "-x", "+y", "@@ -1 +1 @@", "\\ No", "ü\r", "d e", "\x0c"])
)
TEXTS = st.tuples(LINES, st.sampled_from(["\n", "\r\n"]), st.booleans()).map(
    lambda each: (each[1].join(each[0]) + (each[1] if each[2] else "")).encode()
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=3), TEXTS)
def test_git_takes_every_diff(pairs: list[tuple[bytes, bytes]], new: bytes) -> None:
    """Whatever the files: git applies the diff, and the new files come out byte for byte."""
    before = {f"d e/f{count}.ü": one for count, (one, _) in enumerate(pairs)}
    after = {f"d e/f{count}.ü": other for count, (_, other) in enumerate(pairs)} | {"new/n": new}
    applied_by_git(before, after, unified(before, after))


def test_git_takes_a_long_diff() -> None:
    """Hunks far apart, next to each other and at both ends of a long file fit."""
    old = b"".join(b"line %d\n" % (n % 400) for n in range(3_000))
    new = b"first\n" + old.replace(b"line 7\n", b"").replace(b"line 12\n", b"line 12\nmore\n")[:-1]
    applied_by_git({"a": old}, {"a": new}, unified({"a": old}, {"a": new}))


@settings(max_examples=300, deadline=None)
@given(TEXTS, TEXTS)
def test_changes_lead_from_one_to_the_other(one: bytes, other: bytes) -> None:
    """The runs are in order, differ, and put in place of each other give the other file."""
    old, new = lines_of(one.decode()), lines_of(other.decode())
    built, at = [], 0
    for i1, i2, j1, j2 in changes(old, new):
        assert i1 >= at
        assert old[i1:i2] != new[j1:j2]
        built += old[at:i1] + new[j1:j2]
        at = i2
    assert built + old[at:] == new


def test_hostile_files_are_compared_in_good_time() -> None:
    """Files made of few different lines in bad order are told in seconds, and still rightly."""
    began = time.process_time()
    old = ["ab"[n % 2] + "\n" for n in range(60_000)]
    new = ["abc"[n % 3] + "\n" for n in range(60_000)]
    for one, other in ((old, new), (old, old[1:]), ([*old[:400]], [*new[:400]])):
        built, at = [], 0
        for i1, i2, j1, j2 in changes(one, other):
            built += one[at:i1] + other[j1:j2]
            at = i2
        assert built + one[at:] == other
    assert time.process_time() - began < 10


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.data())
def test_what_is_not_replaced_stays(data: bytes, draw: st.DataObject) -> None:
    """A part that stands once is replaced by a word, and before and after it nothing changes."""
    text = data.decode()
    start = draw.draw(st.integers(0, max(0, len(text) - 1)))
    part = text[start : start + draw.draw(st.integers(1, 12))]
    plain = data.replace(b"\r\n", b"\n").decode()
    wanted = part.replace("\r\n", "\n")
    if not wanted or plain.count(wanted) != 1 or text.count(part) != 1 or wanted.endswith("\n"):
        return
    try:
        found = edited(data, (part, "WORD"))
    except AnchorAmbiguous:
        assert plain.find(wanted, plain.find(wanted) + 1) >= 0
        return
    except AnchorMissing:
        assert "\r" in wanted
        return
    assert found == text.replace(part, "WORD").encode() or part.startswith("\n")
