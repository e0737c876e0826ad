"""The whole Python client against the real local gateway with all its doors: what is logged is stored."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import logging
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import sentinel_client
from sentinel.bootstrap import application
from sentinel.cli.clients import local_credentials
from sentinel_client._signing import verify
from sentinel_client._types import Batch
from tests.e2e.trees import ROOT, Tree, environment, until, up
from tests.sampling import thorough


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """Run one tree with all doors."""
    with up(tmp_path_factory.mktemp("clients") / "home", insecure=False) as running:
        yield running


def options(tree: Tree, service: str, folder: Path) -> dict[str, Any]:
    """Return the options of a service that the tree knows."""
    found = local_credentials(tree.home, tree.url, service, lambda _: None)
    assert found is not None
    return {
        "url": tree.url,
        "service": service,
        "certificate": str(found.certificate),
        "certificate_key": str(found.key),
        "api_key_file": str(found.api_key),
        "roots": str(found.roots),
        "directory": str(folder),
    }


def stored(tree: Tree, service: str) -> list[dict[str, Any]]:
    """Return the entries of a service that the ledger has, its chains verified."""
    app = application(str(tree.home))
    found = []
    for head in app.inspect.heads():
        if head.chain.startswith(f"{service}/"):
            app.inspect.verify(head.chain)
            for segment in app.inspect.export(head.chain):
                held: Any = segment["entries"]
                found += [json.loads(entry) for entry in held]
    return found


def arrived(tree: Tree, service: str, enough: Callable[[list[dict[str, Any]]], bool]) -> None:
    """Wait until enough of a service's entries are stored; they are looked at now and then: that costs."""
    end = time.monotonic() + 60
    while not enough(stored(tree, service)):
        assert time.monotonic() < end, "not all arrived"
        time.sleep(0.3)


def test_what_is_logged_is_in_the_ledger_with_a_checked_receipt(tree: Tree, tmp_path: Path) -> None:
    """Native calls and records, masked, once each; the receipt fits what was sent, and is kept."""
    private = Ed25519PrivateKey.generate()
    key = tmp_path / "signing.pem"
    key.touch(0o600)
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    told = options(tree, "shop", tmp_path / "log") | {"integrity": "ed25519", "signing_key_file": str(key)}
    client = sentinel_client.install(**told, fields={"env": "test"})
    try:
        log = sentinel_client.get_logger("shop.native")
        with sentinel_client.context(request_id="r-1"):
            log.info("paid", order=7, card="4111 1111 1111 1111")
            logging.getLogger("shop.records").warning("declined %s", "card", extra={"order": 8})
        try:
            dict[str, int]()["price"]
        except KeyError:
            log.exception("failed")
        assert client.flush(30), client.stats()
        (sent,) = client.stats()["transports"]
        assert (sent["sent"], sent["altered"], sent["refused"], sent["why"]) == (3, 0, 0, "")
    finally:
        sentinel_client.uninstall()
    entries = stored(tree, "shop")
    assert [each["message"] for each in entries] == ["paid", "declined card", "failed"]
    assert all((each["env"], each.get("request_id", "r-1")) == ("test", "r-1") for each in entries)
    assert not re.search("4111 ?1111", json.dumps(entries))  # "4111" may be of a time, or of a hash
    assert entries[0]["card"].startswith("[[card:")
    assert entries[2]["exception"]["frames"][-1]["function"].startswith("test_what_is_logged")
    receipts = (tmp_path / "log" / "receipts.ndjson").read_text().splitlines()
    assert sum(json.loads(each)["count"] for each in receipts) == 3
    check_signatures(tree, private.public_key().public_bytes_raw())


def check_signatures(tree: Tree, public: bytes) -> None:
    """Check that every segment of the shop has its producer's signature of the batch."""
    app = application(str(tree.home))
    chains = [head.chain for head in app.inspect.heads() if head.chain.startswith("shop/")]
    for segment in (each for chain in chains for each in app.inspect.export(chain)):
        held: Any = segment["entries"]
        context = json.loads(str(segment["context"]))
        sent = [
            Batch(context["instance"], first, len(held), [entry.encode() for entry in held])
            for first in range(3)
        ]
        batch = next(each for each in sent if each.id.hex() == context["batch"])
        assert verify(batch, context["signature"], public)


