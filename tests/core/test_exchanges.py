"""Exchanges: a question and its reply come back as they were kept."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.core import exchanges
from sentinel.core.questions import Missed, Question, Reply, Turn, Usage
from sentinel.errors import Malformed, TooLarge

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
counts = st.integers(0, 10**9)
usd = st.floats(0, 1e6, allow_nan=False)
questions = st.builds(
    Question,
    texts,
    st.lists(st.builds(Turn, st.sampled_from(["user", "assistant"]), texts), max_size=3).map(tuple),
    st.dictionaries(texts, texts, max_size=3),
    texts,
    st.integers(1, 10**6),
    st.integers(0, 9),
)
replies = st.builds(
    Reply,
    texts,
    texts,
    texts,
    st.builds(Usage, counts, counts, counts, counts),
    usd,
    st.booleans(),
    st.booleans(),
    st.lists(st.builds(Missed, texts, texts, counts, usd), max_size=2).map(tuple),
)
QUESTION = Question("s", (Turn("user", "u"),), {"type": "object"})
REPLY = Reply('{ "a": 1 }\n', "openai", "m", Usage(10, 2, 1, 5), 0.1)


@settings(max_examples=50)
@given(questions, replies)
def test_an_exchange_comes_back(question: Question, reply: Reply) -> None:
    """Whatever was asked and replied is read as it was, and written again to the same bytes."""
    kept = exchanges.exchange(question, reply)
    assert exchanges.parse(kept) == (question, reply)
    assert exchanges.exchange(*exchanges.parse(kept)) == kept
    assert exchanges.reply_of(exchanges.reply_document(reply)) == reply


def test_a_question_is_found_whatever_its_greatest_output() -> None:
    """A budget can shorten the answer that is asked for; it stays the same question, and no other is."""
    assert exchanges.key(replace(QUESTION, max_output=1)) == exchanges.key(QUESTION)
    others = [replace(QUESTION, sample=1), replace(QUESTION, system="t"), replace(QUESTION, turns=())]
    assert len({exchanges.key(each) for each in (QUESTION, *others)}) == 4


def _changed(**over: object) -> bytes:
    found = orjson.loads(exchanges.exchange(QUESTION, REPLY))
    found["reply"] |= over
    return orjson.dumps(found)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"question": {}}',
        exchanges.exchange(QUESTION, REPLY)[:-1],
        _changed(usd=-1.0),
        _changed(usd="1"),
        _changed(usage={"input": -1, "cached": 0, "written": 0, "output": 0}),
        _changed(more=1),
        _changed(scripted=1),
    ],
)
def test_what_is_no_exchange_is_refused(data: bytes) -> None:
    """What is not of the form is refused, and not quoted."""
    with pytest.raises(Malformed, match="not of its form"):
        exchanges.parse(data)


def test_an_exchange_is_bounded() -> None:
    """What is too long is not read at all."""
    with pytest.raises(TooLarge):
        exchanges.parse(b" " * (exchanges.MAX_EXCHANGE + 1))


def test_a_reply_of_another_form_is_refused() -> None:
    """A reply alone is checked as one in an exchange is."""
    with pytest.raises(Malformed):
        exchanges.reply_of({"text": "x"})
