"""Has erasures signed by a Lambda function: `ports_erasure.Recorder` and `EventNotes`.

API: Lambda `Invoke` (2015-03-31), synchronous, with the right `lambda:InvokeFunction`.
What the function takes and answers is in docs/erasure.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from botocore.exceptions import ClientError, NoAuthTokenError, NoCredentialsError, PartialCredentialsError

from sentinel.adapters.aws_errors import code_of, translated
from sentinel.core.erasure_notes import Asked
from sentinel.core.lineage_notes import AskedEvent
from sentinel.errors import BadAnswer, Forbidden, Malformed, SentinelError, Unavailable

MAX_ANSWER = 65_536  # bytes; a note has some hundred
READ_SECONDS = 35  # a little more than the function may take (infra/functions.py)
_MAX_MESSAGE = 300
_TOLD: dict[str, type[SentinelError]] = {
    "Forbidden": Forbidden,
    "Malformed": Malformed,
    "Unavailable": Unavailable,
}
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9._]{0,80}")
_NO_CREDENTIALS = (NoAuthTokenError, NoCredentialsError, PartialCredentialsError)
_ROLE = "it is the role EraseRole of the deployment that may have records signed"


class LambdaRecorder:
    """Asks the function `function`: its name or ARN. `public_key` gives the log's public key.

    A time-out or a lost answer is `Unavailable`; the client's own retries are safe, too.
    """

    def __init__(self, client: Any, function: str, public_key: Callable[[], bytes]) -> None:
        self._client = client
        self._function = function
        self._public_key = public_key

    def public_key(self) -> bytes:
        """See `ports_erasure.Recorder`."""
        return self._public_key()

    def record(self, asked: Asked) -> bytes:
        """See `ports_erasure.Recorder`."""
        return self._signed(asked.fields)

    def note(self, asked: AskedEvent) -> bytes:
        """See `ports_erasure.EventNotes`."""
        return self._signed(asked.fields)

    def _signed(self, fields: Mapping[str, object]) -> bytes:
        failed, raw = self._invoke(orjson.dumps(fields))
        try:
            told = orjson.loads(raw)
        except orjson.JSONDecodeError:
            told = None
        if failed:
            raise BadAnswer(f"what signs records has failed ({_kind(told)}): its log says why", 1.0)
        if not isinstance(told, dict):
            raise BadAnswer("what signs records gave an answer that is none of its", 1.0)
        note = told.get("note")
        if isinstance(note, str):
            return note.encode("utf-8", "replace")
        error = _TOLD.get(str(told.get("error")), BadAnswer)
        raise error(f"what signs records says: {str(told.get('message'))[:_MAX_MESSAGE]}")

    def _invoke(self, payload: bytes) -> tuple[bool, bytes]:
        """Return whether the function failed, and what it said."""
        try:
            with translated():
                answer = self._client.invoke(
                    FunctionName=self._function, InvocationType="RequestResponse", Payload=payload
                )
                return bool(answer.get("FunctionError")), bytes(answer["Payload"].read(MAX_ANSWER))
        except ClientError as error:
            raise _refused(code_of(error)) from None
        except _NO_CREDENTIALS:
            raise Forbidden(f"this process has no AWS credentials: {_ROLE}") from None


def _refused(code: str) -> SentinelError:
    if code == "ResourceConflictException":  # it is being replaced by a newer one
        return Unavailable(f"what signs records cannot run yet ({code})", 2.0)
    if code == "ResourceNotFoundException":
        return Forbidden(
            "there is no such function: SENTINEL_RECORD_FUNCTION is the output RecordFunction of the "
            "service's stack"
        )
    return Forbidden(f"what signs records may not be called ({code}): {_ROLE}")


def _kind(told: object) -> str:
    """Return what kind of error a function that failed names: a word, never its message."""
    kind = str(told.get("errorType", "")) if isinstance(told, dict) else ""
    return kind if _WORD.fullmatch(kind) else "unknown"
