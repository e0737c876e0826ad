"""Sink documents are refused in words that say what to change."""

from __future__ import annotations

import pytest

from sentinel import siem
from sentinel.errors import Malformed
from sentinel.siem.file import FileConfig
from sentinel.siem.splunk import SplunkConfig

GUID = "b7f7a1c2-2d9f-4a52-9f0a-0c4b2c1d3e4f"


def test_a_document_gives_configurations_by_name() -> None:
    """A good document gives each sink's configuration, with the collector's path where none is written."""
    found = siem.load(
        "sinks.yaml",
        b"sinks:\n  splunk-prod: {kind: splunk, url: 'https://hec.example.com:8088/', token: prod-token}\n"
        b"  local-file: {kind: file, path: alerts.ndjson}\n",
    )
    splunk, file = found["splunk-prod"], found["local-file"]
    assert isinstance(splunk, SplunkConfig)
    assert splunk.url == "https://hec.example.com:8088/services/collector/event"
    assert splunk.token == "prod-token"
    assert isinstance(file, FileConfig)
    assert (file.path, file.token) == ("alerts.ndjson", "")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("[]", "a sink document is a mapping with sinks"),
        ("sinks: {}", "a sink document is a mapping with sinks"),
        ("sinks: {a: {kind: file, path: x}}\nmore: 1", "a sink document is a mapping with sinks"),
        ("sinks: {a: 1}", "sinks.a: a sink is a mapping"),
        ("sinks: {a: {path: x}}", "sinks.a: kind is one of crowdstrike, datadog, elastic, file, "),
        ("sinks: {a: {kind: [splunk]}}", "sinks.a: kind is one of crowdstrike, datadog, elastic, file, "),
        ("sinks: {a: {kind: acme}}", "sinks.a: kind is one of crowdstrike, datadog, elastic, file, "),
        ("sinks: {-a: {kind: file, path: x}}", "a name is 1 to 100 letters"),
        ("sinks: {a: {kind: file}}", "sinks.a: path: Field required"),
        ("sinks: {a: {kind: file, path: x, colour: red}}", "sinks.a: colour: Extra inputs"),
        ("sinks: {a: {kind: file, path: /etc/x}}", "stays below"),
        ("sinks: {a: {kind: file, path: ../x}}", "stays below"),
        ("sinks: {a: {kind: file, path: a/../../x}}", "stays below"),
        ("sinks: {a: {kind: file, path: a//x}}", "stays below"),
        ("sinks: {a: {kind: file, path: ''}}", "stays below"),
        ('sinks: {a: {kind: file, path: "a\\0b"}}', "printable"),
        ("sinks: {a: {kind: splunk, url: 'https://h'}}", "sinks.a: token: Field required"),
        (
            "sinks: {a: {kind: splunk, url: 'ftp://h', token: t}}",
            "sinks.a: url: the URL begins with https://",
        ),
        ("sinks: {a: {kind: splunk, url: 'http://h', token: t}}", "since the token travels"),
        ("sinks: {a: {kind: splunk, url: 'https://u:p@h', token: t}}", "holds a user or a password"),
        ("sinks: {a: {kind: splunk, url: 'https://h/x?token=1', token: t}}", "no query"),
        ("sinks: {a: {kind: splunk, url: 'https://h:99999', token: t}}", "cannot be read"),
        ("sinks: {a: {kind: splunk, url: 'https://', token: t}}", "names a host"),
        ('sinks: {a: {kind: splunk, url: "https://h\\r\\nX: y", token: t}}', "blanks, line breaks"),
        (f"sinks: {{a: {{kind: splunk, url: 'https://h', token: {GUID}}}}}", "looks like a token"),
        (f"sinks: {{a: {{kind: splunk, url: 'https://h', token: {GUID.upper()}}}}}", "looks like a token"),
        ("sinks: {a: {kind: splunk, url: 'https://h', token: Splunk x}}", "a name is 1 to 100 letters"),
    ],
)
def test_a_bad_document_is_refused_with_the_place_and_the_reason(body: str, words: str) -> None:
    """A refusal names the file, the sink and what to change, and never quotes a value."""
    with pytest.raises(Malformed) as refused:
        siem.load("sinks.yaml", body.encode())
    assert words in str(refused.value)
    assert str(refused.value).startswith("sinks.yaml: ")
    assert GUID.lower() not in str(refused.value).lower()


