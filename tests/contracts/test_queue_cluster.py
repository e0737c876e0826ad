"""The queue on a cluster, as ElastiCache Serverless is one: a real Valkey that has all the slots."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from sentinel.adapters.redis_streams import RedisQueue, connect
from sentinel.errors import Unavailable

from tests.valkey import binary


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run one node that has all slots; give its address and process."""
    port, bus = _free_port(), _free_port()
    command = [
        *(binary(), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(tmp_path), "--save", ""),
        *("--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-require-full-coverage", "yes"),
    ]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        node = redis.Redis(port=port)
        deadline = time.monotonic() + 20
        assigned = False
        while not assigned or node.cluster("info")["cluster_state"] != "ok":
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()[-2000:]
            try:
                assigned = assigned or bool(node.cluster("addslotsrange", 0, 16383))
            except redis.ConnectionError:
                time.sleep(0.02)
        node.close()
        yield f"redis://127.0.0.1:{port}", process
        process.kill()


def test_the_queue_works_on_a_cluster(cluster: tuple[str, subprocess.Popen[bytes]]) -> None:
    """All calls work with the cluster's client, on streams in different slots; what is away is said."""
    url, process = cluster
    queue = RedisQueue(connect(url, cluster=True))
    for stream in ("siem", "action"):
        queue.add(stream, [f"{stream}{n}" for n in range(30)])
        hints = queue.take(stream, "dead", 20, 0)
        queue.done(stream, hints[:5])
        found = []
        while claimed := queue.claim(stream, "w", 0, 4):
            found += [hint.task_id for hint in claimed]
            if len(found) >= 15:
                break
        assert found == [f"{stream}{n}" for n in range(5, 20)]
        assert len(queue.take(stream, "w", 20, 50)) == 10
    queue.bury("task", "why")
    connect(url, cluster=True).flushall()
    assert queue.take("siem", "w", 1, 0) == []
    process.kill()
    process.wait()
    with pytest.raises(Unavailable):
        queue.add("siem", ["x"])
    with pytest.raises(Unavailable):
        connect(url, cluster=True)
