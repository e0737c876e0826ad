"""One tree for all attacks; it is stopped, and what it logged is looked through, by the last of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.attacks import deployment
from tests.attacks.deployment import Deployment
from tests.attacks.tokens import ME, VICTIM


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The deployment that is attacked."""
    with ExitStack() as stack:
        yield deployment.start(stack, tmp_path_factory.mktemp("attacks"))


@pytest.fixture
def me(tree: Deployment) -> deployment.Member:
    """The attacker: a service with every right of its own."""
    return tree.members[ME]


@pytest.fixture
def victim(tree: Deployment) -> deployment.Member:
    """Whose things are to be had."""
    return tree.members[VICTIM]
