"""Encrypted fields: read by who holds the key, bound to their place, keys rotate; and signatures."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from sentinel_client._decrypt import main
from sentinel_client._signing import KEY_ID, SIGNATURE, BadKey, Signer, verify
from sentinel_client._types import Batch
from sentinel_client.privacy import BadPolicy, Policy, Privacy
from sentinel_client.privacy._fields import MAX_OF_ONE_KEY, FieldKeys, NotDecrypted, Recipient, SharedKey
from tests.clients.test_privacy import VECTORS, encode

MASTER = bytes(range(32))


def keys_of(row: dict[str, Any]) -> SharedKey | Recipient:
    """Return the key of a vector."""
    if "master_key" in row:
        return SharedKey(row["key_id"], bytes.fromhex(row["master_key"]))
    own = Recipient(
        row["key_id"], bytes.fromhex(row["recipient_public"]), bytes.fromhex(row["recipient_private"])
    )
    own.begin(bytes.fromhex(row["ephemeral_private"]))
    return own


@pytest.mark.parametrize("row", VECTORS["fields"], ids=lambda row: f"{row['key_id']}-{row['path']}")
def test_fields_are_as_the_vectors_say(row: dict[str, Any]) -> None:
    """With fixed keys and nonces both languages write the same, and read what the other wrote."""
    keys = FieldKeys({row["key_id"]: keys_of(row)}, row["key_id"])
    assert keys.encrypt(row["path"], row["value"], lambda _: bytes.fromhex(row["nonce"])) == {
        "$enc": row["text"]
    }
    assert keys.decrypt(row["path"], row["text"]) == row["value"]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(VALUES, st.text(max_size=20))
def test_a_field_comes_back(value: Any, path: str) -> None:
    """Whatever JSON it is; and never twice the same text."""
    keys = FieldKeys({"a": SharedKey("a", MASTER)}, "a")
    one, other = keys.encrypt(path, value)["$enc"], keys.encrypt(path, value)["$enc"]
    assert one != other
    if path == path.encode("utf-8", "replace").decode():
        assert keys.decrypt(path, one) == value


@pytest.mark.parametrize("row", VECTORS["fields"][::2], ids=lambda row: row["key_id"])
def test_a_field_that_was_changed_or_moved_is_refused(row: dict[str, Any]) -> None:
    """Any bit, another path, another key id, a cut: nothing of it is read, and the error has no value."""
    keys = FieldKeys(
        {row["key_id"]: keys_of(row), "other": keys_of({**row, "key_id": "other"})}, row["key_id"]
    )
    form, key_id, data = row["text"].split(".")
    broken = [
        f"{form}.{key_id}.{data[:at]}{'A' if data[at] != 'A' else 'B'}{data[at + 1 :]}"
        for at in range(0, len(data), 7)
    ]
    for text in [
        *broken,
        f"{form}.other.{data}",
        f"{form}.{key_id}.{data[:20]}",
        f"{form}.{key_id}.A",
        "v9.a.AA",
        "",
    ]:
        with pytest.raises(NotDecrypted) as caught:
            keys.decrypt(row["path"], text)
        assert "kim" not in str(caught.value)
    with pytest.raises(NotDecrypted):
        keys.decrypt("another", row["text"])


def test_keys_rotate(tmp_path: Path) -> None:
    """One key writes; the ones before still read; a key that is gone leaves its fields closed."""
    for name in ("old", "new"):
        (tmp_path / name).write_text(os.urandom(32).hex() + "\n")
    both = {name: {"file": str(tmp_path / name)} for name in ("old", "new")}
    before, after = (FieldKeys.from_mapping({"write": name, "keys": both}) for name in ("old", "new"))
    entry = {"a": {"b": before.encrypt("a.b", 1)}, "c": [after.encrypt("c", "x")]}
    assert after.open(entry) == {"a": {"b": 1}, "c": ["x"]}
    alone = FieldKeys.from_mapping({"keys": {"new": both["new"]}})
    assert alone.open(entry) == {**entry, "c": ["x"]}


def test_a_recipient_reads_what_others_can_only_write(tmp_path: Path) -> None:
    """Who has the public key encrypts and cannot decrypt; an ephemeral key is for a number of values."""
    private = X25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public").write_bytes(public)
    (tmp_path / "private").write_bytes(
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    writes = FieldKeys.from_mapping({"write": "r", "keys": {"r": {"recipient": str(tmp_path / "public")}}})
    reads = FieldKeys.from_mapping({"keys": {"r": {"private": str(tmp_path / "private")}}})
    text = writes.encrypt("a", "kim")["$enc"]
    assert reads.decrypt("a", text) == "kim"
    with pytest.raises(NotDecrypted, match="encrypt only"):
        writes.decrypt("a", text)
    key = writes._keys["r"]
    assert isinstance(key, Recipient)
    first = key._ephemeral[1]
    key._ephemeral = (*key._ephemeral[:3], iter(range(1)))
    assert reads.decrypt("a", writes.encrypt("a", 1)["$enc"]) == 1
    assert reads.decrypt("a", writes.encrypt("a", 2)["$enc"]) == 2
    assert key._ephemeral[1] != first
    assert len(list(key._ephemeral[3])) == MAX_OF_ONE_KEY - 1


@pytest.mark.parametrize(
    "mapping",
    [
        {"write": "x", "keys": {}},
        {"keys": []},
        {"keys": {"a b": {"file": "/x"}}},
        {"keys": {"a": {"file": "/nowhere/at/all"}}},
        {"keys": {"a": {"secret": "abc"}}},
        {"keys": {}, "more": 1},
        {"keys": {"a": {"recipient": "/dev/null"}}},
        {"keys": {"a": {"file": "/dev/null"}}},
    ],
)
def test_keys_that_cannot_be_are_refused(mapping: dict[str, Any]) -> None:
    """With what is wrong, before anything is logged."""
    with pytest.raises(BadPolicy):
        FieldKeys.from_mapping(mapping)


def test_policy_encrypts_fields_and_the_command_reads_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path with `encrypt` is closed in the line, known nowhere else in it, and opened by the command."""
    (tmp_path / "k").write_bytes(MASTER)
    policy = Policy.from_mapping(
        {
            "paths": {"user.email": "encrypt", "list.n": "encrypt"},
            "encryption": {"write": "2026", "keys": {"2026": {"file": str(tmp_path / "k")}}},
        }
    )
    entry = {"user": {"email": "kim@example.org"}, "list": [{"n": 1}], "message": "for kim@example.org"}
    shown = Privacy(policy).line(encode(entry), entry, encode)
    assert not re.search(rb"\bkim\b", shown)  # Base64 may have these letters, but not as a word
    out = io.StringIO()
    assert main(["--key", f"2026={tmp_path / 'k'}"], io.StringIO(shown.decode() + "\n\n"), out) == 0
    told = json.loads(out.getvalue())
    assert (told["user"], told["list"]) == (entry["user"], entry["list"])
    changed = json.loads(shown)
    changed["other"] = changed.pop("user")
    assert main(["--key", f"2026={tmp_path / 'k'}"], io.StringIO(json.dumps(changed) + "\n{\n"), out) == 1
    assert main(["--key", "2026"], io.StringIO(""), out) == 2
    assert "kim" not in capsys.readouterr().err


