"""The real local runner is killed with -9 under load, in part or as a whole: nothing is lost or doubled."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.ledger_kills import run
from benchmarks.ledger_kills_load import BATCH, CHAIN, judged
from sentinel.bootstrap import App
from sentinel.core import notes
from sentinel.core.segment import Batch
from sentinel.settings import Settings
from tests.sampling import thorough


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kills_of_the_runner_lose_and_double_nothing(tmp_path: Path) -> None:
    """Gateway, feeds, worker, Valkey, sealer and all at once: what was acknowledged is there once, in place.

    Checkpoints that were signed in between are of the chain as it is at last, and each task was told once.
    """
    kills = 200 if thorough() else 20
    figures = run(tmp_path / "home", kills)
    wrong = ("lost", "doubled", "unannounced", "contradicted", "untold", "told_twice")
    assert {name: figures[name] for name in wrong} == dict.fromkeys(wrong, 0)
    assert figures["kills"] == kills
    assert figures["acknowledged"] > kills * BATCH
    assert figures["kills_tree"] == kills // 10
    assert (
        min(figures[name] for name in ("checkpoints", "sent_again", "connections_cut", "told")) > kills // 4
    )


def test_the_judge_of_kills_sees_what_is_wrong(tmp_path: Path) -> None:
    """A batch that is missing, elsewhere or another is lost; one that is there twice is doubled."""
    app = App(Settings(home=str(tmp_path)))

    def batch(name: str, number: int) -> Batch:
        lines = [b'{"id":"%s-%d"}' % (name.encode(), at) for at in range(BATCH)]
        return Batch(number.to_bytes(16, "big"), lines, {})

    receipts = {
        name: app.appender.append(CHAIN, batch(name, n)).json() for n, name in enumerate(("0-0", "1-0"))
    }
    good = {"acknowledged": 40, "found": 40, "lost": 0, "doubled": 0, "unannounced": 0, "contradicted": 0}
    app.sealer.seal(CHAIN)
    assert judged(app, receipts) == good | {"checkpoints": 1}
    app.appender.append(CHAIN, batch("1-0", 7))
    found = Counter(judged(app, {"0-0": receipts["0-0"], "2-0": receipts["0-0"]}))
    assert (found["lost"], found["doubled"], found["unannounced"]) == (BATCH, BATCH, BATCH)
    point = app.sealer.newest(CHAIN)
    assert point is not None
    text, keys, sign = replace(point.checkpoint, root=bytes(32)).text, app.log_keys, app.log_signer.sign
    lines = (notes.signed(text, keys.of(CHAIN), sign), notes.cosigned(text, keys.timed, sign, point.seconds))
    assert app.notes.put(CHAIN, 1, notes.Note(text, lines).bytes)
    assert judged(app, receipts)["contradicted"] == 1
