"""What was erased is no entry any more for whoever reads, and what tasks and deliveries kept of it goes."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from examples import check_export
from sentinel import siem
from sentinel.actions.deliver_read import Reader, hashes_of
from sentinel.adapters.blobs_folder import FolderBlobs
from sentinel.adapters.log_key_file import FileLogKey
from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.core.delivered import Dead, Record, unpack
from sentinel.core.deliveries import DeliveryPlan
from sentinel.core.notes import Key
from sentinel.core.payload import CODEC_ERASED
from sentinel.core.rules import RuleSet
from sentinel.core.segment import Segment
from sentinel.core.states import By, State
from sentinel.core.steps import Matched
from sentinel.core.tasks import LEASE_OVER, Effect, EffectState, Task, event_after, is_erased, moved
from sentinel.errors import Missing, Unavailable
from sentinel.ports_erasure import DeadLetters
from sentinel.usecases.carried import carried_by
from sentinel.usecases.erase_elsewhere import InDeliveries
from sentinel.usecases.erase_from import Forgotten, Target
from sentinel.usecases.erase_lineage import InLineage, LogNotes
from sentinel.usecases.erase_tasks import MOST, InTasks
from sentinel.usecases.evidence import cause_erased, matched
from sentinel.usecases.inspect import Inspect
from sentinel.usecases.proofs import Prover, Wish
from sentinel.usecases.related import related
from sentinel.usecases.seal import LogKeys
from sentinel.usecases.story import Story, read
from tests.chains import grow
from tests.contracts.made_tasks import T, created, nonce
from tests.faults_calls import Faults, Killed

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

        self.signer = FileLogKey(folder / "log.key", create=True)

    def key_of(self, chain: str) -> Key:
        return LogKeys("log.test", self.signer.public_key()).of(chain)

    def place(self, letters: DeadLetters | None = None, faults: Faults | None = None) -> InTasks:
        """Return what forgets what tasks keep."""
        tasks: Any = faults.wrap("tasks", self.tasks) if faults else self.tasks
        signer: Any = faults.wrap("signer", self.signer) if faults else self.signer
        blobs: Any = faults.wrap("blobs", self.blobs) if faults else self.blobs
        lineages = InLineage(tasks, LogNotes(self.key_of, signer, lambda: T), self.key_of)
        return InTasks(tasks, lineages, [blobs], letters)

    def story(self, name: str) -> Story:
        found = read(self.tasks, name, self.key_of)
        assert found is not None
        assert found.damage == ()
        return found

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
    place = kept.place()
    found = place.forget(target)
    assert (found.counts, found.unfinished) == ({"tasks": 1, "blobs": 2, "events": 1}, [])
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
    kept.story("t1")
    assert place.forget(target).counts == {}


def test_a_task_that_has_not_ended_is_left_until_then(kept: Kept, target: Target) -> None:
    """Its worker would write back what was taken away."""
    place = kept.place()
    found = place.forget(target)
    assert found.counts == {}
    assert "t1 is queued" in found.unfinished[0]
    assert kept.blobs.get(kept.own)
    kept.end("t1")
    assert place.forget(target).counts["tasks"] == 1


def test_an_event_that_may_quote_goes_and_its_leaf_stays(kept: Kept, target: Target) -> None:
    """Also where the text was cut or written in another way; what is Sentinel's own words stays."""
    kept.end("t1", f"the target said: {TEXT[:20]}")
    before = kept.tasks.lineage("t1")
    found = kept.place().forget(target)
    assert (found.counts["events"], found.unfinished) == (1, [])
    assert not any("event" in each for each in found.left)
    story = kept.story("t1")
    assert [event.erased for event in story.events] == [False, True]
    assert story.events[0] == before[0]
    assert story.bodies[1] == {k: v for k, v in before[1].body.items() if k != "reason"}
    assert (story.events[1].nonce, story.events[1].head) == (bytes(32), before[1].head)
    assert story.task is not None
    assert story.task.reason == "erased"
    assert read(kept.tasks, "t1").damage[0].kind == "erased"  # type: ignore[union-attr] # no key, no proof
    assert kept.place().forget(target).counts == {}


def test_what_was_said_after_an_erasure_goes_in_a_later_run(kept: Kept, target: Target) -> None:
    """The text is gone from the ledger by then: nothing is compared with it."""
    assert kept.place().forget(target).counts == {}  # it has not ended
    kept.end("t1", f"the target said: {TEXT}")
    later = replace(target, entries={})
    assert kept.place().forget(later).counts["events"] == 1
    kept.story("t1")


