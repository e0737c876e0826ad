"""What calls made before and after a patch prove: the trace's own, and those near it."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sentinel.core.failures import Failure
from sentinel.core.near_values import shape
from sentinel.core.neighbours import Neighbour, neighbours
from sentinel.core.proven import reason
from sentinel.core.proving import Reason
from sentinel.core.traced_calls import Invoked

MOST_TRIED = 3  # calls of a trace whose neighbours are tried
_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|\d+|0x[0-9a-f]+")
Did = Mapping[str, object]  # what the probe tells of a call


@dataclass(frozen=True, slots=True)
class Trial:
    """A call of the trace or a neighbour of one. `alike`: it is of the class of the one that failed."""

    call: Invoked
    own: bool
    alike: bool
    of: int  # which of the trace's calls


@dataclass(frozen=True, slots=True)
class After:
    """What a patch makes: the sources by path, which of their lines it changes (path, number), and its tests.

    Of these the types of exceptions that they expect, and the shapes of the texts that they name.
    """

    sources: Mapping[str, str] = field(repr=False)
    lines: Collection[tuple[str, int]] = ()
    expected: Collection[str] = ()
    shapes: Collection[str] = ()


@dataclass(slots=True)
class Compared:
    """What was seen: calls made again by the trace, and what became of their neighbours, by counts.

    `mended` are those of the trace that end with the patch. `inside` counts those that still fail, but which
    the repaired program may never make. `undeclared` are those of the changed that no test's words are near.
    """

    derived: list[Invoked] = field(default_factory=list)
    mended: list[Invoked] = field(default_factory=list)
    ended: int = 0
    remain: int = 0
    inside: int = 0
    alike: int = 0
    same: int = 0
    changed: int = 0
    undeclared: int = 0
    unsteady: int = 0
    words: set[str] = field(default_factory=set)


def trials_of(calls: Sequence[Invoked], failure: Failure) -> list[Trial]:
    """Return the calls to make: those of the trace, of a recursion the outermost, and neighbours of some."""
    outermost = {(call.module, call.function): call for call in calls}
    chosen = list(outermost.values())
    if len(chosen) > MOST_TRIED:
        chosen = [*chosen[: MOST_TRIED - 1], chosen[-1]]
    found = []
    for at, call in enumerate(chosen):
        found.append(Trial(call, own=True, alike=True, of=at))
        near: list[Neighbour] = neighbours(call.arguments, _absent(failure))
        found += [Trial(call.given(each.arguments), own=False, alike=each.alike, of=at) for each in near]
    return found


def _absent(failure: Failure) -> str:
    """Return the key that was absent, where that is what failed."""
    quoted = re.fullmatch(r"'([^']{1,60})'", failure.message.strip())
    return quoted.group(1) if quoted and failure.exception.endswith("KeyError") else ""


def is_failure(did: Did, failure: Failure) -> bool:
    """Whether a call failed as the trace tells: by that type, raised in that function."""
    inmost = failure.calls[0].function.rpartition(".")[2] if failure.calls else ""
    return did.get("raised") == failure.exception.rpartition(".")[2] and did.get("function") == inmost


def compared(
    trials: Sequence[Trial], did: Sequence[tuple[Did, Did, Did]], failure: Failure, after: After
) -> Compared:
    """Return what calls show. `did` are of each: before, before once more, and with the patch.

    What was seen twice before and differs is left out.
    """
    seen = Compared()
    together = list(zip(trials, did, strict=True))
    failed = {
        trial.of: old
        for trial, (old, again, _) in together
        if trial.own and old == again and is_failure(old, failure)
    }
    ended: set[int] = set()
    for trial, (_, _, new) in together:
        if trial.own and trial.of in failed:
            seen.derived.append(trial.call)
            if "lost" in new or "unbuilt" in new:
                seen.unsteady += 1
            elif fails(new, failure, after):
                _remains(seen, trial, new, failure)
            else:
                ended.add(trial.of)
                seen.mended.append(trial.call)
    seen.ended = len(ended)
    own = {trial.of: trial.call for trial in trials if trial.own}
    for trial, (old, again, new) in together:
        if trial.of in ended and not trial.own:
            before = seen.changed
            _judge_near(seen, trial, (failed[trial.of], old, again, new), after)
            if seen.changed > before and not _named(trial.call, own[trial.of], after.shapes):
                seen.undeclared += 1
    return seen


def fails(did: Did, failure: Failure, after: After) -> bool:
    """Whether a call of the trace still fails: as the trace tells, or by accident, and no test expects it."""
    if "raised" not in did or did["raised"] in after.expected:
        return False
    return is_failure(did, failure) or _accidental(did, after)


def _judge_near(seen: Compared, trial: Trial, did: tuple[Did, Did, Did, Did], after: After) -> None:
    first, old, again, new = did
    if old != again or "lost" in new or "unbuilt" in new:
        seen.unsteady += 1
    elif "returned" in old:
        _judge_same(seen, old, new)
    elif trial.alike and "raised" in old:
        _judge_alike(seen, (first, old, new), after)


def _named(call: Invoked, own: Invoked, shapes: Collection[str]) -> bool:
    """Whether tests name what a call is given otherwise than the trace's, as far as these are texts."""
    return all(shape(each) in shapes for each in _texts(call) - _texts(own))


