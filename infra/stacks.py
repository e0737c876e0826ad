"""The stacks: what is kept, what the cache needs, and the service, which can be torn down and made again."""

from __future__ import annotations

from typing import Any

from aws_cdk import App, CfnOutput, Environment, RemovalPolicy, Stack, Tags, aws_iam, aws_kms
from constructs import Construct

from infra.alarms import Alarms
from infra.api import Api
from infra.archive import Archive
from infra.blobs import Blobs
from infra.config import Deployment
from infra.door_state import DoorState
from infra.erasure import Erasure
from infra.factory import Stores
from infra.feeds import Feeds
from infra.function import Platform
from infra.functions import Functions
from infra.layers import Layers
from infra.ledger import Ledger
from infra.log import LogState
from infra.network import Cache, Network, Placement, Redis, outside_placement, outside_redis
from infra.rest_api import LogRole
from infra.schedules import Rotations, Schedules
from infra.tasks import Tasks
from infra.webhook_api import WebhookApi
from sentinel.settings import Settings


class StateStack(Stack):
    """The tables with the key that encrypts them where there is one, what doors and log keep, and blobs.

    All of it stays when everything else goes.
    """

    def __init__(self, scope: Construct, construct_id: str, deployment: Deployment, **props: Any) -> None:
        super().__init__(scope, construct_id, termination_protection=deployment.keep, **props)
        self.key = self._make_key(deployment) if deployment.customer_key else None
        self.data_key = self._make_data_key(deployment) if deployment.own_encryption else None
        erasure = Erasure(self, "Erasure", deployment) if deployment.erasers else None
        eraser = erasure.role if erasure else None
        self.ledger = Ledger(self, "Ledger", deployment, self.key, eraser)
        self.tasks = Tasks(self, "Tasks", deployment, self.key, eraser)
        self.doors = DoorState(self, "Doors", deployment)
        self.archive = Archive(self, "Archive", deployment, self.key).bucket
        self.log = LogState(self, "Log", deployment, self.key, self.archive)
        self.blobs = Blobs(self, "Blobs", deployment, self.key).bucket if deployment.patches else None
        if erasure:
            erasure.allow(self.ledger.table, self.tasks, (self.data_key, self.key), self.blobs)
            erasure.allow_log(self.log, self.archive, self.key)
        tables = {
            "ledger": self.ledger.table,
            "tasks": self.tasks.tasks,
            "catalog": self.tasks.catalog,
            "counters": self.tasks.counters,
            "registry": self.tasks.registry,
            "alerts": self.tasks.alerts,
            "keys": self.tasks.keys,
        }
        for name, table in tables.items():
            variable = f"SENTINEL_{name.upper()}_TABLE"
            CfnOutput(self, f"{name.title()}Name", value=table.table_name, description=variable)

    def _make_data_key(self, deployment: Deployment) -> aws_kms.Key:
        key = aws_kms.Key(
            self,
            "DataKey",
            description=f"Sentinel {deployment.environment}: data keys of encrypted services",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.RETAIN if deployment.keep else RemovalPolicy.DESTROY,
        )
        CfnOutput(self, "DataKeyArn", value=key.key_arn, description="SENTINEL_DATA_KEY")
        return key

    def _make_key(self, deployment: Deployment) -> aws_kms.Key:
        key = aws_kms.Key(
            self,
            "Key",
            description=f"Sentinel {deployment.environment}: tables and logs",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.RETAIN if deployment.keep else RemovalPolicy.DESTROY,
        )
        context = {
            "kms:EncryptionContext:aws:logs:arn": self.format_arn(
                service="logs", resource="log-group", resource_name="*"
            ).replace("log-group/", "log-group:")
        }
        key.add_to_resource_policy(
            aws_iam.PolicyStatement(
                sid="LogsOfThisAccount",
                principals=[aws_iam.ServicePrincipal(f"logs.{self.region}.amazonaws.com")],
                actions=[
                    "kms:Decrypt",
                    "kms:DescribeKey",
                    "kms:Encrypt",
                    "kms:GenerateDataKey*",
                    "kms:ReEncrypt*",
                ],
                resources=["*"],  # in a key's own policy: the key
                conditions={"ArnLike": context},
            )
        )
        return key


class NetworkStack(Stack):
    """The cache and its VPC: only where the deployment has its own, with the types that cost when idle."""

    def __init__(self, scope: Construct, construct_id: str, deployment: Deployment, **props: Any) -> None:
        super().__init__(scope, construct_id, **props)
        network = Network(self, "Network", deployment)
        self.placement = network.placement
        self.redis = Cache(self, "Cache", deployment, network).redis


class ServiceStack(Stack):
    """Functions, feeds, schedules and the APIs: nothing in it holds data."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        deployment: Deployment,
        state: StateStack,
        network: NetworkStack | None,
        **props: Any,
    ) -> None:
        super().__init__(scope, construct_id, **props)
        placement, redis = self._reach(deployment, network)
        platform = Platform(deployment, Layers(self, "Layers", deployment), placement, state.key)
        stores = Stores(
            *(state.ledger, state.tasks, state.doors, redis, state.log, state.archive),
            blobs=state.blobs,
            data_key=state.data_key,
        )
        functions = Functions(self, "Functions", platform, stores)
        self.functions = functions
        feeds = Feeds(self, "Feeds", functions, state.ledger, state.tasks, deployment.detect_parallelism)
        Schedules(self, "Schedules", functions)
        Alarms(self, "Alarms", deployment, functions, feeds)
        if deployment.rotation:
            Rotations(self, "Rotations", state.doors.signing, functions.doors.rotate)
        self._open(platform, state.doors)

    def _open(self, platform: Platform, doors: DoorState) -> None:
        """Make both APIs, and say what rotates the secrets that are made at run time."""
        functions = self.functions
        api = Api(self, "Api", platform, functions.by_verb, doors.trust_store_uri)
        hooks = WebhookApi(self, "Hooks", platform, functions.by_verb)
        for name, value in Settings(approve_url=hooks.address).to_environ().items():
            functions.doors.by_verb["token"].function.add_environment(name, value)
        if platform.deployment.api_account_role:
            LogRole(self, "LogRole", [api.rest, hooks.rest])
        rotate = functions.doors.rotate.function.function_arn
        CfnOutput(
            self, "RotateFunction", value=rotate, description="What rotates secrets of services and hooks"
        )

    def _reach(self, deployment: Deployment, network: NetworkStack | None) -> tuple[Placement | None, Redis]:
        if network:
            return network.placement, network.redis
        return outside_placement(self, deployment), outside_redis(deployment)


def make_stacks(app: App, deployment: Deployment) -> ServiceStack:
    """Make the stacks of a deployment. The account may stay open; the region may not."""
    env = Environment(account=deployment.account or None, region=deployment.region)
    name = deployment.environment
    Tags.of(app).add("application", "sentinel")
    Tags.of(app).add("environment", name)
    state = StateStack(
        app,
        f"SentinelState-{name}",
        deployment,
        env=env,
        description="Sentinel: ledger, tasks and doors (kept)",
    )
    network = None
    if deployment.own_cache:
        network = NetworkStack(
            app, f"SentinelNetwork-{name}", deployment, env=env, description="Sentinel: cache and its VPC"
        )
    return ServiceStack(
        app,
        f"SentinelService-{name}",
        deployment,
        state,
        network,
        env=env,
        description="Sentinel: functions, feeds, schedules and APIs (disposable)",
    )
