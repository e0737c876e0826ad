"""Repositories of this machine: what is read is what git has; nothing of them is run or touched."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from sentinel.adapters.git_command import Git
from sentinel.adapters.git_local import LocalGit
from sentinel.adapters.git_local_publish import Identity, LocalPublisher
from sentinel.core.edits import patch_of
from sentinel.core.git_objects import Entry, blob_id, tree_id
from sentinel.core.repositories import LocalRepository
from sentinel.core.trees import EXECUTABLE, LINK, PLAIN, SUBMODULE, Held, Tree
from sentinel.errors import Conflict, Forbidden, Malformed, Missing, TooLarge
from tests.repositories import TASK, Made, git, made_repository, pull_request


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Make a repository with files of every kind."""
    return made_repository(tmp_path / "shop")


def _repository(path: Path) -> LocalRepository:
    return LocalRepository(kind="local", path=str(path))


def test_every_file_is_read_with_its_mode(made: Made) -> None:
    """Plain, executable, link, submodule; any name; attributes that change archives change nothing."""
    tree = LocalGit([str(made.path)]).fetch(_repository(made.path), "")
    assert tree.commit == made.commit
    assert tree.files == made.files
    assert tree.files["run.sh"].mode == EXECUTABLE
    assert tree.files["link"] == Held(LINK, b"src/a.py")
    assert tree.files["lib"] == Held(SUBMODULE, b"")
    assert tree.files["bad\\xff"] == Held(PLAIN, b"name\n")
    assert "bad\\xff" not in tree.plain()
    assert Tree.unpacked(tree.packed()) == tree


@pytest.mark.parametrize("ref", ["main", "v1", "deep/er"])
def test_branches_tags_and_commits_are_refs(made: Made, ref: str) -> None:
    """Each is one commit; a name that is a branch and a tag is the branch."""
    git(made.path, "tag", "-a", "-m", "one", "v1")
    git(made.path, "branch", "deep/er")
    reader = LocalGit([str(made.path)])
    for each in (ref, made.commit, made.commit[:10]):
        assert reader.fetch(_repository(made.path), each).commit == made.commit
    git(made.path, "commit", "--allow-empty", "-qm", "more")
    git(made.path, "tag", "main", "main~1")
    assert reader.fetch(_repository(made.path), "main").commit == git(made.path, "rev-parse", "heads/main")


@pytest.mark.parametrize(
    "ref", ["nowhere", "--help", "main:src", "main~1", "HEAD^{tree}", "a..b", "@{1}", "0" * 40]
)
def test_what_is_no_ref_is_missing(made: Made, ref: str) -> None:
    """Git's language for revisions is not spoken, and no ref is an option."""
    with pytest.raises(Missing):
        LocalGit([str(made.path)]).fetch(_repository(made.path), ref)


def test_a_bare_repository_is_read_and_published_to(made: Made, tmp_path: Path) -> None:
    """It has no work tree, and needs none."""
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "-q", "--bare", str(made.path), str(bare))
    folders = [f"{tmp_path}/*"]
    assert LocalGit(folders).fetch(_repository(bare), "main").files == made.files
    LocalPublisher(folders).publish(_repository(bare), pull_request(made.commit))
    assert git(bare, "show", f"sentinel/{TASK}:src/a.py") == "x = 2"


def test_only_folders_that_are_listed_are_looked_into(made: Made, tmp_path: Path) -> None:
    """Nothing by default, no way around by links or dots, and no word on what is there."""
    link = tmp_path / "link"
    link.symlink_to(made.path)
    for folders, path in (
        ([], made.path),
        ([str(link)], link),
        ([f"{tmp_path}/other*"], made.path),
        ([f"{tmp_path}/a/*"], tmp_path / "a" / ".." / "shop"),
        ([], tmp_path / "nowhere"),
    ):
        with pytest.raises(Forbidden, match="SENTINEL_GIT_FOLDERS"):
            LocalGit(folders).fetch(_repository(path), "main")
    with pytest.raises(Forbidden, match="begins with /"):
        LocalGit(["*"]).fetch(_repository(made.path).model_copy(update={"path": "shop"}), "main")
    with pytest.raises(Missing, match="no git repository"):
        LocalGit(["*"]).fetch(_repository(tmp_path), "main")


def test_a_linked_work_tree_is_not_followed(made: Made, tmp_path: Path) -> None:
    """Its `.git` leads to another folder, which nobody has listed."""
    git(made.path, "worktree", "add", "-q", str(tmp_path / "second"), "-b", "second")
    with pytest.raises(Forbidden, match="linked work tree"):
        LocalGit([str(tmp_path / "second")]).fetch(_repository(tmp_path / "second"), "main")