@pytest.mark.parametrize("row", VECTORS["signatures"], ids=lambda row: row["producer"])
def test_signatures_are_as_the_vectors_say(row: dict[str, Any]) -> None:
    """Ed25519 is deterministic: both languages write the same headers, and verify them."""
    batch = Batch(row["producer"], row["first"], row["count"], [each.encode() for each in row["entries"]])
    signer = Signer(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(row["private_key"])))
    assert signer.sign(batch) == row["headers"]
    assert verify(batch, row["headers"][SIGNATURE], bytes.fromhex(row["public_key"]))


def test_a_signature_is_of_one_batch(tmp_path: Path) -> None:
    """Another entry, place, producer or key, and what is no signature: none verifies."""
    private = Ed25519PrivateKey.generate()
    path = tmp_path / "sign.pem"
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    signer, batch = Signer.from_file(path), Batch("py-1", 0, 2, [b"{}", b"{}"])
    headers = signer.sign(batch)
    assert verify(batch, headers[SIGNATURE], signer.public)
    assert len(headers[KEY_ID]) == 32
    for other in (
        Batch("py-1", 1, 2, [b"{}", b"{}"]),
        Batch("py-2", 0, 2, [b"{}", b"{}"]),
        Batch("py-1", 0, 2, [b"{}"]),
    ):
        assert not verify(other, headers[SIGNATURE], signer.public)
    for text in ("", "AA", headers[SIGNATURE][:-2] + "xx", "é"):
        assert not verify(batch, text, signer.public)
    assert not verify(batch, headers[SIGNATURE], Ed25519PrivateKey.generate().public_key().public_bytes_raw())


def test_a_signing_key_is_its_owners_alone(tmp_path: Path) -> None:
    """Open to others, missing, of another kind: the error says which, and what to do."""
    private = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = tmp_path / "sign.pem"
    path.write_bytes(private)
    path.chmod(0o644)
    with pytest.raises(BadKey, match="chmod 600"):
        Signer.from_file(path)
    path.chmod(0o600)
    path.write_text("no key")
    with pytest.raises(BadKey, match="holds no private key"):
        Signer.from_file(path)
    path.write_bytes(
        X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    with pytest.raises(BadKey, match="not Ed25519"):
        Signer.from_file(path)
    with pytest.raises(BadKey, match="cannot be read"):
        Signer.from_file(tmp_path / "missing")
