"""What a call of the client libraries costs who calls, against their peers.

All contenders log the same entry, a message with two fields, INFO, to a file on one disk, in one process and
in turns: rounds of 100 calls each, every call timed. Ours have the write-ahead log (fsync by interval) and
masking on; a transport that writes another file runs meanwhile in its thread, so that what a shipper takes of
the interpreter is in the figures. Peers are set up as their manuals have it for production: the standard
library's `FileHandler` with the usual formatter around `json.dumps`; structlog with `orjson` and
`BytesLogger`; loguru with `serialize`, for comparison only.

Ratios are of medians. Without orjson, ours take the standard library's encoder. Import times are CPU times
of interpreters of their own, in turns with such that import nothing. The TypeScript client's figures come
from `clients/typescript/bench/bench.mjs`.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import loguru
import orjson
import structlog

from benchmarks.report import report
from sentinel_client import Client, SentinelHandler, get_logger

ROOT = Path(__file__).resolve().parents[1]
NODE = ROOT / "clients" / "typescript" / "bench" / "bench.mjs"
ROUNDS, WARM, CALLS = 120, 5, 100
IMPORTS = 15
TARGETS: dict[str, dict[str, float]] = {
    "handler_to_stdlib": {"at_most": 1.0},
    "native_to_structlog": {"at_most": 1.0},
    "disabled_us": {"at_most": 0.2},
    "import_ms": {"at_most": 40.0},
    "wheel_kb": {"at_most": 100.0},
    "lost": {"at_most": 0},
    "ts_to_pino_sync": {"at_most": 2.0},
    "ts_to_winston_file": {"at_most": 1.0},
}
_PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
Call = Callable[[], object]


class JsonFormatter(logging.Formatter):
    """The formatter that programs write for themselves."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a JSON object on a line."""
        told: dict[str, Any] = {
            "time": record.created,
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        told |= {name: value for name, value in record.__dict__.items() if name not in _PLAIN}
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str)


def by_logging(name: str, handler: logging.Handler) -> Call:
    """Return a call of `logging` that ends in a handler."""
    logger = logging.getLogger(f"benchmark.{name}")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    return lambda: logger.info("paid", extra={"order": 1234, "amount": 12.5})


def by_structlog(path: Path) -> Call:
    """Return a call of structlog, as its chapter on performance has it."""
    logger = structlog.wrap_logger(
        structlog.BytesLogger(path.open("ab")),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    ).bind(logger="checkout")
    return lambda: logger.info("paid", order=1234, amount=12.5)


def by_loguru(path: Path) -> Call:
    """Return a call of loguru that writes JSON."""
    loguru.logger.remove()
    loguru.logger.add(path, serialize=True, level="INFO")
    return lambda: loguru.logger.info("paid", order=1234, amount=12.5)


@contextmanager
def client(folder: Path, fast: bool) -> Iterator[Client]:
    """Make a client as it is by default but for its transport; without orjson where not `fast`."""
    held = sys.modules["orjson"]
    if not fast:
        sys.modules["orjson"] = None  # type: ignore[assignment] # so that importing it fails
    try:
        sent = {"kind": "file", "path": str(folder / "sent.ndjson")}
        made = Client(service="benchmark", directory=folder / "log", transports=[sent])
    finally:
        sys.modules["orjson"] = held
    try:
        yield made
    finally:
        made.close(5)


def timed(contenders: dict[str, Call]) -> dict[str, list[int]]:
    """Return what each call took in nanoseconds, by contender, who take turns."""
    took: dict[str, list[int]] = {name: [] for name in contenders}
    clock = time.perf_counter_ns
    for turn in range(WARM + ROUNDS):
        for name, call in contenders.items():
            kept = took[name] if turn >= WARM else []
            for _ in range(CALLS):
                began = clock()
                call()
                kept.append(clock() - began)
    return took


