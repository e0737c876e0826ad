"""Cosigning: real witnesses answer over sockets, hostile ones say what they like, and sealing goes on."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.adapters.log_folder import FolderNotes, FolderTiles
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.bootstrap_witness import cosigner_of
from sentinel.core import notes, witnessing
from sentinel.core.notes import COSIGNATURE, ED25519, Key, Signature
from sentinel.core.segment import Segment
from sentinel.core.witnessing import OtherSize, Unproven
from sentinel.errors import Forbidden, Malformed, Missing, Rejected, Tampered, Unavailable
from sentinel.settings import Settings
from sentinel.usecases import submit
from sentinel.usecases.checkpoints import name_of, whole
from sentinel.usecases.cosign import SPARED, Cosigner
from sentinel.usecases.seal import SECOND, Sealed, Sealer
from sentinel.usecases.submit import Submitter
from sentinel.usecases.witness import Witness
from tests.chains import grow
from tests.loopback import Asked, Loopback, Told
from tests.witnesses import Signer, cosigned_by_hand, witness
from tests.writers import appender, numbered

LOG, CHAIN = "log.example", "checkout/0"
SEGMENTS = grow(CHAIN, [[b"{}"] * 100] * 8)
KEY = Key(LOG, ED25519, Signer(1).public_key())
NOW = 1_790_000_000  # whatever it is: the clocks here are in the hand of the tests
STATUS: dict[type[Rejected], int] = {Malformed: 400, Forbidden: 403, Missing: 404, Unproven: 422}


def answering(one: Witness) -> Callable[[Asked], Told]:
    """Return what answers as a witness does, by its own use case."""

    def answer(asked: Asked) -> Told:
        assert (asked.method, asked.path) == ("POST", "/w/add-checkpoint")
        try:
            return Told(200, one.add(asked.body).encode())
        except OtherSize as error:
            return Told(409, f"{error.size}\n".encode(), {"Content-Type": witnessing.SIZE_TYPE})
        except Rejected as error:
            return Told(next(status for kind, status in STATUS.items() if isinstance(error, kind)))

    return answer


def sizes(server: Loopback) -> list[int]:
    """Return the old sizes that a witness was asked with."""
    return [int(each.body.split(b"\n")[0].split(b" ")[1]) for each in server.asked]


@dataclass
class Log:
    """A log on one machine, whose ledger holds the first segments of one chain, and its sealer."""

    home: Path
    ledger: SqliteLedger
    clock: list[int]
    http: HttpClient

    @property
    def sealer(self) -> Sealer:
        return Sealer(self.ledger, self.notes, self.tiles, Signer(1), LOG, lambda: self.clock[0])

    @property
    def notes(self) -> FolderNotes:
        return FolderNotes(self.home)

    @property
    def tiles(self) -> FolderTiles:
        return FolderTiles(self.home)

    def grow(self, *segments: Segment) -> Sealed:
        """Append segments, the first where there would be none, and seal."""
        for each in segments or SEGMENTS[: self.ledger.head(CHAIN) is None]:
            self.ledger.append(each)
        return self.sealer.seal(CHAIN)

    def begin(self, chain: str) -> Sealed:
        """Let there be another chain, and seal it."""
        appender(self.ledger).append(chain, numbered(1))
        return self.sealer.seal(chain)

    def asks(self, server: Loopback, name: str = "witness.example/w1") -> Submitter:
        key = Key(name, COSIGNATURE, Signer(9).public_key())
        stores = (self.http, self.notes, self.tiles, self.sealer.newest, lambda: self.clock[0])
        return Submitter(f"http://127.0.0.1:{server.port}/w/", key, *stores)

    def cosigner(self, *asked: Submitter, **options: object) -> Cosigner:
        return Cosigner(asked, self.notes, lambda: self.clock[0], **options)  # type: ignore[arg-type]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    """Return a log with no entry yet."""
    http = HttpClient(Hosts(["127.0.0.1"], private=True))
    yield Log(tmp_path / "log", SqliteLedger(":memory:"), [NOW * SECOND], http)
    http.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[Asked], Told]], Loopback]]:
    """Return what starts servers that end with the test."""
    servers: list[Loopback] = []

    def start(answer: Callable[[Asked], Told]) -> Loopback:
        servers.append(Loopback(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


Serve = Callable[[Callable[[Asked], Told]], Loopback]


def test_a_checkpoint_is_cosigned(log: Log, serve: Serve) -> None:
    """Cosignatures of new, grown and resting trees are attached and verify by hand; proofs are short."""
    one = witness(KEY.vkey, seconds=NOW)
    server = serve(answering(one))
    cosigner = log.cosigner(log.asks(server))
    for segments in (SEGMENTS[:1], [], SEGMENTS[1:4], SEGMENTS[4:8]):
        sealed = log.grow(*segments)
        offered = cosigner.offer(sealed)
        assert (offered.cosigned, offered.missed, offered.reached) == ((one.name,), {}, True)
        found = whole(log.notes, CHAIN, sealed.number)
        assert found.signatures[:2] == sealed.note.signatures
        assert cosigned_by_hand(found.signatures[2].line, one.key, sealed.note.text) == NOW
        assert len(found.signatures) == 3
    assert sizes(server) == [0, 100, 100, 400]
    assert all(each.body.count(b"\n") < 20 for each in server.asked)


def test_what_it_cosigned_last_is_found_again(log: Log, serve: Serve) -> None:
    """A new process begins where the checkpoint before was cosigned; without that, the conflict tells it."""
    server = serve(answering(witness(KEY.vkey, seconds=NOW)))
    log.cosigner(log.asks(server)).offer(log.grow(*SEGMENTS[:2]))
    assert log.cosigner(log.asks(server)).offer(log.grow(*SEGMENTS[2:3])).reached
    assert sizes(server) == [0, 200]
    log.grow(*SEGMENTS[3:4])  # nobody offers this one
    assert log.cosigner(log.asks(server)).offer(log.grow(*SEGMENTS[4:5])).reached
    assert sizes(server) == [0, 200, 0, 300]


def test_an_answer_that_is_lost(log: Log, serve: Serve) -> None:
    """A witness that cosigned unseen is asked again from there, and its cosignature is had the next time."""
    one = witness(KEY.vkey, seconds=NOW)
    server = serve(answering(one))
    cosigner = log.cosigner(log.asks(server))
    cosigner.offer(log.grow(*SEGMENTS[:1]))
    server.answer = lambda asked: replace(answering(one)(asked), lost=True)
    missed = cosigner.offer(log.grow(*SEGMENTS[1:2]))
    assert not missed.reached
    assert whole(log.notes, CHAIN, 1).signatures == log.sealer.newest(CHAIN).note.signatures  # type: ignore[union-attr]
    server.answer = answering(one)
    log.clock[0] += SECOND
    assert cosigner.offer(log.grow()).reached
    assert sizes(server) == [0, 100, 100, 200]


def test_a_witness_that_forgot(log: Log, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """A witness with an old database is told in the log, and continues with the same history."""
    server = serve(answering(witness(KEY.vkey, seconds=NOW)))
    cosigner = log.cosigner(log.asks(server))
    cosigner.offer(log.grow(*SEGMENTS[:2]))
    server.answer = answering(witness(KEY.vkey, seconds=NOW))
    assert cosigner.offer(log.grow(*SEGMENTS[2:3])).reached
    assert "has forgotten" in caplog.text


def test_a_dead_witness_stops_nobody(log: Log, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Others cosign all the same; the quorum says if that is enough; the dead one is spared for a while."""
    alive, dead = serve(answering(witness(KEY.vkey, seconds=NOW))), serve(lambda _: Told(lost=True))
    pair = (log.asks(alive), log.asks(dead, "witness.example/w2"))
    cosigner = log.cosigner(*pair)
    offered = cosigner.offer(log.grow(*SEGMENTS[:1]))
    assert (offered.cosigned, list(offered.missed)) == (("witness.example/w1",), ["witness.example/w2"])
    assert not offered.reached
    assert "missed its quorum" in caplog.text
    assert log.cosigner(*pair, quorum=1).offer(log.grow()).reached
    log.clock[0] += SECOND
    cosigner.offer(log.grow())
    asked = len(dead.asked)
    for _ in range(3):
        log.clock[0] += 10 * SECOND
        assert "left alone" in cosigner.offer(log.grow()).missed["witness.example/w2"]
    assert len(dead.asked) == asked
    log.clock[0] += int(SPARED) * SECOND
    dead.answer = answering(witness(KEY.vkey, seconds=NOW + 76, name="witness.example/w2"))
    alive.answer = answering(witness(KEY.vkey, seconds=NOW + 76))
    assert cosigner.offer(log.grow()).reached


