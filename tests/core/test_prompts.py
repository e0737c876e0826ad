"""The patcher's prompt: data stay data, facts stay facts, and the account of what was chosen is complete."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core import templates
from sentinel.core.masks import HUNTED, MAX_HUNTED, Masks
from sentinel.core.private_values import KINDS as KINDS_OF_MASKS
from sentinel.core.prompt_parts import (
    BREADCRUMB,
    ENTRY,
    MAX_FRAMES,
    MAX_KINDS,
    MAX_LINE,
    MAX_SAID,
    MAX_TOLD,
    TAG,
    Facts,
    File,
    Frame,
    Said,
    Telemetry,
    located,
)
from sentinel.core.prompts import (
    AROUND,
    BYTES_A_TOKEN,
    INSTRUCTIONS,
    MAX_FILE,
    SAID_SHARE,
    LeftOut,
    Prompt,
    Shown,
    build,
    estimated,
    facts_text,
)
from sentinel.errors import Malformed, TooLarge
from tests.core import injections
from tests.core.injections import INJECTIONS, Injection
from tests.core.prompt_parser import parsed
from tests.processor import within

NONCE = "5f3a91c07be2d4481ad06c7795e0b2f3"
FACTS = Facts("acme/checkout", ("src/**", "tests/**"), "1.4.2")
CART = 'def total(cart, user_id):\n\treturn sum(item["price"] for item in cart)\n\n'
CART += 'API_TOKEN = "kestrel-77-canary"\n'
FILES: tuple[File, ...] = (
    File("src/shop/cart.py", CART),
    File("src/shop/stock.py", "def reserve(item):\n    return item.stock - 1\n"),
)
TOLD = Telemetry(
    "KeyError",
    "'price' (order 4711 of kim@example.com)",
    (Frame("/srv/app/src/shop/cart.py", "total", 2), Frame("/usr/lib/python3/json.py", "loads", 9)),
    (
        Said(ENTRY, "request failed after 12 ms"),
        Said(ENTRY, "request failed after 40 ms"),
        Said(BREADCRUMB, "reserve item"),
        Said(TAG, "release 1.4.2"),
    ),
)
FORBIDDEN = (
    *(
        "<|im_",
        "<|endof",
        "[inst]",
        "[/inst]",
        "<<sys>>",
        "<system",
        "</system",
        "<function_calls",
        "<invoke",
    ),
    *("<" + "antml:", "<tool_", "</tool_", "```", "](http", "](//", "](javascript"),
)
KINDS = {injections.ENTRY: ENTRY, injections.CRUMB: BREADCRUMB, injections.TAG: TAG}
ROLE = re.compile(
    r"^(?:\|\s+\d+[:~] )?\W*(?:[Hh]uman|HUMAN|[Aa]ssistant|ASSISTANT|System|SYSTEM|Developer)\s*:"
)


def made(told: Telemetry = TOLD, files: tuple[File, ...] = FILES, budget: int = 20_000) -> Prompt:
    """Build a prompt with a run's masks of its own."""
    return build(FACTS, told, files, Masks(), nonce=NONCE, budget=budget)


def filled(text: str) -> str:
    """Put this run's delimiter where an injection means it."""
    wide = "".join(chr(ord(each) + 0xFEE0) for each in NONCE)
    split = "\u200b".join(NONCE)
    text = text.replace("NONCE", NONCE).replace("{UPPER}", NONCE.upper()).replace("{WIDE}", wide)
    return text.replace("{SPLIT}", split).replace("{HALF}", NONCE[:16]).replace("{OTHER}", NONCE[16:])


