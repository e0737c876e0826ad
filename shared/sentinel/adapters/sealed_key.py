"""The CA's key in a file of one machine: `ports_doors.Signer` by a P-256 key, encrypted under a passphrase.

The file is PKCS #8 (RFC 5958) in PEM, PBES2 with PBKDF2-HMAC-SHA256 and AES-256-CBC, readable by its owner
only. The passphrase stands elsewhere, so that a copy of the folder alone gives nothing away.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sentinel.adapters import whole_files
from sentinel.errors import Conflict, Forbidden, Missing

MAX_BYTES = 16_384
MIN_PASSPHRASE = 16
_DATA = 4_096


class SealedKey:
    """Opens the key in `path`, or makes it where `create` says so and nothing is there.

    Raises `Missing`, `Forbidden` for a wrong passphrase or a file that others can read, `Unavailable`.
    """

    def __init__(self, path: Path, passphrase: str, *, create: bool = False) -> None:
        # PBKDF2 runs few rounds here: the passphrase is random, and a short one would be found anyhow.
        if len(passphrase) < MIN_PASSPHRASE:
            raise Forbidden(f"the CA's passphrase has to have {MIN_PASSPHRASE} characters or more")
        secret = passphrase.encode()
        if create and not path.exists():
            _make(path, secret)
        self._key = _open(path, secret)

    def public_key(self) -> bytes:
        """Return the public key; see `ports_doors.Signer`."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_key().public_bytes(serialization.Encoding.DER, form)

    def sign(self, data: bytes) -> bytes:
        """Sign; see `ports_doors.Signer`."""
        if len(data) > _DATA:
            raise Forbidden(f"the CA signs at most {_DATA:,} bytes")
        return self._key.sign(data, ec.ECDSA(hashes.SHA256()))


def _make(path: Path, secret: bytes) -> None:
    sealed = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(secret),
    )
    with contextlib.suppress(Conflict):  # another process made it in the meantime: its key is the one
        whole_files.create(path, sealed)


def _open(path: Path, secret: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        sealed = whole_files.read_private(path, MAX_BYTES)
    except Missing:
        raise Missing(f"the CA's key {path} is not there: restore it, or begin with a new root") from None
    try:
        key = serialization.load_pem_private_key(sealed, secret)
    except (ValueError, TypeError):
        # TypeError is a file without encryption. Neither message is passed on: it may tell of the key.
        raise Forbidden(f"the CA's key {path.name} does not open with this passphrase") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Forbidden(f"the CA's key {path.name} is not ECDSA on P-256")
    return key
