"""Lets requests in, or not: the service API's authorizer."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints.aws import api_gateway

handler = api_gateway("authorize", bootstrap)
