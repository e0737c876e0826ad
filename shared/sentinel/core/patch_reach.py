"""What added lines of Python reach for that their file did not: the network, processes, files and the like.

A repair seldom needs more than the file had. What code does by a name that is put together at run time is not
seen here; the sandbox has no network, and the lines that do it are seen by who approves.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from sentinel.core.patch_asserts import name_of
from sentinel.core.patch_files import Changed
from sentinel.core.patch_findings import Finding
from sentinel.core.patch_paths import is_test
from sentinel.core.patch_syntax import Unreadable, python

_MODULES: Final = {
    "the network": (
        *(
            "socket",
            "ssl",
            "socketserver",
            "http.client",
            "http.server",
            "urllib.request",
            "urllib3",
            "requests",
        ),
        *(
            "httpx",
            "httpx2",
            "aiohttp",
            "ftplib",
            "smtplib",
            "telnetlib",
            "poplib",
            "imaplib",
            "xmlrpc",
            "paramiko",
        ),
        *("websocket", "websockets", "grpc", "boto3", "botocore", "webbrowser", "asyncio.open_connection"),
    ),
    "the text of programs": ("ast", "tokenize", "linecache", "dis", "symtable", "trace"),
    "files": ("shutil", "sqlite3", "fileinput", "dbm"),
    "processes": ("subprocess", "multiprocessing", "pty", "signal", "concurrent.futures.ProcessPoolExecutor"),
    "code from data": (
        *(
            "ctypes",
            "cffi",
            "pickle",
            "cPickle",
            "_pickle",
            "marshal",
            "shelve",
            "dill",
            "cloudpickle",
            "joblib",
        ),
        *("importlib", "runpy", "code", "codeop", "imp", "pkgutil", "zipimport"),
    ),
    "the interpreter": (
        "builtins",
        "__main__",
        "gc",
        "atexit",
        "site",
        "sitecustomize",
        "faulthandler",
        "tracemalloc",
    ),
}
_DOTTED: Final = {
    "processes": (
        *("os.system", "os.popen", "os.fork", "os.forkpty", "os.kill", "os.killpg", "os.abort", "os._exit"),
        *("os.posix_spawn", "os.posix_spawnp", "os.startfile", "asyncio.create_subprocess_exec"),
        *("asyncio.create_subprocess_shell", "os.setuid", "os.setsid", "os.nice", "os.wait"),
        *(
            f"os.{way}{how}"
            for way in ("exec", "spawn")
            for how in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")
        ),
    ),
    "the environment": ("os.environ", "os.environb", "os.getenv", "os.putenv", "os.unsetenv"),
    "the interpreter": (
        *(
            "sys.modules",
            "sys._getframe",
            "sys._current_frames",
            "sys.settrace",
            "sys.setprofile",
            "sys.argv",
        ),
        *(
            "sys.setrecursionlimit",
            "threading.stack_size",
            "threading.settrace",
            "sys.meta_path",
            "sys.path_hooks",
        ),
        *(
            "inspect.stack",
            "inspect.getsource",
            "inspect.getsourcelines",
            "inspect.findsource",
            "inspect.currentframe",
            "inspect.trace",
            "sys.addaudithook",
            "sys.excepthook",
            "sys.path",
        ),
        *("traceback.extract_stack", "traceback.walk_stack", "sys.gettrace", "sys.getprofile"),
    ),
}
_CALLED: Final = {
    "code from data": ("eval", "exec", "compile", "__import__"),
    "the interpreter": ("globals", "vars", "breakpoint"),
    "files": (
        *(
            "open",
            "read_text",
            "read_bytes",
            "write_text",
            "write_bytes",
            "unlink",
            "rmtree",
            "rmdir",
            "symlink_to",
        ),
        *("expanduser", "home", "hardlink_to", "copyfile", "copytree", "chmod", "mkdir", "makedirs", "touch"),
    ),
}
_NAMES: Final = {"__builtins__", "__loader__", "__spec__"}
# By these anything of a program is reached, whoever calls it, and its own code.
_ATTRIBUTES: Final = {
    *("__builtins__", "__closure__", "__code__", "__globals__", "__loader__", "__spec__", "__subclasses__"),
    *("__traceback__", "tb_frame", "tb_next", "f_back", "f_builtins", "f_code", "f_globals", "f_locals"),
    *("gi_frame", "gi_code", "cr_frame", "cr_code", "ag_frame", "getsource", "getsourcelines", "findsource"),
}
_IN_TESTS: Final = {"the text of programs", "the network", "processes", "code from data", "the interpreter"}
_SEEN_OTHERWISE: Final = {"globals", "vars", "importlib", "sys.path"}  # by what the gate says of tests
_HOME: Final = ("/etc/", "/proc/", "/root/", "/home/", "/var/", "~/", ".ssh/")


def findings(file: Changed) -> Iterator[Finding]:
    """Yield what added lines reach for, and handlers among them that catch everything."""
    if not file.path.lower().endswith(".py") or file.after is None:
        return
    try:
        before, after = (python((text or "").removeprefix("\ufeff")) for text in (file.before, file.after))
    except Unreadable:
        return
    added = {number for number, _ in file.added}
    had = {kind for kind, _, _ in _reaches(before)}
    test = is_test(file.path)
    for kind, line, name in _reaches(after):
        if line in added and kind not in had and not (test and _allowed(file, kind, line, name)):
            yield Finding(
                "capability", file.path, line, f"it reaches for {kind} by {name}, which its file did not"
            )
    if not test:
        yield from _broad(file.path, after, added)


def _allowed(file: Changed, kind: str, line: int, name: str) -> bool:
    """Whether a test may do this: write where pytest has made it a folder, and read."""
    if kind == "files":
        return not name.startswith("a path") or "tmp_path" in (file.after or "").split("\n")[line - 1]
    return (
        kind not in _IN_TESTS
        or name in _SEEN_OTHERWISE
        or (file.before is not None and name.startswith("an assignment"))
    )


def _reaches(tree: ast.Module) -> Iterator[tuple[str, int, str]]:
    """Yield (what for, the line, by what)."""
    modules, aliases = set[str](), _aliases(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules |= {(each.asname or each.name).partition(".")[0] for each in node.names}
            for name in _imported(node):
                yield from ((kind, node.lineno, name) for kind in _kinds(name))
        elif isinstance(node, ast.Attribute):
            name = _meant(ast.unparse(node), aliases)
            yield from ((kind, node.lineno, name) for kind, names in _DOTTED.items() if _ends(name, names))
            yield from _inner(node.attr, node.lineno, _ATTRIBUTES)
        elif isinstance(node, ast.Name):
            yield from _inner(node.id, node.lineno, _NAMES)
        elif isinstance(node, ast.Call):
            yield from _called(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(_HOME):
            yield "files", node.lineno, "a path outside"
    yield from _patched(tree, modules)


def _aliases(tree: ast.Module) -> dict[str, str]:
    """Return what modules are called that are imported under another name."""
    named = (each for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names)
    return {each.asname: each.name for each in named if each.asname}


def _meant(name: str, aliases: Mapping[str, str]) -> str:
    root, dot, rest = name.partition(".")
    return f"{aliases.get(root, root)}{dot}{rest}"


def _ends(name: str, names: Collection[str]) -> bool:
    """Whether a dotted name is one of names, or ends with it: a module has what it imports."""
    return any(name == each or name.endswith(f".{each}") for each in names)


def _inner(name: str, line: int, names: Collection[str]) -> Iterator[tuple[str, int, str]]:
    if name in names:
        yield "the interpreter", line, name


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [each.name for each in node.names]
    return [f"{node.module}.{each.name}" for each in node.names if not node.level]


def _kinds(name: str) -> Iterator[str]:
    for kind, modules in _MODULES.items():
        if any(f"{name}.".startswith(f"{each}.") for each in modules):
            yield kind
    for kind, dotted in _DOTTED.items():
        if name in dotted:
            yield kind


def _called(node: ast.Call) -> Iterator[tuple[str, int, str]]:
    plain = node.func.id if isinstance(node.func, ast.Name) else ""
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    for kind, names in _CALLED.items():
        if plain in names or (kind == "files" and method in names):
            yield kind, node.lineno, plain or method


def _patched(tree: ast.Module, modules: set[str]) -> Iterator[tuple[str, int, str]]:
    """Yield where something of an imported module is replaced."""
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign | ast.Delete) else []
        if isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        for each in targets:
            if isinstance(each, ast.Attribute) and _root(each) in modules:
                yield "the interpreter", each.lineno, f"an assignment to {_root(each)}"
        if isinstance(node, ast.Call) and node.args and _root(node.func) == "setattr":
            owner = _root(node.args[0])
            if owner in modules:
                yield "the interpreter", node.lineno, f"an assignment to {owner}"


def _root(node: ast.expr) -> str:
    """Return the name at the beginning of a dotted one."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _broad(path: str, tree: ast.Module, added: set[int]) -> Iterator[Finding]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.lineno in added:
            raises = any(isinstance(each, ast.Raise) for each in node.body)
            if _everything(node.type) and not raises:
                yield Finding("swallowed", path, node.lineno, "it catches every exception and raises none")
        elif isinstance(node, ast.Call) and node.lineno in added and _suppresses_all(node):
            yield Finding("swallowed", path, node.lineno, "it suppresses every exception")


def _suppresses_all(node: ast.Call) -> bool:
    return name_of(node.func) == "suppress" and any(_everything(each) for each in node.args)


def _everything(node: ast.expr | None) -> bool:
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    return any(
        each is None or ast.unparse(each).rpartition(".")[2] in {"Exception", "BaseException"}
        for each in parts
    )
