"""Webhook sources: how each kind of sender proves itself, and what its messages tell.

One file a source, one line in `SOURCES`: its key is the `{source}` of `/hooks/{source}/{hook}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sentinel.webhooks import standard
from sentinel.webhooks.source import Kind

SOURCES: Mapping[str, Kind] = MappingProxyType(
    {
        "standard-webhooks": Kind(standard.StandardWebhooks, standard.OPTIONS),
    }
)
"""The kinds of senders that are known."""
