"""The SIEMs that Sentinel can tell: one file a sink, this registry, and the loader of sink documents.

To add one: a file beside this one with a configuration and a sink, one line in `SINKS`, and its golden below
`tests/goldens/siem/`; `docs/connectors.md` shows all three.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sentinel.core.recipes import Name, explain, load_yaml
from sentinel.errors import Malformed
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

_NAMES: TypeAdapter[str] = TypeAdapter(Name)


def make(config: SinkConfig, secret: str = "") -> Sink:
    """Return the sink of a configuration. `secret` is the value that `config.token` names."""
    return SINKS[config.kind].sink(config, secret)


def load(name: str, body: bytes) -> dict[str, SinkConfig]:
    """Parse a sink document, `sinks: {NAME: {kind: ..., ...}}`. `name` is for messages.

    Raises `Malformed` that says what to change and never quotes a value.
    """
    found = load_yaml(name, body)
    named = found.get("sinks") if isinstance(found, dict) and set(found) == {"sinks"} else None
    if not isinstance(named, dict) or not named:
        raise Malformed(
            f"{name}: a sink document is a mapping with sinks: {{NAME: {{kind: ..., ...}}}} and nothing "
            "else; accounts and deliveries have files of their own"
        )
    return {str(sink): _config(f"{name}: sinks.{sink}", str(sink), each) for sink, each in named.items()}


def _config(where: str, sink: str, body: object) -> SinkConfig:
    if not isinstance(body, dict):
        raise Malformed(f"{where}: a sink is a mapping with kind and what its kind needs")
    kind = SINKS.get(body["kind"]) if isinstance(body.get("kind"), str) else None
    if kind is None:
        raise Malformed(f"{where}: kind is one of {', '.join(sorted(SINKS))}")
    try:
        _NAMES.validate_python(sink)
        return kind.config.model_validate(body)
    except ValidationError as error:
        raise Malformed(f"{where}: {explain(error)}") from None
