"""The port `AwsCalls` on botocore: one client for each role that a step assumes, until its credentials end.

A session is of one task and, by its policy, of the one thing that the step touches, so nothing is shared
between tasks but the code. One request is one request: botocore's own retries are off, since a reply that is
lost has to reach the action, which knows whether the effect may be asked for again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sentinel.core.tasks import SECOND
from sentinel.errors import (
    BadAnswer,
    Conflict,
    Forbidden,
    Malformed,
    Missing,
    SentinelError,
    TimedOut,
    Unavailable,
)
from sentinel.ports_aws import AssumedRole

SESSION_SECONDS = 900  # the shortest that STS gives
AHEAD = 120 * SECOND  # credentials that have less left are not begun with
MAX_CLIENTS = 16
MAX_BODY = 65_536
CONNECT_SECONDS = 3

_DENIED = frozenset(
    {
        "403",  # to a HEAD, whose answer has no code of its own
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AuthorizationErrorException",
        "InvalidClientTokenId",
        "KMSAccessDenied",
        "KMSAccessDeniedException",
        "OptInRequired",
        "RegionDisabledException",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)
_GONE = frozenset(
    {
        "404",  # to a HEAD
        "ClusterNotFoundException",
        "InvalidCommandId",
        "InvalidDocument",
        "InvalidInstanceId",
        "NotFound",
        "NoSuchBucket",
        "NotFoundException",
        "ResourceNotFoundException",
        "ServiceNotFoundException",
    }
)
_TAKEN = frozenset({"PreconditionFailed"})
# Of services beside DynamoDB, whose codes `aws_errors` has: these pass by themselves too.
_PASSING = frozenset(
    {
        "ConditionalRequestConflict",
        "EC2ThrottledException",
        "InternalError",
        "InternalErrorException",
        "KMSThrottling",
        "KMSThrottlingException",
        "RateExceeded",
        "ResourceConflictException",
        "ResourceNotReadyException",
        "ServerException",
        "ServiceException",
        "SnapStartNotReadyException",
        "Throttled",
    }
)


class SteppedCalls:
    """`ports_aws.AwsCalls`. `clock` is in epoch nanoseconds; `region` overrides the environment's.

    Safe to share between threads. Credentials are those of this process (a function's role, a profile), and
    all they are used for is `sts:AssumeRole`.
    """

    def __init__(self, clock: Callable[[], int], region: str = "") -> None:
        self._clock = clock
        self._region = region or None
        self._lock = threading.Lock()
        self._session: Any = None
        self._sts: Any = None
        self._clients: OrderedDict[tuple[object, ...], tuple[int, Any]] = OrderedDict()

    def call(
        self,
        service: str,
        operation: str,
        params: Mapping[str, Any],
        role: AssumedRole,
        timeout: float = 10.0,
    ) -> Mapping[str, Any]:
        """Call an operation once; see `ports_aws.AwsCalls`."""
        from botocore import xform_name

        key = (service, role, timeout)
        with _translated(f"{service}:{operation}"):
            client = self._client(*key)
            try:
                answer = getattr(client, xform_name(operation))(**params)
            except BaseException:
                self._forget(key)  # its connection or its credentials may be what is wrong
                raise
        return {name: _bounded(value) for name, value in answer.items()}

    def _client(self, service: str, role: AssumedRole, timeout: float) -> Any:
        key = (service, role, timeout)
        with self._lock:
            expires, client = self._clients.get(key, (0, None))
            if client is not None and expires - self._clock() > AHEAD:
                self._clients.move_to_end(key)
                return client
            given = self._assume(role)
            client = self._make(
                service,
                timeout,
                aws_access_key_id=given["AccessKeyId"],
                aws_secret_access_key=given["SecretAccessKey"],
                aws_session_token=given["SessionToken"],
            )
            self._clients[key] = (int(given["Expiration"].timestamp()) * SECOND, client)
            if len(self._clients) > MAX_CLIENTS:
                self._clients.popitem(last=False)
        return client

    def _forget(self, key: tuple[object, ...]) -> None:
        with self._lock:
            self._clients.pop(key, None)

    def _assume(self, role: AssumedRole) -> Mapping[str, Any]:
        if self._sts is None:
            self._sts = self._make("sts", 5.0)
        wanted = {"RoleArn": role.arn, "RoleSessionName": role.session, "DurationSeconds": SESSION_SECONDS}
        try:
            with _translated(f"sts:AssumeRole of {role.arn}"):
                found: Mapping[str, Any] = self._sts.assume_role(**wanted, Policy=role.policy)["Credentials"]
        except (BadAnswer, TimedOut) as error:
            raise Unavailable(str(error)) from None  # nothing that matters has arrived
        return found

    def _make(self, service: str, timeout: float, **credentials: str) -> Any:
        import botocore.session
        from botocore.config import Config

        if self._session is None:
            self._session = botocore.session.get_session()
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=timeout,
            retries={"mode": "standard", "total_max_attempts": 1},
        )
        client = self._session.create_client(service, region_name=self._region, config=config, **credentials)
        client.meta.events.register("after-call", _check_whole, unique_id="sentinel-whole-answers")
        return client


def _check_whole(http_response: Any, model: Any, **_: object) -> None:
    """Raise `BadAnswer` for an answer that was cut, which botocore takes for one that says nothing."""
    if http_response.status_code >= 300 or model.has_streaming_output or _bodiless(model):
        return
    content, length = http_response.content, http_response.headers.get("content-length")
    ends = (b"{", b"}") if model.metadata.get("protocol") == "json" else (b"<", b">")
    if (
        not content.startswith(ends[0])
        or not content.rstrip().endswith(ends[1])
        or (length is not None and int(length) != len(content))
    ):
        raise BadAnswer(f"{model.service_model.service_name}:{model.name}: AWS's answer is not whole")


def _bodiless(model: Any) -> bool:
    """Whether an operation answers in headers alone, as S3's do that put an object."""
    members = model.output_shape.members if model.output_shape else {}
    return bool(members) and all(member.serialization.get("location") for member in members.values())


def _bounded(value: object) -> object:
    """Read the beginning of a streamed body and hang up; one that breaks off changes nothing by then."""
    read, close = getattr(value, "read", None), getattr(value, "close", None)
    if read is None or close is None:
        return value
    from botocore.exceptions import BotoCoreError

    try:
        found = read(MAX_BODY)
    except BotoCoreError:
        found = b""
    finally:
        close()
    return found


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Raise what AWS's errors mean; messages name `what` and AWS's code only."""
    from botocore import exceptions as botocore
    from botocore.parsers import ResponseParserError

    try:
        yield
    except botocore.ClientError as error:
        raise _refused(what, error) from None
    except (botocore.NoCredentialsError, botocore.PartialCredentialsError, botocore.NoRegionError) as error:
        kind = "region" if isinstance(error, botocore.NoRegionError) else "credentials"
        raise Forbidden(f"{what}: this process has no AWS {kind}") from None
    except botocore.ParamValidationError:
        raise Malformed(f"{what}: the parameters are not what the operation takes") from None
    except (botocore.EndpointConnectionError, botocore.ConnectTimeoutError) as error:
        raise Unavailable(f"{what}: AWS cannot be reached: {type(error).__name__}") from None
    except botocore.ReadTimeoutError:
        raise TimedOut(f"{what}: AWS did not answer in time") from None
    except (botocore.BotoCoreError, ResponseParserError) as error:
        raise BadAnswer(f"{what}: AWS gave no answer: {type(error).__name__}") from None


def _refused(what: str, error: Any) -> SentinelError:
    """Return what an answer with an error means: the first that fits of passing, denied, gone, refused."""
    from sentinel.adapters.aws_errors import code_of, translated

    code = code_of(error)
    if code in _PASSING:
        return Unavailable(f"{what}: {code}", 2.0)
    if code in _DENIED:
        return Forbidden(f"{what} is not allowed ({code}): the role and its trust policy have to allow it")
    if code in _GONE or code in _TAKEN:
        kind, why = (Missing, "does not exist") if code in _GONE else (Conflict, "is there already")
        return kind(f"{what}: its target {why} ({code})")
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if status >= 500:
        return BadAnswer(f"{what}: {code or status}", 1.0)
    try:
        with translated():
            raise error
    except Unavailable as passing:
        return passing
    except type(error):
        return Malformed(f"{what} is refused ({code})")
