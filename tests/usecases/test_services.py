"""Services and webhooks in the registry, and what a crash in the middle of changing them leaves."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from sentinel.adapters.secret_versions_file import FileSecretVersions
from sentinel.adapters.sqlite_registry import SqliteRegistry
from sentinel.bootstrap import App, environment
from sentinel.core import api_keys
from sentinel.core.access import DEFAULT_SCOPES, Alias, ApiKey, Hook, Service, encode
from sentinel.core.lanes import MARGIN, Lanes
from sentinel.core.ring import Ring
from sentinel.errors import Conflict, Malformed, Missing, Unavailable
from sentinel.ports_doors import Record
from sentinel.settings import Settings
from sentinel.usecases import records
from sentinel.usecases.directory import Directory
from sentinel.usecases.services import Changes, Services, told
from tests.faults_calls import Faults, Killed

MESH = "spiffe://mesh.example/ns/shop/sa/checkout"
OTHER = "spiffe://mesh.example/ns/shop/sa/other"
OIDC = "oidc:https://issuer.example#checkout"


@dataclass
class Plans:
    """Which tier's plan each usage key is in."""

    tiers: dict[str, str] = field(default_factory=dict)

    def enrol(self, value: str, service: str, tier: str) -> None:
        assert service
        self.tiers[value] = tier

    def withdraw(self, value: str) -> None:
        self.tiers.pop(value, None)


class Desk:
    """Everything that services are made of, with real stores in a folder."""

    def __init__(self, folder: Path, faults: Faults | None = None) -> None:
        self.now = 1_800_000_000.0
        self.registry = SqliteRegistry(":memory:")
        self.secrets = FileSecretVersions(folder)
        self.plans = Plans()
        self.services = self.made(faults or Faults())

    def made(self, faults: Faults, lanes: int = 0) -> Services:
        return Services(
            faults.wrap("registry", self.registry),
            faults.wrap("secrets", self.secrets),
            faults.wrap("plans", self.plans),
            "services.",
            "hooks.",
            lambda: self.now,
            lanes=lanes,
        )

    def let_in(self, identity: str) -> Service | None:
        """Return whom a door would let in for an identity of somebody else's."""
        alias, _ = records.load(self.registry, Alias, identity)
        service = records.load(self.registry, Service, alias.service)[0] if alias else None
        return None if service is None or service.disabled else service

    def opens(self, key: str) -> Service | None:
        """Return whom a door would let in for an API key."""
        key_id, secret = api_keys.parse(key)
        found, _ = records.load(self.registry, ApiKey, key_id)
        if found is None or not api_keys.matches(found, secret, int(self.now)):
            return None
        service, _ = records.load(self.registry, Service, found.service)
        return None if service is None or service.disabled else service


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Give services on empty stores."""
    made = Desk(tmp_path / "doors")
    yield made
    made.registry.close()


def test_add_gives_a_key_that_opens(desk: Desk) -> None:
    """A new service has one API key, which is also its secret, is nowhere in the registry, and opens."""
    added = desk.services.add(Service("checkout", identities=(MESH, OIDC)))
    assert added.service == desk.services.show("checkout")
    assert added.service.scopes == DEFAULT_SCOPES
    assert added.service.created == 1_800_000_000 * 10**9
    assert desk.secrets.value("services.checkout") == added.api_key
    assert desk.opens(added.api_key) == added.service == desk.let_in(MESH) == desk.let_in(OIDC)
    assert [key.until for key in desk.services.keys("checkout")] == [0]
    assert desk.plans.tiers == {added.service.usage: "standard"}
    _, secret = api_keys.parse(added.api_key)
    stored = b"".join(
        each.body for kind in ("service", "key", "identity") for each in desk.registry.listing(kind)
    )
    assert secret.encode() not in stored
    assert secret not in repr(added)


def test_services_with_any_id(desk: Desk) -> None:
    """An id in any script has a key of its own, under a name that every secret store takes."""
    keys = {name: desk.services.add(Service(name)).api_key for name in ("決済", "a:b@c", "A", "x" * 128)}
    for name, key in keys.items():
        assert desk.secrets.value(desk.services.secret_of(name)) == key
        found = desk.opens(key)
        assert found is not None
        assert found.id == name
    assert [each.id for each in desk.services.listing()] == sorted(keys)


@pytest.mark.parametrize(
    "service",
    [
        Service("a/b"),
        Service(""),
        Service("a", tier="gold"),
        Service("a", scopes=("ingest", "root")),
        Service("a", lanes=65),
        Service("a", masking="all"),
        Service("a", encryption="rot13"),
        Service("a", identities=("spiffe://mesh.example",)),
        Service("a", identities=("checkout",)),
    ],
)
def test_what_is_wrong_leaves_nothing(desk: Desk, service: Service) -> None:
    """A service that is wrong is refused before anything is written."""
    with pytest.raises(Malformed):
        desk.services.add(service)
    assert desk.services.listing() == []
    assert desk.registry.listing("key") == []


def test_a_service_is_added_once(desk: Desk) -> None:
    """Adding what is there is a conflict and changes nothing."""
    first = desk.services.add(Service("checkout"))
    with pytest.raises(Conflict):
        desk.services.add(Service("checkout", tier="high", scopes=("admin",)))
    assert desk.services.show("checkout") == first.service
    assert desk.opens(first.api_key) == first.service


def test_a_secret_that_is_no_key_is_not_taken(desk: Desk) -> None:
    """Where a secret of that name holds something else, nothing is added, and it is not quoted."""
    desk.secrets.create("services.checkout", "hush-hush")
    with pytest.raises(Conflict) as told:
        desk.services.add(Service("checkout"))
    assert "hush" not in f"{told.value!r}"
    assert desk.services.listing() == []


def test_a_key_of_another_service_is_not_taken(desk: Desk) -> None:
    """A secret that holds another service's key opens nothing for this one."""
    key = desk.services.add(Service("other")).api_key
    desk.secrets.create("services.checkout", key)
    with pytest.raises(Conflict):
        desk.services.add(Service("checkout"))
    found = desk.opens(key)
    assert found is not None
    assert found.id == "other"


