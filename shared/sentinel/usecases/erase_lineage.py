"""What lineages say of entries, and how it is erased: an event that may quote one becomes an erased event.

In the lineage of a task that quotes, each event goes that has words which are not Sentinel's own: a target's
refusal, the reason of a failure, what a person gave as why. Who looks again later has no text to compare with
any more, and a text may have been cut or written in another way: so nothing is compared. What stays of such
an event, and that the log signs for it, is told by `core.erased_events`. An approval that is signed by its
author goes only where it says an entry's text, since the signature goes with it.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from sentinel.core import erased_events
from sentinel.core.erased_events import BLANK_NONCE, words_of
from sentinel.core.flow import PROPOSED, QUIET
from sentinel.core.lineage_notes import AskedEvent
from sentinel.core.tasks import LEASE_OVER, SECOND, Event, KeyOf, Task, lineage_chain, verify_lineage
from sentinel.errors import Tampered
from sentinel.ports_erasure import ErasableTasks, EventNotes
from sentinel.ports_log import LogSigner
from sentinel.usecases import sweep
from sentinel.usecases.debounce import AGAIN
from sentinel.usecases.erase_from import Forgotten, Target
from sentinel.usecases.places import TURN
from sentinel.usecases.tries import TIME_UP

SHORT: Final = 8  # characters from which on a text of an entry that stands elsewhere counts as a quotation
PART: Final = 16  # a part of a text that is twice as long is known, too
_ENVELOPE = "envelope"
_OWN = frozenset(
    (
        *(LEASE_OVER, TIME_UP, AGAIN, TURN, PROPOSED, QUIET),
        *(sweep.NO_LONGER_HELD, sweep.TIME_HAS_COME, sweep.HINTED_AGAIN),
    )
)


@dataclass(frozen=True, slots=True)
class LogNotes:
    """Signs for erased events with the log's key. `clock` is in epoch nanoseconds."""

    keys: KeyOf
    signer: LogSigner
    clock: Callable[[], int]

    def note(self, asked: AskedEvent) -> bytes:
        """See `ports_erasure.EventNotes`."""
        said = asked.at(self.clock() // SECOND, self.keys)
        return erased_events.signed(said, self.keys(lineage_chain(asked.task)), self.signer.sign)


@dataclass(frozen=True, slots=True)
class Quotes:
    """Knows texts of entries again where they stand in other texts, as a whole or in part."""

    _begin: dict[str, list[str]] = field(default_factory=dict)
    _parts: set[str] = field(default_factory=set)

    @staticmethod
    def of(target: Target, shortest: int = SHORT) -> Quotes:
        """Return those of the entries that can still be read, of `shortest` characters or more."""
        found = Quotes()
        texts = (text for _, raw in target.entries.values() for text in _texts(raw))
        for text in dict.fromkeys(text for text in texts if len(text) >= shortest):
            found._begin.setdefault(text[:SHORT], []).append(text)
            found._parts.update(text[at : at + PART] for at in range(0, len(text) - PART + 1, PART))
        return found

    def __bool__(self) -> bool:
        """Say whether there are any."""
        return bool(self._begin)

    def within(self, value: object) -> bool:
        """Say whether one of the texts stands in a JSON value: all of it, or a run of `2 * PART` of it."""
        return any(self._stands(text) for text in _strings(value))

    def _stands(self, text: str) -> bool:
        for at in range(len(text) - SHORT + 1):
            if text[at : at + PART] in self._parts:
                return True
            if any(text.startswith(each, at) for each in self._begin.get(text[at : at + SHORT], ())):
                return True
        return False


@dataclass(frozen=True, slots=True)
class InLineage:
    """Erases events. `keys` gives the log's key of a lineage."""

    tasks: ErasableTasks
    notes: EventNotes
    keys: KeyOf

    def forget(self, task: Task, target: Target, quotes: Quotes, found: Forgotten) -> None:
        """Erase the events of a task that quotes, as far as its lineage is what it was; else it is let be."""
        # Who has it go on meanwhile is found out when its state is replaced.
        events = self.tasks.lineage(task.id)[: task.version]
        try:
            verify_lineage(task.id, events, task.head, self.keys)
        except Tampered as error:
            found.left.append(f"the lineage of task {task.id} is damaged, so it was let be: {error.kind}")
            return
        for event in events:
            words = {} if event.erased else _words(event)
            named = task.id in target.tasks
            if _ENVELOPE in words and not named and not quotes.within(_opened(words)):
                found.left.append(
                    f"event {event.seq} of task {task.id} is an approval that its author signed: if its why "
                    f"quotes an entry, --task {task.id} erases it with the signature"
                )
            elif words:
                self._erased(event, target, found)

    def _erased(self, event: Event, target: Target, found: Forgotten) -> None:
        asked = AskedEvent.of(event, target.chain, target.record)
        entry = asked.answered(self.notes.note(asked), self.keys)
        if self.tasks.erase_event(replace(event, nonce=BLANK_NONCE, entry=entry), event):
            found.counts["events"] = found.counts.get("events", 0) + 1
        else:
            found.unfinished.append(
                f"event {event.seq} of task {event.task_id} was changed meanwhile: run the same command again"
            )


def quoting(events: Iterable[Event], quotes: Quotes) -> list[Event]:
    """Return the events that say one of these texts."""
    return [each for each in events if not each.erased and quotes.within(_opened(_words(each)))]


def _words(event: Event) -> Mapping[str, Any]:
    """Return what an event has of words that may be somebody else's."""
    found = words_of(event.entry)
    return {name: value for name, value in found.items() if value and not _own(value)}


def _own(value: object) -> bool:
    return isinstance(value, str) and value in _OWN


def _opened(words: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return words with what is within a signed envelope."""
    envelope = words.get(_ENVELOPE)
    payload = envelope.get("payload") if isinstance(envelope, Mapping) else None
    if not isinstance(payload, str):
        return words
    try:
        return {**words, "said": orjson.loads(b64decode(payload))}
    except ValueError:
        return words


def _texts(raw: bytes) -> Iterator[str]:
    """Yield the texts of an entry."""
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        found = raw.decode(errors="replace")
    yield from _strings(found)


def _strings(value: object) -> Iterator[str]:
    """Yield the texts and numbers in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
