"""Who is let in and wants more: scopes that are missing, things of another service, names in headers."""

from __future__ import annotations

import json
from base64 import b64encode
from ssl import PEM_cert_to_DER_cert
from urllib.parse import quote

import pytest

from sentinel.core.access import SCOPES
from tests.attacks import walk
from tests.attacks.deployment import Deployment, Member, tell
from tests.attacks.record import case
from tests.e2e.trees import until

pytestmark = pytest.mark.xdist_group("attacks")

GATEWAY = "gateway"
SCOPED = [target for target in walk.service("token") if target.route.scope]


@pytest.fixture(scope="module")
def poor(tree: Deployment) -> Member:
    """A service that may do nothing but send."""
    return tree.join("poor", scopes=("ingest",))


@pytest.mark.parametrize("scope", sorted({target.route.scope for target in SCOPED}))
def test_a_token_without_a_routes_scope_does_not_open_it(tree: Deployment, me: Member, scope: str) -> None:
    """With every other scope, and with names that only look like it."""
    others = " ".join(each for each in SCOPES if each != scope)
    near = {
        "every other scope": others,
        "in capitals": f"{others} {scope.upper()}",
        "longer": f"{others} {scope}s {scope}:all",
        "shorter": f"{others} {scope[:-1]}",
        "a star": f"{others} *",
        "none": "",
    }
    for name, scopes in near.items():
        with case("authorization", f"scope {scope} missing: {name}", GATEWAY, 403) as tried:
            for target in SCOPED:
                if target.route.scope == scope:
                    sent = {**target.headers, **tree.bearer(me, scope=scopes)}
                    answer = me.client.ask(target.method, target.path, target.body, sent)
                    tried.refused(answer, str(target))


def test_a_scope_that_the_registry_does_not_give_opens_nothing(tree: Deployment, poor: Member) -> None:
    """A token may claim every scope there is: it counts as far as its service has them."""
    with case("authorization", "scope claimed by the token alone", GATEWAY, 403) as tried:
        for target in SCOPED:
            if target.route.scope != "ingest":
                sent = {**target.headers, **tree.bearer(poor, scope=" ".join(SCOPES))}
                tried.refused(poor.client.ask(target.method, target.path, target.body, sent), str(target))


def test_a_scope_is_not_given_for_the_asking(tree: Deployment, poor: Member) -> None:
    """The token endpoint refuses scopes that a service does not have."""
    from tests.attacks.test_certificates import basic

    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    with case("authorization", "scope asked for at the token endpoint", GATEWAY, 400) as tried:
        for scope in ("admin", "ingest admin", "ingest\tadmin", "*", "INGEST"):
            body = f"grant_type=client_credentials&scope={quote(scope)}".encode()
            headers = kind | basic(poor.name, poor.api_key)
            answer = poor.client.ask("POST", "/v1/token", body, headers)
            tried.refused(answer, "POST /v1/token")
            tried.holds(answer.told.get("error") == "invalid_scope", f"{answer.told}")


LIES = ("victim", "victim/0", "../victim", "victim\t", '"victim"', "mallory,victim")


def naming(victim: Member) -> dict[str, dict[str, str]]:
    """Return headers that name the victim in every way that some server believes."""
    der = b64encode(PEM_cert_to_DER_cert(victim.held.leaf)).decode()
    xfcc = f'Hash=00;Cert="{quote(victim.held.leaf)}";URI=spiffe://sentinel.local/service/victim'
    return {
        "Sentinel-Service": {"Sentinel-Service": "victim"},
        "Sentinel_Service": {"Sentinel_Service": "victim"},
        "Client-Cert": {"Client-Cert": f":{der}:"},
        "X-Forwarded-Client-Cert": {"X-Forwarded-Client-Cert": xfcc},
        "X-SSL-Client-Cert": {"X-SSL-Client-Cert": quote(victim.held.leaf)},
        "X-Amzn-Mtls-Clientcert": {"X-Amzn-Mtls-Clientcert": quote(victim.held.leaf)},
        "X-Forwarded-User": {"X-Forwarded-User": "victim", "Remote-User": "victim", "X-User": "victim"},
        "X-Original-URL": {"X-Original-URL": "/v1/services", "X-Rewrite-URL": "/v1/services"},
        "X-HTTP-Method-Override": {"X-HTTP-Method-Override": "DELETE"},
    }


