"""What the transparency log keeps outside of the ledger's table: checkpoints, tiles, and the key that signs.

Checkpoints are in a bucket of their own. Object Lock in compliance mode keeps every version of every object
for `sentinel:checkpoint_days`: nobody can shorten that, no administrator and no root user. The bucket's
policy adds that nothing is put where something is already (`If-None-Match`), and that nothing is deleted,
hidden by a delete marker or taken out of its retention; it can be removed, which CloudTrail tells, and then
the first version of an object still counts (`adapters/log_s3.py`). Tiles are in the other bucket, with the
archive (`archive.py`): they can be made anew from the ledger, and whatever is read from them is held against
a signed root.

The key is of Ed25519, for which KMS has a spec of its own. It cannot be rotated in place: who loses it, or
wants another, begins a new log under another name (`sentinel:log_name`). Its own policy denies signing to
everybody but the functions that do: one signs checkpoints, and where somebody may erase another one signs the
records of that, whose text it makes itself.
"""

from __future__ import annotations

from aws_cdk import Aws, CfnOutput, Duration, RemovalPolicy, Stack, aws_iam, aws_kms, aws_s3
from constructs import Construct

from infra import access
from infra.blobs import accept_objects
from infra.config import Deployment
from infra.function import Function
from infra.nag import acknowledge
from sentinel.settings import Settings

SIGN = ("kms:GetPublicKey", "kms:Sign")
LOG = "log/"  # what the keys of checkpoints and tiles begin with, as `adapters/log_s3.py` has it
FOREVER = (
    "s3:BypassGovernanceRetention",
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:PutObjectLegalHold",
    "s3:PutObjectRetention",
)


class LogState(Construct):
    """`checkpoints` is a bucket, `archive` that of tiles, `key` signs; the methods give rights."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        deployment: Deployment,
        key: aws_kms.IKey | None,
        archive: aws_s3.IBucket,
    ) -> None:
        super().__init__(scope, construct_id)
        self._deployment = deployment
        self._store_key = key
        self._kept = RemovalPolicy.RETAIN if deployment.keep else RemovalPolicy.DESTROY
        self.checkpoints = self._make_checkpoints()
        self.archive = archive
        self.key = aws_kms.Key(
            self,
            "Key",
            description=f"Sentinel {deployment.environment}: signs checkpoints",
            key_spec=aws_kms.KeySpec.ECC_NIST_EDWARDS25519,
            key_usage=aws_kms.KeyUsage.SIGN_VERIFY,
            removal_policy=self._kept,
        )
        self.key.add_to_resource_policy(_few_sign(deployment))
        self._tell()

    def settings(self) -> Settings:
        """Return the settings of who has to do with the log."""
        return Settings(
            log=self._deployment.log_name,
            log_key=self.key.key_id,
            log_bucket=self.checkpoints.bucket_name,
            archive_bucket=self.archive.bucket_name,
        )

    def seals(self, function: Function) -> None:
        """Let a function sign checkpoints, and put them and tiles."""
        self._reads(function, SIGN, ("PutObject",))

    def records(self, function: Function) -> None:
        """Let a function sign records of erasures, for which it needs nothing but the key and its name."""
        function.allow(access.allow(SIGN, [self.key.key_arn]))
        settings = self.settings()
        for name, value in Settings(log=settings.log, log_key=settings.log_key).to_environ().items():
            function.function.add_environment(name, value)

    def reads(self, function: Function) -> None:
        """Let a function read checkpoints and tiles, and know the key."""
        self._reads(function, ("kms:GetPublicKey",), ())

    def _reads(self, function: Function, key: tuple[str, ...], puts: tuple[str, ...]) -> None:
        checkpoints, archive = self.checkpoints, self.archive
        objects = [f"s3:{action}" for action in ("GetObjectVersion", *puts)]
        function.allow(
            access.allow(key, [self.key.key_arn]),
            access.allow(objects, [checkpoints.arn_for_objects(f"{LOG}*")]),
            # Versions: of each checkpoint the first one counts.
            access.allow(
                ["s3:ListBucketVersions"], [checkpoints.bucket_arn], StringLike={"s3:prefix": f"{LOG}*"}
            ),
            *access.on_objects(archive, LOG, "GetObject", *puts),
        )
        accept_objects(function.policy, checkpoints, LOG)
        accept_objects(function.policy, archive, LOG)
        if self._store_key:
            function.allow(access.use_key(self._store_key, "s3"))
        for name, value in self.settings().to_environ().items():
            function.function.add_environment(name, value)

    def _make_checkpoints(self) -> aws_s3.Bucket:
        days = Duration.days(self._deployment.checkpoint_days)
        bucket = aws_s3.Bucket(
            self,
            "Checkpoints",
            versioned=True,
            object_lock_enabled=True,
            object_lock_default_retention=aws_s3.ObjectLockRetention.compliance(days),
            # Checkpoints are made to be shown: what counts is who may write, and S3's own key is enough.
            encryption=aws_s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=aws_s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            removal_policy=self._kept,
        )
        objects = bucket.arn_for_objects("*")
        for statement in (
            _deny("NobodyDeletesACheckpoint", FOREVER, objects),
            # An upload in parts has the header on its end alone; the key says which request makes an object.
            _deny(
                "NobodyWritesOverACheckpoint",
                ("s3:PutObject",),
                objects,
                Null={"s3:if-none-match": "true"},
                Bool={"s3:ObjectCreationOperation": "true"},
            ),
        ):
            bucket.add_to_resource_policy(statement)
        acknowledge(
            bucket,
            "AwsSolutions-S1",
            "Every object is signed, numbered without gaps and locked, so the bucket is its own record; who "
            "else reads it CloudTrail's data events can say.",
        )
        return bucket

    def _tell(self) -> None:
        """Output what the command line needs: each output's description is the variable that takes it."""
        names = {"log": "LogName", "log_key": "LogKey", "log_bucket": "Checkpoints"}
        settings = self.settings()
        for field, output in names.items():
            CfnOutput(
                Stack.of(self),
                output,
                value=getattr(settings, field),
                description=f"SENTINEL_{field.upper()}",
            )


def _few_sign(deployment: Deployment) -> aws_iam.PolicyStatement:
    """Deny signing to whoever is not one of the functions that sign, in the key's own policy.

    Their roles have names, since this stack is made before them.
    """
    signers = ["seal", *(["record"] if deployment.erasers else [])]
    roles = [f"arn:{Aws.PARTITION}:iam::{Aws.ACCOUNT_ID}:role/{deployment.name_of(verb)}" for verb in signers]
    # In a key's own policy the resource is the key.
    return _deny("FewSign", ("kms:Sign",), "*", ArnNotEquals={"aws:PrincipalArn": roles})


def _deny(sid: str, actions: tuple[str, ...], resource: str, **conditions: object) -> aws_iam.PolicyStatement:
    return aws_iam.PolicyStatement(
        sid=sid,
        effect=aws_iam.Effect.DENY,
        principals=[aws_iam.AnyPrincipal()],
        actions=list(actions),
        resources=[resource],
        conditions=conditions or None,
    )
