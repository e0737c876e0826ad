"""The gate refuses code that reaches out where its file did not, and handlers that catch everything."""

from __future__ import annotations

import pytest

from sentinel.core.edits import patch_of
from sentinel.core.patch_policy import Policy, judge

BEFORE = "import os\n\n\ndef f(x):\n    return os.path.join(x)\n"


def rules(added: str, path: str = "src/a.py", before: str = BEFORE) -> set[str]:
    """Return what the gate says of lines added at the end of a file."""
    patch = patch_of({path: before.encode()}, {path: (before + added).encode()})
    return {each.rule for each in judge(patch, Policy()).findings} & {"capability", "swallowed"}


REACHING = [
    "import socket\n",
    "from urllib import request\n",
    "import urllib.request as r\n",
    "import subprocess\n",
    "from os import system\n",
    "x = os.popen('id')\n",
    "x = dict(os.environ)\n",
    "x = os.getenv('A')\n",
    "x = eval('1')\n",
    "exec(bytes.fromhex('00'))\n",
    "x = __import__('a')\n",
    "import pickle\n",
    "from importlib import import_module\n",
    "import ctypes\n",
    "import sys\nx = sys.modules\n",
    "import inspect\nx = inspect.stack()\n",
    "import sys\nsys.setrecursionlimit(10**6)\n",
    "os.path.join = f\n",
    "setattr(os, 'x', f)\n",
    "x = open('a').read()\n",
    "from pathlib import Path\nx = (Path.home() / 'b').read_text()\n",
    "x = '/etc/passwd'\n",
    "import os as o\nx = o.environ\n",
    "import json\nx = json.decoder.re.enum.sys.modules\n",
    "import sqlite3\n",
    "import __main__\n",
    "x = f.__globals__\n",
    "x = f.__code__.co_consts\n",
    "x = KeyError().__traceback__.tb_frame\n",
    "x = object.__subclasses__()\n",
    "x = __builtins__\n",
    "from inspect import getsource\n",
    "import ast\n",
]


@pytest.mark.parametrize("added", REACHING)
def test_new_reach_is_refused(added: str) -> None:
    """Each of these a repair seldom needs, and the file did not have it."""
    assert rules(added) == {"capability"}


@pytest.mark.parametrize("added", REACHING)
def test_what_a_file_did_already_it_may_do(added: str) -> None:
    """A repair of a client of the network uses the network."""
    assert rules(f"\n\n{added}", before=BEFORE + added) == set()


@pytest.mark.parametrize(
    "added",
    [
        "from urllib.parse import quote\n",
        "import json\nx = json.loads('1')\n",
        "from datetime import datetime\n",
        "import re\nx = re.compile('a')\n",
        "class A:\n    def open(self):\n        self.x = 1\n",
    ],
)
def test_other_code_is_no_reach(added: str) -> None:
    """What only computes is not refused."""
    assert rules(added) == set()


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ("try:\n    f(1)\nexcept:\n    pass\n", {"swallowed"}),
        ("try:\n    f(1)\nexcept Exception as error:\n    print(error)\n", {"swallowed"}),
        ("try:\n    f(1)\nexcept (KeyError, BaseException):\n    x = 0\n", {"swallowed"}),
        ("import contextlib\nwith contextlib.suppress(Exception):\n    f(1)\n", {"swallowed"}),
        ("try:\n    f(1)\nexcept Exception as error:\n    raise KeyError from error\n", set()),
        ("try:\n    f(1)\nexcept KeyError:\n    x = 0\n", set()),
    ],
)
def test_to_catch_everything_is_refused(added: str, expected: set[str]) -> None:
    """A handler of all exceptions hides the next fault, unless it raises."""
    assert rules(added) == expected


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ("import socket\n", {"capability"}),
        ("import os\nos.fork()\n", {"capability"}),
        ("import os\nos.kill(1, 9)\n", {"capability"}),
        ("def test_a(tmp_path):\n    (tmp_path / 'a').write_text('b')\n", set()),
        ("x = open('data.json').read()\n", set()),
    ],
)
def test_tests_reach_less_far_than_they_like(added: str, expected: set[str]) -> None:
    """Tests may read, and write where they are given a folder; processes and the network are not theirs."""
    assert rules(added, "tests/test_a.py", "") == expected
