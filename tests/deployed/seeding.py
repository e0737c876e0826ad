"""What an operator does with a deployment: opens its doors, pushes rules, adds services.

By the product's own commands, with the settings that the stacks' outputs name; the steps of a rotation are
called as Secrets Manager calls them, which the emulator does not.
"""

from __future__ import annotations

import json
import subprocess
import sys

from tests.deployed.caller import Caller, signing_request
from tests.deployed.deployment import HEC_SECRET, Deployment
from tests.deployed.emulator import ROOT, Say

RULES = ROOT / "examples" / "rules" / "login-failures.yml"
RECIPE = """
id: tell-of-failed-logins
on: {rule: failed_login_burst}
dedup: {by: [source], within: 1h}
steps:
  - {id: tell, uses: siem.send, with: {to: [hec]}}
"""
SINKS = "sinks: {hec: {kind: splunk, url: '%s', token: %s, index: main}}\n"


def direct(deployed, *a, stdin=b""):
    d = subprocess.run([sys.executable, str(ROOT / "tests/deployed/seed_directly.py"), *a], env={**deployed.emulator.environ(), **deployed.settings()}, input=stdin, capture_output=True)
    assert d.returncode == 0, d.stderr.decode()
    return d.stdout.decode()

def open_doors(deployed: Deployment, say: Say) -> None:
    """Make the CA's root and the first signing key."""
    direct(deployed, "open")
    say("ca", "its root, signed by a key of KMS")


def push(deployed: Deployment, say: Say) -> None:
    """Push a rule, a recipe and a sink into the catalog."""
    (deployed.folder / "recipe.yaml").write_text(RECIPE)
    (deployed.folder / "sinks.yaml").write_text(SINKS % (deployed.collector.url, HEC_SECRET))
    done = deployed.sentinel("recipes", "push", str(RULES), "recipe.yaml", "sinks.yaml")
    assert done.returncode == 0, done.stderr
    say("pushed", "a rule, a recipe and a sink")


def add(deployed: Deployment, service: str, scopes: str, say: Say) -> Caller:
    """Add a service and have a certificate issued for it."""
    told = json.loads(direct(deployed, "add", service, scopes))
    key, request = signing_request(service)
    pem = direct(deployed, "issue", service, stdin=request)
    say("service", f"{service}, with an API key and a certificate")
    return Caller(deployed.url, service, pem, told["api_key"], told["usage"])
