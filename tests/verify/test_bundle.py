"""Bundles as they are made, and verification against checkpoints: what is told, and what is refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

import sentinel_verify
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.bootstrap import application
from sentinel.bootstrap_verify import Processes
from sentinel.core import chain as hashing
from sentinel.core import merkle, notes
from sentinel.core.notes import COSIGNATURE, Key
from sentinel.core.segment import Head
from sentinel.errors import Conflict, Missing, Tampered, Unavailable
from sentinel.usecases.course import FEW, Attested, course
from sentinel.usecases.verify_chain import ChainVerification, check_run
from tests.e2e.test_cli import cli, store  # noqa: F401 - a fixture
from tests.verify import broken, vectors
from tests.verify.javascript import NODE, PROGRAM, needs_node, verdicts
from tests.verify.world import (
    BEFORE,
    CHAIN,
    ENTRIES,
    KEYS,
    LOG,
    SEGMENTS,
    SIGNER,
    VKEY,
    WITNESS,
    WITNESS_KEY,
    Signer,
    World,
    content,
    erased,
    folder,
    leaves_of,
    offline,
    record,
    written,
)


@pytest.fixture
def world() -> Iterator[World]:
    """A sealed chain with a tail that is not sealed yet."""
    with folder() as home:
        yield World(home, unsealed=True)


def test_the_bundle_of_each_entry_verifies(world: World) -> None:
    """An entry's bundle has its proof to the newest checkpoint, erased ones their record; none is large."""
    for seq in range(ENTRIES):
        bundle = world.bundle(seq)
        assert not offline(bundle), seq
        assert len(bundle) < 4_096
        told = vectors.verdict(bundle)
        assert (told["entry"], told["erased"]) == (seq, int(5 <= seq <= 8 or 10 <= seq <= 11))


@needs_node
def test_the_second_verifier_takes_the_bundle_of_each_entry(world: World) -> None:
    """So does the one in JavaScript, whose proofs are checked after their definition."""
    bundles = [world.bundle(), *(world.bundle(seq) for seq in range(ENTRIES))]
    assert verdicts(bundles)[: len(bundles)] == list(map(vectors.verdict, bundles))


def test_what_is_not_sealed_is_told(world: World) -> None:
    """A bundle says how many entries stand behind its newest checkpoint; one of those has no bundle yet."""
    assert vectors.verdict(world.bundle())["unsealed"] == 6
    with pytest.raises(Conflict, match="is in no checkpoint yet"):
        world.bundle(ENTRIES)
    world.seal()
    assert vectors.verdict(world.bundle())["unsealed"] == 0
    assert not offline(world.bundle(ENTRIES))


def test_what_is_not_there_has_no_bundle(world: World) -> None:
    """An unknown chain or entry is missing, at once and not in the middle of a file."""
    with pytest.raises(Missing, match="no chain x/0"):
        world.bundler.chain("x/0")
    with pytest.raises(Missing, match="no entry 99"):
        list(world.bundler.entry(CHAIN, 99))


def test_a_proof_is_checked_before_it_is_written(world: World) -> None:
    """Tiles that are lost, or another tree's, make no bundle that fails somewhere else."""
    tile = world.folder / "checkout%2F0" / "tile" / "0" / "000.p" / str(ENTRIES)
    good = tile.read_bytes()
    tile.write_bytes(bytes(32) + good[32:])
    with pytest.raises(Tampered, match="not the one in the tree of 25"):
        world.bundle(1)
    tile.unlink()
    with pytest.raises(Tampered, match="there is no tile"):
        world.bundle(1)


def test_a_damaged_chain_is_bundled_as_it_is(world: World) -> None:
    """Who gets the bundle finds the damage: nothing is left out, or made good."""
    world.write([*SEGMENTS[:3], *SEGMENTS[4:]])
    assert offline(world.bundle()) == "missing 9"


def test_an_entry_that_is_not_the_signed_one_has_no_bundle(world: World) -> None:
    """Its proof would lead to another root."""
    world.write(written([content(100, [b"{}"] * 25)]))
    with pytest.raises(Tampered, match="rewritten"):
        world.bundle(3)


