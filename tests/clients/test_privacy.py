"""Privacy: what policy says is hidden everywhere in an entry; whatever goes wrong, none is let through."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel_client.privacy import BadPolicy, NotMasked, Policy, Privacy
from sentinel_client.privacy._table import table
from sentinel_client.privacy._tokens import KEY_NAME, Tokens
from tests.sampling import thorough

VECTORS = json.loads((Path(__file__).parents[2] / "clients" / "vectors" / "privacy-v1.json").read_text())
PRIVACY = Privacy(Policy())


def plain(value: Any) -> Any:
    """Return a vector's value as it is meant, without the marks that keep scanners quiet."""
    if isinstance(value, str):
        return value.replace("¦", "")
    if isinstance(value, dict):
        return {plain(name): plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def encode(entry: dict[str, Any]) -> bytes:
    """Encode an entry as the client does."""
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def line(entry: dict[str, Any], privacy: Privacy = PRIVACY) -> str:
    """Return the line that may be written of an entry."""
    return privacy.line(encode(entry), entry, encode).decode()


@pytest.fixture(name="key")
def key_file(tmp_path: Path) -> Path:
    """Return a file with the vectors' key of tokens."""
    path = tmp_path / "tokens.key"
    path.write_text(VECTORS["token_key"] + "\n")
    return path


@pytest.mark.parametrize("case", VECTORS["entries"], ids=range(len(VECTORS["entries"])))
def test_entries_are_masked_as_the_vectors_say(case: dict[str, Any], key: Path) -> None:
    """Both languages hide the same, and put the same in its place; by the line too, gate and all."""
    privacy = Privacy(Policy.from_mapping({**case["policy"], "key_file": str(key)}))
    entry = plain(case["entry"])
    assert privacy.entry(entry) == case["masked"]
    shown = json.loads(privacy.line(encode(entry), entry, encode))
    assert shown == json.loads(encode(case["masked"]))


def test_tokens_are_as_the_vectors_say() -> None:
    """A value has one token, however its number is written."""
    tokens = Tokens(VECTORS["token_key"].encode())
    assert [tokens.token(each["kind"], each["value"]) for each in VECTORS["tokens"]] == [
        each["token"] for each in VECTORS["tokens"]
    ]


def test_names_are_known_as_the_vectors_say() -> None:
    """A name says what its value is, in whatever way its words are joined."""
    assert {name: table().kind_of_name(name) for name in VECTORS["names"]} == VECTORS["names"]


@pytest.mark.parametrize(
    "entry",
    [
        {
            "message": "failed",
            "exception": {"message": "no login with hunter2-canary", "password": "hunter2-canary"},
        },
        {"message": "hunter2-canary", "frames": [{"vars": {"self": "<Login password='hunter2-canary'>"}}]},
        {"hunter2-canary": 1, "secret": "hunter2-canary"},
        {"a": {"b": [{"hunter2-canary": 1}]}, "z": "token=hunter2-canary"},
        {"frames": [{"vars": {"password": "'hunter2-canary'"}}], "message": "hunter2-canary"},
        {"kv": [["password", "hunter2-canary"]], "message": "hunter2-canary"},
        {"body": '{"password": "hunter2-canary"}', "message": "hunter2-canary"},
        {"body": json.dumps({"inner": json.dumps({"password": "hunter2-canary"})})},
        {"message": '{"password": "first", "password": "hunter2-canary"}'},
        {"message": '{"password": "hunter2-canary", "password": "last"}'},
        {"message": "curl -H 'Authorization: Bearer hunter2-canary'"},
        {"message": "GET /?access_token=hunter2-canary&x=1"},
        {"message": "Cookie: sid=hunter2-canary; b=c"},
        {"args": ["app", "--token", "hunter2-canary"]},
        {"env": {"DB_PASSWORD": "hunter2-canary"}},
        {"env": [{"name": "DB_PASSWORD", "value": "hunter2-canary"}]},
        {"rawHeaders": ["Authorization", "hunter2-canary", "Accept", "x"]},
        {"message": "pass\\u0077ord=hunter2-canary"},
    ],
)
def test_a_secret_does_not_come_back_elsewhere(entry: dict[str, Any]) -> None:
    """What is hidden in one place is hidden in messages, stacks, variables and names of the same entry."""
    assert "canary" not in line(entry)


def test_values_are_correlated_under_one_key_only(tmp_path: Path) -> None:
    """The same value has the same token in one service, and another one elsewhere."""
    entry = {"message": "mail to kim@example.org"}
    one, other = Privacy(Policy(root=tmp_path / "a")), Privacy(Policy(root=tmp_path / "b"))
    assert line(entry, one) == line(entry, Privacy(Policy(root=tmp_path / "a")))
    assert line(entry, one) != line(entry, other)
    assert stat.S_IMODE((tmp_path / "a" / KEY_NAME).stat().st_mode) == 0o600


def test_processes_that_start_at_once_have_one_key(tmp_path: Path) -> None:
    """Whoever draws the key first, all read the same, and nothing else is left in the root."""
    code = (
        "import sys; from pathlib import Path; from sentinel_client.privacy._tokens import own_key; "
        "sys.stdout.write(own_key(Path(sys.argv[1])).decode())"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    assert len({each.communicate()[0] for each in running}) == 1
    assert [each.name for each in tmp_path.iterdir()] == [KEY_NAME]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=500 if thorough() else 50)
@given(st.dictionaries(st.text(max_size=8), JSON, max_size=5))
def test_any_entry_comes_through_as_json(entry: dict[str, Any]) -> None:
    """Surrogates, NaN, huge numbers, any nesting: a line of JSON comes out, masked once and not again."""
    once = line(entry)
    again = json.loads(once)
    assert isinstance(again, dict)
    assert line(again) == once


@settings(deadline=None, max_examples=40)
@given(
    st.dictionaries(
        st.sampled_from(["password", "user_token", "x-api-key"]),
        st.recursive(
            st.text(max_size=9) | st.integers(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
        ),
        min_size=1,
    )
)
def test_whatever_stands_under_a_telling_name_is_hidden(entry: dict[str, Any]) -> None:
    """Also numbers and lists; only what is empty stays."""

    def leaves(value: Any) -> list[Any]:
        return [leaf for each in value for leaf in leaves(each)] if isinstance(value, list) else [value]

    for value in PRIVACY.entry(entry).values():
        assert all(leaf == "" or str(leaf).startswith("[[") for leaf in leaves(value))


def test_half_a_character_in_inner_json_loses_no_entry() -> None:
    """JSON in a text may have escapes that no UTF-8 can carry: they stay escapes."""
    entry = {"body": '{"password":"abc","n":"\\ud800"}'}
    inner = PRIVACY.entry(entry)["body"]
    assert inner.encode().endswith(b',"n":"\\ud800"}')
    assert '"abc"' not in inner  # what stands for it is drawn, and may have these letters


@pytest.mark.parametrize(
    "encoded",
    [
        b"{",
        b'{"password": "x"',
        b'{"password":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b'"password="',
        b'{"key": \xff}',
    ],
)
def test_what_cannot_be_masked_is_not_let_through(encoded: bytes) -> None:
    """An entry that cannot be read, or is nested too deeply, raises `NotMasked` and quotes nothing."""
    with pytest.raises(NotMasked) as caught:
        PRIVACY.line(encoded, {"password": "x"}, encode)
    assert "password" not in str(caught.value)


def test_an_encoder_that_fails_lets_nothing_through() -> None:
    """What masking changed cannot be written: the entry is not written at all."""

    def fails(_: dict[str, Any]) -> bytes:
        raise TypeError("hunter2")

    with pytest.raises(NotMasked) as caught:
        PRIVACY.line(b'{"password":"hunter2"}', {"password": "hunter2"}, fails)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_names_that_are_no_texts_are_read_as_the_encoder_writes_them() -> None:
    """Names may be numbers or None in Python."""
    entry: dict[Any, Any] = {1: "password=hunter22", None: 2, "message": "x"}
    assert "hunter22" not in line(entry)


def test_threads_share_one_privacy() -> None:
    """Many threads, many shapes of entries: each gets what it would alone."""
    entries = [{f"f{n}": n, "message": "password=hunter22" if n % 2 else "ok"} for n in range(200)]
    wrong: list[int] = []

    def work(first: int) -> None:
        for n in range(first, 200, 4):
            wrong.extend(
                [n]
                if ("hunter22" in line(entries[n])) or (n % 2 == 0 and '"ok"' not in line(entries[n]))
                else []
            )

    threads = [threading.Thread(target=work, args=(first % 4,)) for first in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"detector": {}}, "detectors is meant"),
        ({"detectors": {"e-mail": "off"}}, "email is meant"),
        ({"detectors": {"email": "hide"}}, "mask, drop, off"),
        ({"detectors": {"email": False}}, "values are texts"),
        ({"paths": {"a..b": "mask"}}, "is no path"),
        ({"paths": {"a": "redact"}}, "drop, mask, hash, encrypt"),
        ({"paths": {"a": "encrypt"}}, "names no key"),
        ({"paths": {"**.a.**.b.**": "mask"}}, "more than twice"),
        ({"enabled": "yes"}, "true or false"),
        ({"allow": ["*"]}, "more than *"),
        ({"allow": "x"}, "a list"),
        ({"key_file": 5}, "a text"),
    ],
)
def test_a_policy_that_cannot_be_says_what_to_mend(mapping: dict[str, Any], words: str) -> None:
    """Each error names the member, and the nearest name where one is wrong."""
    with pytest.raises(BadPolicy, match=words.replace("*", r"\*")):
        Policy.from_mapping(mapping)


def test_a_key_file_has_to_hold_a_key(tmp_path: Path) -> None:
    """A file that is missing or too short is an error that names it."""
    short = tmp_path / "short"
    short.write_text("abc\n")
    for path in (short, tmp_path / "missing"):
        with pytest.raises(BadPolicy, match=str(path)):
            Privacy(Policy(key_file=path))


def test_no_value_and_no_key_shows() -> None:
    """Representations hold neither."""
    assert "key" not in repr(PRIVACY._tokens)
    assert "hunter" not in repr(PRIVACY)
