"""Which webhooks there are, and the source of each with the options that the webhook has."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from sentinel.errors import Malformed, Unavailable
from sentinel.ports_doors import Delivery

if TYPE_CHECKING:
    from sentinel.core.access import Hook, Service
    from sentinel.core.alerts import Alert
    from sentinel.core.hook_tokens import Taken
    from sentinel.ports import HttpRequest
    from sentinel.usecases.directory import Directory

log = logging.getLogger("sentinel.receive")


class Source(Protocol):
    """What is needed of a webhook source; see `webhooks.source.Source`."""

    @property
    def proof(self) -> Sequence[str]:
        """Names of the headers that prove."""

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: int) -> None:
        """Raise `Unauthenticated` unless one of `secrets` signed this."""

    def message(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return the id of the message."""

    def alerts(self, headers: Mapping[str, str], body: bytes) -> list[Alert]:
        """Return the alerts that it tells. Raises `Unparsed`."""

    def entries(self, delivery: Delivery, body: bytes) -> list[bytes]:
        """Return what is stored of the message itself."""


class Kind(Protocol):
    """What is needed of a kind of sources; see `webhooks.source.Kind`."""

    @property
    def make(self) -> Callable[[Mapping[str, str]], Source]:
        """Makes a source with a webhook's options. Raises `Malformed`."""

    @property
    def heeds_429(self) -> bool:
        """Whether such a sender sends again after a 429."""


@runtime_checkable
class Answering(Protocol):
    """A source whose senders ask back: what they ask is answered once it is stored."""

    def answer(self, body: bytes) -> HttpRequest | None:
        """Return the request that answers a message, None where none is due. Sent twice, it does no more."""


@runtime_checkable
class TakesTokens(Protocol):
    """A source that may take access tokens in the place of a secret or a signature."""

    @property
    def tokens(self) -> Taken | None:
        """Whose tokens; None where it takes none."""

    def usable(self, secret: str) -> bool:
        """Say whether a secret is one that may prove something."""


@runtime_checkable
class Inviting(Protocol):
    """A source whose senders ask first whether they may send (CloudEvents, HTTP webhooks, 4)."""

    def invites(self, origin: str) -> Mapping[str, str]:
        """Return the headers that let this origin send; none where it may not."""


class HookSources:
    """Finds them. Threads may share it."""

    def __init__(self, sources: Mapping[str, Kind], directory: Directory) -> None:
        self._sources = sources
        self._directory = directory
        self._made: dict[tuple[object, ...], Source] = {}

    def known(self, hook_id: str, source: str = "") -> tuple[Hook, Service] | None:
        """Return a hook that takes messages, of this source where one is named, and whose it is.

        None where there is none. Raises `Unavailable`.
        """
        if not 1 <= len(hook_id) <= 64:
            return None
        hook = self._directory.hook(hook_id)
        if hook is None or hook.disabled or hook.source not in self._sources:
            return None
        if source and hook.source != source:
            return None
        service = self._directory.service(hook.service)
        return None if service is None or service.disabled else (hook, service)

    def source(self, hook: Hook) -> Source:
        """Return the source with this hook's options. Raises `Unavailable` where they cannot be used."""
        named = (hook.source, *sorted(hook.options.items()))
        found = self._made.get(named)
        if found is None:
            try:
                found = self._sources[hook.source].make(hook.options)
            except Malformed as error:
                log.error("the options of webhook %s cannot be used: %s", hook.id, error)  # noqa: TRY400
                raise Unavailable("the webhook cannot be verified now", 60.0) from None
            self._made[named] = found
        return found

    def decoy(self, source: str) -> Source:
        """Return a source for the work of a hook that is not there."""
        return (self._sources.get(source) or next(iter(self._sources.values()))).make({})

    def heeds_429(self, source: str) -> bool:
        """Say whether senders of this source send again after a 429."""
        return self._sources[source].heeds_429
