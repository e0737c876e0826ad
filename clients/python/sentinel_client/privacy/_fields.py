"""Encrypted fields: AES-256-GCM, under a key that programs share, or for the one who holds a private key.

    {"$enc": "v1.<key id>.<base64url(nonce ‖ ciphertext ‖ tag)>"}                     under a master key
    {"$enc": "x1.<key id>.<base64url(ephemeral public key ‖ nonce ‖ ciphertext ‖ tag)>"}    for a recipient

What is encrypted is the field's value as compact JSON in UTF-8. base64url (RFC 4648, 5) is without padding;
the nonce has 12 random bytes, the tag 16. The associated data are

    "SF1" ‖ 0x00 ‖ form ("v1" or "x1") ‖ 0x00 ‖ key id ‖ 0x00 ‖ path of the field

so that a value cannot be moved to another field. The AES key of `v1` is HKDF-SHA256 (RFC 5869) of the master
key, without salt, with the info "sentinel field v1 " ‖ key id; that of `x1` is HKDF-SHA256 of the X25519
shared secret (RFC 7748), with the salt ephemeral public key ‖ recipient's public key and the info "sentinel
field x1 " ‖ key id. The ephemeral key is drawn anew for each process and after 65,536 values.

Random nonces allow 2^32 values under one key of `v1`, over all processes (NIST SP 800-38D, 8.3): begin a new
key id before that. Old keys stay in the list to read; `write` names the one that encrypts.
"""

from __future__ import annotations

import json
import os
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sentinel_client.privacy._errors import BadPolicy

KEY_BYTES, NONCE_BYTES, TAG_BYTES = 32, 12, 16
MAX_OF_ONE_KEY = 65_536  # values that one ephemeral key encrypts
KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_FORM = re.compile(r"(v1|x1)\.([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]+)", re.ASCII)


class NotDecrypted(ValueError):
    """A field cannot be decrypted: no key of that id, another field's value, or one that was changed."""


class SharedKey:
    """A master key of at least 32 bytes, which encrypts and decrypts."""

    def __init__(self, key_id: str, master: bytes) -> None:
        if len(master) < KEY_BYTES:
            raise BadPolicy(f"the key {key_id} has under {KEY_BYTES} bytes")
        self.id = key_id
        self._key = _derived(master, b"", "v1", key_id)

    def encrypt(self, path: str, plain: bytes, nonce: bytes) -> str:
        """Return the text of an encrypted field."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        sealed = AESGCM(self._key).encrypt(nonce, plain, _bound("v1", self.id, path))
        return f"v1.{self.id}.{_text(nonce + sealed)}"

    def decrypt(self, form: str, path: str, data: bytes) -> bytes:
        """Return what was encrypted. Raises `NotDecrypted`."""
        if form != "v1":
            raise NotDecrypted(f"the key {self.id} is no private key")
        return _opened(self._key, data, _bound("v1", self.id, path))


class Recipient:
    """An X25519 key: with the public half values are encrypted, with the private one decrypted."""

    def __init__(self, key_id: str, public: bytes, private: bytes | None = None) -> None:
        self.id = key_id
        self._public, self._private = public, private
        # Process, public key, AES key, places left: replaced as a whole, without a lock. A signal's handler
        # may log within, and a child be forked; who comes at the same time begins a key too many.
        self._ephemeral: tuple[int, bytes, bytes, Iterator[int]] = (0, b"", b"", iter(()))

    def encrypt(self, path: str, plain: bytes, nonce: bytes) -> str:
        """Return the text of an encrypted field."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        process, public, key, places = self._ephemeral
        if process != os.getpid() or next(places, None) is None:
            self.begin(os.urandom(KEY_BYTES))
            _, public, key, places = self._ephemeral
            next(places, None)
        sealed = AESGCM(key).encrypt(nonce, plain, _bound("x1", self.id, path))
        return f"x1.{self.id}.{_text(public + nonce + sealed)}"

    def begin(self, private: bytes) -> None:
        """Begin a new ephemeral key, of these random bytes."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

        ephemeral = X25519PrivateKey.from_private_bytes(private)
        public = ephemeral.public_key().public_bytes_raw()
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(self._public))
        key = _derived(shared, public + self._public, "x1", self.id)
        self._ephemeral = (os.getpid(), public, key, iter(range(MAX_OF_ONE_KEY)))

    def decrypt(self, form: str, path: str, data: bytes) -> bytes:
        """Return what was encrypted. Raises `NotDecrypted`."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

        if form != "x1" or self._private is None:
            raise NotDecrypted(f"the key {self.id} is there to encrypt only")
        public = data[:KEY_BYTES]
        try:
            private = X25519PrivateKey.from_private_bytes(self._private)
            shared = private.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:
            raise NotDecrypted("the field is cut off or was changed") from None
        key = _derived(shared, public + self._public, "x1", self.id)
        return _opened(key, data[KEY_BYTES:], _bound("x1", self.id, path))


