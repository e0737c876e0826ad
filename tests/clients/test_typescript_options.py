"""One configuration file and one environment for both clients: what one reads of them, the other does."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sentinel_client import _flow
from sentinel_client._counts import Counts
from sentinel_client._options import FIELDS, Options, OptionsError
from sentinel_client._outgoing import transports
from sentinel_client._stored import policy
from tests.clients.test_typescript import CLIENT, NODE, build, run

pytestmark = [
    pytest.mark.skipif(NODE is None, reason="there is no node on this machine"),
    pytest.mark.timeout(400),
]
HERE = {"url": "http://127.0.0.1:8787", "service": "checkout"}
ONLY_PYTHON = {"frame_variables", "source"}
READ = """
const { readFileSync } = require('node:fs');
const part = (name) => require(`${process.cwd()}/dist/cjs/${name}.js`);
const { Levels, clientOptions } = part('client-options');
const { Counts } = part('counts');
const { Flow } = part('flow');
const { configuration, settings } = part('options');
const { Policy } = part('privacy/policy');
const { makeTransports } = part('transports/index');
function read(environ) {
  const all = { ...clientOptions({}, environ), ...settings({}, configuration(environ), environ) };
  new Levels(all.level, all.levels);
  new Flow(all, new Counts(() => ({})));
  Policy.of(all.privacy ?? {});
  const made = makeTransports(all);
  made.forEach((each) => each.close());
  const short = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const told = Object.entries(all).map(([name, value]) => [short(name), value]);
  return { ...Object.fromEntries(told), transports: made.map(({ name }) => name) };
}
const found = JSON.parse(readFileSync(process.argv[1], 'utf8')).map((environ) => {
  try {
    return { told: read(environ) };
  } catch (error) {
    if (!['OptionError', 'TypeError'].includes(error.name)) throw error;
    return { error: error.message };
  }
});
console.log(JSON.stringify(found));
"""
WHOLE: dict[str, Any] = {
    "$schema": "https://sentinel.example.com/client.json",
    "directory": "/var/lib/checkout",
    "level": "WARNING",
    "levels": {"urllib3": "OFF", "shop.cart": "notset"},
    "fields": {"env": "prod", "at": [1, {"a": None}]},
    "fsync": "always",
    "fsync_seconds": 0.25,
    "disk_mb": 64,
    "when_full": "block",
    "block_seconds": 0.1,
    "segment_mb": 2,
    "memory_kb": 512,
    "transports": [
        "http",
        {"kind": "http", "name": "second", "url": "http://127.0.0.1:8788", "compression": "none"},
        {"kind": "file", "name": "copy", "path": "/tmp/x", "rotate_bytes": 1000, "keep": 2, "fsync": True},
        {"kind": "console", "raw": True},
        {"kind": "cloudwatch", "group": "g", "stream": "s", "region": "eu-central-1", "create": True},
        {"kind": "datadog", "api_key_file": "/k", "site": "datadoghq.eu", "tags": "a:b", "hostname": "h"},
    ],
    "batch_entries": 100,
    "batch_kb": 256,
    "batch_seconds": 0.5,
    "compression": "none",
    "timeout_seconds": 5,
    "exit_seconds": 0,
    "sampling": [{"logger": "a.b", "level": "DEBUG", "rate": 0.1}],
    "rates": [{"by": ["logger", "order"], "per_second": 50, "burst": 200, "level": "INFO"}],
    "repeats_seconds": 5,
    "frame_variables": 3,
    "source": True,
    "name": "shop",
    "privacy": {
        "detectors": {"email": "off"},
        "paths": {"*.password": "drop"},
        "allow": ["x*"],
        "names": False,
    },
}
ENVIRON = {
    "SENTINEL_URL": "http://127.0.0.1:1",
    "SENTINEL_SERVICE": "billing",
    "SENTINEL_LEVEL": "error",
    "SENTINEL_DISK_MB": "32",
    "SENTINEL_FSYNC_SECONDS": "0.5",
    "SENTINEL_BATCH_KB": " 128 ",
    "SENTINEL_TRANSPORTS": "console, http",
    "SENTINEL_LEVELS": "not read here",
    "SENTINEL_BATCHES": "not ours",
}
MISSPELT = {
    "urls": "url",
    "fsync_second": "fsync_seconds",
    "segment_mib": "segment_mb",
    "compresion": "compression",
    "when-full": "when_full",
    "Service": "service",
    "batch_bytes": "batch_",
    "api_key": "api_key_file",
    "signing_key": "signing_key_file",
}
WRONG: list[dict[str, Any]] = [
    {"transports": "http"},
    {"transports": [{"kind": "pigeon"}]},
    {"transports": [{"type": "file", "path": "x"}]},
    {"transports": [{"kind": "file", "paths": "x"}]},
    {"transports": ["file"]},
    {"transports": [{"kind": "console", "colour": True}]},
    {"transports": [{"kind": "http", "type": "x"}]},
    {"compression": "brotli"},
    {"level": "LOUD"},
    {"levels": {"a": "LOUD"}},
    {"levels": ["a"]},
    {"fields": 1},
    {"sampling": {}},
    {"sampling": [{"rate": 2}]},
    {"rates": [{"per_seconds": 2}]},
    {"privacy": {"detector": {}}},
    {"privacy": {"paths": {"a": "hide"}}},
    {"integrity": "ed25519"},
    {"certificate": ""},
    {"url": None},
    {"service": 5},
    {"disk_mb": True},
    {"disk_mb": 1.5},
    {"batch_seconds": "soon"},
]


@cache
def _numbers() -> list[tuple[str, float, float]]:
    every = [(name, one.metadata) for name, one in FIELDS.items() if name not in ONLY_PYTHON]
    return [(name, how.get("least", 0), how["most"]) for name, how in every if "most" in how]


def by_python(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what the Python client reads, or the error."""
    try:
        options = Options.load({}, environ)
        policy(options)
        _flow.Flow(options, Counts())
        made = transports(options)
        for each in made:
            each.close()
    except OptionsError as error:
        return {"error": str(error)}
    told = {name: getattr(options, name) for name in FIELDS}
    return {"told": told | {"transports": [each.name for each in made], "directory": options.folder(environ)}}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Any]]:
    """Read environments (with files) by both clients; return pairs of what they found."""
    folder = tmp_path_factory.mktemp("options")
    build()

    def read(*environs: Mapping[str, str]) -> list[Any]:
        cases = folder / "cases.json"
        cases.write_text(json.dumps(environs))
        found = json.loads(run("node", "-e", READ, cases, cwd=CLIENT))
        return [(by_python(environ), one) for environ, one in zip(environs, found, strict=True)]

    return read


