"""A step's inputs with their expressions: where these may stand, and how values are put in.

Values come from entries, which strangers write, so each is put in by the *form* of the input it stands in,
and can change neither the structure of what is sent nor where it goes. An action says which of its inputs
take expressions and in which form (`Action.forms`); in all others, and in every key, they are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from urllib.parse import quote, unquote

import orjson

from sentinel.core.expressions import Context, Expression, known, parse, size, text_of, value_of
from sentinel.errors import Malformed

MAX_INPUTS = 131_072  # bytes of a step's inputs, as JSON
MAX_EXPRESSIONS = 64  # in one step
SAMPLE = "x"  # what stands for the value of an expression where a recipe is checked
_TOKEN = re.compile(r'(\$\$)|\$\{((?:[^{}"]|"[^"]*")*)\}')
_ROOT = re.compile(r"\$\{\s*(?:entry|task|steps|cause)\s*[.|}]")
_AUTHORITY = re.compile(r"https?://[^/?#\\]+[/?]")
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


class Form(Enum):
    """How values are put into an input.

    `JSON`: a value that is an expression alone keeps its type, inside a text it is text. `TEMPLATE`: the
    same, with `$` doubled, for inputs whose texts the action reads for `$names`. `HEADER`: text, in which
    everything but printable ASCII is percent-encoded, and `%` too; the values of one map. `URL`: percent-
    encoded, behind the authority.
    """

    JSON = "json"
    TEMPLATE = "template"
    HEADER = "header"
    URL = "url"


Value = Callable[[Expression], object]


def present(inputs: Mapping[str, object]) -> bool:
    """Whether inputs may hold expressions at all: cheap, for the steps of every task."""
    return b"${" in orjson.dumps(inputs)


def resolve(inputs: Mapping[str, object], forms: Mapping[str, Form], context: Context) -> dict[str, object]:
    """Return a step's inputs with the values of its expressions. Raises `Malformed`, which quotes no value.

    The same task gives the same inputs however often it is asked: the effect's key is made of them.
    """
    found = _put_in(inputs, forms, lambda expression: value_of(expression, context))
    if size(found) > MAX_INPUTS:
        raise Malformed(f"with: over {MAX_INPUTS:,} bytes with the values of its expressions; use cut(N)")
    return found


def sample(inputs: Mapping[str, object], forms: Mapping[str, Form]) -> dict[str, object]:
    """Return inputs with `SAMPLE` for each expression, so that the rest of them can be checked."""
    return _put_in(inputs, forms, lambda _: SAMPLE)


def steps_named(inputs: Mapping[str, object], forms: Mapping[str, Form]) -> set[str]:
    """Return the ids of the steps whose results inputs take. Raises `Malformed`."""
    found: set[str] = set()

    def note(expression: Expression) -> object:
        found.add(expression.step)
        return "x"

    _put_in(inputs, forms, note)
    return found - {""}


def check(inputs: Mapping[str, object], forms: Mapping[str, Form], before: frozenset[str]) -> set[str]:
    """Check the expressions of a step; return the roots that they use. Raises `Malformed`.

    `before` are the ids of the steps before this one.
    """
    found: list[Expression] = []
    for name, value in inputs.items():
        form = forms.get(name)
        for where, each in _texts(name, value):
            if form is None or where is None or (form is Form.HEADER and where.count(".") != 1):
                if _ROOT.search(each):
                    raise Malformed(f"{where or name}: takes no expression")
                continue
            found += [piece for piece in _pieces(where, each, form) if isinstance(piece, Expression)]
    for expression in found:
        known(expression, before)
    if len(found) > MAX_EXPRESSIONS:
        raise Malformed(f"with: has over {MAX_EXPRESSIONS} expressions")
    return {expression.root for expression in found}


def _texts(where: str, value: object) -> Iterator[tuple[str | None, str]]:
    """Yield each text of a value with its place; keys of maps with None."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield None, str(name)
            yield from _texts(f"{where}.{str(name).replace('.', '_')}", each)
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _texts(f"{where}.{number}", each)


