"""Which hosts steps may call: the names of the list, and of addresses only what is public."""

from __future__ import annotations

import socket

import pytest

from sentinel.adapters.hosts import Hosts
from sentinel.errors import Forbidden, Malformed, Unavailable

PUBLIC = "93.184.216.34"


def _hosts(*addresses: str, allowed: str = "h", private: bool = False) -> Hosts:
    return Hosts(allowed.split(","), private=private, resolve=lambda _host, _port: addresses)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("api.example.com", True),
        ("API.Example.COM", True),
        ("api.example.com.", True),
        ("a.b.corp.example", True),
        ("x.corp.example", True),
        ("corp.example", False),
        ("xcorp.example", False),
        ("api.example.com.evil.example", False),
        ("evil-api.example.com", False),
        ("example.com", False),
        ("", False),
    ],
)
def test_a_name_is_allowed_as_listed(name: str, allowed: bool) -> None:
    """Exact names in any case, `*.` for what is below a name and not the name itself, nothing else."""
    hosts = _hosts(PUBLIC, allowed="api.example.com, *.corp.example")
    if allowed:
        assert hosts.addresses(name, 443) == [PUBLIC]
    else:
        with pytest.raises(Forbidden, match="SENTINEL_HTTP_HOSTS"):
            hosts.addresses(name, 443)


@pytest.mark.parametrize("allowed", ["a:443", "127.0.0.1:80", "https://a", "a/b", "[::1]:80"])
def test_a_host_has_no_port(allowed: str) -> None:
    """What could never match is refused when it is set up; an address of IPv6 is none of that."""
    with pytest.raises(Malformed, match="SENTINEL_HTTP_HOSTS"):
        Hosts([allowed])
    assert Hosts(["::1"], private=True).addresses("::1", 443)


@pytest.mark.parametrize("allowed", ["*", "*.", "a.*.b", "*x", "*.*.x"])
def test_a_star_stands_in_front_only(allowed: str) -> None:
    """A pattern that would mean more than it says is refused when it is set up."""
    with pytest.raises(Malformed, match="SENTINEL_HTTP_HOSTS"):
        _hosts(PUBLIC, allowed=allowed)


def test_an_empty_list_allows_nothing() -> None:
    """Without the setting no step calls anybody."""
    with pytest.raises(Forbidden):
        _hosts(PUBLIC, allowed="").addresses("", 443)
    with pytest.raises(Forbidden):
        _hosts(PUBLIC, allowed="").addresses("h", 443)


PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.5",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "fc00::1",
    "fd12:3456::1",
    "fec0::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::10.0.0.1",
    "2002:7f00:1::",
    "2002:0a00:0001::1",
]
NEVER = [
    "169.254.169.254",
    "169.254.170.2",
    "fe80::1",
    "fd00:ec2::254",
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "224.0.0.1",
    "ff02::1",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "64:ff9b::169.254.169.254",
    "2002:a9fe:a9fe::",
    "fe80::1%eth0",
    "nonsense",
]


@pytest.mark.parametrize("address", [*PRIVATE, *NEVER])
def test_an_address_that_is_not_public_is_forbidden(address: str) -> None:
    """A listed name that resolves to an inner address is refused, alone and beside a public one."""
    with pytest.raises(Forbidden, match="steps may not call h:"):
        _hosts(address).addresses("h", 443)
    with pytest.raises(Forbidden, match="steps may not call h:"):
        _hosts(PUBLIC, address).addresses("h", 443)


@pytest.mark.parametrize("address", NEVER)
def test_metadata_services_are_never_reached(address: str) -> None:
    """Link-local, multicast and unspecified addresses stay forbidden where private ones are allowed."""
    with pytest.raises(Forbidden, match="steps may not call h:"):
        _hosts(address, private=True).addresses("h", 443)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::1", "fd12:3456::1", "100.64.0.1"])
def test_private_addresses_are_reached_where_the_setting_says_so(address: str) -> None:
    """`SENTINEL_HTTP_PRIVATE` opens loopback and private addresses."""
    assert _hosts(address, private=True).addresses("h", 443) == [address]


@pytest.mark.parametrize(
    "address", [PUBLIC, "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "172.32.0.1"]
)
def test_public_addresses_are_reached(address: str) -> None:
    """What is public is public in each notation."""
    assert _hosts(address).addresses("h", 443) == [address]


def test_a_name_that_does_not_resolve_is_unavailable() -> None:
    """It may resolve later; a name that no resolver can read may not end the worker."""

    def failing(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    def unreadable(_host: str, _port: int) -> list[str]:
        raise UnicodeError("label too long")

    for resolve in (failing, unreadable):
        with pytest.raises(Unavailable, match="does not resolve"):
            Hosts(["h"], resolve=resolve).addresses("h", 443)
    with pytest.raises(Unavailable, match="no address"):
        _hosts().addresses("h", 443)


@pytest.mark.parametrize("spelling", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost"])
def test_odd_spellings_of_loopback_are_caught_after_resolution(spelling: str) -> None:
    """The system's resolver decides what a spelling means, and its answer is what is checked."""
    with pytest.raises((Forbidden, Unavailable)):
        Hosts([spelling]).addresses(spelling, 80)
