"""falcon.* against a Falcon API of this machine: contained once, as people approved, whatever is lost."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from sentinel import actions
from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.core.steps import Action, Again, Done, Failed, Nothing, Probing
from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed, Unavailable
from tests.action_targets import Clock, drive
from tests.falcon_target import ALERT, CLIENT, GROUP, HOST, OTHER, SECRET, Falcon
from tests.loopback import Told
from tests.steps import step_run

CONTAIN, LIFT, UPDATE = "falcon.contain_host", "falcon.lift_containment", "falcon.update_alert"
AIM = {"account": "prod", "host": HOST}
NOTE = {
    "account": "prod",
    "alert": ALERT,
    "comment": "Contained.",
    "status": "in_progress",
    "tag": "sentinel",
}
LOST = Told(lost=True)
GONE = Told(503, b"canary")
HTML = Told(200, b"<html>canary</html>")


class Credentials:
    """Secrets in memory."""

    def __init__(self) -> None:
        self.value = f"{CLIENT}:{SECRET}"

    def get(self, name: str) -> str:
        assert name == "falcon"
        return self.value


class Bench:
    """The actions before a Falcon API; `more` are keys of the account."""

    def __init__(self, http: HttpClient, falcon: Falcon) -> None:
        self.falcon = falcon
        self.clock = Clock()
        self.secrets = Credentials()
        self.more: dict[str, object] = {"hosts": [HOST]}
        nothing: Any = None
        self.actions: Mapping[str, Action] = actions.build(
            http,
            nothing,
            self.secrets,
            dict,
            accounts=lambda: {"prod": falcon.account(**self.more)},
            clock=self.clock,
        )

    def drive(self, uses: str, inputs: Mapping[str, Any]) -> Any:
        """Try a step until it is done or failed; return that, and what came before."""
        return drive(self.actions[uses], inputs, self.clock)

    def perform(self, uses: str, inputs: Mapping[str, Any], **more: Any) -> Any:
        """Try a step once."""
        return self.actions[uses].perform(step_run(uses, inputs, **more))


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Serve Falcon's API, and give the actions before it."""
    falcon = Falcon()
    http = HttpClient(Hosts(["127.0.0.1"], private=True))
    yield Bench(http, falcon)
    http.close()
    falcon.server.stop()


def _at(number: int, told: Told) -> Callable[[int], Told | None]:
    return lambda asked: told if asked == number else None


def test_a_host_is_contained_and_let_back(bench: Bench) -> None:
    """One wish each, then looks until Falcon says that the sensor has carried it out."""
    found, told = bench.drive(CONTAIN, AIM)
    assert found == Done({"host": HOST, "status": "contained"})
    assert bench.falcon.wishes == [f"contain {HOST}"]
    assert [each.reason.partition(":")[0] for each in told] == [
        "the host is normal",
        "the host is containment_pending",
    ]
    found, _ = bench.drive(LIFT, AIM)
    assert found == Done({"host": HOST, "status": "normal"})
    assert bench.falcon.hosts[HOST]["status"] == "normal"
    assert bench.falcon.logins == 1


@pytest.mark.parametrize("told", [LOST, GONE, HTML])
@pytest.mark.parametrize("at", range(1, 5))
def test_a_host_is_contained_once(bench: Bench, at: int, told: Told) -> None:
    """Whichever answer is lost, refused or broken, the host is contained, and asked for no second time."""
    bench.falcon.fault = _at(at, told)
    found, _ = bench.drive(CONTAIN, AIM)
    assert isinstance(found, Done)
    assert bench.falcon.hosts[HOST]["status"] == "contained"
    assert len(bench.falcon.wishes) == 1


def test_a_worker_that_dies_behind_its_wish_asks_no_second_time(bench: Bench) -> None:
    """What it has done shows in the host's state: the next worker follows that, and a probe finds the end."""
    run = step_run(CONTAIN, AIM)
    assert isinstance(bench.actions[CONTAIN].perform(run), Again)  # which is recorded nowhere
    action = bench.actions[CONTAIN]
    assert isinstance(action, Probing)
    assert action.probe(run) == Nothing()  # it is on its way
    found, _ = bench.drive(CONTAIN, AIM)
    assert isinstance(found, Done)
    assert bench.falcon.wishes == [f"contain {HOST}"]
    assert action.probe(run) == Done({"host": HOST, "status": "contained"})
    bench.falcon.fault = lambda _: GONE
    with pytest.raises(Unavailable):
        action.probe(run)