HOSTILE = """
[core]
    fsmonitor = {script}
    hooksPath = {hooks}
    sshCommand = {script}
    pager = {script}
    editor = {script}
    askPass = {script}
    attributesFile = {attributes}
[filter "evil"]
    clean = {script}
    smudge = {script}
    required = true
[diff "evil"]
    textconv = {script}
    command = {script}
[diff]
    external = {script}
[gpg]
    program = {script}
[commit]
    gpgSign = true
[i18n]
    commitEncoding = ISO-8859-1
[remote "origin"]
    url = file:///nowhere
    promisor = true
    uploadpack = {script}
    partialclonefilter = blob:none
[extensions]
    partialClone = origin
"""
HOOKS = ("post-index-change", "reference-transaction", "post-commit", "pre-commit", "fsmonitor-watchman")


def test_nothing_that_a_repository_names_is_run(made: Made, tmp_path: Path) -> None:
    """Hooks, monitors, filters, signers and transports of its configuration stay where they are."""
    script, hooks, proof = tmp_path / "evil.sh", tmp_path / "hooks", tmp_path / "ran"
    script.write_text(f"#!/bin/sh\necho $0 >> {proof}\nexit 1\n")
    script.chmod(0o755)
    before = LocalPublisher([str(made.path)]).publish(_repository(made.path), pull_request(made.commit))
    git(made.path, "update-ref", "-d", f"refs/heads/{before.branch}")
    hooks.mkdir()
    for folder in (hooks, made.path / ".git" / "hooks"):
        for name in HOOKS:
            (folder / name).write_bytes(script.read_bytes())
            (folder / name).chmod(0o755)
    attributes = tmp_path / "attributes"
    attributes.write_text("* filter=evil diff=evil\n")
    config = made.path / ".git" / "config"
    names = {"script": script, "hooks": hooks, "attributes": attributes}
    config.write_text(config.read_text() + HOSTILE.format(**names))
    assert LocalGit([str(made.path)]).fetch(_repository(made.path), "main").files == made.files
    after = LocalPublisher([str(made.path)]).publish(_repository(made.path), pull_request(made.commit))
    assert after == before
    # An object that is not there is not fetched either.
    gone = blob_id(b"x = 1\n")
    (made.path / ".git" / "objects" / gone[:2] / gone[2:]).unlink()
    assert Git(str(made.path), ["*"]).line("cat-file", "-e", gone) == ""
    assert not proof.exists()


