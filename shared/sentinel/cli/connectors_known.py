"""What connectors there are: sinks and accounts of the catalog and webhooks of the registry, as one list."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from sentinel.cli.times import moment
from sentinel.errors import Missing, SentinelError

if TYPE_CHECKING:
    from sentinel.bootstrap import App
    from sentinel.core.access import Hook
    from sentinel.siem.check import Sound, Wrong

T = TypeVar("T")
IN, OUT, ACCOUNT = "in", "out", "account"


@dataclass(frozen=True, slots=True)
class Known:
    """One connector. `secret` says whether it is there, never what it is; `test` asks whether it works."""

    name: str
    direction: str
    kind: str
    target: str
    secret: str
    state: str
    test: Callable[[], Sound | Wrong] = field(repr=False)

    def json(self) -> dict[str, object]:
        """Return what is listed."""
        names = ("name", "direction", "kind", "target", "secret", "state")
        return {name: getattr(self, name) for name in names}


def kinds() -> Iterator[tuple[str, str, bool]]:
    """Yield the kinds there are: name, direction, and whether one can be asked if it works."""
    from sentinel.accounts import ACCOUNTS
    from sentinel.siem import SINKS
    from sentinel.webhooks import COLLECTORS, SOURCES

    for name, kind in SINKS.items():
        yield name, OUT, hasattr(_made(kind.sink), "check")
    for name, config in ACCOUNTS.items():
        yield name, ACCOUNT, hasattr(config, "check")
    for name in (*SOURCES, *COLLECTORS):
        yield name, IN, True


def _made(sink: Callable[..., object]) -> object:
    """Return the class of what a kind makes, where it is a function that does."""
    return sink if isinstance(sink, type) else get_type_hints(sink)["return"]


def known(app: App, name: str | None = None) -> list[Known]:
    """Return all connectors, or those of a name, sorted by direction and name.

    Asks nothing outside of this deployment.
    """
    return [*_sinks(app, name), *_accounts(app, name), *_hooks(app, name)]


def _sinks(app: App, wanted: str | None) -> Iterator[Known]:
    from sentinel.actions.connector_places import of_sink

    for name, config in _named(app.sinks.current(), wanted):
        secret, test = app.connectors.secret(config.token), _asking(app.connectors.sink, config)
        yield Known(name, OUT, config.kind, of_sink(config), secret, _breaker(app, name), test)


def _breaker(app: App, sink: str) -> str:
    """Return the state of a sink's breaker as deliveries tell it; "" for one that is closed."""
    breaker = app.breakers.now(sink)
    state = breaker.state(time.time_ns())
    return "" if state == "closed" else f"breaker {state}: {breaker.reason}"


def _accounts(app: App, wanted: str | None) -> Iterator[Known]:
    from sentinel.actions.connector_places import of_account

    for name, config in _named(app.accounts.current(), wanted):
        secret = app.connectors.secret(config.token)
        test = _asking(app.connectors.account, config)
        yield Known(name, ACCOUNT, config.kind, of_account(config), secret, "", test)


def _named(found: Mapping[str, T], wanted: str | None) -> list[tuple[str, T]]:
    return [(name, found[name]) for name in sorted(found) if wanted in {None, name}]


def _asking(ask: Callable[[Any], Sound | Wrong], config: object) -> Callable[[], Sound | Wrong]:
    return lambda: ask(config)


def _hooks(app: App, wanted: str | None) -> Iterator[Known]:
    from sentinel.cli.hooks import place

    found = [each for each in app.services.hooks() if wanted in {None, each.id}]
    heard = _last_alerts(app) if found else {}
    for hook in found:
        last = heard.get(hook.id, 0)
        state = "disabled" if hook.disabled else _heard(hook, last)
        secret, test = _hook_secret(app, hook), _examining(app, hook, last)
        yield Known(hook.id, IN, hook.source, place(hook), secret, state, test)


def _heard(hook: Hook, last: int) -> str:
    from sentinel.webhooks import COLLECTORS

    if hook.source in COLLECTORS:
        return ""  # its events are no alerts
    return f"last alert {moment(last)}" if last else "no alert yet"


def _examining(app: App, hook: Hook, last: int) -> Callable[[], Sound | Wrong]:
    from sentinel.cli.connectors_hooks import examined

    return lambda: examined(app, hook, last)


def _hook_secret(app: App, hook: Hook) -> str:
    try:
        app.services.hook_secret(hook.id)
    except Missing:
        return "no"
    except SentinelError:
        return "unreadable"
    return "yes"


def _last_alerts(app: App) -> Mapping[str, int]:
    """Return when the last alert of each webhook came, of the newest 500."""
    from sentinel.usecases.show_alerts import Wanted

    found: dict[str, int] = {}
    for each in app.show_alerts.page(Wanted.of(None), 500).alerts:
        told: Any = each
        found.setdefault(told["webhook"]["hook"], told["last_seen"])
    return found