def test_headers_that_name_somebody_name_nobody(tree: Deployment, me: Member, victim: Member) -> None:
    """What the attacker stores goes into its own chain, and what it sees is its own, whatever headers say."""
    for name, headers in naming(victim).items():
        with case("tenants", f"header {name}", GATEWAY) as tried:
            sent = {**tree.bearer(me), **headers}
            receipt = me.client.ask("POST", "/v1/entries", b'{"a":1}', sent)
            tried.holds(receipt.told.get("chain") == "mallory/0", f"stored in {receipt.body!r}")
            for path in ("/v1/chains", "/v1/tasks"):
                answer = me.client.ask("GET", path, headers=sent)
                tried.holds(answer.status == 200 and b"victim" not in answer.body, f"{path}: {answer.body!r}")


def test_headers_alone_open_nothing(tree: Deployment, me: Member, victim: Member) -> None:
    """The same headers without a token."""
    for name, headers in naming(victim).items():
        with case("tenants", f"header {name}, no token", GATEWAY, 401) as tried:
            for target in walk.service("token"):
                sent = {**target.headers, **headers}
                tried.refused(me.client.ask(target.method, target.path, target.body, sent), str(target))


def test_nothing_of_another_is_visible(tree: Deployment, me: Member, victim: Member) -> None:
    """Every route, asked for the victim's things in path and query: no word of them comes back."""
    words = [b"victim/", tree.victims_task.encode(), tree.victims_alert.encode(), b"of-the-victim"]
    asked = (
        "",
        "?service=victim",
        "?chain=victim/0",
        "?state=failed&service=victim",
        "?tenant=victim&all=true",
    )
    with case("tenants", "another's things in path and query", GATEWAY) as tried:
        for target in walk.service("token"):
            for query in asked:
                sent = walk.with_things(target, tree.victims_task, tree.victims_alert)
                headers = {**sent.headers, **tree.bearer(me, scope=_without_admin())}
                answer = me.client.ask(sent.method, sent.path + query, sent.body, headers)
                told = answer.raw()
                tried.holds(not any(word in told for word in words), f"{target}{query}: {told[:300]!r}")


def _without_admin() -> str:
    """Whoever has `admin` sees all services of the deployment: that is what it is for."""
    return " ".join(scope for scope in SCOPES if scope != "admin")


def test_anothers_task_is_not_there(tree: Deployment, me: Member, victim: Member) -> None:
    """It is answered as one that does not exist, to the byte, in any spelling."""
    task = tree.victims_task
    with case("tenants", "another's task", GATEWAY, 404) as tried:
        assert victim.client.ask("GET", f"/v1/tasks/{task}", headers=tree.bearer(victim)).status == 200
        bearer = tree.bearer(me, scope=_without_admin())
        nobodys = me.client.ask("GET", "/v1/tasks/" + "x" * len(task), headers=bearer)
        for spelling in (task, task.upper(), f"%{ord(task[0]):02x}{task[1:]}", f"{task}%00", f"./{task}"):
            answer = me.client.ask("GET", f"/v1/tasks/{spelling}", headers=bearer)
            tried.refused(answer, "GET /v1/tasks/{task}")
            if "/" not in spelling:
                tried.holds(answer.body == nobodys.body, f"it is told apart: {answer.body!r}")


def test_anothers_alert_is_not_there(tree: Deployment, me: Member, victim: Member) -> None:
    """As a task: to the byte as one that does not exist, and in no list."""
    alert, path = tree.victims_alert, f"/v1/alerts/{tree.victims_alert}"
    with case("tenants", "another's alert", GATEWAY, 404) as tried:
        assert victim.client.ask("GET", path, headers=tree.bearer(victim)).status == 200
        bearer = tree.bearer(me, scope=_without_admin())
        nobodys = me.client.ask("GET", "/v1/alerts/" + "x" * len(alert), headers=bearer)
        for spelling in (alert, alert.upper(), f"%{ord(alert[0]):02x}{alert[1:]}", f"{alert}%00"):
            answer = me.client.ask("GET", f"/v1/alerts/{spelling}", headers=bearer)
            tried.refused(answer, "GET /v1/alerts/{alert}")
            tried.holds(answer.body == nobodys.body, f"it is told apart: {answer.body!r}")
    with case("tenants", "others' alerts without the scope admin", GATEWAY, 403) as tried:
        for service in ("victim", "*"):
            answer = me.client.ask("GET", f"/v1/alerts?service={service}", headers=bearer)
            tried.refused(answer, "GET /v1/alerts")
    with case("tenants", "an entry in the form of an alert", GATEWAY) as tried:
        entry = {
            "webhook": {"source": "standard-webhooks", "hook": "alarms", "id": "m", "alert": 0},
            "alert": {"title": "of-mallory", "severity": "info", "status": "resolved", "fingerprint": "disk"},
        }
        assert me.client.ask("POST", "/v1/entries", json.dumps(entry).encode(), bearer).status == 200
        tell(tree, "of-the-victim-later")  # folded behind it
        until(
            lambda: b"later" in victim.client.ask("GET", path, headers=tree.bearer(victim)).body, "no alert"
        )
        for who in (me, victim):
            answer = who.client.ask("GET", "/v1/alerts", headers=tree.bearer(who))
            tried.holds(b"of-mallory" not in answer.body, f"it is an alert: {answer.body!r}")