def test_change(desk: Desk) -> None:
    """Only what is named changes; identities and the usage plan follow."""
    added = desk.services.add(Service("checkout", identities=(MESH,)))
    assert desk.services.change("checkout", Changes()) == added.service
    changed = desk.services.change(
        "checkout", Changes(tier="high", scopes=["admin", "admin"], lanes=3, identities=[OIDC, OIDC])
    )
    assert changed == replace(
        added.service,
        tier="high",
        scopes=("admin",),
        lanes=3,
        lanes_before=((0, 1_800_000_000 + MARGIN + 1),),
        identities=(OIDC,),
    )
    assert desk.services.show("checkout") == changed
    assert desk.let_in(MESH) is None
    assert desk.let_in(OIDC) == changed
    assert desk.plans.tiers == {changed.usage: "high"}
    assert desk.services.change("checkout", Changes(identities=[])).identities == ()
    assert desk.let_in(OIDC) is None
    for changes in (
        Changes(tier="gold"),
        Changes(lanes=-1),
        Changes(scopes=["root"]),
        Changes(identities=["x"]),
    ):
        with pytest.raises(Malformed):
            desk.services.change("checkout", changes)
    assert desk.services.show("checkout") == replace(changed, identities=())


def test_a_service_has_its_number_of_lanes_for_good(desk: Desk) -> None:
    """It is given the deployment's when it is made, or when it asks for that; later ones move nobody."""
    faults = Faults()
    two, four = desk.made(faults, lanes=2), desk.made(faults, lanes=4)
    assert four.add(Service("checkout")).service.lanes == 4
    assert four.add(Service("own", lanes=2)).service.lanes == 2
    assert two.show("checkout").spread == four.change("checkout", Changes(lanes=4)).spread == Lanes(4)
    until = int(desk.now) + MARGIN + 1
    assert four.change("own", Changes(lanes=0)).spread == Lanes(4, ((2, until),))
    shown = told(four.show("own"), [])
    assert (shown["lanes"], shown["lanes_before"]) == (4, [{"lanes": 2, "until": until}])
    assert "seen" not in shown
    assert desk.services.add(Service("old")).service.lanes == 0  # as records of before are
    assert four.change("old", Changes(lanes=0)).spread == Lanes(4)