def test_an_erasure_that_was_broken_off_still_has_its_record(world: World) -> None:
    """Where some of what a record names is readable still, the record holds: its leaves are those of all."""
    half = replace(BEFORE[2], payload=BEFORE[2].payload)
    opened = SEGMENTS[2].opened
    gone = {place: leaf for place, leaf in opened.erased.items() if place < 2}
    entries = [*opened.entries[:2], *half.opened.entries[2:]]
    mixed = replace(half.opened, entries=entries, erased=gone)
    world.write([*SEGMENTS[:2], replace(half, payload=mixed.pack(), codec=5), *SEGMENTS[3:]])
    assert (world.verify().erased, world.verify().readable) == (4, 2)
    assert not offline(world.bundle(5))
    assert offline(world.bundle()) == "erasure 5", "a chain's bundle is refused until the erasure is finished"


def test_an_erased_entry_has_no_bundle_until_its_record_is_sealed(world: World) -> None:
    """For the minute between an erasure and the next checkpoint nothing is damaged: it is asked for again."""
    leaves = leaves_of(world.segments)[:2]
    head = Head.after(world.segments[-1])
    (told,) = written([content(24, [record(0, 1, leaves)], "erase")], head)
    world._append(told)
    world.write([erased(each, 0, 1) for each in world.segments])
    with pytest.raises(Conflict, match="and the record of it, entry 31, is in no checkpoint yet"):
        world.bundle(1)
    world.seal()
    assert not offline(world.bundle(1))


def test_entries_that_are_put_back_are_told(world: World) -> None:
    """An old copy of erased entries is what was signed; that the log recorded their erasure is told."""
    world.write([*SEGMENTS[:2], BEFORE[2], *world.segments[3:]])
    assert (world.verify().erased, world.verify().json()["readable"]) == (2, 4)
    assert world.feed() == {"MODIFY"}


def test_verification_tells_what_it_was_against(world: World) -> None:
    """How many checkpoints, the newest with its witnesses, what is behind it, how long none was signed."""
    world.now += 10 * 60_000_000_000
    world.seal()
    told = world.verify().json()
    assert (told["checkpoints"], told["unsealed"], told["late"], told["longest_pause"]) == (5, 0, 1, 660)
    point = told["checkpoint"]
    assert isinstance(point, dict)
    assert (point["number"], point["size"], point["cosigned"]) == (4, 31, ["witness.example/w1"])


def test_a_quorum_is_one_of_the_newest_checkpoint(world: World) -> None:
    """Cosignatures of others count for nothing, and two lines of one witness for one."""
    other = Key("witness.example/w2", COSIGNATURE, Signer("other").public_key())
    with pytest.raises(Tampered, match="quorum"):
        world.verification((WITNESS_KEY, other), 2).verify(CHAIN)
    assert world.verification((WITNESS_KEY, other), 1).verify(CHAIN).course.cosigned == (WITNESS_KEY.name,)
    with pytest.raises(Tampered, match="quorum"):
        world.verification((other,), 1).verify(CHAIN)


def test_a_witness_is_somebody_else(world: World) -> None:
    """The log's own key under another name is no witness, and one key under two names is one."""
    text = world.sealer.newest(CHAIN).note.text  # type: ignore[union-attr]
    named = [replace(WITNESS_KEY, name="w2.example"), replace(KEYS.timed, name="w3.example")]
    for key, signer in zip(named, (WITNESS, SIGNER), strict=True):
        line = notes.cosigned(text, key, signer.sign, 1_764_000_000).line
        world.notes.attach(CHAIN, 3, f"witness-{key.name}", line.encode())
    for witnesses, most in (((WITNESS_KEY, *named), 1), ((KEYS.timed,), 0)):
        assert world.verification(witnesses, most).verify(CHAIN).entries
        with pytest.raises(Tampered, match=f"cosigned by {most} witnesses"):
            world.verification(witnesses, most + 1).verify(CHAIN)


