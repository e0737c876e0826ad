"""Bodies of Splunk's Event Collector: what senders send is kept byte for byte; nothing breaks the parser."""

from __future__ import annotations

import base64
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.core import hec, hec_tokens
from sentinel.core.entry import MAX_ENTRY_BYTES, problem
from sentinel.errors import TooLarge
from tests.data import need
from tests.functions.hec_senders import SENDERS


@pytest.mark.parametrize("name", SENDERS)
def test_what_senders_send_is_kept_as_it_came(name: str) -> None:
    """Each body of the golden holds the golden's entries, which may be stored as they are."""
    case = SENDERS[name]
    found = hec.lines(case.body, case.query) if "/raw" in case.path else hec.events(case.body)
    assert [each.decode() for each in found.events] == list(case.entries)
    assert found.bad is None
    assert all(problem(each) is None for each in found.events)


# What a body is, and the code and the number of the event that it is refused for.
BAD: dict[bytes, tuple[int, int]] = {
    b"x": (6, 0),
    b"{": (6, 0),
    b'{"event":"a"': (6, 0),
    b'{"event":"a"}x': (6, 1),
    b'{"event":"a"},{"event":"b"}': (6, 1),
    b'{"event":"a"}{"event":"b"': (6, 1),
    b'[{"event":"a"}': (6, 1),
    b'[{"event":"a"},]': (6, 1),
    b'[{"event":"a"} {"event":"b"}]': (6, 1),
    b'[{"event":"a"}]]': (6, 1),
    b"1": (6, 0),
    b'"text"': (6, 0),
    b"null": (6, 0),
    b"[[]]": (6, 0),
    b'{"event":NaN}': (6, 0),
    b'{"event":-Infinity}': (6, 0),
    b'{"event":"\xff"}': (6, 0),
    b'{"event":"\\ud800"}': (6, 0),
    b'{"event":"a\nb"}': (6, 0),
    b'\xef\xbb\xbf{"event":"a"}': (6, 0),
    b'{"event":' + b"[" * 100_000: (6, 0),
    b'{"event":' + b"9" * 5_000 + b"}": (6, 0),
    b"{}": (12, 0),
    b'{"event":null}': (12, 0),
    b'{"time":1}': (12, 0),
    b'{"event":"a"}{"Event":"a"}': (12, 1),
    b'{"event":""}': (13, 0),
    b'{"event":" \\n\\t"}': (13, 0),
    b'{"event":"a"}\n{"event":"b"}\n{"event":""}': (13, 2),
    b'{"event":"a","time":"soon"}': (6, 0),
    b'{"event":"a","time":true}': (6, 0),
    b'{"event":"a","time":""}': (6, 0),
    b'{"event":"a","time":{}}': (6, 0),
    b'{"event":"a","fields":[]}': (15, 0),
    b'{"event":"a","fields":"x"}': (15, 0),
    b'{"event":"a","fields":{"a":{}}}': (15, 0),
    b'{"event":"a","fields":{"a":["x",["y"]]}}': (15, 0),
    b'{"event":"a"}{"event":"a","fields":{"a":[{}]}}': (15, 1),
    b'{"event":"%s"}' % (b"x" * MAX_ENTRY_BYTES): (6, 0),
}


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
def test_a_bad_event_has_splunks_code_and_its_number(body: bytes) -> None:
    """And what stands before it is found."""
    found = hec.events(body)
    code, number = BAD[body]
    assert found.bad is not None
    assert (found.bad.reply.code, found.bad.number, len(found.events)) == (code, number, number)


GOOD = {
    b'{"event":0}': True,
    b'{"event":false}': True,
    b'{"event":{}}': True,
    b'{"event":[]}': True,
    b'{"event":"a","time":null}': True,
    b'{"event":"a","time":1.79e9}': False,
    b'{"event":"a","time":"1.79E9"}': False,
    b'{"event":"a","time":" 1433188255 "}': False,
    b'{"event":"a","time":0}': False,
    b'{"event":"a","fields":null}': True,
    b'{"event":"a","fields":{"a":"b","n":1.5,"t":true,"l":["x",2],"z":null}}': True,
    b'{"event":"a","host":7,"unknown":{"x":[]}}': True,
    b'{"event":"%s"}' % (b"x" * (MAX_ENTRY_BYTES - 12)): True,
}


