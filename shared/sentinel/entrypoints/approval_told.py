"""What a one-time link's page shows of what is asked: the very values, as texts that the page only puts in.

A browser would round numbers that JSON has and JavaScript has not, and obey what turns writing round.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sentinel.core.legible import legible

_NAMES: Final = {
    "problem": "It would fail",
    "plan": "What it would do",
    "inputs": "Its inputs",
    "as_written": "Its inputs as written: results of steps before it stand in them",
}
_HEAD = {"id", "uses", "effect", "timeout"}


def as_text(shown: Mapping[str, Any]) -> dict[str, object]:
    """Return what is asked as the page shows it: all of each step, then what was before."""
    before = {name: shown[name] for name in ("cause", "results", "makers", "lineage")}
    steps = [_step(number, step) for number, step in enumerate(shown["steps"], 1)]
    return {"steps": steps, "before": legible(before, 2)}


def _step(number: int, step: Mapping[str, Any]) -> dict[str, object]:
    timeout = f", {step['timeout']} for a try" if step["timeout"] else ""
    order = [name for name in _NAMES if name in step] + sorted(step.keys() - _NAMES.keys() - _HEAD)
    return {
        "title": f"{number}. {step['id']}: {step['uses']}",
        "how": f"{step['effect']}{timeout}",
        "parts": [[_NAMES.get(name, name), legible(step[name], 2)] for name in order],
    }
