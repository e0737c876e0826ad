"""GitHub and GitLab: what is read is what git has, credentials can do one thing, and nothing is forced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sentinel.adapters import archives
from sentinel.adapters.forge_calls import MAX_ANSWER
from sentinel.adapters.github_app import AppTokens
from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.core.edits import patch_of
from sentinel.core.repositories import GitHubRepository
from sentinel.core.tasks import SECOND
from sentinel.core.trees import PLAIN, Held
from sentinel.errors import BadAnswer, Conflict, Forbidden, Missing, TooLarge, Unavailable
from tests.forges import Forge, forge
from tests.git_servers import GitHubServer
from tests.loopback import Loopback, Told
from tests.repositories import NOW, PLAIN_FILES, TASK, Keys, Made, git, made_repository, pull_request

BRANCH = f"sentinel/{TASK}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Make the repository once."""
    return made_repository(tmp_path_factory.mktemp("made") / "shop", PLAIN_FILES)


@pytest.fixture(params=["github", "gitlab"])
def one(request: pytest.FixtureRequest, made: Made, tmp_path: Path) -> Forge:
    """Give each host."""
    return forge(request.param, made, tmp_path)


def test_the_whole_tree_is_read(one: Forge, made: Made) -> None:
    """Also what attributes leave out of an archive or change in it; with modes, links and submodules."""
    for ref in ("", "main", made.commit):
        tree = one.reader(one.http).fetch(one.repository, ref)
        assert tree.commit == made.commit
        assert tree.files == PLAIN_FILES


def test_an_archive_that_is_all_of_the_commit_is_enough(tmp_path: Path) -> None:
    """At GitHub the tree's name says so: four requests, however many files there are."""
    files = {f"d{n % 3}/f{n}.py": Held(PLAIN, b"%d" % n) for n in range(40)}
    one = forge("github", made_repository(tmp_path / "r", files), tmp_path)
    assert one.reader(one.http).fetch(one.repository, "main").files == files
    assert one.server is not None
    assert [each.split("/")[-2] for each in one.server.asked] == [
        "111",
        "commits",
        "commits",
        "tarball",
        "legacy.tar.gz",
    ]


def test_what_is_not_there_is_missing(one: Forge) -> None:
    """A ref, and a commit that the patch is for."""
    for ref in ("nowhere", "0" * 40, "../x", "main~1"):
        with pytest.raises(Missing):
            one.reader(one.http).fetch(one.repository, ref)
    with pytest.raises(Missing):
        one.publisher(one.http).publish(one.repository, pull_request("0" * 40))


def test_over_real_connections(made: Made, tmp_path: Path) -> None:
    """By the client that production has: the redirect to another host goes without the credentials."""
    one = forge("github", made, tmp_path)
    server = one.server
    assert isinstance(server, GitHubServer)
    api, codeload = Loopback(server.answer), Loopback(server.answer)
    server.codeload = f"http://127.0.0.1:{codeload.port}"
    repository = one.repository.model_copy(update={"api": f"http://127.0.0.1:{api.port}"})
    http = HttpClient(Hosts(["127.0.0.1"], private=True), max_answer=MAX_ANSWER)
    try:
        assert one.reader(http).fetch(repository, "main").files == PLAIN_FILES
        assert [each.path.split("?")[0] for each in codeload.asked] == [
            f"/o/shop/legacy.tar.gz/{made.commit}"
        ]
        assert one.publisher(http).publish(repository, pull_request(made.commit)).number == 1
        with pytest.raises(Forbidden, match="SENTINEL_HTTP_HOSTS"):
            one.reader(HttpClient(Hosts([]))).fetch(repository, "main")
    finally:
        http.close()
        api.stop()
        codeload.stop()


def test_a_reader_cannot_publish(one: Forge, made: Made) -> None:
    """Whatever the code did: the credentials of the one have not the rights of the other."""
    update = {"publish": one.repository.read}  # type: ignore[attr-defined]
    with pytest.raises(Forbidden) as raised:
        one.publisher(one.http).publish(one.repository.model_copy(update=update), pull_request(made.commit))
    assert "glpat" not in str(raised.value)
    with pytest.raises(Forbidden, match="has no `publish`"):
        one.publisher(one.http).publish(
            one.repository.model_copy(update={"publish": None}), pull_request(made.commit)
        )
    assert one.branches() == ["main"]