@pytest.mark.parametrize("body", GOOD, ids=range(len(GOOD)))
def test_what_is_taken(body: bytes) -> None:
    """Any event but none and a blank one; what else is in it is kept. A time of its own is seen."""
    found = hec.events(body)
    assert (found.bad, found.events, found.timed) == (None, [body], not GOOD[body])


@pytest.mark.parametrize("body", [b"", b" \r\n\t", b"[]", b" [ ] [\n]"])
def test_no_data(body: bytes) -> None:
    """A body that holds nothing is 5, not an empty success."""
    with pytest.raises(hec.Refused) as refused:
        hec.events(body)
    assert refused.value.reply == hec.NO_DATA


EVENTS = st.lists(
    st.fixed_dictionaries(
        {"event": st.recursive(st.text(min_size=1) | st.integers(-9, 9), st.lists, max_leaves=4)},
        optional={
            "time": st.floats(0, 2e9),
            "host": st.text(),
            "fields": st.dictionaries(st.text(), st.text()),
        },
    ).filter(lambda each: not isinstance(each["event"], str) or each["event"].strip()),
    min_size=1,
)
BETWEEN = st.sampled_from(["", " ", "\n", "\r\n\r\n", "\t"])


@given(
    made=EVENTS, between=BETWEEN, indent=st.sampled_from([None, 1]), plain=st.booleans(), array=st.booleans()
)
def test_concatenated_events_are_the_same_events(
    made: list[dict[str, Any]], between: str, indent: int | None, plain: bool, array: bool
) -> None:
    """However they are joined and written, with each one's bytes kept but for line breaks between tokens."""
    texts = [json.dumps(each, indent=indent, ensure_ascii=plain) for each in made]
    joined = f"[{(between + ',').join(texts)}]" if array else between.join(texts)
    body = joined.encode("utf-8", "surrogatepass")
    found = hec.events(body)
    assert found.bad is None
    assert [orjson.loads(each) for each in found.events] == made
    assert [each.decode() for each in found.events] == [text.replace("\n", " ") for text in texts]
    assert found.timed == all("time" in each for each in made)


def _never_raises(body: bytes) -> None:
    try:
        found = hec.events(body)
    except (hec.Refused, TooLarge):
        return
    assert all(problem(each) is None and b"\n" not in each for each in found.events)
    assert found.events or found.bad


@settings(max_examples=300)
@given(st.binary(max_size=200) | st.text('{}[]",:\\eventim019.-+ \n', max_size=60).map(str.encode))
def test_whatever_comes_is_entries_or_a_code(body: bytes) -> None:
    """Any bytes: entries that may be stored, or a refusal of the table, and nothing else is raised."""
    _never_raises(body)
    _never_raises(b'{"event":"a"}' + body)


def test_every_file_of_the_test_suite_is_entries_or_a_code() -> None:
    """Of JSONTestSuite, alone, as an event, and behind one."""
    for path in sorted(need("badinput", "JSONTestSuite", "test_parsing").iterdir()):
        body = path.read_bytes()
        for each in (body, b'{"event":' + body + b"}", b'{"event":1}' + body):
            _never_raises(each)
        found = hec.events(b'{"event":' + body + b"}")
        if path.name.startswith("n_") and b"}" not in body:
            assert found.bad is not None, path.name


def test_lines_of_raw_text() -> None:
    """One entry a line that is not blank, with what the query says; what is no text is shown."""
    query = {"host": "h", "time": "1.5", "channel": "c", "token": "t", "other": "x"}
    found = hec.lines(b"one\r\n \n\xfftwo \x00\n{}", query)
    told = [orjson.loads(each) for each in found.events]
    assert [each["event"] for each in told] == ["one", "\\xfftwo \x00", "{}"]
    assert all(each.keys() == {"event", "host", "time"} for each in told)
    assert not found.timed
    long = hec.lines(b"a\n" + b"x" * MAX_ENTRY_BYTES + b"\nb", {})
    assert long.bad is not None
    assert (long.bad.number, len(long.events)) == (1, 1)
    for body, wrong, reply in (
        (b"", {}, hec.NO_DATA),
        (b" \n", {}, hec.NO_DATA),
        (b"a", {"time": "x"}, hec.BAD_DATA),
        (b"a", {"host": "x" * 1_025}, hec.BAD_DATA),
    ):
        with pytest.raises(hec.Refused) as refused:
            hec.lines(body, wrong)
        assert refused.value.reply == reply


