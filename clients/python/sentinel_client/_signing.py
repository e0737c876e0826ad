"""Signatures of batches: the producer's own, so that a server cannot say that it was sent something else.

A batch is signed with Ed25519 (RFC 8032) over

    "SS1" ‖ batch id (16 bytes) ‖ SHA-256 of the entries with LF between them

The id commits to the producer, the number of the first entry, and the length of the range. Requests carry the
header `Sentinel-Signature`, the signature in base64url without padding, and `Sentinel-Key-Id`: the first 16
bytes of the SHA-256 of the raw public key, in hex. RFC 9421 would sign headers and a digest of a body which
compression changes; this signs what is stored, so the ledger has all that a check of it needs.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel_client._types import Batch

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNATURE, KEY_ID = "Sentinel-Signature", "Sentinel-Key-Id"


class BadKey(ValueError):
    """A key file is missing, open to others, or holds no Ed25519 key. The message says which."""


class Signer:
    """Signs batches with one private key. Threads may use it at once."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()
        self.key_id = key_id(self.public)

    @classmethod
    def from_file(cls, path: Path) -> Signer:
        """Read a private key: PEM, PKCS #8, no password, for its owner alone (0600). Raises `BadKey`."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            mode = path.stat().st_mode
            private = load_pem_private_key(path.read_bytes(), None)
        except OSError as error:
            raise BadKey(f"the key file {path} cannot be read: {error.strerror}") from None
        except (ValueError, TypeError):
            raise BadKey(f"the key file {path} holds no private key as PEM without a password") from None
        if mode & 0o077:
            raise BadKey(f"the key file {path} is open to others: chmod 600 {path}")
        if not isinstance(private, Ed25519PrivateKey):
            raise BadKey(f"the key file {path} holds a key that is not Ed25519")
        return cls(private)

    def sign(self, batch: Batch) -> dict[str, str]:
        """Return the headers that a batch is sent with."""
        signature = urlsafe_b64encode(self._private.sign(signed(batch))).rstrip(b"=").decode()
        return {SIGNATURE: signature, KEY_ID: self.key_id}


def key_id(public: bytes) -> str:
    """Return the id of a raw public key of 32 bytes.

    >>> key_id(bytes(32))
    '66687aadf862bd776c8fc18b8e9f8e20'
    """
    return hashlib.sha256(public).hexdigest()[:32]


def signed(batch: Batch) -> bytes:
    """Return the bytes that a batch's signature is made of."""
    return b"SS1" + batch.id + hashlib.sha256(b"\n".join(batch.entries)).digest()


def verify(batch: Batch, signature: str, public: bytes) -> bool:
    """Whether a signature in base64url is the batch's, by a raw public key of 32 bytes."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        raw = urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
        Ed25519PublicKey.from_public_bytes(public).verify(raw, signed(batch))
    except (InvalidSignature, ValueError):
        return False
    return True
