"""All at once: a chain that is sealed, archived, dropped, partly erased and grown is whole for everybody."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import orjson
import pytest

import sentinel_verify
from sentinel.core.access import Service
from sentinel.core.payload import ERASED_ENTRY
from sentinel.usecases import records
from sentinel.usecases.append import SECOND
from sentinel.usecases.erase_from import Wish
from sentinel.usecases.ingest import Origin
from tests.e2e.test_tripwire import Home
from tests.writers import CHAIN

HOUR, DAY = 3_600 * SECOND, 86_400 * SECOND
MARK = b"somebody@example.com"


def _send(home: Home, name: str, policy: str) -> None:
    lines = b"\n".join(b'{"n":%d,"who":"%s %s"}' % (n, MARK, name.encode()) for n in range(3))
    home.app.ingest.entries(Origin("checkout", "/v1/entries", name, encryption=policy), lines, {})
    home.clock.now += HOUR


def _whole(home: Home, erased: int) -> None:
    """Verify the chain here, and its bundle with the public key alone."""
    app = home.app
    found = app.inspect.verify(CHAIN)
    lines = b"".join(orjson.dumps(each) + b"\n" for each in app.bundler.chain(CHAIN))
    key = sentinel_verify.Key.read(app.log_keys.own.vkey)
    told = sentinel_verify.result(sentinel_verify.verify(BytesIO(lines), [key], [], 0), 0)
    assert (told["entries"], told["erased"]) == (found.entries, erased)
    shown = [entry for segment in app.ledger.read(CHAIN) for entry in segment.opened.entries]
    assert shown.count(ERASED_ENTRY) == erased


@pytest.mark.parametrize("policy", ["store", "own"])
def test_a_chain_is_whole_through_all_of_it(
    policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries of the archive and of the table are erased at once; proofs, bundles and the tripwire hold."""
    home = Home(tmp_path, monkeypatch)
    app = home.app
    service = Service("checkout", encryption=policy, archive_days=1)
    assert records.save(app.registry, service, 0)
    for number in range(8):
        _send(home, f"r{number}", policy)
    app.sealer.seal(CHAIN)
    home.clock.now += DAY + HOUR
    assert app.archiver.run(lambda: 1_000.0, patience=0).segments == 7
    home.clock.now += 8 * DAY
    home.feed()
    assert home.upkeep() >= 7
    assert [each.first for each in home.table.read(CHAIN)] == [21]
    _send(home, "r8", policy)
    app.sealer.seal(CHAIN)

    wish = Wish(CHAIN, 4, 25, "request 4711", "ada")  # the middle of the archive to the middle of the table
    done = app.eraser.erase(wish)
    assert bool(done.forgotten.unfinished) == (policy == "own"), "a writer may still use a data key"
    home.clock.now += 2 * HOUR
    assert app.eraser.erase(wish).forgotten.unfinished == []
    home.feed()
    assert home.alerts() == [], "all of that is ours"
    _whole(home, 22)
    app.sealer.seal(CHAIN)
    _whole(home, 22)
    for seq in (0, 5, 22, 26):
        assert app.prove_chain.entry(CHAIN, seq).proof
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert MARK + b" r5" not in stored
    entries = [entry for segment in app.ledger.read(CHAIN) for entry in segment.opened.entries]
    assert sum(b"r1" in entry for entry in entries) == 1
    assert not any(b"r5" in entry for entry in entries)
    _send(home, "r9", policy)
    _whole(home, 22)

    home.sql("UPDATE segments SET payload = (SELECT payload FROM segments WHERE first = 24) WHERE first = 21")
    home.feed()
    assert [each["first"] for each in home.alerts()] == [21]
