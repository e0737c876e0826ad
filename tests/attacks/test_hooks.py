"""Webhooks that nobody sent who may: every refusal is the same, whatever is wrong."""

from __future__ import annotations

import base64
import hmac
import time
import uuid
from collections.abc import Iterator

import pytest

from tests.attacks.deployment import SOURCE, Deployment
from tests.attacks.record import case
from tests.attacks.walk import MARK
from tests.attacks.wire import Client, request
from tests.webhooks.test_standard import sign

pytestmark = pytest.mark.xdist_group("attacks")

GATEWAY = "gateway"
BODY = b'{"note":"%s-webhook"}' % MARK.encode()
PATH = f"/hooks/{SOURCE}/bills"
DECOY = "whsec_" + "A" * 43 + "="  # what unknown webhooks are checked against


@pytest.fixture(scope="module")
def anybody(tree: Deployment) -> Client:
    """Somebody without a certificate."""
    return tree.client(hooks=True)


@pytest.fixture(scope="module")
def others_secret(tree: Deployment) -> Iterator[str]:
    """The secret of another webhook, and of one that is disabled (`shut`)."""
    made = tree.app.services.add_hook("mallorys", "mallory", SOURCE)
    shut = tree.app.services.add_hook("shut", "victim", SOURCE)
    tree.app.services.disable_hook("shut")
    tree.keep("webhook secret", made.secret)
    tree.keep("webhook secret", shut.secret)
    return made.secret  # type: ignore[return-value] # a fixture


def now() -> int:
    """Return the time."""
    return int(time.time())


def signed(
    tree: Deployment, body: bytes = BODY, secret: str = "", at: int | str = 0, name: str = ""
) -> dict[str, str]:
    """Return the headers of a message, signed as its sender would."""
    made = sign(body, secret or tree.hook_secret, name or uuid.uuid4().hex, at or now())
    tree.keep("signature", made["webhook-signature"].partition(",")[2])
    return made


def test_what_is_not_proven_is_refused(tree: Deployment, anybody: Client, others_secret: str) -> None:
    """Wrong, missing and foreign signatures, times that are off, fields that were changed."""
    good = signed(tree)
    digest = good["webhook-signature"].partition(",")[2]
    key = base64.b64decode(tree.hook_secret.removeprefix("whsec_"))

    def over(text: bytes, algorithm: str = "sha256") -> str:
        return base64.b64encode(hmac.digest(key, text, algorithm)).decode()

    told = f"{good['webhook-id']}.{good['webhook-timestamp']}.".encode()
    cases: dict[str, dict[str, str]] = {
        "no header at all": {},
        "no signature": {**good, "webhook-signature": ""},
        "signature of nothing": {**good, "webhook-signature": "v1,"},
        "signature of zeros": {**good, "webhook-signature": "v1," + base64.b64encode(bytes(32)).decode()},
        "signature of another webhook's secret": signed(tree, secret=others_secret),
        "signature of the decoy's secret": signed(tree, secret=DECOY),
        "signature of another body": signed(tree, b'{"note":"other"}'),
        "signature cut": {**good, "webhook-signature": f"v1,{digest[:-4]}"},
        "signature without its version": {**good, "webhook-signature": digest},
        "signature of version v1a": {**good, "webhook-signature": f"v1a,{digest}"},
        "signature of version v2": {**good, "webhook-signature": f"v2,{digest}"},
        "signature in hex": {**good, "webhook-signature": f"v1,{base64.b64decode(digest).hex()}"},
        "signature with SHA-1": {**good, "webhook-signature": f"v1,{over(told + BODY, 'sha1')}"},
        "signature over the body alone": {**good, "webhook-signature": f"v1,{over(BODY)}"},
        "a thousand signatures, the last one right": {
            **good,
            "webhook-signature": "v1,AAAA " * 600 + f"v1,{digest}",
        },
        "old timestamp": signed(tree, at=now() - 301),
        "very old timestamp": signed(tree, at=1),
        "timestamp of the future": signed(tree, at=now() + 310),
        "timestamp with a fraction": signed(tree, at=f"{now()}.0"),
        "timestamp negative": signed(tree, at="-1"),
        "timestamp not ASCII digits": signed(tree, at="\u0661\u0662"),
        "timestamp of 40 digits": signed(tree, at="9" * 40),
        "no timestamp": {**good, "webhook-timestamp": ""},
        "timestamp renewed": {**good, "webhook-timestamp": str(now() + 1)},
        "id changed": {**good, "webhook-id": "other"},
        "no id": {**good, "webhook-id": ""},
        "id with a full stop": signed(tree, name="a.b"),
        "id with blanks": signed(tree, name="a b"),
        "id of 257 characters": signed(tree, name="a" * 257),
        "a service's token": {"Authorization": tree.bearer(tree.members["mallory"])["Authorization"]},
        "names of svix": {name.replace("webhook", "svix"): value for name, value in good.items()},
    }
    before = tree.app.inspect.chains("victim")
    words = set()
    for name, headers in cases.items():
        with case("webhooks", name, GATEWAY, 401) as tried:
            answer = anybody.ask("POST", PATH, BODY, headers)
            tried.refused(answer, "POST /hooks/{source}/{hook}")
            words.add(answer.body)
    with case("webhooks", "what a refusal tells apart", GATEWAY) as tried:
        tried.holds(len(words) == 1, f"{len(words)} different refusals")
        tried.holds(tree.app.inspect.chains("victim") == before, "something was stored")