def test_a_slow_witness_stops_nobody(log: Log, serve: Serve) -> None:
    """Whoever does not answer within the budget is left behind, and not asked twice at a time."""
    import threading

    gate = threading.Event()

    def slow(_: Asked) -> Told:
        gate.wait(100)
        return Told(lost=True)

    alive, stuck = serve(answering(witness(KEY.vkey, seconds=NOW))), serve(slow)
    pair = (log.asks(alive), log.asks(stuck, "witness.example/w2"))
    cosigner = log.cosigner(*pair, budget=4.0)
    pair[0].ask(log.grow(), 5.0)  # so that it is known, and a connection kept
    for _ in range(2):
        offered = cosigner.offer(log.grow())
        assert offered.cosigned == ("witness.example/w1",)
        assert offered.missed.keys() == {"witness.example/w2"}
    hurried = log.cosigner(pair[1], budget=0.1)
    told = []
    for number in range(3):
        told.append(hurried.offer(log.begin(f"slow/{number}")).missed["witness.example/w2"])
        log.clock[0] += SECOND
    gate.set()
    assert "left alone" not in told[0] + told[1]
    assert "left alone" in told[2], "a run over many chains waits for it twice, not once for each"


def test_a_name_that_takes_for_ever(log: Log) -> None:
    """What hangs below any time limit, as a resolver may, is waited for no longer and not begun twice."""
    import threading

    gate, looked = threading.Event(), []

    def resolve(host: str, port: int) -> list[str]:
        looked.append(host)
        gate.wait(100)
        return []

    http = HttpClient(Hosts(["w.example"], resolve=resolve))
    stores = (http, log.notes, log.tiles, log.sealer.newest, lambda: log.clock[0])
    cosigner = log.cosigner(Submitter("https://w.example", log_key(), *stores), budget=0.1)
    told = []
    for _ in range(2):
        told.append(cosigner.offer(log.grow()).missed["witness.example/w1"])
        log.clock[0] += SECOND
    gate.set()
    assert [each.startswith("it has not answered yet") for each in told] == [False, True]
    assert looked == ["w.example"]


