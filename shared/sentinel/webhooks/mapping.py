"""Where the fields of an alert are in a body whose form is the sender's customer's own choice.

An option gives a field's places: dotted paths with `|` between, of which the first that has a text counts.
`=text` is that text itself: `--option severity='data.level|=error'`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from sentinel.core.alerts import Alert, Severity, Status, digest, instant, severity_of, status_of
from sentinel.errors import Malformed
from sentinel.webhooks.reading import Part

TEXTS: Final = ("kind", "description", "link", "resource", "service", "environment", "sender_id")
TIMES: Final = ("started", "ended", "updated")
OPTIONS: Final[Mapping[str, str]] = {
    "title": "where the title is: dotted paths with `|` between, `=text` for a text of your own",
    "severity": "where the severity is",
    "status": "where the status is",
    "fingerprint": "where the id of the problem is, the same from firing to resolved",
    **{name: f"where the {name} is" for name in TEXTS},
    **{name: f"where the time is that it {name}" for name in TIMES},
    "labels": "paths of what becomes labels, with commas between; each is named by its last part",
}
_PLACES: Final = re.compile(r"[^|\x00-\x1f]{1,200}(\|[^|\x00-\x1f]{1,200}){0,9}")


class Places:
    """The places of an alert's fields. `options` are of `OPTIONS`, `usual` where one is not given.

    Raises `Malformed` for what is no list of places.
    """

    def __init__(self, options: Mapping[str, str], usual: Mapping[str, str] | None = None) -> None:
        given = {name: value for name, value in options.items() if name in OPTIONS}
        self._places = {**(usual or {}), **given}
        for name, value in self._places.items():
            if not _PLACES.fullmatch(value):
                raise Malformed(f"{name} is up to 10 dotted paths of 200 characters, with | between")

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._places)

    def text(self, name: str, body: Part) -> str:
        """Return the text of a field, "" where there is none."""
        for place in self._places.get(name, "").split("|"):
            found = place[1:] if place.startswith("=") else body.text(place)
            if found:
                return found
        return ""

    def alert(
        self,
        body: Part,
        severity: Callable[[str], Severity] = severity_of,
        status: Callable[[str], Status] = status_of,
    ) -> Alert | None:
        """Return the alert that a body tells; None where it has no title. The others read its words."""
        title = self.text("title", body)
        if not title:
            return None
        fingerprint = self.text("fingerprint", body)
        texts: dict[str, Any] = {name: self.text(name, body) for name in TEXTS}
        times: dict[str, Any] = {name: instant(self.text(name, body)) for name in TIMES}
        stays = (title, texts["resource"], texts["service"], texts["environment"], texts["kind"])
        return Alert(
            title=title,
            severity=severity(self.text("severity", body)),
            status=status(self.text("status", body)),
            fingerprint=fingerprint or digest(*stays),
            labels=self._labels(body),
            **texts,
            **times,
        )

    def _labels(self, body: Part) -> dict[str, str]:
        paths = filter(None, map(str.strip, self._places.get("labels", "").split(",")))
        return {path.rpartition(".")[2]: body.text(path) for path in paths}
