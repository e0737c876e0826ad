"""The port `TrustStore`: one contract on a file and on S3 with a custom domain of API Gateway.

S3 is moto's. Moto's API Gateway knows neither mutual TLS nor changes of a domain, so there the client is
botocore's own with answers put in (`botocore.stub`), which holds both against the API's model.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber
from moto import mock_aws

from sentinel.adapters.trust_store_aws import AwsTrustStore
from sentinel.adapters.trust_store_file import FileTrustStore
from sentinel.errors import Conflict, Forbidden, Malformed, Missing, Unavailable
from sentinel.ports_doors import TrustStore
from tests.contracts.secret_stores import aws_client
from tests.contracts.tables import REGION
from tests.pki import Ca, pem

ROOTS = [pem(Ca(title=title).certificate) for title in ("one", "two", "three")]
BUCKET, KEY, DOMAIN = "trust", "roots.pem", "api.example.com"
PATH = "/mutualTlsAuthentication/truststoreVersion"


@pytest.fixture
def s3() -> Iterator[Any]:
    """Give a client of moto's S3 with a bucket that keeps versions."""
    with mock_aws():
        client = aws_client("s3")
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield client


@pytest.fixture(params=["file", "aws"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[TrustStore, Any]]:
    """Give one store after the other, with a way to read what is in force."""
    if request.param == "file":
        path = tmp_path / "ca" / "roots.pem"
        yield FileTrustStore(path), path.read_text
        return
    client = request.getfixturevalue("s3")
    found = AwsTrustStore(client, None, f"s3://{BUCKET}/{KEY}", "")
    yield found, lambda: client.get_object(Bucket=BUCKET, Key=KEY)["Body"].read().decode()


def test_what_is_published_is_in_force(store: tuple[TrustStore, Any]) -> None:
    """One PEM file with one certificate after the other; the same again is the same version."""
    found, stored = store
    first = found.publish(ROOTS[:1])
    assert stored() == ROOTS[0]
    assert found.publish(ROOTS[:1]) == first
    second = found.publish(ROOTS)
    assert second != first
    assert stored() == "".join(ROOTS)
    assert found.publish(ROOTS) == second


def test_a_file_that_is_the_same_is_not_written_again(tmp_path: Path) -> None:
    """Readers see a change only where there is one; anybody may read roots, and nothing is left beside."""
    path = tmp_path / "roots.pem"
    FileTrustStore(path).publish(ROOTS)
    before = path.stat().st_ino
    FileTrustStore(path).publish(ROOTS)
    assert path.stat().st_ino == before
    FileTrustStore(path).publish(ROOTS[:2])
    assert path.stat().st_ino != before
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [each.name for each in tmp_path.iterdir()] == ["roots.pem"]


def test_an_object_that_is_the_same_is_not_put_again(s3: Any) -> None:
    """Versions of the object are changes of the roots."""
    found = AwsTrustStore(s3, None, f"s3://{BUCKET}/{KEY}", "")
    for _ in range(3):
        found.publish(ROOTS)
    assert len(s3.list_object_versions(Bucket=BUCKET)["Versions"]) == 1


def test_a_bucket_without_versions_is_refused(s3: Any) -> None:
    """API Gateway would go on with what it has."""
    s3.create_bucket(Bucket="plain", CreateBucketConfiguration={"LocationConstraint": REGION})
    for _ in range(2):
        with pytest.raises(Forbidden, match="versioning"):
            AwsTrustStore(s3, None, f"s3://plain/{KEY}", "").publish(ROOTS)


def test_a_bucket_that_is_not_there(s3: Any) -> None:
    """The message names the settings."""
    with pytest.raises(Missing, match="SENTINEL_TRUSTSTORE"):
        AwsTrustStore(s3, None, f"s3://nowhere/{KEY}", "").publish(ROOTS)


@pytest.mark.parametrize("location", ["", "bucket/key", "s3://", "s3://bucket", "s3://bucket/", "s3:///key"])
def test_locations_that_are_none(location: str) -> None:
    """A location is s3://bucket/key."""
    with pytest.raises(Malformed, match="s3://bucket/key"):
        AwsTrustStore(None, None, location, "")


@pytest.fixture
def gateway() -> Iterator[tuple[Any, Stubber]]:
    """Give an API Gateway client whose answers are put in."""
    client = aws_client("apigateway")
    with Stubber(client) as stub:
        yield client, stub
        stub.assert_no_pending_responses()


def about(version: str, *warnings: str) -> dict[str, Any]:
    """Return what API Gateway tells of a domain."""
    mutual: dict[str, Any] = {"truststoreUri": f"s3://{BUCKET}/{KEY}", "truststoreVersion": version}
    if warnings:
        mutual["truststoreWarnings"] = list(warnings)
    return {"domainName": DOMAIN, "domainNameStatus": "AVAILABLE", "mutualTlsAuthentication": mutual}


def test_the_domain_follows_the_object(s3: Any, gateway: tuple[Any, Stubber]) -> None:
    """A new version of the object is a change of the domain; the same again only looks."""
    client, stub = gateway
    version = AwsTrustStore(s3, None, f"s3://{BUCKET}/{KEY}", "").publish(ROOTS)
    change = {"op": "replace", "path": PATH, "value": version}
    stub.add_response("get_domain_name", about("older"), {"domainName": DOMAIN})
    stub.add_response(
        "update_domain_name", about(version), {"domainName": DOMAIN, "patchOperations": [change]}
    )
    stub.add_response("get_domain_name", about(version), {"domainName": DOMAIN})
    found = AwsTrustStore(s3, client, f"s3://{BUCKET}/{KEY}", DOMAIN)
    assert found.publish(ROOTS) == version
    assert found.publish(ROOTS) == version


def test_an_update_that_failed_is_made_up_for(s3: Any, gateway: tuple[Any, Stubber]) -> None:
    """The object was put and the domain was not told: publishing again tells it."""
    client, stub = gateway
    found = AwsTrustStore(s3, client, f"s3://{BUCKET}/{KEY}", DOMAIN)
    stub.add_response("get_domain_name", about("older"))
    stub.add_client_error("update_domain_name", "TooManyRequestsException", http_status_code=429)
    with pytest.raises(Unavailable):
        found.publish(ROOTS)
    version = s3.head_object(Bucket=BUCKET, Key=KEY)["VersionId"]
    stub.add_response("get_domain_name", about("older"))
    stub.add_response("update_domain_name", about(version))
    assert found.publish(ROOTS) == version


def test_warnings_are_errors(s3: Any, gateway: tuple[Any, Stubber]) -> None:
    """API Gateway goes on without the roots that it does not like: somebody has to know."""
    client, stub = gateway
    stub.add_response("get_domain_name", about("older"))
    stub.add_response("update_domain_name", about("newer", "CN=one is expired"))
    with pytest.raises(Conflict, match="does not take every root") as told:
        AwsTrustStore(s3, client, f"s3://{BUCKET}/{KEY}", DOMAIN).publish(ROOTS)
    assert told.value.problems == [{"reason": "CN=one is expired"}]


def test_a_domain_without_mutual_tls_is_refused(s3: Any, gateway: tuple[Any, Stubber]) -> None:
    """A version alone would not turn it on, and everybody would believe that it is."""
    client, stub = gateway
    stub.add_response("get_domain_name", {"domainName": DOMAIN})
    with pytest.raises(Conflict, match="mutual TLS"):
        AwsTrustStore(s3, client, f"s3://{BUCKET}/{KEY}", DOMAIN).publish(ROOTS)


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("NotFoundException", 404, Missing),
        ("ConflictException", 409, Unavailable),
        ("UnauthorizedException", 401, Forbidden),
        ("BadRequestException", 400, Forbidden),
        ("InternalFailure", 500, Unavailable),
    ],
)
def test_what_api_gateway_says_and_what_it_means(
    s3: Any, gateway: tuple[Any, Stubber], code: str, status: int, error: type[Exception]
) -> None:
    """A domain that is busy is tried again; one that is not there or not ours is not."""
    client, stub = gateway
    stub.add_client_error("get_domain_name", code, http_status_code=status)
    with pytest.raises(error, match=code):
        AwsTrustStore(s3, client, f"s3://{BUCKET}/{KEY}", DOMAIN).publish(ROOTS)