def test_two_trees_of_one_size_are_found(world: World) -> None:
    """A log that signs two trees of one size has forked, whichever of them is in the table."""
    newest = world.sealer.newest(CHAIN)
    assert newest is not None
    forged = replace(newest.checkpoint, root=bytes(32)).text
    lines = (
        notes.signed(forged, KEYS.of(CHAIN), world.sealer.signer.sign),
        notes.cosigned(forged, KEYS.timed, world.sealer.signer.sign, newest.seconds + 60),
    )
    world.notes.put(CHAIN, 4, notes.Note(forged, lines).bytes)
    with pytest.raises(Tampered, match="two trees of 25") as damage:
        world.verification((), 0).verify(CHAIN)
    assert (damage.value.kind, damage.value.seq) == ("rewritten", 24)
    assert offline(world.bundle(), 0) == "rewritten 24"


class Failing:
    """Notes whose calls fail from the n-th on."""

    def __init__(self, inner: Any, after: int) -> None:
        self._inner, self._left = inner, after

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: object) -> object:
            self._left -= 1
            if self._left < 0:
                raise Unavailable("it does not answer")
            return getattr(self._inner, name)(*arguments)

        return call


def test_a_store_that_fails_is_no_verdict(world: World) -> None:
    """Wherever the store of checkpoints fails, that is told, and never taken for a chain that is whole."""
    calls = 0
    while True:
        by = Attested(Failing(world.notes, calls), lambda: KEYS, (WITNESS_KEY,), 1)
        try:
            ChainVerification(world.ledger, by).verify(CHAIN)
            break
        except Unavailable:
            calls += 1
    assert calls >= 9
    assert course(Attested(world.notes, lambda: KEYS), CHAIN).count == 4


def test_other_processes_find_the_same(tmp_path: Path) -> None:
    """Real processes on the real store, whole and damaged, say what one process says."""
    home = application(str(tmp_path))
    for number in range(6):
        store(tmp_path, "a", [b'{"n":%d}' % number] * 2)
    alone = ChainVerification(home.ledger)
    spread = replace(alone, spread=Processes(home.settings, home.ledger), cores=2, small=1, run=1)
    assert spread.verify("a/0") == alone.verify("a/0")
    assert isinstance(home.segments, SqliteLedger)
    with home.segments._db.writing() as table:
        table.execute("UPDATE segments SET t = t + 1 WHERE first = 7")
    found = []
    for each in (alone, spread):
        with pytest.raises(Tampered) as damage:
            each.verify("a/0")
        found.append(str(damage.value))
    assert found[0] == found[1]


def test_runs_of_a_chain_without_trees_are_one(tmp_path: Path) -> None:
    """Segments of a version before trees cannot be begun at; such a chain is checked in one run."""
    segments = [replace(each, tree=b"") for each in written([content(n, [b"{}"]) for n in range(6)])]
    ledger = SqliteLedger(":memory:")
    for each in segments:
        ledger.append(each)
    by = ChainVerification(ledger, None, lambda jobs: map(partial(check_run, ledger), jobs), 2, 1, 1)
    assert len(by._jobs(CHAIN, (), {})) == 1
    assert by.verify(CHAIN).entries == 6


