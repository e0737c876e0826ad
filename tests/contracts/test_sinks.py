"""Every sink keeps the sink contract, has its golden and its place in the documentation."""

from __future__ import annotations

import gzip
import os
import re
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel import siem
from sentinel.ports import FileAppend
from sentinel.ports_sinks import ObjectPut, StreamSend
from sentinel.siem.sink import Batch, Item, Notice, Request, SigningIn, Sink, batches

ROOT = Path(__file__).resolve().parents[2]
GOLDENS = ROOT / "tests" / "goldens" / "siem"
DOCS = ROOT / "docs" / "connectors.md"

# RFC 5424, 6: head, structured data with what is escaped in it, and the message with its mark.
SYSLOG = re.compile(
    r"<\d{1,3}>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z [!-~]{1,255} [!-~]{1,48} - (?:alert|entry) "
    r'\[sentinel@32473(?: [a-z]+="(?:[^"\\\]]|\\["\\\]])*")+\] \ufeff[^\x00-\x1f\x7f]*'
)
# One example document a kind; a kind without one fails here.
DOCUMENTS = {
    "crowdstrike": b"sinks: {it: {kind: crowdstrike, token: key, "
    b"url: 'https://abc.ingest.us-1.crowdstrike.com/services/collector'}}",
    "datadog": b"sinks: {it: {kind: datadog, token: key, site: datadoghq.eu, tags: ['env:prod']}}",
    "elastic": b"sinks: {it: {kind: elastic, url: 'https://es.example.com:9200/', token: key}}",
    "file": b"sinks: {it: {kind: file, path: alerts/main.ndjson}}",
    "microsoft_sentinel": b"sinks: {it: {kind: microsoft_sentinel, stream: Custom-SentinelAlerts_CL, "
    b"endpoint: 'https://alerts-x1.westeurope-1.ingest.monitor.azure.com', "
    b"rule: dcr-00000000000000000000000000000001, tenant: 00000000-0000-4000-8000-00000000000a, "
    b"client: 00000000-0000-4000-8000-00000000000b, token: app}}",
    "s3": b"sinks: {it: {kind: s3, bucket: example-findings}}",
    "splunk": b"sinks: {it: {kind: splunk, url: 'https://hec.example.com:8088', token: hec, index: main}}",
    "syslog": b"sinks: {it: {kind: syslog, host: syslog.example.com}}",
}
NOTICE = Notice(
    t=1_732_435_200_123_456_789,
    service="checkout",
    chain="checkout/0",
    seq=41,
    rule="8a1d2c1e-0000-4000-8000-000000000001",
    title='Burst of "5xx" at checkout',
    level="high",
    task="mfrggzdfmztwq2lknnwg23tpoa",
    recipe="tell-splunk",
    key="ab" * 32,
    entry=b'{"msg": "caf\xc3\xa9 \\u0000", "n": 1.79E9, "n": 12345678901234567890123}',
    trace="0af7651916cd43dd8448eb211c80319c",
    span="b7ad6b7169203331",
)
NOTICES = [
    NOTICE,
    replace(NOTICE, seq=42, entry=b"{}"),
    replace(NOTICE, seq=43, entry=b"not JSON \xff"),
    replace(NOTICE, seq=44, t=1_732_435_200_000_000_000, entry=b"", title="", level="", trace="", span=""),
]


def delivered(notice: Notice) -> Notice:
    """Return a notice as a delivery makes it: its id is the entry's hash, no task is behind it."""
    without = {"rule": "", "title": "", "level": "", "task": "", "recipe": "", "key": ""}
    return replace(notice, **without, trace="", span="", hash=f"{notice.seq:064x}")  # type: ignore[arg-type]


def sink(kind: str) -> Sink:
    """Return the sink of a kind's example document."""
    config = siem.load("example", DOCUMENTS[kind])["it"]
    return siem.make(config, "canary-token")


def needs_secret(kind: str) -> bool:
    """Say whether a kind's configuration names a secret."""
    return siem.SINKS[kind].config.model_fields["token"].annotation is str


def batch(it: Sink, notices: list[Notice]) -> Batch:
    """Return all notices as one batch."""
    return next(batches(it, "step-key", [Item(each.id, it.encode(each)) for each in notices]))


def rendered(it: Sink, notices: list[Notice]) -> bytes:
    """Write what a batch sends for people to read: gzip is undone, since its bytes differ between zlibs."""
    found = b""
    if isinstance(it, SigningIn):
        found = shown(it.login()) + b"\n\n"
        it = it.signed_in("canary-bearer")
    return found + shown(it.request(batch(it, notices)))


def shown(request: Request) -> bytes:
    """Write one request for people to read."""
    if isinstance(request, FileAppend):
        return b"APPEND %s\nkey: %s\n\n%s" % (request.path.encode(), request.key.encode(), request.data)
    if isinstance(request, ObjectPut):
        head = f"PUT s3://{request.bucket}/{request.key}\n{request.media}, {request.encoding}\n\n"
        return head.encode() + gzip.decompress(request.data)
    if isinstance(request, StreamSend):
        return f"STREAM {request.host}:{request.port}\ntimeout: {request.timeout}\n\n".encode() + request.data
    body = request.body
    head = f"{request.method} {request.url}\n"
    head += "".join(f"{name}: {value}\n" for name, value in request.headers.items())
    if request.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    return head.encode() + f"timeout: {request.timeout}\n\n".encode() + body


