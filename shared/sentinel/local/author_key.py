"""The keys that documents are signed with: Ed25519, as PEM files."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sentinel.adapters import whole_files
from sentinel.errors import Malformed

_MAX = 4_096
_PEM = serialization.Encoding.PEM


def make(path: Path) -> str:
    """Make a private key (PKCS #8) for its owner only; return its public key, PEM. Raises `Conflict`."""
    key = Ed25519PrivateKey.generate()
    plain = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    whole_files.create(path, plain)
    return key.public_key().public_bytes(_PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def seed(path: Path) -> bytes:
    """Return the 32 bytes of a private key. Raises `Malformed`, and what `whole_files.read_private` does."""
    try:
        key = serialization.load_pem_private_key(whole_files.read_private(path, _MAX), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise Malformed(f"{path} is no Ed25519 private key in PEM without a passphrase")
    return key.private_bytes_raw()


def public(path: Path) -> bytes:
    """Return the 32 bytes of a public key. Raises `Malformed`."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes()[:_MAX])
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise Malformed(f"{path} is no Ed25519 public key in PEM")
    return key.public_bytes_raw()
