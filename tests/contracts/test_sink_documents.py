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


def test_plain_http_is_for_this_machine_only() -> None:
    """A collector on a loopback address may be reached without TLS, so that examples run."""
    body = b"sinks: {a: {kind: splunk, url: 'http://127.0.0.1:8088', token: t}}"
    assert siem.load("x", body)["a"].kind == "splunk"
