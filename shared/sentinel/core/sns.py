"""Messages of Amazon SNS: what they sign, whose certificate that is, and what confirms a subscription.

Format: AWS, "Verifying the signatures of Amazon SNS messages" and the HTTP forms of its messages. Anybody can
have a topic, so a signature says that SNS sent a message, and its signed `TopicArn` for whom.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from sentinel.errors import Unauthenticated

KINDS: Final = ("Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation")
MIN_KEY: Final = 2048  # bits
MAX_PEM: Final = 20_000  # bytes
TOPIC: Final = re.compile(r"arn:aws[a-z-]{0,12}:sns:[a-z0-9-]{1,30}:[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?")
# A region's name alone: at `sns.s3.amazonaws.com` and its like is what the owner of a bucket put there.
_HOST = re.compile(r"sns\.[a-z]{2,4}(-[a-z]{2,12}){1,3}-[0-9]{1,2}\.amazonaws\.com(\.cn)?")
_PEM = re.compile(r"/SimpleNotificationService(-[A-Za-z0-9]{1,64})?\.pem")
_NOTICE = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_MUST = ("Message", "MessageId", "Timestamp", "TopicArn", "Type")


@dataclass(frozen=True, slots=True)
class Told:
    """A message: its members that are texts."""

    members: Mapping[str, str]

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        return self.members["Type"]

    @property
    def topic(self) -> str:
        """The ARN of its topic."""
        return self.members["TopicArn"]

    @property
    def version(self) -> str:
        """The version of its signature: 1 is SHA-1, 2 is SHA-256."""
        return self.members.get("SignatureVersion", "")

    @property
    def certificate(self) -> str:
        """Where the certificate is that signed it."""
        return self.members.get("SigningCertURL", "")

    def signed(self) -> bytes:
        r"""Return what is signed.

        >>> Told({"Type": "Notification", "MessageId": "1", "TopicArn": "t", "Message": "m"}).signed()
        b'Message\nm\nMessageId\n1\nTopicArn\nt\nType\nNotification\n'
        """
        names = _NOTICE if self.kind == "Notification" else _CONFIRMATION
        return "".join(f"{name}\n{self.members[name]}\n" for name in names if name in self.members).encode()


def message(body: object) -> Told | None:
    """Return the message that a JSON document is, None where it is none."""
    if not isinstance(body, dict) or body.get("Type") not in KINDS:
        return None
    members = {name: value for name, value in body.items() if isinstance(value, str)}
    must = _MUST if members["Type"] == "Notification" else _CONFIRMATION
    whole = all(members.get(name) is not None for name in must)
    # What is signed has lines: a member that could end one early would be read in two ways.
    plain = all("\n" not in members.get(name, "") for name in (*must, "Subject") if name != "Message")
    return Told(members) if whole and plain and TOPIC.fullmatch(members["TopicArn"]) else None


def certificate_url(url: str) -> bool:
    """Say whether a certificate at a URL is SNS's own: only those are fetched.

    >>> certificate_url("https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b.pem")
    True
    >>> certificate_url("https://sns.eu-west-1.amazonaws.com.evil.example/SimpleNotificationService-0a1b.pem")
    False
    """
    host, _, path = url.removeprefix("https://").partition("/")
    whole = url.startswith("https://") and _HOST.fullmatch(host) and _PEM.fullmatch(f"/{path}")
    return bool(whole)


def confirmation_url(told: Told) -> str:
    """Return the URL that confirms the subscription, "" where it is no URL of SNS about this topic."""
    url = told.members.get("SubscribeURL", "")
    host, _, rest = url.removeprefix("https://").partition("/")
    if (
        not url.startswith("https://")
        or not _HOST.fullmatch(host)
        or not url.isascii()
        or not url.isprintable()
    ):
        return ""
    parts = urlsplit(f"https://{host}/{rest}")
    asked = sorted(parse_qsl(parts.query, keep_blank_values=True))
    wanted = [("Action", "ConfirmSubscription"), ("Token", told.members["Token"]), ("TopicArn", told.topic)]
    return url if parts.path == "/" and not parts.fragment and asked == wanted else ""


def check(told: Told, pem: bytes, now: int) -> None:
    """Raise `Unauthenticated` unless the message was signed by the certificate, and that is in force.

    `now` is in epoch seconds. Whether the certificate is SNS's is told by where it came from.
    """
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
        signature = base64.b64decode(told.members.get("Signature", ""), validate=True)
    except (ValueError, TypeError, binascii.Error):
        raise Unauthenticated("the signature or its certificate cannot be read") from None
    at = datetime.fromtimestamp(now, UTC)
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise Unauthenticated("the certificate of the signature is not in force")
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < MIN_KEY:
        raise Unauthenticated("the certificate of the signature has no RSA key of 2048 bits")
    how = hashes.SHA256() if told.version == "2" else hashes.SHA1()  # noqa: S303 - only where an option allows it
    try:
        key.verify(signature, told.signed(), padding.PKCS1v15(), how)
    except InvalidSignature:
        raise Unauthenticated("the message is not signed by that certificate") from None