def calls(folder: Path) -> dict[str, float]:
    """Return what calls cost, in microseconds."""
    stdlib = logging.FileHandler(folder / "stdlib.ndjson")
    stdlib.setFormatter(JsonFormatter())
    with client(folder / "fast", True) as fast, client(folder / "plain", False) as plain:
        native, slow = get_logger("checkout", fast), get_logger("checkout", plain)
        took = timed(
            {
                "handler": by_logging("ours", SentinelHandler(client=fast)),
                "stdlib": by_logging("stdlib", stdlib),
                "native": lambda: native.info("paid", order=1234, amount=12.5),
                "structlog": by_structlog(folder / "structlog.ndjson"),
                "handler_without_orjson": by_logging("plain", SentinelHandler(client=plain)),
                "native_without_orjson": lambda: slow.info("paid", order=1234, amount=12.5),
                "loguru": by_loguru(folder / "loguru.ndjson"),
            }
        )
        lost = sum(fast.counts.total().values()) + sum(plain.counts.total().values())
        disabled = min(_seconds(lambda: native.debug("paid", order=1234, amount=12.5)) for _ in range(200))
        nothing = min(_seconds(lambda: None) for _ in range(200))
    stdlib.close()
    loguru.logger.remove()
    figures = {}
    for name, values in took.items():
        figures[f"{name}_us"] = statistics.median(values) / 1000
        figures[f"{name}_p99_us"] = statistics.quantiles(values, n=100)[98] / 1000
    figures["handler_to_stdlib"] = figures["handler_us"] / figures["stdlib_us"]
    figures["native_to_structlog"] = figures["native_us"] / figures["structlog_us"]
    figures["disabled_us"] = (disabled - nothing) * 1e6
    return {**figures, "lost": float(lost)}


def _seconds(call: Call, times: int = 500) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - began) / times


def imports() -> dict[str, float]:
    """Return the milliseconds of CPU that imports add to an interpreter's start."""
    programs = {
        "nothing": "pass",
        "import_package": "import sentinel_client",
        "import": "from sentinel_client import SentinelHandler, get_logger, install",
        "logging": "import logging",
    }
    took: dict[str, list[float]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as compiled:
        environ = {**os.environ, "PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
        for turn in range(1 + IMPORTS):
            for name, program in programs.items():
                pid = os.posix_spawn(sys.executable, [sys.executable, "-c", program], environ)
                _, code, used = os.wait4(pid, 0)
                if code:
                    raise RuntimeError(program)
                took[name] += [used.ru_utime + used.ru_stime] if turn else []  # the first one compiles
    base = statistics.median(took.pop("nothing"))
    return {f"{name}_ms": (statistics.median(values) - base) * 1000 for name, values in took.items()}


def wheel() -> dict[str, float]:
    """Return the size of the wheel in kilobytes."""
    from hatchling.builders.wheel import WheelBuilder

    with tempfile.TemporaryDirectory() as folder:
        built = next(WheelBuilder(str(ROOT / "clients" / "python")).build(directory=folder))
        return {"wheel_kb": Path(built).stat().st_size / 1000}


def typescript() -> dict[str, float]:
    """Return the TypeScript client's figures; it is built first, for which npm asks its registry."""
    places = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    node = shutil.which("node", path=places)
    if node is None:
        raise RuntimeError("Node is not there; make setup brings it")
    environ = {**os.environ, "PATH": places}
    build = [node, "build.mjs", "--install"]
    subprocess.run(build, cwd=NODE.parents[1], env=environ, check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run([node, str(NODE)], capture_output=True, text=True, check=True, cwd=NODE.parent)
    told = json.loads(done.stdout.strip().splitlines()[-1])
    figures = {f"ts_{name}": told["ratios"][name] for name in ("to_pino_sync", "to_winston_file", "to_write")}
    for name in ("sentinel", "pino_sync", "winston_file", "write"):
        figures |= {f"ts_{name}_us": told[name]["median_us"], f"ts_{name}_p99_us": told[name]["p99_us"]}
    return figures | {"ts_gate_us": told["gate"]["us"]}


def main() -> int:
    """Measure everything, and report."""
    with tempfile.TemporaryDirectory() as folder:
        figures = calls(Path(folder))
    figures |= imports() | wheel()
    figures |= typescript()
    return 0 if report("clients", figures, TARGETS) else 1


if __name__ == "__main__":
    sys.exit(main())
