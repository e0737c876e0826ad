"""A mapping: a YAML document that says where a sender's body has what an alert has.

Everything in it is bounded, and so is the work it makes: no path branches, patterns are RE2's (linear time),
and what a body lacks is left out. The files in `mappings/` are mappings that ship; an option `mapping` names
one of them, or is a document itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.resources import files
from re import fullmatch
from typing import Annotated, Any, Final, TypeVar

import re2
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from sentinel.core.alerts import Alert, Severity, Status, digest, instant, severity_of, status_of
from sentinel.core.recipes import explain, load_yaml
from sentinel.errors import Malformed
from sentinel.webhooks.places import Found, Place, place
from sentinel.webhooks.reading import Part, document, scalar
from sentinel.webhooks.source import Unparsed

MAX_BYTES: Final = 8_000
MAX_BRACKETS: Final = 400  # deep ones are slow to read
MAX_NAMES: Final = 100  # of labels, of values
MAX_PATTERN: Final = 200
MAX_SEARCHED: Final = 20_000  # characters of a text that a pattern looks at


def _worded(values: object) -> object:
    """YAML has numbers for what a sender calls 1 and 2; the values of a sender are texts."""
    if not isinstance(values, dict):
        return values
    return {scalar(word).lower(): meaning for word, meaning in values.items()}


Meaning = TypeVar("Meaning", Severity, Status)
At = Annotated[Place, BeforeValidator(place)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]
# Two stars at most: more can be slow to compare.
Word = Annotated[str, Field(max_length=200, pattern=r"^[^*?\[\]]*(\*[^*?\[\]]*){0,2}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Extract(_Strict):
    """Takes a part out of a text: `match` is a pattern of RE2 with one group."""

    at: At
    match: Annotated[str, Field(max_length=MAX_PATTERN)]

    @field_validator("match")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            groups = _compiled(pattern).groups
        except re2.error:
            raise ValueError("RE2 does not take the pattern") from None
        if groups != 1:
            raise ValueError("the pattern has one group in parentheses: what is taken")
        return pattern

    def text(self, found: Found) -> str:
        """Return what the group matched, "" where nothing did."""
        match = _compiled(self.match).search(self.at.text(found)[:MAX_SEARCHED])
        return str(match.group(1) or "").strip() if match else ""


class SeverityWords(_Strict):
    """The sender's word at `at`, as `values` say, else as usual, else `else`."""

    at: At | None = None
    values: Annotated[dict[Word, Severity], BeforeValidator(_worded), Field(max_length=MAX_NAMES)] = {}
    otherwise: Annotated[Severity, Field(alias="else")] = Severity.UNKNOWN


class StatusWords(_Strict):
    """The sender's word at `at`, as `values` say, else as usual, else `else`."""

    at: At | None = None
    values: Annotated[dict[Word, Status], BeforeValidator(_worded), Field(max_length=MAX_NAMES)] = {}
    otherwise: Annotated[Status, Field(alias="else")] = Status.UNKNOWN


class Ignore(_Strict):
    """Words at a place of which a message tells no alert."""

    at: At
    values: Annotated[list[Word], Field(min_length=1, max_length=MAX_NAMES)]


class Model(_Strict):
    """The keys of a mapping; docs/connectors.md says what each is for."""

    inside: At | None = None
    each: At | None = None
    require: Annotated[list[At], Field(max_length=20)] = []
    ignore: Annotated[list[Ignore], Field(max_length=20)] = []
    extract: Annotated[dict[Name, Extract], Field(max_length=20)] = {}
    title: At
    severity: SeverityWords = SeverityWords()
    status: StatusWords = StatusWords()
    fingerprint: Annotated[list[At], Field(max_length=20)] = []
    kind: At | None = None
    description: At | None = None
    link: At | None = None
    resource: At | None = None
    service: At | None = None
    environment: At | None = None
    sender_id: At | None = None
    started: At | None = None
    ended: At | None = None
    updated: At | None = None
    labels: Annotated[dict[Name, At], Field(max_length=MAX_NAMES)] = {}

    def alerts(self, told: Part) -> list[Alert]:
        """Return what a document tells. Raises `Unparsed` where nothing in it is what this mapping is for."""
        return self.all([told])

    def all(self, documents: Sequence[Part]) -> list[Alert]:
        """Return what some documents tell. Raises `Unparsed` as `alerts`."""
        bodies = [self._found(each, told) for told in documents for each in self._bodies(told)]
        meant = [each for each in bodies if not self._ignored(each)]
        alerts = [self._alert(each) for each in meant if self._fits(each)]
        if meant and not alerts:
            raise Unparsed("the mapping finds no title, or not all that it requires")
        return alerts

    def _bodies(self, told: Part) -> Iterator[Part]:
        if self.inside is not None:
            told = _inside(self.inside, told)
        if self.each is None:
            yield told
            return
        listed = self.each.value(Found(told, {}))
        if not isinstance(listed, list):
            raise Unparsed("the mapping finds no list at each")
        yield from map(Part, listed)

    def _found(self, told: Part, outer: Part) -> Found:
        plain = Found(told, {}, outer)
        return Found(told, {name: each.text(plain) for name, each in self.extract.items()}, outer)

    def _ignored(self, found: Found) -> bool:
        return any(_matches(each.at.text(found), word) for each in self.ignore for word in each.values)

    def _fits(self, found: Found) -> bool:
        return bool(self.title.text(found)) and all(each.text(found) for each in self.require)

    def _alert(self, found: Found) -> Alert:
        parts = [each.text(found) for each in self.fingerprint]
        return Alert(
            title=self.title.text(found),
            severity=_severity(self.severity, found),
            status=_status(self.status, found),
            fingerprint=(parts[0] if len(parts) == 1 else digest(*parts)) if any(parts) else "",
            kind=_at(self.kind, found),
            description=_at(self.description, found),
            link=_at(self.link, found),
            resource=_at(self.resource, found),
            service=_at(self.service, found),
            environment=_at(self.environment, found),
            started=instant(_at(self.started, found)),
            ended=instant(_at(self.ended, found)),
            updated=instant(_at(self.updated, found)),
            labels={name: each.text(found) for name, each in self.labels.items()},
            sender_id=_at(self.sender_id, found),
        )


