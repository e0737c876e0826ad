"""Takes webhooks in, `POST /hooks/{source}/{hook}`, and log events, `POST /services/collector`."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints.aws import api_gateway

handler = api_gateway("receive", bootstrap)
