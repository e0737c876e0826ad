"""Issues and renews client certificates: `POST /v1/certificate`."""

from sentinel.bootstrap import bootstrap
from sentinel.entrypoints.aws import api_gateway

handler = api_gateway("certify", bootstrap)