def mapping(text: str) -> Model:
    """Return the mapping of a name that ships, or of a document. Raises `Malformed`: what to change."""
    return _loaded(text)


def shipped() -> list[str]:
    """Return the names of the mappings that ship."""
    folder = files("sentinel.webhooks") / "mappings"
    return sorted(each.name.removesuffix(".yaml") for each in folder.iterdir() if each.name.endswith(".yaml"))


@lru_cache(maxsize=64)
def _loaded(text: str) -> Model:
    told = _parsed(_shipped(text) if fullmatch(r"[a-z][a-z0-9-]{0,30}", text) else text)
    try:
        return Model.model_validate({str(name): value for name, value in told.items()})
    except ValidationError as error:
        raise Malformed(f"mapping: {explain(error)}") from None


def _shipped(name: str) -> str:
    if name not in shipped():
        raise Malformed(f"mapping: there is no {name}; {', '.join(shipped())} ship, or it is a YAML document")
    return (files("sentinel.webhooks") / "mappings" / f"{name}.yaml").read_text("utf-8")


def _parsed(text: str) -> Mapping[object, object]:
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise Malformed(f"mapping: it has over {MAX_BYTES:,} bytes")
    if text.count("{") + text.count("[") > MAX_BRACKETS:
        raise Malformed(f"mapping: it has over {MAX_BRACKETS} brackets")
    try:
        # A document of a few lines with references can stand for a billion.
        if any(isinstance(token, yaml.AnchorToken | yaml.AliasToken) for token in yaml.scan(text)):
            raise Malformed("mapping: it has anchors or references, which it may not")
    except yaml.YAMLError as error:
        raise Malformed(f"mapping: not YAML: {' '.join(str(error).split())[:300]}") from None
    told = load_yaml("mapping", text.encode("utf-8", "replace"))
    if not isinstance(told, dict):
        raise Malformed("mapping: it is a YAML mapping with at least title")
    return told


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    return re2.compile(pattern, options)


def _inside(at: Place, told: Part) -> Part:
    """Return the object at a place, or of the JSON text there; the document itself where there is neither."""
    value = at.value(Found(told, {}))
    if isinstance(value, str):
        try:
            value = document(value.encode("utf-8", "replace")).value
        except Unparsed:
            return told
    return Part(value) if isinstance(value, dict) else told


def _at(at: Place | None, found: Found) -> str:
    return at.text(found) if at is not None else ""


def _matches(text: str, pattern: str) -> bool:
    return bool(text) and fnmatchcase(text[:500].lower(), pattern.lower())


def _severity(words: SeverityWords, found: Found) -> Severity:
    text = _at(words.at, found)
    told = _value(words.values, text)
    if told is not None:
        return told
    usual = severity_of(text)
    return words.otherwise if usual is Severity.UNKNOWN else usual


def _status(words: StatusWords, found: Found) -> Status:
    text = _at(words.at, found)
    told = _value(words.values, text)
    if told is not None:
        return told
    usual = status_of(text)
    return words.otherwise if usual is Status.UNKNOWN else usual


def _value(values: Mapping[str, Meaning], text: str) -> Meaning | None:
    return next((meaning for word, meaning in values.items() if _matches(text, word)), None)
