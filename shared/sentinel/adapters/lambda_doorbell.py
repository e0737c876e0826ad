"""The doorbell: wakes a worker's Lambda function by an asynchronous invocation.

The function drains its stream whatever woke it, so a ring carries no more than the stream's name, and one
that is lost or doubled changes nothing but the time: the function's schedule rings too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from sentinel.errors import Malformed, Unavailable


def parse_functions(text: str) -> dict[str, str]:
    """Parse `stream=function` pairs, comma separated, as `Settings.worker_functions` has them.

    >>> parse_functions("siem=work-siem, action=work-action")
    {'siem': 'work-siem', 'action': 'work-action'}
    """
    found: dict[str, str] = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        stream, equals, function = pair.partition("=")
        if not equals or not stream.strip() or not function.strip():
            raise Malformed("worker functions are stream=function pairs, comma separated")
        found[stream.strip()] = function.strip()
    return found


class LambdaDoorbell:
    """`ports.Doorbell` on `lambda:InvokeFunction`. `functions` maps a stream to a function's name or ARN."""

    def __init__(self, client: Any, functions: Mapping[str, str]) -> None:
        self._client = client
        self._functions = functions

    def ring(self, worker: str) -> None:
        """Invoke the worker's function and do not wait for it; a stream without a function needs no ring.

        Raises `Unavailable` where the invocation was not taken.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        function = self._functions.get(worker)
        if function is None:
            return
        payload = orjson.dumps({"stream": worker})
        try:
            self._client.invoke(FunctionName=function, InvocationType="Event", Payload=payload)
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(f"the worker of {worker} could not be woken: {type(error).__name__}") from error


class NoDoorbell:
    """`ports.Doorbell` where workers wait on their stream by themselves, as they do locally."""

    def ring(self, worker: str) -> None:
        """Do nothing: the worker is awake."""
