"""How every benchmark reports: a table for people and, last, a line of JSON for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

Targets = Mapping[str, Mapping[str, float]]


def targets_met(figures: Mapping[str, float], targets: Targets) -> bool:
    """Whether every target is met. A target is {"at_least": x} or {"at_most": x}, or both, for one figure.

    >>> targets_met({"ratio": 0.6}, {"ratio": {"at_least": 0.5}})
    True
    >>> targets_met({"ms": 9}, {"ms": {"at_most": 5}})
    False
    """
    return all(
        bounds.get("at_least", figures[name]) <= figures[name] <= bounds.get("at_most", figures[name])
        for name, bounds in targets.items()
    )


def report(
    benchmark: str,
    figures: Mapping[str, float],
    targets: Targets,
    met: bool | None = None,
    as_json: bool | None = None,
) -> bool:
    """Print the figures; with `as_json` (default: `--json` on the command line) also the JSON line, last.

    `met` is worked out from the figures when it is None; pass False to fail a run for a reason that is not a
    figure. Returns whether the targets are met.
    """
    verdict = targets_met(figures, targets) if met is None else met
    width = max(map(len, figures), default=0)
    for name, value in figures.items():
        bounds = " and ".join(
            f"{bound.replace('_', ' ')} {x:,}" for bound, x in targets.get(name, {}).items()
        )
        print(f"{name:<{width}}  {value:>14,.6g}" + (f"   target: {bounds}" if bounds else ""))
    print("targets met" if verdict else "TARGETS NOT MET")
    if "--json" in sys.argv[1:] if as_json is None else as_json:
        line = {"benchmark": benchmark, "figures": figures, "targets": targets, "met": verdict}
        print(json.dumps(line))
    return verdict
