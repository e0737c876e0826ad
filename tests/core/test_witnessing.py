"""What a witness takes, refuses and cosigns: C2SP tlog-witness, rule by rule, without sockets."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.core import merkle, notes, witnessing
from sentinel.core.notes import COSIGNATURE, ED25519, Checkpoint, Key, Note
from sentinel.core.witnessing import NOTHING, Logs, OtherSize, OtherTree, Seen, Submission, Unproven
from sentinel.errors import Forbidden, Malformed, Missing, Rejected
from tests.witnesses import Signer, Tree

TREE = Tree()
FORK = Tree(history="other")
LOGS = Logs((TREE.key,))
# From the specification of tlog-witness.
EXAMPLE = """old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
"""  # noqa: E501


def _decide(seen: Seen, submission: Submission, logs: Logs = LOGS) -> Note:
    signed = witnessing.signed(submission, logs)
    witnessing.check_growth(seen, submission)
    return signed


def test_the_specifications_example() -> None:
    """The request of the specification is read, and written as it was; its log is not one of ours."""
    found = Submission.read(EXAMPLE.encode())
    assert (found.old, len(found.proof), found.checkpoint.size) == (20_852_014, 4, 20_852_163)
    assert found.body.decode() == EXAMPLE
    with pytest.raises(Missing):
        witnessing.signed(found, LOGS)


@pytest.mark.parametrize(("old", "new"), [(0, 0), (0, 5), (5, 5), (1, 2), (4, 7), (8, 300), (255, 257)])
def test_what_continues_is_taken(old: int, new: int) -> None:
    """A body that is written by hand is read as what it is, and grown trees and the same tree are taken."""
    submission = Submission.read(TREE.body(old, new))
    assert submission == TREE.submission(old, new)
    assert _decide(Seen(old, TREE.root(old)), submission) == TREE.note(new)


@pytest.mark.parametrize(
    ("seen", "submission", "error"),
    [
        (NOTHING, Tree("other.example/checkout/0").submission(0, 5), Missing),
        (NOTHING, Tree(signer=Signer(2)).submission(0, 5), Forbidden),
        (NOTHING, Submission(6, (), TREE.note(5), Checkpoint.read(TREE.note(5).text)), Malformed),
        (NOTHING, TREE.submission(3, 5), OtherSize),
        (Seen(4, TREE.root(4)), TREE.submission(0, 5), OtherSize),
        (Seen(6, TREE.root(6)), TREE.submission(4, 5), OtherSize),
        (Seen(6, TREE.root(6)), TREE.submission(5, 5), OtherSize),
        (Seen(5, TREE.root(5)), FORK.submission(5, 5), OtherTree),
        (NOTHING, Tree(history="x").submission(0, 0), None),
        (Seen(4, TREE.root(4)), FORK.submission(4, 9), Unproven),
        (Seen(4, FORK.root(4)), TREE.submission(4, 9), Unproven),
        (
            NOTHING,
            Submission(0, (bytes(32),), TREE.note(5), Checkpoint.read(TREE.note(5).text)),
            Unproven,
        ),
        (
            Seen(5, TREE.root(5)),
            Submission(5, (bytes(32),), TREE.note(5), Checkpoint.read(TREE.note(5).text)),
            Unproven,
        ),
    ],
)
def test_what_does_not_continue_is_refused(
    seen: Seen, submission: Submission, error: type[Rejected] | None
) -> None:
    """Unknown log, wrong key, wrong sizes, another tree, a proof that is none: each has its own refusal."""
    if error is None:
        _decide(seen, submission)
        return
    with pytest.raises(error) as caught:
        _decide(seen, submission)
    assert type(caught.value) is error
    if isinstance(caught.value, OtherSize):
        assert caught.value.size == seen.size


def test_an_empty_tree_has_one_root() -> None:
    """Of no leaves there is one tree: a log that signs another root for it is told so."""
    text = Checkpoint(TREE.origin, 0, bytes(32)).text
    note = Note(text, (notes.signed(text, TREE.key, TREE.signer.sign),))
    with pytest.raises(OtherTree):
        _decide(NOTHING, Submission(0, (), note, Checkpoint.read(text)))


def _body(**parts: str) -> bytes:
    given = {"old": "old 4", "proof": "", "gap": "\n\n", "note": TREE.note(5).bytes.decode(), **parts}
    return "".join(given[part] for part in ("old", "proof", "gap", "note")).encode()


HASH = "\n" + b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0\n",
        b"\n\n",
        b"\xff\n\n",
        _body(old="old 04"),
        _body(old="old -1"),
        _body(old="old  4"),
        _body(old="old 4 "),
        _body(old="old ٤"),
        _body(old="Old 4"),
        _body(old="4"),
        _body(old="old"),
        _body(old="\nold 4"),
        _body(old="old 99999999999999999999"),
        _body(gap="\r\n\r\n"),
        _body(gap="\n"),
        _body(proof=HASH * 64),
        _body(proof="\n" + b64encode(bytes(31)).decode()),
        _body(proof=HASH[:-1]),
        _body(proof=HASH + " "),
        _body(proof=HASH.replace("AA=", "AB=")),
        _body(proof="\nhello"),
        _body(note=TREE.note(5).text),
        _body(note=""),
        _body(note=TREE.note(5).bytes.decode().replace("\n5\n", "\n05\n")),
        _body(note=TREE.note(5).bytes.decode().replace("\n5\n", f"\n{2**63}\n")),
        _body(note=TREE.note(5).bytes.decode().rstrip("\n")),
        _body(note="a" * witnessing.MOST_BYTES),
    ],
)
def test_what_is_no_submission(body: bytes) -> None:
    """Everything that the specification's grammar does not have is malformed, bounds included."""
    with pytest.raises(Malformed):
        Submission.read(body)


