"""An erased event of a lineage: what stays of it, and that only the log's key can have erased it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sentinel.core import erased_events, notes
from sentinel.core.erased_events import BLANK_NONCE, KEPT, ErasedEvent, Statement
from sentinel.core.notes import ED25519, Key, Note
from sentinel.core.states import By, State
from sentinel.core.tasks import Event, Task, moved, verify_lineage
from sentinel.errors import Forbidden, Malformed, Tampered, Unavailable
from tests.contracts.made_tasks import T, created, nonce

SEED = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
WORDS = "the target said: a text of seven words, all of them odd"
RECORD = ("log.test/shop/0", 17)


def key_of(chain: str) -> Key:
    """Return the log's key of a chain."""
    return Key(notes.origin_of("log.test", chain), ED25519, SEED.public_key().public_bytes_raw())


def lineage() -> tuple[Task, list[Event]]:
    """Return a task and its lineage, whose second event has words."""
    task, first = created("t1")
    facts = {"step": "s", "worker": "w", "answer": "failed", "reason": WORDS, "why": WORDS, "novel": WORDS}
    task, second = moved(task, State.RUNNING, T, nonce("t1", 2), facts)
    task, third = moved(task, State.FAILED, T + 5, nonce("t1", 3), {"answer": "failed"}, by=By.WORKER)
    return task, [first, second, third]


def gone(event: Event, seed: Ed25519PrivateKey = SEED, **changes: Any) -> Event:
    """Return an event as it is erased; `changes` are made to what is signed."""
    key = key_of("task/t1")
    said = erased_events.statement(event.seq, event.entry, event.nonce, 1_790_000_000, RECORD, key)
    note = erased_events.signed(replace(said, **changes), key, seed.sign)
    entry = erased_events.erased(event.entry, event.nonce, note)
    return replace(event, nonce=BLANK_NONCE, entry=entry)


def verified(task: Task, events: list[Event]) -> int:
    """Verify a lineage by the log's key."""
    return verify_lineage(task.id, events, task.head, key_of)


def test_its_words_are_gone_and_the_lineage_verifies() -> None:
    """Each event may be erased, and all of them; the rest of what an event said stays."""
    task, events = lineage()
    assert verified(task, events) == 3
    after = [gone(event) for event in events]
    for at in range(3):
        assert verified(task, [*events[:at], after[at], *events[at + 1 :]]) == 3
    assert verified(task, after) == 3
    assert WORDS.encode() not in after[1].entry
    assert (after[1].nonce, after[1].erased, events[1].erased) == (bytes(32), True, False)
    body = {name: value for name, value in events[1].body.items() if value != WORDS}
    assert after[1].body == body
    assert body["event"] == "running"


def test_what_is_not_known_as_ours_is_taken_for_words() -> None:
    """Reasons, whys and signed statements go, and so does what a later version may tell."""
    _, (_, event, _) = lineage()
    assert erased_events.words_of(event.entry) == {"reason": WORDS, "why": WORDS, "novel": WORDS}
    assert not KEPT & {"reason", "why", "envelope", "text", "message"}


def test_the_documentation_lists_what_stays() -> None:
    """Exactly these facts, in docs/erasure.md."""
    text = (Path(__file__).parents[2] / "docs" / "erasure.md").read_text()
    listed = text.partition("words of Sentinel's own:")[2].partition(". All others")[0]
    assert listed.split() == [f"`{name}`" for name in sorted(KEPT)]


@pytest.mark.parametrize("key", ["none", "away", "other"])
def test_without_the_log_s_key_it_counts_for_nothing(key: str) -> None:
    """Whoever cannot check the signature takes the event for damaged, at its place."""

    def unknown(_: str) -> Key:
        raise Forbidden("there is none here")

    task, events = lineage()
    events[1] = gone(events[1])
    other = Key("log.test/task/t1", ED25519, OTHER.public_key().public_bytes_raw())
    keys: dict[str, Any] = {"none": None, "away": unknown, "other": lambda _: other}
    with pytest.raises(Tampered) as damage:
        verify_lineage(task.id, events, task.head, keys[key])
    assert (damage.value.chain, damage.value.seq, damage.value.kind) == ("task/t1", 1, "erased")


def test_a_key_that_cannot_be_asked_for_now_is_no_damage() -> None:
    """Who verifies tries again."""

    def away(_: str) -> Key:
        raise Unavailable("away", 1.0)

    task, events = lineage()
    with pytest.raises(Unavailable):
        verify_lineage(task.id, [gone(event) for event in events], task.head, away)
    assert verify_lineage(task.id, events, task.head, away) == 3


def _line(change: Callable[[ErasedEvent], ErasedEvent]) -> Callable[[Event], Event]:
    return lambda event: replace(gone(event), entry=change(ErasedEvent.read(gone(event).entry)).line)


def _noted(change: Callable[[Note], bytes]) -> Callable[[Event], Event]:
    return _line(lambda found: replace(found, note=change(notes.read(found.note))))


