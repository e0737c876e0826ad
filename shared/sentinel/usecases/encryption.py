"""Encryption: payloads under data keys of their chain, AES-256-GCM (NIST SP 800-38D), bound to their place.

A `Keyring` is one process's: it makes its own data key for each chain that it writes, uses it for an hour at
most, and keeps in memory what it may open. So a warm append asks nobody, and when the key service is away,
appends go on for as long as the key in hand may be used. Nothing is ever stored in the clear instead.

A sealed payload is ``nonce (12 random bytes) ‖ ciphertext ‖ tag (16)``; its associated data is `Place.bound`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sentinel.core.payload import Place
from sentinel.core.segment import Segment
from sentinel.errors import Forbidden, Missing, Rejected, Tampered, Unavailable
from sentinel.ports import Ledger, SlotTaken
from sentinel.ports_log import DataKeys
from sentinel.usecases.heads import Moment

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SECOND = 1_000_000_000
FRESH = 1800 * SECOND  # a data key this old is replaced, where another can be had
USED = 3600 * SECOND  # none encrypts for longer: an erasure counts on it
# Messages a data key encrypts. SP 800-38D, 8.3 allows 2^32 with random nonces; the chance that any two are
# equal is below 2^-57 here.
MESSAGES = 1 << 20
# After the key service was away: before it is asked again while the key in hand may still be used.
PAUSE = 30 * SECOND
OPENED = 256  # keys that are kept for opening
KEPT = 600 * SECOND  # for how long: a key that was destroyed is forgotten by then
NONCE = 12


@dataclass(slots=True)
class _Current:
    """The key that a chain is written with."""

    key: str
    aead: AESGCM
    made: Moment
    used: int = 0
    again: int = 0  # not before this, by the steady clock, is another one asked for


@dataclass(slots=True)
class _Chain:
    lock: threading.Lock = field(default_factory=threading.Lock)
    current: _Current | None = None


class Keyring:
    """`Cipher` and `Opener` of one process, for any number of threads.

    `clock` gives epoch nanoseconds, `entropy(n)` n random bytes. `keys` is asked for only when it is needed.
    `steady` gives nanoseconds of a clock that never steps back (None: there is no other clock): elsewhere who
    erases counts the hour of a key, too, and by a clock that stepped back it would be longer here.
    """

    def __init__(
        self,
        keys: Callable[[], DataKeys],
        clock: Callable[[], int],
        entropy: Callable[[int], bytes],
        steady: Callable[[], int] | None = None,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._steady = steady or clock
        self._entropy = entropy
        self._chains: dict[str, _Chain] = {}
        self._opened: OrderedDict[tuple[str, str], tuple[AESGCM, int]] = OrderedDict()
        self._lock = threading.Lock()

    def seal(self, payload: bytes, place: Place) -> tuple[str, bytes]:
        """See `payload.Cipher`. The first for a chain, and the first in half an hour, make a data key."""
        chain = self._chains.get(place.chain) or self._chains.setdefault(place.chain, _Chain())
        with chain.lock:
            current = chain.current = self._usable(place.chain, chain.current)
            current.used += 1
        nonce = self._entropy(NONCE)
        return current.key, nonce + current.aead.encrypt(nonce, payload, place.bound(current.key))

    def open(self, segment: Segment) -> bytes:
        """See `payload.Opener`."""
        from cryptography.exceptions import InvalidTag

        aead = self._opening(segment)
        nonce, sealed = segment.payload[:NONCE], segment.payload[NONCE:]
        try:
            return aead.decrypt(nonce, sealed, segment.place.bound(segment.key))
        except (InvalidTag, ValueError):  # ValueError: the nonce is too short to be one
            raise Tampered(
                segment.chain, segment.first, "payload", "it is not what was encrypted for this place"
            ) from None

    def opens(self, segment: Segment) -> Segment:
        """Return a segment as one whose payload this opens."""
        return replace(segment, opener=self) if segment.key else segment

    def _usable(self, chain: str, current: _Current | None) -> _Current:
        """Return the key in hand, or another one where that has become old. Raises `Unavailable`."""
        now = Moment(self._clock(), self._steady())
        if current is None or not now.soon_after(current.made, USED) or current.used >= MESSAGES:
            return self._made(chain, now)
        if now.soon_after(current.made, FRESH) or now.steady < current.again:
            return current
        try:
            return self._made(chain, now)
        except Unavailable:
            current.again = now.steady + PAUSE
            return current

    def _made(self, chain: str, now: Moment) -> _Current:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        # Its age counts from before it was asked for, as nobody knows better.
        try:
            key, plain = self._keys().make(chain)
        except Rejected as error:
            # It is a fault of the deployment, not of who sends: who is told so would throw away what it has.
            raise Unavailable(f"nothing can be encrypted, so nothing was stored: {error}", 30.0) from None
        made = _Current(key, AESGCM(plain), now)
        self._keep(chain, key, made.aead)
        return made

    def _opening(self, segment: Segment) -> AESGCM:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        with self._lock:
            found = self._opened.get((segment.chain, segment.key))
            if found is not None and 0 <= found[1] - self._clock() <= KEPT:
                self._opened.move_to_end((segment.chain, segment.key))
                return found[0]
        try:
            aead = AESGCM(self._keys().open(segment.chain, segment.key))
        except Missing:
            if not self._keys().ids(segment.chain):
                raise Forbidden(
                    f"there are no data keys of {segment.chain} here: it cannot be read"
                ) from None
            raise Tampered(segment.chain, segment.first, "key", "its data key is gone") from None
        self._keep(segment.chain, segment.key, aead)
        return aead

    def _keep(self, chain: str, key: str, aead: AESGCM) -> None:
        with self._lock:
            self._opened[chain, key] = aead, self._clock() + KEPT
            while len(self._opened) > OPENED:
                self._opened.popitem(last=False)


class OpenedLedger:
    """A ledger whose encrypted segments can be opened: `opens` gives each what decrypts it."""

    def __init__(self, inner: Ledger, opens: Callable[[Segment], Segment]) -> None:
        self.inner = inner
        self.opens = opens

    def append(self, segment: Segment) -> None:
        """See `ports.Ledger`."""
        try:
            self.inner.append(segment)
        except SlotTaken as taken:
            raise SlotTaken(self.opens(taken.segment)) from None

    def head(self, chain: str) -> Segment | None:
        """See `ports.Ledger`."""
        found = self.inner.head(chain)
        return self.opens(found) if found else None

    def at(self, chain: str, seq: int) -> Segment | None:
        """See `ports.Ledger`."""
        found = self.inner.at(chain, seq)
        return self.opens(found) if found else None

    def read(self, chain: str, first: int = 0, limit: int | None = None) -> Iterator[Segment]:
        """See `ports.Ledger`."""
        return map(self.opens, self.inner.read(chain, first, limit))

    def chains(self) -> Iterator[str]:
        """See `ports.Ledger`."""
        return self.inner.chains()
