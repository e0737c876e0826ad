"""Replies: which alert a task is about, what is said of it to whoever told it, and how we know our own words.

What an entry says is written by strangers. A text of ours carries a mark, so that it is found again where it
was sent, and so that an alert which only echoes it sets off no reply to itself, and again, and for ever.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sentinel.core.alert_notices import told_alert
from sentinel.core.masking import printable
from sentinel.core.steps import Matched, StepRun
from sentinel.errors import Malformed

BY: Final = "by"  # the label of an alert that tells what we did ourselves, and its value
OURS: Final = "sentinel"
MAX_COMMENT: Final = 1_500  # characters of a comment that are told
_MARK = re.compile(r"sentinel:[0-9a-f]{32}(?![0-9a-f])")
# What a product would make something of: a mention, a link, markup. It is shown as it is, and does nothing.
_HARMLESS: Final = {
    "@": "@\u200b",
    "://": ":\u200b//",
    "](": "]\u200b(",
    "%%%": "%\u200b%\u200b%",
    "`": "'",
    "<": "\u2039",
    ">": "\u203a",
}


@dataclass(frozen=True, slots=True)
class Told:
    """An alert as its entry holds it, and where that stands. Texts are as the webhook source cleaned them."""

    source: str
    fingerprint: str
    title: str
    severity: str
    labels: Mapping[str, str]
    place: Matched = field(repr=False)

    @property
    def ours(self) -> bool:
        """Whether it tells what we did ourselves."""
        return self.labels.get(BY) == OURS or marked(self.place.entry.decode(errors="replace"))


def mark(key: str) -> str:
    """Return the mark of an effect: of its key, so it is the same in every attempt.

    >>> mark("ab" * 32)
    'sentinel:abababababababababababababababab'
    """
    return f"sentinel:{key[:32]}"


def marked(text: str) -> bool:
    """Whether a text holds the mark of any effect.

    >>> marked("see sentinel:abababababababababababababababab."), marked("sentinel:abc")
    (True, False)
    """
    return "sentinel:" in text and _MARK.search(text) is not None


def harmless(text: str, limit: int = MAX_COMMENT) -> str:
    """Return a text, its lines kept, in which nothing is a mention, a link or markup.

    >>> harmless("call [me](http://evil) <b>").isascii()
    False
    """
    lines = (printable(each) for each in text[: 2 * limit].splitlines())
    shown = "\n".join(filter(None, lines))
    if len(shown) > limit:
        shown = f"{shown[: limit - 1]}…"
    for found, put in _HARMLESS.items():
        shown = shown.replace(found, put)
    return shown


def told(entries: Sequence[Matched], source: str) -> Told:
    """Return the alert that set a task off, the newest notice of it; `source` "" takes any webhook's.

    Raises `Malformed` where there is none, where there are several problems, and where it is our own doing.
    """
    found = [each for each in map(_alert, entries) if each and source in {"", each.source}]
    if not found:
        whose = f" of a webhook of {source}" if source else ""
        raise Malformed(f"the task's entries hold no alert{whose}: let a rule over such alerts set it off")
    if len({(each.source, each.fingerprint) for each in found}) > 1:
        raise Malformed(
            "the task's entries hold alerts of several problems: dedup: {by: [alert.fingerprint]} gives "
            "each a task of its own"
        )
    if any(each.ours for each in found):
        raise Malformed("the alert tells what Sentinel did itself, and is not replied to")
    return found[-1]


def text_of(run: StepRun, comment: str, link: str) -> str:
    """Return what is said: the comment, a link of the recipe's own, and what names task and effect."""
    lines = [f"Sentinel: {harmless(comment)}" if comment else "Sentinel has worked on this."]
    if link:
        lines.append(link)
    lines.append(f"task {run.task.id}, recipe {printable(run.task.recipe)}, {mark(run.key)}")
    return "\n".join(lines)


def _alert(matched: Matched) -> Told | None:
    # What names the issue that is answered is the word of its webhook alone, and of no entry of that form.
    alert = told_alert(matched.entry, matched.hook)
    if alert is None:
        return None
    labels = alert.get("labels")
    named = labels.items() if isinstance(labels, dict) else ()
    return Told(
        source=matched.hook.partition("/")[0],
        fingerprint=_text(alert, "fingerprint"),
        title=_text(alert, "title"),
        severity=_text(alert, "severity"),
        labels={name: value for name, value in named if isinstance(value, str)},
        place=matched,
    )


def _text(found: Mapping[str, object], name: str) -> str:
    value = found.get(name)
    return value if isinstance(value, str) else ""