def test_anothers_chain_cannot_be_asked_about(tree: Deployment, me: Member, victim: Member) -> None:
    """Its checkpoints and proofs are answered as those of one that does not exist, to the byte."""
    mine = tree.bearer(me)
    assert tree.app.ledger.head("victim/0") is not None
    with case("tenants", "proofs of another's chain", GATEWAY, 404) as tried:
        for asked in ("checkpoint", "proof?entry=0", "proof?from=0", "proof"):
            none = me.client.ask("GET", f"/v1/chains/nobody/0/{asked}", headers=mine)
            for owner in ("victim", "%76ictim", "victim%2F0%2F..%2F..", "mallory%2F..%2Fvictim"):
                theirs = me.client.ask("GET", f"/v1/chains/{owner}/0/{asked}", headers=mine)
                tried.refused(theirs, f"{owner}: {asked}")
                tried.holds(theirs.body == none.body, f"{owner}: it is told apart: {theirs.body!r}")
    assert victim.client.ask("GET", "/v1/chains/victim/0/proof", headers=tree.bearer(victim)).status == 400


def test_anothers_task_cannot_be_touched(tree: Deployment, me: Member, victim: Member) -> None:
    """Every act on it is answered as on one that does not exist, to the byte; and it stays as it is."""
    path = f"/v1/tasks/{tree.victims_task}"
    mine = tree.bearer(me, scope=_without_admin())
    before = victim.client.ask("GET", path, headers=tree.bearer(victim)).body
    with case("tenants", "acting on another's task", GATEWAY, 404) as tried:
        for target in walk.service("token"):
            if not target.route.path.startswith("/v1/tasks/{task}/") or target.route.scope == "admin":
                continue  # `admin` is of the whole deployment
            theirs, none = (
                me.client.ask(sent.method, sent.path, sent.body, {**sent.headers, **mine})
                for sent in (walk.with_things(target, tree.victims_task), walk.with_things(target, "x" * 26))
            )
            tried.refused(theirs, str(target))
            tried.holds(theirs.body == none.body, f"{target}: it is told apart: {theirs.body!r}")
    with case("tenants", "acting on all tasks", GATEWAY) as tried:
        for asked in ({}, {"service": "victim"}, {"recipe": "reach-inside"}):
            for act in ("cancel", "retry", "redrive", "accept"):
                body = json.dumps({"act": act, "filter": asked, "why": "mine now"}).encode()
                answer = me.client.ask("POST", "/v1/tasks/bulk", body, mine)
                tried.holds(answer.told.get("matched") == 0, f"{act} {asked}: {answer.body!r}")
    with case("tenants", "changed inputs without the right to write recipes", GATEWAY, 403) as tried:
        scopes = " ".join(each for each in SCOPES if each not in {"admin", "recipes:write"})
        body = json.dumps({"why": "mine now", "inputs": {"inside": {"url": "https://evil.example"}}}).encode()
        answer = victim.client.ask("POST", f"{path}/fork", body, tree.bearer(victim, scope=scopes))
        tried.refused(answer, "POST /v1/tasks/{task}/fork")
    with case("tenants", "others' lists without the scope admin", GATEWAY, 403) as tried:
        for service in ("victim", "*"):
            answer = me.client.ask("GET", f"/v1/tasks?service={service}", headers=mine)
            tried.refused(answer, "GET /v1/tasks")
    assert victim.client.ask("GET", path, headers=tree.bearer(victim)).body == before


