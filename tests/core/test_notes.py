"""Signed notes: C2SP's own examples are read, what is signed verifies, anything else counts for nothing."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sentinel.core import notes
from sentinel.core.notes import COSIGNATURE, ED25519, Checkpoint, Key, Note
from sentinel.errors import Malformed

SECRET = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = SECRET.public_key().public_bytes_raw()
LOG = "log.example"
KEY = Key(notes.origin_of(LOG, "決済+x/3"), ED25519, PUBLIC)
TIMED = Key(LOG, COSIGNATURE, PUBLIC)
THEN = 1_700_000_000
POINT = Checkpoint(KEY.name, 5, b"\1" * 32)
NOTE = Note(
    POINT.text,
    (
        notes.signed(POINT.text, KEY, SECRET.sign),
        notes.cosigned(POINT.text, TIMED, SECRET.sign, THEN),
    ),
)
# From the specification of tlog-cosignature.
EXAMPLE = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""  # noqa: E501


def test_the_specifications_example() -> None:
    """A checkpoint of the specification is read, and written as it was."""
    note = notes.read(EXAMPLE.encode())
    assert note.bytes.decode() == EXAMPLE
    assert Checkpoint.read(note.text).size == 20_852_163
    assert [each.name for each in note.signatures] == [
        "example.com/behind-the-sofa",
        "witness.example.com/w1",
    ]
    assert note.verified([KEY, TIMED]) == []


def test_what_is_signed_verifies() -> None:
    """Both signatures are found again, the second with its time; keys survive being written down."""
    assert notes.read(NOTE.bytes) == NOTE
    assert NOTE.verified([KEY, TIMED]) == [(KEY, 0), (TIMED, THEN)]
    assert Checkpoint.read(NOTE.text) == POINT
    assert [Key.read(each.vkey) for each in (KEY, TIMED)] == [KEY, TIMED]
    assert notes.chain_of(LOG, POINT.origin) == "決済+x/3"
    assert "+" not in POINT.origin
    assert NOTE.with_lines(NOTE.signatures) == NOTE


@pytest.mark.parametrize("at", range(0, len(NOTE.bytes), 7))
def test_a_changed_note_counts_for_nothing(at: int) -> None:
    """Whatever byte is changed, no two signatures by the known keys verify."""
    raw = bytearray(NOTE.bytes)
    raw[at] ^= 1
    try:
        found = notes.read(bytes(raw)).verified([KEY, TIMED])
    except Malformed:
        return
    assert len(found) < 2


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"text\n\nno dash AAAAAAA=\n",
        NOTE.bytes[:-1],
        NOTE.bytes.replace(b"\n\n", b"\n\r\n\n"),
        b"\xff" + NOTE.bytes,
        NOTE.bytes.replace(b"= \n", b"=\n").replace("— ".encode(), "—  ".encode()),
        b"a" * notes.MOST_BYTES + NOTE.bytes,
        POINT.text.encode() + b"\n" + NOTE.signatures[0].line.encode() * 65,
    ],
)
def test_what_is_no_note(raw: bytes) -> None:
    """What the format does not allow is refused, and sizes are bounded."""
    with pytest.raises(Malformed):
        notes.read(raw)


@pytest.mark.parametrize(
    "text",
    ["", "a\n", "a\n5\n", "a\n05\nAQEB\n", "a\n5\nAQEB\n", POINT.text[:-1], POINT.text.replace("5", "-5"),
     "\n" + POINT.text, POINT.text + "\n"],
)  # fmt: skip
def test_what_is_no_checkpoint(text: str) -> None:
    """A checkpoint has an origin, a size without zeros in front, and a root of 32 bytes."""
    with pytest.raises(Malformed):
        Checkpoint.read(text)


@pytest.mark.parametrize(
    "vkey",
    ["", "a", "a+b", KEY.vkey[:-4], KEY.vkey.replace("+", "", 1), KEY.vkey.replace(KEY.id.hex(), "00000000"),
     KEY.vkey.replace(LOG, "other"), "a b" + KEY.vkey],
)  # fmt: skip
def test_what_is_no_key(vkey: str) -> None:
    """A verifier key is refused where its parts do not fit together."""
    with pytest.raises(Malformed):
        Key.read(vkey)


def test_origins_of_other_logs() -> None:
    """A chain is read from an origin of this log only, and from its one form."""
    for origin in ("other/checkout/0", LOG, f"{LOG}/a%2Fb/0", f"{LOG}/a+b/0"):
        with pytest.raises(Malformed):
            notes.chain_of(LOG, origin)


def test_base64_has_one_form() -> None:
    """Base64 whose last bits are not zero says the same bytes in another way: a text or line has one."""
    root = POINT.text.split("\n")[2]
    assert root.endswith("E=")
    assert Checkpoint.read(POINT.text) == POINT
    with pytest.raises(Malformed):
        Checkpoint.read(POINT.text.replace(root, root[:-2] + "F="))
    line = notes.signed(POINT.text, KEY, SECRET.sign).line
    assert notes.read_lines(line)
    at = line.index("=") - 1
    with pytest.raises(Malformed):
        notes.read_lines(line[:at] + chr(ord(line[at]) + 1) + line[at + 1 :])


@pytest.mark.parametrize("length", [0, 7, 8, 63, 64, 71, 73, 200])
def test_signatures_of_any_length(length: int) -> None:
    """A known key's signature that is not as long as such are is wrong, and breaks nothing."""
    for key in (KEY, TIMED):
        note = Note(POINT.text, (notes.Signature(key.name, key.id, bytes(length)),))
        with pytest.raises(Malformed, match="is wrong"):
            note.verified([key])


def test_a_signature_has_one_form() -> None:
    """S and S + L verify the same equation; only the one below L counts (RFC 8032, 5.1.7)."""
    order = 2**252 + 27742317777372353535851937790883648493
    good = notes.signed(POINT.text, KEY, SECRET.sign)
    more = int.from_bytes(good.raw[32:], "little") + order
    twin = notes.Signature(good.name, good.id, good.raw[:32] + more.to_bytes(32, "little"))
    assert Note(POINT.text, (good,)).verified([KEY])
    with pytest.raises(Malformed):
        Note(POINT.text, (twin,)).verified([KEY])