def test_a_host_that_is_as_wanted_is_left_alone(bench: Bench) -> None:
    """Whoever contained it: nothing is asked of Falcon but its state."""
    bench.falcon.hosts[HOST]["status"] = "contained"
    assert bench.perform(CONTAIN, AIM) == Done({"host": HOST, "status": "contained"})
    assert bench.falcon.wishes == []


def test_a_lift_that_is_on_its_way_is_waited_for(bench: Bench) -> None:
    """A wish against another that is being carried out comes after it."""
    bench.drive(CONTAIN, AIM)
    assert isinstance(bench.perform(LIFT, AIM), Again)
    found, _ = bench.drive(CONTAIN, AIM)
    assert found == Done({"host": HOST, "status": "contained"})
    assert [each.split()[0] for each in bench.falcon.wishes] == ["contain", "lift_containment", "contain"]


def test_a_host_that_stays_away_is_given_up(bench: Bench) -> None:
    """`within` ends the looks; a redrive looks for as long again, and asks anew only where that is to be."""
    bench.falcon.delay = 1_000
    began = bench.clock.now
    found, _ = bench.drive(CONTAIN, {**AIM, "within": "5m"})
    assert isinstance(found, Failed)
    assert (
        found.reason
        == "gave up after 300 s: the host is containment_pending: its sensor acts when it is online"
    )
    assert (found.unsure, found.done) == (True, {})
    assert bench.clock.now - began == 300 * SECOND
    bench.falcon.delay = 0
    bench.falcon._waits[HOST] = 1
    assert isinstance(bench.drive(CONTAIN, AIM)[0], Done)
    assert len(bench.falcon.wishes) == 1


@pytest.mark.parametrize(
    ("more", "host", "allowed"),
    [
        ({}, HOST, False),
        ({"hosts": [OTHER]}, HOST, False),
        ({"hosts": [OTHER]}, OTHER, True),
        ({"groups": [GROUP]}, HOST, True),
        ({"groups": [GROUP]}, OTHER, False),
        ({"hosts": "every"}, OTHER, True),
    ],
)
def test_only_listed_hosts_are_touched(
    bench: Bench, more: dict[str, object], host: str, allowed: bool
) -> None:
    """An account that lists no host lets none be contained; a group counts for those in it now."""
    bench.more = more
    for uses, state in ((CONTAIN, "Normal"), (LIFT, "contained")):
        bench.falcon.hosts[host]["status"] = state
        found, _ = bench.drive(uses, {**AIM, "host": host})
        assert isinstance(found, Done) is allowed
        if isinstance(found, Failed):
            assert found.reason.startswith(f"host {host} is not among the hosts of the account")
    assert bool(bench.falcon.wishes) is allowed


def test_a_host_that_is_not_there_fails(bench: Bench) -> None:
    """Neither a 404 nor an answer about another host passes for the host."""
    bench.more = {"hosts": "every"}
    found = bench.perform(CONTAIN, {**AIM, "host": "e" * 32})
    assert isinstance(found, Failed)
    assert "no such host" in found.reason
    bench.falcon.hosts[HOST]["device_id"] = OTHER
    found = bench.perform(CONTAIN, AIM)
    assert isinstance(found, Failed)
    assert f"has no host {HOST}" in found.reason
    assert bench.falcon.wishes == []


def test_a_state_that_nobody_knows_is_not_acted_on(bench: Bench) -> None:
    """A word that Falcon has not had so far is no leave to contain."""
    bench.falcon.hosts[HOST]["status"] = "canary"
    found = bench.perform(CONTAIN, AIM)
    assert found == Failed("Falcon tells no state of containment of the host that is known")
    assert bench.falcon.wishes == []


def test_a_token_is_kept_and_replaced_once(bench: Bench) -> None:
    """One sign-in for many requests; a new one after four fifths of its life, or where it is refused."""
    bench.perform(CONTAIN, AIM)
    assert bench.falcon.logins == 1
    bench.falcon.expire()
    assert isinstance(bench.perform(CONTAIN, AIM, resumed=True), Again)
    assert bench.falcon.logins == 2
    bench.clock.now += 1_440 * SECOND
    bench.perform(CONTAIN, AIM, resumed=True)
    assert bench.falcon.logins == 3
    bench.falcon.token_uses = 0
    bench.falcon.expire()
    found = bench.perform(CONTAIN, AIM, resumed=True)
    assert found == Failed("Falcon refuses a token that it has just given (401)")
    assert bench.falcon.logins == 4


