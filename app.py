"""The CDK app: options in, stacks out. It asks AWS nothing, and needs neither an account nor Docker.

`python app.py` and the CDK command line give the same templates: both start from the context in
`cdk.json`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path[:0] = [str(ROOT), str(ROOT / "shared")]  # works also where the package is not installed

import infra  # noqa: E402, F401, I001 - it says which Node to use, so it comes first
from aws_cdk import App  # noqa: E402

from infra import nag  # noqa: E402
from infra.config import BadOption, Deployment  # noqa: E402
from infra.stacks import make_stacks  # noqa: E402


def make_app(context: dict[str, object] | None = None, outdir: str | None = None) -> App:
    """Make the app with the context of `cdk.json`, then `context`, then what the command line gives."""
    defaults = json.loads((ROOT / "cdk.json").read_text())["context"]
    # The command line sets this by itself; with it every resource says which construct made it.
    defaults["aws:cdk:enable-path-metadata"] = True
    # No reporting: the templates would name this app's library versions to AWS.
    app = App(context={**defaults, **(context or {})}, outdir=outdir, analytics_reporting=False)
    nag.check(app)
    make_stacks(app, Deployment.from_context(app.node.get_all_context()))
    return app


if __name__ == "__main__":
    try:
        made = make_app(outdir=os.environ.get("CDK_OUTDIR", str(ROOT / "cdk.out")))
    except BadOption as error:
        sys.exit(f"app.py: {error}")
    try:
        made.synth()
    except RuntimeError as error:  # the findings are printed already
        sys.exit(f"app.py: {error}")
