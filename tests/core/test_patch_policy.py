"""The policy gate: what no patch may do is found by name, honest patches pass, hostile files are bounded."""

from __future__ import annotations

import base64
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.core.edits import Patch, patch_of
from sentinel.core.patch_findings import RULES, Finding, Verdict
from sentinel.core.patch_paths import PROTECTED, allowed, matches, protections
from sentinel.core.patch_policy import MAX_LINE, MOST_FINDINGS, Modes, Policy, judge
from sentinel.core.patch_secrets import kinds
from tests.data import need

WIDE = Policy(max_files=1_000, max_changed_lines=100_000)


def found(
    path: str, before: bytes | None, after: bytes | None, policy: Policy = WIDE, modes: Modes | None = None
) -> set[str]:
    """Return the rules that speak against the change of one file."""
    old = {} if before is None else {path: before}
    new = {} if after is None else {path: after}
    return {each.rule for each in judge(patch_of(old, new), policy, modes or Modes()).findings}


def test_an_honest_patch_passes() -> None:
    """A bug fixed with a test for it, in allowed files, has nothing against it."""
    before = {
        "src/pay.py": b"def pay(x):\n    return x\n",
        "tests/test_pay.py": b"def test_a():\n    assert pay(1) == 1\n",
    }
    after = {
        "src/pay.py": b"def pay(x):\n    return x or 0\n",
        "tests/test_pay.py": before["tests/test_pay.py"]
        + b"\n\ndef test_none():\n    assert pay(None) == 0\n",
    }
    judgement = judge(patch_of(before, after), Policy(paths=("src/**", "tests/**")))
    assert judgement.findings == ()
    assert judgement.verdict is Verdict.NOTE


PROTECTED_PATHS = {
    "ci": [".github/workflows/a.yml", "a/.GitHub/x", ".gitlab-ci.yml", "Jenkinsfile", ".circleci/config.yml"],
    "lockfile": [
        "package-lock.json",
        "web/yarn.lock",
        "Poetry.lock",
        "uv.lock",
        "go.sum",
        "Cargo.lock",
        "Gemfile.lock",
    ],
    "infrastructure": [
        "Dockerfile",
        "a/Dockerfile.prod",
        "docker-compose.yml",
        "main.tf",
        "k8s/a.yaml",
        "cdk.json",
    ],
    "secret-file": [".env", ".env.local", "certs/a.pem", "id_rsa", "a.key", ".npmrc", ".aws/credentials"],
    "licence": ["LICENSE", "LICENCE.md", "NOTICE", "COPYING", "docs/license.txt"],
    "git": [".gitmodules", ".gitattributes", "src/.gitattributes"],
    "test-configuration": [
        "conftest.py",
        "tests/conftest.py",
        "pytest.ini",
        "jest.config.js",
        "spec/spec_helper.rb",
    ],
}


@pytest.mark.parametrize(
    ("rule", "path"), [(rule, path) for rule, paths in PROTECTED_PATHS.items() for path in paths]
)
def test_protected_files(rule: str, path: str) -> None:
    """No patch changes or adds what builds, pins, deploys, unlocks or licenses, at any depth, in any case."""
    assert rule in found(path, b"a\n", b"b\n")
    assert rule in found(path, None, b"b\n")


def test_every_list_is_tried() -> None:
    """Each list of protected files is tried above, and its rule refuses."""
    assert set(PROTECTED_PATHS) == set(PROTECTED)
    assert all(RULES[rule].verdict is Verdict.REFUSED for rule in PROTECTED)


@pytest.mark.parametrize(
    "path",
    [
        "src/environment.py",
        "src/keys.py",
        "src/notices/a.py",
        "src/docker/run.py",
        "src/deployment.py",
        "a.md",
    ],
)
def test_names_that_only_sound_so(path: str) -> None:
    """A name that resembles a protected one is not protected."""
    assert list(protections(path)) == []


@pytest.mark.parametrize(
    ("pattern", "path", "meant"),
    [
        ("src/**", "src/a/b.py", True),
        ("src/**", "src", False),
        ("src/**", "lib/src/a.py", False),
        ("**", "a/b", True),
        ("*.py", "a.py", True),
        ("*.py", "a/b.py", False),
        ("**/*.py", "a.py", True),
        ("src/**/x/*.py", "src/a/b/x/c.py", True),
        ("src/**/x/*.py", "src/x/c.py", True),
        ("src/**/x/*.py", "src/x/y/c.py", False),
        ("src/[id].tsx", "src/[id].tsx", True),
        ("src/[id].tsx", "src/i.tsx", False),
        ("SRC/*", "src/a", False),
    ],
)
def test_patterns(pattern: str, path: str, meant: bool) -> None:
    """`*` stays within a name, `**` spans names, brackets are letters, and case counts."""
    assert matches(pattern, path) is meant
    assert ("outside" in found(path, b"a", b"b", Policy(paths=(pattern,)))) is not meant


