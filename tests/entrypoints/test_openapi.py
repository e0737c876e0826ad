"""The OpenAPI document: every route is in it, and the one in the repository is the one of the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from click.testing import CliRunner

from sentinel.cli.main import cli
from sentinel.entrypoints.api import ENDPOINTS
from sentinel.entrypoints.openapi import METHODS, OPERATIONS, document
from sentinel.entrypoints.openapi_schemas import PARAMETERS
from sentinel.entrypoints.web import STATUS
from sentinel.routes import HOOK_ROUTES, ROUTES, Route
from sentinel.webhooks import SOURCES

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = document()
ALL = (*ROUTES, *HOOK_ROUTES)


def operations(route: Route) -> list[dict[str, Any]]:
    """Return what the document has for a route."""
    path = DOCUMENT["paths"][re.sub(r"\{(\w+)\+\}", r"{\1}", route.path)]
    methods = METHODS if route.method == "ANY" else (route.method.lower(),)
    return [path[method] for method in methods]


def _resolved(value: Any) -> None:
    if isinstance(value, dict):
        if "$ref" in value:
            kind, _, name = value["$ref"].removeprefix("#/components/").partition("/")
            assert name in DOCUMENT["components"][kind], value["$ref"]
        for each in value.values():
            _resolved(each)
    if isinstance(value, list):
        for each in value:
            _resolved(each)


def test_the_document_in_the_repository_is_that_of_the_code() -> None:
    """`sentinel openapi > docs/openapi.json` changes nothing."""
    printed = CliRunner().invoke(cli, ["openapi"])
    assert printed.exit_code == 0
    assert printed.output == (ROOT / "docs" / "openapi.json").read_text(), (
        "run: sentinel openapi > docs/openapi.json"
    )
    assert json.loads(printed.output) == DOCUMENT


SERVICE_ROUTES = {(route.method, route.path) for route in ROUTES}


@pytest.mark.parametrize("route", ALL, ids=lambda each: f"{each.method} {each.path}")
def test_every_route_is_in_it(route: Route) -> None:
    """With its parameters, its door, and every status that its endpoint's errors can have."""
    for found in operations(route):
        named = {each["name"] for each in found["parameters"] if each["in"] == "path"}
        assert named == set(re.findall(r"\{(\w+)\+?\}", route.path))
        schemes = {name for each in found["security"] for name in each}
        wanted = {
            "token": {"mutualTLS", "bearer"},
            "key": {"mutualTLS", "basic"},
            "certificate": {"mutualTLS"},
            "signature": set(),
            "secret": {"basic"},
            "link": set(),
            # Where it is a route of both APIs it has a door on the other.
            "open": {"mutualTLS"} if ("GET", route.path) in SERVICE_ROUTES else set(),
        }[route.door]
        assert schemes == wanted
        if route.scope:
            assert found["security"][0]["bearer"] == [route.scope]
        assert ("401" in found["responses"]) == (
            route.door in {"token", "key", "signature", "secret", "link"}
        )
        assert {"400", "403", "413", "429", "500", "502", "503", "504"} <= set(found["responses"])


def test_nothing_else_is_in_it() -> None:
    """What is described is what is routed and answered, no more and no less."""
    routed = {(route.method, route.path) for route in ALL}
    assert set(OPERATIONS) == routed == set(ENDPOINTS)
    names = [each["operationId"] for path in DOCUMENT["paths"].values() for each in path.values()]
    assert len(names) == len(set(names))


def test_every_status_of_an_error_is_described_somewhere() -> None:
    """No kind of error is answered that the document does not know."""
    described = {
        int(each)
        for route in ALL
        for found in operations(route)
        for each in found["responses"]
        if each.isdigit()
    }
    assert set(STATUS.values()) <= described


def test_the_sources_of_webhooks_are_those_that_are_known() -> None:
    """The list of the document is the registry's."""
    assert PARAMETERS["source"]["schema"] == {"enum": list(SOURCES)}


def test_it_is_an_openapi_document() -> None:
    """Every reference leads somewhere, every schema is one, and a reader of OpenAPI 3.1 takes it."""
    _resolved(DOCUMENT)
    for name, schema in DOCUMENT["components"]["schemas"].items():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
        assert name
    loaded = schemathesis.openapi.from_dict(DOCUMENT)
    assert len(list(loaded.get_all_operations())) == len(ALL) - 1 - 1 + len(METHODS)
