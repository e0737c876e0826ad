"""Entries as JSON bytes: by orjson where it is there, else by the C part of the standard library.

Both write UTF-8 without spaces and raise for lone surrogates. For NaN and infinities one raises, and the
other writes null: the caller looks for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Encode = Callable[[dict[str, Any]], bytes]


def standard() -> Encode:
    """Return an encoder of the standard library. It raises `ValueError` or `TypeError`."""
    import json

    encoder = json.JSONEncoder(
        ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
    )
    write = getattr(json.encoder, "c_make_encoder", None)
    if write is None:
        return lambda entry: encoder.encode(entry).encode()
    # What JSONEncoder makes anew for each value is made once: it has no state without a check for cycles.
    prepared = write(
        None, encoder.default, json.encoder.encode_basestring, None, ":", ",", False, False, False
    )
    return lambda entry: "".join(prepared(entry, 0)).encode()


def fastest() -> Encode:
    """Return orjson's encoder where it is installed, else the standard library's."""
    try:
        import orjson
    except ImportError:
        return standard()
    dumps: Encode = orjson.dumps
    return dumps
