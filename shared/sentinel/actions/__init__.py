"""What a step may do: one file an action, and this registry. The contract is `core.steps.Action`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from sentinel.actions.http_call import HttpCall
from sentinel.actions.siem_send import SiemSend
from sentinel.core.steps import Action
from sentinel.ports import Files, Http, Secrets
from sentinel.siem import SinkConfig

ACTIONS: Mapping[str, type[SiemSend] | type[HttpCall]] = {"siem.send": SiemSend, "http.call": HttpCall}


def build(
    http: Http,
    files: Files,
    secrets: Secrets,
    sinks: Callable[[], Mapping[str, SinkConfig]],
    *,
    clock: Callable[[], int] = time.time_ns,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Action]:
    """Return the actions of a deployment by name. `sinks` is asked at each step for what is set up now."""
    actions: list[Action] = [
        SiemSend(http, files, secrets, sinks, clock=clock, sleep=sleep),
        HttpCall(http, secrets, clock=clock),
    ]
    return {action.name: action for action in actions}
