"""Whatever is cut off between two requests, and whoever does the same: one branch and one pull request."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sentinel.adapters import git_command
from sentinel.core.pull_requests import Published
from sentinel.errors import Unavailable
from tests.action_targets import Killed
from tests.forges import KINDS, Forge, forge
from tests.git_servers import Direct
from tests.repositories import PLAIN_FILES, TASK, Made, git, made_repository, pull_request

BRANCH = f"sentinel/{TASK}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Make the repository once."""
    return made_repository(tmp_path_factory.mktemp("made") / "shop", PLAIN_FILES)


def _checked(one: Forge, made: Made, published: Published) -> None:
    """See that there is one branch, with one commit, which has the patch, and one pull request."""
    assert one.branches() == ["main", BRANCH]
    assert git(one.bare, "rev-list", f"main..{BRANCH}") == published.commit
    assert git(one.bare, "diff", "--name-only", "main", BRANCH) == "new/b.py\nrun.sh\nsrc/a.py"
    assert git(one.bare, "rev-parse", "main") == made.commit
    if one.server:
        assert len(one.server.pulls) == 1
        assert one.server.pulls[0]["labels"] == ["sentinel", "proven"]
        assert (published.number, published.state) == (1, "draft")


@pytest.mark.parametrize("how", ["unsent", "lost"])
@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_a_crash_between_any_two_requests(kind: str, how: str, made: Made, tmp_path: Path) -> None:
    """The first try ends before or behind request 1, 2, ...; another process tries again.

    Nothing is kept from one try to the next, so a process that ends there is the same as a request that does.
    """
    for at in range(1, 100):
        one = forge(kind, made, tmp_path)
        faulty = Direct(one.http.servers, at, how)
        try:
            first = one.publisher(faulty).publish(one.repository, pull_request(made.commit))
        except Unavailable as error:
            asked = one.server.asked if one.server else []
            wrote = any(each.startswith(("POST /repos", "POST /api", "PATCH")) for each in asked)
            wrong = error.unsent and wrote
        else:
            assert faulty.count < at
            _checked(one, made, first)
            assert one.publisher(one.http).found(one.repository, TASK) == first
            assert at > 8, "the requests were not counted"
            return
        assert not wrong, "an earlier request has arrived"
        again = one.publisher(one.http).publish(one.repository, pull_request(made.commit))
        _checked(one, made, again)
    raise AssertionError("it does not end")


def test_a_crash_between_any_two_commands(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On this machine a command of git is what a request is there."""
    real = git_command._bounded
    at, count, behind = 0, 0, False

    def faulty(*args: object) -> bytes:
        nonlocal count
        count += 1
        if count == at and not behind:
            raise Killed
        try:
            return real(*args)  # type: ignore[arg-type]
        finally:
            if count == at:
                raise Killed

    monkeypatch.setattr(git_command, "_bounded", faulty)
    commits = set()
    for when in (False, True):
        at, behind = 0, when
        while True:
            at, count = at + 1, 0
            one = forge("local", made, tmp_path)
            publisher = one.publisher(one.http)
            try:
                published = publisher.publish(one.repository, pull_request(made.commit))
            except Killed:
                published = publisher.publish(one.repository, pull_request(made.commit))
                _checked(one, made, published)
                commits.add(published.commit)
            else:
                break
        assert at > 8, "the commands were not counted"
    assert len(commits) == 1, "the same task makes the same commit"


@pytest.mark.parametrize("kind", KINDS)
def test_several_workers_at_once(kind: str, made: Made, tmp_path: Path) -> None:
    """Each publishes the same at the same moment: all are told the same, or try again and are then."""
    one = forge(kind, made, tmp_path)

    def work(_: int) -> Published:
        publisher = one.publisher(one.http)
        while True:
            try:
                return publisher.publish(one.repository, pull_request(made.commit))
            except Unavailable:
                continue

    with ThreadPoolExecutor(4) as pool:
        published = set(pool.map(work, range(4)))
    assert len(published) == 1
    _checked(one, made, published.pop())
