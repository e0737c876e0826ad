"""The context of a patch: the prompt that a selection becomes, and what is kept to read the answer.

The same facts, failure, tree, delimiter and budget give the same prompt and the same masks, so a stage on
another machine makes both again: masks hold the values of secrets, and are kept nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sentinel.core.failures import Failure
from sentinel.core.masks import Masks
from sentinel.core.prompt_parts import Facts, Frame, Telemetry
from sentinel.core.prompts import Prompt, build
from sentinel.core.relevance import Chosen, Selection
from sentinel.core.trees import Tree


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prompt with what it was made of. `files` are those that are shown, as they stand in the tree."""

    prompt: Prompt
    masks: Masks = field(repr=False)
    files: Mapping[str, bytes] = field(repr=False)
    chosen: tuple[Chosen, ...]
    nonce: str

    def json(self) -> dict[str, object]:
        """Return what was chosen, why, what of it is shown, and what was left out: for the lineage."""
        shown = {each.path: each for each in self.prompt.shown}
        chosen = [
            {
                "path": each.path,
                "why": each.why,
                "lines": list(each.lines),
                "shown": [list(span) for span in shown[each.path].lines] if each.path in shown else [],
                "of": shown[each.path].of if each.path in shown else 0,
            }
            for each in self.chosen
        ]
        left_out = [{"what": each.what, "reason": each.reason} for each in self.prompt.left_out]
        return {"chosen": chosen, "left_out": left_out, "tokens": self.prompt.tokens}


def prepared(
    facts: Facts, failure: Failure, selection: Selection, tree: Tree, nonce: str, budget: int
) -> Prepared:
    """Build the prompt of a failure from what was selected of a tree.

    `nonce` is the run's delimiter, 32 hexadecimal digits or more, drawn at random by the caller; `budget` is
    in tokens. Raises `TooLarge` where not even the instructions fit, `Malformed` for another delimiter.
    """
    frames = tuple(Frame(each.file, each.function, each.line, each.values) for each in selection.calls)
    told = Telemetry(failure.exception, failure.message, frames, failure.said)
    masks = Masks()
    prompt = build(facts, told, selection.files, masks, nonce=nonce, budget=budget)
    prompt = Prompt(
        prompt.system,
        prompt.user,
        prompt.tokens,
        prompt.shown,
        (*prompt.left_out, *selection.left_out),
    )
    files = {each.path: tree.files[each.path].data for each in prompt.shown}
    return Prepared(prompt, masks, files, selection.chosen, nonce)
