"""Masks: no value survives, all come back exactly, and only where they stood."""

from __future__ import annotations

import base64

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.masks import HUNTED, Masks
from sentinel.core.private_values import TOKEN, found
from tests.data import need
from tests.processor import within

VALUES = st.from_regex(r"[a-zA-Z0-9]{8,24}[0-9][a-zA-Z]", fullmatch=True)
WORDS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="[]"), max_size=40)
PLACED = {
    "password=hunter22x": "hunter22x",
    "Authorization: Bearer abcDEF123456ghi": "abcDEF123456ghi",
    "postgres://app:s3cr3tpw@db/x": "s3cr3tpw",
    "AWS key AKIAIOSFODNN7EXAMPLE": "AKIAIOSFODNN7EXAMPLE",
    "from kim@example.com": "kim@example.com",
    "client 203.0.113.7 left": "203.0.113.7",
    "client 2001:db8::7:1 left": "2001:db8::7:1",
    "card 4111 1111 1111 1111 declined": "4111 1111 1111 1111",
    "call +49 30 1234567 now": "+49 30 1234567",
    "open /home/kimberly/app/x": "kimberly",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----": "MIIabc",
}


@pytest.mark.parametrize("text", PLACED)
@pytest.mark.parametrize("code", [False, True])
def test_a_value_is_hidden_and_comes_back(text: str, *, code: bool) -> None:
    """Each kind of value is behind a token; undone, the text is what it was."""
    text = text.replace("password=hunter22x", "password='hunter22x'") if code else text
    masks = Masks()
    shown = masks.mask(text, "here", code=code)
    assert PLACED.get(text, "hunter22x") not in shown
    assert TOKEN.search(shown)
    assert masks.unmask(shown, "here") == text


@given(st.lists(WORDS, min_size=1, max_size=4), VALUES, st.booleans())
def test_no_masked_value_survives(words: list[str], value: str, code: bool) -> None:
    """A value that was found once stands nowhere in what is shown, also without its telling name."""
    texts = [*(f"{each}{value}{each}" for each in words), f'password="{value}"']
    masks = Masks()
    for each in texts:
        masks.learn(each, code=code)
    shown = [masks.mask(each, str(n), code=code) for n, each in enumerate(texts)]
    assert not any(value in each for each in shown)
    assert [masks.unmask(each, str(n)) for n, each in enumerate(shown)] == texts


@given(
    st.text(max_size=120)
    | st.lists(st.sampled_from([*PLACED, "[[secret:1]]", "[[", "]]", "x"])).map("".join),
    st.booleans(),
)
def test_undoing_is_exact(text: str, code: bool) -> None:
    """Whatever a text is, masked and undone it is the same; the same run gives the same tokens again."""
    masks = Masks()
    shown = masks.mask(text, "here", code=code)
    assert masks.unmask(shown, "here") == text
    assert masks.mask(text, "here", code=code) == shown


@given(VALUES, VALUES)
def test_the_same_value_has_the_same_token(one: str, other: str) -> None:
    """Two mentions of a value have one token, two values have two; a new run begins anew."""
    masks = Masks()
    first = masks.mask(f"password={one}", "a")
    assert masks.mask(f"token={one}", "b").endswith(first.partition("=")[2])
    again = masks.mask(f"password={other}", "a")
    assert (again == first) == (one == other)
    assert Masks().mask(f"password={other}", "a") == first


@pytest.mark.parametrize("forged", ["[[secret:1]]", "[[email:1]]", "[[text:1]]", "[[[[secret:1]]:1]]"])
def test_a_token_cannot_be_forged(forged: str) -> None:
    """A token that stands in a text is masked itself: undone it is that text and nobody's secret."""
    masks = Masks()
    masks.mask("password=hunter22x from kim@example.com", "here")
    shown = masks.mask(f"say {forged}", "here")
    assert "hunter22x" not in masks.unmask(shown, "here")
    assert masks.unmask(shown, "here") == f"say {forged}"
    assert masks.unmask("[[secret:77]] [[other:1]]", "here") == "[[secret:77]] [[other:1]]"


def test_a_token_is_undone_only_where_its_value_stood() -> None:
    """What a log or another file held cannot be written into a file."""
    masks = Masks()
    masks.mask("password=hunter22x", "said")
    mine = masks.mask("KEY_TOKEN = 'abcdef12'", "src/a.py", code=True)
    for place in ("src/a.py", "src/b.py", ""):
        assert masks.unmask("[[secret:1]]", place) == "[[secret:1]]"
    assert masks.unmask(mine, "src/b.py") == mine
    assert masks.unmask(mine, "src/a.py") == "KEY_TOKEN = 'abcdef12'"


@pytest.mark.parametrize(
    "line",
    [
        "def login(user: str, password: str, token: Token | None = None) -> None:",
        "    session = connect(password=password, token=self.token)",
        "    secret_name = settings.secret_name",
        "result = a[::2] + b[1:2:3]",
        "from sentinel.core.test_that_has_quite_a_long_name_indeed import something_else",
        'HOST = "127.0.0.1"  # loopback',
        "total = 12345678901234567",
        "__all__ = ['token', 'copy_context', 'password', 'other_name']",
        "x = y +3.140000 + 1",
    ],
)
def test_code_stays_code(line: str) -> None:
    """A name is no value where code is read."""
    assert Masks().mask(line, "a.py", code=True) == line


def test_it_shows_no_value() -> None:
    """A representation of the masks, as in a log of errors, holds no value."""
    masks = Masks()
    masks.mask("password=hunter22x", "here")
    assert "hunter" not in f"{masks!r} {masks}"
    assert len(masks) == 1
    assert HUNTED == 6


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        "1 " * 100_000,
        "a@" * 100_000,
        "password=" * 20_000,
        ":" * 100_000,
        "[[" * 100_000,
        "1." * 99_999,
        "password," * 20_000,
        "'token': '" * 20_000,
    ],
)
@pytest.mark.parametrize("code", [False, True])
def test_a_large_text_costs_little(text: str, *, code: bool) -> None:
    """No text makes a pattern run away."""
    masks = Masks()
    with within(10):
        assert masks.unmask(masks.mask(text, "x", code=code), "x") == text


def test_real_secrets_are_hidden_and_real_lines_are_not() -> None:
    """Of other people's samples: secrets are hidden, and no line without one is taken to have one."""
    rows = [orjson.loads(each) for each in need("redaction", "labelled.jsonl").read_bytes().splitlines()]
    secrets = gone = 0
    for row in rows:
        if row["kind"] != "secret" or not row["should_flag"]:
            continue
        line = base64.b64decode(row["line_b64"]).decode()
        shown = Masks().mask(line, "x")
        secrets += 1
        gone += all(line[start:end] not in shown for start, end, _ in row["spans"])
    benign = [orjson.loads(each) for each in need("redaction", "benign.jsonl").read_bytes().splitlines()]
    flagged = [each["line"] for each in benign if any(kind == "secret" for *_, kind in found(each["line"]))]
    assert secrets >= 50
    assert gone / secrets >= 0.95
    assert len(benign) == 400
    assert not flagged