class FieldKeys:
    """The keys of one program: several to decrypt, one to encrypt."""

    def __init__(self, keys: Mapping[str, SharedKey | Recipient], write: str) -> None:
        if write and write not in keys:
            raise BadPolicy(f"encryption.write names the key {write!r}, which is not among encryption.keys")
        self._keys, self._write = keys, write

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> FieldKeys:
        """Read `{"write": id, "keys": {id: {"file": path} | {"recipient": path} | {"private": path}}}`.

        `file` holds a master key: 32 bytes as they are, in hex, or in base64url. `recipient` and `private`
        hold an X25519 key as PEM. Raises `BadPolicy`.
        """
        keys, write = mapping.get("keys"), mapping.get("write", "")
        if mapping.keys() - {"keys", "write"} or not isinstance(keys, dict) or not isinstance(write, str):
            raise BadPolicy("privacy.encryption has a text `write` and an object `keys`")
        return cls({name: _read(name, each) for name, each in keys.items()}, write)

    def encrypt(self, path: str, value: Any, draw: Callable[[int], bytes] = os.urandom) -> dict[str, str]:
        """Return what stands in place of a field's value."""
        plain = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        return {"$enc": self._keys[self._write].encrypt(path, plain, draw(NONCE_BYTES))}

    def decrypt(self, path: str, text: str) -> Any:
        """Return a field's value. `path` is its names with dots between them. Raises `NotDecrypted`."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise NotDecrypted("this is no encrypted field of a version that is known here")
        form, key_id, data = found.groups()
        if key_id not in self._keys:
            raise NotDecrypted(f"there is no key {key_id}")
        try:
            sealed = urlsafe_b64decode(data + "=" * (-len(data) % 4))
        except ValueError:
            raise NotDecrypted("the field is cut off or was changed") from None
        return json.loads(self._keys[key_id].decrypt(form, path, sealed))

    def open(self, entry: Any, path: str = "") -> Any:
        """Return an entry with every field decrypted whose key is there; the others stay."""
        if isinstance(entry, list):
            return [self.open(each, path) for each in entry]
        if not isinstance(entry, dict):
            return entry
        if entry.keys() == {"$enc"} and isinstance(entry["$enc"], str):
            found = _FORM.fullmatch(entry["$enc"])
            return self.decrypt(path, entry["$enc"]) if found and found[2] in self._keys else entry
        return {name: self.open(each, f"{path}.{name}" if path else name) for name, each in entry.items()}


def _read(key_id: str, source: Any) -> SharedKey | Recipient:
    if not KEY_ID.fullmatch(key_id):
        raise BadPolicy("a key id has 1 to 64 letters, digits, - and _")
    if (
        not isinstance(source, dict)
        or len(source) != 1
        or not source.keys() <= {"file", "recipient", "private"}
    ):
        raise BadPolicy(f"encryption.keys.{key_id} has one of file, recipient and private")
    [(kind, path)] = source.items()
    try:
        data = Path(str(path)).read_bytes()
    except OSError as error:
        raise BadPolicy(f"the key file {path} cannot be read: {error.strerror}") from None
    return (
        SharedKey(key_id, master_key(data)) if kind == "file" else _recipient(key_id, kind, data, str(path))
    )


def master_key(data: bytes) -> bytes:
    r"""Return the key that a file holds: 64 hex digits, 43 characters of base64url, or its bytes.

    >>> master_key(b"00" * 32 + b"\n") == bytes(32) == master_key(b"A" * 43)
    True
    """
    text = data.strip()
    if re.fullmatch(rb"[0-9A-Fa-f]{64}", text):
        return bytes.fromhex(text.decode())
    if re.fullmatch(rb"[A-Za-z0-9_-]{43}=?", text):
        return urlsafe_b64decode(text[:43] + b"=")
    return data


def _recipient(key_id: str, kind: str, data: bytes, path: str) -> Recipient:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    try:
        if kind == "recipient":
            public = serialization.load_pem_public_key(data)
            if isinstance(public, X25519PublicKey):
                return Recipient(key_id, public.public_bytes_raw())
        else:
            private = serialization.load_pem_private_key(data, None)
            if isinstance(private, X25519PrivateKey):
                own = private.public_key().public_bytes_raw()
                return Recipient(key_id, own, private.private_bytes_raw())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        pass
    raise BadPolicy(f"the key file {path} holds no X25519 key as PEM without a password")


def _derived(secret: bytes, salt: bytes, form: str, key_id: str) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), KEY_BYTES, salt or None, f"sentinel field {form} {key_id}".encode()).derive(secret)


def _bound(form: str, key_id: str, path: str) -> bytes:
    return "\0".join(("SF1", form, key_id, path)).encode("utf-8", "replace")


def _opened(key: bytes, data: bytes, bound: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(data) < NONCE_BYTES + TAG_BYTES:
        raise NotDecrypted("the field is cut off or was changed")
    try:
        return AESGCM(key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], bound)
    except InvalidTag:
        raise NotDecrypted("the field was changed, or it is another field's value") from None


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
