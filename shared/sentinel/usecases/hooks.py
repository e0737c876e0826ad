"""Webhooks as the registry has them: adding, disabling, listing. `usecases.receive` takes them in.

The secret of a webhook is a ring (`core.ring`), so that an old and a new one count while its source is told
the new one. A webhook without a record is not there, so its record is the last thing that is made.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sentinel.core import hec_tokens
from sentinel.core.access import Hook, Service
from sentinel.core.ring import Key, Ring
from sentinel.errors import Conflict, Malformed, Missing
from sentinel.usecases import records

if TYPE_CHECKING:
    from sentinel.ports_doors import Registry, SecretVersions

MAX_SECRET = 4_096  # characters


def new_secret(entropy: Callable[[int], bytes], source: str = "", hook_id: str = "") -> str:
    """Return a new secret in the form of Standard Webhooks: `whsec_` and the base64 of 32 random bytes.

    That of Splunk's Event Collector is of another form: see `core.hec_tokens`.
    """
    if source == hec_tokens.SOURCE:
        return hec_tokens.new_secret(hook_id, entropy)
    return f"whsec_{b64encode(entropy(32)).decode()}"


@dataclass(frozen=True, slots=True)
class AddedHook:
    """A new webhook with its secret: shown once, for whoever configures its source."""

    hook: Hook
    secret: str = field(repr=False)


class Hooks:
    """Changes the registry's webhooks. `clock` is in epoch seconds, `entropy(n)` returns n random bytes."""

    def __init__(
        self,
        registry: Registry,
        door_secrets: SecretVersions,
        hook_prefix: str,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._registry = registry
        self._secrets = door_secrets
        self._hook_prefix = hook_prefix
        self._clock = clock
        self._entropy = entropy

    def add_hook(
        self,
        hook_id: str,
        service: str,
        source: str,
        secret: str = "",
        options: Mapping[str, str] | None = None,
    ) -> AddedHook:
        """Add a webhook for a service. `secret` is the one that the source chose; "" makes one.

        `options` are settings that the source knows: it is the caller who asks it.

        Raises `Missing` where there is no such service, `Conflict` where the webhook is there. A call that
        failed halfway is completed by the next one.
        """
        hook = Hook(hook_id, service, source, self._hook_prefix + hook_id, options=dict(options or {}))
        hook.check()
        if records.load(self._registry, Service, service)[0] is None:
            raise Missing(f"there is no service {service}: `sentinel services add {service}` adds it")
        if records.load(self._registry, Hook, hook_id)[0] is not None:
            raise _taken(hook_id)
        kept = self._hook_secret(hook, secret)
        if not records.save(self._registry, hook, 0):
            raise _taken(hook_id)
        return AddedHook(hook, kept)

    def disable_hook(self, hook_id: str) -> Hook:
        """Refuse what comes to a webhook. Raises `Missing`."""
        return self._switch(hook_id, disabled=True)

    def enable_hook(self, hook_id: str) -> Hook:
        """Take in again what comes to a webhook. Raises `Missing`."""
        return self._switch(hook_id, disabled=False)

    def hooks(self) -> list[Hook]:
        """Return all webhooks by id."""
        return records.listed(self._registry, Hook)

    def hook(self, hook_id: str) -> Hook:
        """Return one webhook. Raises `Missing`."""
        return _found(records.load(self._registry, Hook, hook_id)[0], hook_id)

    def hook_secret(self, hook_id: str) -> str:
        """Return the secret that a webhook's source is to use. Raises `Missing`."""
        kept = self._secrets.value(self.hook(hook_id).secret)
        return Ring.decode(kept).current(int(self._clock())).value

    def _switch(self, hook_id: str, disabled: bool) -> Hook:
        def switched(found: Hook | None) -> Hook:
            return replace(_found(found, hook_id), disabled=disabled)

        return _found(records.settle(self._registry, Hook, hook_id, switched), hook_id)

    def _hook_secret(self, hook: Hook, wanted: str) -> str:
        name = hook.secret
        if len(wanted) > MAX_SECRET:
            raise Malformed(f"the secret of a webhook is at most {MAX_SECRET:,} characters")
        now = int(self._clock())
        value = wanted or new_secret(self._entropy, hook.source, hook.id)
        try:
            self._secrets.create(name, Ring((Key(self._entropy(8).hex(), value, since=now),)).encode())
        except Conflict:
            kept = Ring.decode(self._secrets.value(name)).current(now).value  # of a call that failed later on
            if wanted and kept != wanted:
                raise Conflict(f"the secret {name} is there already, with another value") from None
            return kept
        return value


def _taken(hook_id: str) -> Conflict:
    return Conflict(f"there is a webhook {hook_id} already; `sentinel hooks rotate` gives it a new secret")


def _found(hook: Hook | None, hook_id: str) -> Hook:
    if hook is None:
        raise Missing(f"there is no webhook {hook_id}; `sentinel hooks ls` lists them")
    return hook
