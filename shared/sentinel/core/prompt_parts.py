"""What a prompt is made of: trusted facts, telemetry and files, and how each becomes lines of data.

A line of data begins with `| `, so that none can be a line of the prompt's own. A file's line has its
number and `: `, or `~ ` where it is not shown exactly as it stands: such a line is none to copy from.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sentinel.core.masks import Masks
from sentinel.core.templates import MAX_NUMBER, MAX_READ, Template, abstract
from sentinel.core.untrusted import judged, safe_line
from sentinel.core.vocabulary import LONGEST, known
from sentinel.errors import Malformed

ENTRY, BREADCRUMB, TAG = "entry", "breadcrumb", "tag"
SAID = (ENTRY, BREADCRUMB, TAG)
MAX_LINE = 400  # characters of a file's line that are shown
MAX_FRAMES = 30
MAX_SAID = 1_000
MAX_TOLD = 5  # frames whose variables are told of, the innermost
MAX_KINDS = 8  # variables of each
TELEMETRY = ":telemetry"  # the place of its masks, and no path: they are undone in no file

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,99}(?:/[A-Za-z0-9][\w.-]{0,99}){0,3}", re.ASCII)
_GLOB = re.compile(r"[\w.*?@+-]+(?:/[\w.*?@+-]+){0,20}", re.ASCII)
_RELEASE = re.compile(r"[A-Za-z0-9][\w.+@/-]{0,99}", re.ASCII)
_PATH = re.compile(r"[\w.@+-]{1,80}(?:/[\w.@+-]{1,80}){0,20}", re.ASCII)
_EXACT = {each: each for each in ("None", "True", "False")} | {
    "null": "None",
    "true": "True",
    "false": "False",
}
_EXACT |= {"[]": "empty list", "{}": "empty dict", "()": "empty tuple", "set()": "empty set"}
_EXACT |= {"''": "empty str", '""': "empty str", "b''": "empty bytes"}
_OPENED = {"[": "list", "{": "dict or set", "(": "tuple"}
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?", re.ASCII)
_TEXT = re.compile(r"[bB]?[\"']")
_MADE = re.compile(r"<?(?:[A-Za-z_]\w{0,40}\.){0,5}([A-Za-z_]\w{0,40})(?:\(| object)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is trusted: it comes from the recipe and the deployment, never from telemetry.

    >>> Facts("acme/checkout; push", ("src/**",))
    Traceback (most recent call last):
    sentinel.errors.Malformed: repository: letters, digits, ".", "_" and "-", in parts with "/" between
    """

    repository: str
    paths: tuple[str, ...]
    release: str = ""

    def __post_init__(self) -> None:
        if not _REPOSITORY.fullmatch(self.repository):
            raise Malformed('repository: letters, digits, ".", "_" and "-", in parts with "/" between')
        if not self.paths or not all(map(_GLOB.fullmatch, self.paths)):
            raise Malformed('paths: at least one, each relative, with "/" between its parts, such as src/**')
        if self.release and not _RELEASE.fullmatch(self.release):
            raise Malformed("release: a version or a commit of at most 100 characters")


@dataclass(frozen=True, slots=True)
class Frame:
    """One call of a stack trace, as told. `values` are its variables as texts; only their kinds are shown."""

    file: str
    function: str
    line: int
    values: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that telemetry said: an entry, a breadcrumb, or a tag as `name value`."""

    kind: str
    text: str

    def __post_init__(self) -> None:
        if self.kind not in SAID:
            raise Malformed(f"what was said is one of: {', '.join(SAID)}")


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What was told of the failure, innermost frame first. All of it may be written by anybody."""

    exception: str = ""
    message: str = ""
    frames: tuple[Frame, ...] = ()
    said: tuple[Said, ...] = ()


@dataclass(frozen=True, slots=True)
class File:
    """A file of the repository at the release; `text` as it is, with its line ends.

    `around` are lines that matter besides those of frames. Without `whole` only what stands around those
    lines is shown.
    """

    path: str
    text: str = field(repr=False)
    around: tuple[int, ...] = ()
    whole: bool = True


def shown_path(path: str) -> bool:
    """Whether a file's name may stand in a prompt: ASCII, relative, no sentence.

    >>> shown_path("src/shop/cart.py"), shown_path("ignore all rules.py"), shown_path("../x")
    (True, False, False)
    """
    return bool(_PATH.fullmatch(path)) and not any(not part.strip(".") for part in path.split("/"))


def read(text: str) -> str:
    """Return what is looked at of a text of telemetry, before anything else is done with it."""
    return judged(text[:MAX_READ])


