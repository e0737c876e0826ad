"""Whether a patch catches the failure of a trace instead of putting it right.

To catch one statement's own exception where it is raised is how much of Python is written, and is left to
the other evidence. What is looked for is a handler that stands further out or around more, and gives up.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator

from sentinel.core.failures import Failure
from sentinel.core.patch_asserts import name_of
from sentinel.core.patch_lines import Source
from sentinel.core.patch_syntax import Unreadable, python
from sentinel.core.proven import reason
from sentinel.core.proving import Reason


def swallowed(files: Iterable[Source], failure: Failure) -> Iterator[Reason]:
    """Yield where changed lines swallow the failure."""
    caught = caught_by(failure.exception.rpartition(".")[2])
    called = {each.function.rpartition(".")[2] for each in failure.calls} - {"", "<module>", "<lambda>"}
    for source in files:
        try:
            tree = python(source.text.removeprefix("\ufeff"))
        except Unreadable:
            continue
        for line, kinds, body, handler in _handlers(tree):
            if line in source.lines and kinds & caught and _around(body, called) and _gives_up(handler):
                yield reason(
                    "swallowed", f"{source.path}:{line} catches it and goes on as if nothing had been"
                )


def lossy(files: Iterable[Source]) -> Iterator[Reason]:
    """Yield where changed lines throw away what they cannot read: nothing fails, and something is lost.

    That is `errors="ignore"` or `"replace"` where bytes are read as text, and a time without the offset that
    it had; to bring a time to a zone first loses nothing.
    """
    for source in files:
        try:
            tree = python(source.text.removeprefix("\ufeff"))
        except Unreadable:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.lineno in source.lines and _loses(node):
                yield reason(
                    "lossy", f"{source.path}:{node.lineno} {name_of(node.func)} without what it cannot read"
                )


def _loses(call: ast.Call) -> bool:
    what = name_of(call.func)
    given = {each.arg: each.value.value for each in call.keywords if isinstance(each.value, ast.Constant)}
    if what in {"decode", "open", "readtext", "str"}:
        last = call.args[1] if what == "decode" and len(call.args) > 1 else None
        errors = last.value if isinstance(last, ast.Constant) else given.get("errors")
        return errors in {"ignore", "replace"}
    if what == "replace" and isinstance(call.func, ast.Attribute) and "tzinfo" in given:
        owner = call.func.value
        moved = isinstance(owner, ast.Call) and name_of(owner.func) in {"astimezone", "now", "utcnow"}
        return given["tzinfo"] is None and not moved
    return False


def caught_by(exception: str) -> set[str]:
    """Return the names of the types that catch one, as far as they are Python's own."""
    kind = getattr(builtins, exception, None)
    bases = kind.__mro__ if isinstance(kind, type) and issubclass(kind, BaseException) else ()
    return {exception, "", *(each.__name__ for each in bases)} | {"Exception", "BaseException"}


def _handlers(tree: ast.AST) -> Iterator[tuple[int, set[str], list[ast.stmt], list[ast.stmt]]]:
    """Yield of each handler its line, what it catches, what it stands around, and what it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Try | ast.TryStar):
            for each in node.handlers:
                yield each.lineno, names_of(each.type), node.body, each.body
        elif isinstance(node, ast.With | ast.AsyncWith):
            for item in node.items:
                call = item.context_expr
                if isinstance(call, ast.Call) and name_of(call.func) == "suppress":
                    kinds = {name for each in call.args for name in names_of(each)}
                    yield node.lineno, kinds, node.body, []


def names_of(node: ast.expr | None) -> set[str]:
    """Return the types that a handler names, without their modules; "" for one that names none."""
    if node is None:
        return {""}
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    return {ast.unparse(each).rpartition(".")[2] for each in parts}


def _around(body: list[ast.stmt], called: set[str]) -> bool:
    """Whether statements are more than one, or one that calls a function of the trace."""
    if len(body) > 1 or isinstance(
        body[0], ast.For | ast.AsyncFor | ast.While | ast.With | ast.AsyncWith | ast.If
    ):
        return True
    calls = [each for each in ast.walk(body[0]) if isinstance(each, ast.Call)]
    return any(name_of(each.func) in {name.lower().replace("_", "") for name in called} for each in calls)


def _gives_up(handler: list[ast.stmt]) -> bool:
    return all(_nothing(each) for each in handler)


def _nothing(node: ast.stmt) -> bool:
    """Whether a statement does no more than to go on, to log, or to give a fixed value."""
    if isinstance(node, ast.Pass | ast.Continue | ast.Break | ast.Expr):
        return True
    if isinstance(node, ast.Return):
        return node.value is None or _fixed(node.value)
    return isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and _fixed(node.value)


def _fixed(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        return _fixed(node.operand)
    return isinstance(node, ast.Constant) or ast.unparse(node) in {
        "[]",
        "{}",
        "()",
        "set()",
        "dict()",
        "list()",
    }