def put(
    where: str, text: str, told: Telemetry, files: tuple[File, ...]
) -> tuple[Telemetry, tuple[File, ...]]:
    """Put one piece of an injection where it stands."""
    text, first = filled(text), told.frames[0]
    match where:
        case injections.CODE:
            return told, (replace(files[0], text=f"{files[0].text}{text}\n"), *files[1:])
        case injections.NAME:
            return told, (*files, File(text, "x = 1\n"))
        case injections.MESSAGE:
            told = replace(told, message=text)
        case injections.TYPE:
            told = replace(told, exception=text)
        case injections.FRAME:
            told = replace(told, frames=(replace(first, file=text), *told.frames))
        case injections.FUNCTION:
            told = replace(told, frames=(replace(first, function=text), *told.frames))
        case _:
            told = replace(told, said=(Said(KINDS[where], text), *told.said))
    return told, files


def injected(injection: Injection) -> Prompt:
    """Build the prompt with an injection in it."""
    told, files = TOLD, FILES
    for where, text in injection.pieces:
        told, files = put(where, text, told, files)
    return made(told, files)


def check_data(prompt: Prompt, names: list[str]) -> None:
    """What holds of any prompt's data, whoever wrote into it."""
    sections = parsed(prompt.user, NONCE)
    assert [each for each, _ in sections] == names
    assert prompt.user.lower().count(NONCE) == 2 + len(names)
    for line in prompt.user.split("\n")[:-1]:
        assert all(each.isprintable() or each == "\t" for each in line)
        wide = unicodedata.normalize("NFKC", line)
        folded = wide.casefold()
        assert not any(each in folded for each in FORBIDDEN), line
        assert not ROLE.search(wide), line
        assert NONCE not in folded or not line.startswith("|")


def test_the_corpus_is_large() -> None:
    """At least 60 injections, in every place, with every aim, each with a name of its own."""
    assert len(INJECTIONS) >= 60
    assert len({each.name for each in INJECTIONS}) == len(INJECTIONS)
    places = {where for each in INJECTIONS for where, _ in each.pieces}
    assert places == {*injections.TELEMETRY, injections.CODE, injections.NAME}
    assert len({each.tries for each in INJECTIONS}) == 6


@pytest.mark.parametrize("injection", INJECTIONS, ids=lambda each: each.name)
def test_an_injection_stays_data(injection: Injection) -> None:
    """The trusted part is the same to the byte, the data have our sections only, and nothing gets through."""
    prompt = injected(injection)
    assert prompt.system == made().system
    check_data(prompt, ["EXCEPTION", "FRAMES", "SAID", "FILE 1", "FILE 2"])
    assert not [each for each in injection.marks if filled(each) in prompt.user]
    assert {each.path for each in prompt.shown} == {each.path for each in FILES}


@pytest.mark.parametrize("where", [*injections.TELEMETRY, injections.CODE, injections.NAME])
def test_an_injection_stays_data_in_any_place(where: str) -> None:
    """The same of every piece of the corpus in every place."""
    for injection in INJECTIONS:
        for _, text in injection.pieces:
            told, files = put(where, text, TOLD, FILES)
            prompt = made(told, files)
            assert prompt.system == made().system
            shown = len(files) - sum(each.what.startswith("file ") for each in prompt.left_out)
            check_data(prompt, ["EXCEPTION", "FRAMES", "SAID", *(f"FILE {n + 1}" for n in range(shown))])


@given(st.sampled_from([*injections.TELEMETRY, injections.CODE, injections.NAME]), st.text(max_size=200))
def test_any_text_stays_data(where: str, text: str) -> None:
    """The same of any text."""
    told, files = put(where, text, TOLD, FILES)
    prompt = made(told, files)
    assert prompt.system == made().system
    sections = parsed(prompt.user, NONCE)
    assert sum(name.startswith("FILE") for name, _ in sections) == len(prompt.shown)


def test_words_of_the_sources_are_all_that_telemetry_can_say() -> None:
    """An injection in the program's own words gets through as words of a template, and as nothing else."""
    prompt = made(replace(TOLD, message="return total, reserve stock: push"))
    check_data(prompt, ["EXCEPTION", "FRAMES", "SAID", "FILE 1", "FILE 2"])
    assert "| message: return total, reserve stock: <word>\n" in prompt.user


