"""The walk over one entry: names, paths, texts; what was hidden once is hidden everywhere in the entry."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sentinel_client.privacy._checks import MASKED, phone
from sentinel_client.privacy._errors import NotMasked
from sentinel_client.privacy._paths import Paths
from sentinel_client.privacy._scan import Scanner
from sentinel_client.privacy._table import Detector, Table

MAX_DEPTH = 100  # levels of an entry
MAX_INNER = 4  # levels of JSON in texts of JSON
MAX_HUNTED = 64  # values of one entry that are looked for everywhere in it
SURE, LONG = (
    6,
    12,
)  # characters from which on a value is looked for: with more than letters, with letters only
FIELD = "field"  # the kind of what a path names
_LETTERS = r"[A-Za-z]+"
_SURROGATE = "[\ud800-\udfff]"
_QUOTED = r"b?([\"'])([^\n]+)\1"


@dataclass(frozen=True)
class Rules:
    """What a walk goes by, the same for all entries of a policy.

    `names` says the kind of what stands under a name, "" for nothing special, `plain` whether nothing
    is to be hidden in a name itself. `hide(kind, value, action)`
    returns what stands in place of a value, the value itself where the policy allows it. `found` has the
    action by detector, `named` the action by the kind of a name.
    """

    scanner: Scanner
    table: Table
    paths: Paths
    names: Callable[[str], str]
    plain: Callable[[str], bool]
    hide: Callable[[str, str, str], str]
    found: Mapping[str, str]
    named: Mapping[str, str]
    encrypt: Callable[[str, Any], Any] | None


class Walk:
    """One entry's walk. `changed` says whether anything was hidden."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._hunted: dict[str, str] = {}
        self._inner = 0
        self.changed = False

    def entry(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return the entry with everything hidden that is to be. Raises `NotMasked` for what is too deep."""
        walked = self._mapping(entry, "", MAX_DEPTH)
        if self._hunted:
            known = sorted(self._hunted, key=lambda value: (-len(value), value))
            walked = self._again(walked, known)
        return walked

    def _value(self, value: Any, path: str, depth: int) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return self._mapping(value, path, depth)
        if isinstance(value, list):
            return self._list(value, path, depth)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**12:
            return self._number(value)
        return value

    def _mapping(self, value: dict[str, Any], path: str, depth: int) -> dict[str, Any]:
        if not depth:
            raise NotMasked("the entry is nested too deeply")
        said = self._said(value)
        walked = {}
        for name, each in value.items():
            inner = f"{path}.{name}" if path else name
            action = self._rules.paths.action(inner)
            if action == "drop":
                self.changed = True
                self._learn_leaves(each, f"[[{FIELD}]]")
                continue
            kind = self._rules.names(name) or (said if name.lower() in self._rules.table.pair_values else "")
            walked[self._name(name)] = self._field(each, inner, action, kind, depth - 1)
        return walked

    def _field(self, value: Any, path: str, action: str, kind: str, depth: int) -> Any:
        if action == "encrypt":
            self.changed = True
            self._learn_leaves(value, f"[[{FIELD}]]")
            assert self._rules.encrypt is not None  # noqa: S101 - a policy without keys cannot name this
            return self._rules.encrypt(path, value)
        if action:
            return self._leaves(value, FIELD, action, depth)
        return self._leaves(value, kind, "", depth) if kind else self._value(value, path, depth)

    def _said(self, value: dict[str, Any]) -> str:
        """Return the kind of the value of a pair such as {"key": "password", "value": ...}."""
        for name, each in value.items():
            if (
                isinstance(each, str)
                and name.lower() in self._rules.table.pair_names
                and (kind := self._rules.names(each))
            ):
                return kind
        return ""

    def _list(self, value: list[Any], path: str, depth: int, inside: bool = False) -> list[Any]:
        if not depth:
            raise NotMasked("the entry is nested too deeply")
        flat = path.rpartition(".")[2].lower().replace("-", "").replace("_", "") in self._rules.table.flat
        walked: list[Any] = []
        kind = ""
        for place, each in enumerate(value):
            if kind:
                walked.append(self._leaves(each, kind, "", depth - 1))
            elif isinstance(each, list):
                walked.append(self._list(each, path, depth - 1, inside=True))
            else:
                walked.append(self._value(each, path, depth - 1))
            kind = "" if kind else self._announced(each, place, flat or (inside and len(value) == 2))
        return walked

    def _announced(self, each: Any, place: int, paired: bool) -> str:
        """Return the kind of what follows in a list: after a name of a pair, after an option."""
        if not isinstance(each, str):
            return ""
        if paired and not place % 2:
            return self._rules.names(each)
        return self._rules.names(each) if each.startswith("-") and "=" not in each else ""

    def _leaves(self, value: Any, kind: str, action: str, depth: int) -> Any:
        """Hide every text and number of a value; names, true, false and null stay."""
        if not depth:
            raise NotMasked("the entry is nested too deeply")
        if isinstance(value, dict):
            return {
                self._name(name): self._leaves(each, kind, action, depth - 1) for name, each in value.items()
            }
        if isinstance(value, list):
            return [self._leaves(each, kind, action, depth - 1) for each in value]
        if value is None or isinstance(value, bool) or value == "":
            return value
        return self._leaf(value, kind, action, depth)

    def _leaf(self, value: Any, kind: str, action: str, depth: int) -> Any:
        text = unquoted(written(value))
        if re.fullmatch(MASKED, text):
            return value
        if kind == "phone" and not phone(text):
            return self._value(value, "", depth)
        hidden = self._rules.hide(kind, text, action or self._rules.named[kind])
        if hidden is text:  # the policy allows it
            return value
        self.changed = True
        self._learn(text, hidden if hidden.startswith("[[") else self._rules.hide(kind, text, "mask"))
        return hidden

    def _text(self, text: str) -> str:
        shown = text
        if text[:1] in {"{", "["} and text[-1:] in {"}", "]"} and self._inner < MAX_INNER:
            shown = self._json(text)
        if shown is text:
            shown = self._rules.scanner.replace(text, self._put)
        if shown is not text:
            self.changed = True
        return shown

    def _name(self, name: str) -> str:
        """Return a name as it may be shown. Names come again and again, so what is plain is remembered."""
        return name if self._rules.plain(name) else self._text(name)

    def _json(self, text: str) -> str:
        """Walk over JSON that a text holds; the same object where nothing of it is hidden, or it is none."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
        before, self.changed = self.changed, False
        self._inner += 1
        walked = self._value(value, "", MAX_DEPTH)
        self._inner -= 1
        hidden, self.changed = self.changed, before or self.changed
        if not hidden:
            return text
        shown = json.dumps(walked, ensure_ascii=False, separators=(",", ":"))
        return re.sub(_SURROGATE, lambda each: f"\\u{ord(each[0]):04x}", shown)  # as JSON.stringify has it

    def _put(self, detector: Detector, value: str) -> str:
        shown = self._rules.hide(detector.kind, value, self._rules.found[detector.id])
        if shown is not value and detector.kind in {"password", "secret"}:
            self._learn(value, shown)
        return shown

    def _number(self, value: int) -> Any:
        text = str(value)
        shown = self._rules.scanner.replace(text, self._put)
        if shown is text:
            return value
        self.changed = True
        return shown

    def _learn(self, value: str, shown: str) -> None:
        sure = LONG if re.fullmatch(_LETTERS, value) else SURE
        if len(value) >= sure and len(self._hunted) < MAX_HUNTED:
            self._hunted.setdefault(value, shown)

    def _learn_leaves(self, value: Any, shown: str) -> None:
        if isinstance(value, dict):
            for each in value.values():
                self._learn_leaves(each, shown)
        elif isinstance(value, list):
            for each in value:
                self._learn_leaves(each, shown)
        elif isinstance(value, str):
            self._learn(value, shown)

    def _again(self, value: Any, known: list[str]) -> Any:
        if isinstance(value, str):
            for each in known:
                if each in value:
                    value = value.replace(each, self._hunted[each])
            return value
        if isinstance(value, dict):
            if "$enc" in value:
                return value
            return {self._again(name, known): self._again(each, known) for name, each in value.items()}
        if isinstance(value, list):
            return [self._again(each, known) for each in value]
        return value


def written(value: Any) -> str:
    """Return what the token of a text or number is made of: whole numbers without a point.

    >>> written("a"), written(5), written(5.0), written(0.5)
    ('a', '5', '5', '0.5')
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    return str(value)


def unquoted(text: str) -> str:
    """Return what stands between quotes: frames have values as Python writes them.

    >>> unquoted("'a'"), unquoted('b"a"'), unquoted("'"), unquoted("it's")
    ('a', 'a', "'", "it's")
    """
    found = re.fullmatch(_QUOTED, text)
    return found[2] if found else text
