"""`sentinel seal`, `pubkey` and `proof`: what they print, their JSON, and their exit codes."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from sentinel.adapters.log_folder import FolderNotes
from sentinel.core import merkle, notes
from sentinel.core.notes import Checkpoint, Key
from sentinel.errors import Unavailable
from tests.e2e.test_cli import cli as cli  # noqa: PLC0414 - a fixture
from tests.e2e.test_cli import home as home  # noqa: PLC0414 - a fixture


def change(home: Path, statement: str) -> None:
    """Change the ledger behind its back."""
    with sqlite3.connect(home / "ledger.db") as connection:
        connection.execute(statement)
    connection.close()


def test_seal_signs_all_chains(cli: Any, home: Path) -> None:
    """One line a chain; again, the next checkpoint of the same tree; one chain where one is named."""
    ran = cli("seal", "--home", home)
    assert (ran.code, ran.err) == (0, "")
    assert "a/0: checkpoint 0 of 4 entries" in ran.out
    assert "b/0: checkpoint 0 of 1 entries" in ran.out
    ran = cli("seal", "--json", "--home", home)
    assert [(each["chain"], each["number"], each["sealed"]) for each in ran.json] == [
        ("a/0", 1, True),
        ("b/0", 1, True),
    ]
    (only,) = cli("seal", "--chain", "b/0", "--json", "--home", home).json
    assert (only["chain"], only["number"], only["findings"]) == ("b/0", 2, [])


def test_what_must_not_be_signed_is_told(cli: Any, home: Path) -> None:
    """A chain that was cut or changed ends with exit code 1; the others are sealed."""
    cli("seal", "--home", home)
    change(home, "DELETE FROM segments WHERE chain = 'a/0' AND first = 3")
    ran = cli("seal", "--home", home)
    assert ran.code == 1
    assert "damaged  a/0 at entry 3: cut: the chain ends at entry 2; a tree of 4 was signed" in ran.out
    assert "b/0: checkpoint 1" in ran.out
    (only,) = cli("seal", "--chain", "a/0", "--json", "--home", home).json
    assert (only["sealed"], only["kind"], only["entry"]) == (False, "cut", 3)
    assert cli("seal", "--chain", "none/0", "--json", "--home", home).error["error"] == "Missing"


def test_what_cannot_be_looked_at_hides_nothing_of_the_others(cli: Any, home: Path) -> None:
    """A chain that cannot be sealed or verified is told so, and so is what is wrong with the others."""
    cli("seal", "--home", home)
    change(home, "DELETE FROM segments WHERE chain = 'a/0' AND first = 3")
    (home / "log" / "sentinel.local" / "ghost%2F0" / "notes").mkdir(parents=True)
    ran = cli("seal", "--home", home)
    assert (ran.code, ran.err) == (1, "")
    assert "damaged  a/0 at entry 3: cut" in ran.out
    assert "unsealed ghost/0: missing: there is no chain ghost/0" in ran.out
    assert "b/0: checkpoint 1" in ran.out
    told = {each["chain"]: each for each in cli("seal", "--json", "--home", home).json}
    assert {name: each["sealed"] for name, each in told.items()} == {
        "a/0": False,
        "ghost/0": False,
        "b/0": True,
    }
    ran = cli("verify", "--home", home)
    assert (ran.code, ran.err) == (1, "")
    assert [line.split()[:2] for line in ran.out.splitlines() if line[0] != " "] == [
        ["damaged", "a/0"],
        ["whole", "b/0:"],
        ["unread", "ghost/0:"],
    ]


def test_what_does_not_answer_is_no_damage(cli: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing else is wrong than that a chain could not be read now, the exit code says so."""

    def newest(*_: object) -> None:
        raise Unavailable("injected")

    cli("seal", "--home", home)
    monkeypatch.setattr(FolderNotes, "newest", newest)
    for command in ("seal", "verify"):
        ran = cli(command, "--json", "--home", home)
        assert (ran.code, {each["kind"] for each in ran.json}) == (3, {"unavailable"})
    change(home, "DELETE FROM segments WHERE chain = 'a/0' AND first = 0")
    assert cli("verify", "--home", home).code == 3
    monkeypatch.undo()
    assert cli("verify", "--home", home).code == 1


