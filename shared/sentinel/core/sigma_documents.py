"""Cuts Sigma files into YAML documents and reads each as a map.

YAML is read with pySigma's loader, which is a safe loader that also refuses duplicate keys, and with its
guard against aliases that expand without end. What cannot be read is reported for its document; the others go
on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from sigma import exceptions
from sigma.rule.base import SigmaYAMLLoader, check_alias_expansion

from sentinel.core.detection import document_digest
from sentinel.errors import Malformed, Unsupported

# A line of three dashes at its very beginning separates documents and can be nothing else (YAML 1.2, 9.1.2).
_DOCUMENT = re.compile(r"^---(?=\s|$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: where it is from, what to call it in messages, its text, and what it says."""

    source: str
    label: str
    digest: str
    content: dict[str, Any]

    def malformed(self, reason: str) -> Malformed:
        """Make the error for something that Sigma does not allow."""
        return Malformed(f"{self.source}: {self.label}: {reason}")

    def unsupported(self, reason: str) -> Unsupported:
        """Make the error for something that Sigma allows, or once allowed, and that is refused here."""
        return Unsupported(f"{self.source}: {self.label}: {reason}")


def documents(source: str, content: bytes) -> Iterator[Document | Malformed]:
    """Yield the documents of one file but empty ones; a `Malformed` in the place of an unreadable one."""
    try:
        whole = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield Malformed(f"{source}: not UTF-8: {error.reason} at byte {error.start}")
        return
    for number, part in enumerate(_DOCUMENT.split(whole), start=1):
        try:
            document = _document(source, number, part)
        except Malformed as error:
            yield error
        else:
            if document is not None:
                yield document


def _document(source: str, number: int, part: str) -> Document | None:
    where = f"{source}: document {number}"
    try:
        content = yaml.load(part, SigmaYAMLLoader)  # noqa: S506 - a safe loader that also refuses duplicate keys
        check_alias_expansion(content)
    except (yaml.YAMLError, exceptions.SigmaError) as error:
        raise Malformed(f"{where}: not readable as YAML: {' '.join(str(error).split())}") from None
    except (RecursionError, ValueError, TypeError) as error:
        raise Malformed(f"{where}: not readable as YAML: {type(error).__name__}: {error}") from None
    if content is None:
        return None
    if not isinstance(content, dict):
        raise Malformed(f"{where}: a rule must be a map")
    label = f"rule {str(content.get('title', 'without title'))!r}"
    label += f" ({content['id']})" if "id" in content else ""
    return Document(source, label, document_digest(part), content)
