"""What `siem.send` would send to a sink, told without sending it and without reading a secret."""

from __future__ import annotations

import gzip
from collections.abc import Sequence

from sentinel import siem
from sentinel.errors import Malformed
from sentinel.ports import FileAppend, HttpRequest
from sentinel.siem.sink import Item, Notice, SinkConfig, batches


def planned(name: str, config: SinkConfig | None, notices: Sequence[Notice], key: str) -> dict[str, object]:
    """Return a sink's requests as JSON. Raises `Malformed` where there is none, or nothing to tell."""
    if config is None:
        raise Malformed(f"there is no sink {name!r}; push a sink document that has it")
    if not notices:
        raise Malformed("there is no entry to tell of")
    sink = siem.make(config, f"<secret {config.token}>" if config.token else "")
    items = [Item(notice.id, sink.encode(notice)) for notice in notices]
    return {
        "sink": name,
        "kind": config.kind,
        "events": len(items),
        "requests": [_told(sink.request(batch)) for batch in batches(sink, key, items)],
    }


def _told(request: HttpRequest | FileAppend) -> dict[str, object]:
    if isinstance(request, FileAppend):
        return {"file": request.path, "bytes": len(request.data), "lines": _text(request.data)}
    packed = any(
        name.lower() == "content-encoding" and value == "gzip" for name, value in request.headers.items()
    )
    body = gzip.decompress(request.body) if packed else request.body
    return {
        "method": request.method,
        "url": request.url,
        "headers": dict(request.headers),
        "bytes": len(body),  # unpacked: how small it gets differs between versions of zlib
        "body": _text(body),
    }


def _text(body: bytes) -> str:
    return body.decode(errors="replace")
