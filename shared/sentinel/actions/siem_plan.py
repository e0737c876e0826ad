"""What `siem.send` would send to a sink, told without sending it and without reading a secret."""

from __future__ import annotations

from collections.abc import Sequence

from sentinel import siem
from sentinel.actions.siem_carry import told
from sentinel.errors import Malformed
from sentinel.siem.sink import Item, Notice, SigningIn, SinkConfig, batches


def planned(name: str, config: SinkConfig | None, notices: Sequence[Notice], key: str) -> dict[str, object]:
    """Return a sink's requests as JSON. Raises `Malformed` where there is none, or nothing to tell."""
    if config is None:
        raise Malformed(f"there is no sink {name!r}; push a sink document that has it")
    if not notices:
        raise Malformed("there is no entry to tell of")
    sink = siem.make(config, f"<secret {config.token}>" if config.token else "")
    first = []
    if isinstance(sink, SigningIn):
        first = [told(sink.login())]
        sink = sink.signed_in(f"<token of {config.token}>")
    items = [Item(notice.id, sink.encode(notice)) for notice in notices]
    return {
        "sink": name,
        "kind": config.kind,
        "events": len(items),
        "requests": first + [told(sink.request(batch)) for batch in batches(sink, key, items)],
    }
