"""How stored bytes are told in JSON: as text where they are UTF-8, else in base64."""

from __future__ import annotations

import base64


def plain(raw: bytes) -> object:
    """Return bytes as a JSON value: text, or `{"b64": ...}` where they are not UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(raw).decode()}
