"""What tasks keep of entries, and how it is erased: results, effects, given inputs, blobs, dead letters.

A task names the entries that set it off by their places; what it keeps besides can quote them. Of a task that
names an erased entry all of that goes, and its digests stay, so that its lineage still verifies; of that go
the events that may quote (`erase_lineage`). A patch is made with what stands around its entries, too: tasks
that made one close by are taken for tasks that quote. Other tasks never saw an entry. Where one has a text of
it all the same, that is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final

import orjson

from sentinel.core.tasks import Effect, Task, erased, is_erased
from sentinel.errors import Missing, Rejected, Tampered, Unavailable
from sentinel.ports_erasure import DeadLetters, ErasableBlobs, ErasableTasks
from sentinel.usecases.erase_from import Forgotten, Target
from sentinel.usecases.erase_lineage import InLineage, Quotes, quoting
from sentinel.usecases.forks import fork_id
from sentinel.usecases.recompute import places_of
from sentinel.usecases.related import AHEAD, BACK

LONG: Final = 16  # characters from which on a text that stands in a task which names no entry of it is told
MOST: Final = 50  # such tasks are told
DEPTH: Final = 4  # how far blobs name blobs
_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


class _Seen:
    """What one look through all tasks has come to: which there are, and which digests go and stay."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.quotes, self.long = Quotes.of(target), Quotes.of(target, LONG)
        self.named: set[str] = set()
        self.gone: set[bytes] = set()
        self.kept: set[bytes] = set()
        self.about: dict[str, int] = {}  # tasks that quote, with their versions
        self.others: list[str] = []


@dataclass(frozen=True, slots=True)
class InTasks:
    """Forgets what tasks keep. `blobs` are the stores of what tasks name by digests.

    `unreached` says that there are dead letters, and that this process is told of no queue.
    """

    tasks: ErasableTasks
    lineages: InLineage
    blobs: Sequence[ErasableBlobs] = ()
    letters: DeadLetters | None = None
    unreached: bool = False

    def forget(self, target: Target) -> Forgotten:
        """See `erase_from.Place`."""
        found, seen = Forgotten(), _Seen(target)
        for task_id in self.tasks.ids():
            seen.named.add(task_id)
            try:
                self._look(task_id, seen, found)
            except Tampered as error:
                found.left.append(f"task {task_id} cannot be read, so it was let be: {error.kind}")
        others = seen.others
        found.left += others[:MOST] + [f"{len(others) - MOST:,} more such tasks"] * (len(others) > MOST)
        found.left += [f"there is no task {each}" for each in target.tasks if each not in seen.named]
        # What tasks keep names the blobs, so it goes last: who is cut off before finds them again.
        self._drop(seen.gone, seen.kept, found)
        if self.letters is not None and seen.about:
            self._bury_for_good(self.letters, list(seen.about), found)
        elif self.unreached and seen.about:
            found.left.append(
                f"dead letters of {', '.join(sorted(seen.about)[:MOST])} may say it: SENTINEL_REDIS_URL is "
                "not set here, so nobody looked"
            )
        for task_id, version in seen.about.items():
            self._erase(task_id, version, seen, found)
        return found

    def _look(self, task_id: str, seen: _Seen, found: Forgotten) -> None:
        """Look at one task: whether it quotes, and what it names. Raises `Tampered` if it is not ours."""
        task, effects = self.tasks.get(task_id), self.tasks.effects(task_id)
        named = _digests(task, effects)
        if task is None or not _quotes(seen.target, task, effects):
            seen.kept |= named
            seen.others += self._elsewhere(task_id, _parts(task, effects), seen.long)
            return
        if not task.state.ended:
            found.unfinished.append(
                f"task {task.id} is {task.state.value} and may quote what is erased: when it has ended "
                "(`sentinel tasks cancel` ends it), run the same command again"
            )
            seen.kept |= named
            return
        seen.gone |= named
        seen.about[task.id] = task.version

    def _erase(self, task_id: str, version: int, seen: _Seen, found: Forgotten) -> None:
        """Erase what a task keeps that quotes, as far as it is at the version at which it was looked at."""
        task, effects = self.tasks.get(task_id), self.tasks.effects(task_id)
        if task is not None and task.version == version:
            if self._rewritten(task, effects, found):
                found.counts["tasks"] = found.counts.get("tasks", 0) + 1
            self.lineages.forget(task, seen.target, seen.quotes, found)
            found.left += _outside(task, effects)
            self._check_forks(task, seen, found)
            task = self.tasks.get(task_id)
        if task is None or task.version != version:
            # Who has it go on may have read it before, and put back what it kept.
            found.unfinished.append(f"task {task_id} goes on meanwhile: run the same command again")

    def _check_forks(self, task: Task, seen: _Seen, found: Forgotten) -> None:
        """Say which forks were made since all tasks were looked through: they took over what it kept then."""
        for number in count(1):
            fork = fork_id(task, number)
            if self.tasks.get(fork) is None:
                return
            if fork not in seen.named:
                found.unfinished.append(
                    f"task {fork} was made of task {task.id} meanwhile: run the same command again"
                )

    def compact(self) -> None:
        """See `erase_from.Place`."""
        self.tasks.compact()

    def _bury_for_good(self, letters: DeadLetters, about: Sequence[str], found: Forgotten) -> None:
        try:
            count = letters.forget(about)
            letters.compact()
        except Unavailable as error:
            found.unfinished.append(f"dead letters cannot be reached, run it again when they can: {error}")
            return
        found.counts |= {"dead_letters": count} if count else {}

    def _rewritten(self, task: Task, effects: Mapping[str, Effect], found: Forgotten) -> bool:
        given: Any = erased(task.inputs) if task.inputs and not is_erased(task.inputs) else task.inputs
        after = replace(
            task,
            results={step: _gone(result) for step, result in task.results.items()},
            inputs=given,
            asked={},
            reason="erased" if task.reason else "",
        )
        changed = [replace(each, result=erased(each.result)) for each in effects.values() if _holds(each)]
        if after == task and not changed:
            return False
        if not self.tasks.rewrite(after, changed):
            found.unfinished.append(f"task {task.id} was moved meanwhile: run the same command again")
            return False
        return True

    def _elsewhere(self, task_id: str, parts: Mapping[str, object], quotes: Quotes) -> Iterator[str]:
        """Yield what is told of a task that has no reason to quote, and says a text of an entry all the same.

        It may be chance. Whoever erases can look at it, and call the task one that quotes.
        """
        if not quotes:  # nothing of it can be read any more, or it has no text that is long enough
            return
        said = [f"event {each.seq}" for each in quoting(self.tasks.lineage(task_id), quotes)]
        said += [name for name, part in parts.items() if quotes.within(part)]
        if said:
            yield (
                f"task {task_id} does not name it, and a text of it stands in {', '.join(said)}: look at it; "
                f"--task {task_id} erases there, too"
            )

    def _drop(self, gone: set[bytes], kept: set[bytes], found: Forgotten) -> None:
        if not gone or not self.blobs:
            return
        stays = set().union(*self._with_named(kept))
        # Those that others name go before these: who is cut off between them finds the rest again.
        for named in reversed(self._with_named(gone)):
            for digest in sorted(named - stays):
                for store in self.blobs:
                    if _blob(store, digest) is not None:
                        store.drop(digest.decode())
                        found.counts["blobs"] = found.counts.get("blobs", 0) + 1

    def _with_named(self, digests: set[bytes]) -> list[set[bytes]]:
        """Return digests, those that the blobs under them name, those that these name, and so on."""
        found = [digests]
        for _ in range(DEPTH):
            held = (_blob(store, each) for each in found[-1] for store in self.blobs)
            named = {each for data in held if data for each in _DIGEST.findall(data)}
            found.append(named.difference(*found))
        return found