def test_another_secret_is_another_token(bench: Bench) -> None:
    """A secret that was rotated is used at once, and what it gets is not the token of the one before."""
    bench.perform(CONTAIN, AIM)
    bench.secrets.value = f"{CLIENT}:another-secret-canary"
    found = bench.perform(CONTAIN, AIM, resumed=True)
    assert found == Failed("Falcon refuses the API client: its id or secret is not valid (401)")


def test_a_member_is_named_at_the_sign_in(bench: Bench) -> None:
    """An API client of a parent tenant acts in the child that the account names."""
    bench.more = {"hosts": [HOST], "member_cid": "B" * 32}
    bench.perform(CONTAIN, AIM)
    assert bench.falcon.members == ["B" * 32]


@pytest.mark.parametrize(
    ("region", "words"),
    [("eu-1", "the account needs cloud: eu-1"), ("canary", "the cloud that the Falcon console is in")],
)
def test_another_cloud_is_named(bench: Bench, region: str, words: str) -> None:
    """A 308 is not followed with the secret: the account is to be corrected, and Falcon names the cloud."""
    bench.falcon.region = region
    found = bench.perform(CONTAIN, AIM)
    assert isinstance(found, Failed)
    assert words in found.reason
    assert "canary" not in found.reason
    assert bench.falcon.requests == 0


@pytest.mark.parametrize("at", [1, 2])
def test_a_limit_is_waited_for(bench: Bench, at: int) -> None:
    """A 429 has done nothing, and tells when to come back in epoch seconds; at most a quarter of an hour."""
    then = bench.clock.now // SECOND + 42
    bench.falcon.fault = _at(at, Told(429, b"canary", {"X-Ratelimit-RetryAfter": str(then)}))
    found = bench.perform(CONTAIN, AIM)
    assert found == Again("Falcon answered 429", 42 * SECOND)
    bench.falcon.requests = 0
    bench.falcon.fault = _at(1, Told(429, b"", {"X-Ratelimit-RetryAfter": "99999999999"}))
    assert bench.perform(CONTAIN, AIM).after == 900 * SECOND
    bench.falcon.requests = 0
    bench.falcon.fault = _at(1, Told(429))
    assert bench.perform(CONTAIN, AIM).after is None


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (Told(403, b"canary"), "it needs the scope Hosts: "),
        (Told(400, b"canary"), "does not take the request (400)"),
        (Told(200, b'{"errors": [{"code": 500, "message": "canary"}]}'), "does not take the request (500)"),
    ],
)
@pytest.mark.parametrize("at", [1, 2])
def test_a_refusal_fails_the_step(bench: Bench, at: int, told: Told, words: str) -> None:
    """It says what to change and quotes nothing of the answer; a 200 with errors is a refusal."""
    bench.falcon.fault = _at(at, told)
    found = bench.perform(CONTAIN, AIM)
    assert isinstance(found, Failed)
    assert words in found.reason
    assert "canary" not in found.reason


def test_nothing_of_secret_or_token_is_told(bench: Bench) -> None:
    """Neither a plan, nor an outcome, nor a refused secret shows what the secret is."""
    told = [bench.actions[uses].plan(step_run(uses, AIM)) for uses in (CONTAIN, LIFT)]
    told += [bench.perform(CONTAIN, AIM), bench.drive(UPDATE, NOTE)]
    bench.secrets.value = "no-colon-canary"
    told += [bench.perform(CONTAIN, AIM, resumed=True)]
    assert "CLIENT_ID:CLIENT_SECRET" in told[-1].reason  # type: ignore[attr-defined]
    assert "canary" not in repr(told)


def test_an_account_that_is_not_there_is_said(bench: Bench) -> None:
    """A step names an account that is pushed, of this kind."""
    for uses, inputs in ((CONTAIN, {**AIM, "account": "none"}), (UPDATE, {**NOTE, "account": "none"})):
        found = bench.perform(uses, inputs)
        assert isinstance(found, Failed)
        assert "there is no account none" in found.reason
        with pytest.raises(Malformed, match="there is no account none"):
            bench.actions[uses].plan(step_run(uses, inputs))


