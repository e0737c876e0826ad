"""What a program in the sandbox sees of the host's files, as arguments of bubblewrap: all of it read-only.

The system's programs and libraries, and of a Python environment its own folder and what is needed of the
interpreter that it was made from, wherever that lies: `bin` and `lib` of its prefix, nothing beside them.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_SMALL = ("/etc/ld.so.cache", "/etc/alternatives")
_HOPS = 10  # links from an environment's interpreter to a program
PASSWD = b"root:x:0:0::/nonexistent:/usr/sbin/nologin\nsandbox:x:1000:1000::/tmp/home:/usr/sbin/nologin\n"
GROUP = b"root:x:0:\nsandbox:x:1000:\n"
HOSTS = b"127.0.0.1 localhost\n::1 localhost\n"
UID = 1000  # as the program sees itself


def interpreter() -> str:
    """Return the program of the interpreter that runs this, outside of any environment."""
    name = f"python{sysconfig.get_python_version()}"
    found = Path(sys.base_exec_prefix, "bin", name)
    return str(found) if found.exists() else str(Path(sys.executable).resolve())


@cache
def system() -> tuple[str, ...]:
    """Return the arguments for the system's own programs."""
    made = ["--ro-bind", "/usr", "/usr"]
    for name in _SYSTEM:
        path = Path("/", name)
        if path.is_symlink():
            made += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            made += ["--ro-bind", str(path), str(path)]
    made += ["--dir", "/etc"]
    for small in _SMALL:
        made += ["--ro-bind-try", small, small]
    return tuple(made)


def of_environment(environment: str) -> tuple[str, ...]:
    """Return the arguments for an environment ("" for none) and for the starter's interpreter."""
    seen = dict.fromkeys(_prefixes(Path(interpreter())))
    if environment:
        seen |= dict.fromkeys(_prefixes(Path(environment, "bin", "python")))
        if Path(environment, "pyvenv.cfg").exists():
            seen[Path(environment)] = None
    made: list[str] = []
    shown: set[Path] = set()
    for path in seen:
        if path.is_relative_to("/usr") or any(path.is_relative_to(other) for other in seen if other != path):
            continue
        for parent in reversed(path.parents[:-1]):
            if parent not in shown:
                shown.add(parent)
                made += ["--dir", str(parent)]
        made += ["--ro-bind", str(path.resolve()), str(path)]
    return tuple(made)


def _prefixes(program: Path) -> Iterator[Path]:
    """Yield the folders that an interpreter and the links to it lie in, with their libraries."""
    for _ in range(_HOPS):
        prefix = program.parent.parent
        if program.parent.name == "bin" and len(prefix.parts) > 1:
            yield from (each for each in (prefix / "bin", prefix / "lib") if each.is_dir())
        if not program.is_symlink():
            return
        program = program.parent / program.readlink()
