"""After all attacks: nothing secret got out, no chain was touched, and the list is the one of the docs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from sentinel.core.verify import Verifier
from tests.attacks import record
from tests.attacks.deployment import Deployment, Member
from tests.attacks.walk import MARK

pytestmark = pytest.mark.xdist_group("attacks")

DOC = Path(__file__).resolve().parents[2] / "docs" / "attacks.md"
LEAST = 600  # cases; fewer than that is a suite that lost some
FOLDER = "tests/attacks/"


def whole(request: pytest.FixtureRequest) -> bool:
    """Say whether this run has all of the suite, and not a part that somebody picked."""
    here = {item.path.name for item in request.session.items if FOLDER in item.path.as_posix()}
    there = {path.name for path in Path(__file__).parent.glob("test_*.py")}
    told = request.config.option
    spread = hasattr(request.config, "workerinput") and not told.loadgroup
    return here == there and not (told.keyword or told.markexpr or spread)


@pytest.fixture(autouse=True)
def _all_ran(request: pytest.FixtureRequest) -> None:
    if not whole(request):
        pytest.skip("this is about the whole suite: run tests/attacks")


def test_the_victims_chain_is_what_it_stored(tree: Deployment, victim: Member) -> None:
    """It verifies, and each of its entries came by the victim's own certificate or webhook."""
    checked = Verifier("victim/0")
    for segment in tree.app.ledger.read("victim/0"):
        checked.check(segment)
        context = segment.opened.context.decode()
        own = f'"certificate":"{victim.held.thumbprint}"' in context
        hooks = (
            "standard-webhooks/bills",
            "standard-webhooks/alarms",
            "datadog/monitors",
            "splunk-hec/events",
        )
        assert own or any(f'"subject":"hook/{hook}"' in context for hook in hooks), context
    assert checked.segments > 0


def test_nothing_secret_was_answered(tree: Deployment) -> None:
    """No key, token, signature or body is in any of the answers to attacks."""
    _search(record.answers(), tree)


def test_nothing_secret_was_logged(tree: Deployment) -> None:
    """Nor in what any process of the tree said, though it says all it can, until it ended."""
    assert tree.tree.stop() == 0
    logged = tree.log.read_bytes()
    assert logged.count(b"\n") > 500, "it did not log"
    _search([logged], tree)
    for word in (b"Traceback", b"CRITICAL", b"Task exception", b"never retrieved"):
        assert word not in logged, logged[logged.index(word) - 500 :][:3_000].decode()


def _search(texts: Iterable[bytes], tree: Deployment) -> None:
    """Look for every secret, and for the marks of bodies, in texts."""
    everything = b"\n".join(texts)
    assert len(everything) > 10_000
    assert len(tree.secrets) > 300
    found = [what for what, secret in tree.secrets.items() if any(p in everything for p in _parts(secret))]
    assert found == []
    assert MARK.encode() not in everything
    assert b"PRIVATE KEY" not in everything


def _parts(secret: str) -> list[bytes]:
    """Return what of a secret may not be seen: all of it, and each part that would be enough to go on."""
    parts = [secret, *re.split(r"[.\s]", secret)]
    if secret.startswith("sk_"):
        parts.append(secret[-43:])
    return [part.encode("utf-8", "surrogateescape") for part in parts if len(part) >= 24]


def test_every_attack_was_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """So many cases ran, each was refused as expected on every route; a case that was not has failed."""
    tried = sum(case.tried for case in record.CASES.values())
    with capsys.disabled():
        print(f"\nattacks: {len(record.CASES)} cases, {tried} requests and checks, all refused or harmless")
    assert len(record.CASES) >= LEAST
    assert not any(case.wrong for case in record.CASES.values())


def test_the_list_of_the_docs_is_what_ran(tmp_path: Path) -> None:
    """docs/attacks.md has a row for each case, with what it is refused with and where."""
    told = _written()
    if DOC.read_text() != told:
        written = tmp_path / DOC.name
        written.write_text(told)
        pytest.fail(f"docs/attacks.md is not the list of what ran: copy {written} over it")


def _written() -> str:
    """Return docs/attacks.md as it has to be: its own introduction, and the tables anew."""
    head, mark, _ = DOC.read_text().partition("<!-- cases -->\n")
    assert mark, "docs/attacks.md has lost its mark <!-- cases -->"
    found: dict[str, dict[tuple[str, str], list[str]]] = {}
    for case in record.CASES.values():
        rows = found.setdefault(case.family, {})
        rows.setdefault((case.name, case.status), []).append(case.where)
    text = [head, mark, f"\n{len(record.CASES)} cases.\n"]
    for family in sorted(found):
        text.append(f"\n## {family}\n\n| case | answer | where |\n|---|---|---|\n")
        rows = found[family]
        text += [
            f"| {name} | {status} | {', '.join(rows[name, status])} |\n" for name, status in sorted(rows)
        ]
    return "".join(text)