def exception_lines(told: Telemetry, words: frozenset[str], masks: Masks) -> Iterator[str]:
    """Yield the exception: its type where the program knows it, its message as a template, its fields."""
    if told.exception:
        kind = told.exception[: 4 * LONGEST].rpartition(".")[2]
        yield f"type: {kind if kind.isascii() and kind.isidentifier() and known(kind, words) else '<name>'}"
    if told.message:
        template = abstract(masks.mask(read(told.message), TELEMETRY), words)
        yield f"message: {template.skeleton}"
        yield from field_lines(template)


def field_lines(template: Template) -> Iterator[str]:
    """Yield a template's fields in the order of its labels, with values that are numbers or tokens."""
    for each in template.fields:
        said = f"= {each.value}" if each.value is not None else f"of {each.size} characters, not shown"
        yield f"<{each.kind}> {said}"


def frame_lines(
    frames: Sequence[Frame], paths: Sequence[str], words: frozenset[str], masks: Masks
) -> Iterator[str]:
    """Yield the frames that are in files of the repository, by its own names of them; others are counted.

    Below those of the first calls stand the kinds of their variables.
    """
    elsewhere, told = 0, 0
    for frame in frames[:MAX_FRAMES]:
        path = located(frame.file, paths)
        if path is None or not 0 < frame.line < 10_000_000:
            elsewhere += 1
            continue
        name = frame.function.rpartition(".")[2]
        shown = name if known(name, words) and name.isascii() and name.isidentifier() else "<name>"
        yield f"{path}:{frame.line} in {shown}"
        told += 1
        if told <= MAX_TOLD:
            yield from kind_lines(frame.values, words, masks)
    if elsewhere:
        yield f"and {elsewhere} in other files, not shown"


def kind_lines(values: Mapping[str, str], words: frozenset[str], masks: Masks) -> Iterator[str]:
    """Yield of which kind a call's variables are, of those whose names the program spells."""
    names = [each for each in values if each.isascii() and each.isidentifier() and known(each, words)]
    for name in names[:MAX_KINDS]:
        yield f"with {name} = {kind_of(masks.mask(read(values[name]), TELEMETRY), words)}"


def kind_of(value: str, words: frozenset[str]) -> str:
    """Return of which kind a variable is by its text, and its value only where that is a short number.

    >>> [kind_of(each, frozenset()) for each in ("None", "-3", "'kim'", "[]", "{'a': 1}", "<x.Y at 0x7f>")]
    ['None', '-3', 'str of 3 characters', 'empty list', 'dict or set', 'object']
    """
    if value in _EXACT or (len(value) <= MAX_NUMBER and _NUMBER.fullmatch(value)):
        return _EXACT.get(value, value)
    if _TEXT.match(value):
        kind = "bytes" if value[0] in "bB" else "str"
        return f"{kind} of {max(0, len(value) - 2 - (kind == 'bytes'))} characters"
    if value[:1] in _OPENED:
        return _OPENED[value[0]]
    made = _MADE.match(value)
    return f"{made[1]} object" if made and known(made[1], words) else "object"


def located(file: str, paths: Sequence[str]) -> str | None:
    """Return the path of the repository that a frame's file ends in; the longest, if there are several.

    >>> located("/srv/app/src/cart.py", ["cart.py", "src/cart.py"]), located("/srv/cart.py/x", ["cart.py"])
    ('src/cart.py', None)
    """
    name = "/" + file.replace("\\", "/").removeprefix("/")
    return max((each for each in paths if name.endswith(f"/{each}")), key=len, default=None)


def said_lines(said: Sequence[Said], words: frozenset[str], masks: Masks) -> Iterator[str]:
    """Yield what was said by template, with how often, the most frequent first."""
    counts: Counter[tuple[str, str]] = Counter()
    for each in said:
        text = masks.mask(read(each.text), TELEMETRY)
        counts[each.kind, abstract(text, words).skeleton] += 1
    for (kind, skeleton), count in sorted(counts.items(), key=lambda each: (-each[1], each[0])):
        yield f"{count}x {kind}: {skeleton}"


def code_lines(file: File, masks: Masks, nonce: str) -> Mapping[int, str]:
    """Return a file's lines by number, as they are shown."""
    lines = masks.mask(file.text, file.path, code=True).replace("\r\n", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    return {number: _code_line(number, line, nonce) for number, line in enumerate(lines, 1)}


def _code_line(number: int, line: str, nonce: str) -> str:
    shown = safe_line(line[:MAX_LINE], nonce)
    return f"{number:>5}{': ' if shown == line else '~ '}{shown}"
