"""Escapes that take what a machine has, or outlive their run: each has its own run, with small limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent
from typing import Final

from sentinel.core.proving import Limits, Ran

SMALL: Final = Limits(
    seconds=10, cpu=10, memory=120_000_000, processes=24, disk=16_000_000, file=4_000_000, output=20_000
)
SOON: Final = 6.0  # seconds after which nothing of it may have gone on, on a busy machine


@dataclass(frozen=True, slots=True)
class Loud:
    """One program, its limits, what is brought out of it, and by what it is seen that it was stopped."""

    name: str
    program: str
    stopped: Callable[[Ran, str], bool]
    limits: Limits = SMALL
    bring: tuple[str, ...] = ()
    namespaces: bool = False


def left(mark: str) -> list[str]:
    """Return the processes of this machine whose command has a word."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes().split(b"\0"):
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def _at(limit: str) -> Callable[[Ran, str], bool]:
    return lambda ran, _: ran.ended == limit


def _l(
    name: str, program: str, stopped: Callable[[Ran, str], bool], limits: Limits = SMALL, **more: object
) -> Loud:
    text = "import ctypes, mmap, os, signal, sys, threading, time\n" + dedent(program).strip() + "\n"
    return Loud(name, text, stopped, limits, **more)  # type: ignore[arg-type] # its other fields


LOUD: Final = (
    _l(
        "fork bomb",
        "while True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
        _at("processes"),
    ),
    _l(
        "bomb of threads",
        """
        while True:
            try:
                threading.Thread(target=time.sleep, args=(60,)).start()
            except RuntimeError:
                pass
        """,
        _at("processes"),
    ),
    _l(
        "memory of one process",
        "kept = []\nwhile True:\n    kept.append(bytearray(b'x' * 4_000_000))",
        _at("memory"),
    ),
    _l(
        "memory of many processes",
        """
        for _ in range(10):
            if not os.fork():
                kept = bytearray(b'x' * 30_000_000)
                time.sleep(60)
        time.sleep(60)
        """,
        _at("memory"),
    ),
    _l(
        "memory that is shared",
        """
        kept = mmap.mmap(-1, 1 << 30)
        for at in range(0, 1 << 30, 4096):
            kept[at] = 1
        time.sleep(60)
        """,
        _at("memory"),
    ),
    _l(
        "one large file",
        """
        try:
            with open('large', 'wb') as file:
                for _ in range(1000):
                    file.write(bytes(100_000))
        except OSError:
            pass
        sys.exit(os.path.getsize('large') > 4_000_000)
        """,
        lambda ran, _: ran.code == 0,
    ),
    _l(
        "a full disk",
        """
        while True:
            for at in range(1000):
                try:
                    with open(f'/tmp/{os.getpid()}-{at}', 'wb') as file:
                        file.write(bytes(1_000_000))
                except OSError:
                    pass
        """,
        _at("disk"),
    ),
    _l(
        "a full /dev/shm",
        """
        while True:
            for at in range(1000):
                try:
                    with open(f'/dev/shm/{os.getpid()}-{at}', 'wb') as file:
                        file.write(bytes(100_000))
                except OSError:
                    pass
        """,
        _at("disk"),
    ),
    _l(
        "many small files",
        "for at in range(1_000_000):\n    os.close(os.open(f'f{at}', os.O_CREAT))",
        _at("disk"),
        replace(SMALL, disk=2_000_000),
    ),
    _l(
        "many folders",
        "for at in range(1_000_000):\n    os.mkdir(f'f{at}')",
        _at("disk"),
        replace(SMALL, disk=2_000_000),
    ),
    _l(
        "time of many processors",
        "os.fork()\nos.fork()\nwhile True:\n    pass",
        _at("cpu"),
        replace(SMALL, cpu=1.0),
    ),
    _l(
        "a program that hangs",
        """
        for number in range(1, 64):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        while True:
            time.sleep(60)
        """,
        _at("seconds"),
        replace(SMALL, seconds=0.5),
    ),
    _l(
        "output without an end",
        "while True:\n    os.write(1, b'x' * 65536)",
        lambda ran, _: ran.ended == "output" and len(ran.out) + len(ran.err) <= SMALL.output + 100,
    ),
    _l(
        "daemons",
        """
        for _ in range(3):
            if not os.fork():
                os.setsid()
                if not os.fork():
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                    time.sleep(600)
                os._exit(0)
        """,
        lambda ran, _: ran.code == 0 and ran.ended == "" and ran.seconds < SOON,
    ),
    _l(
        "signals to everybody",
        """
        for number in (15, 1, 2, 9):
            try:
                os.kill(-1, number)
            except OSError:
                pass
        """,
        lambda ran, _: ran.seconds < SOON,
    ),
    _l(
        "signals to its starter",
        """
        if not os.fork():
            os.setsid()
            time.sleep(600)
        for number in range(1, 65):
            try:
                os.kill(os.getppid(), number)
            except OSError:
                pass
        time.sleep(0.5)
        sys.exit(5)
        """,
        lambda ran, _: ran.code == 5 and set(ran.files) == {"program.py"},
        bring=("program.py",),
    ),
    _l(
        "links that are brought out",
        """
        target = $folder + '/open'
        os.symlink(target, 'a')
        os.symlink($folder, 'd')
        os.mkfifo('p')
        os.mkdir('e')
        os.symlink('/proc/self/environ', 'n')
        for name in ('h', 'i'):
            try:
                os.link(target if name == 'h' else '/etc/hosts', name)
            except OSError:
                pass
        open('b', 'w').write('mine')
        os.symlink('b', 'c')
        open('z', 'wb').write(bytes(3_900_000))
        open('zz', 'wb').write(bytes(3_900_000))
        """,
        lambda ran, secret: (
            set(ran.files) == {"b", "z"} and secret.encode() not in b"".join(ran.files.values())
        ),
        bring=("a", "d/open", "p", "e", "n", "h", "i", "b", "c", "b/x", "nothing", "z", "zz"),
    ),
    _l(
        "links in the place of its folder",
        """
        here = os.getcwd()
        os.chdir('/')
        try:
            os.rename(here, here + '-moved')
            os.symlink($folder, here)
        except OSError:
            pass
        """,
        lambda ran, secret: secret.encode() not in b"".join(ran.files.values()),
        bring=("open", "closed"),
    ),
)
