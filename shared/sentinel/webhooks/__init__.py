"""Webhook sources: how each kind of sender proves itself, and what of its message is stored.

One file a source, one line in `SOURCES`: its key is the `{source}` of `/hooks/{source}/{hook}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sentinel.webhooks.source import Source
from sentinel.webhooks.standard import StandardWebhooks

SOURCES: Mapping[str, Source] = MappingProxyType({"standard-webhooks": StandardWebhooks()})
"""The kinds of senders that are known."""
