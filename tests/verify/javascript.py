"""The JavaScript verifier, run over many bundles in one process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.verify.broken import KEYS_BAD
from tests.verify.vectors import OTHER
from tests.verify.world import ROOT, VKEY, WITNESS_KEY

PROGRAM = ROOT / "clients" / "verify" / "javascript" / "sentinel-verify.mjs"
# Where there is no node, the one that is synth's comes with the packages.
NODE = shutil.which("node", path=f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ.get('PATH', '')}")
needs_node = pytest.mark.skipif(NODE is None, reason="there is no node on this machine")


def verdicts(bundles: Sequence[bytes], program: Path = PROGRAM) -> list[dict[str, Any]]:
    """Return what the JavaScript verifier says of bundles.

    Behind that stands what it says of the first with the key of another log, and whether it takes bad keys.
    """
    asked = {
        "key": VKEY,
        "witness": WITNESS_KEY.vkey,
        "quorum": 1,
        "other_key": OTHER.vkey,
        "bad_keys": list(KEYS_BAD.values()),
    }
    text = json.dumps({**asked, "bundles": [b64encode(each).decode() for each in bundles]})
    done = subprocess.run(
        [str(NODE), str(ROOT / "tests" / "verify" / "all.mjs"), str(program)],
        input=text,
        capture_output=True,
        timeout=100,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