def test_no_pattern_allows_nothing() -> None:
    """A policy without patterns refuses every path, and patterns of hostile form are matched in good time."""
    assert "outside" in found("a", b"a", b"b", Policy(paths=()))
    began = time.process_time()
    assert not allowed("/".join(["a" * 20] * 40), ["/".join(["**", "*a*a*a*a*a*b"] * 20)])
    assert time.process_time() - began < 5


def test_infrastructure_of_the_recipe() -> None:
    """A recipe may name more paths that are infrastructure."""
    assert found("ops/a.yaml", b"a: 1\n", b"a: 2\n", Policy(infrastructure=("ops/**",))) == {"infrastructure"}


def test_files_are_plain_text_that_stays() -> None:
    """A file that is taken away, is no text, or whose path is unsafe is refused."""
    assert found("a", b"a\n", None) == {"deletion"}
    for data in (b"\xff\n", b"a\0"):
        assert found("a", b"a\n", data) == {"binary"}
        assert found("a", data, b"a\n") == {"binary"}
        assert found("a", None, data) == {"binary"}
    for path in ("../a", ".git/config", "a\u202eb", "a//b", "-a"):
        assert found(path, None, b"a\n") == {"path"}


@pytest.mark.parametrize(
    ("modes", "rules"),
    [
        (Modes({"d/a": "100644"}), set()),
        (Modes({"d/a": "100755"}), set()),
        (Modes({"d/a": "100644"}, {"d/a": "100644"}), set()),
        (Modes({"d/a": "100644"}, {"d/a": "100755"}), {"mode"}),
        (Modes({"d/a": "100755"}, {"d/a": "100644"}), {"mode"}),
        (Modes({}, {"d/a": "100755"}), {"mode"}),
        (Modes({"d/a": "120000"}), {"symlink"}),
        (Modes({"d": "120000"}), {"symlink"}),
        (Modes({}, {"d/a": "120000"}), {"symlink", "mode"}),
        (Modes({"d": "160000"}), {"submodule"}),
    ],
)
def test_modes(modes: Modes, rules: set[str]) -> None:
    """A mode stays, a new file is plain, and nothing is written to or through a link or a submodule."""
    assert found("d/a", b"a", b"b", modes=modes) == rules


def test_caps() -> None:
    """Both sides of the caps on files, on changed lines and on the length of an added line."""
    few = Policy(max_files=2, max_changed_lines=4)
    for count, refused in ((2, False), (3, True)):
        patch = patch_of({}, {f"f{n}": b"a\n" for n in range(count)})
        assert (judge(patch, few).verdict is Verdict.REFUSED) is refused
    assert found("a", b"1\n2\n", b"3\n4\n", few) == set()
    assert found("a", b"1\n2\n", b"3\n4\n5\n", few) == {"size"}
    assert found("a", b"", b"x" * MAX_LINE) == set()
    assert found("a", b"", b"x" * (MAX_LINE + 1)) == {"size"}
    assert found("a", None, b"x" * 1_000_001) == {"size"}


def test_the_diff_is_the_one_between_the_files() -> None:
    """A diff that says anything but what the files say is refused, and so is a patch of nothing."""
    good = patch_of({"a": b"x\n"}, {"a": b"y\n"})
    assert judge(good, WIDE).findings == ()
    for diff in ("", good.diff.replace("+y", "+z"), good.diff + good.diff, good.diff.replace("b/a", "b/b")):
        assert [each.rule for each in judge(Patch(good.before, good.after, diff), WIDE).findings] == ["diff"]
    assert judge(Patch({}, {}, ""), WIDE).verdict is Verdict.REFUSED
    assert judge(Patch({"a": b"x"}, {"a": b"x"}, ""), WIDE).verdict is Verdict.REFUSED


@pytest.mark.parametrize("char", "\u202e\u2066\u200b\u00a0\x1b\x08\u3164\ufeff\u2028\r")
def test_added_lines_hide_nothing(char: str) -> None:
    """A character that is not seen, or turns the direction of writing, is refused where it is added only."""
    line = f"x = 'a{char}b'\n".encode()
    assert "hidden" in found("a", b"y\n", line)
    assert "hidden" not in found("a", line, b"y\n")
    assert found("a", b"y\n", "x =\t'für 決済 🙂 \\' \"'\r\n".encode()) == set()


