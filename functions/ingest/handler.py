"""Takes entries in: `POST /v1/entries` and `POST /v1/logs`."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints.aws import api_gateway

handler = api_gateway("ingest", bootstrap)
