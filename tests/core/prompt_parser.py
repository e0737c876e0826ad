"""A strict parser of a prompt's data: what is not exactly of the documented form is an error."""

from __future__ import annotations

import re

SECTIONS = ("EXCEPTION", "FRAMES", "SAID", "FILE")
_SKELETON = r"[ -~]*"
_PATH = r"[\w.@+/-]+"
_GRAMMAR = {
    "EXCEPTION": re.compile(
        rf"type: (?:<name>|[A-Za-z_]\w*)|message: {_SKELETON}"
        r"|<\w+> (?:= [+-]?[\d.,]{1,12}|= \[\[\w+:\d+\]\]|of \d+ characters, not shown)",
        re.ASCII,
    ),
    "FRAMES": re.compile(
        rf"{_PATH}:\d+ in (?:<name>|[A-Za-z_]\w*)|and \d+ in other files, not shown"
        r"|with [A-Za-z_]\w* = (?:None|True|False|[+-]?[\d.]{1,12}|empty \w+|list|tuple|dict or set"
        r"|(?:str|bytes) of \d+ characters|(?:\w+ )?object)",
        re.ASCII,
    ),
    "SAID": re.compile(rf"\d+x (?:entry|breadcrumb|tag): {_SKELETON}", re.ASCII),
    "FILE": re.compile(rf"(?a:path: {_PATH}|lines: [\d, -]+ of \d+)|(?a: *\d+)[:~] [^\n]*"),
}


def parsed(user: str, nonce: str) -> list[tuple[str, list[str]]]:
    """Return the sections with their lines, each checked against its section's grammar."""
    lines = user.split("\n")
    assert lines[0] == f"BEGIN {nonce}"
    assert lines[-2:] == [f"END {nonce}", ""]
    found: list[tuple[str, list[str]]] = []
    for line in lines[1:-2]:
        if line.startswith("| "):
            name = found[-1][0]
            assert _GRAMMAR[name.split()[0]].fullmatch(line[2:]), (name, line)
            found[-1][1].append(line[2:])
            continue
        head = re.fullmatch(rf"(EXCEPTION|FRAMES|SAID|FILE \d+) {nonce}", line)
        assert head, line
        found.append((head[1], []))
    assert [each for each, _ in found] == sorted(
        (each for each, _ in found),
        key=lambda each: (SECTIONS.index(each.split()[0]), int("0" + each[5:] if each[:4] == "FILE" else 0)),
    )
    assert all(body for _, body in found)
    return found
