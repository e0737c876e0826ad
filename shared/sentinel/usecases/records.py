"""The registry's records as entities: read, written and changed by compare-and-swap."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sentinel.core.access import Alias, ApiKey, Entity, Hook, Service, decode, encode
from sentinel.errors import Unavailable
from sentinel.ports_doors import Record

if TYPE_CHECKING:
    from sentinel.ports_doors import Registry

ROUNDS: Final = 8
DAY: Final = 86_400  # seconds


def load(registry: Registry, kind: type[Entity], record_id: str) -> tuple[Entity | None, int]:
    """Return an entity and its version; (None, 0) where there is none."""
    record = registry.get(kind.KIND, record_id)
    if record is None:
        return None, 0
    return decode(kind, record.id, record.body), record.version


def listed(registry: Registry, kind: type[Entity], service: str = "") -> list[Entity]:
    """Return all entities of a kind by id, or those of one service."""
    return [decode(kind, each.id, each.body) for each in registry.listing(kind.KIND, service)]


def save(registry: Registry, entity: Service | ApiKey | Hook | Alias, version: int) -> bool:
    """Store an entity over the version that was read (0: none); False where somebody else was faster."""
    service = entity.id if isinstance(entity, Service) else entity.service
    # A key that ended may be forgotten, a day later so that who looks into a refusal still finds it.
    expires = entity.until + DAY if isinstance(entity, ApiKey) and entity.until else 0
    body = encode(entity)
    return registry.put(Record(entity.KIND, entity.id, body, version, service, expires))


def settle(
    registry: Registry, kind: type[Entity], record_id: str, change: Callable[[Entity | None], Entity | None]
) -> Entity | None:
    """Store what `change` makes of an entity as it is; None of it stores nothing. Return what is stored then.

    `change` may be called several times: again where somebody else was faster. Raises what it raises, and
    `Unavailable` where others are always faster; settling again is safe.
    """
    for _ in range(ROUNDS):
        found, version = load(registry, kind, record_id)
        wanted = change(found)
        if wanted is None or wanted == found:
            return found
        if save(registry, wanted, version):  # type: ignore[arg-type] # of the kinds that are changed so
            return wanted
    raise Unavailable(f"others keep changing {kind.KIND} {record_id}", 0.2)