def test_many_chains_at_once(log: Log, serve: Serve) -> None:
    """Threads that seal different chains share one cosigner; what is stuck for one is not asked for all."""
    from concurrent.futures import ThreadPoolExecutor

    server = serve(answering(witness(Key(LOG, ED25519, Signer(1).public_key()).vkey, seconds=NOW)))
    cosigner = log.cosigner(log.asks(server))
    chains = [f"many/{number}" for number in range(8)]
    sealed = [log.begin(chain) for chain in chains]
    with ThreadPoolExecutor(8) as pool:
        assert all(each.reached for each in pool.map(cosigner.offer, sealed))
    assert len(server.asked) == 8
    stuck = log.cosigner(log.asks(server))
    stuck._busy = {("witness.example/w1", f"other/{number}") for number in range(16)}
    assert not stuck.offer(sealed[0]).reached


def _signed(text: str, seconds: int = NOW, seed: int = 9, name: str = "witness.example/w1") -> bytes:
    key = Key(name, COSIGNATURE, Signer(seed).public_key())
    return notes.cosigned(text, key, Signer(seed).sign, seconds).line.encode()


def _said(body: bytes, status: int = 200, kind: str = "text/plain") -> Callable[[str], Told]:
    return lambda _: Told(status, body, {"Content-Type": kind})


