"""Data keys of one machine: `ports_log.DataKeys` on SQLite, wrapped by a key in a file beside it.

A data key is wrapped by AES-256-GCM (12 random bytes, ciphertext, tag) with its chain and id as associated
data, so that no row can stand for another. What is destroyed is in none of the files any more: a row that is
blank, which has been destroyed and may still be somewhere in them, is a key no more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sentinel.adapters.sqlite_open import Database
from sentinel.adapters.wrapping_keys import WrappingKeys
from sentinel.errors import Forbidden, Missing

VERSION = 1
SCHEMA = """
CREATE TABLE keys (
    chain TEXT NOT NULL, id TEXT NOT NULL, made INTEGER NOT NULL,
    wrapper TEXT NOT NULL, wrapped BLOB NOT NULL,
    PRIMARY KEY (chain, id)
)
"""
_NONCE = 12


class SqliteDataKeys:
    """Data keys in one SQLite file. `clock` gives epoch nanoseconds, `entropy(n)` n random bytes."""

    def __init__(
        self,
        path: Path | str,
        wrapping: WrappingKeys,
        clock: Callable[[], int],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._database = Database(path, SCHEMA, VERSION)
        self._wrapping = wrapping
        self._clock = clock
        self._entropy = entropy

    def make(self, chain: str) -> tuple[str, bytes]:
        """See `ports_log.DataKeys`."""
        key, plain = self._entropy(16).hex(), self._entropy(32)
        # The wrapping keys are read inside: a rotation that ends meanwhile would drop the one that is used.
        with self._database.transaction() as connection:
            wrapper, by = next(iter(self._wrapping.read().items()))
            row = (chain, key, self._clock(), wrapper, self._wrap(by, chain, key, plain))
            connection.execute(
                "INSERT INTO keys (chain, id, made, wrapper, wrapped) VALUES (?, ?, ?, ?, ?)", row
            )
        return key, plain

    def open(self, chain: str, key: str) -> bytes:
        """See `ports_log.DataKeys`."""
        row = self._row(chain, key)
        wrapping = self._wrapping.read()
        if row[0] not in wrapping:  # a rotation may have ended meanwhile: then the row has another one
            row = self._row(chain, key)
        return _unwrapped(wrapping, chain, key, *row)

    def _row(self, chain: str, key: str) -> tuple[str, bytes]:
        with self._database.reading() as connection:
            found: tuple[str, bytes] | None = connection.execute(
                "SELECT wrapper, wrapped FROM keys WHERE chain = ? AND id = ?", (chain, key)
            ).fetchone()
        if found is None or not found[1]:
            raise Missing("this data key was destroyed")
        return found

    def destroy(self, chain: str, key: str) -> None:
        """See `ports_log.DataKeys`. Writers of this file wait meanwhile: it is written anew.

        Its row goes last. Where the log cannot be emptied, as somebody reads it, the key is listed still, and
        whoever was told so destroys it again.
        """
        which = (chain, key)
        if self._database.scrub("UPDATE keys SET wrapped = x'' WHERE chain = ? AND id = ?", which):
            self._database.rewrite()
            with self._database.writing() as connection:
                connection.execute("DELETE FROM keys WHERE chain = ? AND id = ?", which)

    def ids(self, chain: str) -> list[tuple[str, int]]:
        """See `ports_log.DataKeys`."""
        with self._database.reading() as connection:
            return connection.execute(
                "SELECT id, made FROM keys WHERE chain = ? ORDER BY made, id", (chain,)
            ).fetchall()

    def rewrap(self) -> int:
        """Wrap all data keys by a new wrapping key and drop the old one; return how many there are.

        An interrupted one is completed by the next: until then both wrapping keys are there.
        """
        with self._database.transaction() as connection:
            keys = self._wrapping.add()
            newest, by = next(iter(keys.items()))
            rows = connection.execute(
                "SELECT chain, id, wrapper, wrapped FROM keys WHERE wrapped <> x''"
            ).fetchall()
            for chain, key, wrapper, wrapped in rows:
                plain = _unwrapped(keys, chain, key, wrapper, wrapped)
                again = (newest, self._wrap(by, chain, key, plain), chain, key)
                connection.execute(
                    "UPDATE keys SET wrapper = ?, wrapped = ? WHERE chain = ? AND id = ?", again
                )
        with self._database.transaction() as connection:
            others = "SELECT count(*) FROM keys WHERE wrapper <> ? AND wrapped <> x''"
            left = connection.execute(others, (newest,)).fetchone()[0]
            if not left:
                self._wrapping.keep(newest)
        return len(rows)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _wrap(self, by: bytes, chain: str, key: str, plain: bytes) -> bytes:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = self._entropy(_NONCE)
        return nonce + AESGCM(by).encrypt(nonce, plain, _bound(chain, key))


def _bound(chain: str, key: str) -> bytes:
    return f"SK1{key}\n{chain}".encode()


def _unwrapped(keys: Mapping[str, bytes], chain: str, key: str, wrapper: str, wrapped: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    by = keys.get(wrapper)
    if by is None:
        raise Forbidden(f"data key {key} is wrapped by a key that is not in the file of wrapping keys")
    try:
        return AESGCM(by).decrypt(wrapped[:_NONCE], wrapped[_NONCE:], _bound(chain, key))
    except (InvalidTag, ValueError):
        raise Forbidden(f"data key {key} is not the one that was wrapped") from None