FORGED: dict[str, Callable[[Event], Event]] = {
    "by another key": lambda event: gone(event, OTHER),
    "of another task": lambda event: gone(event, origin="log.test/task/t2"),
    "of another log": lambda event: gone(event, origin="log.other/task/t1"),
    "of another event": lambda event: gone(event, seq=2),
    "of another leaf": lambda event: gone(event, leaf=bytes(32)),
    "of other facts": lambda event: gone(event, facts=bytes(32)),
    "with another leaf before it": _line(lambda found: replace(found, leaf=bytes(32))),
    "with other facts": _line(lambda found: replace(found, facts=b'{"event":"succeeded"}')),
    "with facts beside it": _line(lambda found: replace(found, facts=found.facts + b" ")),
    "without a note": _line(lambda found: replace(found, note=b"")),
    "with two signatures": _noted(lambda note: Note(note.text, note.signatures * 2).bytes),
    "with an unknown signature": _noted(
        lambda note: note.with_lines([replace(note.signatures[0], name="else", id=b"abcd")]).bytes
    ),
    "with another text": _noted(lambda note: replace(note, text=note.text.replace("1790000000", "1")).bytes),
    "with a line more": _noted(lambda note: replace(note, text=note.text + "x\n").bytes),
    "with a nonce": lambda event: replace(gone(event), nonce=event.nonce),
    "with a leaf in capitals": lambda event: replace(
        gone(event), entry=gone(event).entry.replace(gone(event).entry[:65], gone(event).entry[:65].upper())
    ),
    "in no form": lambda event: replace(gone(event), entry=b"!"),
    "as a segment has it": lambda event: replace(
        gone(event), entry=b"!" + erased_events.leaf_of(event.entry, event.nonce).hex().encode()
    ),
}


@pytest.mark.parametrize("how", FORGED)
def test_who_has_no_key_can_erase_nothing_unseen(how: str) -> None:
    """Nothing but the one form with the log's signature stands for an event, and nothing fits beside it."""
    task, events = lineage()
    events[1] = FORGED[how](events[1])
    with pytest.raises(Tampered) as damage:
        verified(task, events)
    assert (damage.value.seq, damage.value.kind) == (1, "erased")
    assert isinstance(events[1].body, dict)  # whoever only reads does not stumble


def test_a_note_for_an_event_that_never_was_breaks_the_lineage() -> None:
    """Who has notes signed may show any event: its hash is another one, and heads are not his to write."""
    task, events = lineage()
    said = b'{"event":"queued","seq":1,"who":"ada","how":"signed","verdict":"approve","why":"never"}'
    forged = gone(replace(events[1], entry=said))
    assert forged.body["verdict"] == "approve"
    with pytest.raises(Tampered) as damage:
        verified(task, [events[0], forged, *events[2:]])
    assert (damage.value.seq, damage.value.kind) == (1, "hash")


def test_an_erased_event_does_not_stand_for_another() -> None:
    """A true one that is put elsewhere, in its own lineage or time, is found by the hashes or its note."""
    task, events = lineage()
    one, two = gone(events[1]), gone(events[2])
    for forged in (
        [events[0], replace(two, seq=1), one],
        [events[0], replace(one, t=one.t + 1), events[2]],
        [events[0], one],
        [events[0], replace(one, head=bytes(32)), events[2]],
    ):
        with pytest.raises(Tampered):
            verified(task, forged)


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [*lines[:-2], ""],
        lambda lines: [lines[0], ""],
        lambda lines: ["sentinel-erasure/v1", *lines[1:]],
        lambda lines: [*lines[:2], "01", *lines[3:]],
        lambda lines: [*lines[:2], "-1", *lines[3:]],
        lambda lines: [*lines[:3], "1_0", *lines[4:]],
        lambda lines: [*lines[:4], b64encode(bytes(31)).decode(), *lines[5:]],
        lambda lines: [*lines[:4], "\u00e9", *lines[5:]],
        lambda lines: [*lines[:6], "log.test/shop/0", ""],
        lambda lines: [*lines[:6], "log.test/shop/0 +1", ""],
    ],
)
def test_a_note_has_one_form(change: Callable[[list[str]], list[str]]) -> None:
    """What is signed is read back as it is written, and in no other way."""
    said = Statement("log.test/task/t1", 1, 1_790_000_000, bytes(32), bytes(32), RECORD)
    assert Statement.read(said.text) == said
    with pytest.raises(Malformed):
        Statement.read("\n".join(change(said.text.split("\n"))))


def test_what_is_signed_is_short() -> None:
    """KMS signs at most 4,096 bytes: however much stays of an event, its digest is what is signed."""
    entry = orjson.dumps(
        {"event": "queued", "entries": [{"chain": "shop/0", "seq": n} for n in range(9_999)]}
    )
    said = erased_events.statement(0, entry, bytes(32), 1, RECORD, key_of("task/t1"))
    assert len(said.text) < 1_000
