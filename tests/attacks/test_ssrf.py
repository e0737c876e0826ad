"""Requests that Sentinel is to make for somebody: through the proxy, and by the action `http.call`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from sentinel import actions
from sentinel.adapters import hosts
from sentinel.adapters.append_files import AppendFiles
from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.adapters.secrets_file import FileSecrets
from sentinel.core.steps import Done, Outcome
from sentinel.core.upstreams import parse_upstreams
from sentinel.errors import Malformed
from tests.attacks.deployment import ODD_HOSTS, Deployment, Member
from tests.attacks.record import case
from tests.attacks.wire import request
from tests.e2e.trees import until
from tests.steps import step_run
from tests.wire import Wire

pytestmark = pytest.mark.xdist_group("attacks")

PROXY, CALL = "proxy", "http.call"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

PATHS = {
    "dots": "../meta/x",
    "dots, encoded": "%2e%2e/meta/x",
    "dots, half encoded": ".%2e/meta/x",
    "dots, encoded twice": "%252e%252e/x",
    "dots with a semicolon": "..;/x",
    "dots with a blank": "..%20/x",
    "dots in full width": "%ef%bc%8e%ef%bc%8e/x",
    "one dot leader": "%e2%80%a4%e2%80%a4/x",
    "dots, overlong UTF-8": "%c0%ae%c0%ae/x",
    "slash, encoded": "a%2fb",
    "backslash": "a\\b",
    "backslash, encoded": "a%5c..%5cb",
    "NUL": "a%00b",
    "CR LF": "a%0d%0aHost:%20evil.example",
    "empty segment": "/evil.example/x",
    "a URL": "http://169.254.169.254/latest",
    "percent alone": "a%",
    "percent and one digit": "a%2",
    "not UTF-8": "a%ff",
    "4,200 characters": "a" * 4_200,
}


@pytest.mark.parametrize("name", PATHS)
def test_a_path_stays_below_its_upstream(tree: Deployment, me: Member, name: str) -> None:
    """What could be read as another path is not passed on in any method."""
    auth = f"Authorization: {tree.bearer(me)['Authorization']}"
    before = len(tree.upstream.requests)
    with case("SSRF", f"path with {name}", PROXY, 400) as tried:
        for method in ("GET", "POST", "DELETE"):
            data = request(
                method, f"/v1/proxy/echo/{PATHS[name]}", "Host: localhost", auth, "Content-Length: 0"
            )
            tried.refused(me.client.one(data), "ANY /v1/proxy/{upstream}/{path+}")
        tried.holds(len(tree.upstream.requests) == before, "the upstream was asked")


UPSTREAMS = {
    "not listed": "nothing",
    "in capitals": "ECHO",
    "encoded": "ech%6f",
    "a host": "169.254.169.254",
    "a host with a port": "127.0.0.1:80",
    "a URL, encoded": "http:%2f%2f169.254.169.254",
    "a user": "echo@evil.example",
    "a user, encoded": "echo%40evil.example",
    "a longer name": "echo.evil.example",
    "slash, encoded": "echo%2f..%2fmeta",
    "dots": "..",
    "NUL": "echo%00",
}


@pytest.mark.parametrize("name", UPSTREAMS)
def test_an_upstream_is_one_of_the_list(tree: Deployment, me: Member, name: str) -> None:
    """By its exact name."""
    with case("SSRF", f"upstream {name}", PROXY, 404) as tried:
        answer = me.client.ask("GET", f"/v1/proxy/{UPSTREAMS[name]}/x", headers=tree.bearer(me))
        tried.refused(answer, "ANY /v1/proxy/{upstream}/{path+}")


def test_metadata_is_no_upstream(tree: Deployment, me: Member) -> None:
    """Even where the settings list it."""
    with case("SSRF", "upstream with the metadata service's address", PROXY, 502) as tried:
        for path in ("x", "latest/meta-data/iam/security-credentials/"):
            answer = me.client.ask("GET", f"/v1/proxy/meta/{path}", headers=tree.bearer(me))
            tried.refused(answer, "ANY /v1/proxy/{upstream}/{path+}")


def test_a_redirect_is_not_followed(tree: Deployment, me: Member) -> None:
    """Nor is its target told, but for one below the same upstream, as a path of ours."""
    port, inside = tree.upstream.port, tree.inside.port
    elsewhere = {
        "metadata": "http://169.254.169.254/latest/meta-data/",
        "metadata without a scheme": "//169.254.169.254/",
        "another port": f"http://127.0.0.1:{inside}/base/x",
        "another scheme": f"https://127.0.0.1:{port}/base/x",
        "a file": "file:///etc/passwd",
        "gopher": f"gopher://127.0.0.1:{inside}/_GET",
        "a script": "javascript:alert(1)",
        "outside of its path": f"http://127.0.0.1:{port}/other",
        "outside by dots": f"http://127.0.0.1:{port}/base/../../other",
        "a user": f"http://127.0.0.1:{port}@evil.example/base/",
        "backslashes": "\\\\evil.example\\base",
        "a host that begins alike": f"http://127.0.0.1:{port}.evil.example/base/",
    }
    try:
        for name, location in elsewhere.items():
            with case("SSRF", f"redirect to {name}", PROXY, 502) as tried:
                for status in (301, 302, 303, 307, 308):
                    head = (
                        f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nRefresh: 0; url={location}\r\n"
                    )
                    tree.upstream.answer_with(f"{head}Content-Length: 0\r\n\r\n".encode())
                    before = len(tree.upstream.requests)
                    answer = me.client.ask("GET", "/v1/proxy/echo/x", headers=tree.bearer(me))
                    tried.refused(answer, "ANY /v1/proxy/{upstream}/{path+}")
                    tried.holds(not answer.header("location") and not answer.header("refresh"), "it was told")
                    tried.holds(len(tree.upstream.requests) == before + 1, "it was asked again")
    finally:
        tree.upstream.answer_with(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert tree.inside.requests == []


SETTINGS = {
    "plain HTTP": "a=http://internal.example/x",
    "metadata in plain HTTP": "a=http://169.254.169.254/latest",
    "a user": "a=https://me:hunter2@internal.example/",
    "a file": "a=file:///etc/passwd",
    "a socket": "a=unix:///var/run/docker.sock",
    "gopher": "a=gopher://internal.example:70/",
    "no host": "a=https:///x",
    "port 0": "a=https://internal.example:0/",
    "a query": "a=https://internal.example/?x=",
    "dots": "a=https://internal.example/a/../b",
    "a line break": "a=https://internal.example/\r\nHost: evil.example",
    "a backslash": "a=https://internal.example\\@evil.example/",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_an_upstream_that_cannot_be_meant_is_not_set_up(name: str) -> None:
    """`SENTINEL_PROXY` is refused as a whole, without a word of what was in it."""
    with case("SSRF", f"setting with {name}", "settings") as tried:
        with pytest.raises(Malformed) as caught:
            parse_upstreams(SETTINGS[name])
        tried.holds("hunter2" not in str(caught.value), str(caught.value))


@pytest.fixture(scope="module")
def inside() -> Iterator[Wire]:
    """A server on loopback that nobody is to reach."""
    with closing(Wire(ANSWER)) as server:
        yield server


def _numeric(host: str, port: int) -> Sequence[str]:
    """Resolve as the system does, but for names of the test, none of which is looked up."""
    known = {"api.example.com": ["93.184.216.34"], "inside.example.com": ["127.0.0.1"]}
    known["both.example.com"] = ["93.184.216.34", "127.0.0.1"]
    known |= {"metadata.example.com": ["169.254.169.254"], "api.example.com.127.0.0.1.nip.io": ["127.0.0.1"]}
    return known[host] if host in known else hosts.resolve(host, port)


NAMES = "api.example.com,inside.example.com,both.example.com,metadata.example.com"
Call = Callable[[str], Outcome]


def caller(folder: Path, allowed: str, *, private: bool, resolve: hosts.Resolve = _numeric) -> Call:
    """Return what performs `http.call` on a URL in a deployment with these settings."""
    client = HttpClient(Hosts(allowed.split(","), private=private, resolve=resolve))
    files, secrets = AppendFiles(folder), FileSecrets(folder)
    action = actions.build(client, files, secrets, dict)["http.call"]

    def call(url: str) -> Outcome:
        run = step_run("http.call", {"method": "GET", "url": url, "timeout": "1s"})
        try:
            return action.perform(run)
        finally:
            client.close()

    return call


def urls(port: int) -> dict[str, str]:
    """Return URLs that lead inside, in every spelling."""
    loopback = {
        "127.0.0.1": "127.0.0.1",
        "localhost": "localhost",
        "LOCALHOST": "LOCALHOST",
        "a dot at the end": "127.0.0.1.",
        "short": "127.1",
        "decimal": "2130706433",
        "hex": "0x7f000001",
        "hex, short": "0x7f.1",
        "octal": "0177.0.0.1",
        "zero": "0",
        "0.0.0.0": "0.0.0.0",
        "::1": "[::1]",
        "IPv4 in IPv6": "[::ffff:127.0.0.1]",
        "IPv4 in IPv6, hex": "[::ffff:7f00:1]",
        "IPv4 in IPv6, long": "[0:0:0:0:0:ffff:7f00:1]",
        "IPv4-compatible": "[::7f00:1]",
        "6to4": "[2002:7f00:1::]",
        "NAT64": "[64:ff9b::7f00:1]",
        "scoped": "[fe80::1%25lo]",
        "unspecified": "[::]",
        "full width": "\uff11\uff12\uff17.0.0.1",
        "ideographic stops": "127\u30020\u30020\u30021",
        "a name that resolves there": "inside.example.com",
        "a name that resolves there, too": "both.example.com",
    }
    metadata = {
        "metadata": "169.254.169.254",
        "metadata, decimal": "2852039166",
        "metadata, hex": "0xa9fea9fe",
        "metadata, octal": "0251.0376.0251.0376",
        "metadata, IPv4 in IPv6": "[::ffff:169.254.169.254]",
        "metadata, IPv6": "[fd00:ec2::254]",
        "metadata, NAT64": "[64:ff9b::a9fe:a9fe]",
        "metadata, 6to4": "[2002:a9fe:a9fe::]",
        "metadata, by name": "metadata.example.com",
        "metadata of containers": "169.254.170.2",
        "metadata of Alibaba": "100.100.100.200",
        "metadata of Oracle": "192.0.0.192",
        "private": "10.0.0.1",
        "multicast": "224.0.0.1",
        "broadcast": "255.255.255.255",
    }
    found = {name: f"http://{host}:{port}/x" for name, host in {**loopback, **metadata}.items()}
    tricks = {
        "user": f"http://api.example.com@127.0.0.1:{port}/",
        "user and port": f"http://api.example.com:80@127.0.0.1:{port}/",
        "user, encoded": f"http://api.example.com%40127.0.0.1:{port}/",
        "fragment": f"http://127.0.0.1:{port}#@api.example.com/",
        "backslash": f"http://api.example.com\\@127.0.0.1:{port}/",
        "blank": f"http://api.example.com 127.0.0.1:{port}/",
        "line break": f"http://api.example.com/\r\nHost: 127.0.0.1:{port}",
        "tab in the scheme": f"ht\ttp://127.0.0.1:{port}/",
        "no scheme": f"//127.0.0.1:{port}/",
        "file": "file:///etc/passwd",
        "file on a host": "file://127.0.0.1/etc/passwd",
        "ftp": f"ftp://127.0.0.1:{port}/",
        "gopher": f"gopher://127.0.0.1:{port}/_GET%20/",
        "dict": f"dict://127.0.0.1:{port}/info",
        "unix": "unix:///var/run/docker.sock",
        "http+unix": "http+unix://%2Fvar%2Frun%2Fdocker.sock/x",
        "data": "data:text/plain,x",
        "port 0": "http://api.example.com:0/",
        "port 99999": "http://api.example.com:99999/",
        "subdomain": f"http://api.example.com.127.0.0.1.nip.io:{port}/",
        "empty host": f"http://:{port}/",
    }
    return {**found, **tricks}


SPELLED = sorted(urls(1))
# Addresses that are reached where a deployment allows private ones; all others never are.
MAYBE = {
    *("127.0.0.1", "LOCALHOST", "localhost", "short", "decimal", "hex", "octal", "::1", "private"),
    *("a dot at the end", "hex, short", "IPv4 in IPv6", "IPv4 in IPv6, hex", "IPv4 in IPv6, long"),
    *("IPv4-compatible", "6to4", "NAT64", "a name that resolves there", "a name that resolves there, too"),
    *("metadata of Alibaba", "metadata of Oracle", "broadcast", "fragment", "subdomain"),
}


@pytest.mark.parametrize("name", SPELLED)
def test_a_step_does_not_reach_inside(tmp_path: Path, inside: Wire, name: str) -> None:
    """Neither where the deployment lists one outside host, nor where it carelessly lists every spelling."""
    url = urls(inside.port)[name]
    deployments = {
        "one host listed": caller(tmp_path, "api.example.com", private=False),
        "all of them listed": caller(tmp_path, f"{NAMES},{ODD_HOSTS},{_host(url)}", private=False),
    }
    if name not in MAYBE:
        everything = f"{NAMES},{ODD_HOSTS},{_host(url)}"
        deployments["all of them listed, private ones allowed"] = caller(tmp_path, everything, private=True)
    before = len(inside.connections)
    with case("SSRF", f"URL: {name}", CALL) as tried:
        for deployment, call in deployments.items():
            outcome = call(url)
            tried.holds(not isinstance(outcome, Done), f"{deployment}: {outcome}")
        tried.holds(len(inside.connections) == before, "somebody connected")


def _host(url: str) -> str:
    """Return the host of a URL as a careless list would have it."""
    authority = url.partition("://")[2].partition("/")[0].rpartition("@")[2]
    return authority.rpartition(":")[0].strip("[]").replace(",", "").replace("*", "") or "x"


def test_a_step_that_may_reaches_it(tmp_path: Path) -> None:
    """The URLs above are refused for where they lead: the same call goes through where it is allowed."""
    with closing(Wire(ANSWER)) as server:
        call = caller(tmp_path, "127.0.0.1", private=True)
        assert isinstance(call(f"http://127.0.0.1:{server.port}/x"), Done)
        assert len(server.requests) == 1


def test_a_name_is_resolved_once(tmp_path: Path) -> None:
    """What was checked is connected to: a name that means something else a moment later gains nothing."""
    asked = []

    def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    with case("SSRF", "a name that changes (DNS rebinding)", CALL) as tried, closing(Wire(ANSWER)) as server:
        call = caller(tmp_path, "inside.example.com", private=True, resolve=rebinding)
        outcome = call(f"http://inside.example.com:{server.port}/x")
        tried.holds(isinstance(outcome, Done) and asked == ["inside.example.com"], f"{outcome}, {asked}")
        again = call(f"http://inside.example.com:{server.port}/x")
        tried.holds(not isinstance(again, Done) and len(server.requests) == 1, f"{again}")


def test_a_step_follows_no_redirect(tmp_path: Path, inside: Wire) -> None:
    """Whatever the answer says, one request is made."""
    reached = len(inside.connections)
    with closing(Wire(ANSWER)) as server:
        call = caller(tmp_path, "127.0.0.1", private=True)
        for name, location in {
            "metadata": "http://169.254.169.254/",
            "another port": f"http://127.0.0.1:{inside.port}/",
            "a file": "file:///etc/passwd",
        }.items():
            with case("SSRF", f"redirect to {name}", CALL) as tried:
                for status in (301, 302, 303, 307, 308):
                    head = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
                    server.answer_with(head.encode())
                    before = len(server.requests)
                    outcome = call(f"http://127.0.0.1:{server.port}/x")
                    tried.holds(not isinstance(outcome, Done), f"{outcome}")
                    tried.holds(len(server.requests) == before + 1, "it was asked again")
                tried.holds(len(inside.connections) == reached, "somebody connected")


def test_a_recipe_does_not_reach_inside(tree: Deployment, victim: Member) -> None:
    """The whole way: an entry sets a task off whose step calls loopback; it fails, and nobody was called."""

    def state() -> str:
        told = json.loads(
            victim.client.ask("GET", f"/v1/tasks/{tree.victims_task}", headers=tree.bearer(victim)).body
        )
        return str(told["state"]) if told["state"] not in {"queued", "running", "waiting"} else ""

    with case("SSRF", "a recipe that calls loopback", "tree") as tried:
        found = until(state, "the task does not end", 60)
        tried.holds(found == "failed", found)
        tried.holds(not tree.inside.connections, "somebody connected")