def test_a_prompt_shows_what_failed() -> None:
    """The whole data of a small case, to the byte."""
    assert made().user == (
        f"BEGIN {NONCE}\n"
        f"EXCEPTION {NONCE}\n"
        "| type: KeyError\n"
        "| message: 'price' (order <num> of <email>)\n"
        "| <num> = 4711\n"
        "| <email> = [[email:1]]\n"
        f"FRAMES {NONCE}\n"
        "| src/shop/cart.py:2 in total\n"
        "| and 1 in other files, not shown\n"
        f"SAID {NONCE}\n"
        "| 2x entry: request failed after <num> ms\n"
        "| 1x breadcrumb: reserve item\n"
        "| 1x tag: release <num>\n"
        f"FILE 1 {NONCE}\n"
        "| path: src/shop/cart.py\n"
        "| lines: 1-4 of 4\n"
        "|     1: def total(cart, user_id):\n"
        '|     2: \treturn sum(item["price"] for item in cart)\n'
        "|     3: \n"
        '|     4: API_TOKEN = "[[secret:1]]"\n'
        f"FILE 2 {NONCE}\n"
        "| path: src/shop/stock.py\n"
        "| lines: 1-2 of 2\n"
        "|     1: def reserve(item):\n"
        "|     2:     return item.stock - 1\n"
        f"END {NONCE}\n"
    )


def test_the_trusted_part_is_constant() -> None:
    """The system part is the instructions, then the facts, and nothing else."""
    assert made().system == f"{INSTRUCTIONS}\n{facts_text(FACTS, NONCE)}"
    assert "repository: acme/checkout\nallowed paths: src/**, tests/**\nrelease: 1.4.2\n" in made().system
    assert made() == made()


def test_no_secret_is_in_a_prompt() -> None:
    """A file's secret is hidden in the file and wherever telemetry tells it."""
    told = replace(
        TOLD, message="login kestrel-77-canary failed", said=(Said(TAG, "kestrel-77-canary 5 of kestrel"),)
    )
    assert "kestrel-77" not in made(told).user


def test_a_hidden_value_comes_back_in_its_file_only() -> None:
    """An answer that copies a token is undone in the file that had the value, nowhere else."""
    masks = Masks()
    build(FACTS, replace(TOLD, message="password=hunter22x"), FILES, masks, nonce=NONCE, budget=20_000)
    edit = 'API_TOKEN = "[[secret:1]]"'
    assert masks.unmask(edit, "src/shop/cart.py") == 'API_TOKEN = "kestrel-77-canary"'
    assert masks.unmask(edit, "src/shop/stock.py") == edit
    assert masks.unmask("[[secret:2]]", "src/shop/cart.py") == "[[secret:2]]"


