"""Asks sinks and accounts whether they would work, over the ports that steps use, and creates no event.

The first level at which something is wrong is told, in words: `siem.check.Level` has them in order. What a
port raises is translated here; what an answer means is the connector's own business.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from sentinel import siem
from sentinel.accounts.account import AccountConfig
from sentinel.accounts.account import Checkable as CheckableAccount
from sentinel.actions.aws_step import allow
from sentinel.actions.siem_carry import ACTION
from sentinel.core.grants import Grants, Role, allowed
from sentinel.errors import (
    Cause,
    Conflict,
    Forbidden,
    Malformed,
    Missing,
    Rejected,
    Unavailable,
)
from sentinel.ports import FileAppend, Files, Http, HttpResponse, Secrets
from sentinel.ports_aws import AssumedRole, AwsCalls
from sentinel.ports_sinks import ObjectPut, Streams, StreamSend
from sentinel.siem.answers import json_object
from sentinel.siem.check import Checkable, Finding, Level, Place, Question, Sound, Wrong, elsewhere
from sentinel.siem.sink import Parked, RetryAfter, SigningIn, SinkConfig

MOST = 10  # questions; a kind that asks more goes round in circles
_CAUSES: dict[Cause, tuple[Level, str]] = {
    Cause.NAME: (Level.NAME, "see that the name is spelt right and known to the DNS that is asked here"),
    Cause.CONNECT: (
        Level.CONNECT,
        "see that it listens on that port and that firewalls let this machine through",
    ),
    Cause.EXPIRED: (Level.TLS, "renew the certificate there, and see that the clocks of both are right"),
    Cause.OTHER_NAME: (Level.TLS, "use the name that the certificate has, or give it this one"),
    Cause.AUTHORITY: (Level.TLS, "add its authority: SSL_CERT_FILE, or `ca` where the kind has it"),
    Cause.TLS: (Level.TLS, "see that TLS 1.2 or later is spoken on that port"),
    Cause.SILENT: (Level.SILENT, "see that it is up, or raise `timeout`"),
    Cause.ANSWER: (Level.PRODUCT, "see that the port and https or http are right"),
}


class Connectors:
    """Tests one connector at a time. `aws` is asked for where a sink is in AWS."""

    def __init__(
        self,
        http: Http,
        files: Files,
        streams: Streams,
        secrets: Secrets,
        aws: Callable[[], AwsCalls],
        grants: Grants,
    ) -> None:
        self._http = http
        self._files = files
        self._streams = streams
        self._secrets = secrets
        self._aws = aws
        self._grants = grants

    def sink(self, config: SinkConfig) -> Sound | Wrong:
        """Say whether a sink would work."""
        secret = self._secret(config.token)
        if isinstance(secret, Wrong):
            return secret
        it = siem.make(config, secret)
        if not isinstance(it, Checkable):
            return Sound(_UNASKED.format(config.kind))
        if not isinstance(it, SigningIn):
            return self._found(it.check())
        return self._found(Question(it.login(), lambda answer: _signed_in(it, answer)))

    def account(self, config: AccountConfig) -> Sound | Wrong:
        """Say whether an account would work."""
        secret = self._secret(config.token)
        if isinstance(secret, Wrong):
            return secret
        if not isinstance(config, CheckableAccount):
            return Sound(_UNASKED.format(config.kind))
        try:
            return self._found(config.check(secret))
        except Malformed as error:
            return Wrong(Level.SECRET, str(error))

    def secret(self, name: str) -> str:
        """Say whether a connector's secret is there: `yes`, `no`, `unreadable`, or `none needed`."""
        if not name:
            return "none needed"
        try:
            self._secrets.get(name)
        except Missing:
            return "no"
        except (Rejected, Unavailable):
            return "unreadable"
        return "yes"

    def _secret(self, name: str) -> str | Wrong:
        try:
            return self._secrets.get(name) if name else ""
        except (Rejected, Unavailable) as error:
            return Wrong(Level.SECRET, str(error))

    def _found(self, asked: Question | Place) -> Sound | Wrong:
        if not isinstance(asked, Question):
            return self._looked(asked)
        found: Finding = asked
        for _ in range(MOST):
            if not isinstance(found, Question):
                return found
            found = self._asked(found)
        return Wrong(Level.PRODUCT, "it was asked ten times and has not answered yet")

    def _asked(self, question: Question) -> Finding:
        try:
            answer = self._http.send(question.request)
        except (Rejected, Unavailable) as error:
            return question.unasked or _unreached(error)
        return question.read(answer)

    def _looked(self, place: Place) -> Sound | Wrong:
        if isinstance(place, StreamSend):
            return self._stream(place)
        return self._file(place) if isinstance(place, FileAppend) else self._bucket(place)

    def _stream(self, place: StreamSend) -> Sound | Wrong:
        try:
            self._streams.send(place)
        except Malformed as error:
            return Wrong(Level.TLS, str(error), "mend `ca`")
        except (Rejected, Unavailable) as error:
            return _unreached(error)
        return Sound(
            "TLS is good and the certificate names the host; nothing was sent, and nobody answers there"
        )

    def _file(self, place: FileAppend) -> Sound | Wrong:
        try:
            self._files.check(place.path)
        except (Forbidden, Unavailable) as error:
            return Wrong(Level.PLACE, str(error), "see that the folder is this user's and has room")
        return Sound("the file can be appended to")

    def _bucket(self, place: ObjectPut) -> Sound | Wrong:
        try:
            allowed(place.bucket, self._grants.buckets, "SENTINEL_AWS_BUCKETS")
            role = self._grants.role(ACTION)
        except Forbidden as error:
            return Wrong(Level.ALLOWED, str(error))
        checker = _checker(role, place.bucket)
        try:
            self._aws().call("sts", "GetCallerIdentity", {}, checker, place.timeout)
        except Forbidden as error:
            return Wrong(Level.CREDENTIALS, str(error))
        except Unavailable as error:
            return Wrong(Level.CONNECT, str(error), "wait, and test it again")
        return self._head(place, checker)

    def _head(self, place: ObjectPut, checker: AssumedRole) -> Sound | Wrong:
        try:
            self._aws().call("s3", "HeadBucket", {"Bucket": place.bucket}, checker, place.timeout)
        except Forbidden:
            return Sound(
                "the role can be assumed; it may not look at the bucket, which siem.send does not need "
                f"either, so whether the bucket is there is not known, and {_PUTS}"
            )
        except Missing:
            return Wrong(
                Level.PLACE, f"there is no bucket {place.bucket}", "make it, in the deployment's region"
            )
        except (Conflict, Malformed) as error:
            return Wrong(Level.PLACE, str(error), "the bucket has to be in the deployment's region")
        except Unavailable as error:
            return Wrong(Level.CONNECT, str(error), "wait, and test it again")
        return Sound(f"the role can be assumed and the bucket is there; {_PUTS}")


