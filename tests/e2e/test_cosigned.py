"""A log and its witness as they are run: settings, processes, kill -9, and what is stored afterwards."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from sentinel import bootstrap
from sentinel.bootstrap import App
from sentinel.core.notes import Key
from sentinel.usecases.checkpoints import whole
from tests.chains import grow
from tests.witnesses import cosigned_by_hand, running

CHAIN = "checkout/0"
SEGMENTS = grow(CHAIN, [[b"{}"] * 300] * 4)
NAME = "witness.example/w1"


def _app(home: Path, url: str, vkey: str, monkeypatch: pytest.MonkeyPatch) -> App:
    monkeypatch.setenv("SENTINEL_WITNESSES", f"{url}={vkey}")
    return bootstrap.application(str(home))


def _close(app: App) -> None:
    for each in app.cosigner.submitters:
        each.http.close()  # type: ignore[attr-defined] # it is the real one


def test_a_log_and_its_witness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process cosigns a checkpoint; a killed one stops nothing, and continues from its state."""
    home = tmp_path / "log"
    app = bootstrap.application(str(home))
    log_key, folder = app.sealer.keys.timed.vkey, tmp_path / "witness"
    with running(folder, log_key, name=NAME) as one:
        app = _app(home, one.url, one.vkey, monkeypatch)
        app.ledger.append(SEGMENTS[0])
        sealed = app.sealer.seal(CHAIN)
        assert app.cosigner.offer(sealed).cosigned == (NAME,)
        line = whole(app.notes, CHAIN, 0).signatures[2].line
        seconds = cosigned_by_hand(line, Key.read(one.vkey), sealed.note.text)
        assert abs(seconds - sealed.seconds) < 600
        one.process.send_signal(signal.SIGKILL)
        one.process.wait(60)
        app.ledger.append(SEGMENTS[1])
        offered = app.cosigner.offer(app.sealer.seal(CHAIN))
        assert (offered.cosigned, list(offered.missed), offered.reached) == ((), [NAME], False)
    with running(folder, log_key, name=NAME, port=one.port) as again:
        assert again.vkey == one.vkey
        _close(app)
        app = _app(
            home, again.url, again.vkey, monkeypatch
        )  # one that remembers nothing: a conflict tells it
        app.ledger.append(SEGMENTS[2])
        sealed = app.sealer.seal(CHAIN)
        assert app.cosigner.offer(sealed).reached
        assert cosigned_by_hand(
            whole(app.notes, CHAIN, sealed.number).signatures[2].line, Key.read(one.vkey), sealed.note.text
        )
        _close(app)
    told = (tmp_path / "witness.log").read_text()
    assert "refused with 409" in told
    assert 'cosigned "sentinel.local/checkout/0" at 900' in told
