"""The AwsSolutions rules of cdk-nag: any finding without a written reason fails synthesis."""

from __future__ import annotations

from aws_cdk import Acknowledgment, App, Validations
from cdk_nag import AwsSolutionsChecks
from constructs import IConstruct


def check(app: App) -> None:
    """Check everything in `app` when it is synthesized."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def acknowledge(construct: IConstruct, rule: str, reason: str) -> None:
    """Accept one finding on one construct, with the reason, which goes into the template's metadata.

    `rule` is the rule's id, with the finding in brackets where a rule can have several on one resource.
    """
    Validations.of(construct).acknowledge(Acknowledgment(id=rule, reason=reason))