def test_a_key_that_has_signed_is_never_made_anew(cli: Any, home: Path) -> None:
    """Who lost the log's key is told so, by whatever reads it: a new key would be given out as the log's."""
    cli("seal", "--home", home)
    key = cli("pubkey", "--home", home).out
    (home / "log.key").rename(home / "kept")
    for command in (("pubkey",), ("verify",), ("seal",), ("proof", "--chain", "a/0", "--entry", "0")):
        ran = cli(*command, "--home", home)
        assert (ran.code, "restore it" in ran.err + ran.out) == (1, True)
    assert not (home / "log.key").exists()
    (home / "kept").rename(home / "log.key")
    assert cli("pubkey", "--home", home).out == key
    assert cli("verify", "--home", home).code == 0


def test_tiles_are_written_anew(cli: Any, home: Path) -> None:
    """Lost tiles are told as a finding, and proofs come again."""
    cli("seal", "--home", home)
    shutil.rmtree(home / "log" / "sentinel.local" / "a%2F0" / "tile")
    ran = cli("proof", "--chain", "a/0", "--entry", "1", "--home", home)
    assert (ran.code, "--rebuild" in ran.err) == (3, True)
    ran = cli("seal", "--chain", "a/0", "--rebuild", "--home", home)
    assert (ran.code, "tiles" in ran.out) == (0, True)
    assert cli("proof", "--chain", "a/0", "--entry", "1", "--home", home).code == 0
    assert cli("seal", "--rebuild", "--home", home).code == 2


def test_keys_are_printed_as_verifiers_take_them(cli: Any, home: Path) -> None:
    """One line each: under the log's name, under a chain's origin, and the one that signs with the time."""
    cli("seal", "--home", home)
    (own, of_chain, timed) = (
        Key.read(cli("pubkey", *more, "--home", home).out) for more in ((), ("--chain", "a/0"), ("--timed",))
    )
    assert (own.name, of_chain.name, timed.name) == ("sentinel.local", "sentinel.local/a/0", "sentinel.local")
    assert own.named("sentinel.local/a/0") == of_chain
    told = cli("proof", "--chain", "a/0", "--from", "0", "--json", "--home", home).json["checkpoint"]
    assert len(notes.read(told.encode()).verified([of_chain, timed])) == 2
    assert cli("pubkey", "--json", "--home", home).json["public"] == own.public.hex()
    assert cli("pubkey", "--timed", "--chain", "a/0", "--home", home).code == 2


def test_proofs_are_printed(cli: Any, home: Path) -> None:
    """Of an entry and of growth, for people and as JSON, with the checkpoint that they lead to."""
    cli("seal", "--home", home)
    ran = cli("proof", "--chain", "a/0", "--entry", "2", "--home", home)
    assert "entry 2 of a/0 is leaf 2 of 4" in ran.out
    assert "\nsentinel.local/a/0\n4\n" in ran.out
    found = cli("proof", "--chain", "a/0", "--entry", "2", "--json", "--home", home).json
    root = Checkpoint.read(notes.read(found["checkpoint"].encode()).text).root
    path = [bytes.fromhex(each) for each in found["proof"]]
    assert merkle.verify_inclusion(2, 4, bytes.fromhex(found["leaf"]), path, root)
    ran = cli("proof", "--chain", "a/0", "--from", "2", "--to", "3", "--home", home)
    assert "a/0 only grew from 2 entries to 3" in ran.out
    assert "rest   " in ran.out


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--entry", "1", "--from", "0"),
        ("--to", "1"),
        ("--from", "0", "--checkpoint", "0"),
        ("--entry", "-1"),
        ("--entry", "x"),
    ],
)
def test_a_question_is_about_an_entry_or_about_growth(
    cli: Any, home: Path, arguments: tuple[str, ...]
) -> None:
    """Anything else is wrong usage."""
    assert cli("proof", "--chain", "a/0", *arguments, "--home", home).code == 2


def test_what_is_not_there_is_told(cli: Any, home: Path) -> None:
    """An entry that is not sealed yet is to be asked for again; one that is not there is missing."""
    assert cli("proof", "--chain", "a/0", "--entry", "0", "--json", "--home", home).code == 3
    cli("seal", "--home", home)
    assert (
        cli("proof", "--chain", "a/0", "--entry", "4", "--json", "--home", home).error["error"] == "Missing"
    )
    assert (
        cli("proof", "--chain", "z/0", "--entry", "0", "--json", "--home", home).error["error"] == "Missing"
    )