def test_words_of_sentinel_s_own_stay(kept: Kept, target: Target) -> None:
    """That a lease ran out is nobody's text."""
    kept.end("t1", LEASE_OVER)
    assert "events" not in kept.place().forget(target).counts


def test_an_author_s_signature_goes_only_with_a_quotation(kept: Kept, target: Target) -> None:
    """It is evidence of an approval; whoever erases is told, and can say that it is to go."""
    before = kept.tasks.get("t1")
    assert before is not None
    for number, why in enumerate(("fine", f"as in {TEXT}"), 2):
        payload = b64encode(orjson.dumps({"why": why})).decode()
        facts = {"who": "ann", "verdict": "approve", "envelope": {"payload": payload, "signatures": []}}
        event = event_after(before, "note", T, nonce("t1", number), facts)
        after = replace(before, version=before.version + 1, head=event.head.hex())
        kept.tasks.move(before, after, event)
        before = after
    kept.end("t1", LEASE_OVER)
    found = kept.place().forget(target)
    assert found.counts["events"] == 1
    assert [event.erased for event in kept.story("t1").events] == [False, False, True, False]
    assert any("event 1 of task t1 is an approval" in each for each in found.left)
    assert kept.place().forget(replace(target, tasks=("t1",))).counts["events"] == 1
    assert kept.story("t1").bodies[1]["who"] == "ann"


def test_a_task_that_does_not_name_it_and_has_its_text_is_told(kept: Kept, target: Target) -> None:
    """It may be chance: nothing is changed there unless whoever erases says so."""
    kept.end("t1", LEASE_OVER)
    kept.end("t2", f"just as when they said {TEXT}")
    before = kept.tasks.lineage("t2")
    found = kept.place().forget(target)
    (told,) = (each for each in found.left if "t2" in each)
    assert told.startswith(
        "task t2 does not name it, and a text of it stands in event 1, its reason, its results"
    )
    assert kept.tasks.lineage("t2") == before
    found = kept.place().forget(replace(target, tasks=("t2",)))
    assert (found.counts["events"], found.counts["tasks"]) == (1, 1)
    kept.story("t2")
    assert not any("does not name" in each for each in kept.place().forget(target).left)


def test_a_task_that_is_not_there_is_told(kept: Kept, target: Target) -> None:
    """Whoever mistypes an id learns of it; one that has not ended is told as such, and not as missing."""
    kept.end("t1")
    found = kept.place().forget(replace(target, tasks=("t1", "t2", "t7")))
    assert "there is no task t7" in found.left
    assert not any(f"no task {each}" in line for each in ("t1", "t2") for line in found.left)
    assert "t2 is queued" in found.unfinished[0]


def test_however_many_tasks_have_its_text_some_are_told(kept: Kept, target: Target) -> None:
    """The rest is counted: a text may be one that everything says."""
    for number in range(MOST + 3):
        made, event = created(f"u{number}")
        kept.tasks.create(replace(made, reason=TEXT), event)
    found = kept.place().forget(target)
    assert sum("does not name" in each for each in found.left) == MOST
    assert f"{4} more such tasks" in found.left  # t2 is one, too


def test_short_and_common_texts_are_not_looked_for_elsewhere(kept: Kept) -> None:
    """Eight characters are a quotation in a task that names the entry, and chance in others."""
    (segment,) = grow(CHAIN, [[b"{}", b'{"level":"CRITICAL","n":12345678}']])
    target = Target(CHAIN, 1, 1, {1: (segment, segment.opened.entries[1])})
    made, event = created("u1")
    kept.tasks.create(replace(made, reason="CRITICAL 12345678"), event)
    assert not any("u1" in each for each in kept.place().forget(target).left)


