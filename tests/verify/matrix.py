"""The tamper matrix as a table of docs/verify.md."""

from __future__ import annotations

from collections.abc import Sequence

from tests.verify.tampering import ANEW, Operation, Outcome, operations, outcome

HEAD = (
    "operation",
    "all behind it computed anew",
    "`sentinel verify`",
    "`sentinel-verify` on its bundle",
    "next seal",
    "change feed",
)


def _cell(found: Sequence[str]) -> str:
    """Return kinds with their entries: places that are found alike stand together."""
    by: dict[str, list[str]] = {}
    for each in found:
        kind, _, entry = each.partition(" ")
        by.setdefault(kind, []).append(entry)
    return "; ".join(f"`{kind}` {', '.join(some)}" if kind else "–" for kind, some in by.items())


def row(operation: Operation, outcomes: Sequence[Outcome]) -> str:
    """Return the row of an operation, from what came of it at each of its places."""
    feed = sorted(set.union(*(set(each.feed) for each in outcomes)))
    cells = (
        operation.what,
        "yes" if operation.how == ANEW else "",
        _cell([each.verify for each in outcomes]),
        _cell([each.bundle for each in outcomes]),
        _cell([each.seal for each in outcomes]),
        ", ".join(feed) or "–",
    )
    return f"| {' | '.join(cells)} |\n"


def markdown() -> str:
    """Return the table, from a run of all operations."""
    lines = [f"| {' | '.join(HEAD)} |\n", f"|{'---|' * len(HEAD)}\n"]
    lines += [row(each, [outcome(each, place) for place in each.places]) for each in operations()]
    return "".join(lines)
