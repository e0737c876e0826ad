"""What `ai.patch` hands to `git.pull_request`: a proposal, as the bytes whose digest people approve.

A proposal is canonical JSON, so the same one always has the same digest. Its texts are UTF-8; its diff is
derived again when it is read, and one that says anything else is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from sentinel.core.approvals import canonical
from sentinel.core.diffs import unified
from sentinel.core.edits import Patch
from sentinel.errors import Malformed, TooLarge

MOST: Final = 20_000_000  # bytes of one proposal
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Proposal:
    """A patch of `repository`, by its name in the catalog, on top of `commit`, to go into `base`.

    `cause` and `title` are a model's words, about a failure that anybody may have written. `evidence` is
    `core.proving.Evidence.json()`. `models` say who was asked, `usd` what that cost, and `scripted` that the
    answers are from a file.
    """

    repository: str
    commit: str
    base: str
    patch: Patch = field(repr=False)
    title: str = field(default="", repr=False)
    cause: str = field(default="", repr=False)
    evidence: Mapping[str, object] = field(default_factory=dict, repr=False)
    models: tuple[str, ...] = ()
    usd: float = 0.0
    scripted: bool = False


def packed(proposal: Proposal) -> bytes:
    """Return a proposal as it is kept. Raises `Malformed` where a file is not UTF-8, `TooLarge`.

    >>> from sentinel.core.edits import patch_of
    >>> it = Proposal("shop", "a" * 40, "main", patch_of({"a.py": b"x = 1"}, {"a.py": b"x = 2"}))
    >>> unpacked(packed(it)) == it
    True
    """
    patch = proposal.patch
    files = {
        path: {"before": _text(patch.before.get(path)), "after": _text(patch.after.get(path))}
        for path in {*patch.before, *patch.after}
    }
    told = {
        "version": VERSION,
        "repository": proposal.repository,
        "commit": proposal.commit,
        "base": proposal.base,
        "files": files,
        "diff": patch.diff,
        "title": proposal.title,
        "cause": proposal.cause,
        "evidence": dict(proposal.evidence),
        "models": list(proposal.models),
        "usd": float(proposal.usd),
        "scripted": proposal.scripted,
    }
    data = canonical(told)
    if len(data) > MOST:
        raise TooLarge(f"the patch has more than {MOST:,} bytes")
    return data


def unpacked(data: bytes) -> Proposal:
    """Read what `packed` made. Raises `Malformed` for anything else, `TooLarge`."""
    if len(data) > MOST:
        raise TooLarge(f"the patch has more than {MOST:,} bytes")
    try:
        proposal = _proposal(orjson.loads(data))
        same = packed(proposal) == data
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Malformed("what is kept of the patch cannot be read") from None
    if not same:
        raise Malformed("what is kept of the patch is not in the one form that it has")
    patch = proposal.patch
    if patch.diff != unified(patch.before, patch.after):
        raise Malformed("the diff of the patch is not that of its files")
    return proposal


def _proposal(told: Any) -> Proposal:
    if told["version"] != VERSION:
        raise ValueError(told["version"])
    before: dict[str, bytes] = {}
    after: dict[str, bytes] = {}
    for path, file in told["files"].items():
        for side, name in ((before, "before"), (after, "after")):
            if file[name] is not None:
                side[path] = file[name].encode()
    texts = {name: told[name] for name in ("repository", "commit", "base", "title", "cause")}
    if not all(isinstance(each, str) for each in (*texts.values(), *told["models"], told["diff"])):
        raise ValueError("texts")
    return Proposal(
        **texts,
        patch=Patch(before, after, told["diff"]),
        evidence=dict(told["evidence"]),
        models=tuple(told["models"]),
        usd=float(told["usd"]),
        scripted=told["scripted"] is True,
    )


def _text(data: bytes | None) -> str | None:
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        raise Malformed("a file of the patch is not UTF-8") from None