@pytest.mark.parametrize(
    ("path", "good", "bad"),
    [
        ("a.py", b"x = '\\d'\n", b"def f(:\n"),
        ("a.pyi", b"x: int\n", b"x: :\n"),
        ("a.json", b"{}", b"{,}"),
        ("a.toml", b"a = 1\n", b"a = \n"),
        ("a.yaml", b"a: !Ref b\n---\nb: [1]\n", b"a: [1\n"),
        ("a.yml", b"a: 1\n", b"a: 'b\n"),
    ],
)
def test_files_parse_no_worse_than_before(path: str, good: bytes, bad: bytes) -> None:
    """What parsed, or is new, has to parse; what did not parse before is noted only."""
    assert found(path, good, bad) == {"syntax"}
    assert found(path, None, bad) == {"syntax"}
    assert found(path, bad, bad + b"\n\n") == {"unread"}
    assert found(path, bad, good) == set()
    assert found(path, b"", b"\xef\xbb\xbf" + good) - {"hidden"} == set()
    assert RULES["unread"].verdict is Verdict.NOTE


DEEP = {
    "a.py": [
        b"(" * 400_000,
        b"-" * 400_000 + b"1",
        b"x" + b".a" * 200_000,
        b"[" * 90 + b"]" * 90,
        b"1+" * 200_000 + b"1",
    ],
    "a.json": [b"[" * 400_000],
    "a.toml": [b"a = " + b"[" * 100_000, b"[" + b"a." * 100_000 + b"a]"],
    "a.yaml": [b"[" * 100_000, b"- " * 100_000, b"a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b, *b]\n"],
    "test_a.py": [
        b"def test_a():\n" + b"".join(b" " * n + b"if x:\n" for n in range(1, 95)) + b" " * 95 + b"assert x\n"
    ],
    "a.test.ts": [b"it(" * 130_000, b"expect(" * 70_000, b"/* " * 100_000],
}


@pytest.mark.parametrize(
    ("path", "data"),
    [(path, data) for path, texts in DEEP.items() for data in texts],
    ids=lambda each: str(each)[:9],
)
def test_hostile_text_is_judged(path: str, data: bytes) -> None:
    """However deep or long a text is, the gate comes to its findings, in good time and without an error."""
    began = time.process_time()
    lines = data.replace(b"(", b"(\n", 2)
    for text in (data, lines):
        findings = judge(patch_of({}, {path: text}), WIDE).findings
        assert len(findings) <= MOST_FINDINGS
    assert time.process_time() - began < 20


def test_findings_are_bounded_and_ordered() -> None:
    """The gravest come first, there is a most of them, and the same patch gives the same."""
    data = b"token = 'Zk3w9Qx71LmB0v'\n" * (MOST_FINDINGS + 50)
    patch = patch_of({"setup.py": b"a\n", "b": b""}, {"setup.py": b"b = 1\n", "b": data})
    first = judge(patch, WIDE)
    assert len(first.findings) == MOST_FINDINGS
    assert first == judge(patch, WIDE)
    assert first.verdict is Verdict.REFUSED
    assert judge(patch_of({"setup.py": b"a\n"}, {"setup.py": b"b\n"}), WIDE).verdict is Verdict.APPROVAL