@pytest.mark.parametrize(
    "host", ["WEB-1", HOST.upper(), HOST[:-1], f"{HOST}\n", f"{HOST},{OTHER}", f"../{HOST}"[:32], "x"]
)
def test_what_is_no_agent_id_is_not_sent(bench: Bench, host: str) -> None:
    """An entry, which strangers write, gives an agent id or nothing."""
    found = bench.perform(CONTAIN, {**AIM, "host": host})
    assert isinstance(found, Failed)
    assert "is an agent id" in found.reason
    assert bench.falcon.server.asked == []


@pytest.mark.parametrize(
    ("uses", "inputs", "words"),
    [
        (CONTAIN, {**AIM, "host": "WEB-1"}, "host: is an agent id"),
        (CONTAIN, {**AIM, "host": 7}, "host"),
        (CONTAIN, {"host": HOST}, "account"),
        (CONTAIN, {**AIM, "within": "1s"}, "within"),
        (CONTAIN, {**AIM, "all": True}, "all"),
        (UPDATE, {"account": "prod", "alert": ALERT}, "comment, status or tag"),
        (UPDATE, {**NOTE, "alert": "a b"}, "alert: is the composite id"),
        (UPDATE, {**NOTE, "status": "gone"}, "status"),
        (UPDATE, {**NOTE, "tag": "a b"}, "tag"),
        (UPDATE, {"account": "prod", "alert": ALERT, "comment": "  "}, "comment, status or tag"),
    ],
)
def test_inputs_are_checked(bench: Bench, uses: str, inputs: Mapping[str, Any], words: str) -> None:
    """A step that cannot be right is refused before it is pushed, in words."""
    with pytest.raises(Malformed, match=re.escape(uses)) as refused:
        bench.actions[uses].check(inputs)
    assert words in str(refused.value)


def test_an_alert_is_changed(bench: Bench) -> None:
    """Comment, status and tag in one request; the comment ends in the effect's name."""
    found, _ = bench.drive(UPDATE, NOTE)
    assert found == Done({"alert": ALERT, "status": "in_progress", "tag": "sentinel", "commented": True})
    alert = bench.falcon.alerts[ALERT]
    key = step_run(UPDATE, NOTE).key
    assert [each["value"] for each in alert["comments"]] == [f"Contained.\nsentinel:{key[:32]}"]
    assert (alert["status"], alert["tags"]) == ("in_progress", ["sentinel"])


def test_what_an_entry_says_does_nothing_in_a_comment(bench: Bench) -> None:
    """No mention, link or markup, and no line of ours before ours."""
    found, _ = bench.drive(UPDATE, {**NOTE, "comment": "@team [x](http://evil) <b>\x1b[1m\nsecond"})
    assert isinstance(found, Done)
    (comment,) = bench.falcon.alerts[ALERT]["comments"]
    first, second, _ = comment["value"].split("\n")
    assert not any(each in first for each in ("@t", "](", "://", "<", "\x1b"))
    assert second == "second"


@pytest.mark.parametrize("told", [LOST, GONE])
@pytest.mark.parametrize("at", [1, 2])
def test_an_alert_gets_one_comment(bench: Bench, at: int, told: Told) -> None:
    """A try that follows one whose answer was lost looks for the comment first."""
    bench.falcon.fault = _at(at, told)
    found, _ = bench.drive(UPDATE, NOTE)
    assert isinstance(found, Done)
    bench.falcon.fault = lambda _: None
    assert isinstance(bench.perform(UPDATE, NOTE, resumed=True), Done)
    assert len(bench.falcon.alerts[ALERT]["comments"]) == 1


def test_a_probe_finds_what_was_changed(bench: Bench) -> None:
    """By the comment's last line; without a comment by status and tag."""
    action = bench.actions[UPDATE]
    assert isinstance(action, Probing)
    plain = {"account": "prod", "alert": ALERT, "status": "closed", "tag": "done"}
    for inputs in (NOTE, plain):
        run = step_run(UPDATE, inputs)
        assert action.probe(run) == Nothing()
        bench.falcon.alerts[ALERT]["comments"].append({"value": "sentinel:somebody else's"})
        assert action.probe(run) == Nothing()
        assert action.perform(run) == action.probe(run)


def test_an_alert_that_is_not_there_fails(bench: Bench) -> None:
    """Falcon answers 200 with an error, or with nothing."""
    inputs = {**NOTE, "alert": "another:ind:alert"}
    for resumed in (False, True):
        found = bench.perform(UPDATE, inputs, resumed=resumed)
        assert isinstance(found, Failed)
    assert bench.falcon.alerts[ALERT]["comments"] == []
