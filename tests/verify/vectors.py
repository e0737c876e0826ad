"""The vectors of bundles, for verifiers in any language: `python -m tests.verify.vectors` writes them.

`index.json` has the keys and two lists. `other_key` is one of another log: with it alone the kind is `key`,
in line 1; no verifier takes one of `bad_keys`. `good` names the files that verify, each with what is told of
it. `bad` has what must be refused: a bundle is made of `lines`, where a number is a line of the file `base`,
counted from 0, and a text is a line in base64, its end included; `kind`, `entry` and `line` (counted from 1)
are the verdict.
"""

from __future__ import annotations

import io
import json
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import sentinel_verify
from sentinel.core.notes import ED25519, Key
from tests.verify import broken
from tests.verify.world import ROOT, SIGNER, VKEY, WITNESS_KEY

FOLDER = ROOT / "clients" / "vectors" / "bundle-v1"
OTHER = Key("other.example", ED25519, SIGNER.public_key())  # a good key of another log: kind `key`, at once
LARGE = 20_000  # bytes of a bundle that is no vector: what it is about is told by its size


def verdict(bundle: bytes, key: str = VKEY) -> dict[str, Any]:
    """Return what the Python verifier says of a bundle, in the form of the index."""
    keys, witnesses = ([sentinel_verify.Key.read(each)] for each in (key, WITNESS_KEY.vkey))
    try:
        found = sentinel_verify.verify(io.BytesIO(bundle), keys, witnesses, 1)
    except sentinel_verify.Refused as refused:
        return {"kind": refused.kind, "entry": refused.entry, "line": refused.line}
    told: dict[str, Any] = sentinel_verify.result(found, found.seconds)
    return told


def made() -> dict[str, bytes]:
    """Return the files, by name."""
    good = broken.good()
    files = {f"{name}.ndjson": raw for name, raw in good.items()}
    bad = [_case(name, raw) for name, (raw, _) in broken.bad().items() if len(raw) < LARGE]
    index = {
        "key": VKEY,
        "witness": WITNESS_KEY.vkey,
        "quorum": 1,
        "other_key": OTHER.vkey,
        "bad_keys": broken.KEYS_BAD,
        "good": [{"file": f"{name}.ndjson", **verdict(raw)} for name, raw in good.items()],
        "bad": bad,
    }
    lines = json.dumps(index, indent=1)
    # One case a line, or the file would be ten times as long.
    for case in bad:
        lines = lines.replace(json.dumps(case, indent=1).replace("\n", "\n  "), json.dumps(case))
    return {**files, "index.json": lines.encode() + b"\n"}


def _case(name: str, raw: bytes) -> dict[str, Any]:
    own = raw.splitlines(keepends=True)
    base, lines = max(
        broken.good().items(), key=lambda each: len({*each[1].splitlines(keepends=True)} & {*own})
    )
    places = {line: place for place, line in enumerate(lines.splitlines(keepends=True))}
    parts = [places[line] if line in places else b64encode(line).decode() for line in own]
    return {"name": name, "base": f"{base}.ndjson", **verdict(raw), "lines": parts}


def stored(case: dict[str, Any]) -> bytes:
    """Return the bundle of a case of the stored index."""
    base = (FOLDER / case["base"]).read_bytes().splitlines(keepends=True)
    return b"".join(base[each] if isinstance(each, int) else b64decode(each) for each in case["lines"])


def index() -> dict[str, Any]:
    """Return the stored index."""
    found: dict[str, Any] = json.loads((FOLDER / "index.json").read_bytes())
    return found


if __name__ == "__main__":
    Path(FOLDER).mkdir(parents=True, exist_ok=True)
    for name, raw in made().items():
        (FOLDER / name).write_bytes(raw)