PLACES = {
    "unknown webhook": f"/hooks/{SOURCE}/nobodys",
    "disabled webhook": f"/hooks/{SOURCE}/shut",
    "another service's webhook": f"/hooks/{SOURCE}/mallorys",
    "unknown source": "/hooks/sentry/bills",
    "source of another spelling": "/hooks/Standard-Webhooks/bills",
    "webhook in capitals": f"/hooks/{SOURCE}/BILLS",
    "webhook with a NUL": f"/hooks/{SOURCE}/bills%00",
    "webhook with dots": f"/hooks/{SOURCE}/..%2fbills",
    "webhook of 300 characters": f"/hooks/{SOURCE}/{'b' * 300}",
    "webhook not UTF-8": f"/hooks/{SOURCE}/%ff",
}


@pytest.mark.parametrize("name", PLACES)
def test_a_good_signature_opens_no_other_webhook(
    tree: Deployment, anybody: Client, others_secret: str, name: str
) -> None:
    """The same words as for a wrong signature."""
    with case("webhooks", name, GATEWAY, 401) as tried:
        wrong = anybody.ask("POST", PATH, BODY, {**signed(tree), "webhook-id": "other"})
        for secret in (tree.hook_secret, DECOY):
            answer = anybody.ask("POST", PLACES[name], BODY, signed(tree, secret=secret))
            tried.refused(answer, "POST /hooks/{source}/{hook}")
            tried.holds(answer.body == wrong.body, f"it is told apart: {answer.body!r}")


def test_two_headers_prove_nothing(tree: Deployment, anybody: Client) -> None:
    """Each header that proves comes once, in one spelling."""
    good = signed(tree)
    for twice in good:
        for values in (("x", good[twice]), (good[twice], "x"), (good[twice], good[twice])):
            with case("webhooks", f"{twice} twice: {_order(values, good[twice])}", GATEWAY, 401) as tried:
                for spelling in (twice, twice.title()):
                    lines = [f"{key}: {value}" for key, value in good.items() if key != twice]
                    lines += [f"{twice}: {values[0]}", f"{spelling}: {values[1]}"]
                    data = request(
                        "POST", PATH, "Host: localhost", *lines, f"Content-Length: {len(BODY)}", body=BODY
                    )
                    tried.refused(anybody.one(data), "POST /hooks/{source}/{hook}")


def _order(values: tuple[str, str], good: str) -> str:
    return ", then ".join("right" if value == good else "wrong" for value in values)


def test_a_message_is_stored_once(tree: Deployment, anybody: Client) -> None:
    """What is sent again is answered alike and stored no second time; no id has two bodies."""
    headers = signed(tree, name="replayed")
    with case("webhooks", "replayed within its time", GATEWAY) as tried:
        first = anybody.ask("POST", PATH, BODY, headers)
        sealed = tree.app.inspect.chains("victim")
        again = [anybody.ask("POST", PATH, BODY, headers) for _ in range(3)]
        tried.holds(first.status == 200, f"{first}")
        tried.holds(all(each.body == first.body for each in again), "another receipt")
        tried.holds(tree.app.inspect.chains("victim") == sealed, "it was stored again")
    with case("webhooks", "an id with another body", GATEWAY, 409) as tried:
        tried.refused(anybody.ask("POST", PATH, b"{}", signed(tree, b"{}", name="replayed")))


def test_what_is_huge_is_refused(tree: Deployment, anybody: Client) -> None:
    """Over a megabyte, though rightly signed."""
    body = b"x" * 1_000_001
    with case("webhooks", "huge body", GATEWAY, 413) as tried:
        tried.refused(anybody.ask("POST", PATH, body, signed(tree, body)))
