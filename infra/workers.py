"""The workers: one function a stream, each with what its steps need and no more.

Those of patches are apart from each other on purpose: `work_read` reads repositories and has patches tried,
`work_ai` asks models, `work_git` proposes changes. What one of them is talked into by a log line, a file or a
model stays within its own rights, and none has the secrets of another.
"""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import aws_codebuild
from constructs import Construct

from infra import access
from infra.blobs import ASKED, BLOBS, JOBS, REPORTS
from infra.factory import Factory, Stores
from infra.function import Function, Spec
from infra.proving import Proving
from sentinel.core.secret_kinds import MODEL, PUBLISH, READ


@dataclass(frozen=True, slots=True)
class Kind:
    """What sets a worker apart: memory in MB, timeout in seconds, and `secrets`, how their names begin."""

    memory: int = 512
    timeout: int = 300
    secrets: str = ""
    sdks: bool = False


KINDS = {"siem": Kind(), "action": Kind()}
# A model may take five minutes to answer, and a repository is fetched whole: these have as long as there is.
PATCHING = {
    "read": Kind(memory=1769, timeout=900, secrets=READ),
    "ai": Kind(timeout=900, secrets=MODEL, sdks=True),
    "git": Kind(secrets=PUBLISH),
}
WHOSE = {
    "read": "of repositories, for reading them,",
    "ai": "of models",
    "git": "of repositories, for proposing to them,",
}

# What of the bucket each may do: who asks models sees masked prompts and answers, and no file.
FOLDERS = {
    "read": ((BLOBS, "GetObject", "PutObject"), (ASKED, "GetObject", "PutObject")),
    "ai": ((ASKED, "GetObject", "PutObject"),),
    "git": ((BLOBS, "GetObject"),),
}


class Workers:
    """`by_stream` has them; `proving` is where patches are tried, if any are made."""

    def __init__(self, scope: Construct, make: Factory, stores: Stores) -> None:
        self._make = make
        self._stores = stores
        self.by_stream = {stream: self._add(stream, kind) for stream, kind in KINDS.items()}
        for stream, function in self.by_stream.items():
            make.allow_roles(function, f"{stream.title()}WorkerRole", told=stream == "siem")
            make.allow_sinks_secrets(function)
        make.show_blobs(self.by_stream["action"])
        self.proving: Proving | None = None
        if stores.blobs is not None:
            self.proving = Proving(scope, "Proving", make.deployment, stores.blobs, make.key)
            self.by_stream |= {stream: self._add_patching(stream) for stream in PATCHING}
            self._allow_proving(self.by_stream["read"], self.proving.project)

    def _add(self, stream: str, kind: Kind, **more: object) -> Function:
        """Make a worker with what every worker may: take tasks, and read what they are about."""
        tables = self._stores.tables
        to = self._make.deployment
        touched = {} if kind.secrets else to.action_settings  # of what approvers are shown, too
        settings = self._make.settings(
            tasks_table=tables.tasks.table_name,
            catalog_table=tables.catalog.table_name,
            counters_table=tables.counters.table_name,
            http_hosts=to.http_hosts,
            http_private=to.http_private,
            **self._make.signed(),
            **touched,
            **{**self._make.redis(), "secret_prefix": to.secrets},
            **more,
        )
        spec = Spec(
            f"work_{stream}",
            settings,
            memory=kind.memory,
            timeout=kind.timeout,
            network="workers",
            hinted=True,
            reserved=to.worker_concurrency,
            sdks=kind.sdks,
        )
        worker = self._make.make(f"Work{stream.title()}", spec)
        self._make.allow_reading(worker)
        worker.allow(
            access.on_table(tables.tasks, "GetItem", "PutItem", "Query", "UpdateItem"),
            access.on_table(tables.catalog, "GetItem", "Query"),
            # Limits, rates and pauses.
            access.on_table(tables.counters, "GetItem", "PutItem"),
            self._make.authors(),
        )
        self._make.allow_archive(worker)
        return worker

    def _add_patching(self, stream: str) -> Function:
        kind = PATCHING[stream]
        more: dict[str, object] = {}
        if stream == "read" and self.proving is not None:
            more["prove_project"] = self.proving.project.ref
            more["prove_images"] = ",".join(self._make.deployment.prove_image_list)
        worker = self._add(stream, kind, **more)
        for folder, *actions in FOLDERS[stream]:
            self._make.allow_objects(worker, folder, *actions)
        self._make.allow_secrets(
            worker,
            self._make.deployment.secrets + kind.secrets,
            "GetSecretValue",
            reason=f"The secrets {WHOSE[stream]} below this deployment's prefix and their own: they are "
            "added without a deployment, so their names are not known here.",
        )
        return worker

    def _allow_proving(self, reader: Function, project: aws_codebuild.CfnProject) -> None:
        actions = ("StartBuild", "BatchGetBuilds", "StopBuild")
        reader.allow(access.allow([f"codebuild:{action}" for action in actions], [project.attr_arn]))
        self._make.allow_objects(reader, JOBS, "PutObject")
        self._make.allow_objects(reader, REPORTS, "GetObject")
