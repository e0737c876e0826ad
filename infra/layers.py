"""The two layers every function gets: `runtime` (pinned dependencies) and `sentinel` (the package).

A third, `ai`, has the SDKs of models, for the one function that asks them.

They are apart because they change apart: a release of the package uploads a few hundred kilobytes. Boto3
is not taken from the Lambda runtime: its version there changes without a deployment. CDK sees them as
assets that are bundled by a local builder, so no Docker is asked for, and named by our own hash, so that
no build is needed to know whether anything changed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import jsii
from aws_cdk import AssetHashType, BundlingOptions, DockerImage, ILocalBundling, aws_lambda
from constructs import Construct

from infra import bundle
from infra.config import Deployment


@jsii.implements(ILocalBundling)
class _Folder:
    """Hands a built folder over to CDK, built when CDK asks, which it does only for stacks it bundles."""

    def __init__(self, build: Callable[[], Path]) -> None:
        self._build = build

    def try_bundle(self, output_dir: str, *_options: object, **_more: object) -> bool:
        shutil.copytree(self._build(), output_dir, dirs_exist_ok=True)
        return True


class Layers(Construct):
    """`all` is what a function lists, in order; `ai` what one that asks models lists besides."""

    def __init__(self, scope: Construct, construct_id: str, deployment: Deployment) -> None:
        super().__init__(scope, construct_id)
        self._target = target = target_of(deployment)
        self.runtime = runtime_of(deployment)
        self.all = [
            self._layer(
                "Runtime",
                bundle.REQUIREMENTS.parent,
                bundle.dependencies_hash(target),
                lambda: bundle.build_dependencies(target),
            ),
            self._layer(
                "Sentinel",
                bundle.PACKAGE,
                bundle.package_hash(target),
                lambda: bundle.build_package(target),
            ),
        ]

    @cached_property
    def ai(self) -> aws_lambda.LayerVersion:
        """The layer with the SDKs of models, made where a function lists it."""
        return self._layer(
            "Ai",
            bundle.AI_REQUIREMENTS.parent,
            bundle.ai_hash(self._target),
            lambda: bundle.build_ai(self._target),
        )

    def _layer(
        self, name: str, source: Path, asset_hash: str, build: Callable[[], Path]
    ) -> aws_lambda.LayerVersion:
        code = aws_lambda.Code.from_asset(
            str(source),
            asset_hash=asset_hash,
            asset_hash_type=AssetHashType.CUSTOM,
            bundling=BundlingOptions(
                # Never pulled: the local builder always answers.
                image=DockerImage.from_registry("scratch"),
                local=_Folder(build),
            ),
        )
        return aws_lambda.LayerVersion(
            self,
            name,
            code=code,
            description=f"Sentinel: {name.lower()} for Python {self._target.python}",
            compatible_runtimes=[self.runtime],
            compatible_architectures=[aws_lambda.Architecture.ARM_64],
        )


def target_of(deployment: Deployment) -> bundle.Target:
    """Return what the layers are built for: Lambda, or this machine, where an emulator runs the functions."""
    host = deployment.layer_target == "host"
    return bundle.Target.host() if host else bundle.Target.aws(deployment.python)


def runtime_of(deployment: Deployment) -> aws_lambda.Runtime:
    """Return the Lambda runtime of a deployment's functions."""
    return {
        "3.12": aws_lambda.Runtime.PYTHON_3_12,
        "3.13": aws_lambda.Runtime.PYTHON_3_13,
        "3.14": aws_lambda.Runtime.PYTHON_3_14,
    }[deployment.python]
