"""One task of a trace as JSON: what it is, its lineage as it is hashed, its effects, and who did what.

The shape is that of `docs/trace.md`. Events are told as the bytes that are hashed, each with its nonce and
its head, so that the lineage can be checked by SHA-256 alone. The rest is told for reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from sentinel.core.erased_events import ErasedEvent
from sentinel.core.recipes import Recipe
from sentinel.core.states import State
from sentinel.core.task_trace import of_task, task_span
from sentinel.core.tasks import Effect, EffectState, Event, lineage_chain
from sentinel.errors import Malformed, Tampered
from sentinel.usecases.exported import plain
from sentinel.usecases.recall import is_question
from sentinel.usecases.story import Story

Json = dict[str, Any]

# What a task becomes when a try of an effect ends without it.
_ASKED = frozenset({State.AMBIGUOUS.value, State.AWAITING_APPROVAL.value})
_UNDONE = _ASKED | {State.FAILED.value, State.WAITING.value}


def damage_json(damage: Iterable[Tampered]) -> list[Json]:
    """Return damages as they are told: where, of which kind, and what it is."""
    return [{"chain": it.chain, "seq": it.seq, "kind": it.kind, "detail": it.detail} for it in damage]


def told(story: Story, recipe: Recipe | None, family: tuple[str, Sequence[str]]) -> Json:
    """Return a task as JSON. `recipe` is None where it cannot be had, `family` its parent ("") and forks."""
    task = story.task
    parent, forks = family
    row: Json = {}
    if task is not None:
        trace = of_task(story.id, task.cause)
        row = {
            "state": task.state.value,
            "reason": task.reason,
            "created": task.created,
            "attempt": task.attempt,
            "recipe": {
                "id": task.recipe,
                "version": task.recipe_version,
                "digest": task.recipe_digest,
                "author": recipe.author if recipe else "",
                "steps": [{"id": step.id, "uses": step.uses} for step in recipe.steps] if recipe else [],
            },
            "cause": dict(task.cause),
            "trace": trace.trace,
            "span": task_span(story.id),
        }
    return {
        "id": story.id,
        **row,
        "parent": parent,
        "forks": list(forks),
        "lineage": _lineage(story),
        "effects": _effects(story, recipe),
        "people": _people(story),
        "whole": not story.damage,
    }


def _lineage(story: Story) -> Json:
    events = [_event(event) for event in story.events]
    head = story.task.head if story.task else ""
    return {"chain": lineage_chain(story.id), "events": events, "head": head}


def _event(event: Event) -> Json:
    """Return an event as it is hashed; of one that was erased its leaf, what stays of it, and the note."""
    told: Json = {"seq": event.seq, "t": event.t, "nonce": event.nonce.hex(), "entry": plain(event.entry)}
    with suppress(Malformed):
        found = ErasedEvent.read(event.entry)
        told["entry"] = {"erased": found.leaf.hex()}
        told |= {"stays": plain(found.facts), "note": plain(found.note)}
    return {**told, "head": event.head.hex()}


def _people(story: Story) -> list[Json]:
    """Return what people did, in order, as the lineage tells it."""
    return [
        {
            "seq": seq,
            "t": body.get("t"),
            "from": body.get("from"),
            "to": body.get("event"),
            **{name: body[name] for name in ("who", "how", "why", "verdict") if name in body},
        }
        for seq, body in enumerate(story.bodies)
        if body.get("who")
    ]


def _effects(story: Story, recipe: Recipe | None) -> list[Json]:
    """Return the effects in the order of the recipe's steps, with how each was decided."""
    steps = {step.id: (number, step.uses) for number, step in enumerate(recipe.steps)} if recipe else {}
    # Questions with their answers belong to their step's effect, and the lineage has their digest.
    told = [each for each in story.effects.values() if not is_question(each.key)]
    effects = sorted(told, key=lambda it: (steps.get(it.step, (999, ""))[0], it.t, it.key))
    return [
        {
            "key": effect.key,
            "step": effect.step,
            "uses": steps.get(effect.step, (0, ""))[1],
            "state": effect.state.value,
            "attempt": effect.attempt,
            "t": effect.t,
            "result": dict(effect.result),
            "decided": _decided(story, effect),
            "approved_by": _approved_by(story, effect),
        }
        for effect in effects
    ]


def _decided(story: Story, effect: Effect) -> Json:
    """Say how it is known what became of an effect: by which event, and where a person said so, by whom."""
    found: Json = {"how": "", "seq": None}
    asked = False
    for seq, body in enumerate(story.bodies):
        event = body.get("event")
        asks = event == State.AWAITING_APPROVAL.value and body.get("step") == effect.step
        if body.get("effect") == effect.key or (asks and not body.get("verdict")):
            asked = event in _ASKED
            if body.get("outcome"):
                found = {"how": body["outcome"], "seq": seq, "span": body.get("span", "")}
            elif event in _UNDONE:
                found = {"how": event, "seq": seq, "span": body.get("span", "")}
        elif asked and body.get("verdict"):
            found = {"how": body["verdict"], "seq": seq, "who": body.get("who"), "why": body.get("why")}
            asked = event in _ASKED  # of several who are to approve one has
    if not found["how"] and effect.state is EffectState.DONE:
        found["how"] = "done, and not told"  # the task was taken from its worker between the two
    return found


def _approved_by(story: Story, effect: Effect) -> list[str]:
    """Return whose approvals counted when something was first told of an effect."""
    approved: list[str] = []
    for body in story.bodies:
        if body.get("effect") == effect.key:
            break
        approved = list(body.get("approved_by", approved))
    return approved