def _put_in(inputs: Mapping[str, object], forms: Mapping[str, Form], value: Value) -> dict[str, object]:
    found = dict(inputs)
    for name, form in forms.items():
        if name in found:
            found[name] = _FILL[form](name, found[name], value)
    return found


def _json(where: str, given: object, value: Value, form: Form = Form.JSON) -> object:
    if isinstance(given, Mapping):
        return {name: _json(f"{where}.{name}", each, value, form) for name, each in given.items()}
    if isinstance(given, list | tuple):
        return [_json(f"{where}.{number}", each, value, form) for number, each in enumerate(given)]
    if not isinstance(given, str):
        return given
    pieces = _pieces(where, given, form)
    if len(pieces) == 1 and isinstance(pieces[0], Expression):
        return value(pieces[0])
    return "".join(each if isinstance(each, str) else text_of(each, value(each)) for each in pieces)


def _template(where: str, given: object, value: Value) -> object:
    return _json(where, given, lambda expression: _doubled(value(expression)), Form.TEMPLATE)


def _doubled(value: object) -> object:
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, Mapping):
        return {name: _doubled(each) for name, each in value.items()}
    return [_doubled(each) for each in value] if isinstance(value, list) else value


def _headers(where: str, given: object, value: Value) -> object:
    if not isinstance(given, Mapping):
        return given
    return {
        name: "".join(
            piece if isinstance(piece, str) else quote(text_of(piece, value(piece)), safe=_PRINTABLE)
            for piece in _pieces(f"{where}.{name}", each, Form.HEADER)
        )
        if isinstance(each, str)
        else each
        for name, each in given.items()
    }


def _url(where: str, given: object, value: Value) -> object:
    """Put values into a URL: never into its authority, never so that a path gets or loses a segment."""
    if not isinstance(given, str):
        return given
    made = ""
    changed = False
    for piece in _pieces(where, given, Form.URL):
        if isinstance(piece, str):
            made += piece
            continue
        changed = True
        put = quote(text_of(piece, value(piece)), safe="")
        if not put and "?" not in made:
            raise Malformed(f"{where}: {piece.source} is empty, which would make another path")
        made += put
    # As the least careful server would read it: slashes decoded, parameters behind `;` cut off.
    segments = re.split(r"[/\\]", unquote(made.partition("?")[0]))
    if changed and any(segment.partition(";")[0] in {".", ".."} for segment in segments):
        raise Malformed(f"{where}: a segment of the path would be . or .., which makes another path")
    return made


_FILL: Mapping[Form, Callable[[str, object, Value], object]] = {
    Form.JSON: _json,
    Form.TEMPLATE: _template,
    Form.HEADER: _headers,
    Form.URL: _url,
}


def _pieces(where: str, given: str, form: Form) -> list[str | Expression]:
    """Cut a text into what stays and what is put in. Raises `Malformed`."""
    pieces: list[str | Expression] = []
    at = 0
    for token in _TOKEN.finditer(given):
        dollars, inside = token.groups()
        if form is Form.TEMPLATE and (dollars or re.fullmatch(r"\w+", inside)):
            continue  # the action's own
        if dollars and given[token.end() : token.end() + 1] != "{":
            continue
        pieces.append(given[at : token.start()] + ("$" if dollars else ""))
        at = token.end()
        if not dollars:
            expression = parse(inside)
            if form is Form.URL and not _AUTHORITY.match("".join(map(str, pieces))):
                raise Malformed(f"{where}: an expression stands behind the host, in the path or the query")
            pieces.append(expression)
    pieces.append(given[at:])
    return _whole(where, [piece for piece in pieces if piece != ""], form)


def _whole(where: str, pieces: list[str | Expression], form: Form) -> list[str | Expression]:
    """Return pieces of which none begins an expression that does not end."""
    for piece in pieces:
        if isinstance(piece, str) and form is not Form.TEMPLATE and re.search(r"(?<!\$)\$\{", piece):
            raise Malformed(f"{where}: an expression is ${{ROOT.PATH}}; write $${{ for a ${{")
        if isinstance(piece, Expression) and form is Form.URL and any("#" in str(each) for each in pieces):
            raise Malformed(f"{where}: a URL with expressions has no fragment")
    return pieces or [""]
