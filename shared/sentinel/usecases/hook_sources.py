"""Which webhooks there are, and the source of each with the options that the webhook has."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, runtime_checkable

from sentinel.errors import Malformed, Unavailable
from sentinel.ports_doors import Delivery

if TYPE_CHECKING:
    from sentinel.core.access import Hook, Service
    from sentinel.core.alerts import Alert
    from sentinel.core.hook_tokens import Taken
    from sentinel.ports import HttpRequest
    from sentinel.usecases.directory import Directory

log = logging.getLogger("sentinel.receive")


class Proves(Protocol):
    """What is needed of whatever a webhook's senders prove themselves by; see `webhooks.source.Source`."""

    @property
    def proof(self) -> Sequence[str]:
        """Names of the headers that prove."""

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: int) -> None:
        """Raise `Unauthenticated` unless one of `secrets` signed this."""


class Source(Proves, Protocol):
    """What is needed of a webhook source; see `webhooks.source.Source`."""

    def message(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return the id of the message."""

    def alerts(self, headers: Mapping[str, str], body: bytes) -> list[Alert]:
        """Return the alerts that it tells. Raises `Unparsed`."""

    def entries(self, delivery: Delivery, body: bytes) -> list[bytes]:
        """Return what is stored of the message itself."""


How = TypeVar("How", bound=Proves)
How_co = TypeVar("How_co", bound=Proves, covariant=True)


class Makes(Protocol[How_co]):
    """What is needed of a kind of senders."""

    @property
    def make(self) -> Callable[[Mapping[str, str]], How_co]:
        """Makes what checks them, with a webhook's options. Raises `Malformed`."""


class Kind(Makes[Source], Protocol):
    """What is needed of a kind of sources; see `webhooks.source.Kind`."""

    @property
    def heeds_429(self) -> bool:
        """Whether such a sender sends again after a 429."""

    @property
    def strangers(self) -> Callable[[Mapping[str, str]], bool]:
        """Says of a webhook's options whether anybody may have written what it tells."""


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


class HookWays(Generic[How]):
    """Finds webhooks, each with what its senders are checked by. Threads may share it."""

    def __init__(self, sources: Mapping[str, Makes[How]], directory: Directory) -> None:
        self._sources = sources
        self._directory = directory
        self._made: dict[tuple[object, ...], How] = {}

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

    def source(self, hook: Hook) -> How:
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

    def decoy(self, source: str) -> How:
        """Return a source for the work of a hook that is not there."""
        return (self._sources.get(source) or next(iter(self._sources.values()))).make({})


class HookSources(HookWays[Source]):
    """Finds webhooks whose senders tell of alerts, each with its source."""

    def __init__(self, sources: Mapping[str, Kind], directory: Directory) -> None:
        super().__init__(sources, directory)
        self._kinds = sources

    def heeds_429(self, source: str) -> bool:
        """Say whether senders of this source send again after a 429."""
        return self._kinds[source].heeds_429

    def strangers(self, hook: Hook) -> bool:
        """Say whether anybody may have written what a webhook tells."""
        return self._kinds[hook.source].strangers(hook.options)
