"""Lets people approve by one-time links: the page at `GET /approve`, and what it posts there."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints.aws import api_gateway

handler = api_gateway("approve", bootstrap)
