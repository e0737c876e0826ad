"""What becomes of a delivery when its sink is busy, down, picky, set up wrongly, or forgets to reply."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.loopback_hec import Collector, Server
from sentinel.actions.deliver_course import FULL
from sentinel.actions.deliver_session import TRIAL
from sentinel.core.breaker import PARKED
from sentinel.core.delivered import MOST_RANGES
from sentinel.core.segment import Segment
from sentinel.core.tasks import SECOND
from sentinel.errors import Missing
from tests.deliveries import START, World
from tests.loopback import Told
from tests.siem_targets import Elastic

TOKEN = "canary-77aa"


class Sinks(World):
    """A world with an Elasticsearch and a collector."""

    def __init__(self, folder: Path, elastic: Elastic, hec: Server) -> None:
        super().__init__(folder)
        self.elastic = elastic
        self.hec = hec
        self.secret("key", TOKEN)
        self.sink("elastic", kind="elastic", url=elastic.url, token="key", timeout=2)
        self.sink("splunk", kind="splunk", url=hec.url, token="key", timeout=2)

    @property
    def documents(self) -> list[int]:
        """The numbers of the documents, in the order in which they came."""
        return [each["event"]["sequence"] for each in self.elastic.documents.values()]

    @property
    def events(self) -> list[int]:
        """The numbers of the collector's events, in the order in which they came."""
        return [int(each["fields"]["sentinel_seq"]) for each in self.hec.collector.events]


@pytest.fixture
def elastic() -> Iterator[Elastic]:
    """Serve an Elasticsearch on this machine."""
    found = Elastic(f"ApiKey {TOKEN}")
    yield found
    found.server.stop()


@pytest.fixture
def hec() -> Iterator[Server]:
    """Serve a collector on this machine."""
    server = Server(Collector(TOKEN))
    server.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def world(tmp_path: Path, elastic: Elastic, hec: Server, caplog: pytest.LogCaptureFixture) -> Iterator[Sinks]:
    """Give a world; afterwards no log line may hold the token."""
    caplog.set_level(logging.DEBUG)
    found = Sinks(tmp_path, elastic, hec)
    yield found
    found.close()
    assert TOKEN not in caplog.text


def test_what_a_sink_refuses_is_dead_and_the_rest_arrives(world: Sinks) -> None:
    """Refused documents are pointers with a reason, neighbours are one range, and the cursor passes them."""
    world.plan(to="elastic")
    world.elastic.trouble.odd = frozenset({3, 4, 5, 17})
    world.count("shop/0", 0, 30)
    found = world.run()
    assert (found.delivered, found.refused) == (26, 4)
    dead = world.show.dead("all")
    assert [(each["first"], each["last"], each["count"]) for each in dead] == [(3, 5, 3), (17, 17, 1)]
    assert {each["reason"] for each in dead} == {"document parsing (400)"}
    assert world.documents == [n for n in range(30) if n not in {3, 4, 5, 17}]


def test_dead_entries_are_sent_again_before_what_is_new(world: Sinks) -> None:
    """After a redrive those entries arrive first, and are dead no more; others of the chain follow."""
    world.plan(to="elastic")
    world.elastic.trouble.odd = frozenset({3, 4, 17})
    world.count("shop/0", 0, 20)
    world.run()
    world.elastic.trouble.odd = frozenset({17})
    assert world.show.redrive("all", reason="no such reason") == 0
    assert world.show.redrive("all", "shop/0") == 3
    world.count("shop/0", 20, 5)
    world.run()
    assert world.documents[-7:] == [3, 4, 20, 21, 22, 23, 24]
    assert [(each["first"], each["last"]) for each in world.show.dead("all")] == [(17, 17)]
    told = world.show.one("all")
    assert (told["lag"], told["delivered"], told["dead"]) == (0, 24, 1)


def test_a_redrive_while_it_runs_is_noticed(world: Sinks) -> None:
    """The holder of the lease looks at what was changed, at the latest when it keeps the lease."""
    world.plan(to="elastic")
    world.elastic.trouble.odd = frozenset({3})
    world.count("shop/0", 0, 5)

    def mend() -> None:
        world.elastic.trouble.odd = frozenset()
        assert world.show.redrive("all") == 1

    world.wakes.append((world.now + 5 * SECOND, mend))
    world.run(30)
    assert world.documents == [0, 1, 2, 4, 3]
    assert world.show.dead("all") == []