def _texts(call: Invoked) -> set[str]:
    nodes = [node for text in call.arguments.values() for node in ast.walk(ast.parse(text, mode="eval"))]
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def _remains(seen: Compared, trial: Trial, new: Did, failure: Failure) -> None:
    """Judge a call of the trace that still fails. Only what comes from outside is certain to be called again.

    What the trace tells of an object may be what is not made any more, and a call further in may be what is
    not made any more.
    """
    entry = failure.calls[-1].function.rpartition(".")[2]
    plain = not any(origin[0].partition(".")[0] == _top(trial.call) for origin in trial.call.names.values())
    if plain and not trial.call.receiver and trial.call.function.rpartition(".")[2] == entry:
        seen.remain += 1
        seen.words.add(f"the trace's call of {trial.call.function} ends with {str(new.get('raised'))[:60]}")
    else:
        seen.inside += 1


def _top(call: Invoked) -> str:
    return call.module.partition(".")[0]


def _judge_same(seen: Compared, old: Did, new: Did) -> None:
    if old == new:
        seen.same += 1
    else:
        seen.changed += 1


def _judge_alike(seen: Compared, did: tuple[Did, Did, Did], after: After) -> None:
    """Judge a call that is like the one that failed, and failed on the very line of it."""
    first, old, new = did
    if (old.get("path"), old.get("line")) != (first.get("path"), first.get("line")):
        return
    very = _kind(old) == _kind(first)
    seen.alike += very
    if "raised" not in new or new.get("raised") in after.expected:
        return
    still = _kind(new) == _kind(old) and new.get("function") == old.get("function")
    if (very and still) or (_accidental(new, after) and (new.get("path"), new.get("line")) in after.lines):
        seen.remain += 1
        seen.words.add(f"calls like the trace's still end with {str(new.get('raised'))[:60]}")


def _kind(did: Did) -> tuple[object, str]:
    """Return what was raised, with its message but for what varies in it."""
    return did.get("raised"), _VARYING.sub("_", str(did.get("message", "")))


def _accidental(did: Did, after: After) -> bool:
    """Whether what was raised was raised by no `raise` of the project."""
    if "raised" not in did:
        return True
    lines = after.sources.get(str(did.get("path")), "").split("\n")
    line = did.get("line")
    at = line - 1 if isinstance(line, int) else -1
    return not (0 <= at < len(lines) and lines[at].strip().startswith("raise"))


def reasons(seen: Compared, *, declared: bool) -> Iterator[Reason]:
    """Yield what speaks against a patch by its calls. `declared`: its tests say that results change."""
    if seen.remain:
        yield reason("failure-remains", f"{seen.remain} calls: {'; '.join(sorted(seen.words)[:3])}")
    odd = seen.undeclared if declared else seen.changed
    if odd:
        tried = seen.changed + seen.same
        yield reason("behaviour-changed", f"{odd} of {tried} calls near the trace's that did not fail")