@pytest.mark.parametrize("kind", siem.SINKS)
def test_a_sink_sends_the_bytes_of_its_golden(kind: str) -> None:
    """A sink's request is, byte for byte, its golden: whoever changes the wire sees it in the diff."""
    golden = GOLDENS / f"{kind}.txt"
    found = rendered(sink(kind), NOTICES)
    if os.environ.get("SENTINEL_WRITE_GOLDENS"):
        golden.write_bytes(found)
    assert found == golden.read_bytes()


@pytest.mark.parametrize("kind", siem.SINKS)
def test_a_delivery_sends_the_bytes_of_its_golden(kind: str) -> None:
    """What a delivery sends has a golden: an id that is the entry's hash, and nothing of a task."""
    golden = GOLDENS / f"{kind}.delivery.txt"
    found = rendered(sink(kind), [delivered(each) for each in NOTICES])
    if os.environ.get("SENTINEL_WRITE_GOLDENS"):
        golden.write_bytes(found)
    assert found == golden.read_bytes()
    assert b"%064x" % 41 in found


@pytest.mark.parametrize("kind", siem.SINKS)
def test_a_sink_is_documented(kind: str) -> None:
    """A sink has the heading `## kind` in docs/connectors.md, and all its fields there."""
    text = DOCS.read_text()
    section = text.partition(f"\n## {kind}\n")[2].partition("\n## ")[0]
    assert section
    for name in siem.SINKS[kind].config.model_fields:
        assert f"`{name}`" in section or (name == "token" and not needs_secret(kind)), name


@pytest.mark.parametrize("kind", siem.SINKS)
def test_the_same_events_give_the_same_bytes(kind: str) -> None:
    """What is sent again is recognisable: another sink object gives the same request and the same ids."""
    again = sink(kind)
    assert sink(kind).request(batch(again, NOTICES)) == again.request(batch(again, NOTICES))


@pytest.mark.parametrize("kind", siem.SINKS)
@given(
    entry=st.one_of(st.binary(max_size=60), st.text(max_size=20).map(lambda text: orjson.dumps({"m": text}))),
    t=st.integers(0, 2**62),
    title=st.text(max_size=20),
)
def test_any_entry_becomes_one_line(kind: str, entry: bytes, t: int, title: str) -> None:
    """Whatever an entry holds, its event is one line that has the event's id; JSON, or RFC 5424 in UTF-8."""
    title = title.encode(errors="replace").decode()
    notice = replace(NOTICE, t=t, title=title, entry=entry.replace(b"\n", b" "))
    data = sink(kind).encode(notice)
    if kind == "syslog":
        assert SYSLOG.fullmatch(data.decode())
    else:
        assert isinstance(orjson.loads(data), dict)
    assert notice.id.encode() in data
    assert b"\n" not in data


@pytest.mark.parametrize("kind", siem.SINKS)
def test_batches_stay_within_the_limits_and_lose_nothing(kind: str) -> None:
    """Batches hold all items in order and pass neither the sink's number nor its size; both edges."""
    it = sink(kind)
    small = [Item(str(n), b"x" * 10) for n in range(min(it.max_events, 1000) + 1)]
    found = list(batches(it, "k", small))
    assert [item for each in found for item in each.items] == small
    assert len(found[0].items) == min(it.max_events, len(small))
    assert len({each.key for each in found}) == len(found)
    if it.max_bytes < 10_000_000:
        half = Item("a", b"x" * (it.max_bytes // 2 - 1))
        assert [len(each.items) for each in batches(it, "k", [half, half])] == [2]
        over = Item("b", b"x" * (it.max_bytes // 2))
        assert [len(each.items) for each in batches(it, "k", [half, over])] == [1, 1]


def test_ids_tell_effects_chains_and_entries_apart() -> None:
    """Two events have the same id only if effect key, chain and sequence number are all the same."""
    others = [replace(NOTICE, key="cd" * 32), replace(NOTICE, chain="checkout/1"), replace(NOTICE, seq=40)]
    assert len({each.id for each in [NOTICE, *others]}) == 4
    assert replace(NOTICE, title="renamed", entry=b"{}").id == NOTICE.id


def test_splunk_time_is_never_in_exponent_form() -> None:
    """`time` is plain decimal seconds with milliseconds, cut and not rounded."""
    it = sink("splunk")
    for t, text in [
        (0, b"0.000"),
        (999_999, b"0.000"),
        (1_790_000_000_000_000_000, b"1790000000.000"),
        (1_732_435_200_999_999_999, b"1732435200.999"),
        (2**63 - 1, b"9223372036.854"),
    ]:
        assert it.encode(replace(NOTICE, t=t)).startswith(b'{"time":' + text + b",")


def test_splunk_fields_are_flat_strings_and_events_never_blank() -> None:
    """HEC answers a nested indexed field with code 15 and a blank event with code 13."""
    it = sink("splunk")
    for entry in (b"{}", b"", b"  ", b'""', b"null", b"[]"):
        told = orjson.loads(it.encode(replace(NOTICE, entry=entry)))
        assert told["event"]
        assert all(isinstance(value, str) and value for value in told["fields"].values())


def test_an_entry_is_not_told_where_only_its_place_is() -> None:
    """With an empty `entry` nothing of its content is in the request."""
    for kind in siem.SINKS:
        assert b"caf" not in rendered(sink(kind), [replace(NOTICE, entry=b"")])


def test_no_repr_shows_a_token_or_an_entry() -> None:
    """Requests, items and notices may end in a traceback: their repr has neither tokens nor entries."""
    for kind in siem.SINKS:
        it = sink(kind)
        shown = repr([NOTICES, batch(it, NOTICES), it.request(batch(it, NOTICES))])
        assert "canary" not in shown
        assert "caf" not in shown
