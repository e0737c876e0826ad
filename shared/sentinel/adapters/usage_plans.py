"""The port `UsagePlans` on API Gateway. A service's usage key is in the plan of its tier and no other.

API Gateway finds keys by the beginning of their name, never by their value: so a key is named by the SHA-256
of its value, and every call finds the key that an earlier one made, also where that one's reply was lost.
Moving between tiers takes the key out of a plan and puts it into another; for that moment the front door
answers 403.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from sentinel.errors import Forbidden, Malformed, Unavailable

_GONE, _THERE = "NotFoundException", "ConflictException"  # what is said of what another call has done


def parse_plans(text: str) -> dict[str, str]:
    """Read tier=usage plan pairs, comma separated. Raises `Malformed`.

    >>> parse_plans("trial=abc123, standard=def456")
    {'trial': 'abc123', 'standard': 'def456'}
    """
    plans: dict[str, str] = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        tier, _, plan = pair.partition("=")
        if not tier or not plan or tier in plans:
            raise Malformed("usage plans are tier=plan pairs, comma separated, each tier once")
        plans[tier] = plan
    return plans


class NoPlans:
    """No usage plans: the exact limits stand alone."""

    def enrol(self, value: str, service: str, tier: str) -> None:
        """Do nothing."""

    def withdraw(self, value: str) -> None:
        """Do nothing."""


class ApiGatewayPlans:
    """Usage plans by tier. `client` is one of API Gateway. See `sentinel.ports_doors.UsagePlans`."""

    def __init__(self, client: Any, plans: Mapping[str, str]) -> None:
        self._client = client
        self._plans = dict(plans)

    def enrol(self, value: str, service: str, tier: str) -> None:
        """Put the usage key `value` of a service into a tier's plan and no other.

        Raises `Malformed` where the tier has no plan.
        """
        wanted = self._plans.get(tier)
        if wanted is None:
            raise Malformed(f"there is no usage plan of tier {tier}: name one in SENTINEL_USAGE_PLANS")
        if self._find(value) is None:
            self._create(value, service)
        key = self._find(value)
        if key is None:
            raise Unavailable("API Gateway does not show the usage key yet")
        self._leave(key, wanted)
        if self._is_in(wanted, key):
            return
        with _translated(fine=_THERE):
            self._client.create_usage_plan_key(usagePlanId=wanted, keyId=key, keyType="API_KEY")
        # A conflict is also said of a key that is in another plan of the stage still.
        if not self._is_in(wanted, key):
            raise Unavailable("the usage key is not in its plan yet")

    def withdraw(self, value: str) -> None:
        """Take a usage key out of every plan; nothing where it is in none."""
        key = self._find(value)
        if key is not None:
            self._leave(key, "")

    def _find(self, value: str) -> str | None:
        name = _name(value)
        with _translated():
            found = self._client.get_api_keys(nameQuery=name, limit=500)
        return next((each["id"] for each in found["items"] if each.get("name") == name), None)

    def _create(self, value: str, service: str) -> None:
        with _translated(fine=_THERE):
            self._client.create_api_key(
                name=_name(value),
                description=f"Usage of the Sentinel service {service}; opens nothing",
                enabled=True,
                value=value,
            )

    def _is_in(self, plan: str, key: str) -> bool:
        found: Any = {}
        with _translated(fine=_GONE):
            found = self._client.get_usage_plan_key(usagePlanId=plan, keyId=key)
        return bool(found)

    def _leave(self, key: str, wanted: str) -> None:
        """Take a key out of all our plans but `wanted`."""
        with _translated():
            plans = {each["id"] for each in self._client.get_usage_plans(keyId=key, limit=500)["items"]}
        for plan in sorted(plans & set(self._plans.values()) - {wanted}):
            with _translated(fine=_GONE):
                self._client.delete_usage_plan_key(usagePlanId=plan, keyId=key)


def _name(value: str) -> str:
    return f"sentinel-{sha256(value.encode()).hexdigest()[:32]}"


@contextmanager
def _translated(fine: str = "") -> Iterator[None]:
    """Raise what API Gateway's errors mean; nothing for the code `fine`."""
    from botocore.exceptions import BotoCoreError, ClientError  # botocore is here only where AWS is

    try:
        yield
    except ClientError as error:
        told: Any = error.response
        code = str(told.get("Error", {}).get("Code", ""))
        if fine and code == fine:
            return
        if code in {"AccessDeniedException", "AccessDenied"}:
            raise Forbidden(f"usage plans may not be changed: {error.operation_name} ({code})") from None
        if code == "BadRequestException":
            raise Malformed(f"API Gateway refuses {error.operation_name} ({code})") from None
        raise Unavailable(f"API Gateway does not carry out {error.operation_name} ({code})") from None
    except BotoCoreError as error:
        raise Unavailable(f"API Gateway does not answer: {type(error).__name__}") from None
