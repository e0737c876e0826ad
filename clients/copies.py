"""Writes the copies of the detector table: `python clients/copies.py`. `--check` says whether they fit.

`clients/detectors.json` is the source. The packages are built alone, so each has a copy, without examples.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "clients" / "detectors.json"
EXAMPLES = ("match", "no_match")
TYPESCRIPT = """// Written by clients/copies.py from clients/detectors.json: do not edit.
export const DETECTORS = {table};
"""


def copies() -> dict[Path, str]:
    """Return what each copy has to hold, by its path."""
    table = json.loads(SOURCE.read_text())
    for each in table["detectors"]:
        for name in EXAMPLES:
            each.pop(name, None)
    rows = ",\n".join(json.dumps(each, separators=(",", ":")) for each in table.pop("detectors"))
    head = json.dumps(table, separators=(",", ":"))[:-1]
    text = f'{head},"detectors":[\n{rows}\n]}}\n'
    return {
        ROOT / "clients/python/sentinel_client/privacy/detectors.json": text,
        ROOT / "clients/typescript/src/detectors.ts": TYPESCRIPT.replace("{table}", text.rstrip()),
        ROOT / "shared/sentinel/core/detectors.json": text,
    }


def main() -> int:
    """Write the copies, or with `--check` return 1 where one does not fit."""
    stale = [path for path, text in copies().items() if not path.exists() or path.read_text() != text]
    if "--check" not in sys.argv[1:]:
        for path in stale:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(copies()[path])
        return 0
    for path in stale:
        sys.stderr.write(f"{path.relative_to(ROOT)} is not what clients/copies.py writes\n")
    return bool(stale)


if __name__ == "__main__":
    raise SystemExit(main())
