"""A trace as a picture: downwards the entries, what they set off, what that did, and what followed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from datetime import UTC, datetime
from typing import Any

import orjson

from sentinel.cli.picture import Canvas
from sentinel.core.task_trace import own

Json = Mapping[str, Any]

ENTRIES = 6  # of one chain that are shown
EVENTS = 14  # of one lineage that are shown
_COLOURS = {
    "succeeded": "green",
    "failed": "red",
    "cancelled": "red",
    "expired": "red",
    "ambiguous": "yellow",
    "awaiting-approval": "yellow",
    "proposed": "yellow",
}
_HOW = {
    "": "begun, and nothing is known of its outcome",
    "ambiguous": "begun, and its outcome is not known",
    "waiting": "not done, to be tried again",
    "again": "to be done again",
    "awaiting-approval": "asked, and not yet answered",
    "approve": "approved",
    "refuse": "refused",
}
_LINKED = {
    "newest": "linked to the chain's newest head",
    "written": "linked to the head that was written down",
    "segment": "linked to the head of its segment",
}


def draw(trace: Json, canvas: Canvas) -> list[str]:
    """Return a trace's lines."""
    chains: dict[str, list[Json]] = {}
    for entry in trace["entries"]:
        chains.setdefault(entry["chain"], []).append(entry)
    for chain, entries in chains.items():
        runs = [run for run in trace["runs"] if run["chain"] == chain]
        _chain(canvas, chain, entries, runs, trace["asked"].get("entry"))
    if not chains:
        canvas.row("", "no entry set it off", colour="bright_black")
    for number, task in enumerate(trace["tasks"]):
        _arrow(canvas, trace, task, number)
        damaged = {each["seq"] for each in trace["damage"] if each["chain"] == task["lineage"]["chain"]}
        _task(canvas, task, trace["asked"].get("effect", ""), damaged)
    if not trace["tasks"]:
        canvas.gap()
        canvas.row("", "it set no task off", colour="bright_black")
    _told(canvas, trace)
    return canvas.lines


def _chain(
    canvas: Canvas, chain: str, entries: Sequence[Json], runs: Sequence[Json], asked: Json | None
) -> None:
    """Draw entries and what links them; of one that was asked for its whole hash, to look it up elsewhere."""
    shown = entries if len(entries) <= ENTRIES else [*entries[: ENTRIES - 1], entries[-1]]
    hidden = len(entries) - len(shown)
    canvas.row("", chain, "entry" if len(entries) == 1 else f"{len(entries):,} entries")
    for number, entry in enumerate(shown):
        if hidden and number == len(shown) - 1:
            canvas.row("│  ", f"… {hidden:,} more")
        last = number == len(shown) - 1 and not runs
        branch = "└─ " if last else "├─ "
        if entry["proven"]:
            leaf = _hash(canvas, entry["leaf"])
            canvas.row(branch, f"{entry['seq']:,}  {_time(entry['t'])}  leaf {leaf}", mark="✓")
            if asked == {"chain": chain, "seq": entry["seq"]}:
                canvas.row("   " if last else "│  ", f"hash {entry['hash']}")
        else:
            canvas.row(branch, f"{entry['seq']:,}  {entry['why']}", mark="✗")
    for number, run in enumerate(runs):
        count = len(run["segments"])
        told = f"{_LINKED[run['linked']]} {_hash(canvas, run['head'])}"
        size = f"{count:,} segments" if count > 1 else "1 segment"
        ahead = f" of {run['short_of']:,}" if run.get("short_of") else ""
        branch = "└─ " if number == len(runs) - 1 else "├─ "
        canvas.row(branch, told, f"{size}, {run['entries']:,}{ahead} entries", "bright_black")


def _arrow(canvas: Canvas, trace: Json, task: Json, number: int) -> None:
    """Draw what leads to a task."""
    cause = task.get("cause", {})
    if task["parent"]:
        why = f"fork {cause.get('fork', '')} of {task['parent']}"
    elif cause.get("schedule"):
        why = f"scheduled: {cause['schedule']}, at {cause.get('scheduled', '')}"
    else:
        level = f" ({cause['level']})" if cause.get("level") else ""
        why = f"{cause.get('title') or cause.get('rule') or 'its cause is not known'}{level}"
    how = {each["task"]: each["how"] for each in trace.get("forward", {}).get("tasks", ())}
    if how.get(task["id"]) == "asked":
        why += "; it asked for this one too, and is not named by it"
    canvas.gap("  │" if number == 0 and trace["entries"] else "")
    canvas.wrapped("  │ ", "  │ ", why)
    canvas.gap("  ▼")


def _task(canvas: Canvas, task: Json, asked: str, damaged: Set[int]) -> None:
    state = task.get("state", "its state is gone")
    canvas.row("", f"task {task['id']}", state, _COLOURS.get(state, "cyan"))
    facts = _facts(canvas, task)
    for name, text in facts:
        canvas.row("├─ ", f"{name:<8} {text}")
    if task.get("reason") and state != "succeeded":
        canvas.wrapped("├─ reason   ", "│           ", task["reason"])
    _lineage(canvas, task, damaged, last=not task["effects"])
    for number, effect in enumerate(task["effects"]):
        _effect(canvas, task, effect, last=number == len(task["effects"]) - 1, asked=asked)


