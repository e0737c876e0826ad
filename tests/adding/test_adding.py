"""A connector is one file, one line of its registry with the import that it needs, and one golden.

Proven on copies of the package: the very files that docs/connectors.md shows are put in, and the contract
suites run on them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "adding"
DOCS = (ROOT / "docs" / "connectors.md").read_text()
RULER = "---\n"


@dataclass(frozen=True)
class Way:
    """How one is added to a registry: by which lines the import and the entry come, and what checks it.

    `written` is the test of the suite that writes goldens, `fewest` how many tests are of this one connector.
    """

    folder: str
    golden: str
    before: str
    imported: str
    after: str
    entry: str
    suite: str
    written: str
    fewest: int

    @property
    def file(self) -> Path:
        """The file of the connector."""
        return HERE / self.folder / "acme.py"


SINK = Way(
    folder="siem",
    golden="acme.txt",
    before="from sentinel.siem.crowdstrike import",
    imported="from sentinel.siem.acme import AcmeConfig, AcmeSink\n",
    after="SINKS: Mapping[str, Kind] = {\n",
    entry='    "acme": Kind(AcmeConfig, AcmeSink),\n',
    suite="tests/contracts/test_sinks.py",
    written="bytes_of_its_golden",
    fewest=4,
)
SOURCE = Way(
    folder="webhooks",
    golden="acme.json",
    before="    alertmanager,\n",
    imported="    acme,\n",
    after="    {\n",
    entry='        "acme": Kind(acme.Acme, acme.OPTIONS),\n',
    suite="tests/webhooks/test_sources.py",
    written="what_a_message_tells",
    fewest=15,
)
each_way = pytest.mark.parametrize(
    "way", [SINK, pytest.param(SOURCE, marks=pytest.mark.nightly)], ids=["sink", "source"]
)


def begun(way: Way) -> bytes:
    """Return the golden as a person writes it, without what the suite adds."""
    text = (HERE / way.folder / way.golden).read_text()
    return (text if way is SOURCE else text.partition(RULER)[0] + RULER).encode()


@dataclass(frozen=True)
class Copy:
    """A copy of the package and of its tests."""

    root: Path

    def add(self, way: Way) -> None:
        """Put the file and the line of the registry there, and the golden as it is begun."""
        folder = self.root / "shared" / "sentinel" / way.folder
        shutil.copy(way.file, folder / "acme.py")
        registry = folder / "__init__.py"
        text = registry.read_text()
        assert (text.count(way.before), text.count(way.after)) == (1, 1)
        text = text.replace(way.before, way.imported + way.before).replace(way.after, way.after + way.entry)
        registry.write_text(text)
        self.golden(way).write_bytes(begun(way))

    def golden(self, way: Way) -> Path:
        """Return where the golden is."""
        return self.root / "tests" / "goldens" / way.folder / way.golden

    def run(self, *arguments: str, write: bool = False) -> subprocess.CompletedProcess[str]:
        """Run Python in the copy."""
        environment = {name: text for name, text in os.environ.items() if not name.startswith("SENTINEL_")}
        environment["PYTHONPATH"] = f"{self.root / 'shared'}{os.pathsep}{self.root}"
        environment |= {"SENTINEL_WRITE_GOLDENS": "1"} if write else {}
        command = [sys.executable, "-m", *arguments]
        return subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, check=False, timeout=190
        )

    def suite(self, way: Way) -> subprocess.CompletedProcess[str]:
        """Run the contract suite on what was added, and the tests that look at all connectors together."""
        return self._pytest(way, "acme or repr or only_its_place or every_source")

    def golden_alone(self, way: Way, *, write: bool = False) -> subprocess.CompletedProcess[str]:
        """Run what compares the golden, or writes it."""
        return self._pytest(way, f"acme and {way.written}", write=write)

    def _pytest(self, way: Way, chosen: str, *, write: bool = False) -> subprocess.CompletedProcess[str]:
        told = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", chosen, way.suite)
        return self.run("pytest", *told, write=write)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """Make a copy."""
    leave = shutil.ignore_patterns("__pycache__", ".hypothesis", "adding", "vectors")
    for name in ("shared", "tests", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=leave)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return Copy(tmp_path)


def passed(ran: subprocess.CompletedProcess[str]) -> int:
    """Return how many tests passed, all of them."""
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    return int(ran.stdout.rsplit(" passed", 1)[0].rsplit(maxsplit=1)[-1])


@pytest.mark.slow
@pytest.mark.timeout(400)
@each_way
def test_one_file_one_line_one_golden(copy: Copy, way: Way) -> None:
    """With these, and nothing else, the contract suite passes, and the commands know the new kind."""
    copy.add(way)
    passed(copy.golden_alone(way, write=True))
    assert passed(copy.suite(way)) >= way.fewest
    told = copy.run("sentinel.cli.main", "connectors", "ls", "--kinds", "--json")
    direction = "out" if way is SINK else "in"
    assert {"kind": "acme", "direction": direction, "testable": True} in json.loads(told.stdout)


@pytest.mark.slow
@pytest.mark.timeout(400)
@each_way
def test_without_a_golden_it_does_not_pass(copy: Copy, way: Way) -> None:
    """Neither without the file, nor with one that was begun and never written."""
    copy.add(way)
    assert copy.golden_alone(way).returncode == 1
    copy.golden(way).unlink()
    assert copy.golden_alone(way).returncode in {1, 2}


@each_way
def test_the_documentation_shows_these_very_files(way: Way) -> None:
    """Code, lines of the registry and golden, as they are tested, are blocks of docs/connectors.md."""
    assert f"```python\n{way.file.read_text()}```" in DOCS
    assert f"```python\n{way.imported}...\n{way.entry}```" in DOCS
    assert f"{begun(way).decode()}```" in DOCS
