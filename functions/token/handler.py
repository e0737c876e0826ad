"""Gives access tokens and publishes their keys: `POST /v1/token`, `GET /.well-known/jwks.json`."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints.aws import api_gateway

handler = api_gateway("token", bootstrap)
