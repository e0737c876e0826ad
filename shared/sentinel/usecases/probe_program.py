"""The program that makes calls of a project in the sandbox and writes what each did. It needs nothing else.

    python probe.py CALLS.json RESULTS.json

Each call is made in a process of its own, so that none sees what another left behind and a hanging one can
be killed. It is read as a file and never imported by Sentinel: what it imports may be hostile. What it says
was said in that company, and is believed no further than the report of a test.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import itertools
import json
import os
import re
import select
import signal
import sys
from pathlib import Path
from typing import Any

CPU_SECONDS = 2.0  # of one call: so that a busy machine tells the same as an idle one
SECONDS = 20.0  # of wall time
MOST_LOST = 5  # calls that hang, before no more are made
LONGEST = 2_000  # characters of a result
MOST = 200  # elements of what is made lazily
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def told(value: object) -> str:
    """Return a value as it is compared."""
    text = f"{type(value).__name__} {value!r}"
    return ADDRESS.sub("", text)[:LONGEST]


def found(names: dict[str, list[str]]) -> dict[str, Any]:
    """Return what names of the expressions mean."""
    space: dict[str, Any] = {"__builtins__": {}}
    for name, (module, attribute) in names.items():
        loaded = importlib.import_module(module)
        space[name] = getattr(loaded, attribute) if attribute else loaded
    return space


def prepared(call: dict[str, Any]) -> tuple[Any, list[Any], dict[str, Any]]:
    """Return the function of a call and what it is given."""
    space = found(call["names"])

    def read(text: str) -> Any:
        return eval(text, space)  # noqa: S307 - literals and constructors, checked before

    target: Any = importlib.import_module(call["module"])
    if call["receiver"]:
        target = getattr(read(call["receiver"]), call["function"].rpartition(".")[2])
    else:
        for part in call["function"].split("."):
            target = getattr(target, part)
    args = [read(each) for each in call["args"]]
    args += list(read(call["star"])) if call["star"] else []
    kwargs = {name: read(each) for name, each in call["kwargs"].items()}
    kwargs.update(read(call["stars"]) if call["stars"] else {})
    return target, args, kwargs


def made(target: Any, args: list[Any], kwargs: dict[str, Any]) -> object:
    """Make a call and return its result, of what is lazy the first elements."""
    result = target(*args, **kwargs)
    if inspect.iscoroutine(result):
        result = asyncio.run(result)
    if inspect.isgenerator(result):
        result = list(itertools.islice(result, MOST))
    return result


def raised(error: BaseException) -> dict[str, object]:
    """Return where and what was raised: the last frame that is of the project."""
    here = str(Path.cwd()) + os.sep
    own, trace, last = str(Path(__file__).resolve()), error.__traceback__, None
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(here) and file != own:
            last = (
                file.removeprefix(here).replace(os.sep, "/"),
                trace.tb_frame.f_code.co_name,
                trace.tb_lineno,
            )
        trace = trace.tb_next
    path, function, line = last or ("", "", 0)
    return {
        "raised": type(error).__name__,
        "message": ADDRESS.sub("", str(error))[:LONGEST],
        "path": path,
        "function": function,
        "line": line,
    }


def tried(call: dict[str, Any]) -> dict[str, object]:
    """Return what a call did."""
    try:
        target, args, kwargs = prepared(call)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the call cannot be made
        return {"unbuilt": type(error).__name__}
    before = told(args) + told(kwargs)
    try:
        result = told(made(target, args, kwargs))
    except BaseException as error:  # noqa: BLE001 - what is raised is what is wanted
        return raised(error)
    after = told(args) + told(kwargs)
    return {"returned": result, "given": "" if before == after else after}


def alone(call: dict[str, Any]) -> dict[str, object]:
    """Make a call in a process of its own and return what it did."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)  # whose signal ends it
        with os.fdopen(writer, "w") as out:
            json.dump(tried(call), out)
        os._exit(0)
    os.close(writer)
    parts: list[bytes] = []
    while select.select([reader], [], [], SECONDS)[0]:
        part = os.read(reader, 65_536)
        if not part:
            break
        parts.append(part)
    else:
        os.kill(child, signal.SIGKILL)
    os.close(reader)
    os.waitpid(child, 0)
    try:
        result: dict[str, object] = json.loads(b"".join(parts))
    except ValueError:
        return {"lost": True}
    return result


def main(calls: str, results: str) -> None:
    """Make all calls of a file and write what they did to another."""
    given = json.loads(Path(calls).read_text())
    own = str(Path(__file__).resolve().parent)
    sys.path[:] = [*(each for each in sys.path if each != own), str(Path.cwd())]
    for module in {each["module"] for each in given}:
        try:
            importlib.import_module(module)  # once, so that each call need not
        except BaseException:  # noqa: BLE001, S112 - told of each call
            continue
    told: list[dict[str, object]] = []
    for each in given:
        lost = sum("lost" in one for one in told)
        told.append(alone(each) if lost < MOST_LOST else {"lost": True})
    Path(results).write_text(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:3])