LONG = Signature("w" * 900, b"abcd", bytes(1_200)).line.encode()
HOSTILE: dict[str, Callable[[str], Told]] = {
    "nothing": _said(b""),
    "noise": _said(b"\xff\xfe\n"),
    "no line": _said(b"hello\n"),
    "a line without an end": lambda text: Told(200, _signed(text)[:-1]),
    "another text": _said(_signed("log.example/checkout/0\n100\nAAAA\n")),
    "another key": lambda text: Told(200, _signed(text, seed=8)),
    "another name": lambda text: Told(200, _signed(text, name="witness.example/w3")),
    "an old time": lambda text: Told(200, _signed(text, NOW - submit.SKEW - 1)),
    "a time to come": lambda text: Told(200, _signed(text, NOW + submit.SKEW + 1)),
    "a changed time": lambda text: Told(200, _retimed(text)),
    "too short a signature": lambda text: Told(
        200, Signature("witness.example/w1", log_key().id, b"short").line.encode()
    ),
    "too many lines": lambda text: Told(200, _signed(text) * 65),
    "too much": lambda text: Told(200, _signed(text) + LONG * 10),
    "one good, one wrong": lambda text: Told(200, _signed(text) + _retimed(text)),
    "a conflict without its type": _said(b"500\n", 409),
    "a conflict that is none": _said(b"0\n", 409, witnessing.SIZE_TYPE),
    "a conflict of noise": _said(b"-5\n", 409, witnessing.SIZE_TYPE),
    "a conflict again and again": _said(b"50\n", 409, witnessing.SIZE_TYPE),
    "a redirect": lambda _: Told(302, b"", {"Location": "http://127.0.0.1:1/"}),
    "an unknown log": _said(b"", 404),
    "an unknown key": _said(b"", 403),
    "a proof refused that was empty": _said(b"", 422),
    "malformed": _said(b"", 400),
    "an error": _said(b"", 500),
    "no HTTP": lambda _: Told(lost=True),
}


def log_key() -> Key:
    """Return the key of the witness that is asked."""
    return Key("witness.example/w1", COSIGNATURE, Signer(9).public_key())


def _retimed(text: str) -> bytes:
    """Return a cosignature whose time was changed afterwards."""
    line = notes.read_lines(_signed(text).decode())[0]
    return replace(line, raw=(NOW + 1).to_bytes(8, "big") + line.raw[8:]).line.encode()


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_witnesses(kind: str, log: Log, serve: Serve) -> None:
    """Whatever a witness answers, nothing but its own good cosignature is attached, and nothing is raised."""
    sealed = log.grow(*SEGMENTS[:1])
    server = serve(lambda _: HOSTILE[kind](sealed.note.text))
    offered = log.cosigner(log.asks(server)).offer(sealed)
    assert (offered.cosigned, offered.reached) == ((), False)
    assert offered.missed["witness.example/w1"]
    assert log.notes.attached(CHAIN, sealed.number) == {}
    assert whole(log.notes, CHAIN, sealed.number) == sealed.note


def test_lines_of_others_are_let_be(log: Log, serve: Serve) -> None:
    """An answer may hold lines by other keys, as the specification says; only the own one is kept."""
    sealed = log.grow(*SEGMENTS[:1])
    good = _signed(sealed.note.text)
    stranger = _signed("other", seed=8, name="witness.example/w2")
    server = serve(lambda _: Told(200, stranger + good))
    assert log.cosigner(log.asks(server)).offer(sealed).reached
    assert log.notes.attached(CHAIN, 0) == {name_of(log_key()): good}


