"""Limit: what a service may take of its tier, exactly for all processes, and what holds where nobody counts.

Every request is one call to the counter (`ports_doors.Limits`), but for two cases. While the counter said
that a bucket lets nothing through before a certain time, requests that need it are refused here; that is as
exact, since a bucket only fills up meanwhile, and it is what a flood costs. While the counter is away, each
process holds services to the same rates by itself, and the counter is asked again once a second, by one
request at a time: limits fail open, up to a bound, and a counter that is dead costs no time.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

from sentinel.core.limits import POLICIES, Bucket, Verdict, buckets_of, refused
from sentinel.core.tiers import TIERS, Tier
from sentinel.errors import Forbidden, Limited, Rejected, SentinelError, Unavailable
from sentinel.ports_doors import Limits
from sentinel.usecases.local_limits import LocalLimits

PAUSE = 1.0  # seconds for which a counter that did not answer is left alone
TICK = 1e-6
MOST_CLOSED = 10_000  # closed buckets that are remembered, some 200 bytes each
# Ten failed attempts a minute: an attempt is six units, so that the rate is a whole number.
FAILURE = Bucket("failures", rate=1, burst=60, cost=6, least=6)
_UNITS = {"entries": ';qu="sentinel-entries"', "bytes": ';qu="content-bytes"'}

log = logging.getLogger("sentinel.limit")


class Limiter:
    """Holds services to the limits of their tiers. One a process; threads may share it.

    `store` gives the counter, and is asked for it each time; None: this process counts alone. `clock` is
    monotonic, in seconds.
    """

    def __init__(self, store: Callable[[], Limits] | None, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._alone = LocalLimits(clock)
        self._closed: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()
        self._failed = False
        self._ask_from = 0.0
        self._uncounted = 0

    def take(
        self, service: str, tier: str, requests: int = 1, entries: int = 0, size: int = 0
    ) -> Mapping[str, str]:
        """Take from a service's limits; `size` is bytes as unpacked. Return the answer's headers.

        Raises `Limited`, having taken nothing, and `Forbidden` for a tier that is unknown.
        """
        plan = _plan(service, tier)
        needed = [bucket for bucket in buckets_of(plan, requests, entries, size) if bucket.cost]
        found = self._decide(_key(service, tier), needed)
        if not found.allowed:
            raise _over(service, plan, found)
        return _headers(plan, found)

    def refuse_closed(self, service: str, tier: str) -> None:
        """Raise `Limited` where it is known without asking that no request of the service would pass now.

        This comes before a body is looked at: what would be refused anyway is not unpacked first.
        """
        plan = _plan(service, tier)
        found = self._known(_key(service, tier), buckets_of(plan, 1, 0, 0)[:1])
        if found is not None:
            raise _over(service, plan, found)

    def check_failures(self, client_id: str, certificate: str) -> None:
        """Raise `Limited` where this client has failed to prove itself ten times in a minute.

        `client_id` is what it claims, `certificate` the thumbprint of what it brought; both may be anything.
        """
        found = self._decide(_failures(client_id, certificate), [replace(FAILURE, cost=0)])
        if found.closed:
            raise Limited("too many failed attempts: check the client id and the API key", found.closed)

    def failure(self, client_id: str, certificate: str) -> None:
        """Count a failed attempt of a client."""
        self._decide(_failures(client_id, certificate), [FAILURE])

    def uncounted(self) -> int:
        """Return how many decisions this process made alone, the counter being away, since last asked."""
        with self._lock:
            found, self._uncounted = self._uncounted, 0
        return found

    def _decide(self, key: str, buckets: Sequence[Bucket]) -> Verdict:
        known = self._known(key, buckets)
        if known is not None:
            return known
        asked = self._clock()
        found = self._counted(key, buckets, asked) or self._alone.take(key, buckets)
        if found.closed:
            with self._lock:
                # From when it was asked, not from when it answered: never a moment too long.
                self._closed.pop((key, found.bucket), None)
                self._closed[key, found.bucket] = asked + found.closed
                while len(self._closed) > MOST_CLOSED:
                    del self._closed[next(iter(self._closed))]
        return found

    def _counted(self, key: str, buckets: Sequence[Bucket], now: float) -> Verdict | None:
        """Ask the counter; None where there is none, or where it is away or was just now."""
        if self._store is None:
            return None
        if self._may_ask(now):
            try:
                found = self._store().take(key, buckets)
            except (Unavailable, Rejected) as error:  # also where settings or rights keep us from it
                self._lost(error)
            else:
                if self._failed:
                    self._back()
                return found
        with self._lock:
            self._uncounted += 1
        return None

    def _may_ask(self, now: float) -> bool:
        """Say whether to ask the counter: always, or one request a second where it failed."""
        with self._lock:
            if not self._failed:
                return True
            if now < self._ask_from:
                return False
            self._ask_from = now + PAUSE
            return True

    def _lost(self, error: SentinelError) -> None:
        with self._lock:
            news, self._failed = not self._failed, True
            self._ask_from = self._clock() + PAUSE
        if news:
            log.warning("each process holds services to their limits by itself for now: %s", error)

    def _back(self) -> None:
        with self._lock:
            self._failed = False
            self._closed.clear()  # the counter knows nothing of what was closed here meanwhile
        log.warning("the limits' counter answers again")

    def _known(self, key: str, buckets: Sequence[Bucket]) -> Verdict | None:
        """Return the refusal that is certain, if one of the buckets is known to be closed."""
        now = self._clock()
        times = [self._closed.get((key, bucket.name), now) - now for bucket in buckets]
        # The counter's time is in whole microseconds: at the last one it might admit what we would refuse.
        found = [refused(each, closed) for each, closed in zip(buckets, times, strict=True) if closed > TICK]
        return max(found, key=lambda each: each.retry_after, default=None)


def _plan(service: str, tier: str) -> Tier:
    plan = TIERS.get(tier)
    if plan is None:
        raise Forbidden(
            f"{service} has a tier that this version does not know: give it one of {', '.join(TIERS)}"
        )
    return plan


def _key(service: str, tier: str) -> str:
    # With the tier, so that a service that gets another one begins anew: a level means nothing there.
    return f"{service}/{tier}"


def _failures(client_id: str, certificate: str) -> str:
    # A digest, since both are a stranger's and of any length. No service id has a slash.
    told = f"{len(client_id)}:{client_id}{certificate}".encode("utf-8", "surrogatepass")
    return f"/token/{sha256(told).hexdigest()[:32]}"


def _seconds(found: Verdict) -> int:
    return max(1, math.ceil(found.retry_after))


def _over(service: str, plan: Tier, found: Verdict) -> Limited:
    message = (
        f"{service} is over its limit of {getattr(plan, found.bucket):,} {found.bucket} a second; "
        f"send the same again in {_seconds(found)} s"
    )
    return Limited(message, found.retry_after, _headers(plan, found))


def _headers(plan: Tier, found: Verdict) -> dict[str, str]:
    """Return the fields of draft-ietf-httpapi-ratelimit-headers-11, structured as RFC 9651 says.

    A policy's window is the tier's burst: so much may be used at once, and as much again once that time went
    by. `r` and `t` are of the tightest bucket; of a refusal, `t` is the same time as `Retry-After`.
    """
    window = max(1, math.ceil(plan.burst))
    policies = ", ".join(
        f'"{name}";q={getattr(plan, name) * window};w={window}{_UNITS.get(name, "")}' for name in POLICIES
    )
    seconds = math.ceil(found.reset) if found.allowed else _seconds(found)
    return {
        "RateLimit-Policy": policies,
        "RateLimit": f'"{found.bucket}";r={found.remaining};t={seconds}',
    }
