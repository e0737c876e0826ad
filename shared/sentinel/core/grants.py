"""Grants: what a deployment lets its steps touch outside of plain HTTP. Nothing is allowed unless listed.

A recipe is data that its author pushes; these lists are the deployment's, and the two are decided apart. A
name in a list stands for itself, one that ends in `*` for whatever begins so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sentinel.core import urls
from sentinel.errors import Forbidden, Malformed

# The settings that say what steps may touch.
SETTINGS = (
    "aws_roles",
    "aws_functions",
    "aws_documents",
    "aws_services",
    "aws_topics",
    "aws_buckets",
    "k8s_clusters",
    "k8s_deployments",
    "terraform_url",
    "terraform_workspaces",
    "git_folders",
)
_ROLE = re.compile(r"arn:(aws[a-z-]*):iam::(\d{12}):role/[\w+=,.@/-]{1,512}")
_BOUNDS = re.compile(r"(\d{1,5})\.\.(\d{1,5})")


@dataclass(frozen=True, slots=True)
class Role:
    """A role's ARN, and its partition and account, which say whose resources a bare name means."""

    arn: str
    partition: str
    account: str


@dataclass(frozen=True, slots=True)
class Grants:
    """The lists of one deployment; empty ones grant nothing.

    `roles` is by action. `services` are ECS services as `cluster/service`, with the least and the greatest
    number of tasks a step may ask for, or None where it may not. `clusters` maps the names of Kubernetes
    clusters to their servers' URLs; `deployments` are `cluster/namespace/deployment`. `workspaces` are ids of
    Terraform workspaces, `terraform` the URL of the server that has them. `folders` are git repositories of
    this machine, by their whole paths.
    """

    roles: Mapping[str, Role] = field(default_factory=dict)
    functions: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    services: Mapping[str, tuple[int, int] | None] = field(default_factory=dict)
    topics: tuple[str, ...] = ()
    buckets: tuple[str, ...] = ()
    clusters: Mapping[str, str] = field(default_factory=dict)
    deployments: tuple[str, ...] = ()
    workspaces: tuple[str, ...] = ()
    terraform: str = "https://app.terraform.io"
    folders: tuple[str, ...] = ()

    def role(self, action: str) -> Role:
        """Return the role of an action. Raises `Forbidden` where the deployment grants it none."""
        found = self.roles.get(action)
        if found is None:
            raise Forbidden(f"{action} is off: grant a role: add {action}=ROLE_ARN to SENTINEL_AWS_ROLES")
        return found

    def bounds(self, service: str) -> tuple[int, int] | None:
        """Return the bounds of an ECS service's tasks. Raises `Forbidden` where it is not listed."""
        listed = (*filter(lambda name: _covers(name, service), self.services),)
        if not listed:
            raise Forbidden(f"steps may not touch {service}: add it to SENTINEL_AWS_SERVICES to allow it")
        return self.services[max(listed, key=len)]  # the most exact one counts


def allowed(name: str, listed: Iterable[str], setting: str) -> None:
    """Raise `Forbidden` where `name` is not in a list; `setting` is the variable that holds the list.

    >>> allowed("restart-cart", ["restart-*"], "SENTINEL_AWS_FUNCTIONS")
    >>> allowed("delete-cart", ["restart-*"], "SENTINEL_AWS_FUNCTIONS")
    Traceback (most recent call last):
    sentinel.errors.Forbidden: steps may not touch delete-cart: add it to SENTINEL_AWS_FUNCTIONS to allow it
    """
    if not any(_covers(each, name) for each in listed):
        raise Forbidden(f"steps may not touch {name}: add it to {setting} to allow it")


def _covers(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def parse_names(text: str, setting: str) -> tuple[str, ...]:
    """Parse a comma separated list of names. Raises `Malformed` for a `*` that is not at an end.

    >>> parse_names("restart-*, scale", "SENTINEL_AWS_FUNCTIONS")
    ('restart-*', 'scale')
    """
    names = (*filter(None, map(str.strip, text.split(","))),)
    if any("*" in name[:-1] for name in names):
        raise Malformed(f"{setting}: a * may only stand at the end of a name")
    return names


def parse_pairs(text: str, setting: str) -> dict[str, str]:
    """Parse comma separated name=value pairs, each name once. Raises `Malformed`."""
    found: dict[str, str] = {}
    for pair in parse_names(text, setting):
        name, _, value = map(str.strip, pair.partition("="))
        if not name or not value or name in found:
            raise Malformed(f"{setting}: it holds name=value pairs, comma separated, each name once")
        found[name] = value
    return found


def parse_roles(text: str, setting: str) -> dict[str, Role]:
    """Parse action=role ARN pairs. An ARN holds no comma here, though IAM's names may.

    >>> parse_roles("notify=arn:aws:iam::111122223333:role/tell", "SENTINEL_AWS_ROLES")["notify"].account
    '111122223333'
    """
    found = {}
    for action, arn in parse_pairs(text, setting).items():
        parts = _ROLE.fullmatch(arn)
        if parts is None:
            raise Malformed(f"{setting}: {action}: a role is written arn:aws:iam::ACCOUNT:role/NAME")
        found[action] = Role(arn, parts[1], parts[2])
    return found


def parse_services(text: str, setting: str) -> dict[str, tuple[int, int] | None]:
    """Parse `cluster/service` or `cluster/service=2..10`, comma separated.

    >>> parse_services("shop/cart=1..6, shop/web-*", "SENTINEL_AWS_SERVICES")
    {'shop/cart': (1, 6), 'shop/web-*': None}
    """
    found: dict[str, tuple[int, int] | None] = {}
    for each in filter(None, map(str.strip, text.split(","))):
        name, equals, span = map(str.strip, each.partition("="))
        bounds = _BOUNDS.fullmatch(span)
        parse_names(name, setting)
        if name.count("/") != 1 or bool(equals) != bool(bounds):
            raise Malformed(f"{setting}: a service is written cluster/service or cluster/service=1..6")
        found[name] = (int(bounds[1]), int(bounds[2])) if bounds else None
    return found


def parse_clusters(text: str, setting: str) -> dict[str, str]:
    """Parse name=https://server pairs. Raises `Malformed` without quoting them."""
    found = parse_pairs(text, setting)
    for name, url in found.items():
        try:
            parts = urls.parse(url)
        except ValueError as error:
            raise Malformed(f"{setting}: {name}: {error}") from None
        if parts.scheme != "https" or parts.query or parts.fragment:
            raise Malformed(f"{setting}: {name}: the URL begins with https:// and has no query")
    return {name: url.rstrip("/") for name, url in found.items()}


def parse(texts: Mapping[str, str]) -> Grants:
    """Return the grants of `SETTINGS`, given by name. Raises `Malformed` with the variable of a bad one."""
    variable = {name: f"SENTINEL_{name.upper()}" for name in SETTINGS}

    def names(setting: str) -> tuple[str, ...]:
        return parse_names(texts[setting], variable[setting])

    server = f"terraform={texts['terraform_url']}"
    return Grants(
        roles=parse_roles(texts["aws_roles"], variable["aws_roles"]),
        functions=names("aws_functions"),
        documents=names("aws_documents"),
        services=parse_services(texts["aws_services"], variable["aws_services"]),
        topics=names("aws_topics"),
        buckets=names("aws_buckets"),
        clusters=parse_clusters(texts["k8s_clusters"], variable["k8s_clusters"]),
        deployments=names("k8s_deployments"),
        workspaces=names("terraform_workspaces"),
        terraform=parse_clusters(server, variable["terraform_url"])["terraform"],
        folders=names("git_folders"),
    )
