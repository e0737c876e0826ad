"""Reading a chain for a delivery: its new segments become events, those that the plan means.

Each event's id is H of its entry, computed from the segment; a segment whose own head does not come of that
is damaged, and so is a chain with a gap. Nothing that cannot be read is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sentinel.core import alert_notices, chain
from sentinel.core.deliveries import DeliveryPlan
from sentinel.core.rules import Rule, RuleSet
from sentinel.core.segment import Segment, numbered
from sentinel.errors import Tampered
from sentinel.ports import Ledger
from sentinel.siem.sink import Item, Notice, Sink

LEVELS = ("informational", "low", "medium", "high", "critical")


@dataclass(frozen=True, slots=True)
class Event:
    """One entry as an event in its sink's encoding. `t` is the ledger's time, `seen` when it was read."""

    seq: int
    item: Item
    t: int
    seen: int


class Reader:
    """Reads for one plan and one sink. `rules` gives the rules in force; `clock` is in epoch nanoseconds."""

    def __init__(
        self,
        ledger: Ledger,
        plan: DeliveryPlan,
        sink: Sink,
        rules: Callable[[], RuleSet],
        clock: Callable[[], int],
    ) -> None:
        self._ledger = ledger
        self._plan = plan
        self._sink = sink
        self._rules = rules
        self._clock = clock
        self._least = LEVELS.index(plan.level)

    def chains(self) -> list[str]:
        """Return the chains that the plan means."""
        return [each for each in self._ledger.chains() if self._plan.wants(chain.service_of(each))]

    def begin(self, chain_id: str, since: int) -> int:
        """Return where the plan begins in a chain: at the first entry that was sealed at `since` or later."""
        return beginning(self._ledger, self._plan, chain_id, since)

    def segments(self, chain_id: str, first: int, most: int, *, inside: bool) -> Iterator[Segment]:
        """Yield the segments from entry `first` on; `inside` says that it may be inside of one.

        Raises `Tampered` at a gap.
        """
        if inside:
            holding = self._ledger.at(chain_id, first)
            if holding is not None:
                yield holding
                first = holding.first + holding.count
        for segment in self._ledger.read(chain_id, first, most):
            if segment.first != first:
                what = f"the ledger does not have what comes before its entry {segment.first}"
                raise Tampered(chain_id, first, "gap", what)
            yield segment
            first = segment.first + segment.count

    def holding(self, chain_id: str, seq: int) -> Segment:
        """Return the segment that holds an entry. Raises `Tampered` where there is none."""
        found = self._ledger.at(chain_id, seq)
        if found is None:
            raise Tampered(chain_id, seq, "gap", "the entry is not in the ledger any more")
        return found

    def events(
        self, segment: Segment, first: int, last: int | None = None, *, every: bool = False
    ) -> list[Event]:
        """Return the events of a segment from entry `first`, to `last`; `every`: whatever the plan means."""
        hashes = hashes_of(segment)
        now = self._clock()
        chosen = self._chosen(segment)
        found = []
        for at in range(max(0, first - segment.first), segment.count):
            seq = segment.first + at
            if last is not None and seq > last:
                break
            if at in segment.opened.erased or (chosen is not None and not every and seq not in chosen):
                continue
            rule = chosen.get(seq) if chosen else None
            notice = self._notice(segment, seq, hashes[at], rule)
            found.append(Event(seq, Item(notice.hash, self._sink.encode(notice)), segment.t, now))
        return found

    def _notice(self, segment: Segment, seq: int, hashed: bytes, rule: Rule | None) -> Notice:
        entry = segment.opened.entries[seq - segment.first] if self._plan.include == "entry" else b""
        return Notice(
            t=segment.t,
            service=chain.service_of(segment.chain),
            chain=segment.chain,
            seq=seq,
            rule=rule.id if rule else "",
            title=rule.title if rule else "",
            level=(rule.level or "") if rule else "",
            task="",
            recipe="",
            key="",
            entry=entry,
            hash=hashed.hex(),
        )

    def _chosen(self, segment: Segment) -> dict[int, Rule | None] | None:
        """Return the entries that the plan means with the rule of each; None where it means all of them."""
        if self._plan.only == "everything":
            return None
        if self._plan.only == "alerts":
            return {each.seq: None for each in alert_notices.notices(segment)}
        rules = self._rules()
        if not rules.rules:
            return {}
        found: dict[int, Rule | None] = {}
        for seq, entry in numbered(segment):
            event = alert_notices.event_of(entry, segment.opened.context)
            rule = self._matched(rules, event) if event is not None else None
            if rule is not None:
                found[seq] = rule
        return found

    def _matched(self, rules: RuleSet, event: Mapping[str, object]) -> Rule | None:
        """Return the most severe rule that matches an event, of the plan's level or above."""
        those = [rule for rule in rules.match(event) if rule.generate and _rank(rule) >= self._least]
        return max(those, key=_rank, default=None)


def beginning(ledger: Ledger, plan: DeliveryPlan, chain_id: str, since: int) -> int:
    """Return where a plan that was first seen at `since` begins in a chain."""
    if plan.since == "beginning":
        return 0
    head = ledger.head(chain_id)
    low, high = 0, head.first + head.count if head else 0
    while low < high:
        middle = (low + high) // 2
        segment = ledger.at(chain_id, middle)
        if segment is None:  # it has left the table, so it is older than all that is in it
            low = middle + 1
        elif segment.t >= since:
            high = segment.first
        else:
            low = segment.first + segment.count
    return low


def _rank(rule: Rule) -> int:
    return LEVELS.index(rule.level) if rule.level in LEVELS else 0


def hashes_of(segment: Segment) -> list[bytes]:
    """Return H of each entry of a segment. Raises `Tampered` where its head is not what comes of them."""
    service = chain.service_of(segment.chain)
    found = chain.links(segment.prev, segment.opened.leaves(), segment.t, service)
    if len(found) != segment.count or found[-1] != segment.head:
        raise Tampered(segment.chain, segment.first, "hash", "its head does not come of its entries")
    return found