def test_names_that_are_not_there_are_told_with_those_that_are(world: Sinks) -> None:
    """An unknown delivery or chain is an error that says what there is."""
    world.plan(to="elastic")
    world.count("shop/0", 0, 1)
    with pytest.raises(Missing, match="there is no delivery none; in force: all"):
        world.show.one("none")
    with pytest.raises(Missing, match="has no chain pay/0; it has shop/0"):
        world.show.redrive("all", "pay/0")


def test_busy_documents_come_again_before_later_ones(world: Sinks) -> None:
    """What the target wants later is sent again before anything else of its chain, and each is there once."""
    world.plan(to="elastic", batch={"events": 10})
    world.elastic.trouble.busy = [4, 7]
    world.count("shop/0", 0, 30)
    world.run(60)
    assert sorted(world.documents) == list(range(30))
    assert world.documents[8:12] == [4, 7, 10, 11]
    assert world.show.one("all")["twice"] == 0


def test_a_lost_reply_doubles_nothing_at_an_exact_sink(world: Sinks) -> None:
    """The same batch goes again, byte for byte, and changes nothing there; nothing counts as doubtful."""
    world.plan(to="elastic", batch={"events": 10})
    world.elastic.trouble.lost = frozenset({2, 3})
    world.count("shop/0", 0, 40)
    found = world.run(60)
    assert world.documents == list(range(40))
    assert (found.delivered, found.twice) == (40, 0)
    bodies = [asked.body for asked in world.elastic.server.asked]
    assert bodies[1] == bodies[2] == bodies[3]


def test_a_lost_reply_is_counted_at_a_sink_that_is_not_exact(world: Sinks) -> None:
    """The events of a batch whose reply was lost are there twice with the same ids, and so it says."""
    world.plan(to="splunk", batch={"events": 10})
    world.hec.collector.trouble.lost_replies = 1
    world.count("shop/0", 0, 30)
    found = world.run(60)
    assert world.events == [*range(10), *range(10), *range(10, 30)]
    assert (found.delivered, found.twice) == (30, 10)
    assert world.show.one("all")["twice"] == 10


def test_a_sink_that_is_down_for_a_day_loses_nothing(world: Sinks, caplog: pytest.LogCaptureFixture) -> None:
    """What was sealed meanwhile arrives in order; two lines in the log, and a call or two a minute."""
    world.plan(to="elastic", batch={"events": 50})
    world.elastic.trouble.answers = [Told(503)] * 10_000
    world.count("shop/0", 0, 100)
    world.run(3600)
    assert 60 <= len(world.elastic.server.asked) < 200
    told = world.show.one("all")
    assert (told["breaker"], told["lag"], told["reason"]) == ("open", 100, "status 503")
    assert told["lag_seconds"] >= 3600
    world.sleep(82_800)
    world.count("shop/0", 100, 400)
    world.elastic.trouble.answers = []
    world.run(400)
    assert world.documents == list(range(500))
    assert world.show.one("all")["breaker"] == "closed"
    lines = [each.getMessage() for each in caplog.records if "breaker" in each.getMessage()]
    assert lines == [
        "sink elastic: the breaker opens after 5 failures: status 503",
        "sink elastic: the breaker closes",
    ]


def test_the_first_batch_after_a_breaker_was_open_is_small(world: Sinks) -> None:
    """A sink that comes back is tried with a few events first; who waited with a batch sends that."""
    world.plan(to="elastic")
    for _ in range(5):
        world.deliverer()._tools.breakers.failed("elastic", "down", 1.0)
    world.count("shop/0", 0, 100)
    world.run(20)
    assert world.elastic.requests == [10, 90]


def test_a_wish_of_the_target_is_kept(world: Sinks) -> None:
    """`Retry-After` says when the next request comes."""
    world.plan(to="elastic")
    world.elastic.trouble.answers = [Told(429, headers={"Retry-After": "40"})]
    world.count("shop/0", 0, 10)
    world.run(35)
    assert len(world.elastic.server.asked) == 1
    world.run(10)
    assert world.documents == list(range(10))


def test_a_rate_is_never_passed(world: Sinks) -> None:
    """A plan's `rate` bounds the events of each second, also while it catches up."""
    world.plan(to="elastic", rate=50)
    world.count("shop/0", 0, 1000, each=100)
    world.run(10)
    assert 450 <= len(world.documents) <= 550
    world.run(15)
    assert world.documents == list(range(1000))


def test_a_refusal_that_names_no_event_is_narrowed_down(world: Sinks) -> None:
    """A 400 for a whole batch is answered with smaller ones, until the one that is minded is alone."""
    world.sink("datadog", kind="elastic", url=world.elastic.url, token="key")
    world.plan(to="elastic", batch={"events": 16})
    world.elastic.trouble.answers = [Told(400)] * 5
    world.count("shop/0", 0, 40)
    found = world.run(30)
    assert (found.delivered, found.refused) == (39, 1)
    assert world.show.dead("all")[0]["first"] == 0
    assert world.documents == list(range(1, 40))