def _facts(canvas: Canvas, task: Json) -> list[tuple[str, str]]:
    if "recipe" not in task:
        return []
    recipe = task["recipe"]
    author = f", by {recipe['author']}" if recipe["author"] else ""
    digest = _hash(canvas, recipe["digest"])
    facts = [("recipe", f"{recipe['id']} {recipe['version']}{author}, digest {digest}")]
    facts.append(("made", _time(task["created"])))
    facts.append(("trace", f"{task['trace']}, {_origin(task)}"))
    if task["forks"]:
        facts.append(("forks", ", ".join(task["forks"])))
    return facts


def _origin(task: Json) -> str:
    """Say where a task's trace comes from."""
    return "its own" if task["trace"] == own(task["id"]).trace else "that of what set it off"


def _lineage(canvas: Canvas, task: Json, damaged: Set[int], *, last: bool) -> None:
    events = task["lineage"]["events"]
    head = _hash(canvas, task["lineage"]["head"]) if task["lineage"]["head"] else "-"
    branch, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
    count = "1 event" if len(events) == 1 else f"{len(events):,} events"
    canvas.row(branch, f"lineage  {count}, head {head}", mark="✓" if task["whole"] else "✗")
    shown = list(events) if len(events) <= EVENTS else [*events[: EVENTS - 4], *events[-4:]]
    rows = [_event(each, events[0]["t"]) for each in shown]
    marks = ["✗" if each["seq"] in damaged else "" for each in shown]
    if len(shown) < len(events):
        rows.insert(EVENTS - 4, ("", f"… {len(events) - len(shown):,} more", ""))
        marks.insert(EVENTS - 4, "")
    if rows:
        canvas.table(below + " " * 9, rows, marks)


def _event(event: Json, begun: int) -> tuple[str, str, str]:
    """Return how long after the first an event was, what the task became, and why."""
    after = f"+{_span(event['t'] - begun)}"
    try:
        body = orjson.loads(event.get("stays", event["entry"]))
    except (orjson.JSONDecodeError, TypeError):
        return (after, "?", "it cannot be read")
    why = _why(body)
    if "stays" in event:
        why = f"{why.removesuffix(': ')} (its words were erased)".strip()
    return (after, str(body.get("event", "")), why)


def _why(body: Json) -> str:
    if body.get("who"):
        verdict = f"{body['verdict']}, " if body.get("verdict") else ""
        return f"{verdict}by {body['who']}: {body.get('why', '')}"
    if body.get("outcome"):
        return f"{body.get('step')} {body['outcome']}"
    if isinstance(body.get("by"), list):
        return f"{body.get('step')}: {body.get('needs', 1)} of {', '.join(map(str, body['by']))}"
    if body.get("reason"):
        step = f"{body['step']}: " if isinstance(body.get("step"), str) else ""
        return f"{step}{str(body['reason']).removeprefix(f'step {step}')}"
    if body.get("worker"):
        return f"attempt {int(body.get('attempt', 0)) + 1}, {body['worker']}"
    return ""


def _effect(canvas: Canvas, task: Json, effect: Json, *, last: bool, asked: str) -> None:
    decided = effect["decided"]
    how = _HOW.get(decided["how"], str(decided["how"]))
    if decided.get("who"):
        how += f", says {decided['who']}"
    if effect["approved_by"]:
        how += f"; approved by {', '.join(effect['approved_by'])}"
    settled = effect["state"] == "done" or decided["how"] in {"happened", "approve"}
    colour = "green" if settled else "yellow"
    branch = "└─▶ " if last else "├─▶ "
    here = " (asked for)" if asked == effect["key"] else ""
    canvas.row(branch, f"{effect['step']}  {effect['uses']}{here}", how, colour)
    below = "    " if last else "│   "
    after = f"+{_span(effect['t'] - task['created'])}, " if "created" in task else ""
    result = ", ".join(f"{name} {_short(value)}" for name, value in effect["result"].items())
    canvas.row(below, f"{after}attempt {effect['attempt']}, key {_hash(canvas, effect['key'])}")
    if result:
        canvas.wrapped(below, below, result)


def _told(canvas: Canvas, trace: Json) -> None:
    """Draw what is to be known besides, and the verdict."""
    canvas.gap()
    for note in trace["notes"]:
        canvas.wrapped("note: ", "      ", note)
    for each in trace["damage"]:
        what = "event" if each["chain"].startswith("task/") else "entry"
        place = f"{each['chain']} at {what} {each['seq']:,}"
        canvas.wrapped("✗ ", "  ", f"{place}: {each['kind']}: {each['detail']}", "red")
    if trace["whole"]:
        canvas.row("", "whole: all hashes fit, and what is stored beside them agrees", colour="green")
    else:
        count = len(trace["damage"])
        canvas.row("", f"damaged in {count} {'place' if count == 1 else 'places'}", colour="red")


def _hash(canvas: Canvas, text: str) -> str:
    shown = 16 if canvas.width < 100 else 32 if canvas.width < 140 else 64
    return text if len(text) <= shown else f"{text[:shown]}…"


def _short(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _time(t: int) -> str:
    seconds, rest = divmod(t, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{rest // 1000:06d}"


def _span(nanoseconds: int) -> str:
    """Write how long something took, in the unit that people would use."""
    millis = nanoseconds / 1e6
    for size, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")):
        if millis >= size:
            return f"{millis / size:.1f} {unit}"
    return f"{millis:.1f} ms"