def test_a_request_has_bounds() -> None:
    """50,000 events or lines, and 10,000,000 bytes of what lines become."""
    assert len(hec.events(b'{"event":1}' * hec.MAX_EVENTS).events) == hec.MAX_EVENTS
    assert len(hec.lines(b"a\n" * hec.MAX_EVENTS, {}).events) == hec.MAX_EVENTS
    calls: list[Callable[[], hec.Found]] = [
        lambda: hec.events(b'{"event":1}' * (hec.MAX_EVENTS + 1)),
        lambda: hec.lines(b"a\n" * (hec.MAX_EVENTS + 1), {}),
        lambda: hec.lines(b"a\n" * 11_000, {"host": "h" * 1_000}),
    ]
    for call in calls:
        with pytest.raises(TooLarge):
            call()


@given(st.binary(min_size=1), st.text(), st.text(), st.integers(-(2**64), 2**64))
def test_an_ack_id_is_of_one_channel(batch: bytes, channel: str, other: str, made_up: int) -> None:
    """What was given out is known without being kept, exactly as JSON carries it; nothing else is."""
    number = hec.ack_id("h", channel, batch)
    assert 0 <= number < 2**53
    assert json.loads(json.dumps(float(number))) == number
    assert hec.issued("h", channel, number)
    assert not hec.issued("h", channel, number ^ 1)
    assert not hec.issued("h", channel, -1 - abs(made_up))
    assert not hec.issued("h", channel, 2**53 + abs(made_up))
    assert hec.ack_id("h", channel, batch) == number


def test_small_numbers_are_no_ack_ids() -> None:
    """Those that a collector which counts from 0 would have given out."""
    known = [each for each in range(10_000) if hec.issued("docker", "c", each)]
    assert len(known) <= 1


@given(st.text(), st.sampled_from(["docker", "1a2b3c4d", "0", "a" * 64]), st.binary(min_size=32, max_size=32))
def test_a_token_leads_to_its_webhook(text: str, hook: str, random: bytes) -> None:
    """Each way of showing it brings id and secret; anything else brings nothing that counts."""
    secret = hec_tokens.new_secret(hook, lambda n: random[:n])
    token = hec_tokens.token(hook, secret)
    basic = base64.b64encode(f"x:{token}".encode()).decode()
    for header in (f"Splunk {token}", f"splunk  {token} ", f"Bearer {token}", f"Basic {basic}"):
        found = hec_tokens.presented(header)
        assert found is not None
        assert (found.hook, found.secret) == (hook, secret)
    hec_tokens.presented(text)
    assert secret not in repr(hec_tokens.parse(token))


def test_a_guid_may_come_in_capitals() -> None:
    """A webhook of 8 hex digits has a GUID; as Splunk does, case does not matter."""
    token = hec_tokens.token("1a2b3c4d", hec_tokens.new_secret("1a2b3c4d", lambda n: b"\xab" * n))
    assert token == "1a2b3c4d-abab-abab-abab-abababababab"
    assert hec_tokens.parse(token.upper()) == hec_tokens.parse(token)
    # A secret of another form, such as one that was chosen, makes another token of the same webhook.
    assert hec_tokens.parse(hec_tokens.token("1a2b3c4d", "chosen")).hook == "1a2b3c4d"


@pytest.mark.parametrize("filler", [b"[],", b"{},", b'{"":1},'])
def test_a_value_of_many_values_is_not_held_in_memory(filler: bytes) -> None:
    """An event as long as a body may be is refused before what it holds is made: its text and a bit."""
    body = b'{"event":[' + filler * (4_900_000 // len(filler)) + b"0]}"
    tracemalloc.start()
    found = hec.events(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.bad is not None
    assert (found.bad.reply.code, found.bad.number) == (6, 0)
    assert peak < 4 * len(body)


@pytest.mark.parametrize("size", [1, 997, 60_000, MAX_ENTRY_BYTES - 20])
@pytest.mark.parametrize("opened", [b"", b"["])
def test_events_are_found_wherever_they_stand(size: int, opened: bytes) -> None:
    """In a body of any length, the last one as the first; blanks between may be many."""
    each = b'{"event":"%s"}' % (b"x" * size)
    count = min(900_000 // len(each) + 2, 5_000)
    between = (b"," if opened else b"") + b" " * 301
    body = opened + between.join([each] * count) + (b"]" if opened else b"")
    found = hec.events(body)
    assert (found.bad, found.events) == (None, [each] * count)
    cut = hec.events(body[: -2 - len(opened)])
    assert cut.bad is not None
    assert (cut.bad.number, len(cut.events)) == (count - 1, count - 1)
