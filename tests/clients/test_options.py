"""Options of the client: where they come from, what counts, and what a wrong one is told."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sentinel_client._options import FIELDS, Options, OptionsError
from sentinel_client._outgoing import transports

ROOT = Path(__file__).resolve().parents[2]
HERE = {"url": "http://127.0.0.1:8787", "service": "checkout"}


def load(environ: dict[str, str] | None = None, **arguments: Any) -> Options:
    """Load options without the environment of the tests."""
    return Options.load({**HERE, **arguments}, environ or {})


def config(path: Path, **told: Any) -> str:
    """Write a configuration file."""
    path.write_text(json.dumps(told))
    return str(path)


def test_arguments_come_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    """Each option is taken from the first place that has it."""
    file = config(tmp_path / "c.json", level="ERROR", disk_mb=7, batch_kb=100, fields={"env": "prod"})
    environ = {"SENTINEL_CONFIG": file, "SENTINEL_LEVEL": "warn", "SENTINEL_DISK_MB": "8"}
    found = load(environ, level="debug")
    assert (found.level, found.disk_mb, found.batch_kb) == ("DEBUG", 8, 100)
    assert found.fields == {"env": "prod"}
    assert found.fsync == "interval"
    assert load(environ).level == "WARN"


def test_the_file_may_be_named_by_an_argument(tmp_path: Path) -> None:
    """`config` names the file as `SENTINEL_CONFIG` does; `$schema` in it is no option."""
    file = config(tmp_path / "c.json", service="billing", **{"$schema": "x"})
    assert Options.load({"config": file, "url": "http://127.0.0.1:1"}, {}).service == "billing"


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"api_key": "s3cret"}, r"there is no option 'api_key'; did you mean 'api_key_file'\?"),
        ({"when-full": "block"}, "did you mean 'when_full'"),
        ({"zzzzzz": 1}, "there are url, service"),
        ({"level": "loud"}, "level: 'loud' is no level"),
        ({"levels": {"a": "loud"}}, "levels: a: 'loud' is no level"),
        ({"levels": {"a": None}}, "levels: a: None is no level"),
        ({"fsync": "sometimes"}, "fsync: is one of always, interval, never"),
        ({"disk_mb": 0}, "disk_mb: is a number from 1"),
        ({"disk_mb": "many"}, "disk_mb: wants a whole number"),
        ({"disk_mb": True}, "disk_mb: wants a number"),
        ({"batch_seconds": "nan"}, "batch_seconds: is a number"),
        ({"source": "perhaps"}, "source: is neither true nor false"),
        ({"fields": ["a"]}, "fields: wants an object"),
        ({"transports": "http"}, "transports: wants a list"),
        ({"roots": 7}, "roots: wants the name"),
        ({"integrity": "ed25519"}, "wants signing_key_file"),
        ({"url": "ftp://x"}, "begins with https:// or http://"),
        ({"url": "https://x"}, "wants certificate, certificate_key and api_key_file"),
        ({"api_key_file": "k"}, "for https:// alone"),
        ({"url": ""}, "url is missing"),
        ({"service": ""}, "service is missing"),
    ],
)
def test_a_wrong_option_is_told_with_what_is_right(told: dict[str, Any], says: str) -> None:
    """The error names the option, and never shows what may be a secret."""
    with pytest.raises(OptionsError, match=says) as caught:
        load(**told)
    assert "s3cret" not in str(caught.value)


def test_a_wrong_value_of_the_environment_is_told_by_its_name_there() -> None:
    """What the environment has wrong is named as the environment has it."""
    with pytest.raises(OptionsError, match="SENTINEL_DISK_MB: wants a whole number"):
        load({"SENTINEL_DISK_MB": "x"})


def test_names_of_the_environment_that_are_not_ours_are_left_alone() -> None:
    """The server and other programs have names with the same beginning."""
    assert load({"SENTINEL_HOME": "x", "SENTINEL_FIELDS": "{"}).fields == {}


@pytest.mark.parametrize("text", ["[]", "{", "", "\xff"])
def test_a_file_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    """The error names the file."""
    path = tmp_path / "c.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(OptionsError, match=re.escape(str(path))):
        load(config=str(path))


def test_what_only_the_other_client_has_is_passed_over_in_the_file(tmp_path: Path) -> None:
    """One file serves both clients; in a call the name is none."""
    path = config(tmp_path / "c.json", name="shop", level="ERROR")
    assert load({"SENTINEL_CONFIG": path}).level == "ERROR"
    with pytest.raises(OptionsError, match="no option 'name'"):
        load(name="shop")


def test_a_second_server_has_options_of_its_own() -> None:
    """A transport of the kind http may have another address and other proofs; what it says is checked."""
    second = {"kind": "http", "name": "second", "url": "http://127.0.0.1:2", "compression": "none"}
    options = load(url="http://127.0.0.1:1", service="one", transports=["http", second])
    made = transports(options)
    assert [each.name for each in made] == ["http", "second"]
    for each in made:
        each.close()
    for wrong in ({"url": "ftp://x"}, {"compression": "brotli"}, {"adress": "x"}):
        with pytest.raises(OptionsError, match="transports: http: "):
            transports(load(url="http://127.0.0.1:1", service="one", transports=[{"kind": "http", **wrong}]))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A missing file is no empty one."""
    with pytest.raises(OptionsError, match="No such file"):
        load({"SENTINEL_CONFIG": str(tmp_path / "none.json")})


def test_the_log_is_below_the_state_folder_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG_STATE_HOME counts, then ~/.local/state; in Lambda it is /tmp; a given folder always."""
    monkeypatch.setenv("HOME", "/home/me")
    found = load(service="a/b:c")
    assert found.folder({}) == Path("/home/me/.local/state/sentinel-client/a_b_c")
    assert found.folder({"XDG_STATE_HOME": "/s"}) == Path("/s/sentinel-client/a_b_c")
    assert found.folder({"AWS_LAMBDA_FUNCTION_NAME": "f"}) == Path("/tmp/sentinel-client/a_b_c")
    assert load(directory="/var/x").folder({}) == Path("/var/x")
    assert load(service="..").folder({"XDG_STATE_HOME": "/s"}) == Path("/s/sentinel-client/default")


def test_the_service_may_be_known_from_elsewhere() -> None:
    """OpenTelemetry and Lambda name the service, where ours does not."""
    told = {"url": "http://127.0.0.1:1"}
    environ = {"OTEL_SERVICE_NAME": "otel", "AWS_LAMBDA_FUNCTION_NAME": "fn"}
    assert Options.load(told, environ).service == "otel"
    assert Options.load(told, {"AWS_LAMBDA_FUNCTION_NAME": "fn"}).service == "fn"
    assert Options.load(told, {**environ, "SENTINEL_SERVICE": "own"}).service == "own"


@pytest.mark.parametrize("name", FIELDS)
def test_options_are_documented(name: str) -> None:
    """Every option has its row in docs/clients.md, with its own words."""
    docs = (ROOT / "docs" / "clients.md").read_text()
    assert re.search(
        rf"^\| `{name}` \| .* \| {re.escape(FIELDS[name].metadata['doc'])} \|$", docs, re.MULTILINE
    )


def test_no_option_is_documented_that_is_not_there() -> None:
    """docs/clients.md names no option that was taken away."""
    table = (ROOT / "docs" / "clients.md").read_text().partition("\n## Options\n")[2].partition("\n##")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(FIELDS)
