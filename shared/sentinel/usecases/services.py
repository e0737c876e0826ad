"""Services and their webhooks: adding, changing, disabling, listing.

Every change is several writes, in an order in which a crash between any two of them lets nobody do more than
was asked: what takes away goes first, then the record that everything hangs on, then what gives. A service
that has no record yet has no rights, so its record is the last thing that is made. Doing the same again
after a failure completes it.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from sentinel.core import api_keys
from sentinel.core.access import Alias, ApiKey, Service
from sentinel.core.chain import check_producer
from sentinel.core.secret_names import secret_name
from sentinel.errors import Conflict, Missing, SentinelError, Unauthenticated, Unavailable
from sentinel.usecases import records
from sentinel.usecases.hooks import Hooks

if TYPE_CHECKING:
    from sentinel.ports_doors import Registry, SecretVersions, UsagePlans


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be changed of a service; None leaves it as it is."""

    tier: str | None = None
    scopes: Sequence[str] | None = None
    lanes: int | None = None
    identities: Sequence[str] | None = None
    archive_days: int | None = None
    encryption: str | None = None
    in_the_clear: bool = False  # says that a service's entries are to be stored in the clear from now on

    def of(self, service: Service, default: int, now: float) -> Service:
        """Return the service with these changes.

        `default` is the deployment's number of lanes, `now` epoch seconds: another number counts later on.
        """
        lanes = service.spread
        if self.lanes is not None:
            lanes = lanes.changed(self.lanes, default, now)
        return replace(
            service,
            tier=service.tier if self.tier is None else self.tier,
            scopes=service.scopes if self.scopes is None else tuple(dict.fromkeys(self.scopes)),
            lanes=lanes.number,
            lanes_before=lanes.before,
            archive_days=service.archive_days if self.archive_days is None else self.archive_days,
            identities=service.identities
            if self.identities is None
            else tuple(dict.fromkeys(self.identities)),
            encryption=self._encryption(service),
        )

    def _encryption(self, service: Service) -> str:
        if self.encryption is None or self.encryption == service.encryption:
            return service.encryption
        if service.encryption == "own" and not self.in_the_clear:
            raise Conflict(
                f"{service.id} is encrypted with data keys of its own; what comes would be stored without, "
                "while what is stored stays as it is: say --in-the-clear, too"
            )
        return self.encryption


@dataclass(frozen=True, slots=True)
class Added:
    """A new service, with its first API key: shown once, and readable as its secret."""

    service: Service
    api_key: str = field(repr=False)


