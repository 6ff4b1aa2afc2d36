"""Which proxy leads to the API server by the environment: HTTPS_PROXY, HTTP_PROXY, NO_PROXY (spec runtime TRN-7).

The rules are those of Go's `http.ProxyFromEnvironment`, since the variables are set for client-go: ranges of addresses
count in NO_PROXY. urllib knows no ranges, and a pod whose NO_PROXY says 10.0.0.0/8 must reach 10.96.0.1 without a
proxy. Pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

__all__ = ["proxy_for"]

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def proxy_for(url: str, environ: Mapping[str, str]) -> str:
    """The URL of the proxy through which to reach that server; "" for none. Capital names win over small ones."""
    parts = urlsplit(url)
    named = _first(environ, f"{parts.scheme}_proxy")
    host = (parts.hostname or "").rstrip(".")
    if not named or _is_local(host):
        return ""
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    if any(_exempts(entry, host, port) for entry in _entries(_first(environ, "no_proxy"))):
        return ""
    return named if "://" in named else f"http://{named}"


def _first(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name.upper()) or environ.get(name, "")


def _entries(no_proxy: str) -> Iterable[str]:
    return filter(None, (entry.strip().lower() for entry in no_proxy.split(",")))


def _is_local(host: str) -> bool:
    """Never through a proxy, whatever the variables say."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _exempts(entry: str, host: str, port: int) -> bool:
    """`*`, a range, an address, or a domain; the last two perhaps with a port."""
    if entry == "*":
        return True
    address = _address(host)
    if "/" in entry:
        return address is not None and _in_range(address, entry)
    name, only = _split_port(entry)
    if only not in ("", str(port)):
        return False
    if address is not None:
        return _address(name) == address
    if name.startswith(("*.", ".")):  # what is below it, not itself
        return host.endswith(name.removeprefix("*"))
    return host == name or host.endswith(f".{name}")


def _split_port(entry: str) -> tuple[str, str]:
    """Name and port, "" where there is none; an IPv6 address may stand in brackets."""
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return name, rest.removeprefix(":")
    if entry.count(":") > 1:
        return entry, ""
    name, _, port = entry.partition(":")
    return name, port


def _in_range(address: ipaddress.IPv4Address | ipaddress.IPv6Address, entry: str) -> bool:
    try:
        return address in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