def test_a_sink_that_is_set_up_wrongly_waits_for_a_person(world: Sinks) -> None:
    """Wrong credentials open the breaker for long; another document of the sink closes it at once."""
    world.secret("bad", "canary-77aa-no")
    world.sink("elastic", kind="elastic", url=world.elastic.url, token="bad")
    world.plan(to="elastic")
    world.count("shop/0", 0, 5)
    world.run(PARKED - 50)
    assert len(world.elastic.server.asked) == 1
    told = world.show.one("all")
    assert told["breaker"] == "open"
    assert "credentials are refused" in told["reason"]
    world.sink("elastic", kind="elastic", url=world.elastic.url, token="key")
    assert world.run(5).delivered == 5
    assert world.documents == list(range(5))
    assert world.show.one("all")["breaker"] == "closed"


def test_a_delivery_begins_when_it_is_seen_and_not_when_its_sink_is_set_up(world: Sinks) -> None:
    """With `since: now` what is sealed while the secret is missing is shown as lag, and arrives later."""
    world.sink("elastic", kind="elastic", url=world.elastic.url, token="later")
    world.plan(to="elastic", since="now")
    world.count("shop/0", 0, 10)
    world.sleep(1)
    world.run(1)
    world.count("shop/0", 10, 10)
    world.count("shop/1", 20, 10)
    world.run(1)
    told = world.show.one("all")
    assert (told["state"], told["lag"], told["breaker"]) == ("waiting", 20, "open")
    assert 0 < told["breaker_seconds"] <= PARKED
    assert [each["lag"] for each in told["chains"]] == [10, 10]
    world.secret("later", TOKEN)
    assert world.run(PARKED).delivered == 20
    assert sorted(world.documents) == sorted([*range(10, 20), *range(10)])
    assert world.show.one("all")["lag"] == 0


def test_a_sink_that_was_mended_is_tried_at_once_by_a_redrive(world: Sinks) -> None:
    """A secret that was put right outside of the sink's document need not wait for the breaker's time."""
    world.secret("key", "canary-77aa-no")
    world.plan(to="elastic")
    world.count("shop/0", 0, 20)
    assert world.run(2).delivered == 0
    world.secret("key", TOKEN)
    assert world.run(2).delivered == 0
    assert world.show.redrive("all") == 0
    told = world.show.one("all")
    assert (told["breaker"], told["breaker_seconds"]) == ("half-open", 0)
    assert world.run(5).delivered == 20
    assert world.elastic.requests[0] == TRIAL
    assert world.show.one("all")["breaker"] == "closed"


def test_a_secret_that_is_rotated_while_it_runs_is_used_at_once(world: Sinks) -> None:
    """The old one is refused then, the new one is tried without waiting, and once: that is refused, too."""

    def rotated() -> None:
        world.secret("key", f"{TOKEN}-new")
        world.elastic.authorization = f"ApiKey {TOKEN}-new"
        world.count("shop/0", 10, 10)

    def wrong() -> None:
        world.secret("key", f"{TOKEN}-wrong")
        world.elastic.authorization = "ApiKey none"
        world.count("shop/0", 20, 10)

    world.plan(to="elastic")
    world.count("shop/0", 0, 10)
    world.wakes = [(START + 3 * SECOND, rotated), (START + 20 * SECOND, wrong)]
    assert world.run(15).delivered == 20
    assert world.documents == list(range(20))
    asked = len(world.elastic.server.asked)
    assert world.run(60).delivered == 0
    assert len(world.elastic.server.asked) == asked + 2
    assert world.show.one("all")["breaker"] == "open"


def test_the_log_does_not_count_failures_where_the_set_up_is_wrong(
    world: Sinks, caplog: pytest.LogCaptureFixture
) -> None:
    """A secret that is missing is one reason, told once, and no number of failures."""
    world.sink("elastic", kind="elastic", url=world.elastic.url, token="later")
    world.plan(to="elastic")
    world.run(5)
    lines = [each.getMessage() for each in caplog.records if "breaker" in each.getMessage()]
    assert len(lines) == 1
    assert "set up wrongly: there is no secret later" in lines[0]


def test_a_sink_that_is_not_there_is_told_and_waited_for(world: Sinks) -> None:
    """A plan whose sink nobody pushed says so, and goes on once it is there."""
    world.plan(to="none")
    world.count("shop/0", 0, 5)
    assert "there is no sink 'none'" in world.run(5).problem
    world.sinks["none"] = world.sinks["elastic"]
    assert world.run(5).delivered == 5