@pytest.mark.parametrize(
    ("path", "before", "after", "rules"),
    [
        ("requirements.txt", b"a==1\n", b"a==1\nb==2\n", {"dependency"}),
        ("requirements/dev.txt", b"a\n", b"b\n", {"dependency"}),
        ("go.mod", b"module a\n", b"module a\nrequire b v1\n", {"dependency"}),
        ("Gemfile", b"a\n", b"b\n", {"dependency"}),
        ("pom.xml", b"<a/>", b"<b/>", {"dependency"}),
        (
            "pyproject.toml",
            b"[project]\nname='a'\n",
            b"[project]\nname='a'\ndependencies=['b']\n",
            {"dependency"},
        ),
        ("pyproject.toml", b"", b"[tool.poetry.dependencies]\nb='1'\n", {"dependency"}),
        ("pyproject.toml", b"", b"[tool.pytest.ini_options]\naddopts='-k a'\n", {"test-configuration"}),
        ("pyproject.toml", b"", b"[tool.ruff]\nline-length=100\n", set()),
        ("pyproject.toml", b"a = \n", b"b = \n", {"dependency", "unread"}),
        ("package.json", b"{}", b'{"dependencies": {"a": "1"}}', {"dependency"}),
        ("package.json", b"{}", b'{"overrides": {"a": "1"}}', {"dependency"}),
        ("package.json", b"{}", b'{"scripts": {"test": "true"}}', {"test-configuration"}),
        ("package.json", b"{}", b'{"description": "a"}', set()),
        ("src/requirements.py", b"a\n", b"b\n", set()),
    ],
)
def test_dependencies(path: str, before: bytes, after: bytes, rules: set[str]) -> None:
    """What is installed or built needs approval; which tests run is refused; other parts are free."""
    assert found(path, before, after) == rules


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("-----BEGIN RSA PRIVATE KEY-----", "a private key"),
        ("key = AKIA" + "ABCDEFGHIJKLMNOP", "an AWS key id"),
        ("t = ghp" + "_" + "a1B2" * 9, "a GitHub token"),
        ("xoxb" + "-1234567890-abcdef", "a Slack token"),
        ("sk_live" + "_abcdefghijklmnop1234", "a Stripe key"),
        ("eyJhbGciOiJI" + "UzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghijk", "a JWT"),
        ("postgres://app:hunter22@db.example/x", "a password in an address"),
        ("PASSWORD = 'c0rrect-h0rse-9'", "a password or token, assigned"),
        ('{"api_key": "Zk3w9Qx71LmB0v"}', "a password or token, assigned"),
    ],
)
def test_secrets_are_found_and_not_repeated(line: str, kind: str) -> None:
    """An added secret is refused with its kind and line, and no finding holds it; a removed one is not."""
    patch = patch_of({"a": b"x\n"}, {"a": f"x\n{line}\n".encode()})
    findings = judge(patch, WIDE).findings
    assert Finding("secret", "a", 2, f"the line seems to hold {kind}") in findings
    assert line not in repr(findings)
    assert judge(patch_of(patch.after, patch.before), WIDE).findings == ()


@pytest.mark.parametrize(
    "line",
    [
        "password = os.environ['DB_PASSWORD']",
        'token = "your-token-here-1"',
        'secret_name = "orders/webhook"',
        'api_key = "${API_KEY_1}"',
        "password = getpass()",
        'token: "{{ token1 }}"',
        'digest = "d41d8cd98f00b204e9800998ecf8427e"',
        "https://user@example.com/a",
        "AKIAIOSFODNN7EXAMPLE",
    ],
)
def test_what_only_speaks_of_secrets_is_none(line: str) -> None:
    """Names, places, placeholders and digests are no secrets."""
    assert list(kinds(line)) == []


def test_real_secrets() -> None:
    """All of the labelled secrets are found, and no benign line counts as one."""
    lines = need("redaction", "labelled.jsonl").read_text().splitlines()
    rows = [each for each in map(json.loads, lines) if each["kind"] == "secret" and each["should_flag"]]
    texts = [base64.b64decode(each["line_b64"]).decode() for each in rows]
    assert len(texts) == 54
    assert all(list(kinds(text)) for text in texts)
    benign = [json.loads(each)["line"] for each in need("redaction", "benign.jsonl").read_text().splitlines()]
    assert len(benign) == 400
    assert [line for line in benign if list(kinds(line))] == []


def test_real_lines_that_are_no_secrets() -> None:
    """Of the lines that are labelled as no secret of their kind, none is taken for one of it, but for two.

    One has another kind's token; of one that is cut out of a longer text, nothing tells it from a token.
    """
    lines = need("redaction", "labelled.jsonl").read_text().splitlines()
    rows = [each for each in map(json.loads, lines) if each["kind"] == "secret" and not each["should_flag"]]
    flagged = [each["detector"] for each in rows if list(kinds(base64.b64decode(each["line_b64"]).decode()))]
    assert len(rows) == 54
    assert len(flagged) <= 2


TEXTS = st.text(st.sampled_from("ab(){}[]:=\n \t'\"#@\\\0\r\u202e1,.-"), max_size=60)
PATHS = st.sampled_from(
    ["a.py", "test_a.py", "a.test.ts", "ATest.java", "a_test.go", "a_spec.rb", "a.json", "a.toml"]
)
MORE = st.sampled_from(["a.yaml", "package.json", "pyproject.toml", "../x", ".env", "a.txt"])


@settings(max_examples=300, deadline=None)
@given(PATHS | MORE, TEXTS | st.none(), TEXTS | st.none())
def test_any_text_gets_a_judgement(path: str, before: str | None, after: str | None) -> None:
    """Whatever the files hold, the gate judges without an error, the same each time, by known rules."""
    old = {} if before is None else {path: before.encode()}
    new = {} if after is None else {path: after.encode()}
    judgement = judge(patch_of(old, new), WIDE)
    assert judgement == judge(patch_of(old, new), WIDE)
    assert all(each.rule in RULES for each in judgement.findings)
    if old == new:
        assert judgement.verdict is Verdict.REFUSED