def _blob(store: ErasableBlobs, digest: bytes) -> bytes | None:
    try:
        return store.get(digest.decode())
    except Missing:
        return None
    except (Rejected, Tampered):
        return b""  # it is there, and is no more what it was


def _gone(result: Any) -> Any:
    return erased(result) if isinstance(result, Mapping) and result and not is_erased(result) else result


def _holds(effect: Effect) -> bool:
    return bool(effect.result) and not is_erased(effect.result)


def _parts(task: Task | None, effects: Mapping[str, Effect]) -> dict[str, object]:
    """Return what a task keeps that can quote, by what it is called."""
    if task is None:
        return {}
    results = [dict(task.results), *(dict(each.result) for each in effects.values())]
    return {"its reason": task.reason, "its inputs": dict(task.inputs), "its results": results}


def _outside(task: Task, effects: Mapping[str, Effect]) -> Iterator[str]:
    """Yield what a task may have sent where nothing of ours erases it."""
    steps = sorted({each.step for each in effects.values()})
    if steps:
        yield f"steps {', '.join(steps)} of task {task.id} may have sent it outside"


def _quotes(target: Target, task: Task, effects: Mapping[str, Effect]) -> bool:
    if task.id in target.tasks:
        return True
    places = places_of(task.cause)
    if any(target.names(chain, seq) for chain, seq in places):
        return True
    near = any(
        chain == target.chain and target.first - AHEAD <= seq <= target.last + BACK for chain, seq in places
    )
    return near and any(_made_patch(each) for each in effects.values())


def _made_patch(effect: Effect) -> bool:
    """Say whether an effect is of a patch that was made, or was erased: it may have been one."""
    return is_erased(effect.result) or ("context" in effect.result and "tree" in effect.result)


def _digests(task: Task | None, effects: Mapping[str, Effect]) -> set[bytes]:
    """Return what may be names of blobs in what a task keeps."""
    told = [each.result for each in effects.values()] + ([dict(task.results)] if task else [])
    return set(_DIGEST.findall(orjson.dumps(told, default=dict)))
