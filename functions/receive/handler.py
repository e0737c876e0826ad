"""Takes webhooks in, and says who may send: `POST` and `OPTIONS /hooks/{source}/{hook}`."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints.aws import api_gateway

handler = api_gateway("receive", bootstrap)