def test_the_commands_from_end_to_end(cli: Any, tmp_path: Path) -> None:  # noqa: F811
    """What `sentinel bundle` writes is verified by both commands; `sentinel verify` says the same."""
    store(tmp_path, "a", [b'{"n":1}\n{"n":2}', b'{"n":3}'])
    home = application(str(tmp_path))
    sealed = home.sealer.seal("a/0")
    key = home.log_keys.of("a/0").vkey
    told = cli("verify", "--home", tmp_path, "--json").json[0]
    assert (told["verified"], told["checkpoint"]["size"], told["checkpoint"]["time"]) == (
        True,
        3,
        sealed.seconds,
    )
    shown = cli("verify", "--home", tmp_path).out
    assert "1 checkpoints, newest 0" in shown
    for number, more in enumerate(([], ["--entry", "1"])):
        file = tmp_path / f"bundle-{number}"
        file.write_text(cli("bundle", "--home", tmp_path, "--chain", "a/0", *more).out)
        assert sentinel_verify.main([str(file), "--key", key]) == 0
        if NODE:
            assert os.spawnv(os.P_WAIT, NODE, [NODE, str(PROGRAM), str(file), "--key", key]) == 0
        file.write_text(file.read_text().replace('\\"n\\"', '\\"m\\"'))
        assert sentinel_verify.main([str(file), "--key", key]) == 1
    assert cli("bundle", "--home", tmp_path, "--chain", "a/0", "--entry", "9").code == 1
    assert cli("bundle", "--home", tmp_path, "--chain", "b/0").code == 1
    assert cli("verify", "--home", tmp_path, "--witness", "nonsense").code == 2
    assert cli("verify", "--home", tmp_path, "--witness", home.log_keys.of("a/0").vkey).code == 2
    assert cli("verify", "--home", tmp_path, "--witness", WITNESS_KEY.vkey).code == 1
    assert cli("verify", "--home", tmp_path, "--witness", WITNESS_KEY.vkey, "--quorum", "0").code == 0
    for named in ((), ("--witness", WITNESS_KEY.vkey)):  # a mistake, and no damage of any chain
        assert cli("verify", "--home", tmp_path, *named, "--quorum", len(named) // 2 + 1).code == 2


SPOOF = "x\x1b[2K\r\x9b2K\nverified  a/0: 9 entries\n\u202e"


def test_a_refused_bundle_prints_nothing_that_looks_verified(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The log that a header names is anybody's text: no line of it, and nothing that a terminal obeys."""
    file = tmp_path / "bundle"
    header = {"sentinel-bundle": 1, "kind": "chain", "chain": "a/0", "origin": f"{SPOOF}/a/0"}
    file.write_bytes(orjson.dumps(header) + b"\n")
    assert sentinel_verify.main([str(file), "--key", VKEY]) == 1
    told = [capsys.readouterr().out]
    if NODE:
        command = [NODE, str(PROGRAM), str(file), "--key", VKEY]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        assert done.returncode == 1
        told.append(done.stdout.decode())
    for each in told:
        assert each.startswith("REFUSED   at entry 0, line 1: key: ")
        assert len(each.splitlines()) == 1
        assert each[:-1].isprintable()
    assert len({*told}) == 1


def _log_of(chain: str, segments: Sequence[Sequence[bytes]], seconds: int) -> bytes:
    """Return the bundle of a chain of these entries, sealed once."""
    salt, head, size = hashing.salt(bytes(32), b"{}"), hashing.genesis(chain), 0
    peaks: tuple[bytes, ...] = ()
    origin = notes.origin_of(LOG, chain)
    lines: list[Any] = [{"sentinel-bundle": 1, "kind": "chain", "chain": chain, "origin": origin}]
    for entries in segments:
        found = hashing.links(head, hashing.leaves(salt, entries), 5, hashing.service_of(chain))
        told = {"first": size, "count": len(entries), "prev": head.hex(), "head": found[-1].hex(), "t": "5"}
        texts = [each.decode() for each in entries]
        lines.append({"segment": {**told, "nonce": "00" * 32, "context": "{}", "entries": texts}})
        peaks, head, size = merkle.grow(size, peaks, found), found[-1], size + len(entries)
    text = notes.Checkpoint(origin, size, merkle.root(peaks)).text
    plain = notes.signed(text, KEYS.of(chain), SIGNER.sign)
    note = notes.Note(text, (plain, notes.cosigned(text, KEYS.timed, SIGNER.sign, seconds)))
    lines.append({"checkpoint": {"number": 0, "note": note.bytes.decode()}})
    counts = {"entries": size, "segments": len(segments), "checkpoints": 1, "unsealed": 0}
    return broken.dump([*lines, {"end": counts}])


def _both(file: Path, *more: str) -> list[tuple[int, str]]:
    """Return exit code and words of both commands, the second where there is a node."""
    programs = [[sys.executable, str(sentinel_verify.__file__)], *([[NODE, str(PROGRAM)]] if NODE else [])]
    found = []
    for program in programs:
        words = [*program, str(file), "--key", VKEY, *more]
        done = subprocess.run(words, capture_output=True, timeout=100, check=False)
        found.append((done.returncode, re.sub(r"-?\d+ s ", "", done.stdout.decode())))
    return found


def test_a_verified_chain_has_no_name_that_a_terminal_obeys(tmp_path: Path) -> None:
    """Who writes the table names chains, and they are sealed, too: names are printed as JSON has them."""
    file = tmp_path / "bundle"
    file.write_bytes(_log_of(f"{SPOOF}é/0", [[b"{}"]], 1_764_000_000))
    for code, told in (found := _both(file)):
        assert (code, told.count("\n"), told.replace("\n", "").isprintable()) == (0, 3, True)
        assert told.startswith("verified  x\\u001b[2K\\r\\u009b2K\\nverified  a/0: 9 entries\\n\\u202eé/0: 1")
    assert len({*found}) == 1


def test_a_checkpoint_of_a_time_to_come_is_not_fresh(tmp_path: Path) -> None:
    """A log whose clock was once years ahead would be fresh for years: `--max-age` refuses it."""
    file = tmp_path / "bundle"
    for ahead, code in ((300, 0), (900, 1)):
        file.write_bytes(_log_of(CHAIN, [[b"{}"]], int(time.time()) + ahead))
        for found, told in _both(file, "--max-age", "60"):
            assert (found, ": stale: " in told) == (code, bool(code))


def test_an_entry_may_be_as_long_as_a_line(tmp_path: Path) -> None:
    """What a segment may hold, both read: of 20 MB a regular expression runs out of stack."""
    file = tmp_path / "bundle"
    file.write_bytes(_log_of(CHAIN, [[b"x" * 20_000_000, b'"\\' * 100_000]], 1_764_000_000))
    assert [code for code, _ in _both(file)] == [0] * (2 if NODE else 1)


@pytest.mark.nightly
def test_an_erasure_may_be_of_many_entries(tmp_path: Path) -> None:
    """More leaves than a function takes arguments."""
    count = 130_000
    lines = broken.parse(_log_of(CHAIN, [[b"{}"] * count], 1_764_000_000))
    leaves = hashing.leaves(hashing.salt(bytes(32), b"{}"), [b"{}"] * count)
    gone = lines[1]["segment"]
    gone["entries"] = [{"erased": leaf.hex()} for leaf in leaves]
    entry, context = record(0, count - 1, leaves), b'{"endpoint":"erase"}'
    own = hashing.leaves(hashing.salt(bytes(32), context), [entry])
    head = hashing.links(bytes.fromhex(gone["head"]), own, 5, "checkout")[-1].hex()
    told = {**gone, "first": count, "count": 1, "prev": gone["head"], "head": head}
    lines.insert(3, {"segment": {**told, "context": context.decode(), "entries": [entry.decode()]}})
    lines[-1]["end"] |= {"entries": count + 1, "segments": 2, "unsealed": 1}
    file = tmp_path / "bundle"
    file.write_bytes(broken.dump(lines))
    assert [code for code, _ in _both(file)] == [0] * (2 if NODE else 1)


def test_looking_makes_no_key(cli: Any, tmp_path: Path) -> None:  # noqa: F811
    """Who verifies or bundles a chain that was never sealed makes no key of a log by that."""
    store(tmp_path, "a", [b'{"n":1}'])
    assert "no checkpoint of it was signed" in cli("verify", "--home", tmp_path).out
    assert cli("bundle", "--home", tmp_path, "--chain", "a/0").code == 0
    assert not (tmp_path / "log.key").exists()
    assert sys.modules["sentinel_verify"].__file__ is not None


def test_the_offline_verifier_imports_nothing_of_sentinel() -> None:
    """The standard library and `cryptography`: all that somebody has to trust beside the file itself."""
    import ast

    source = Path(str(sentinel_verify.__file__)).read_text()
    found = {
        (each.module or "").split(".")[0]
        if isinstance(each, ast.ImportFrom)
        else each.names[0].name.split(".")[0]
        for each in ast.walk(ast.parse(source))
        if isinstance(each, ast.Import | ast.ImportFrom)
    }
    assert {each for each in found if each not in sys.stdlib_module_names} == {"cryptography"}
    assert LOG not in source


def test_many_checkpoints_are_read_at_once_and_in_order(world: World) -> None:
    """Those of days are asked for side by side, and still checked one after the other."""
    for _ in range(FEW):
        world.seal()
    assert world.verify().course.count == FEW + 4
    told = vectors.verdict(world.bundle())
    assert (told["checkpoints"], told["checkpoint"]["number"]) == (FEW + 4, FEW + 3)
    world.note(40).unlink()
    with pytest.raises(Tampered, match="checkpoint 40 is gone"):
        world.verify()
    assert offline(world.bundle()) == "order 31"