@pytest.mark.parametrize(("told", "number"), [("", 0), ("4", 4)])
def test_in_aws_the_deployments_number_is_what_the_command_is_told(
    desk: Desk, told: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a word it is left open: the functions may have another than the default."""
    monkeypatch.delenv("SENTINEL_LANES", raising=False)
    if told:
        monkeypatch.setenv("SENTINEL_LANES", told)
    desk.services.add(Service("old"))  # as records of before are
    app = App(replace(Settings.from_environ(environment()), ledger_table="ledger", registry_table="registry"))
    keeps = desk.services
    vars(app).update(registry=desk.registry, door_secrets=keeps._secrets, usage_plans=keeps._plans)
    assert app.services.add(Service("checkout")).service.lanes == number
    assert app.services.change("old", Changes(lanes=0)).spread == Lanes(number)


def test_the_doors_say_when_they_read_a_service(desk: Desk) -> None:
    """From before they asked, for as long as they use it: by it what is known of lanes goes out of date."""
    desk.services.add(Service("checkout", lanes=2))
    passed = [0.0]
    doors = Directory(desk.registry, 10, lambda: passed[0], lambda: desk.now + passed[0])
    for passed[0], seen in ((0.0, 0), (9.0, 0), (10.5, 10)):
        found = doors.service("checkout")
        assert found is not None
        assert found.spread == Lanes(2, (), int(desk.now) + seen)
    stored = desk.registry.get("service", "checkout")
    assert stored is not None
    assert b"seen" not in stored.body
    assert b"seen" not in encode(Service("checkout", seen=1))


def test_what_was_read_before_the_machine_slept_is_read_again(desk: Desk) -> None:
    """A monotonic clock may stand still meanwhile: then the wall's clock says how old it is."""
    desk.services.add(Service("checkout", lanes=2))
    slept = [0.0]
    doors = Directory(desk.registry, 10, lambda: 0.0, lambda: desk.now + slept[0])
    assert doors.service("checkout") is not None
    desk.services.disable("checkout")
    slept[0] = 3_600.0
    found = doors.service("checkout")
    assert found is not None
    assert (found.disabled, found.seen) == (True, int(desk.now) + 3_600)
    slept[0] -= 7_200.0  # the wall's clock was set back
    assert doors.service("checkout") == found


def test_an_identity_stands_for_one_service(desk: Desk) -> None:
    """An identity of another service is refused, and can be taken once that one has let go of it."""
    desk.services.add(Service("one", identities=(MESH,)))
    with pytest.raises(Conflict, match="one"):
        desk.services.add(Service("two", identities=(MESH,)))
    desk.services.add(Service("two"))
    with pytest.raises(Conflict, match="one"):
        desk.services.change("two", Changes(identities=[MESH]))
    assert desk.services.show("two").identities == ()
    desk.services.change("one", Changes(identities=[]))
    assert desk.let_in(MESH) is None
    assert desk.services.change("two", Changes(identities=[MESH])) == desk.let_in(MESH)


class Turns:
    """A registry whose calls, of several threads, come one after the other in an order by chance."""

    def __init__(self, registry: Any, seed: int, threads: int) -> None:
        self._registry = registry
        self._rng = random.Random(seed)
        self._turn = threading.Condition()
        self._waiting: set[str] = set()
        self._running = threads
        self._next = ""

    def __getattr__(self, method: str) -> Any:
        def call(*args: Any) -> Any:
            me = threading.current_thread().name
            with self._turn:
                self._waiting.add(me)
                self._choose()
                assert self._turn.wait_for(lambda: self._next == me, 60)
                self._waiting.remove(me)
                self._next = ""
                return getattr(self._registry, method)(*args)

        return call

    def done(self) -> None:
        """A thread calls no more."""
        with self._turn:
            self._running -= 1
            self._choose()

    def _choose(self) -> None:
        if self._waiting and len(self._waiting) == self._running:
            self._next = self._rng.choice(sorted(self._waiting))
            self._turn.notify_all()


@pytest.mark.parametrize("seed", range(40))
def test_of_two_that_claim_an_identity_at_once_one_gets_it(desk: Desk, seed: int) -> None:
    """In whatever order their calls come: the other is told, is not there, and can be added without it."""
    turns: Any = Turns(desk.registry, seed, 2)
    desk.services._registry = turns
    told: dict[str, object] = {}

    def add(name: str) -> None:
        try:
            told[name] = desk.services.add(Service(name, identities=(MESH,)))
        except Conflict as error:
            told[name] = error
        finally:
            turns.done()

    threads = [threading.Thread(target=add, args=(name,), name=name) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    desk.services._registry = desk.registry
    (lost,) = [name for name, what in told.items() if isinstance(what, Conflict)]
    (won,) = [name for name, what in told.items() if not isinstance(what, Conflict)]
    assert [each.id for each in desk.services.listing()] == [won]
    assert desk.let_in(MESH) == desk.services.show(won)
    assert desk.opens(desk.services.add(Service(lost)).api_key) == desk.services.show(lost)


def test_remnants_of_a_failed_add_give_nothing(desk: Desk) -> None:
    """An alias whose service never came to be, or does not name it, stands in nobody's way."""
    assert desk.registry.put(Record("identity", MESH, b'{"service": "ghost"}', service="ghost"))
    assert desk.registry.put(Record("identity", OTHER, b'{"service": "checkout"}', service="checkout"))
    desk.services.add(Service("checkout", identities=(MESH,)))
    assert desk.let_in(MESH) == desk.services.show("checkout")
    assert desk.let_in(OTHER) is None
    desk.services.add(Service("ghost"))
    assert desk.let_in(MESH) == desk.services.show("checkout")


def test_disable_and_enable(desk: Desk) -> None:
    """A disabled service gets in by nothing; enabled again it gets in by what it had."""
    added = desk.services.add(Service("checkout", identities=(MESH,)))
    for _ in range(2):
        assert desk.services.disable("checkout").disabled
        assert desk.opens(added.api_key) is desk.let_in(MESH) is None
        assert desk.plans.tiers == {}
    for _ in range(2):
        assert desk.services.enable("checkout") == added.service
        assert desk.opens(added.api_key) == desk.let_in(MESH) == added.service
        assert desk.plans.tiers == {added.service.usage: "standard"}


def test_what_is_not_there(desk: Desk) -> None:
    """Every change of a service or webhook that is not there says so."""
    asks: list[Callable[[], Any]] = [
        lambda: desk.services.show("nope"),
        lambda: desk.services.change("nope", Changes(tier="high")),
        lambda: desk.services.disable("nope"),
        lambda: desk.services.enable("nope"),
        lambda: desk.services.hook("nope"),
        lambda: desk.services.disable_hook("nope"),
        lambda: desk.services.enable_hook("nope"),
        lambda: desk.services.add_hook("a", "nope", "generic"),
        lambda: desk.services.hook_secret("nope"),
    ]
    for ask in asks:
        with pytest.raises(Missing):
            ask()
    assert desk.services.keys("nope") == []
    assert desk.services.hooks() == []


def test_a_webhook(desk: Desk) -> None:
    """A webhook belongs to a service, has a secret in the form of Standard Webhooks, and can be shut."""
    desk.services.add(Service("checkout"))
    added = desk.services.add_hook("alerts", "checkout", "generic")
    assert added.hook == Hook("alerts", "checkout", "generic", "hooks.alerts")
    assert added.secret.startswith("whsec_")
    assert len(added.secret) == len("whsec_") + 44
    assert added.secret not in repr(added)
    ring = Ring.decode(desk.secrets.value("hooks.alerts"))
    assert ring.current(int(desk.now)).value == added.secret == desk.services.hook_secret("alerts")
    with pytest.raises(Conflict):
        desk.services.add_hook("alerts", "checkout", "generic")
    assert desk.services.disable_hook("alerts").disabled
    assert desk.services.hooks() == [desk.services.hook("alerts")] == [replace(added.hook, disabled=True)]
    assert desk.services.enable_hook("alerts") == added.hook


def test_a_webhook_with_the_secret_of_its_source(desk: Desk) -> None:
    """Where the source chooses the secret, that one counts."""
    desk.services.add(Service("checkout"))
    assert desk.services.add_hook("alerts", "checkout", "sentry", "chosen").secret == "chosen"
    assert desk.services.hook_secret("alerts") == "chosen"
    with pytest.raises(Malformed):
        desk.services.add_hook("long", "checkout", "sentry", "x" * 4097)
    with pytest.raises(Malformed):
        desk.services.add_hook("A/b", "checkout", "sentry")


def test_changes_at_once_are_all_made(desk: Desk) -> None:
    """A change that another one overtakes is made on top of that one's result."""
    desk.services.add(Service("checkout"))
    overtaken = iter([True, True, True])
    real = desk.registry.put

    def put(record: Record) -> bool:
        if record.kind == "service" and next(overtaken, False):
            found, version = records.load(desk.registry, Service, "checkout")
            assert found is not None
            body = encode(replace(found, lanes=found.lanes + 1))
            assert real(Record("service", "checkout", body, version, "checkout"))
        return real(record)

    desk.registry.put = put  # type: ignore[method-assign]
    changed = desk.services.change("checkout", Changes(tier="high"))
    assert (changed.tier, changed.lanes) == ("high", 3)
    assert desk.services.show("checkout") == changed


def test_a_change_that_is_always_overtaken_ends(desk: Desk) -> None:
    """After some rounds it is `Unavailable`, not an endless loop."""
    desk.services.add(Service("checkout"))
    desk.registry.put = lambda record: False  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        desk.services.change("checkout", Changes(tier="high"))


ASKED = Service("checkout", tier="high", scopes=("ingest",), identities=(MESH, OIDC))
CHANGES = Changes(tier="trial", scopes=["tasks:read"], identities=[OIDC, OTHER])


def _repeated(act: Callable[[Services], Any], desk: Desk, faults: Faults) -> None:
    """Act until it succeeds: a caller that tries again, once what failed works."""
    with contextlib.suppress(Unavailable, Killed):
        act(desk.made(faults))
        return
    faults.fails = lambda _: False
    _check_no_more_than_asked(desk)
    with contextlib.suppress(Conflict):  # of the last write, which was made and only its answer lost
        act(desk.made(faults))


def _check_no_more_than_asked(desk: Desk) -> None:
    """Whatever is let in at this moment has what it had before, or what was asked for it."""
    for identity in (MESH, OIDC, OTHER):
        service = desk.let_in(identity)
        if service is None:
            continue
        assert (service.tier, service.scopes) in {("high", ("ingest",)), ("trial", ("tasks:read",))}
        if identity == OTHER:
            assert service.scopes == ("tasks:read",)
        if identity == MESH:
            assert service.scopes == ("ingest",)


ACTS: dict[str, tuple[Callable[[Services], Any], Callable[[Services], Any] | None]] = {
    "add": (lambda services: services.add(ASKED), None),
    "change": (
        lambda services: services.change("checkout", CHANGES),
        lambda services: services.add(ASKED),
    ),
    "disable": (lambda services: services.disable("checkout"), lambda services: services.add(ASKED)),
    "hook": (
        lambda services: services.add_hook("alerts", "checkout", "generic"),
        lambda services: services.add(ASKED),
    ),
}


def _run(folder: Path, name: str, faults: Faults) -> Desk:
    act, before = ACTS[name]
    desk = Desk(folder)
    if before is not None:
        before(desk.services)
    _repeated(act, desk, faults)
    return desk


def _outcome(desk: Desk) -> tuple[Any, ...]:
    """Return what counts in the end, without what is random."""
    service = replace(desk.services.show("checkout"), usage="")
    key = desk.secrets.value("services.checkout")
    aliases = [(each.id, each.service) for each in records.listed(desk.registry, Alias)]
    plans = sorted(desk.plans.tiers.values())
    opened = desk.opens(key)
    return service, aliases, plans, len(desk.services.keys("checkout")), bool(opened), desk.services.hooks()


@pytest.mark.parametrize("applied", [False, True], ids=["unsent", "answer lost"])
@pytest.mark.parametrize("error", [Unavailable, Killed])
@pytest.mark.parametrize("name", ACTS)
def test_whichever_call_fails(tmp_path: Path, name: str, error: type[BaseException], applied: bool) -> None:
    """A failure at any call of any port lets nobody do more than asked, and doing it again completes it."""
    numbers = itertools.count()
    faults = Faults()
    whole = _run(tmp_path / "whole", name, faults)
    assert faults.calls >= 3
    for k in range(1, faults.calls + 1):
        broken = Faults(error, lambda n, k=k: n == k, applied)  # type: ignore[misc]
        desk = _run(tmp_path / str(next(numbers)), name, broken)
        assert _outcome(desk) == _outcome(whole)
        desk.registry.close()
    whole.registry.close()
