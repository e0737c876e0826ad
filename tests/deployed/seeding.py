"""What an operator does with a deployment: opens its doors, pushes rules, adds services.

By the product's own commands, with the settings that the stacks' outputs name; the steps of a rotation are
called as Secrets Manager calls them, which the emulator does not.
"""

from __future__ import annotations

import json
import uuid

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.deployed.caller import Caller
from tests.deployed.deployment import HEC_SECRET, Deployment
from tests.deployed.emulator import ROOT, Say
