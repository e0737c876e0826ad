"""Which hosts a deployment's steps may call: an allow-list of names, and of addresses those that are public.

A name is checked as it is written, an address as it is resolved, and the connection is made to the very
address that was checked, so that a name which resolves differently a moment later gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence

from sentinel.errors import Cause, Forbidden, Malformed, Unavailable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]

# Never reached, whatever the settings: the cloud's metadata and credentials services live here.
_NEVER = tuple(
    map(ipaddress.ip_network, ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "0.0.0.0/8", "::/128"))
)
# Not public, and not marked so by every Python that runs this.
_NOT_PUBLIC = tuple(
    map(ipaddress.ip_network, ("100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15", "fec0::/10"))
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def resolve(host: str, port: int) -> list[str]:
    """Ask the system's resolver; return addresses as text. Its own time-outs apply."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


class Hosts:
    """The rules of one deployment.

    `allowed` holds exact names and addresses, and `*.example.com` for every name below example.com.
    `private` lets steps call loopback and private addresses; link-local ones stay out of reach.
    """

    def __init__(self, allowed: Sequence[str], *, private: bool = False, resolve: Resolve = resolve) -> None:
        names = [name.strip().lower().rstrip(".") for name in allowed]
        self._exact = frozenset(name for name in names if name and "*" not in name)
        self._below = tuple(name[1:] for name in names if name.startswith("*."))
        if any("*" in name.removeprefix("*.") or name == "*." for name in names):
            raise Malformed("SENTINEL_HTTP_HOSTS: a * may only stand for what is below a name: *.example.com")
        for name in names:
            if "/" in name or (":" in name and not _is_address(name)):
                raise Malformed(f"SENTINEL_HTTP_HOSTS: a host has no scheme, port or path: {name}")
        self._private = private
        self._resolve = resolve

    def addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses that may be connected to for `host`, in the resolver's order.

        Raises `Forbidden` where the name or any one of its addresses is not allowed, `Unavailable` where
        the name does not resolve.
        """
        name = host.lower().rstrip(".")
        if name not in self._exact and not name.endswith(self._below or ("\0",)):
            raise Forbidden(f"steps may not call {host}: add it to SENTINEL_HTTP_HOSTS to allow it")
        try:
            found = self._resolve(name, port)
        except (OSError, UnicodeError):
            raise _unnamed(f"the name {host} does not resolve") from None
        for text in found:
            self._check(host, text)
        if not found:
            raise _unnamed(f"the name {host} has no address")
        return list(found)

    def _check(self, host: str, text: str) -> None:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            raise Forbidden(f"steps may not call {host}: it resolves to a scoped or odd address") from None
        for each in (address, *_carried(address)):
            if each.is_multicast or any(each in network for network in _NEVER):
                raise Forbidden(
                    f"steps may not call {host}: it has a link-local, multicast or unspecified address"
                )
            if not self._private and not _public(each):
                raise Forbidden(
                    f"steps may not call {host}: it has a loopback or private address, "
                    "which only SENTINEL_HTTP_PRIVATE=true allows"
                )


def _unnamed(told: str) -> Unavailable:
    failure = Unavailable(told)
    failure.cause = Cause.NAME
    return failure


def _carried(address: Address) -> list[Address]:
    """Return the IPv4 addresses that an IPv6 address stands for (mapped, 6to4, Teredo, NAT64)."""
    if not isinstance(address, ipaddress.IPv6Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [each for each in found if each is not None]


def _public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return True  # the address that it carries is checked by itself
    if isinstance(address, ipaddress.IPv6Address) and address in _NAT64:
        return True
    return (
        address.is_global
        and not (address.is_private or address.is_loopback or address.is_link_local or address.is_reserved)
        and not any(address in network for network in _NOT_PUBLIC)
    )