def filed(folder: Path, number: int, told: Mapping[str, Any], **environ: str) -> dict[str, str]:
    """Return an environment that names a file of these options."""
    path = folder / f"{number}.json"
    path.write_text(json.dumps({**HERE, **told}))
    return {"SENTINEL_CONFIG": str(path), "HOME": "/home/me", "XDG_STATE_HOME": "/state", **environ}


def plain(value: Any) -> Any:
    """Return a value as JSON has it; what is empty is nothing."""
    return json.loads(json.dumps(value, default=str)) or None


def test_one_file_configures_both_clients(tmp_path: Path, both: Callable[..., list[Any]]) -> None:
    """Every option has the same name, unit and default in both, from the file and the environment."""
    assert set(WHOLE) | set(HERE) >= set(FIELDS) - {
        "certificate",
        "certificate_key",
        "api_key_file",
        "roots",
        "integrity",
        "signing_key_file",
    }
    paths = {"roots": "/etc/roots.pem", "transports": ["console"]}
    cases = [filed(tmp_path, 0, {}), filed(tmp_path, 1, WHOLE), filed(tmp_path, 2, WHOLE, **ENVIRON)]
    cases.append(filed(tmp_path, 3, paths, SENTINEL_ROOTS="/other.pem"))
    for python, typescript in both(*cases):
        assert python.keys() == typescript.keys() == {"told"}, (python, typescript)
        told = {"level": "INFO", **typescript["told"]}
        for name in set(FIELDS) - ONLY_PYTHON:
            mine, its = plain(python["told"][name]), plain(told.get(name))
            assert mine == (its.upper() if name == "level" else its), name


def test_what_is_wrong_is_refused_by_both(tmp_path: Path, both: Callable[..., list[Any]]) -> None:
    """A name that is none is told with the one that is meant; a wrong value or transport is an error."""
    names = [filed(tmp_path, at, {name: 1}) for at, name in enumerate(MISSPELT)]
    for (python, typescript), meant in zip(both(*names), MISSPELT.values(), strict=True):
        for found in (python, typescript):
            assert f"did you mean {meant}" in found["error"].replace("'", "").replace('"', ""), found
    values = [filed(tmp_path, at, told) for at, told in enumerate(WRONG)]
    values += [filed(tmp_path, 100, {}, SENTINEL_DISK_MB="1.5"), filed(tmp_path, 101, {}, SENTINEL_FSYNC="x")]
    for (python, typescript), case in zip(both(*values), [*WRONG, "whole", "word"], strict=True):
        assert "error" in python, case
        assert "error" in typescript, case


def test_numbers_have_the_same_bounds_in_both(tmp_path: Path, both: Callable[..., list[Any]]) -> None:
    """What is just within is taken, what is just beyond is not."""
    assert len(_numbers()) >= 10
    cases = []
    for name, least, most in _numbers():
        cases += [
            (name, least, True),
            (name, most, True),
            (name, least - 0.001, False),
            (name, most + 1, False),
        ]
    environs = [filed(tmp_path, at, {name: value}) for at, (name, value, _) in enumerate(cases)]
    for (python, typescript), (name, value, fits) in zip(both(*environs), cases, strict=True):
        assert ("told" in python, "told" in typescript) == (fits, fits), (name, value, python, typescript)