def test_too_much_is_refused(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files and bytes are bounded before any file is read."""
    reader, repository = LocalGit([str(made.path)]), _repository(made.path)
    monkeypatch.setattr("sentinel.adapters.git_local.MOST_FILES", 3)
    with pytest.raises(TooLarge, match="files"):
        reader.fetch(repository, "main")
    monkeypatch.setattr("sentinel.adapters.git_local.MOST_FILES", 300)
    monkeypatch.setattr("sentinel.adapters.git_local.MOST_BYTES", 3)
    with pytest.raises(TooLarge, match="bytes"):
        reader.fetch(repository, "main")


def test_a_branch_is_made_and_nothing_else_touched(made: Made) -> None:
    """One commit on the patch's own, its modes kept; work tree, index and checked-out branch stay."""
    (made.path / "src" / "a.py").write_text("not committed\n")
    (made.path / "staged").write_text("staged\n")
    git(made.path, "add", "staged")
    status = git(made.path, "status", "--porcelain", "--branch")
    wanted = pull_request(made.commit)
    published = LocalPublisher([str(made.path)], Identity("Bot", "bot@example.com")).publish(
        _repository(made.path), wanted
    )
    assert published.branch == f"sentinel/{TASK}"
    assert git(made.path, "status", "--porcelain", "--branch") == status
    told = git(made.path, "show", "-s", "--format=%P|%an <%ae>|%cn|%aI|%cI|%B", published.commit)
    assert told.split("|") == [
        made.commit,
        "Bot <bot@example.com>",
        "Bot",
        "2026-09-21T14:13:20+00:00",
        "2026-09-21T14:13:20+00:00",
        f"Fix é\n\nSentinel-Task: {TASK}",
    ]
    changed = git(made.path, "diff", "--raw", "--abbrev=4", made.commit, published.commit).splitlines()
    assert [each.split()[0:2] + each.split()[4:] for each in changed] == [
        [":000000", "100644", "A", "new/b.py"],
        [":100755", "100755", "M", "run.sh"],
        [":100644", "100644", "M", "src/a.py"],
    ]
    git(made.path, "fsck", "--strict")


def test_the_same_again_changes_nothing(made: Made) -> None:
    """The same task makes the same commit, on every machine, and the second time finds it."""
    publisher, repository = LocalPublisher([str(made.path)]), _repository(made.path)
    assert publisher.found(repository, TASK) is None
    first = publisher.publish(repository, pull_request(made.commit))
    assert publisher.publish(repository, pull_request(made.commit)) == first
    assert publisher.found(repository, TASK) == first
    git(made.path, "update-ref", "-d", f"refs/heads/{first.branch}")
    assert publisher.publish(repository, pull_request(made.commit)) == first


def test_another_patch_of_the_task_goes_on_top(made: Made) -> None:
    """The branch is brought to what is wanted by a commit more, and never forced."""
    publisher, repository = LocalPublisher([str(made.path)]), _repository(made.path)
    first = publisher.publish(repository, pull_request(made.commit))
    other = replace(
        pull_request(made.commit), patch=patch_of({"src/a.py": b"x = 1\n"}, {"src/a.py": b"x = 3\n"})
    )
    second = publisher.publish(repository, other)
    assert git(made.path, "rev-parse", f"{second.commit}^") == first.commit
    assert git(made.path, "show", f"{second.branch}:src/a.py") == "x = 3"
    assert git(made.path, "diff", "--name-only", made.commit, second.commit) == "src/a.py"
    assert publisher.publish(repository, other) == second


def test_what_others_made_is_left_alone(made: Made) -> None:
    """A branch of that name which people made, or went on with, is a conflict, and stays as it is."""
    publisher, repository = LocalPublisher([str(made.path)]), _repository(made.path)
    git(made.path, "branch", f"sentinel/{TASK}")
    with pytest.raises(Conflict):
        publisher.publish(repository, pull_request(made.commit))
    assert publisher.found(repository, TASK) is None
    assert git(made.path, "rev-parse", f"sentinel/{TASK}") == made.commit
    git(made.path, "branch", "-D", f"sentinel/{TASK}")
    publisher.publish(repository, pull_request(made.commit))
    git(made.path, "stash", "-q", "--include-untracked")
    git(made.path, "checkout", "-qf", f"sentinel/{TASK}")
    git(made.path, "commit", "--allow-empty", "-qm", "mine")
    with pytest.raises(Conflict):
        publisher.publish(repository, pull_request(made.commit))


def test_a_branch_that_is_checked_out_is_not_moved(made: Made, tmp_path: Path) -> None:
    """Somebody works there, in this work tree or another one."""
    publisher, repository = LocalPublisher([str(made.path)]), _repository(made.path)
    publisher.publish(repository, pull_request(made.commit))
    git(made.path, "worktree", "add", "-q", "-f", str(tmp_path / "second"), f"sentinel/{TASK}")
    other = replace(pull_request(made.commit), patch=patch_of({}, {"c.py": b"c\n"}))
    with pytest.raises(Conflict, match="checked out"):
        publisher.publish(repository, other)


def test_a_patch_of_other_files_is_a_conflict(made: Made) -> None:
    """What was proven is what is published: the files before the patch are those of its commit."""
    publisher, repository = LocalPublisher([str(made.path)]), _repository(made.path)
    for before, after in (
        ({"src/a.py": b"x = 9\n"}, {"src/a.py": b"x = 2\n"}),
        ({}, {"src/a.py": b"x = 2\n"}),
        ({"none.py": b"1"}, {"none.py": b"2"}),
        ({"link": b"src/a.py"}, {"link": b"/etc/passwd"}),
    ):
        with pytest.raises(Conflict):
            publisher.publish(repository, replace(pull_request(made.commit), patch=patch_of(before, after)))
    with pytest.raises(Missing):
        publisher.publish(repository, pull_request("0" * 40))
    with pytest.raises(Malformed):
        publisher.publish(repository, replace(pull_request(made.commit), task="../main"))
    assert git(made.path, "for-each-ref", "--format=%(refname)", "refs/heads") == "refs/heads/main"


def test_two_at_once_make_one_branch(made: Made) -> None:
    """Also where they want different patches: both end in the branch, one on top of the other."""
    publisher, repository = LocalPublisher([str(made.path)]), _repository(made.path)
    same = [pull_request(made.commit)] * 4
    with ThreadPoolExecutor(4) as pool:
        published = set(pool.map(lambda each: publisher.publish(repository, each), same))
    assert len(published) == 1
    assert git(made.path, "rev-list", "--count", f"main..sentinel/{TASK}") == "1"


def test_names_of_objects_are_those_of_git(made: Made) -> None:
    """A folder's name is worked out from its files' alone, also where names sort oddly."""
    odd = ["a", "a.b", "a-b", "b/c", "b.c", "b-c", "é/x"]
    (made.path / "odd").mkdir()
    for each in odd:
        path = made.path / "odd" / each
        if not path.parent.exists():
            path.parent.mkdir()
        path.write_text(each)
    git(made.path, "add", "odd")
    written = subprocess.run(["git", "write-tree"], cwd=made.path, capture_output=True, check=True).stdout
    listed = subprocess.run(
        ["git", "ls-files", "-s", "-z"], cwd=made.path, capture_output=True, check=True
    ).stdout
    files = {}
    for line in filter(None, listed.split(b"\0")):
        facts, _, name = line.partition(b"\t")
        mode, it, _ = facts.decode().split()
        files[name.decode(errors="surrogateescape")] = Entry(mode, it)
    assert tree_id(files) == written.decode().strip()
