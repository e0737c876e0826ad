"""The AwsSolutions rules of cdk-nag: any finding without a written reason fails synthesis."""

from __future__ import annotations

from aws_cdk import Acknowledgment, App, Validations
from cdk_nag import AwsSolutionsChecks
from constructs import IConstruct


def check(app: App) -> None:
    """Check everything in `app` when it is synthesized."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app, write_suppressions_to_cloud_formation=True))


def acknowledge(construct: IConstruct, rule: str, reason: str) -> None:
    """Accept one finding on one resource; the reason goes into the template's metadata.

    Of a construct with many resources its own is meant, not those below it. `rule` is the rule's id, with the
    finding in brackets where a rule can have several on one resource.
    """
    resource = construct.node.default_child or construct
    Validations.of(resource).acknowledge(Acknowledgment(id=rule, reason=reason))
