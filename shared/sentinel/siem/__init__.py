"""The SIEMs that Sentinel can tell: one file a sink, this registry, and the loader of sink documents.

To add one: a file beside this one with a configuration and a sink, one line in `SINKS`, and its golden below
`tests/goldens/siem/`; `docs/connectors.md` shows all three.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sentinel.core import named
from sentinel.siem.crowdstrike import CrowdstrikeConfig, CrowdstrikeSink
from sentinel.siem.datadog import DatadogConfig, DatadogSink
from sentinel.siem.elastic import ElasticConfig, ElasticSink
from sentinel.siem.file import FileConfig, FileSink
from sentinel.siem.microsoft_sentinel import MicrosoftSentinelConfig, MicrosoftSentinelSink
from sentinel.siem.s3 import S3Config, S3Sink
from sentinel.siem.sink import Sink, SinkConfig
from sentinel.siem.splunk import SplunkConfig, splunk_sink
from sentinel.siem.syslog import SyslogConfig, SyslogSink

__all__ = ["SINKS", "Kind", "Sink", "SinkConfig", "load", "make"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of sink: the model of its configuration, and what makes a sink of it and its secret."""

    config: type[SinkConfig]
    sink: Callable[[Any, str], Sink]


SINKS: Mapping[str, Kind] = {
    "crowdstrike": Kind(CrowdstrikeConfig, CrowdstrikeSink),
    "datadog": Kind(DatadogConfig, DatadogSink),
    "elastic": Kind(ElasticConfig, ElasticSink),
    "file": Kind(FileConfig, FileSink),
    "microsoft_sentinel": Kind(MicrosoftSentinelConfig, MicrosoftSentinelSink),
    "s3": Kind(S3Config, S3Sink),
    "splunk": Kind(SplunkConfig, splunk_sink),
    "syslog": Kind(SyslogConfig, SyslogSink),
}


def make(config: SinkConfig, secret: str = "") -> Sink:
    """Return the sink of a configuration. `secret` is the value that `config.token` names."""
    return SINKS[config.kind].sink(config, secret)


def load(name: str, body: bytes) -> dict[str, SinkConfig]:
    """Parse a sink document, `sinks: {NAME: {kind: ..., ...}}`; see `core.named.load`."""
    return named.load(name, body, "sinks", "a sink", {kind: each.config for kind, each in SINKS.items()})
