"""What tests of several folders share: a real Valkey, a client of it, and what is known of AWS."""

from __future__ import annotations

import functools
import socket
import subprocess
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.doctest import DoctestModule
from hypothesis import HealthCheck, settings

from tests.sampling import thorough
from tests.valkey import Valkey, binary, running

if TYPE_CHECKING:
    import redis

# An example may take longer than 200 ms, and drawing some longer than a second, where others use the machine.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# What shares something that is dear, and so stays on one worker.
TOGETHER = ("tests/attacks/", "tests/deployed/", "tests/infra/")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep some folders together with `--dist loadgroup`.

    The marks for it have no effect: pytest 9.2 has no attribute into which xdist 3.8 writes the groups.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Folders(LoadScopeScheduling):  # type: ignore[misc] # it has no types
        def _split_scope(self, nodeid: str) -> str:
            return next((folder for folder in TOGETHER if nodeid.startswith(folder)), nodeid)

        def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
            """Forget what is done: it is gone through after each test to count what is left."""
            work, nodeid = self.assigned_work[node], self.registered_collections[node][item_index]
            super().mark_test_complete(node, item_index, duration)
            scope = self._split_scope(nodeid)
            if all(work[scope].values()):
                del work[scope]

    return Folders(config, log) if config.getvalue("dist") == "loadgroup" else None


@pytest.hookimpl(wrapper=True)
def pytest_collect_file() -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Look for doctests in the code alone: tests have none, and looking takes half of all collecting."""
    return [each for each in (yield) if not isinstance(each, DoctestModule)]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked `nightly`, unless all is to be tried, or it is asked for by its name."""
    if thorough() or any("::" in each for each in config.args):
        return
    left = [item for item in items if item.get_closest_marker("nightly")]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if not item.get_closest_marker("nightly")]


@pytest.fixture(scope="session", autouse=True)
def _descriptions_of_aws() -> Iterator[None]:
    """Read the descriptions of AWS's services once, not for each session of botocore.

    It reads them for the first client of a session, and most tests have a session of their own. Moto gets
    its requests from botocore; what it sets up for `requests`, too, takes as long again, and nothing uses it.
    """
    import botocore.loaders
    import moto.core.models

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.session.create_loader", functools.cache(botocore.loaders.create_loader))
        patch.setattr(moto.core.models, "RESPONSES_METHODS", [])
        yield


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """Run one server for all of these tests."""
    with running(tmp_path_factory.mktemp("valkey")) as found:
        yield found


@pytest.fixture
def client(server: Valkey) -> Iterator[redis.Redis]:
    """Connect to the server, emptied."""
    from sentinel.adapters.redis_streams import connect

    made = connect(server.url)
    made.flushall()
    yield made
    made.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run one node that has all slots; give its address and process."""
    process, port = _node(tmp_path)
    while not port:
        process, port = _node(tmp_path)
    yield f"redis://127.0.0.1:{port}", process
    process.kill()
    process.wait()


def _node(folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start a node that has all slots; return its process and port: 0 where somebody else just took it."""
    import redis

    port, bus = _free_port(), _free_port()
    command = [
        *(binary(), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", ""),
        *("--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-require-full-coverage", "yes"),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    node = redis.Redis(port=port)
    deadline = time.monotonic() + 60
    assigned = False
    try:
        while not assigned or node.cluster("info")["cluster_state"] != "ok":
            assert time.monotonic() < deadline, (folder / "log").read_text()[-2000:]
            if process.poll() is not None:
                assert "bind" in (folder / "log").read_text()
                return process, 0
            try:
                assigned = assigned or bool(node.cluster("addslotsrange", 0, 16383))
            except redis.RedisError:
                time.sleep(0.02)
    except BaseException:
        process.kill()
        raise
    finally:
        node.close()
    return process, port
