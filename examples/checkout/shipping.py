"""The shop's logging, shipped to Sentinel by its client library: on disk first, then sent exactly once.

It comes in by the doors: with the service's client certificate, and with an access token for its API key.
"""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from sentinel.cli.door import Credentials
from sentinel_client import SentinelHandler

EVERY = 0.1  # seconds that an entry waits for others
PATIENCE = 10.0  # seconds that a flush may take


def handler_for(url: str, service: str, credentials: Credentials | None, home: Path) -> SentinelHandler:
    """Return a handler that ships to the gateway at `url` as `service`, which `credentials` prove.

    What is not sent yet is kept below `home`. Entries name the run of the program, whose faults are its own.
    """
    return SentinelHandler(
        url=url,
        service=service,
        certificate=credentials and credentials.certificate,
        certificate_key=credentials and credentials.key,
        api_key_file=credentials and credentials.api_key,
        roots=credentials and credentials.roots,
        directory=home / "client" / service,
        fields={"instance": f"{service}-{uuid4().hex[:8]}"},
        batch_seconds=EVERY,
        exit_seconds=PATIENCE,
    )