def test_anothers_batch_is_not_there(tree: Deployment, me: Member, victim: Member) -> None:
    """The same batch id, and the same content, of two services are two batches."""
    with case("tenants", "another's batch id", GATEWAY) as tried:
        named = {"Sentinel-Batch-Id": "the-victims-batch"}
        theirs = victim.client.ask("POST", "/v1/entries", b'{"b":1}', tree.bearer(victim) | named)
        mine = me.client.ask("POST", "/v1/entries", b'{"b":1}', tree.bearer(me) | named)
        tried.holds((theirs.status, mine.status) == (200, 200), "they are not taken")
        tried.holds(mine.told["chain"] == "mallory/0", "it is in another chain")
        tried.holds(mine.told["head"] != theirs.told["head"], "the victim's receipt was told")
        other = me.client.ask("POST", "/v1/entries", b'{"c":1}', tree.bearer(me) | named)
        tried.holds(other.status == 409, "one id stands for two contents")


def test_an_instance_is_no_chain_of_another(tree: Deployment, me: Member) -> None:
    """`Sentinel-Instance` chooses among the own lanes, whatever it says."""
    with case("tenants", "another's chain as instance", GATEWAY) as tried:
        for lie in LIES:
            headers = tree.bearer(me) | {"Sentinel-Instance": lie}
            answer = me.client.ask("POST", "/v1/entries", b'{"a":1}', headers)
            tried.holds(str(answer.told.get("chain", "")).startswith("mallory/"), f"{lie}: {answer.body!r}")


def test_what_is_in_a_body_names_nobody(tree: Deployment, me: Member) -> None:
    """Fields of entries and records that say `victim` are content."""
    entry = b'{"service":"victim","chain":"victim/0","Sentinel-Service":"victim"}'
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "victim"}}]}
    logs = json.dumps(
        {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [{}]}]}]}
    ).encode()
    with case("tenants", "another's name in a body", GATEWAY) as tried:
        before = _heads(tree)
        kind = {"Content-Type": "application/json"}
        for path, body in (("/v1/entries", entry), ("/v1/logs", logs)):
            tried.holds(
                me.client.ask("POST", path, body, tree.bearer(me) | kind).status == 200, f"{path} refused it"
            )
        tried.holds(_heads(tree) == before, "the victim's chain grew")


def _heads(tree: Deployment) -> object:
    return tree.app.inspect.chains("victim")


def test_an_upstream_is_told_who_it_is(tree: Deployment, me: Member, victim: Member) -> None:
    """The proxy names the token's service, and none of what the client says about itself gets through."""
    with case("tenants", "another's name through the proxy", GATEWAY) as tried:
        for name, headers in naming(victim).items():
            sent = tree.bearer(me) | headers | {"Cookie": "session=victim", "X-Forwarded-For": "10.0.0.1"}
            before = len(tree.upstream.requests)
            answer = me.client.ask("GET", "/v1/proxy/echo/x", headers=sent)
            tried.holds(answer.status == 200, f"{name}: {answer.body!r}")
            got = tree.upstream.requests[before].decode("latin-1").lower()
            tried.holds("sentinel-service: mallory" in got, f"{name}: it does not say who")
            tried.holds("victim" not in got and "10.0.0.1" not in got, f"{name}: {got}")
            tried.holds("bearer" not in got and "cookie" not in got, f"{name}: a secret went along")


def test_a_certificate_is_renewed_for_oneself_alone(tree: Deployment, me: Member, victim: Member) -> None:
    """Names in a certificate request are ignored, and a certificate that we did not issue renews nothing."""
    from tests import pki

    body = pki.request(pki.p256(), subject="victim")
    kind = {"Content-Type": "application/pkcs10"}
    with case("tenants", "another's certificate", GATEWAY, 403, 409) as tried:
        tried.refused(
            me.client.ask("POST", "/v1/certificate", body, tree.bearer(me) | kind), "POST /v1/certificate"
        )
        held = tree.forge.of(me.name)
        mint = tree.mint()
        mint.thumbprint = held.thumbprint
        bearer = {"Authorization": f"Bearer {tree.keep('token', mint.good())}"}
        answer = tree.client(held).ask("POST", "/v1/certificate", body, bearer | kind)
        tried.refused(answer, "POST /v1/certificate")
