"""What was erased is no entry any more for whoever reads, and what tasks and deliveries kept of it goes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import pytest

from examples import check_export
from sentinel import siem
from sentinel.actions.deliver_read import Reader, hashes_of
from sentinel.adapters.blobs_folder import FolderBlobs
from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.core.delivered import Dead, Record, unpack
from sentinel.core.deliveries import DeliveryPlan
from sentinel.core.payload import CODEC_ERASED
from sentinel.core.rules import RuleSet
from sentinel.core.segment import Segment
from sentinel.core.states import By, State
from sentinel.core.steps import Matched
from sentinel.core.tasks import Effect, EffectState, Task, is_erased, moved
from sentinel.errors import Missing, Unavailable
from sentinel.usecases.carried import carried_by
from sentinel.usecases.erase_elsewhere import InDeliveries
from sentinel.usecases.erase_from import Target
from sentinel.usecases.erase_tasks import InTasks
from sentinel.usecases.evidence import cause_erased, matched
from sentinel.usecases.inspect import Inspect
from sentinel.usecases.proofs import Prover, Wish
from sentinel.usecases.related import related
from sentinel.usecases.story import read
from tests.chains import grow
from tests.contracts.made_tasks import T, created, nonce

CHAIN = "shop/0"
TEXT = "a text of seven words, all of them odd"
ENTRIES = [b'{"message":"m%d","trace_id":"%032x"}' % (n, n + 1) for n in range(3)]


def without(segment: Segment, *places: int) -> Segment:
    """Return a segment as an erasure leaves it."""
    leaves = segment.opened.leaves()
    payload = replace(segment.opened, erased={at: leaves[at] for at in places}).pack()
    return replace(segment, payload=payload, codec=segment.codec | CODEC_ERASED)


@pytest.fixture
def ledger() -> SqliteLedger:
    """A ledger whose second entry of three was erased."""
    found = SqliteLedger(":memory:")
    (segment,) = grow(CHAIN, [ENTRIES])
    found.append(without(segment, 1))
    return found


def task(*places: int, **changes: object) -> Task:
    """Return a task that names entries."""
    found, _ = created("t1")
    cause = {**found.cause, "entries": [{"chain": CHAIN, "seq": seq} for seq in places]}
    return replace(found, cause=cause, **changes)  # type: ignore[arg-type]


def test_a_task_has_the_entries_that_are_left(ledger: SqliteLedger) -> None:
    """Evidence leaves out what was erased, as it does what left the table."""
    assert [each.seq for each in matched(ledger, task(0, 1, 2))] == [0, 2]
    assert cause_erased(ledger, task(0, 1))
    assert not cause_erased(ledger, task(0, 2))
    assert not cause_erased(ledger, task(7))


def test_a_delivery_leaves_it_out_and_the_ids_of_others_stay(ledger: SqliteLedger) -> None:
    """An erased entry is no event; the events behind it have the ids that they always had."""
    (whole,) = grow(CHAIN, [ENTRIES])
    sink = siem.make(siem.load("s", b"sinks: {out: {kind: file, path: a.ndjson}}")["out"])
    (segment,) = ledger.read(CHAIN)
    plan = DeliveryPlan(to="out", since="beginning")
    for each_plan in (plan, plan.model_copy(update={"only": "matches"})):
        reader = Reader(ledger, each_plan, sink, lambda: RuleSet(()), lambda: 0)
        events = reader.events(segment, 0, every=True)
        assert [each.seq for each in events] == [0, 2]
    assert hashes_of(segment) == hashes_of(whole)


def test_nothing_is_told_of_it_in_proofs_and_exports(ledger: SqliteLedger) -> None:
    """A proof has its leaf and hash, an export its leaf; neither shows what readers see in its place."""
    found = Prover(ledger, Wish(bodies=True)).prove([(CHAIN, 0), (CHAIN, 1)])
    assert [each["proven"] for each in found.entries] == [True, True]
    assert found.entries[1]["erased"] is True
    assert "entry" not in found.entries[1]
    (line,) = Inspect(ledger, lambda: SqliteTasks(":memory:")).export(CHAIN)
    (whole,) = grow(CHAIN, [ENTRIES])
    told = line["entries"]
    assert isinstance(told, list)
    assert told[1] == {"erased": whole.opened.leaves()[1].hex()}
    assert told[2] == ENTRIES[2].decode()
    assert check_export.check([orjson.dumps(line)])[1] == 3
    told[1] = {"erased": bytes(32).hex()}
    with pytest.raises(check_export.Broken):
        check_export.check([orjson.dumps(line)])


def test_it_is_no_neighbour_and_names_no_trace(ledger: SqliteLedger) -> None:
    """Neither a patch's surroundings nor a task's trace come of it."""
    (segment,) = ledger.read(CHAIN)
    entry = Matched(CHAIN, 0, segment.t, ENTRIES[0], "")
    traces = [f"{n + 1:032x}" for n in range(3)]
    assert [each.seq for each in related(ledger, [entry], traces).traced] == [2]

    @dataclass
    class Want:
        places: Sequence[tuple[str, int]]
        carried: None = None
        request: str = ""
        seen: bool = False

    assert carried_by("t1", Want([(CHAIN, 2)]), ledger).trace == traces[2]  # type: ignore[arg-type]
    assert carried_by("t1", Want([(CHAIN, 1)]), ledger).trace not in traces  # type: ignore[arg-type]


@dataclass
class Letters:
    """Dead letters that are away."""

    def forget(self, tasks: Iterable[str]) -> int:
        raise Unavailable("away")

    def compact(self) -> None:
        raise AssertionError("nothing was forgotten")


class Kept:
    """Tasks and blobs: `t1` names the erased entry, `t2` another one of the same chain, far away."""

    def __init__(self, folder: Path) -> None:
        self.tasks = SqliteTasks(folder / "tasks.db")
        self.blobs = FolderBlobs(folder / "blobs")
        self.common = self.blobs.put(b"a tree that both have")
        self.own = self.blobs.put(TEXT.encode())
        self.named = self.blobs.put(orjson.dumps({"of": self.own, "tree": self.common}))
        for name, seq, digest in (("t1", 1, self.named), ("t2", 1_000, self.common)):
            made, event = created(name)
            cause = {**made.cause, "entries": [{"chain": CHAIN, "seq": seq}]}
            self.tasks.create(replace(made, cause=cause), event)
            result = {"context": digest, "tree": self.common, "said": TEXT}
            self.tasks.record(Effect(name, "k" + name, EffectState.DONE, "s", T, result))

    def end(self, name: str, reason: str = "over") -> None:
        before = self.tasks.get(name)
        assert before is not None
        facts = {"reason": reason}
        after, event = moved(before, State.CANCELLED, T, nonce(name, 2), facts, by=By.PERSON, reason=reason)
        self.tasks.move(before, after, event)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """What two tasks keep."""
    return Kept(tmp_path)


@pytest.fixture
def target() -> Target:
    """The entry 1, which says a text."""
    (segment,) = grow(CHAIN, [[b"{}", orjson.dumps({"message": TEXT, "n": [{"deep": TEXT + "!"}]})]])
    return Target(CHAIN, 1, 1, {1: (segment, segment.opened.entries[1])})


def test_what_a_task_kept_goes_with_its_blobs_and_nothing_of_others(kept: Kept, target: Target) -> None:
    """Blobs that only it names, and what these name; one that another task has stays. Again is nothing."""
    kept.end("t1")
    place = InTasks(kept.tasks, [kept.blobs])
    found = place.forget(target)
    assert (found.counts, found.unfinished) == ({"tasks": 1, "blobs": 2}, [])
    assert kept.blobs.get(kept.common)
    for digest in (kept.own, kept.named):
        with pytest.raises(Missing):
            kept.blobs.get(digest)
    assert [
        is_erased(each.result) for name in ("t1", "t2") for each in kept.tasks.effects(name).values()
    ] == [
        True,
        False,
    ]
    story = read(kept.tasks, "t1")
    assert story is not None
    assert story.damage == ()
    assert place.forget(target).counts == {}


def test_a_task_that_has_not_ended_is_left_until_then(kept: Kept, target: Target) -> None:
    """Its worker would write back what was taken away."""
    place = InTasks(kept.tasks, [kept.blobs])
    found = place.forget(target)
    assert found.counts == {}
    assert "t1 is queued" in found.unfinished[0]
    assert kept.blobs.get(kept.own)
    kept.end("t1")
    assert place.forget(target).counts["tasks"] == 1


def test_a_lineage_that_quotes_is_told(kept: Kept, target: Target) -> None:
    """It is hashed, so it stays; whoever erases learns of it."""
    kept.end("t1", f"the target said: {TEXT}")
    found = InTasks(kept.tasks).forget(target)
    assert any("event 1 of task t1 quotes it" in each for each in found.left)
    stored = kept.tasks.get("t1")
    assert stored is not None
    assert stored.reason == "erased"


def test_a_patch_that_was_made_close_by_is_taken_for_one_that_quotes(kept: Kept, target: Target) -> None:
    """A prompt has what stands around its entries."""
    for name in ("t1", "t2"):
        kept.end(name)
    near = replace(target, first=1_010, last=1_010)
    assert InTasks(kept.tasks, [kept.blobs]).forget(near).counts["tasks"] == 1
    assert InTasks(kept.tasks).forget(replace(target, first=1_300, last=1_300)).counts == {}


def test_dead_letters_that_cannot_be_reached_are_left_for_later(kept: Kept, target: Target) -> None:
    """Everything else is forgotten all the same."""
    kept.end("t1")
    found = InTasks(kept.tasks, [], Letters()).forget(target)
    assert found.counts == {"tasks": 1}
    assert "dead letters" in found.unfinished[0]


def test_why_a_sink_refused_it_is_forgotten(target: Target) -> None:
    """Only the reasons of ranges with erased entries; which sinks had it is told."""
    counters = SqliteCounters(":memory:")
    dead = (Dead(0, 3, f"said {TEXT}", 5), Dead(7, 8, "odd", 6))
    for name, record in (("all", Record(next=9, dead=dead)), ("late", Record(next=1))):
        assert counters.store(f"delivery/{name}/{CHAIN}", record.pack(), 0, 2_000_000_000)
    assert counters.store("delivery/all", b"{}", 0, 2_000_000_000)
    assert counters.store("delivery/all/other/0", b"broken", 0, 2_000_000_000)
    place = InDeliveries(counters, counters, lambda: {"all": DeliveryPlan(to="splunk")}, lambda: T)
    found = place.forget(target)
    assert found.counts == {"refusals": 1}
    assert found.left == ["delivery all, to sink splunk may have delivered it: erase it there"]
    state, _ = counters.load(f"delivery/all/{CHAIN}")
    assert [each.reason for each in unpack(state).dead] == ["erased", "odd"]
    assert place.forget(target).counts == {}
