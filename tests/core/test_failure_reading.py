"""Failures are read from what the ledger holds, whoever told it, and nothing that is written breaks that."""

from __future__ import annotations

import base64
import json
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.core.failure_parts import MAX_CALLS, MAX_TEXT, MAX_VALUE, MAX_VALUES
from sentinel.core.failure_reading import MAX_SAID, failure_of
from sentinel.core.failures import Call, Failure
from sentinel.core.prompt_parts import BREADCRUMB, ENTRY, TAG, Said
from sentinel.core.stack_texts import exceptions
from sentinel.core.steps import Matched
from tests.data import need

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
GOLDENS = Path(__file__).resolve().parents[1] / "goldens" / "webhooks" / "sentry.json"
EVENT: dict[str, Any] = {
    "event_id": "a" * 32,
    "release": "shop@1.4.2",
    "contexts": {"trace": {"trace_id": TRACE}},
    "tags": [["environment", "production"], {"key": "sentry:user", "value": "id:7"}],
    "breadcrumbs": {"values": [{"category": "query", "message": "SELECT 1"}, {"type": "ui"}]},
    "exception": {
        "values": [
            {"type": "KeyError", "value": "'price'"},
            {
                "type": "ValueError",
                "value": "no price",
                "stacktrace": {
                    "frames": [
                        {
                            "filename": "shop/api.py",
                            "abs_path": "/srv/app/src/shop/api.py",
                            "function": "post",
                            "lineno": 9,
                            "in_app": True,
                        },
                        {
                            "filename": "shop/cart.py",
                            "abs_path": "/srv/app/src/shop/cart.py",
                            "function": "total",
                            "lineno": 3,
                            "in_app": True,
                            "vars": {
                                "cart": [{"sku": "'a'", "n": "1"}],
                                "left": None,
                                "tax": "0.19",
                                "no name": "x",
                            },
                        },
                        {
                            "filename": "decimal.py",
                            "abs_path": "/usr/lib/python3.11/decimal.py",
                            "function": "__new__",
                            "lineno": 5,
                            "in_app": False,
                        },
                    ]
                },
            },
        ]
    },
}
NODE = """RangeError: no total
of cart
    at Cart.total (/srv/app/src/cart.js:12:9)
    at async load (file:///srv/app/src/index.mjs:3:4)
    at node:internal/main/run_main_module:33:47 {
  [cause]: TypeError: Cannot read properties of undefined (reading 'price')
      at /srv/app/src/price.js:1:40
      ... 5 lines matching cause stack trace ...
}
"""
JAVA = """Exception in thread "main" java.lang.IllegalStateException: no total
\tat com.acme.Cart.main(Cart.java:3)
Caused by: java.lang.NullPointerException: price
\tat com.acme.Cart$Inner.total(Cart.java:2)
\tat java.base/java.lang.reflect.Method.invoke(Method.java:569)
\t... 1 more
"""
GO = """panic: runtime error: index out of range [5] with length 3

goroutine 1 [running]:
github.com/acme/shop/cart.(*Cart).Total(0xc000012345, {0x1, 0x2})
\t/srv/app/cart/cart.go:12 +0x1d
main.main()
\t/srv/app/main.go:7 +0x20
exit status 2
"""


