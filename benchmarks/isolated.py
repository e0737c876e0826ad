"""Runs a handler as Lambda does: a fresh process with its asset, its layers and the standard library.

What the process is given to talk to is up to the caller: `Answers` is an endpoint that takes every request
to AWS and answers as an empty table would, so that a handler runs to its end without AWS.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from infra import bundle

ROOT = Path(__file__).resolve().parents[1]
EVENTS = ROOT / "tests" / "functions" / "events"

_PRELUDE = """
import json, sys, time
told = json.load(open(sys.argv[1]))
sys.path[:0] = told["paths"]
found = {"answer": None, "raised": "", "why": ""}
class Context:
    aws_request_id = "3f2b0a3e-0c1d-4c57-9d7c-2a1f6f1d2c11"
    def get_remaining_time_in_millis(self):
        return 25_000
began = time.perf_counter()
"""
_EPILOGUE = """
found["ms"] = (time.perf_counter() - began) * 1000
found["strangers"] = sorted(
    name for name, module in sys.modules.items()
    if (getattr(module, "__file__", None) or "").find("site-packages") >= 0
)
json.dump(found, open(sys.argv[2], "w"))
"""
_HANDLE = """
try:
    import handler
    found["answer"] = handler.handler(told["event"], Context())
except BaseException as error:
    found["raised"], found["why"] = type(error).__name__, str(error)
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: its answer or the class of what it raised, and the milliseconds from first import on.

    `strangers` are modules that came from the machine's own packages: there should be none.
    """

    answer: dict[str, Any] | None
    raised: str
    why: str
    ms: float
    strangers: list[str]
    output: str


def layers() -> list[Path]:
    """Return the folders of both layers, built for this machine and this Python."""
    target = bundle.Target.host()
    return [bundle.build_dependencies(target) / "python", bundle.build_package(target) / "python"]


def handle(verb: str, environ: Mapping[str, str], event: Mapping[str, Any] | None = None) -> Outcome:
    """Run the handler of `functions/<verb>` once, on its event file or on `event`, from its layers only."""
    return handle_in(ROOT / "functions" / verb, environ, event or read_event(verb))


def handle_in(folder: Path, environ: Mapping[str, str], event: Mapping[str, Any]) -> Outcome:
    """Run `handler.py` of a folder once, from a copy of it such as CDK uploads."""
    with tempfile.TemporaryDirectory() as work:
        asset = Path(work) / "asset"
        shutil.copytree(folder, asset, ignore=shutil.ignore_patterns("__pycache__"))
        return run(_HANDLE, [asset, *layers()], {**environ, "AWS_LAMBDA_FUNCTION_NAME": folder.name}, event)


def read_event(verb: str) -> dict[str, Any]:
    """Return the representative event of a function."""
    event: dict[str, Any] = json.loads((EVENTS / f"{verb}.json").read_text())
    return event


def run(code: str, paths: list[Path], environ: Mapping[str, str], event: object = None) -> Outcome:
    """Run `code` in a fresh, isolated process with `paths` before the standard library, and time it.

    Neither the environment's packages (`-S`) nor the user's, nor the current folder (`-I`) is seen.
    """
    with tempfile.TemporaryDirectory() as work:
        told, found = Path(work) / "told.json", Path(work) / "found.json"
        told.write_text(json.dumps({"paths": [str(path) for path in paths], "event": event}))
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-B", "-c", _PRELUDE + code + _EPILOGUE, str(told), str(found)],
            env={"AWS_EC2_METADATA_DISABLED": "true", **environ},
            cwd=work,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if not found.exists():
            raise RuntimeError(f"the process ended with {done.returncode}:\n{done.stderr}")
        result = json.loads(found.read_text())
    return Outcome(**result, output=done.stdout + done.stderr)


def aws(endpoint: str) -> dict[str, str]:
    """Return the environment that sends every AWS request to `endpoint`, with credentials of no value."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_MAX_ATTEMPTS": "1",
    }


class _Empty(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One packet an answer: split in two, each would wait some 40 ms for the client's acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True
    asked: list[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        target = self.headers.get("X-Amz-Target", self.path)
        self.asked.append(target.rpartition(".")[2])
        body = (
            b'{"Items": [], "Count": 0, "ScannedCount": 0}' if target.endswith(("Query", "Scan")) else b"{}"
        )
        self.send_response(202 if "invocations" in target else 200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Answer as an empty bucket of S3 does."""
        listing = "list-type=2" in self.path
        self.asked.append("ListObjectsV2" if listing else "GetObject")
        body = (
            b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
            if listing
            else b"<Error><Code>NoSuchKey</Code></Error>"
        )
        self.send_response(200 if listing else 404)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing: the run's own output is what counts."""


@contextmanager
def empty_aws() -> Iterator[tuple[str, list[str]]]:
    """Serve AWS on loopback as if every table were empty; yields its address and what was asked."""
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Empty", (_Empty,), {"asked": asked}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
