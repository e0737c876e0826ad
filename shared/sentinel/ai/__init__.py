"""The models that Sentinel can ask: one file a kind, this registry, and the loader of model documents.

To add one: a file beside this one with a configuration and what makes a model of it, one line in `KINDS`,
and its heading in `docs/models.md`. An SDK is imported where its model is asked, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sentinel.ai.anthropic import AnthropicConfig, AnthropicProvider
from sentinel.ai.failover import Failover, Named
from sentinel.ai.hosted import Hosted
from sentinel.ai.model import HostedConfig, ModelConfig, Reach
from sentinel.ai.openai import OpenAIConfig, OpenAIProvider
from sentinel.ai.recorded import RecordedConfig, in_folder
from sentinel.ai.scripted import Scripted, ScriptedConfig
from sentinel.core import named
from sentinel.core.budgets import Budget, Spent
from sentinel.errors import Missing

if TYPE_CHECKING:
    from sentinel.ports_patches import Model

__all__ = ["KINDS", "HostedConfig", "Kind", "ModelConfig", "Reach", "asked", "load", "make"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of model: the form of its configuration, and what makes a model of it."""

    config: type[ModelConfig]
    model: Callable[[Any, Reach], Model]


KINDS: Mapping[str, Kind] = {
    "anthropic": Kind(AnthropicConfig, lambda config, reach: Hosted(config, AnthropicProvider(), reach)),
    "openai": Kind(OpenAIConfig, lambda config, reach: Hosted(config, OpenAIProvider(), reach)),
    "recorded": Kind(RecordedConfig, in_folder),
    "scripted": Kind(ScriptedConfig, Scripted),
}


def make(config: ModelConfig, reach: Reach) -> Model:
    """Return the model of a configuration. Nothing is asked or imported yet."""
    return KINDS[config.kind].model(config, reach)


def load(name: str, body: bytes) -> dict[str, ModelConfig]:
    """Parse a model document, `models: {NAME: {kind: ..., ...}}`; see `core.named.load`."""
    kinds = {kind: each.config for kind, each in KINDS.items()}
    return named.load(name, body, "models", "a model", kinds)


def asked(
    names: Sequence[str],
    configs: Mapping[str, ModelConfig],
    reach: Reach,
    budget: Budget | None = None,
    spent: Spent | None = None,
) -> Failover:
    """Return the models that a recipe names, in its order, as one. Raises `Missing` for an unknown name."""
    unknown = next((each for each in names if each not in configs), None)
    if unknown is not None:
        raise Missing(f"there is no model {unknown}: put it under models: in a model document")
    found = [Named(each, make(configs[each], reach), configs[each].cost) for each in names]
    return Failover(found, reach.clock, budget, spent)
