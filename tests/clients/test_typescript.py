"""The TypeScript client: its own tests, its package as others install it, a real gateway with doors."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sentinel.cli.clients import local_credentials
from sentinel_client import _frames
from tests.e2e.trees import ROOT, environment, sentinel, up
from tests.throwaway import make

CLIENT = ROOT / "clients" / "typescript"
SCRIPTS = Path(sysconfig.get_path("scripts"))
NODE = shutil.which("node", path=f"{SCRIPTS}{os.pathsep}{os.environ.get('PATH', '')}")

pytestmark = [
    pytest.mark.skipif(NODE is None, reason="there is no node on this machine"),
    pytest.mark.skipif(sys.platform == "win32", reason="set up with flock"),
    pytest.mark.timeout(400),
]


def run(*command: str | Path, cwd: Path = CLIENT, settings: Mapping[str, str] | None = None) -> str:
    """Run a command to its end; return what it printed. A failure shows all of it."""
    path = f"{Path(NODE or '').parent}{os.pathsep}{os.environ.get('PATH', '')}"
    told = environment(PATH=path, npm_config_update_notifier="false", **(settings or {}))
    done = subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        env=told,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=350,
        check=False,
        text=True,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}"
    return done.stdout


# What npm says where its registry is not to be had.
AWAY = (
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ETIMEDOUT",
    "ERR_SOCKET_TIMEOUT",
    "EHOSTUNREACH",
)
PATIENCE = {"npm_config_fetch_retries": "1", "npm_config_fetch_timeout": "60000"}


@cache
def _without() -> str:
    """Install and build once; return why that cannot be done here: the compiler is npm's to bring."""
    (CLIENT / "dist").mkdir(exist_ok=True)
    with (CLIENT / "dist" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            run("node", "build.mjs", "--install", settings=PATIENCE)
        except AssertionError as error:
            found = next((each for each in AWAY if each in str(error)), None)
            if found is None:
                raise
            return f"npm's registry cannot be reached: {found}"
    return ""


def build() -> None:
    """Have the client built. Other test processes wait, and find nothing left to do; without npm, skip."""
    if why := _without():
        pytest.skip(why)


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    build()


def test_its_own_tests_pass() -> None:
    """All of `clients/typescript/test` passes."""
    tests = sorted(str(path.relative_to(CLIENT)) for path in (CLIENT / "test").glob("*.test.mjs"))
    assert tests
    more = {name: os.environ[name] for name in ("SENTINEL_THOROUGH",) if name in os.environ}
    run("node", "--test", "--test-timeout=120000", "--test-concurrency=1", *tests, settings=more)


def _read_by_python(root: Path) -> list[tuple[int, bytes]]:
    """Return number and entry of all frames of the one slot of a root, as the Python client reads them."""
    found = []
    (slot,) = root.glob("js-*")
    for path in sorted(slot.glob("*.wal")):
        data = path.read_bytes()
        header = _frames.decode_header(data)
        assert header is not None
        found += [(at, data[start:end]) for at, start, end in _frames.frames(data, header.kind, header.first)]
    return found


USE = """
const store = openStore({ directory: process.argv[2] });
if (store.append(JSON.stringify({ from: process.argv[3] })) < 0) throw new Error('not accepted');
store.close(1000).then((done) => console.log(done, store.stats().next));
"""
TYPED = """
import { openStore, OptionError, type Stats, type Store, type StoreOptions } from '@sentinel/client';
const options: StoreOptions = { directory: '/tmp', fsync: 'always' };
const store: Store = openStore(options);
const sequence: number = store.append('{}');
const stats: Stats = store.stats();
const error: Error = new OptionError('x');
// @ts-expect-error there is no such policy
openStore({ fsync: 'sometimes' });
export { error, sequence, stats };
"""


def test_it_is_packed_installed_and_used_from_both_kinds_of_module(tmp_path: Path) -> None:
    """The package works in an empty project without a registry, from ESM and CommonJS, with its types."""
    run("npm", "pack", "--ignore-scripts", "--pack-destination", tmp_path)
    (tarball,) = tmp_path.glob("*.tgz")
    project = tmp_path / "project"
    project.mkdir()
    (project / "package.json").write_text('{"name": "empty", "version": "1.0.0", "private": true}')
    run("npm", "install", "--offline", "--no-audit", "--no-fund", "--ignore-scripts", tarball, cwd=project)
    assert [path.name for path in (project / "node_modules").iterdir() if path.name[0] != "."] == [
        "@sentinel"
    ]

    (project / "one.mjs").write_text("import { openStore } from '@sentinel/client';" + USE)
    (project / "two.cjs").write_text("const { openStore } = require('@sentinel/client');" + USE)
    logs = project / "logs"
    assert run("node", "one.mjs", logs, "esm", cwd=project).split() == ["true", "1"]
    assert run("node", "two.cjs", logs, "cjs", cwd=project).split() == ["true", "2"]
    same = "import { openStore } from '@sentinel/client'; import { createRequire } from 'node:module';"
    same += "console.log(openStore === createRequire(import.meta.url)('@sentinel/client').openStore);"
    (project / "same.mjs").write_text(same)
    assert run("node", "same.mjs", cwd=project).strip() == "true"
    assert _read_by_python(logs) == [(0, b'{"from":"esm"}'), (1, b'{"from":"cjs"}')]

    for name in ("user.mts", "user.cts"):
        (project / name).write_text(TYPED)
    options: list[str | Path] = [
        "--noEmit",
        "--strict",
        "--module",
        "nodenext",
        "--target",
        "es2022",
        "--lib",
        "es2022",
        "--types",
        "node",
    ]
    roots: list[str | Path] = ["--typeRoots", CLIENT / "node_modules" / "@types", "user.mts", "user.cts"]
    run("node", CLIENT / "node_modules" / "typescript" / "bin" / "tsc", *options, *roots, cwd=project)


PROGRAM = """
import { close, flush, getLogger, install, installed, runWith } from './dist/esm/index.js';
const cart = getLogger('shop.cart').child({ module: 'cart' }); // before the client is there
cart.info({ number: 0 }, 'paid %s', 'twice');
install();
for (let number = 1; number < 300; number++) {
  runWith({ request: `r${number}` }, () => cart.info({ number, password: 'hunter22' }, 'paid'));
}
cart.debug({ number: -1 }, 'below the level');
const done = await flush(60000);
const { producer } = installed().store;
const stats = installed().stats();
await close(5000);
console.log(JSON.stringify({ done, producer, stats }));
"""


def test_what_a_logger_is_told_is_in_the_ledger_of_a_gateway_with_doors(tmp_path: Path) -> None:
    """By client certificate and token, as file and environment say; masked; receipts are checked and kept."""
    with up(tmp_path / "home", insecure=False) as tree:
        proof = local_credentials(tree.home, tree.url, "checkout", lambda _: None)
        assert proof is not None
        config = tmp_path / "client.json"
        config.write_text(json.dumps({"batch_entries": 100, "fields": {"env": "test"}, "source": True}))
        told = {
            "SENTINEL_CONFIG": str(config),
            "SENTINEL_URL": tree.url,
            "SENTINEL_SERVICE": "checkout",
            "SENTINEL_CERTIFICATE": str(proof.certificate),
            "SENTINEL_CERTIFICATE_KEY": str(proof.key),
            "SENTINEL_API_KEY_FILE": str(proof.api_key),
            "SENTINEL_ROOTS": str(proof.roots),
            "SENTINEL_DIRECTORY": str(tmp_path / "log"),
        }
        found = json.loads(run("node", "--input-type=module", "-e", PROGRAM, settings=told))
        done = sentinel("export", "--chain", "checkout/0", home=tree.home)
        assert done.returncode == 0, done.stderr
    assert found["done"], found
    assert found["stats"]["counts"] == {}, "a receipt did not fit, or an entry was lost"
    segments = [json.loads(line) for line in done.stdout.splitlines()]
    stored: list[Any] = [json.loads(entry) for segment in segments for entry in segment["entries"]]
    assert [entry["number"] for entry in stored] == list(range(300))
    assert {(entry["logger"], entry["level"], entry["module"], entry["env"]) for entry in stored} == {
        ("shop.cart", "INFO", "cart", "test")
    }
    assert [entry["message"] for entry in stored[:2]] == ["paid twice", "paid"]
    assert [entry.get("request") for entry in stored] == [None, *(f"r{number}" for number in range(1, 300))]
    assert stored[1]["password"].startswith("[[password:")
    assert b"hunter22" not in done.stdout
    receipts = [json.loads(line) for line in (tmp_path / "log" / "receipts.ndjson").read_text().splitlines()]
    assert [each["sequence"] for each in receipts] == [0, 100, 200]
    assert {each["producer"] for each in receipts} == {found["producer"]}
    assert not (tmp_path / "log" / "altered.ndjson").exists()
    assert receipts[-1]["head"] == segments[-1]["head"]
    assert receipts[-1]["segments"], "the receipt does not say what its head is made of"


def test_its_door_shows_certificates_and_tokens_and_judges_the_server(tmp_path: Path) -> None:
    """The tests that need certificates, which are made here, pass."""
    ca = make(tmp_path, "ca")
    make(tmp_path, "server", ca, server=True)
    make(tmp_path, "one", ca)
    make(tmp_path, "two", ca)
    make(tmp_path, "stranger")
    run(
        "node",
        "--test",
        "--test-timeout=60000",
        "test/tls.mjs",
        settings={"SENTINEL_TEST_CERTIFICATES": str(tmp_path)},
    )