class Services(Hooks):
    """Changes the registry. `clock` tells the time in epoch seconds, `entropy(n)` returns n random bytes.

    `lanes` is the deployment's number. A service is given it for good, so that a deployment with another one
    moves nobody; 0 leaves it open.
    """

    def __init__(
        self,
        registry: Registry,
        door_secrets: SecretVersions,
        plans: UsagePlans,
        key_prefix: str,
        hook_prefix: str,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        lanes: int = 0,
    ) -> None:
        super().__init__(registry, door_secrets, hook_prefix, clock, entropy)
        self._lanes = lanes
        self._plans = plans
        self._key_prefix = key_prefix

    def add(self, service: Service) -> Added:
        """Add a service with an API key. Raises `Conflict` where it is there, `Malformed` where it is wrong.

        A call that failed halfway is completed by the next one, with the same key.
        """
        service.check()
        check_producer(service.id)
        if records.load(self._registry, Service, service.id)[0] is not None:
            raise _there(service.id)
        self._check_free(service)
        key = self._first_key(service.id)
        usage = sha256(f"usage of {key}".encode()).hexdigest()
        lanes = service.lanes or self._lanes
        service = replace(service, usage=usage, created=int(self._clock() * 1e9), lanes=lanes)
        self._plans.enrol(usage, service.id, service.tier)
        self._withdraw_aliases(service)
        self._give_aliases(service)
        if not records.save(self._registry, service, 0):
            raise _there(service.id)
        try:
            self._keep_aliases(service)
        except SentinelError:
            self._registry.drop(Service.KIND, service.id)  # as if the record had not been made yet
            raise
        return Added(service, key)

    def change(self, service_id: str, changes: Changes) -> Service:
        """Change a service. Raises `Missing`, `Malformed`, and `Conflict` for another's identity.

        Another number of lanes counts from `core.lanes.MARGIN` seconds later, which is in what is returned.
        """

        def changed(found: Service) -> Service:
            return changes.of(found, self._lanes, self._clock())

        wanted = changed(self.show(service_id))
        wanted.check()
        self._check_free(wanted)
        self._withdraw_aliases(wanted)
        if changes.tier is not None:
            self._plans.enrol(wanted.usage, wanted.id, wanted.tier)
        made = self._settle(service_id, changed)
        self._give_aliases(made)
        # Somebody may have taken an identity away while we gave it.
        self._withdraw_aliases(self.show(service_id))
        return made

    def disable(self, service_id: str) -> Service:
        """Let nothing of a service in any more; its keys and its data stay. Raises `Missing`."""
        disabled = self._settle(service_id, lambda service: replace(service, disabled=True))
        self._plans.withdraw(disabled.usage)
        return disabled

    def enable(self, service_id: str) -> Service:
        """Let a service in again. Raises `Missing`."""
        service = self.show(service_id)
        self._plans.enrol(service.usage, service.id, service.tier)
        return self._settle(service_id, lambda service: replace(service, disabled=False))

    def listing(self) -> list[Service]:
        """Return all services by id."""
        return records.listed(self._registry, Service)

    def show(self, service_id: str) -> Service:
        """Return one service. Raises `Missing`."""
        return _found(records.load(self._registry, Service, service_id)[0], service_id)

    def keys(self, service_id: str) -> list[ApiKey]:
        """Return the records of a service's API keys, oldest first; the keys themselves are not in them."""
        found = records.listed(self._registry, ApiKey, service_id)
        return sorted(found, key=lambda key: (key.since, key.id))

    def overview(self) -> list[dict[str, object]]:
        """Return what may be shown of all services: nothing secret, keys by their ids."""
        keys: dict[str, list[ApiKey]] = {}
        for key in records.listed(self._registry, ApiKey):
            keys.setdefault(key.service, []).append(key)
        return [told(each, keys.get(each.id, [])) for each in self.listing()]

    def secret_of(self, service_id: str) -> str:
        """Return the name of the secret that holds a service's API key."""
        return secret_name(self._key_prefix, service_id)

    def _first_key(self, service_id: str) -> str:
        """Return the service's API key, made and recorded where that has not been done."""
        name = self.secret_of(service_id)
        with contextlib.suppress(Conflict):  # there is one of an earlier call that failed later on
            self._secrets.create(name, api_keys.make(self._entropy(8).hex(), self._entropy(32)))
        key = self._secrets.value(name)
        try:
            wanted = api_keys.of(key, service_id, int(self._clock()))
        except Unauthenticated:
            raise Conflict(f"the secret {name} is there already and holds no API key") from None

        def record(found: ApiKey | None) -> ApiKey | None:
            if found is None:
                return wanted
            if (found.service, found.digest) != (service_id, wanted.digest):
                raise Conflict(f"the API key in the secret {name} is another service's")
            return replace(found, until=0)

        records.settle(self._registry, ApiKey, wanted.id, record)
        return key

    def _settle(self, service_id: str, change: Callable[[Service], Service]) -> Service:
        def checked(found: Service | None) -> Service:
            changed = change(_found(found, service_id))
            changed.check()
            return changed

        return _found(records.settle(self._registry, Service, service_id, checked), service_id)

    def _check_free(self, service: Service) -> None:
        """Raise `Conflict` where one of the identities stands for another service."""
        for identity in service.identities:
            alias = records.load(self._registry, Alias, identity)[0]
            if alias is not None:
                self._check_stale(alias, service.id)

    def _check_stale(self, alias: Alias, service_id: str) -> None:
        """Raise `Conflict` where an alias is another service's, and not a remnant of a change that failed."""
        if alias.service == service_id:
            return
        owner = records.load(self._registry, Service, alias.service)[0]
        if owner is not None and alias.id in owner.identities:
            raise Conflict(f"that identity stands for the service {owner.id}: {alias.id}")

    def _withdraw_aliases(self, service: Service) -> None:
        """Take away the aliases that are not, or no longer, among the service's identities."""
        for alias in records.listed(self._registry, Alias, service.id):
            if alias.id not in service.identities:
                self._registry.drop(Alias.KIND, alias.id)

    def _give_aliases(self, service: Service) -> None:
        for identity in service.identities:
            self._give_alias(Alias(identity, service.id))

    def _keep_aliases(self, service: Service) -> None:
        """Write the aliases of a service that is recorded by now once more.

        Two that are added at once with one identity take each other's alias for a remnant, until their
        records are there. Whoever looked before that loses by this write; whoever looks after it, by what
        it finds. Raises `Conflict`.
        """
        for identity in service.identities:
            for _ in range(records.ROUNDS):
                found, version = records.load(self._registry, Alias, identity)
                if found is not None:
                    self._check_stale(found, service.id)
                if records.save(self._registry, Alias(identity, service.id), version):
                    break
            else:
                raise Unavailable(f"others keep changing the identity {identity}")

    def _give_alias(self, alias: Alias) -> None:
        def ours(found: Alias | None) -> Alias:
            if found is not None:
                self._check_stale(found, alias.service)
            return alias

        records.settle(self._registry, Alias, alias.id, ours)


def told(service: Service, keys: Sequence[ApiKey]) -> dict[str, object]:
    """Return what may be shown of a service: all but its usage key, and of its API keys the ids and times."""
    shown = asdict(service)
    del shown["usage"], shown["seen"]
    shown["lanes_before"] = [{"lanes": number, "until": until} for number, until in service.lanes_before]
    return shown | {"keys": [{"id": key.id, "since": key.since, "until": key.until} for key in keys]}


def _found(service: Service | None, service_id: str) -> Service:
    if service is None:
        raise Missing(f"there is no service {service_id}; `sentinel services ls` lists them")
    return service


def _there(service_id: str) -> Conflict:
    return Conflict(f"there is a service {service_id} already; `sentinel services rotate` gives a new key")
