"""Whatever can send JSON: its alerts are where a mapping says.

The option `mapping` is the name of one that ships (`mappings/`), or a YAML document of one's own
(`mapping_file`). Without it everything is kept and parked, so that one can be written by what came.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from sentinel.core.alerts import Alert
from sentinel.webhooks import proofs
from sentinel.webhooks.places import anything
from sentinel.webhooks.source import Unparsed, only

if TYPE_CHECKING:  # slow to import: it has pydantic, yaml and re2
    from sentinel.webhooks.mapping_file import Model

MAPPING: Final[Mapping[str, str]] = {
    "mapping": "a YAML document that says where the fields are, or the name of one that ships",
}
OPTIONS: Final[Mapping[str, str]] = {**proofs.OPTIONS, **MAPPING}
SIGNATURE_HEADER: Final = "x-signature"


class Generic(proofs.Proven):
    """The source."""

    def __init__(self, options: Mapping[str, str]) -> None:
        only(options, OPTIONS)
        super().__init__(proofs.chosen(options, SIGNATURE_HEADER))
        self._mapping = mapped(options)

    def alerts(self, headers: Mapping[str, str], body: bytes) -> list[Alert]:
        """Return what the mapping finds; see `Source.alerts`."""
        del headers
        if self._mapping is None:
            raise Unparsed("the webhook has no option mapping yet")
        return self._mapping.alerts(anything(body))


def mapped(options: Mapping[str, str]) -> Model | None:
    """Return the mapping that options have, or None. Raises `Malformed`."""
    if "mapping" not in options:
        return None
    from sentinel.webhooks.mapping_file import mapping

    return mapping(options["mapping"])
