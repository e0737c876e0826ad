"""One deployment on the emulator, with what stands around it on loopback: an outside Valkey and a collector.

`deploy` starts everything, deploys the app's templates and gives a `Deployment`; when its block ends nothing
of it is left. How long each phase took is in `seconds`.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from examples.loopback_hec import Collector, Server
from sentinel.local.valkey import binary
from tests.deployed import stacks
from tests.deployed.emulator import ACCOUNT, Emulator, Say, Tethered, free_port, python, run_folder

ENVIRONMENT = "emulated"
SECRETS = f"sentinel/{ENVIRONMENT}/"
DOOR_SECRETS = f"sentinel-doors/{ENVIRONMENT}/"
REDIS_SECRET = "redis"
# Stands in for mutual TLS: RFC 9440, as a proxy in front that verified the certificate would send it.
CERTIFICATE_HEADER = "Client-Cert"
HEC_SECRET = "hec"
ERASER = "auditor"  # the user who may take the role that erases


@dataclass
class Deployment:
    """What is deployed. `outputs` are the stacks' by key, `functions` the functions' names by verb."""

    emulator: Emulator
    collector: Server
    folder: Path
    outputs: Mapping[str, str]
    functions: Mapping[str, str]
    seconds: dict[str, float] = field(default_factory=dict)

    def settings(self) -> dict[str, str]:
        """Return the settings that name the deployment's tables: what the state stack's outputs describe."""
        found = {key: value for key, value in self.outputs.items() if key.startswith("SENTINEL_")}
        return {**found, "SENTINEL_SECRET_PREFIX": SECRETS, "SENTINEL_DOOR_PREFIX": DOOR_SECRETS}

    @property
    def url(self) -> str:
        """Where the paths of the service API begin: the printed address of execute-api has no way here."""
        return f"{self.emulator.endpoint}/restapis/{self.outputs['ServiceApi']}/live/_user_request_"

    @property
    def hooks_url(self) -> str:
        """Where the paths of the webhook API begin."""
        return f"{self.emulator.endpoint}/restapis/{self.outputs['WebhookApi']}/live/_user_request_"

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Note how long a block takes."""
        with _timed(self.seconds, phase):
            yield

    def sentinel(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a `sentinel` command against the deployment, as its operator."""
        return subprocess.run(
            [sys.executable, "-m", "sentinel.cli.main", *arguments],
            env={**self.emulator.environ(), **self.settings(), **settings},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def invoke(self, verb: str, event: Mapping[str, Any]) -> Any:
        """Invoke a function and return its answer, a failure of the function as `RuntimeError`."""
        answer = self.emulator.client("lambda").invoke(
            FunctionName=self.functions[verb], Payload=json.dumps(event).encode()
        )
        told = json.loads(answer["Payload"].read())
        if answer.get("FunctionError"):
            raise RuntimeError(f"{verb}: {told}")
        return told


@contextmanager
def deploy(say: Say, more: Mapping[str, object] | None = None) -> Iterator[Deployment]:
    """Deploy; `more` are options of the CDK app beside those that the emulator needs."""
    seconds: dict[str, float] = {}
    with ExitStack() as end:
        folder = end.enter_context(run_folder())
        collector = end.enter_context(_collector())
        emulator = Emulator(folder)
        end.callback(emulator.stop)

        with _timed(seconds, "environment"):
            python()
        with _timed(seconds, "start"):
            emulator.start()
            password, port = _valkey(folder, emulator, end)
        say("emulator", f"{emulator.endpoint}, Valkey on 127.0.0.1:{port}, collector {collector.url}")
        with _timed(seconds, "synthesis"):
            options = {**_options(port), **(more or {})}
            out = stacks.synthesize(folder / "cdk.out", options, _synthesis_environ(emulator))
        say("synthesized", ", ".join(sorted(path.name for path in out.glob("*.template.json"))))
        with _timed(seconds, "upload"):
            size = stacks.publish(emulator, out)
            _put_secrets(emulator, {REDIS_SECRET: password, HEC_SECRET: collector.collector.token})
        say("uploaded", f"{size / 1e6:.1f} MB of assets")
        with _timed(seconds, "stacks"):
            made = stacks.create(emulator, out)
        for name, outputs in made.items():
            say("created", f"{name}, {len(outputs)} outputs")
        yield Deployment(
            emulator, collector, folder, _described(emulator, made), _functions(emulator), seconds
        )


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    seconds[phase] = round(time.monotonic() - began, 2)


def _options(port: int) -> dict[str, object]:
    """Return the options of the app without which the emulator cannot have it."""
    return {
        "environment": ENVIRONMENT,
        "layer_target": "host",
        "rotation": False,
        "default_endpoint": True,
        "client_certificate_header": CERTIFICATE_HEADER,
        "erasers": f"arn:aws:iam::{ACCOUNT}:user/{ERASER}",
        "ingress_addresses": "0.0.0.0/0",  # the emulator listens on loopback alone
        "authorizer_cache_seconds": 5,
        "redis_url": f"redis://127.0.0.1:{port}",
        "redis_secret": REDIS_SECRET,
        "http_hosts": "127.0.0.1",
        "http_private": True,
    }


def _synthesis_environ(emulator: Emulator) -> dict[str, str]:
    """Return the environment of `app.py`, which builds layers by pip where they are not built yet."""
    pip = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "JSII_"))}
    network = {
        name: value
        for name, value in os.environ.items()
        if name.lower() in {"http_proxy", "https_proxy", "ssl_cert_file"}
    }
    return {**emulator.environ(), **pip, **network, "NO_PROXY": "127.0.0.1"}


def _put_secrets(emulator: Emulator, values: Mapping[str, str]) -> None:
    client = emulator.client("secretsmanager")
    for name, value in values.items():
        client.create_secret(Name=SECRETS + name, SecretString=value)


def _described(emulator: Emulator, made: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return all outputs by key, and those whose description names a setting by that name as well."""
    found: dict[str, str] = {}
    for name, outputs in made.items():
        (stack,) = emulator.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        for each in stack.get("Outputs", ()):
            setting = re.match(r"SENTINEL_[A-Z_]+", each.get("Description", ""))
            if setting:
                found[setting[0]] = each["OutputValue"]
        found |= outputs
    return found


def _functions(emulator: Emulator) -> dict[str, str]:
    pages = emulator.client("lambda").get_paginator("list_functions").paginate()
    return {
        each["Description"].rpartition(": ")[2]: each["FunctionName"]
        for page in pages
        for each in page["Functions"]
    }


@contextmanager
def _collector() -> Iterator[Server]:
    server = Server(Collector(secrets.token_hex(16)))
    server.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def _valkey(folder: Path, emulator: Emulator, end: ExitStack) -> tuple[str, int]:
    """Start a Valkey on a port of loopback, with a password as any machine's other users call for."""
    password, port = secrets.token_hex(16), free_port()
    home = folder / "valkey"
    home.mkdir()
    config = home / "valkey.conf"
    config.touch(mode=0o600)
    lines = ("bind 127.0.0.1", f"port {port}", f"requirepass {password}", 'save ""', f"dir {home}")
    config.write_text("\n".join(lines))
    server = Tethered([str(binary()), str(config)], emulator.environ(), home / "log")
    end.callback(server.kill)
    server.wait(lambda: _answers(port), "Valkey")
    return password, port


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def lines_of(events: Sequence[Mapping[str, Any]]) -> bytes:
    """Return events as NDJSON."""
    return b"\n".join(json.dumps(each).encode() for each in events)
