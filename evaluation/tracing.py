"""Makes a case's trace: has its project fail for real and writes the event that a Sentry SDK would send.

    python -m evaluation.tracing evaluation/cases/NAME

It runs the case's `provoke.py` with the project's `src` (or the project) first on the path, and writes
`trace.json`: an event in Sentry's form, frames outermost first, with the variables of each frame as their
`repr`, as sentry-sdk has them. Paths of frames are as they would be on a server, below `/srv/app/`.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from types import TracebackType

APP = "/srv/app"
MOST_VARS = 20
LONGEST = 1024  # characters of one variable
OUTER = INNER = 20  # frames that a recursion keeps at its two ends; ingestion cuts the middle out as well


def frames_of(trace: TracebackType | None, project: Path) -> list[dict[str, object]]:
    """Return the frames of a traceback that are in the project, outermost first; of many, the two ends."""
    frames: list[dict[str, object]] = []
    while trace is not None:
        code, path = trace.tb_frame.f_code, Path(trace.tb_frame.f_code.co_filename).resolve()
        if path.is_relative_to(project):
            frames.append(_frame(project, path.relative_to(project), code.co_qualname, trace))
        trace = trace.tb_next
    return frames if len(frames) <= OUTER + INNER else frames[:OUTER] + frames[-INNER:]


def _frame(project: Path, path: Path, function: str, trace: TracebackType) -> dict[str, object]:
    told = list(trace.tb_frame.f_locals.items())[:MOST_VARS]
    lines = (project / path).read_text().splitlines()
    root = path.relative_to("src") if path.parts[0] == "src" else path
    return {
        "filename": root.as_posix(),
        "abs_path": f"{APP}/{path.as_posix()}",
        "module": ".".join(root.with_suffix("").parts).removesuffix(".__init__"),
        "function": function.rpartition(".")[2],
        "lineno": trace.tb_lineno,
        "context_line": lines[trace.tb_lineno - 1],
        "in_app": True,
        "vars": {name: repr(value)[:LONGEST] for name, value in told if not name.startswith("__")},
    }


def trace_of(case: Path) -> dict[str, object]:
    """Have a case fail and return its event. Raises `SystemExit` where it does not fail."""
    project = (case / "project").resolve()
    sys.path[:0] = [str(project / "src"), str(project)]
    sys.dont_write_bytecode = True
    try:
        runpy.run_path(str(case / "provoke.py"), run_name="__main__")
    except Exception as error:  # noqa: BLE001 - whatever a case fails with is its trace
        value = {
            "type": type(error).__name__,
            "module": type(error).__module__,
            "value": str(error),
            "stacktrace": {"frames": frames_of(error.__traceback__, project)},
        }
        return {
            "event_id": "0" * 32,
            "platform": "python",
            "level": "error",
            "exception": {"values": [value]},
        }
    raise SystemExit(f"{case}: provoke.py does not fail")


if __name__ == "__main__":
    place = Path(sys.argv[1])
    (place / "trace.json").write_text(json.dumps(trace_of(place), indent=1, ensure_ascii=False) + "\n")