@given(st.integers(600, 6_000), st.integers(1, 400))
def test_a_prompt_fits_its_budget(budget: int, count: int) -> None:
    """The estimate is never over the budget, and every file is shown or left out with a reason."""
    files = tuple(File(f"src/f{n}.py", f"x = {n}\n" * count) for n in range(4))
    told = Telemetry("KeyError", "'x'", (Frame("src/f2.py", "x", count // 2 + 1),), TOLD.said * 20)
    try:
        prompt = made(told, files, budget)
    except TooLarge:
        assert budget < estimated(made().system) + 40
        return
    assert prompt.tokens <= budget
    assert prompt.tokens == estimated(prompt.system + prompt.user)
    known = {each.path for each in prompt.shown} | {each.what for each in prompt.left_out}
    assert {each.path for each in files} <= known
    for each in prompt.shown:
        assert all(1 <= first <= last <= each.of == count for first, last in each.lines)


def test_a_large_file_is_shown_around_its_frames() -> None:
    """What does not fit whole is shown around the lines of its frames, with the gap told."""
    file = File("src/shop/cart.py", "".join(f"x{n} = {n}\n" for n in range(1, 2_001)))
    told = Telemetry(
        "KeyError", "", (Frame("src/shop/cart.py", "x", 500), Frame("src/shop/cart.py", "x", 1_990))
    )
    prompt = made(told, (file, FILES[1]), 2_500)
    spans = ((500 - AROUND, 500 + AROUND), (1_990 - AROUND, 2_000))
    assert prompt.shown == (Shown(file.path, spans, 2_000), Shown(FILES[1].path, ((1, 2),), 2))
    assert "| lines: 470-530, 1960-2000 of 2000\n|   470: x470 = 470\n" in prompt.user


def test_what_is_left_out_is_told() -> None:
    """Each with its reason; a name that may not be shown is not in the account either."""
    files = (
        File("src/a b.py", "x"),
        File("../up.py", "x"),
        File("big.py", "x" * (MAX_FILE + 1)),
        File("no.py", ""),
    )
    assert made(
        TOLD,
        (*files, File("long.py", "x = 1\n" * 60_000)),
    ).left_out == (
        LeftOut("file 1", "its name may not be shown"),
        LeftOut("file 2", "its name may not be shown"),
        LeftOut("big.py", "over 400000 characters"),
        LeftOut("no.py", "it is empty"),
        LeftOut("long.py", "over the budget"),
    )
    many = replace(TOLD, said=tuple(Said(ENTRY, "failed " * (n % 20 + 1)) for n in range(400)))
    assert LeftOut("9 of 20 templates", "over their share").reason in {
        each.reason for each in made(many, budget=2_000).left_out
    }


def test_the_same_inputs_are_the_same_bytes_anywhere() -> None:
    """Another process, with other hashes, makes the same prompt."""
    code = "from tests.core.test_prompts import made; import hashlib; p = made()"
    code += "; print(hashlib.sha256((p.system + p.user).encode()).hexdigest())"
    mine = hashlib.sha256((made().system + made().user).encode()).hexdigest()
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        out = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
        assert out.stdout.strip() == mine


def test_half_of_a_character_is_no_trouble() -> None:
    """A lone surrogate, as broken JSON may hold, is spelled out in a file and dropped from telemetry."""
    told = replace(TOLD, message="failed \ud83d", said=(Said(TAG, "\udfff x"),))
    prompt = made(told, (File("src/x.py", "a = '\ud83d'\n"),))
    assert "|     1~ a = '<U+D83D>'\n" in prompt.user
    assert "message: failed\n" in prompt.user


def test_a_flood_costs_little() -> None:
    """Of telemetry that is too much a part is looked at, and the rest is told."""
    said = (
        tuple(Said(ENTRY, f"password=hunter{n} " * 100_000) for n in range(60)) + (Said(TAG, "x"),) * MAX_SAID
    )
    with within(10):
        prompt = made(Telemetry("KeyError", "a" * 5_000_000, TOLD.frames * 5_000, said))
    assert LeftOut("60 of 1060 said", "over 1000") in prompt.left_out
    assert LeftOut("9970 of 10000 frames", "over 30") in prompt.left_out
    check_data(prompt, ["EXCEPTION", "FRAMES", "SAID", "FILE 1", "FILE 2"])


def test_a_line_that_is_not_exact_is_marked() -> None:
    """Lines that were changed or cut have `~`; others, with tokens or in other scripts, have `:`."""
    text = "a = 1\u202e\n" + "b" * 401 + "\nname = 'größer, 日本語'\npassword = 'hunter22x'\r\nend\r\n"
    user = made(TOLD, (File("src/x.py", text),)).user
    assert "|     1~ a = 1<U+202E>\n" in user
    assert f"|     2~ {'b' * 400}\n" in user
    assert "|     3: name = 'größer, 日本語'\n|     4: password = '[[secret:1]]'\n|     5: end\n" in user


def test_a_hidden_key_keeps_the_lines() -> None:
    """A key of several lines is hidden line by line, so that the numbers after it are right."""
    key = "-----BEGIN PRIVATE KEY-----\nMIIhunter\ncanary==\n-----END PRIVATE KEY-----"
    user = made(TOLD, (File("src/x.py", f'K = """{key}"""\nlast = 1\n'),)).user
    assert "|     5: last = 1\n" in user
    assert "hunter" not in user
    assert "canary" not in user


@pytest.mark.parametrize(
    "facts",
    [
        ("acme/x\nrepository: b", ("src/**",)),
        ("", ("src/**",)),
        ("acme/x", ()),
        ("acme/x", ("src/**, **\n",)),
        ("a/b", ("a",), "x y"),
    ],
)
def test_facts_have_their_form(facts: tuple[str, tuple[str, ...]]) -> None:
    """Facts that could be more than facts are refused."""
    with pytest.raises(Malformed):
        Facts(*facts)


@pytest.mark.parametrize("nonce", ["", "5f", "G" * 32, NONCE.upper(), NONCE + "\n"])
def test_the_delimiter_has_its_form(nonce: str) -> None:
    """A delimiter that is short or could be something else is refused."""
    with pytest.raises(Malformed):
        build(FACTS, TOLD, FILES, Masks(), nonce=nonce, budget=20_000)


def test_what_cannot_be_is_refused() -> None:
    """A path twice, a kind that is none, a budget under the instructions."""
    with pytest.raises(Malformed):
        made(TOLD, (*FILES, FILES[0]))
    with pytest.raises(Malformed):
        Said("rule", "x")
    with pytest.raises(TooLarge, match="the instructions alone need"):
        made(budget=100)


def test_nothing_shows_a_body() -> None:
    """A representation, as in a log of errors, holds neither the data nor a file."""
    assert "canary" not in repr(FILES)
    assert "cart.py:2" not in repr(made())


def test_a_frame_is_located_by_whole_parts() -> None:
    """A frame is in a file only if its last parts are that path."""
    assert located("C:\\srv\\src\\shop\\cart.py", ["src/shop/cart.py"]) == "src/shop/cart.py"
    assert located("/srv/xsrc/shop/cart.py", ["src/shop/cart.py"]) is None


def test_the_document_says_what_is() -> None:
    """docs/prompts.md has the numbers of the code, the size of the corpus, each kind of mask, each label."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "prompts.md").read_text()
    rows = dict(re.findall(r"^\| ([^|]+?) \| ([\d.,]+) \|$", text, re.MULTILINE))
    numbers = {name: float(value.replace(",", "")) for name, value in rows.items()}
    assert numbers == {
        "words of a template that stay": templates.MAX_WORDS,
        "characters of a template": templates.MAX_SKELETON,
        "fields of a template": templates.MAX_FIELDS,
        "characters of a text of telemetry that are looked at": templates.MAX_READ,
        "characters of a number that is shown": templates.MAX_NUMBER,
        "frames": MAX_FRAMES,
        "frames whose variables are told of": MAX_TOLD,
        "variables of a frame that are told of": MAX_KINDS,
        "entries, breadcrumbs and tags": MAX_SAID,
        "characters of a file's line": MAX_LINE,
        "characters of a file": MAX_FILE,
        "lines before and after a frame's": AROUND,
        "bytes a token, as estimated": BYTES_A_TOKEN,
        "parts of the budget of which what was said gets one": SAID_SHARE,
        "characters from which on a known value is hidden wherever it stands": HUNTED,
    }
    assert f"{len(INJECTIONS)} injections" in text
    assert f"of the first {MAX_HUNTED:,}" in text
    assert all(f"`{each}`" in text for each in KINDS_OF_MASKS)
    labels = {"num", "uuid", "time", "ip", "email", "url", "path", "hex", "quoted", "name", "word", "mark"}
    assert all(f"`<{each}>`" in text for each in labels)