def hook(body: str, parts: int = 1, **more: object) -> list[bytes]:
    """Return the entries of a webhook's message, as `webhooks.source.stored` writes them."""
    size = -(-len(body) // parts)
    told = {"source": "sentry", "hook": "errors", "id": "m1", **more}
    if parts == 1:
        return [orjson.dumps({"webhook": told, "body": body})]
    return [
        orjson.dumps(
            {"webhook": {**told, "part": n, "parts": parts}, "body": body[n * size : (n + 1) * size]}
        )
        for n in range(parts)
    ]


def dumped(value: object) -> bytes:
    """Return JSON."""
    return json.dumps(value).encode()


def places(failure: Failure) -> list[tuple[str, str, int]]:
    """Return where calls are."""
    return [(each.file, each.function, each.line) for each in failure.calls]


def raised(chained: bool = True) -> str:
    """Fail for real and return what CPython prints."""
    try:
        try:
            json.loads("{}")["price"]
        except KeyError as error:
            raise ValueError("no price\nof 3") from (error if chained else None)
    except ValueError:
        return traceback.format_exc()
    raise AssertionError


def test_an_event_is_read_whole() -> None:
    """The last exception thrown is the failure; its calls come innermost first, own before others."""
    failure = failure_of([dumped(EVENT)])
    assert (failure.exception, failure.message, failure.release) == ("ValueError", "no price", "shop@1.4.2")
    assert failure.traces == (TRACE,)
    assert places(failure) == [
        ("/srv/app/src/shop/cart.py", "total", 3),
        ("/srv/app/src/shop/api.py", "post", 9),
        ("/usr/lib/python3.11/decimal.py", "__new__", 5),
    ]
    assert failure.calls[0].values == {"cart": "[{'sku': 'a', 'n': 1}]", "left": "None", "tax": "0.19"}
    assert failure.said == (
        Said(ENTRY, "KeyError: 'price'"),
        Said(BREADCRUMB, "query SELECT 1"),
        Said(BREADCRUMB, "ui"),
        Said(TAG, "environment production"),
        Said(TAG, "user id:7"),
    )


@pytest.mark.parametrize("place", ["event", "error"])
@pytest.mark.parametrize("parts", [1, 7])
def test_a_webhook_holds_the_same_event(place: str, parts: int) -> None:
    """In one entry or in several, in any order, the message tells what the event does."""
    entries = hook(json.dumps({"action": "triggered", "data": {place: EVENT}}), parts)
    assert failure_of(entries[::-1]) == failure_of([dumped(EVENT)])
    assert failure_of([Matched("s/0", 1, 2, each) for each in entries]) == failure_of([dumped(EVENT)])


def test_a_body_may_be_base64() -> None:
    """What is no plain text is decoded; what is no base64 tells nothing."""
    body = base64.b64encode(dumped(EVENT)).decode()
    assert failure_of(hook(body, encoding="base64")).exception == "ValueError"
    assert failure_of(hook("?", encoding="base64")) == Failure()


def test_each_message_of_sentry_tells_what_it_has() -> None:
    """Of every golden that tells an alert at least a message; events and issues their exception, too."""
    for name, case in json.loads(GOLDENS.read_text()).items():
        failure = failure_of(hook(json.dumps(case["body"])))
        if case.get("alerts"):
            assert failure.message, name
        if name.startswith(("event", "error", "issue")):
            assert failure.exception == "KeyError", name
    issue = failure_of(hook(json.dumps(json.loads(GOLDENS.read_text())["issue created"]["body"])))
    assert places(issue) == [("shop/cart.py", "", 0)]


def test_the_alert_alone_tells_type_and_file() -> None:
    """A rule that finds an alert has this entry; the event says more, and then that counts."""
    alert = {
        "title": "KeyError: 'total'",
        "description": "'total'",
        "labels": {"error": "KeyError", "file": "a/b.py"},
    }
    entry = dumped(
        {"webhook": {"source": "sentry", "hook": "errors", "id": "m1", "alert": 0}, "alert": alert}
    )
    failure = failure_of([entry])
    assert (failure.exception, failure.message, places(failure)) == (
        "KeyError",
        "'total'",
        [("a/b.py", "", 0)],
    )
    assert failure_of([entry, *hook(json.dumps({"data": {"event": EVENT}}))]).exception == "ValueError"


def test_a_group_is_told_by_what_it_holds() -> None:
    """An exception group says only that there was something: the exception in it is the failure."""
    values = [{"type": "KeyError", "value": "1"}, {"type": "ExceptionGroup", "value": "g (1 sub-exception)"}]
    assert failure_of([dumped({"exception": {"values": values}})]).exception == "KeyError"
    errors: list[Exception] = []
    for text in ('"x"', '{"n": 1}'):
        try:
            int({**json.loads(text)}["k"]) if "{" in text else int(json.loads(text))
        except (ValueError, KeyError) as error:
            errors.append(error)
    with pytest.raises(ExceptionGroup) as caught:
        raise ExceptionGroup("g", errors)
    found = exceptions("".join(traceback.format_exception(caught.value)))
    assert [each.exception for each in found] == ["ValueError", "KeyError", "ExceptionGroup"]
    assert [len(each.calls) for each in found] == [1, 1, 1]


def test_a_traceback_of_python_is_read() -> None:
    """Of chained exceptions the last is the failure, and the first led to it."""
    failure = failure_of([raised().encode()])
    assert (failure.exception, failure.message) == ("ValueError", "no price\nof 3")
    assert failure.calls[0].function == "raised"
    assert failure.said[0].text == "KeyError: 'price'"
    assert len(failure.calls) == 2
    assert failure_of([raised(chained=False).encode()]).exception == "ValueError"


@pytest.mark.parametrize(
    ("told", "exception", "message", "first", "count"),
    [
        (NODE, "RangeError", "no total", ("/srv/app/src/cart.js", "total", 12), 4),
        (JAVA, "java.lang.IllegalStateException", "no total", ("com/acme/Cart.java", "main", 3), 3),
        (
            GO,
            "panic",
            "runtime error: index out of range [5] with length 3",
            ("/srv/app/cart/cart.go", "Total", 12),
            2,
        ),
    ],
    ids=["node", "java", "go"],
)
def test_traces_of_other_languages_are_read(
    told: str, exception: str, message: str, first: tuple[str, str, int], count: int
) -> None:
    """As they are printed, alone or in the message of a log."""
    for entry in (told.encode(), dumped({"level": "error", "message": told})):
        failure = failure_of([entry])
        assert (failure.exception, failure.message) == (exception, message)
        assert places(failure)[0] == first
        assert len(failure.calls) == count


STACK = 'Traceback (most recent call last):\n  File "/srv/app/src/cart.py", line 3, in total\nKeyError: 1\n'
OTLP = {
    "message": "request failed",
    "trace_id": TRACE,
    "attributes": {"exception.type": "KeyError", "exception.message": "1", "exception.stacktrace": STACK},
    "resource": {"service.name": "checkout", "service.version": "1.4.2"},
}


@pytest.mark.parametrize(
    "entry",
    [
        OTLP,
        {
            "message": "failed",
            "exception": {"type": "KeyError", "message": "1", "stack": STACK.split("\n", 1)[1]},
        },
        {"message": "failed", "error": {"kind": "KeyError", "message": "1", "stack": STACK}},
        {"message": "failed", "error.kind": "KeyError", "error.message": "1", "error.stack": STACK},
        {"log": "failed", "error": {"type": "KeyError", "message": "1", "stack_trace": STACK}},
        {"errorType": "KeyError", "errorMessage": "1", "stackTrace": STACK.split("\n")[1:2]},
        {"message": "failed", "exception": STACK, "exception_name": "KeyError"},
        {"event": "failed", "exc_info": STACK},
        {"message": f"request failed\n{STACK}"},
        {
            "event": "failed",
            "exception": [
                {
                    "exc_type": "KeyError",
                    "exc_value": "1",
                    "frames": [
                        {
                            "filename": "/srv/app/src/cart.py",
                            "lineno": 3,
                            "name": "total",
                            "locals": {"n": "1"},
                        }
                    ],
                }
            ],
        },
    ],
    ids=[
        "otlp",
        "example",
        "datadog",
        "datadog-flat",
        "ecs",
        "lambda",
        "powertools",
        "exc_info",
        "message",
        "structlog",
    ],
)
def test_logs_of_many_forms_tell_the_same(entry: dict[str, object]) -> None:
    """Type, message and calls are found under the names that each form has for them."""
    failure = failure_of([dumped(entry)])
    assert (failure.exception, failure.message) == ("KeyError", "1")
    assert places(failure) == [("/srv/app/src/cart.py", "total", 3)]


def test_trace_and_release_are_told() -> None:
    """By OTLP's names, by a W3C header, and of whichever entry has them."""
    failure = failure_of([b"plain", dumped(OTLP), dumped({"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"})])
    assert failure.traces == (TRACE, "ab" * 16)
    assert failure.release == "1.4.2"


def test_related_entries_are_only_said() -> None:
    """What belongs to a failure does not become the failure."""
    failure = failure_of([b"plain"], [dumped(OTLP)])
    assert failure.exception == ""
    assert failure.said == (Said(ENTRY, "plain"), Said(ENTRY, "request failed"))


def test_a_deep_recursion_leaves_room_for_where_it_came_from() -> None:
    """The same place counts once, and own calls come before others, however many these are."""
    frames = [{"filename": "a.py", "lineno": 1, "function": "start"}]
    frames += [
        {"filename": "a.py", "lineno": 5, "function": "again", "vars": {"n": str(n)}} for n in range(900)
    ]
    frames += [{"filename": f"/x/site-packages/{n}.py", "lineno": 1, "function": "f"} for n in range(900)]
    failure = failure_of(
        [dumped({"exception": {"values": [{"type": "R", "stacktrace": {"frames": frames}}]}})]
    )
    assert places(failure)[:2] == [("a.py", "again", 5), ("a.py", "start", 1)]
    assert failure.calls[0].values == {"n": "899"}
    assert len(failure.calls) == MAX_CALLS


def test_a_cut_value_reads_as_no_other() -> None:
    """A number of more digits than are kept is none afterwards, and lists that are cut say so."""
    values = {"n": "7" * 5_000, "l": ["1"] * 51, "d": {"a": {"b": {"c": {"d": {"e": {"f": {"g": "1"}}}}}}}}
    frame = {"filename": "a.py", "lineno": 1, "function": "f", "vars": values}
    told = (
        failure_of([dumped({"exception": [{"type": "E", "stacktrace": {"frames": [frame]}}]})])
        .calls[0]
        .values
    )
    assert told["n"] == "7" * MAX_VALUE + "…"
    assert told["l"].endswith(", …]")
    assert "…" in told["d"]


def bounded(failure: Failure) -> None:
    """Check the bounds of any failure."""
    assert len(failure.calls) <= MAX_CALLS
    assert len(failure.said) <= MAX_SAID
    assert len(failure.message) <= MAX_TEXT
    assert all(len(each.text) <= MAX_TEXT for each in failure.said)
    for call in failure.calls:
        assert isinstance(call, Call)
        assert 0 <= call.line < 10_000_000
        assert len(call.values) <= MAX_VALUES
        assert all(len(each) <= MAX_VALUE + 1 for each in call.values.values())


NAMES = st.sampled_from(
    [
        *(
            "exception",
            "values",
            "stacktrace",
            "frames",
            "vars",
            "lineno",
            "filename",
            "function",
            "type",
            "data",
        ),
        *("event", "issue", "metadata", "webhook", "body", "alert", "labels", "tags", "breadcrumbs", "error"),
        *("stack", "message", "attributes", "trace_id", "part", "encoding", "entries", "in_app", "exc_type"),
    ]
)
TEXTS = st.one_of(st.text(max_size=30), st.sampled_from([STACK, NODE, JAVA, GO, "base64", TRACE, "9" * 400]))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.floats(allow_nan=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=5)),
    max_leaves=25,
)


