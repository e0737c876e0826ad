"""Events matched per second, on one core, with 100 and with 1,000 Sigma rules over real CloudTrail events.

The 100 rules are real: those of the set for AWS CloudTrail first, then others of the set in order of their
file names. The 1,000 are all real rules of the set, then variants of the real CloudTrail rules: the same tree
and the same fields, with every text that a rule compares `eventName` to replaced by `<text><n>` for n = 1, 2,
... So a variant is as complicated as a real rule and asks for an action that the real one does not. All
events are matched by brute force, too, in the same run, and the answers must be the same.

Needs the data folder beside the repository (`../shared/data`), and says so where it is absent.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson
import yaml

from benchmarks.report import report
from sentinel.core.event_fields import Event
from sentinel.core.rules import RuleSet, load

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "detection"
ROUNDS = 7
TARGETS: dict[str, dict[str, float]] = {
    "events_per_second_100": {"at_least": 50_000},
    "ratio_1000_to_100": {"at_least": 0.5},
}


def main() -> int:
    """Run, print, and return 0 when the targets are met, 1 when not, 2 when the data is absent."""
    if not DATA.is_dir():
        print(f"needs the data folder {DATA}", file=sys.stderr)
        return 2
    lines = _cloudtrail()
    events = [orjson.loads(line) for line in lines]
    documents = _real_rules()
    hundred = load(documents[:100])
    thousand = load(documents + _variants(documents, 1000 - len(documents)))
    figures: dict[str, float] = {"events": len(events)}
    for size, rules in ((100, hundred), (1000, thousand)):
        if len(rules.rules) != size:
            raise SystemExit(f"{len(rules.rules)} rules, not {size}")
        matches, wrong = _compared(rules, events)
        figures[f"matches_{size}"] = matches
        figures[f"differences_from_brute_force_{size}"] = wrong
        figures[f"events_per_second_{size}"] = _rate(_matching(rules, events), len(events))
        figures[f"events_per_second_{size}_with_loads"] = _rate(_loading(rules, lines), len(events))
    figures["brute_force_events_per_second_100"] = _rate(
        lambda: [[r for r in hundred.rules if r.matches(e)] for e in events], len(events), rounds=1
    )
    figures["ratio_1000_to_100"] = figures["events_per_second_1000"] / figures["events_per_second_100"]
    targets: dict[str, dict[str, float]] = {
        **TARGETS,
        **{f"differences_from_brute_force_{size}": {"at_most": 0} for size in (100, 1000)},
        **{f"matches_{size}": {"at_least": 1} for size in (100, 1000)},
    }
    return 0 if report("rules", figures, targets) else 1


def _matching(rules: RuleSet, events: Sequence[Event]) -> Callable[[], object]:
    return lambda: [rules.match(event) for event in events]


def _loading(rules: RuleSet, lines: Sequence[bytes]) -> Callable[[], object]:
    return lambda: [rules.match(orjson.loads(line)) for line in lines]


def _cloudtrail() -> list[bytes]:
    rows = [
        orjson.loads(line)
        for name in ("events_panther", "events_stratus", "events_otrf")
        for line in (DATA / f"{name}.jsonl").read_bytes().splitlines()
    ]
    return [orjson.dumps(row["event"]) for row in rows if row["log_type"] == "aws.cloudtrail"]


def _real_rules() -> list[tuple[str, bytes]]:
    paths = sorted(
        (DATA / "sigma_rules").rglob("*.yml"), key=lambda path: ("aws" not in path.parts, str(path))
    )
    return [(path.name, path.read_bytes()) for path in paths]


def _variants(documents: Sequence[tuple[str, bytes]], wanted: int) -> list[tuple[str, bytes]]:
    """Make `wanted` rules out of the real CloudTrail rules, that ask for other actions than those."""
    real = [(name, yaml.safe_load(content)) for name, content in documents]
    real = [(name, rule) for name, rule in real if rule["logsource"].get("service") == "cloudtrail"]
    real = [
        (name, rule)
        for name, rule in real
        if _renamed(rule["detection"], "") != _renamed(rule["detection"], "1")
    ]
    made: list[tuple[str, bytes]] = []
    while len(made) < wanted:
        name, rule = real[len(made) % len(real)]
        suffix = str(1 + len(made) // len(real))
        changed = {key: value for key, value in rule.items() if key not in {"id", "name", "related"}}
        changed |= {"title": f"{rule['title']} {suffix}", "detection": _renamed(rule["detection"], suffix)}
        made.append((f"{suffix}-{name}", yaml.safe_dump(changed).encode()))
    return made


def _renamed(detection: object, suffix: str, field: str = "") -> object:
    if isinstance(detection, dict):
        return {key: _renamed(value, suffix, str(key)) for key, value in detection.items()}
    if isinstance(detection, list):
        return [_renamed(value, suffix, field) for value in detection]
    is_name = field.split("|", maxsplit=1)[0] == "eventName" and isinstance(detection, str)
    return f"{detection}{suffix}" if is_name else detection


def _compared(rules: RuleSet, events: Sequence[Event]) -> tuple[int, int]:
    """Return (matches found, events on which the index and brute force disagree)."""
    found = [rules.match(event) for event in events]
    expected = [tuple(rule for rule in rules.rules if rule.matches(event)) for event in events]
    return sum(map(len, found)), sum(mine != theirs for mine, theirs in zip(found, expected, strict=True))


def _rate(run: Callable[[], object], events: int, rounds: int = ROUNDS) -> float:
    """Measure events a second of CPU time: the median of `rounds` rounds of at least 0.25 s each."""
    rates = []
    for _ in range(rounds):
        started, times = time.process_time(), 0
        while (spent := time.process_time() - started) < 0.25:
            run()
            times += 1
        rates.append(times * events / spent)
    return round(statistics.median(rates))


if __name__ == "__main__":
    sys.exit(main())
