"""What the `elastic` sink asks before it sends: may these credentials create documents, and would they fit.

Elasticsearch tells everybody what they may do themselves, and the mapping to those who may see it. OpenSearch
has no such question, and neither has an Elasticsearch without security: there an empty bulk request, which
both refuse once they have looked at the credentials, says that much.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson

from sentinel.ports import HttpRequest, HttpResponse
from sentinel.siem.answers import json_object, passing
from sentinel.siem.check import Finding, Level, Question, Sound, Wrong, elsewhere, refused, throttled

PRODUCT = "Elasticsearch or OpenSearch"
_TEXTS = frozenset({"constant_keyword", "keyword", "match_only_text", "text", "wildcard"})
_DATES = frozenset({"date", "date_nanos"})
# Fields that every document has, and the types that take what is in them.
_TYPES: Mapping[str, frozenset[str]] = {
    "@timestamp": _DATES,
    "message": _TEXTS,
    "event.id": _TEXTS,
    "event.original": _TEXTS,
}


@dataclass(frozen=True, slots=True)
class ElasticCheck:
    """The questions to one index with one set of headers."""

    url: str
    index: str
    headers: Mapping[str, str]
    timeout: float

    def first(self) -> Question:
        """Ask what the credentials may do."""
        wanted = {"index": [{"names": [self.index], "privileges": ["create_doc", "auto_configure"]}]}
        return self._ask("POST", "_security/user/_has_privileges", self._privileges, orjson.dumps(wanted))

    def _privileges(self, response: HttpResponse) -> Finding:
        told, status = json_object(response), response.status
        if status == 401:
            return refused(status, "the cluster")
        if status in {429, 503}:
            return throttled(status)
        if status != 200 and ("error" in told or not told):
            return self._ask("POST", f"{self.index}/_bulk", _empty)
        indexes = told.get("index")
        mine = indexes.get(self.index) if isinstance(indexes, dict) else None
        if not isinstance(mine, dict):
            return elsewhere(status, PRODUCT)
        if mine.get("create_doc") is not True:
            hint = "give the key or the user the index privilege create_doc"
            return Wrong(Level.PERMISSION, f"the credentials may not create documents in {self.index}", hint)
        return self._mapped(made=mine.get("auto_configure") is True)

    def _mapped(self, *, made: bool) -> Question:
        def read(response: HttpResponse) -> Finding:
            if response.status == 404:
                return self._absent(made=made)
            if response.status != 200:
                return Sound(f"{self._sound}; its mapping may not be looked at ({response.status})")
            return _misfit(json_object(response)) or Sound(f"{self._sound}, and its mapping takes them")

        return self._ask("GET", f"{self.index}/_mapping/field/{','.join(_TYPES)}", read)

    def _absent(self, *, made: bool) -> Finding:
        if made:
            return Sound(f"{self._sound}; it is not there yet, and is made with the first event")
        hint = "make it, or give the key or the user the index privilege auto_configure"
        return Wrong(Level.PLACE, f"there is no index or data stream {self.index}", hint)

    @property
    def _sound(self) -> str:
        return f"the credentials may create documents in {self.index}"

    def _ask(
        self, method: str, path: str, read: Callable[[HttpResponse], Finding], body: bytes = b""
    ) -> Question:
        return Question(HttpRequest(method, f"{self.url}/{path}", self.headers, body, self.timeout), read)


def _empty(response: HttpResponse) -> Finding:
    """Read the answer to a bulk request without documents."""
    status, told = response.status, json_object(response)
    if status in {401, 403}:
        return refused(status, "the cluster")
    if passing(response):
        return throttled(status)
    if status != 400 or "error" not in told:
        return elsewhere(status, PRODUCT)
    return Sound(
        "the cluster answers and does not refuse the credentials; it cannot be asked what they may do, "
        "so privileges and mapping show with an event"
    )


def _misfit(told: Mapping[str, object]) -> Wrong | None:
    """Return the first field of the newest backing index that would not take what is sent."""
    newest = told[max(told)] if told else None
    fields = newest.get("mappings") if isinstance(newest, dict) else None
    for name, types in _TYPES.items():
        found = _type(fields.get(name) if isinstance(fields, dict) else None, name.rpartition(".")[2])
        if found and found not in types:
            return Wrong(
                Level.SCHEMA,
                f"the field {name} is mapped so that documents would be refused",
                f"map it as one of {', '.join(sorted(types))}, as the Elastic Common Schema does",
            )
    return None


def _type(field: object, leaf: str) -> str:
    mapping = field.get("mapping") if isinstance(field, dict) else None
    inner = mapping.get(leaf) if isinstance(mapping, dict) else None
    kind = inner.get("type") if isinstance(inner, dict) else None
    return kind if isinstance(kind, str) else ""
