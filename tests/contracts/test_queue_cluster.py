"""The queue on a cluster, as ElastiCache Serverless is one: a real Valkey that has all the slots."""

from __future__ import annotations

import subprocess

import pytest

from sentinel.adapters.redis_streams import RedisQueue, connect
from sentinel.errors import Unavailable


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