MS = "endpoint: 'https://h', rule: dcr-00000000000000000000000000000001, stream: Custom-A_CL, token: t"
IDS = "tenant: 00000000-0000-4000-8000-00000000000a, client: 00000000-0000-4000-8000-00000000000b"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("kind: elastic, url: 'https://h'", "token: Field required"),
        ("kind: elastic, url: 'http://h', token: t", "since the token travels"),
        ("kind: elastic, url: 'https://h?pretty', token: t", "no query"),
        ("kind: elastic, url: 'https://h', token: t, index: 'logs-*'", "no pattern"),
        ("kind: elastic, url: 'https://h', token: t, index: ../_cluster", "no pattern"),
        ("kind: elastic, url: 'https://h', token: t, index: a/_doc", "no pattern"),
        ("kind: elastic, url: 'https://h', token: t, auth: none", "auth: "),
        ("kind: crowdstrike, url: 'http://h', token: t", "since the token travels"),
        ("kind: datadog, token: t, site: example.com", "a site is one of"),
        ("kind: datadog, token: t, tags: ['a,b']", "tags.0: "),
        ("kind: datadog, token: t, url: 'http://h'", "since the token travels"),
        (f"kind: microsoft_sentinel, {MS}", "tenant: Field required"),
        (f"kind: microsoft_sentinel, {MS}, {IDS}, audience: 'http://h'", "audience: "),
        (f"kind: microsoft_sentinel, {MS}, {IDS}, authority: 'http://h'", "since the token travels"),
        (f"kind: microsoft_sentinel, {MS.replace('dcr-', 'x-')}, {IDS}", "rule: "),
        (f"kind: microsoft_sentinel, {MS.replace('Custom-A', 'A/B')}, {IDS}", "stream: "),
        ("kind: s3, bucket: A_B", "a bucket is 3 to 63"),
        ("kind: s3, bucket: 10.0.0.1", "a bucket is 3 to 63"),
        ("kind: s3, bucket: example-findings, prefix: a/../b", "a prefix is folders"),
        ("kind: s3, bucket: example-findings, prefix: /a", "a prefix is folders"),
        ("kind: s3, bucket: example-findings, prefix: 'a/*'", "a prefix is folders"),
        ("kind: s3, bucket: example-findings, token: t", "token: "),
        ("kind: syslog, host: h, facility: kern", "a facility is one of"),
        ("kind: syslog, host: 'h h'", "host: "),
        ("kind: syslog, host: h, port: 0", "port: "),
        ("kind: syslog, host: h, data: 'x]@1'", "data: "),
        ("kind: syslog, host: h, app: 'a b'", "app: "),
        ("kind: syslog, host: h, max_message: 100", "max_message: "),
    ],
)
def test_a_bad_sink_of_each_kind_is_refused(body: str, words: str) -> None:
    """What would lead elsewhere than to its target, or cannot work, is refused when it is pushed."""
    with pytest.raises(Malformed) as refused:
        siem.load("sinks.yaml", f"sinks: {{a: {{{body}}}}}".encode())
    assert words in str(refused.value)
    assert str(refused.value).startswith("sinks.yaml: sinks.a: ")


def test_plain_http_is_for_this_machine_only() -> None:
    """A collector on a loopback address may be reached without TLS, so that examples run."""
    body = b"sinks: {a: {kind: splunk, url: 'http://127.0.0.1:8088', token: t}}"
    assert siem.load("x", body)["a"].kind == "splunk"