def test_a_token_is_for_one_repository_and_one_purpose(made: Made, tmp_path: Path) -> None:
    """Read tokens can read contents and nothing else; each is used until five minutes before its end."""
    one = forge("github", made, tmp_path)
    server, repository = one.server, one.repository
    assert isinstance(server, GitHubServer)
    reader, publisher = one.reader(one.http), one.publisher(one.http)
    reader.fetch(repository, "main")
    publisher.publish(repository, pull_request(made.commit))
    assert [may for _, may in server.tokens.values()] == [
        {"contents": "read", "metadata": "read"},
        {"contents": "write", "pull_requests": "write", "metadata": "read"},
    ]
    one.clock.now += 3_299 * SECOND
    reader.fetch(repository, "main")
    assert len(server.tokens) == 2
    one.clock.now += 2 * SECOND
    reader.fetch(repository, "main")
    assert len(server.tokens) == 3


def test_a_token_that_was_taken_back_is_made_anew_once(made: Made, tmp_path: Path) -> None:
    """An installation can be changed at any time; a key that is refused is named by its secret."""
    one = forge("github", made, tmp_path)
    server = one.server
    assert isinstance(server, GitHubServer)
    reader = one.reader(one.http)
    reader.fetch(one.repository, "main")
    server.tokens.clear()
    reader.fetch(one.repository, "main")
    assert len(server.tokens) == 1
    server.apps = {}
    server.tokens.clear()
    with pytest.raises(Forbidden, match=r"see the secret read\.app"):
        reader.fetch(one.repository, "main")