def test_a_lineage_that_is_damaged_is_let_be(kept: Kept, target: Target) -> None:
    """Erasing would make of what somebody wrote there something that the log has signed."""
    kept.end("t1", f"the target said: {TEXT}")
    (_, event) = kept.tasks.lineage("t1")
    assert kept.tasks.erase_event(replace(event, entry=event.entry.replace(b"said", b"sang")), event)
    before = kept.tasks.lineage("t1")
    found = kept.place().forget(target)
    assert "events" not in found.counts
    assert any("lineage of task t1 is damaged" in each for each in found.left)
    assert kept.tasks.lineage("t1") == before


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("error", [Unavailable, Killed])
def test_cut_off_anywhere_it_ends_as_if_it_had_not_been(
    tmp_path: Path, target: Target, error: type[BaseException], *, applied: bool
) -> None:
    """Each call of the store and the signer fails once, done or not; the same again completes it."""
    calls = 1
    at = 0
    while at < calls:
        at += 1
        kept = Kept(tmp_path / str(at))
        kept.end("t1", f"the target said: {TEXT}")
        faults = Faults(error, lambda n, at=at: n == at, applied)  # type: ignore[misc]
        with pytest.raises(error):
            kept.place(faults=faults).forget(target)
        whole = Faults()
        kept.place(faults=whole).forget(target)
        calls = max(calls, whole.calls)
        assert [event.erased for event in kept.story("t1").events] == [False, True]
        held = orjson.dumps([str(each) for each in (kept.tasks.get("t1"), kept.tasks.effects("t1"))])
        assert TEXT.encode() not in held
        for digest in (kept.own, kept.named):
            with pytest.raises(Missing):
                kept.blobs.get(digest)
        assert kept.blobs.get(kept.common)
        assert kept.place().forget(target).counts == {}
    assert calls >= 8


@pytest.mark.parametrize("applied", [False, True])
def test_a_patch_close_by_is_known_again_when_it_was_cut_off(
    tmp_path: Path, target: Target, *, applied: bool
) -> None:
    """It names no erased entry, and is known by what it kept: also when that is gone, and the rest is not."""
    near = replace(target, first=1_010, last=1_010)
    calls = 1
    at = 0
    while at < calls:
        at += 1
        kept = Kept(tmp_path / str(at))
        kept.end("t2", f"the target said: {TEXT}")
        faults = Faults(Unavailable, lambda n, at=at: n == at, applied)  # type: ignore[misc]
        with pytest.raises(Unavailable):
            kept.place(faults=faults).forget(near)
        whole = Faults()
        kept.place(faults=whole).forget(near)
        calls = max(calls, whole.calls)
        assert [event.erased for event in kept.story("t2").events] == [False, True]
        held = orjson.dumps([str(each) for each in (kept.tasks.get("t2"), kept.tasks.effects("t2"))])
        assert TEXT.encode() not in held
    assert calls >= 8


def test_dead_letters_of_a_patch_close_by_go_in_a_later_run(kept: Kept, target: Target) -> None:
    """When they can be reached at last, what it kept is gone, and it is known all the same."""
    kept.end("t2")
    near = replace(target, first=1_010, last=1_010)
    assert "dead letters" in kept.place(Letters()).forget(near).unfinished[0]
    asked: list[list[str]] = []

    class There(Letters):
        def forget(self, tasks: Iterable[str]) -> int:
            asked.append(list(tasks))
            return 1

        def compact(self) -> None:
            """Nothing to do."""

    assert kept.place(There()).forget(near).counts["dead_letters"] == 1
    assert asked == [["t2"]]


def test_somebody_else_s_change_of_an_event_is_not_undone(kept: Kept, target: Target) -> None:
    """Two at once: what was read is not put over what is there by then."""
    kept.end("t1", f"the target said: {TEXT}")
    place = kept.place()
    events = kept.tasks.lineage("t1")
    kept.place().forget(target)
    after = kept.tasks.lineage("t1")
    found = Forgotten()
    place.lineages._erased(events[1], target, found)
    assert "changed meanwhile" in found.unfinished[0]
    assert kept.tasks.lineage("t1") == after


def test_a_patch_that_was_made_close_by_is_taken_for_one_that_quotes(kept: Kept, target: Target) -> None:
    """A prompt has what stands around its entries."""
    for name in ("t1", "t2"):
        kept.end(name)
    near = replace(target, first=1_010, last=1_010)
    assert kept.place().forget(near).counts["tasks"] == 1
    assert kept.place().forget(replace(target, first=1_300, last=1_300)).counts == {}


def test_dead_letters_that_cannot_be_reached_are_left_for_later(kept: Kept, target: Target) -> None:
    """Everything else is forgotten all the same."""
    kept.end("t1")
    found = kept.place(Letters()).forget(target)
    assert found.counts["tasks"] == 1
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