@settings(max_examples=100)
@given(st.lists(st.one_of(VALUES.map(dumped), st.binary(max_size=60), TEXTS.map(str.encode)), max_size=4))
def test_nothing_that_is_written_breaks_it(entries: Sequence[bytes]) -> None:
    """Any JSON with the names that are looked for, any bytes, any piece of a trace: an answer, in bounds."""
    bounded(failure_of(entries, entries))


LINES = st.sampled_from([line for told in (STACK, NODE, JAVA, GO) for line in told.split("\n")])


@given(st.lists(st.one_of(LINES, st.text(max_size=20)), max_size=30))
def test_any_lines_of_traces_are_read(lines: Sequence[str]) -> None:
    """Traces that are cut, mixed or repeated."""
    bounded(failure_of(["\n".join(lines).encode()]))


@pytest.mark.parametrize(
    "entry",
    [
        b'{"exception":' * 5_000,
        b'{"exception":{"values":' + b"[" * 500 + b"]" * 500 + b"}}",
        dumped({"exception": {"values": [{"type": "E", "stacktrace": {"frames": [None, 7, [], {}]}}]}}),
        b'  File "' * 20_000,
        b"    at " + b"(" * 60_000,
        b"    at a (" + b"x:" * 30_000 + b")\n" * 100,
        b"goroutine 1 [running]:\n" + b"\t/a.go:1\n" * 20_000,
        b"panic: " * 10_000,
        ("Caused by: " * 6_000).encode(),
        b"\xff\xfe\x00" * 1_000,
    ],
    ids=lambda each: each[:20].decode(errors="replace"),
)
def test_hostile_entries_are_read_quickly(entry: bytes) -> None:
    """Depth, repetition and junk up to an entry's size; a quadratic pattern would not end here."""
    bounded(failure_of([entry] * 5))


def test_the_hostile_corpora_are_read() -> None:
    """JSON that tries parsers, and strings that break programs."""
    files = [
        each for each in need("badinput").rglob("*") if each.is_file() and each.stat().st_size < 1_000_000
    ]
    for each in files:
        data = each.read_bytes()
        bounded(
            failure_of([data, dumped({"message": data.decode(errors="replace"), "error": {"stack": "x"}})])
        )