SCRIPT = """
import logging, os, sys
import sentinel_client
client = sentinel_client.install()
log = sentinel_client.get_logger("program")
log.info("parent", n=1)
child = os.fork()
if child == 0:
    log.info("child", n=2)
    logging.getLogger("records").info("child", extra={"n": 3})
    client.close(20)
    os._exit(0)
os.waitpid(child, 0)
log.info("parent", n=4)
if sys.argv[1] == "kill":
    os.kill(os.getpid(), 9)
raise ValueError("end")
"""


def test_a_program_that_ends_or_is_killed_loses_nothing(tree: Tree, tmp_path: Path) -> None:
    """What a killed program left is sent by the next; a forked child has its own log; nothing is doubled."""
    told = {
        f"SENTINEL_{name.upper()}": value for name, value in options(tree, "forks", tmp_path / "log").items()
    }
    for how in ("kill", "end"):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, how],
            env=environment(**told, SENTINEL_EXIT_SECONDS="20", PYTHONPATH=os.environ.get("PYTHONPATH", "")),
            cwd=ROOT / "clients" / "python",
            capture_output=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == (-9 if how == "kill" else 1), done.stderr
    log = sentinel_client.Client(**options(tree, "forks", tmp_path / "log"))
    try:
        arrived(tree, "forks", lambda found: len(found) >= 9 or not log.flush(5))
    finally:
        log.close()
    found = sorted((each["message"], each.get("n", 0)) for each in stored(tree, "forks"))
    once = [("child", 2), ("child", 3), ("parent", 1), ("parent", 4)]
    assert found == sorted([*once, *once, ("uncaught exception", 0)])


def test_a_gateway_that_is_away_costs_a_call_nothing(tmp_path: Path) -> None:
    """Nobody listens: calls return at once, `flush` says no in its time, and the entry stays on disk."""
    client = sentinel_client.Client(url="http://127.0.0.1:9", service="s", directory=tmp_path / "log")
    before = time.monotonic()
    client.log("INFO", "kept")
    assert client.flush(0.3) is False
    assert client.close(0.3) is False
    assert time.monotonic() - before < 20
    assert client.stats()["counts"] == {}
    (segment,) = (tmp_path / "log").glob("*/*.wal")
    assert b'"message":"kept"' in segment.read_bytes()


