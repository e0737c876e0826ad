"""The policy: what must not leave, and what is done about it. It is read from the configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentinel_client.privacy._errors import BadPolicy
from sentinel_client.privacy._paths import ACTIONS, Paths
from sentinel_client.privacy._table import table

FOUND = ("mask", "drop", "off")  # what can be done with a value that a detector found
_MEMBERS = ("enabled", "names", "detectors", "paths", "allow", "key_file", "encryption")


@dataclass(frozen=True)
class Policy:
    """What is masked before an entry is written. Without arguments: all that looks like a secret or personal.

    `detectors` has what is done by kind or by a detector's id: `mask` puts `[[kind:token]]` in its place,
    `drop` puts `[[kind]]` there, `off` leaves it. All kinds but `random` are masked where nothing else is
    said: card numbers, bank accounts, e-mail addresses, phone and social security numbers, tokens, keys and
    passwords. `names` masks values under names such as `password`. `paths` names fields and what is done with
    them: `drop` leaves the field out, `mask` and `hash` put a token in its place (with and without its kind),
    `encrypt` puts `{"$enc": ...}` there. `allow` has values that are left as they are; `*` in them stands for
    any characters. `key_file` holds the key of tokens; without one it is drawn and kept in `root`, and
    without a root it lasts as long as the process. `encryption` says how fields are encrypted (`FieldKeys`).
    """

    enabled: bool = True
    names: bool = True
    detectors: Mapping[str, str] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    allow: tuple[str, ...] = ()
    key_file: Path | None = None
    root: Path | None = None
    encryption: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        known = (*table().kinds, *(each.id for each in table().detectors))
        for name, action in self.detectors.items():
            if name not in known:
                raise BadPolicy(f"there is no detector and no kind {name!r}{_nearest(name, known)}")
            if action not in FOUND:
                raise BadPolicy(f"detectors.{name} is one of {', '.join(FOUND)}, not {action!r}")
        for path, action in self.paths.items():
            if action not in ACTIONS:
                raise BadPolicy(f"paths.{path} is one of {', '.join(ACTIONS)}, not {action!r}")
            if action == "encrypt" and self.encryption is None:
                raise BadPolicy(f"paths.{path} is encrypted, but privacy.encryption names no key")
        Paths(self.paths)

    def action(self, kind: str, detector: str, off: bool = False) -> str:
        """Return what is done with what a detector of a kind finds; `off` is how the table has it."""
        return self.detectors.get(detector) or self.detectors.get(kind) or ("off" if off else "mask")

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], root: Path | None = None) -> Policy:
        """Read the `privacy` object of a configuration file. Raises `BadPolicy`, which names the member.

        >>> Policy.from_mapping({"detectors": {"email": "off"}}).action("email", "email")
        'off'
        >>> Policy.from_mapping({"detector": {}})
        Traceback (most recent call last):
        sentinel_client.privacy._errors.BadPolicy: privacy has no member 'detector'; detectors is meant?
        """
        for name in mapping:
            if name not in _MEMBERS:
                raise BadPolicy(f"privacy has no member {name!r}{_nearest(name, _MEMBERS)}")
        return cls(
            enabled=_of(mapping, "enabled", bool, True),
            names=_of(mapping, "names", bool, True),
            detectors=_words(mapping, "detectors"),
            paths=_words(mapping, "paths"),
            allow=_texts(mapping, "allow"),
            key_file=Path(_of(mapping, "key_file", str, "")) if "key_file" in mapping else None,
            root=root,
            encryption=_of(mapping, "encryption", dict, {}) if "encryption" in mapping else None,
        )


def _nearest(name: object, known: tuple[str, ...]) -> str:
    import difflib  # only where an error is told

    near = difflib.get_close_matches(str(name), known, 1)
    return f"; {near[0]} is meant?" if near else f"; it is one of {', '.join(known[:20])}"


def _of(mapping: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = mapping.get(name, default)
    if not isinstance(value, kind):
        words = {bool: "true or false", str: "a text", dict: "an object", list: "a list"}
        raise BadPolicy(f"privacy.{name} is {words[kind]}")
    return value


def _words(mapping: Mapping[str, Any], name: str) -> dict[str, str]:
    found = _of(mapping, name, dict, {})
    if not all(isinstance(each, str) for each in found.values()):
        raise BadPolicy(f"privacy.{name} is an object whose values are texts")
    return dict(found)


def _texts(mapping: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = _of(mapping, name, list, [])
    if not all(isinstance(each, str) and each.strip("*") for each in found):
        raise BadPolicy(f"privacy.{name} is a list of texts, each with more than *")
    return tuple(found)
