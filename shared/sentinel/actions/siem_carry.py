"""How a sink's requests reach their targets: over which port, in which role, and with which token.

Tokens of sinks that sign in are kept for four fifths of their life, by configuration and secret. A target
that refuses a token from before is asked once more with a new one, since a refusal has taken nothing.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256

from sentinel import siem
from sentinel.actions.aws_step import allow, assumed_as
from sentinel.core.grants import Grants, allowed
from sentinel.core.tasks import SECOND
from sentinel.errors import Conflict, Forbidden, Unavailable
from sentinel.ports import FileAppend, Files, Http, HttpRequest, HttpResponse
from sentinel.ports_aws import AssumedRole, AwsCalls
from sentinel.ports_sinks import ObjectPut, Streams, StreamSend
from sentinel.siem.sink import (
    Acknowledging,
    Batch,
    Delivered,
    Outcome,
    Parked,
    Request,
    RetryAfter,
    SigningIn,
    Sink,
    SinkConfig,
    Token,
)

ACTION = "siem.send"
MAX_TOKENS = 100
PATIENCE = 15.0  # seconds until a batch that was accepted and not acknowledged is sent again


@dataclass(frozen=True, slots=True)
class Target:
    """A sink that is set up, and what names the tokens that its secret buys."""

    sink: Sink
    account: tuple[SinkConfig, str] = field(repr=False)


def target(config: SinkConfig, secret: str) -> Target:
    """Return the target of a configuration and the secret that it names."""
    return Target(siem.make(config, secret), (config, sha256(secret.encode()).hexdigest()))


@dataclass(frozen=True, slots=True)
class Errand:
    """What carrying needs to know of who sends: the name of its session in AWS, and what came before.

    `maybe_there` says that the target may have the batch already. `request` is the batch's, where somebody
    has made it already.
    """

    session: str
    maybe_there: bool = False
    request: Request | None = field(default=None, repr=False)


class Carrier:
    """Carries batches for one deployment; safe to share between threads. `clock` in epoch nanoseconds."""

    def __init__(
        self,
        http: Http,
        files: Files,
        streams: Streams,
        aws: Callable[[], AwsCalls],
        grants: Grants,
        clock: Callable[[], int],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http = http
        self._files = files
        self._streams = streams
        self._aws = aws
        self._grants = grants
        self._clock = clock
        self._sleep = sleep
        self._tokens: dict[object, tuple[Token, int]] = {}

    def carry(self, errand: Errand, to: Target, batch: Batch) -> Outcome:
        """Send one batch; raises what the ports raise. An error is `unsent` where only the sign-in failed."""
        sink = to.sink
        if not isinstance(sink, SigningIn):
            return self._sent(errand, sink, batch)
        errand = replace(errand, request=None)  # whole only with a token
        kept, until = self._tokens.get(to.account, (None, 0))
        if kept is not None and self._clock() < until:
            outcome = self._sent(errand, sink.signed_in(kept.text), batch)
            if not isinstance(outcome, Parked):
                return outcome
            self._tokens.pop(to.account, None)
        token = self._token(sink)
        if not isinstance(token, Token):
            return token
        if len(self._tokens) >= MAX_TOKENS:
            self._tokens.clear()
        self._tokens[to.account] = (token, self._clock() + int(token.seconds * 0.8 * SECOND))
        return self._sent(errand, sink.signed_in(token.text), batch)

    def _token(self, sink: SigningIn) -> Token | RetryAfter | Parked:
        try:
            return sink.token(self._http.send(sink.login()))
        except Unavailable as error:
            error.unsent = True  # none of the batch, that is
            raise

    def _sent(self, errand: Errand, sink: Sink, batch: Batch) -> Outcome:
        request = errand.request or sink.request(batch)
        if isinstance(request, HttpRequest):
            return self._exchanged(sink, request, batch)
        if isinstance(request, FileAppend):
            self._append(errand, request)
        elif isinstance(request, ObjectPut):
            self._put(errand, request)
        else:
            self._streams.send(request)
        return Delivered()

    def _exchanged(self, sink: Sink, request: HttpRequest, batch: Batch) -> Outcome:
        response = self._http.send(request)
        outcome = sink.outcome(response, batch)
        if not isinstance(outcome, Delivered) or not isinstance(sink, Acknowledging):
            return outcome
        asking = sink.ask(response)
        if asking is None:
            return Parked(
                "accepted without an acknowledgement: is that on for this token? (or set ack: false)"
            )
        until = self._clock() + int(PATIENCE * SECOND)
        pause = 0.05
        while not sink.stored(asking, self._asked(asking)):
            if self._clock() >= until:
                return RetryAfter(f"accepted, but not acknowledged within {PATIENCE:.0f} s", unsure=True)
            self._sleep(pause)
            pause = min(2 * pause, 1.0)
        return outcome

    def _asked(self, asking: HttpRequest) -> HttpResponse:
        try:
            return self._http.send(asking)
        except Unavailable as error:
            error.unsent = False  # the batch was taken, whatever became of this question
            raise

    def _append(self, errand: Errand, request: FileAppend) -> None:
        if not (errand.maybe_there and self._files.holds(request)):
            self._files.append(request)

    def _put(self, errand: Errand, request: ObjectPut) -> None:
        allowed(request.bucket, self._grants.buckets, "SENTINEL_AWS_BUCKETS")
        params = {
            "Bucket": request.bucket,
            "Key": request.key,
            "Body": request.data,
            "ContentType": request.media,
            "ContentEncoding": request.encoding,
            "IfNoneMatch": "*",
        }
        role = self._role(errand, request)
        try:
            self._aws().call("s3", "PutObject", params, role, request.timeout)
        except Conflict:
            return  # it is there: named after what is in it, by an attempt before this one

    def _role(self, errand: Errand, request: ObjectPut) -> AssumedRole:
        partition = self._grants.role(ACTION).partition
        folder = request.key.rpartition("/")[0]
        statements = [
            allow("s3:PutObject", f"arn:{partition}:s3:::{request.bucket}/{folder}/*"),
            allow(  # where the bucket encrypts with a key of KMS
                "kms:GenerateDataKey", "*", StringLike={"kms:ViaService": "s3.*.amazonaws.com*"}
            ),
        ]
        return assumed_as(errand.session, self._grants, ACTION, statements)


class NoStreams:
    """`ports_sinks.Streams` of a deployment that has none."""

    def send(self, request: StreamSend) -> None:
        """Raise `Forbidden`."""
        raise Forbidden(f"this deployment sends to no stream: not to {request.host}")


def told(request: Request) -> dict[str, object]:
    """Return what a plan says of a request: whole, as text, and its size before compression."""
    if isinstance(request, FileAppend):
        return {"file": request.path, "bytes": len(request.data), "lines": _text(request.data)}
    if isinstance(request, ObjectPut):
        data = gzip.decompress(request.data) if request.encoding == "gzip" else request.data
        return {"object": f"s3://{request.bucket}/{request.key}", "bytes": len(data), "lines": _text(data)}
    if isinstance(request, StreamSend):
        where = f"{request.host}:{request.port}"
        return {"stream": where, "bytes": len(request.data), "messages": _text(request.data)}
    packed = any(
        name.lower() == "content-encoding" and value == "gzip" for name, value in request.headers.items()
    )
    body = gzip.decompress(request.body) if packed else request.body
    return {
        "method": request.method,
        "url": request.url,
        "headers": dict(request.headers),
        "bytes": len(body),  # unpacked: how small it gets differs between versions of zlib
        "body": _text(body),
    }


def _text(body: bytes) -> str:
    return body.decode(errors="replace")