_UNASKED = (
    "a {} cannot be asked without telling it something: only its configuration and its secret were looked at"
)
_PUTS = "that it may put objects shows with the first one"


def _checker(role: Role, bucket: str) -> AssumedRole:
    """Return the role of siem.send, narrowed to looking at one bucket: it may put nothing."""
    looking = allow("s3:ListBucket", f"arn:{role.partition}:s3:::{bucket}")
    policy = orjson.dumps({"Version": "2012-10-17", "Statement": [looking]}).decode()
    return AssumedRole(role.arn, "sentinel-connectors-test", policy)


def _signed_in(it: SigningIn, answer: HttpResponse) -> Finding:
    """Go on with the token of a sign-in."""
    token = it.token(answer)
    if isinstance(token, RetryAfter):
        return Wrong(Level.BUSY, token.reason, "wait, and test it again")
    if isinstance(token, Parked) and "error" not in json_object(answer):
        return elsewhere(answer.status, "token endpoint")
    if isinstance(token, Parked):
        return Wrong(Level.CREDENTIALS, token.reason, "look at the secret that `token` names, and at the ids")
    with_token = it.signed_in(token.text)
    asked = with_token.check() if isinstance(with_token, Checkable) else Sound("it signs in")
    return asked if isinstance(asked, Question | Sound) else Sound("it signs in")


def _unreached(error: Rejected | Unavailable) -> Wrong:
    if isinstance(error, Forbidden):
        return Wrong(Level.ALLOWED, str(error))
    if not isinstance(error, Unavailable):
        return Wrong(Level.CREDENTIALS, str(error), "mend the secret: it cannot be sent as it is")
    level, hint = _CAUSES[error.cause or Cause.CONNECT]
    return Wrong(level, str(error), hint)
