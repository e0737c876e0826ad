"""Moto's API Gateway, without the OpenAPI validator for which its backend asks at import.

The validator reads OpenAPI documents that are brought in as APIs, which no test here does; it would be a
dozen more packages.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from moto import mock_aws

from tests.contracts.secret_stores import aws_client


def _stand_in() -> None:
    if importlib.util.find_spec("openapi_spec_validator") is not None:
        return
    for name in ("", ".validation", ".validation.exceptions"):
        made: Any = ModuleType(f"openapi_spec_validator{name}")
        made.__path__ = []
        made.validate = None
        made.OpenAPIValidationError = ValueError
        sys.modules[made.__name__] = made


@contextmanager
def api_gateway() -> Iterator[Any]:
    """Give a client of API Gateway in a moto account of its own."""
    if "openapi_spec_validator" not in sys.modules:
        _stand_in()
    with mock_aws():
        yield aws_client("apigateway")
