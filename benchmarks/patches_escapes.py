"""What hostile programs try in the sandbox: each escape is really tried, and what it came to is looked at.

Quiet ones share a run: each is a few lines that come to their end where they get through, and raise OSError
where they do not; any other error says that the probe itself is wrong, and counts as not stopped. That they
can get through is seen by running them without a sandbox, those that harm nobody then. Loud ones take a
machine's memory, processes or time, and have a run of their own. What only namespaces keep is not asked of a
build container, which is a sandbox itself.

    python -m benchmarks.patches_escapes
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.patches_escapes_loud import LOUD, Loud, left
from benchmarks.patches_escapes_quiet import DRIVER, QUIET, Quiet
from benchmarks.patches_escapes_world import World
from sentinel.core.proving import Limits, Ran

if TYPE_CHECKING:
    from sentinel.ports_patches import Sandbox

PYTHON: Final = "/usr/bin/python3"  # which every user may run, and no environment is needed for
Run = Callable[[list[tuple[str, str, bytes]], list[str]], bytes]
QUIETLY: Final = Limits(seconds=20, cpu=20, memory=500_000_000, disk=50_000_000, file=10_000_000)


@dataclass(frozen=True, slots=True)
class Escape:
    """One way out: its name, the program that tries it, and whether only namespaces stop it."""

    name: str
    program: str
    namespaces: bool


ESCAPES: Final = tuple(Escape(each.name, each.program, each.namespaces) for each in (*QUIET, *LOUD))


def quietly(run: Run, world: World, probes: Sequence[Quiet]) -> dict[str, str]:
    """Try quiet ones by a function that runs a command with files. Return what each came to."""
    programs = {"secret": repr(world.secret.encode())}
    programs |= {each.name: world.filled(each.program) for each in probes}
    texts = {"driver.py": DRIVER, "probes.json": json.dumps(programs)}
    files = [(name, "100644", text.encode()) for name, text in texts.items()]
    found: Mapping[str, str] = json.loads(run(files, ["driver.py", "probes.json"]) or b"{}")
    return {each.name: found.get(each.name, "nothing is known of it") for each in probes}


def bare(world: World) -> dict[str, str]:
    """Try with no sandbox around those that harm nobody then. Return what they came to."""

    def run(files: list[tuple[str, str, bytes]], command: list[str]) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            for path, _, data in files:
                Path(folder, path).write_bytes(data)
            done = subprocess.run([PYTHON, *command], cwd=folder, capture_output=True, timeout=60, check=True)
            return done.stdout

    return quietly(run, world, [each for each in QUIET if each.bare])


def of_sandbox(sandbox: Sandbox, world: World) -> dict[str, str]:
    """Try the quiet ones in a sandbox, beside another run whose secret is in the world. Return as `bare`."""

    def run(files: list[tuple[str, str, bytes]], command: list[str]) -> bytes:
        said = sandbox.run(files, [PYTHON, *command], QUIETLY)
        return said.out if said.code == 0 else b""

    with world.beside(sandbox, PYTHON):
        return quietly(run, world, QUIET)


def loudly(sandbox: Sandbox, loud: Loud, world: World) -> str:
    """Try one that has a run of its own. Return "stopped", or what is wrong."""
    files = [("program.py", "100644", world.filled(loud.program).encode())]
    mark = secrets.token_hex(8)  # by which its processes are found
    ran: Ran = sandbox.run(files, [PYTHON, "program.py", mark], loud.limits, bring=loud.bring)
    if not world.unharmed():
        return "a process of the host was ended"
    if still := left(mark):
        return f"processes were left: {still}"
    return "stopped" if loud.stopped(ran, world.secret) else f"it was not stopped: {ran}"


def tried(sandbox: Sandbox, *, namespaces: bool = True) -> dict[str, bool]:
    """Try every escape, and return which were stopped; `namespaces` as at `outcomes`."""
    return {
        name: said.startswith("stopped") for name, said in outcomes(sandbox, namespaces=namespaces).items()
    }


def outcomes(sandbox: Sandbox, *, namespaces: bool = True) -> dict[str, str]:
    """Try every escape, and return what each came to, which begins with "stopped" where it should.

    Without `namespaces` those that nothing else stops are left out.
    """
    with ExitStack() as held:
        world = held.enter_context(World.made())
        pool = held.enter_context(ThreadPoolExecutor(2))
        loud = [(each.name, pool.submit(loudly, sandbox, each, world)) for each in LOUD]
        found = of_sandbox(sandbox, world)
        found |= {name: future.result() for name, future in loud}
    return {each.name: found[each.name] for each in ESCAPES if namespaces or not each.namespaces}


def main() -> int:
    """Print what each came to on this machine."""
    from sentinel.adapters.sandbox_bwrap import here

    found = outcomes(here())
    for name, said in found.items():
        print(f"{name}: {said}")
    missed = [name for name, said in found.items() if not said.startswith("stopped")]
    print(f"{len(found) - len(missed)} of {len(found)} stopped")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
