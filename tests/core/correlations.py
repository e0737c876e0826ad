"""Correlations and hits for tests, and the definition of what fires at once, as plainly as can be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

from sentinel.core.correlation import Correlation, Hit, order
from sentinel.core.correlation_state import Advanced, Fired, State, advance
from sentinel.core.rules import RuleSet, load

S = 1_000_000_000
SPAN = 10 * S
RULES = """title: Login failed
id: 0e95725d-7320-415d-80f7-004da920fc11
name: failed
logsource: {category: auth}
detection: {selection: {outcome: failure}, condition: selection}
---
title: Login refused
name: refused
logsource: {category: auth}
detection: {selection: {result: refused}, condition: selection}
---
title: Unrelated
name: unrelated
logsource: {category: auth}
detection: {selection: {x: 1}, condition: selection}
---
"""
FAILED = "0e95725d-7320-415d-80f7-004da920fc11"


def document(body: str, name: str = "burst") -> str:
    """Return a correlation document; `body` is the inside of its correlation section."""
    return f"title: {name}\nname: {name}\nlevel: high\ncorrelation: {{{body}}}\n"


def loaded(*bodies: str) -> RuleSet:
    """Return the rules and correlations of these bodies, called burst, burst1, burst2 and so on."""
    texts = [document(body, f"burst{number or ''}") for number, body in enumerate(bodies)]
    return load([("c.yml", (RULES + "---\n".join(texts)).encode())])


def correlation(kind: str = "event_count", condition: str = "{gte: 3}", more: str = "") -> Correlation:
    """Return a correlation within ten seconds: of failed logins, or of the rules that `more` names."""
    rules = more or "rules: failed"
    written = f", condition: {condition}" if condition else ""
    return loaded(f"type: {kind}, {rules}, timespan: 10s{written}").correlations[0]


def rules_of(compiled: Correlation) -> tuple[str, ...]:
    """Return the values that hits of a correlation of rules may have."""
    return compiled.rule_ids


def feed(compiled: Correlation, batches: Iterable[Sequence[Hit]], now: int = 0) -> tuple[State, list[Fired]]:
    """Advance a new state by batches of hits, through its bytes each time."""
    state, fired, _ = fed(compiled, batches, now)
    return state, fired


def fed(
    compiled: Correlation, batches: Iterable[Sequence[Hit]], now: int = 0
) -> tuple[State, list[Fired], list[Advanced]]:
    """Advance a new state by batches of hits, and return every step, too."""
    fired: list[Fired] = []
    state, steps = State.new(compiled, "[]"), []
    for batch in batches:
        step = advance(compiled, State.loads(state.dumps(), compiled), batch, now)
        state = step.state
        fired += step.fired
        steps.append(step)
    return state, fired, steps


def enough(compiled: Correlation, hits: Sequence[Hit]) -> bool:
    """Whether hits, in order, are what a correlation that is decided at once takes as enough."""
    if hits[-1].t - hits[0].t >= compiled.timespan_ns:
        return False
    values = [hit.value for hit in hits]
    if compiled.kind == "temporal_ordered":
        places = {hit[:3] for hit in hits}
        return values == list(compiled.rule_ids) and len(places) == len(hits)
    return compiled.kind == "event_count" or len(set(values)) == len(values)


def windows(compiled: Correlation, hits: Iterable[Hit]) -> set[int]:
    """Return the windows that fire, by trying every combination of hits."""
    low = compiled.threshold.low
    return {
        those[low // 2].t // compiled.timespan_ns
        for those in combinations(sorted(set(hits), key=order), low)
        if enough(compiled, those)
    }