def test_a_key_that_is_none_is_not_quoted(made: Made, tmp_path: Path) -> None:
    """The message names the secret and what it should be."""
    one = forge("github", made, tmp_path)
    assert isinstance(one.repository, GitHubRepository)
    tokens = AppTokens(one.http, Keys({"read.app": "hunter2"}), clock=one.clock)
    with pytest.raises(Forbidden, match=r"the secret read\.app is no private key") as raised:
        tokens.token(one.repository, one.repository.read, {"contents": "read"})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("told", "after"),
    [
        (Told(429, b"{}", {"Retry-After": "17"}), 17),
        (Told(403, b"{}", {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(NOW // SECOND + 90)}), 90),
        (Told(429, b"{}", {"RateLimit-Remaining": "0", "RateLimit-Reset": str(NOW // SECOND + 30)}), 30),
        (Told(403, b'{"message":"You have exceeded a secondary rate limit"}'), 60),
        (Told(429, b"{}", {"Retry-After": "99999999999999"}), 3600),
        (Told(502, b"<html>"), 5),
    ],
)
def test_a_host_that_is_busy_says_for_how_long(one: Forge, made: Made, told: Told, after: float) -> None:
    """Both kinds of limits, and what passes by itself."""
    assert one.server is not None
    one.server.limit = told
    for call in (
        lambda: one.reader(one.http).fetch(one.repository, "main"),
        lambda: one.publisher(one.http).publish(one.repository, pull_request(made.commit)),
    ):
        with pytest.raises(Unavailable) as raised:
            call()
        assert raised.value.retry_after == after


@pytest.mark.parametrize("status", [200, 201])
def test_answers_that_are_none_are_bad_answers(one: Forge, made: Made, status: int) -> None:
    """A proxy's page, an empty list, a body that was cut: never taken for an answer."""
    assert one.server is not None
    for body in (b"<html>", b"[]", b'{"sha": "x"', b"null"):
        one.server.limit = Told(status, body)
        with pytest.raises(BadAnswer):
            one.reader(one.http).fetch(one.repository, "main")
        with pytest.raises(BadAnswer):
            one.publisher(one.http).found(one.repository, TASK)


def test_the_pull_request_is_as_it_is_wanted(one: Forge, made: Made) -> None:
    """A draft into the base, with title, body and labels; modes of files stay."""
    published = one.publisher(one.http).publish(one.repository, pull_request(made.commit))
    assert one.server is not None
    (pull,) = one.server.pulls
    assert published.url.endswith("/1")
    assert "Cause: x was 1" in (pull.get("body") or pull["description"])
    assert pull["title"].removeprefix("Draft: ") == "Fix é"
    assert git(one.bare, "diff", "--raw", "--abbrev=4", "main", BRANCH, "--", "run.sh").startswith(
        ":100755 100755"
    )
    assert git(one.bare, "show", "-s", "--format=%B", BRANCH) == f"Fix é\n\nSentinel-Task: {TASK}"


def test_it_is_updated_and_not_made_again(one: Forge, made: Made) -> None:
    """Another body, another label, another patch: one pull request, whose branch only goes forward."""
    publisher = one.publisher(one.http)
    first = publisher.publish(one.repository, pull_request(made.commit))
    assert one.server is not None
    before = len(one.server.asked)
    assert publisher.publish(one.repository, pull_request(made.commit)) == first
    assert not any(each.startswith(("POST", "PATCH", "PUT")) for each in one.server.asked[before:])
    patch = patch_of({"src/a.py": b"x = 1\n"}, {"src/a.py": b"x = 3\n", "new/b.py": b"2"})
    run = patch_of({"run.sh": PLAIN_FILES["run.sh"].data}, {"run.sh": b"echo 3\n"})
    patch = patch_of({**patch.before, **run.before}, {**patch.after, **run.after})
    other = replace(pull_request(made.commit), patch=patch, body="New", title="Other", labels=("more",))
    second = publisher.publish(one.repository, other)
    assert git(one.bare, "rev-parse", f"{second.commit}^") == first.commit
    assert git(one.bare, "show", f"{BRANCH}:src/a.py") == "x = 3"
    (pull,) = one.server.pulls
    assert (pull.get("body") or pull["description"]) == "New"
    assert pull["title"].removeprefix("Draft: ") == "Other"
    assert pull["labels"] == ["sentinel", "proven", "more"]
    assert publisher.publish(one.repository, other) == second


def test_what_people_made_is_left_alone(one: Forge, made: Made, tmp_path: Path) -> None:
    """Their branch of that name, their commit on ours, their decision on the pull request."""
    publisher = one.publisher(one.http)
    git(one.bare, "branch", BRANCH)
    with pytest.raises(Conflict):
        publisher.publish(one.repository, pull_request(made.commit))
    assert publisher.found(one.repository, TASK) is None
    assert git(one.bare, "rev-parse", BRANCH) == made.commit
    git(one.bare, "branch", "-D", BRANCH)
    first = publisher.publish(one.repository, pull_request(made.commit))
    assert one.server is not None
    one.server.pulls[0].update(state="closed")
    with pytest.raises(Conflict, match="closed"):
        publisher.publish(one.repository, pull_request(made.commit))
    found = publisher.found(one.repository, TASK)
    assert found is not None
    assert found.state == "closed"
    theirs = git(one.bare, "commit-tree", "-p", first.commit, "-m", "mine", f"{first.commit}^{{tree}}")
    git(one.bare, "update-ref", f"refs/heads/{BRANCH}", theirs)
    with pytest.raises(Conflict, match="did not make"):
        publisher.publish(one.repository, pull_request(made.commit))
    assert git(one.bare, "rev-parse", BRANCH) == theirs
    assert len(one.server.pulls) == 1


def test_a_patch_of_other_files_is_a_conflict(one: Forge, made: Made) -> None:
    """What was proven is what is published."""
    for before, after in (({"src/a.py": b"9"}, {"src/a.py": b"2"}), ({}, {"src/a.py": b"2"})):
        with pytest.raises(Conflict):
            one.publisher(one.http).publish(
                one.repository, replace(pull_request(made.commit), patch=patch_of(before, after))
            )
    assert one.branches() == ["main"]


def test_no_command_gets_into_a_description(made: Made, tmp_path: Path) -> None:
    """GitLab carries out lines that begin with a slash, such as `/merge`: none does."""
    one = forge("gitlab", made, tmp_path)
    wanted = replace(pull_request(made.commit), body="/merge\n  /approve\ntext / more\r\n/close")
    one.publisher(one.http).publish(one.repository, wanted)
    assert one.server is not None
    lines = one.server.pulls[0]["description"].splitlines()
    assert not any(each.lstrip().startswith("/") for each in lines)
    assert "text / more" in lines


def test_a_plan_without_drafts_gets_an_open_one(made: Made, tmp_path: Path) -> None:
    """GitHub refuses drafts in some repositories."""
    one = forge("github", made, tmp_path)
    assert isinstance(one.server, GitHubServer)
    one.server.drafts = False
    assert one.publisher(one.http).publish(one.repository, pull_request(made.commit)).state == "open"


def test_archives_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bombs, archives that are cut off, and what no repository has."""
    import gzip
    import io
    import tarfile

    monkeypatch.setattr(archives, "_MOST", 1_000_000)
    with pytest.raises(TooLarge):
        archives.unpacked(gzip.compress(bytes(50_000_000)))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        device = tarfile.TarInfo("r/null")
        device.type = tarfile.CHRTYPE
        archive.addfile(device)
    for data in (buffer.getvalue(), buffer.getvalue()[:-20], b"nothing", gzip.compress(b"nothing" * 200)):
        with pytest.raises(BadAnswer):
            archives.unpacked(data)
