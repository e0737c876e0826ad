"""`sentinel openapi`: the OpenAPI document of both APIs."""

from __future__ import annotations

import json

import click


@click.command()
def openapi() -> None:
    """Print the OpenAPI 3.1 document of the service API and the webhook API, as docs/openapi.json has it."""
    from sentinel.entrypoints.openapi import document

    click.echo(json.dumps(document(), indent=1, ensure_ascii=False))