@contextlib.contextmanager
def running(
    command: list[str], told: dict[str, Any], folder: Path, listener: socket.socket | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of the folder with options in its environment; at the end it is asked to end.

    It inherits `listener`: a port that is only looked up for it may be another's by the time it listens.
    """
    named = {f"SENTINEL_{name.upper()}": str(value) for name, value in told.items()}
    path = os.pathsep.join([str(folder), str(ROOT / "clients" / "python")])
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=environment(
                **named,
                QUEUE=str(folder / "queue"),
                PYTHONPATH=path,
                SENTINEL_BATCH_SECONDS="0.1",
                PYTHONUNBUFFERED="1",
            ),
            stdout=output,
            stderr=output,
            pass_fds=[listener.fileno()] if listener else [],
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            finally:
                process.kill()
                process.wait()


def fetch(port: int, path: str) -> bytes:
    """Ask a server on loopback."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    except OSError:
        return b""
    finally:
        connection.close()


WSGI = """
import os, time
import sentinel_client
from sentinel_client.wsgi import SentinelMiddleware

sentinel_client.install()
log = sentinel_client.get_logger("app")
log.info("loaded", pid=os.getpid())

def serve(environ, start):
    log.info("served", pid=os.getpid(), path=environ["PATH_INFO"])
    time.sleep(0.05)
    start("200 OK", [])
    return [str(os.getpid()).encode()]

app = SentinelMiddleware(serve)
"""


def test_workers_of_gunicorn_each_have_a_log_of_their_own(tree: Tree, tmp_path: Path) -> None:
    """Loaded before the fork or not: what each of two workers logs is stored once."""
    told = options(tree, "gunicorn", tmp_path / "log")
    (tmp_path / "web.py").write_text(WSGI)
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    port = listener.getsockname()[1]
    command = ["gunicorn", "--preload", "-w", "2", "-b", f"fd://{listener.fileno()}", "web:app"]
    asked = 0
    pids: set[bytes] = set()
    with listener, running(command, told, tmp_path, listener):
        until(lambda: fetch(port, "/"), (tmp_path / "output").read_text())
        while len(pids) < 2:
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                found = list(pool.map(lambda at: fetch(port, f"/{at}"), range(asked, asked + 8)))
            asked += 8
            assert all(found)
            pids |= set(found)
            assert asked < 4_000, (tmp_path / "output").read_text()
        paths = {f"/{at}" for at in range(asked)}
        arrived(tree, "gunicorn", lambda found: paths <= {each.get("path") for each in found})
    entries = stored(tree, "gunicorn")
    served = [each for each in entries if each["message"] == "served" and each["path"] != "/"]
    assert sorted(each["path"] for each in served) == sorted(paths)
    assert {str(each["pid"]).encode() for each in served} == pids
    assert all(len(each["request_id"]) == 32 for each in served)
    assert len([each for each in entries if each["message"] == "loaded"]) == 1
    producers = {path.parent.name for path in (tmp_path / "log").glob("*/state.json")}
    assert all(name.startswith("py-") for name in producers)


ASGI = """
from fastapi import FastAPI
import sentinel_client
from sentinel_client.asgi import SentinelMiddleware

sentinel_client.install()
log = sentinel_client.get_logger("app")
app = FastAPI()
app.add_middleware(SentinelMiddleware)

@app.get("/{name}")
async def serve(name: str):
    log.info("served", name=name)
    return name
"""


def test_a_worker_of_uvicorn_logs_and_sends(tree: Tree, tmp_path: Path) -> None:
    """Requests of a real server are stored with what was logged in them."""
    told = options(tree, "uvicorn", tmp_path / "log")
    (tmp_path / "web.py").write_text(ASGI)
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    port = listener.getsockname()[1]
    with listener, running(["uvicorn", "web:app", "--fd", str(listener.fileno())], told, tmp_path, listener):
        until(lambda: fetch(port, "/one"), "it does not answer")
        arrived(tree, "uvicorn", lambda found: len(found) >= 2)
    served, request = sorted(stored(tree, "uvicorn"), key=lambda each: float(each["time"]))[:2]
    assert (served["message"], served["name"]) == ("served", "one")
    assert (request["message"], request["status"]) == ("GET /{name}", 200)
    assert served["request_id"] == request["request_id"]


CELERY = """
import logging, os
from celery import Celery
import sentinel_client, sentinel_client.celery

sentinel_client.install()
sentinel_client.celery.connect()
app = Celery("jobs", broker="filesystem://")
folder = os.environ["QUEUE"]
app.conf.broker_transport_options = {name: folder for name in ("data_folder_in", "data_folder_out")}
app.conf.broker_transport_options["control_folder"] = folder + "/control"
app.conf.worker_enable_remote_control = False
log = logging.getLogger("jobs")

@app.task(name="pay")
def pay(order):
    log.info("paid", extra={"order": order})
    if order == 8:
        raise KeyError("price")

if __name__ == "__main__":
    trace = dict(trace_id="4bf92f3577b34da6a3ce929d0e0e4736", span_id="00f067aa0ba902b7")
    with sentinel_client.context(**trace):
        pay.delay(7)
    pay.delay(8)
    pay.apply(args=(9,), task_id="eager")
"""


@pytest.mark.skipif(not thorough(), reason="starting Celery twice takes 7 s of CPU: each night")
def test_tasks_of_celery_have_their_id_and_trace(tree: Tree, tmp_path: Path) -> None:
    """In a forked worker and eagerly; the trace goes with the task, and failures have their exception."""
    told = options(tree, "celery", tmp_path / "log")
    (tmp_path / "jobs.py").write_text(CELERY)
    queue = tmp_path / "queue"
    (queue / "control").mkdir(parents=True)
    with running(["jobs"], {**told, "exit_seconds": 20}, tmp_path) as sender:
        assert sender.wait(60) == 0, (tmp_path / "output").read_text()
    command = [
        "celery",
        "-A",
        "jobs",
        "worker",
        "-c",
        "1",
        "-l",
        "INFO",
        "--without-gossip",
        "--without-mingle",
    ]

    with running(command, told, tmp_path):
        arrived(tree, "celery", lambda found: any("exception" in each for each in found))
    found = stored(tree, "celery")
    paid = [each for each in found if each["message"] == "paid"]
    by_order = {each["order"]: each for each in paid}
    assert (set(by_order), len(paid)) == ({7, 8, 9}, 3)
    assert all(each["task"] == "pay" for each in by_order.values())
    assert by_order[9]["task_id"] == "eager"
    assert by_order[7]["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert "trace_id" not in by_order[8]
    (failed,) = (each for each in found if "exception" in each)
    assert failed["exception"]["type"] == "KeyError"
    assert failed["task_id"] == by_order[8]["task_id"]
