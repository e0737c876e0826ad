"""Gives access tokens and publishes their keys: `/v1/token`, `/oauth/token`, `/.well-known/jwks.json`."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints.aws import api_gateway

handler = api_gateway("token", bootstrap)