def test_the_longest_proof_is_read() -> None:
    """63 lines of proof and the largest size are still within the bounds."""
    text = Checkpoint(TREE.origin, witnessing.MOST_SIZE, bytes(32)).text
    note = Note(text, (notes.signed(text, TREE.key, TREE.signer.sign),))
    submission = Submission.read(_body(proof=HASH * 63, note=note.bytes.decode()))
    assert len(submission.proof) == witnessing.MOST_PROOF
    with pytest.raises(Unproven):
        _decide(Seen(4, TREE.root(4)), submission)


@settings(max_examples=150, deadline=None)
@given(
    at=st.integers(0, 400),
    cut=st.integers(0, 60),
    put=st.one_of(
        st.binary(max_size=40), st.sampled_from([b"\n", b"\n\n", b"\0", b"old 0\n", HASH.encode()])
    ),
)
def test_hostile_bodies(at: int, cut: int, put: bytes) -> None:
    """Whatever is done to a good body, it is refused by name or is still a checkpoint that its log signed."""
    good = TREE.body(4, 5)
    body = good[:at] + put + good[at + cut :]
    try:
        signed = _decide(Seen(4, TREE.root(4)), Submission.read(body))
    except Rejected:
        return
    assert signed == TREE.note(5)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=300))
def test_noise(body: bytes) -> None:
    """Noise is malformed, and nothing else happens."""
    with pytest.raises(Malformed):
        Submission.read(body)


def test_only_the_logs_own_signatures_are_kept() -> None:
    """Strangers' signatures are left out; a known key's wrong one makes all count for nothing."""
    other = Key("stranger.example", ED25519, Signer(5).public_key())
    text = TREE.note(5).text
    strange = notes.signed(text, other, Signer(5).sign)
    forged = notes.signed(text, TREE.key, Signer(5).sign)
    good = TREE.note(5)
    point = Checkpoint.read(text)
    assert witnessing.signed(Submission(0, (), TREE.note(5, strange, *good.signatures), point), LOGS) == good
    with pytest.raises(Forbidden):
        witnessing.signed(Submission(0, (), TREE.note(5, forged), point), LOGS)


def test_which_keys_sign_for_an_origin() -> None:
    """A deployment's key, of either type, stands for the origins below its name, and for no other name."""
    public, other = TREE.signer.public_key(), Signer(2).public_key()
    for kind in (ED25519, COSIGNATURE):
        logs = Logs.read([Key("log.example", kind, public).vkey])
        assert logs.of(TREE.origin) == [TREE.key]
        assert logs.of("log.example/a%2Bb/0") == [Key("log.example/a%2Bb/0", ED25519, public)]
        for origin in ("log.example.evil/a/0", "log.exampl", "log.example/", "log.example/a+b/0", "x"):
            with pytest.raises(Missing):
                logs.of(origin)
    nested = Logs((Key("a", ED25519, public), Key("a/b", ED25519, other)))
    assert nested.of("a/b/c/0") == [Key("a/b/c/0", ED25519, other)]
    assert nested.of("a/c/0") == [Key("a/c/0", ED25519, public)]
    rotated = Logs((Key("a", ED25519, public), Key("a", ED25519, other)))
    assert [key.public for key in rotated.of("a/c/0")] == [public, other]


@pytest.mark.parametrize(
    "vkey",
    [
        "TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6",
        "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    ],
)
def test_keys_that_others_wrote(vkey: str) -> None:
    """Verifier keys of both types that another implementation wrote are read; their ids are the same."""
    found = Logs.read([vkey]).keys[0]
    assert found.vkey == vkey


@pytest.mark.parametrize("vkey", ["", "x", TREE.key.vkey[:-1], TREE.key.vkey.replace("log", "lag")])
def test_keys_that_are_none(vkey: str) -> None:
    """A verifier key with a slip is refused at the start, not at the first checkpoint."""
    with pytest.raises(Malformed):
        Logs.read([vkey])


@pytest.mark.parametrize(("body", "size"), [(b"0\n", 0), (b"20852014\n", 20_852_014)])
def test_a_conflicts_size(body: bytes, size: int) -> None:
    """The answer 409 is a size and a line's end."""
    assert witnessing.size_of(body) == size


@pytest.mark.parametrize("body", [b"", b"5", b"05\n", b"-1\n", b"5\n\n", b" 5\n", b"9" * 19 + b"\n", b"x\n"])
def test_what_is_no_size(body: bytes) -> None:
    """Anything else is not believed."""
    with pytest.raises(Malformed):
        witnessing.size_of(body)


def test_the_proof_is_checked_by_the_tree() -> None:
    """No proof of one pair of sizes passes for another pair, nor any proof with one hash changed."""
    for old, new in [(3, 7), (4, 8), (5, 9), (6, 13)]:
        proof = TREE.proof(old, new)
        point = Checkpoint(TREE.origin, new, TREE.root(new))
        assert witnessing.continues(Seen(old, TREE.root(old)), point, proof)
        for at in range(len(proof)):
            changed = [*proof[:at], merkle.leaf(proof[at]), *proof[at + 1 :]]
            assert not witnessing.continues(Seen(old, TREE.root(old)), point, changed)
        assert not witnessing.continues(Seen(old, TREE.root(old)), point, proof[:-1])
        assert not witnessing.continues(Seen(old - 1, TREE.root(old - 1)), point, proof)
