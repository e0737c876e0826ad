"""Checkpoints and proofs through the API, and the function that seals, on real stores."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from sentinel.bootstrap import App, bootstrap
from sentinel.core import merkle
from sentinel.errors import Forbidden
from sentinel.local.functions import Context
from tests.functions.test_api_handlers import app as app  # noqa: PLC0414 - a fixture
from tests.functions.test_api_handlers import event, load
from tests.sealing import Log

Ask = Callable[..., tuple[int, Any, dict[str, str]]]
PROOF = "/v1/chains/{owner}/{lane}/proof"
CHECKPOINT = "/v1/chains/{owner}/{lane}/checkpoint"


@pytest.fixture
def ask(app: App) -> Iterator[Ask]:
    """Send a request of the service `checkout`; return status, decoded body and headers."""
    handler = load("control")

    def ask(resource: str, owner: str = "checkout", lane: str = "0", **query: str) -> Any:
        asked = {name.removesuffix("_"): value for name, value in query.items()}
        sent = event("GET", resource, params={"owner": owner, "lane": lane}, query=asked)
        sent["requestContext"]["authorizer"] |= {"service": "checkout", "scopes": "ingest"}
        answer = handler(sent, None)
        return answer["statusCode"], orjson.loads(answer["body"]), answer["headers"]

    yield ask
    bootstrap.cache_clear()


def seal() -> dict[str, Any]:
    """Run the function that seals."""
    return load("seal")({}, Context("seal", "1", 60.0))


def grown(app: App, **chains: int) -> None:
    """Let chains of lane 0 grow by so many entries."""
    log = Log(app.home)
    for service, count in chains.items():
        log.append(count, f"{service}/0")


def test_a_service_proves_its_entries(app: App, ask: Ask) -> None:
    """What is answered leads from the entry to the checkpoint that is in the answer."""
    grown(app, checkout=300)
    assert seal() == {"rounds": 1, "sealed": 1, "unsealed": 0, "findings": 1, "unwitnessed": 0, "tampered": 0}
    status, found, _ = ask(PROOF, entry="7")
    assert status == 200
    sealed = app.log_keys.read("checkout/0", 0, found["checkpoint"].encode())
    proof = [bytes.fromhex(each) for each in found["proof"]]
    leaf = bytes.fromhex(found["leaf"])
    assert merkle.verify_inclusion(7, 300, leaf, proof, sealed.checkpoint.root)
    status, found, _ = ask(CHECKPOINT)
    assert (status, found["number"], found["size"]) == (200, 0, 300)
    assert found["root"] == sealed.checkpoint.root.hex()


def test_growth_is_proven(app: App, ask: Ask) -> None:
    """Between two sizes, until the newest checkpoint by default; by number, an older one is given."""
    grown(app, checkout=5)
    seal()
    grown(app, checkout=6)
    seal()
    status, found, _ = ask(PROOF, from_="5")
    assert (status, found["from"], found["to"], found["rest"]) == (200, 5, 11, [])
    proof = [bytes.fromhex(each) for each in found["proof"]]
    roots = bytes.fromhex(found["from_root"]), bytes.fromhex(found["to_root"])
    assert merkle.verify_consistency(5, 11, proof, *roots)
    assert ask(CHECKPOINT, number="0")[1]["root"] == found["from_root"]
    assert ask(PROOF, from_="5", to="7")[1]["to"] == 7
    assert ask(PROOF, entry="4", checkpoint="0")[1]["size"] == 5


def test_what_is_not_sealed_yet_says_when(app: App, ask: Ask) -> None:
    """It is asked for again a minute later."""
    grown(app, checkout=5)
    for resource, query in ((CHECKPOINT, {}), (PROOF, {"entry": "0"}), (PROOF, {"from_": "0"})):
        status, _, headers = ask(resource, **query)
        assert (status, headers["Retry-After"]) == (503, "60")


def test_anothers_chain_is_as_one_that_is_not_there(app: App, ask: Ask) -> None:
    """Nobody learns by the answer whose chains there are, whatever way the name is written."""
    grown(app, checkout=5, other=5)
    seal()
    for owner, lane in (
        ("other", "0"),
        ("nobody", "0"),
        ("checkout", "1"),
        ("checkout", "00"),
        ("checkout", "64x"),
        ("checkout", "-1"),
        ("checkout/0/../../other", "0"),
        ("", "0"),
        ("%6fther", "0"),
    ):
        for resource in (CHECKPOINT, PROOF):
            status, found, _ = ask(resource, owner, lane, **({"entry": "0"} if resource == PROOF else {}))
            assert (status, found["error"]) == (404, "Missing"), (owner, lane)
    assert ask(CHECKPOINT, "check%6fut")[0] == 200  # the gateway may hand a name on as it was sent


def test_bad_questions_are_refused(app: App, ask: Ask) -> None:
    """Numbers are whole and of a bounded length; a question is about an entry or about growth."""
    grown(app, checkout=5)
    seal()
    for query in (
        {},
        {"entry": "x"},
        {"entry": "-1"},
        {"entry": "01"},
        {"entry": "1" * 16},
        {"entry": "٣"},
        {"entry": "1", "from_": "1"},
        {"entry": "1", "to": "1"},
        {"to": "1"},
        {"from_": "1", "checkpoint": "0"},
        {"from_": "2", "to": "1"},
    ):
        assert ask(PROOF, **query)[0] == 400, query
    assert ask(CHECKPOINT, number="x")[0] == 400
    for query in ({"entry": "5"}, {"entry": "9" * 15}, {"from_": "0", "to": "6"}):
        assert ask(PROOF, **query)[0] == 404, query
    assert ask(CHECKPOINT, number="1")[0] == 404


def test_damage_is_told_to_who_is_on_call(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """A chain that was changed is logged as such each time; the others are sealed."""
    grown(app, checkout=5, other=5)
    seal()
    with sqlite3.connect(app.home / "ledger.db") as connection:
        connection.execute("UPDATE segments SET head = zeroblob(32) WHERE chain = 'checkout/0'")
    connection.close()
    for _ in range(2):
        caplog.clear()
        found = seal()
        assert (found["sealed"], found["unsealed"], found["tampered"]) == (1, 1, 1)
        told = [each for each in caplog.records if each.levelno == logging.CRITICAL]
        assert ["checkout/0" in each.getMessage() for each in told] == [True]


def test_a_key_that_others_can_read_signs_nothing(app: App) -> None:
    """The round ends as a failure that names the file, and the next one goes on when it is mended."""
    grown(app, checkout=5)
    path = Path(app.home / "log.key")
    path.chmod(0o644)
    with pytest.raises(Forbidden, match=r"log\.key"):
        seal()
    assert app.notes.newest("checkout/0") is None
    path.chmod(0o600)
    assert seal()["sealed"] == 1


def test_findings_are_one_line_a_kind(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """What is wrong with every chain alike does not fill the log."""
    grown(app, checkout=5, other=5, third=5)
    found = seal()
    assert found["findings"] == 3
    told = [each.getMessage() for each in caplog.records if "missing checkpoint" in each.getMessage()]
    assert len(told) == 1
    assert "2 more chains" in told[0]
