"""The sealing of all chains, as a schedule runs it each minute."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sentinel.entrypoints import observe
from sentinel.errors import Unavailable

if TYPE_CHECKING:
    from sentinel.bootstrap import App
    from sentinel.usecases.seal_all import SealedAll

log = logging.getLogger("sentinel.seal")

FUNCTION = "seal"


def seal(app: App, left: Callable[[], float]) -> dict[str, Any]:
    """Seal all chains; `left` tells the seconds that remain.

    Metrics: `rounds`, whose absence is an alarm; `sealed`; `unsealed`, chains without a new checkpoint;
    `tampered`, chains that must not be signed; `unwitnessed`, checkpoints that too few
    witnesses cosigned; `findings`, what else is wrong.
    """
    found = app.seal_all.run(left)
    for error in found.tampered:
        observe.tampered(FUNCTION, error)
    _tell(found)
    findings = found.findings
    counts = {
        "rounds": 1,
        "sealed": len(found.sealed),
        "unsealed": found.unsealed,
        "findings": len(findings),
        "unwitnessed": len(found.unwitnessed),
    }
    for name, value in counts.items():
        if value or name == "unsealed":
            observe.count(FUNCTION, name, value)
    told: dict[str, Any] = {**counts, "tampered": len(found.tampered)}
    if "" in found.failed:
        told["unavailable"] = str(found.failed[""])
    return told


def _tell(found: SealedAll) -> None:
    """Log what is wrong: of each kind of finding one line, since what stops all chains would fill the log."""
    by_kind: dict[str, list[str]] = {}
    for each in found.findings:
        by_kind.setdefault(each.kind, []).append(f"{each.chain}: {each.detail}")
    for kind, told in by_kind.items():
        log.warning("%s: %s%s", kind, told[0], f" (and {len(told) - 1} more chains)" if told[1:] else "")
    for chain, error in found.failed.items():
        level = logging.WARNING if isinstance(error, Unavailable) else logging.CRITICAL
        log.log(level, "%s is not sealed: %s: %s", chain or "the list", type(error).__name__, error)
    missed = found.unwitnessed
    if missed:
        why = "; ".join(f"{name}: {each}" for name, each in missed[0].missed.items())
        more = f" (and {len(missed) - 1} more chains)" if missed[1:] else ""
        log.warning("too few witnesses cosigned %s: %s%s", missed[0].chain, why, more)
    if found.left:
        log.warning("%d chains are sealed by the next round: there was no time", len(found.left))
