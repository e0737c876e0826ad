"""The attacks on SNS, whose messages bring their proof in the body: members take the place of headers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from benchmarks.webhooks_attacks import Line, Tally, Try, attacked
from benchmarks.webhooks_world import World
from sentinel.webhooks.sns import AHEAD, OLDEST
from tests.webhooks.senders import NOW, SENDERS
from tests.webhooks.test_sns import TOPIC, URL, key, notice, stamp

LINES: tuple[Line, ...] = (("content-type", "text/plain; charset=UTF-8"),)
MEMBERS = ("Message", "MessageId", "Timestamp", "TopicArn", "Type")
PROOF = ("Signature", "SigningCertURL", "SignatureVersion")
OTHER_TOPIC = TOPIC.replace("111122223333", "999922223333")


def tallied(world: World, version: str) -> dict[str, Tally]:
    """Try everything at a webhook that takes signatures of a version; return what came of each attack."""
    hook = f"sns-{version}"
    secret = SENDERS["sentry"][0].secret
    options = {"topics": TOPIC, "signature_version": version}
    for each in (hook, f"{hook}-other", f"{hook}-shut"):
        known = options if each != f"{hook}-other" else {"topics": OTHER_TOPIC, "signature_version": version}
        world.add(each, "sns", known, secret)
    world.disable(f"{hook}-shut")
    good = notice(SignatureVersion=version)
    tries = {
        "wrong signature": _bodies(_wrong_signature(good)),
        "wrong secret": _bodies(_wrong_key(version)),
        "elsewhere": _elsewhere(good, hook),
        "altered body": _bodies(_altered(good)),
        "replayed body": _replayed(good),
        "missing header": _bodies(_without(good)),
        "header twice": _bodies(_twice(good)),
        "stale time": _stale(good, version),
    }
    return attacked(world, "sns", hook, LINES, good, tries, covers=True)


def _bodies(bodies: Iterator[bytes]) -> Iterator[Try]:
    return (Try(LINES, body) for body in bodies)


def _with(good: bytes, members: Mapping[str, object]) -> bytes:
    return json.dumps({**json.loads(good), **members}).encode()


def _wrong_signature(good: bytes) -> Iterator[bytes]:
    value = json.loads(good)["Signature"]
    for at in range(0, len(value), 4):
        flipped = value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]
        yield _with(good, {"Signature": flipped})
    for other in ("", " ", value[:-4], value + "AAAA", value[::-1], "ü", 7, None, [value]):
        yield _with(good, {"Signature": other})


def _wrong_key(version: str) -> Iterator[bytes]:
    """Sign with another key, name another place for the certificate, send for a topic that is not listed."""
    yield notice(by=key(3072), SignatureVersion=version)
    for url in (
        URL.replace("amazonaws.com", "amazonaws.com.example.org"),
        URL.replace("https", "http"),
        URL.replace("sns.eu-west-1", "bucket.s3"),
        URL + "?x",
    ):
        yield notice(SigningCertURL=url, SignatureVersion=version)
    yield notice(TopicArn=OTHER_TOPIC, SignatureVersion=version)
    yield notice(SignatureVersion="1" if version == "2" else "3")


def _elsewhere(good: bytes, hook: str) -> Iterator[Try]:
    for at in (f"{hook}-other", f"{hook}-shut", "nobody", ""):
        yield Try(LINES, good, source="sns", hook=at)
    for source in ("sentry", "generic", "nothing"):
        yield Try(LINES, good, source=source, hook=hook)


def _altered(good: bytes) -> Iterator[bytes]:
    for name in MEMBERS:
        for value in (json.loads(good)[name] + "0", json.loads(good)[name][:-1], "", 7, None):
            yield _with(good, {name: value})
    yield _with(good, {"Subject": "added"})
    yield from (good[:-1], b"", b"{}", b"[]")


def _replayed(good: bytes) -> Iterator[Try]:
    for later in (0, 0, OLDEST - 1):
        yield Try(LINES, good, later=later)
    yield Try((*LINES, ("x-amz-sns-message-id", "other"), ("user-agent", "replay/1")), good)


def _without(good: bytes) -> Iterator[bytes]:
    told = json.loads(good)
    for name in (*MEMBERS, *PROOF):
        yield json.dumps({each: told[each] for each in told if each != name}).encode()


def _twice(good: bytes) -> Iterator[bytes]:
    """Send a member twice, with a wrong value first or last."""
    for name in (*MEMBERS, *PROOF):
        more = b'"%s": "x"' % name.encode()
        yield b"{" + more + b", " + good[1:]
        yield good[:-1] + b", " + more + b"}"


def _stale(good: bytes, version: str) -> Iterator[Try]:
    yield Try(LINES, good, later=OLDEST + 1)
    yield Try(LINES, good, later=-AHEAD - 1)
    for off in (OLDEST + 1, -AHEAD - 1, 86_400, 10**9):
        yield Try(LINES, notice(Timestamp=stamp(NOW - off), SignatureVersion=version))
    for text in ("", "now", "9" * 40):
        yield Try(LINES, notice(Timestamp=text, SignatureVersion=version))
