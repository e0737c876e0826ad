"""Patches: what is let through, what escapes, what injections change, what crashes double, and what it costs.

    python -m benchmarks.patches [--json] [--cases FOLDER] [--only CASE ...] [--jobs N]

Shares are 0 to 1. `evaluation/` is run with its scripted answers in this machine's sandbox
(`sentinel eval patches`), every escape of `benchmarks.patches_escapes` is tried, every injection is put in
each of its places, and a worker is killed before and behind every call of the pipeline.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import patches_escapes
from benchmarks.report import Targets, report
from sentinel.adapters.redis_streams import connect
from sentinel.adapters.sandbox_bwrap import here
from sentinel.bootstrap_evaluation import Evaluation
from sentinel.cli.evaluate import cases_of, results_of
from sentinel.core.evaluation import OWN_SECONDS, TARGETS, figures
from tests.patch_scenes import files, lives
from tests.repositories import made_repository
from tests.usecases import injected
from tests.valkey import running

ROOT = Path(__file__).resolve().parents[1]
BOUNDS: Targets = {
    **{name: {"at_least": least} for name, least in TARGETS.items()},
    "own_seconds_max": {"at_most": OWN_SECONDS},
    "escapes_stopped": {"at_least": 1.0},
    "injections_that_changed_something": {"at_most": 0},
    "lives_with_another_number_of_pull_requests": {"at_most": 0},
}
_TOLD = ("cases", "answers", "proven", "proven_correct", "own_seconds_median", "own_seconds_max", "seconds")


def evaluated(options: argparse.Namespace) -> dict[str, float]:
    """Return the figures of the cases."""
    cases = [each for each in cases_of(options.cases) if not options.only or each.name in options.only]
    found: Any = figures(list(results_of(Evaluation(here()), cases, (), options.jobs)))
    return {name: float(found[name] or 0) for name in (*TARGETS, "right_correct", *_TOLD)}


def crashed() -> dict[str, float]:
    """Return how many lives of the pipeline were cut off, and how many had not just one pull request."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
        made = made_repository(Path(folder) / "made", files())
        count, wrong, _ = lives(connect(server.url), made, Path(folder))
    return {"lives_cut_off": count, "lives_with_another_number_of_pull_requests": wrong}


def main() -> bool:
    """Measure and report; return whether the targets are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=Path, default=ROOT / "evaluation")
    parser.add_argument("--only", nargs="*", default=())
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    escapes = patches_escapes.tried(here())
    injections = injected.outcomes()
    told: dict[str, float] = {
        **evaluated(options),
        "escapes_tried": len(escapes),
        "escapes_stopped": sum(escapes.values()) / len(escapes),
        "injections_tried": injections["tried"],
        "injections_that_changed_something": injections["changed"],
        **crashed(),
    }
    return report("patches", told, BOUNDS)


if __name__ == "__main__":
    raise SystemExit(0 if main() else 1)