@pytest.mark.parametrize("kind", ["larger", "same", "proof"])
def test_a_witness_that_saw_another_history(kind: str, log: Log, serve: Serve) -> None:
    """A larger tree, another one of the same size, or a right proof refused is told as tampering."""
    other = grow(CHAIN, [[b'{"a":1}'] * 100] * 8, seed=7)
    fork = Log(log.home.parent / "fork", SqliteLedger(":memory:"), log.clock, log.http)
    good, bad = (witness(KEY.vkey, seconds=NOW, name=f"witness.example/w{n}") for n in (2, 1))
    servers = serve(answering(good)), serve(answering(bad))
    forked = fork.grow(*{"larger": other[:5], "same": other[:3], "proof": other[:2]}[kind])
    assert fork.cosigner(fork.asks(servers[1])).offer(forked).reached
    sealed = log.grow(*SEGMENTS[:3])
    with pytest.raises(Tampered) as caught:
        log.cosigner(log.asks(servers[1]), log.asks(servers[0], "witness.example/w2"), quorum=1).offer(sealed)
    assert (caught.value.chain, caught.value.kind, caught.value.seq) == (CHAIN, "witness", 300)
    assert "witness.example/w1" in caught.value.detail
    assert len(whole(log.notes, CHAIN, 0).signatures) == 3, "the other one's cosignature is kept"


def test_a_restored_old_copy_of_the_log(log: Log, serve: Serve) -> None:
    """A log whose table and checkpoints are both an old copy cannot see that itself: its witness does."""
    server = serve(answering(witness(KEY.vkey, seconds=NOW)))
    log.cosigner(log.asks(server)).offer(log.grow(*SEGMENTS[:2]))
    copy = Log(log.home.parent / "copy", SqliteLedger(":memory:"), log.clock, log.http)
    shutil.copytree(log.home, copy.home)
    log.cosigner(log.asks(server)).offer(log.grow(*SEGMENTS[2:4]))
    with pytest.raises(Tampered, match="signed none above 200"):
        copy.cosigner(copy.asks(server)).offer(copy.grow(*SEGMENTS[:2]))


def test_another_sealer_that_was_quicker(log: Log, serve: Serve) -> None:
    """A conflict with a size that this log has signed meanwhile is no finding."""
    server = serve(answering(witness(KEY.vkey, seconds=NOW)))
    late = log.grow(*SEGMENTS[:1])
    cosigner = log.cosigner(log.asks(server))
    log.cosigner(log.asks(server)).offer(log.grow(*SEGMENTS[1:2]))
    assert "newer" in cosigner.offer(late).missed["witness.example/w1"]
    assert cosigner.offer(log.grow()).reached


def test_tiles_that_are_wrong_or_gone(log: Log, serve: Serve) -> None:
    """No proof is sent that does not verify, so that a witness is not blamed for our own damage."""
    server = serve(answering(witness(KEY.vkey, seconds=NOW)))
    cosigner = log.cosigner(log.asks(server))
    cosigner.offer(log.grow(*SEGMENTS[:3]))
    sealed = log.grow(*SEGMENTS[3:7])
    tile = next(log.home.glob("*/tile/0/001"))
    good = tile.read_bytes()
    tile.write_bytes(good[:64] + bytes(32) + good[96:])
    assert "not those of the signed tree" in cosigner.offer(sealed).missed["witness.example/w1"]
    tile.unlink()
    assert "not there" in cosigner.offer(sealed).missed["witness.example/w1"]
    assert sizes(server) == [0]
    log.tiles.put(CHAIN, "0/001", good)
    assert cosigner.offer(sealed).reached


class _Unattached(FolderNotes):
    """Cannot attach, or read what is attached."""

    def attach(self, chain: str, number: int, name: str, data: bytes) -> None:
        raise Unavailable("no room")

    def attached(self, chain: str, number: int) -> dict[str, bytes]:
        raise Unavailable("no room")


def test_a_store_that_fails(log: Log, serve: Serve) -> None:
    """Where attaching fails the witness counts as missed, and the next checkpoint has it again."""
    server = serve(answering(witness(KEY.vkey, seconds=NOW)))
    cosigner = log.cosigner(log.asks(server))
    cosigner.offer(log.grow())
    failing = replace(cosigner, notes=_Unattached(log.home), _breakers={}, _busy=set())
    assert failing.offer(log.grow(*SEGMENTS[1:2])).missed == {"witness.example/w1": "no room"}
    asked = replace(log.asks(server), notes=_Unattached(log.home))
    assert log.cosigner(asked).offer(log.grow()).reached