def test_too_many_runs_of_refusals_stop_the_chain_and_nothing_is_lost(world: Sinks) -> None:
    """A chain whose record holds no more dead ranges stops and says so; after a redrive it goes on."""
    world.plan(to="elastic", batch={"events": 100})
    many = 2 * MOST_RANGES + 100
    world.elastic.trouble.odd = frozenset(range(1_000, many + 1_000, 2))
    world.count("shop/0", 0, many + 1_000, each=100)
    world.count("pay/0", 0, 3)
    world.run(60)
    told = world.show.one("all")
    assert (told["state"], told["reason"]) == ("stopped", FULL)
    assert world.show.one("all")["chains"][0]["lag"] == 0  # the other chain went on
    assert len(world.show.dead("all")) <= MOST_RANGES
    world.elastic.trouble.odd = frozenset()
    world.show.redrive("all")
    world.run(60)
    told = world.show.one("all")
    assert (told["state"], told["lag"], told["dead"]) == ("idle", 0, 0)
    shop = [each for each in world.elastic.documents.values() if each["service"]["name"] == "shop"]
    assert sorted(each["event"]["sequence"] for each in shop) == list(range(many + 1_000))


def test_damage_stops_its_chain_and_no_other(world: Sinks, caplog: pytest.LogCaptureFixture) -> None:
    """A segment whose head does not come of its entries is not sent, nothing behind it, and told once."""
    world.plan(to="elastic")
    world.count("shop/0", 0, 10)
    first = world.log("bad/0", [b'{"n":0}'])
    bent = Segment(**{**first.__dict__, "first": 1, "prev": first.head, "chain": "bad/0"})
    world.ledger.append(bent)
    assert (world.run(5).damaged, world.run(5).damaged) == (1, 0)
    assert world.documents == [*range(10), 0] or world.documents == [0, *range(10)]
    told = {each["chain"]: each for each in world.show.one("all")["chains"]}
    assert "its head does not come of its entries" in told["bad/0"]["stopped"]
    assert (told["shop/0"]["lag"], told["bad/0"]["lag"]) == (0, 1)
    critical = [each for each in caplog.records if each.levelno == logging.CRITICAL]
    assert len(critical) == 1


def test_several_requests_may_be_on_their_way(world: Sinks) -> None:
    """With `parallel` everything arrives once, and with `order: chain` each chain in its order."""
    for number in range(4):
        world.count(f"shop/{number}", 0, 60)
    world.plan(to="elastic", parallel=4, batch={"events": 10})
    world.run(20)
    assert len(world.documents) == 240
    for number in range(4):
        chain = f"shop/{number}"
        found = [
            each["event"]["sequence"]
            for each in world.elastic.documents.values()
            if each["labels"]["sentinel_chain"] == chain
        ]
        assert found == list(range(60))
    world.plan("loose", to="elastic", parallel=4, order="any", batch={"events": 7})
    world.elastic.documents.clear()
    world.elastic.trouble.odd = frozenset({11})
    loose = world.run(20, "loose")
    assert (loose.delivered, loose.refused) == (236, 4)
    assert world.show.one("loose")["lag"] == 0


def test_a_lease_that_was_stolen_ends_the_session(world: Sinks) -> None:
    """Who finds that another has moved a cursor writes nothing more, and the record is the other's."""
    world.plan(to="elastic", batch={"events": 10})
    world.count("shop/0", 0, 30)

    def steal() -> None:
        lease, version = world.store.lease("all")
        assert lease.holder == "one"
        world.now += 31 * SECOND
        assert world.store.take("all", "two") is not None
        record, version = world.store.load("all", "shop/0")
        assert record is not None
        assert world.store.swap("all", "shop/0", record.moved(35, 5), version)
        world.count("shop/0", 30, 20)

    world.wakes.append((world.now + 2 * SECOND, steal))
    found = world.run(45)
    assert found.running
    record, _ = world.store.load("all", "shop/0")
    assert record is not None
    assert record.next == 35


def test_a_clock_that_steps_back_stops_nothing(world: Sinks) -> None:
    """An hour back: leases, pauses and batches go on, and everything arrives."""
    world.plan(to="elastic", batch={"events": 10, "within": "2s"})
    world.count("shop/0", 0, 10)
    world.run(3)
    world.store.take("all", "gone")
    world.now = START - 3600 * SECOND
    world.count("shop/0", 10, 15)
    world.run(20)
    assert world.documents == list(range(25))
