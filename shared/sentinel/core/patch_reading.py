"""Reading an answer: a model's text becomes a patch of the files that it was shown, or is refused.

What a mask took out is put back where it stood, and only there: a token in another file, or one that nobody
gave out, refuses the answer. What a model is told to correct has the same masks.
"""

from __future__ import annotations

from sentinel.core import edits
from sentinel.core.edit_answers import load
from sentinel.core.edit_refusals import AnchorMissing, EditRefused, TokenLeft, shown
from sentinel.core.edits import Edit, NewFile, Patch
from sentinel.core.masks import Masks
from sentinel.core.patch_context import Prepared
from sentinel.core.private_values import TOKEN
from sentinel.core.prompt_parts import TELEMETRY, File, code_lines
from sentinel.core.trees import Tree
from sentinel.core.untrusted import safe_line

_AGAIN = "Answer once more in the same form, with all edits and new files, also those that could stay."


def read_answer(reply: str, prepared: Prepared, tree: Tree) -> Patch:
    """Return the patch that a model's reply proposes.

    Only files that were shown are edited, and new files are where nothing is. Raises `EditRefused`: of these
    `NothingProposed` is the model's own word that it found no cause.
    """
    answer = load(reply.encode(errors="replace"))
    proposed = [_unmasked(each, prepared.masks) for each in answer.proposed()]
    others = tree.files.keys() - prepared.files.keys()
    return edits.apply(prepared.files, proposed, others)


def correction_of(refused: EditRefused, prepared: Prepared) -> str:
    """Return what a model is told of a refused answer: the reason, and the lines that come nearest.

    It is the text of a further user's turn, in the form of the prompt's data, with the same masks.
    """
    reason = safe_line(prepared.masks.mask(str(refused), TELEMETRY), prepared.nonce)
    told = f"Your answer cannot be applied: {reason}\n"
    lines = _nearest(refused, prepared)
    if lines:
        body = "".join(f"| {each}\n" for each in lines)
        told += f"The lines that come nearest:\nBEGIN {prepared.nonce}\n{body}END {prepared.nonce}\n"
    return f"{told}{_AGAIN}\n"


def _nearest(refused: EditRefused, prepared: Prepared) -> list[str]:
    if not isinstance(refused, AnchorMissing) or refused.path not in prepared.files:
        return []
    text = prepared.files[refused.path].decode(errors="replace")
    lines = code_lines(File(refused.path, text), prepared.masks, prepared.nonce)
    return [lines[number] for number, _ in refused.nearest if number in lines]


def _unmasked(proposed: Edit | NewFile, masks: Masks) -> Edit | NewFile:
    path = proposed.path
    if isinstance(proposed, NewFile):
        return NewFile(path, _restored(proposed.text, path, masks))
    return Edit(path, _restored(proposed.search, path, masks), _restored(proposed.replace, path, masks))


def _restored(text: str, path: str, masks: Masks) -> str:
    for token in dict.fromkeys(TOKEN.findall(text)):
        if masks.unmask(token, path) == token:
            raise TokenLeft(f"{shown(path)} has no value for {token}: copy a token only within its file")
    return masks.unmask(text, path)
