"""Rotates keys and secrets, and publishes the trust store."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints.aws import api_gateway

handler = api_gateway("rotate", bootstrap)
