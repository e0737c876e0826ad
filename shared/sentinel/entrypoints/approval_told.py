"""What a one-time link's page shows of what is asked: the very values, as text that the page only puts in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

_PARTS: Final = {
    "problem": "It would fail",
    "plan": "What it would do",
    "inputs": "Its inputs",
    "as_written": "Its inputs as written: results of steps before it stand in them",
}


def as_text(shown: Mapping[str, Any]) -> dict[str, object]:
    """Return what is asked as the page shows it: the very values, as text.

    A browser would round numbers that JSON has and JavaScript has not, and obey what turns writing round.
    """
    return {
        "steps": [_step(number, step) for number, step in enumerate(shown["steps"], 1)],
        "before": readable({name: shown[name] for name in ("cause", "results", "makers", "lineage")}),
    }


def _step(number: int, step: Mapping[str, Any]) -> dict[str, object]:
    timeout = f", {step['timeout']} for a try" if step.get("timeout") else ""
    return {
        "title": f"{number}. {step['id']}: {step['uses']}",
        "how": f"{step['effect']}{timeout}",
        "parts": [[name, readable(step[key])] for key, name in _PARTS.items() if key in step],
    }


def readable(value: object) -> str:
    """Return a JSON value as lines that show every character: what is not printable is escaped."""
    if isinstance(value, str):
        return _shown(value)
    return _shown(json.dumps(value, indent=2, ensure_ascii=False))


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
