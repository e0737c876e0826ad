"""Gives access tokens for API keys, and shows the keys that sign them."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints.aws import api_gateway

handler = api_gateway("token", bootstrap)