def test_without_witnesses(log: Log) -> None:
    """Where none is set nobody is asked, and no quorum is missed."""
    offered = cosigner_of(Settings(), log.notes, log.tiles, log.sealer.newest).offer(log.grow())
    assert (offered.cosigned, offered.reached, offered.stamped) == ((), True, False)


def test_what_is_attached_and_cannot_be_read(log: Log) -> None:
    """Noise beside a checkpoint counts as not there; more lines than a note may have are cut."""
    sealed = log.grow()
    log.notes.attach(CHAIN, 0, "witness-00000000", b"\xff")
    log.notes.attach(CHAIN, 0, "witness-00000001", b"noise\n")
    log.notes.attach(CHAIN, 0, "timestamp", b"\x30\x00")
    assert whole(log.notes, CHAIN, 0) == sealed.note
    both = [Signature(f"w{n}", b"abcd", b"x") for n in (1, 2)]
    log.notes.attach(CHAIN, 0, "witness-00000002", "".join(each.line for each in both).encode())
    assert whole(log.notes, CHAIN, 0).signatures == (*sealed.note.signatures, both[0])
    many = "".join(Signature(f"w{n}", b"abcd", b"x").line for n in range(64)).encode()
    for number in range(70):
        log.notes.attach(CHAIN, 0, f"witness-1{number:07}", many)
        many = many.replace(b"w0", f"w{number}w0".encode())
    found = notes.read(whole(log.notes, CHAIN, 0).bytes)
    assert (found.signatures[:2], len(found.signatures)) == (sealed.note.signatures, notes.MOST_SIGNATURES)
    with pytest.raises(Missing):
        whole(log.notes, CHAIN, 1)


VKEY = log_key().vkey
OTHER = Key("witness.example/w2", COSIGNATURE, Signer(8).public_key()).vkey


def _named(number: int) -> str:
    return Key(f"w{number}.example", COSIGNATURE, Signer(number).public_key()).vkey


def test_witnesses_are_settings(log: Log) -> None:
    """Each is its address and key; slips are named at the start, as is a quorum that cannot be."""
    both = f"https://a.example/x={VKEY}, http://127.0.0.1:8790={OTHER},"
    assert [url for url, _ in witnessing.places(both)] == ["https://a.example/x", "http://127.0.0.1:8790"]
    stores = (log.notes, log.tiles, log.sealer.newest)
    assert len(cosigner_of(Settings(witnesses=both, witness_quorum=2), *stores).submitters) == 2
    for setting in (
        Settings(witnesses=VKEY),
        Settings(witnesses="https://a.example"),
        Settings(witnesses=f"ftp://a.example={VKEY}"),
        Settings(witnesses=f"https://u:p@a.example={VKEY}"),
        Settings(witnesses=f"https://a.example?x={VKEY}"),
        Settings(witnesses=f"https://a.example={KEY.vkey}"),
        Settings(witnesses=f"https://a.example={VKEY},https://b.example={VKEY}"),
        Settings(witnesses=f"https://a.example={VKEY}", witness_quorum=2),
        Settings(witnesses=",".join(f"https://w{n}.example={_named(n)}" for n in range(17))),
        Settings(timestamp_url="a.example"),
    ):
        with pytest.raises(Malformed, match="SENTINEL_") as caught:
            cosigner_of(setting, *stores)
        assert "u:p" not in str(caught.value)


def test_only_the_hosts_of_the_settings_are_reached(log: Log, serve: Serve) -> None:
    """A name that resolves to this machine is refused, unless the setting itself names the address."""
    now = int(time.time())  # of the real clock, which the settings bring with them
    server = serve(answering(witness(KEY.vkey, seconds=now)))
    sealed = log.grow()
    for host, reached in (("localhost.", False), ("127.0.0.1", True)):
        setting = Settings(witnesses=f"http://{host}:{server.port}/w={VKEY}")
        cosigner = cosigner_of(setting, log.notes, log.tiles, log.sealer.newest)
        offered = cosigner.offer(sealed)
        cosigner.submitters[0].http.close()  # type: ignore[attr-defined] # it is the real one
        assert offered.reached == reached, offered.missed
        assert bool(server.asked) == reached
