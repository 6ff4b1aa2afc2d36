"""Pure: what a pod asks for that there is not on a machine that pods share, in sentences with the way out.

Only what will not work is told, once for each pod. What merely is not kept apart (processes, files, CPU and memory)
is told once for the whole cluster, by `manta`, and in docs/shared-host.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from localcluster.node.shared.described import hides

__all__ = ["Machine", "missing", "port_moved", "port_not_carried", "port_taken"]

Json: TypeAlias = dict[str, Any]

SHM: Final = "/dev/shm"  # noqa: S108 - the machine's own, under the same name
HAPROXY: Final = "RAY_SERVE_ENABLE_HA_PROXY"  # spec ray-side S4-36
_RAY_START: Final = re.compile(r"\bray\s+start\b")
_GCS_PORT: Final = re.compile(r"--port[= ](\d+)")


@dataclass(frozen=True, slots=True)
class Machine:
    """What matters of it: who we are, the lowest port that we may listen on, and ports taken at all addresses."""

    user: int
    lowest_port: int
    taken: frozenset[int]


def missing(pod: Json, address: str, machine: Machine, run: str) -> tuple[str, ...]:
    """What this pod asks for and does not get, in its order. `run` is the run's own folder."""
    spec: Json = pod["spec"]
    containers: list[Json] = [*(spec.get("initContainers") or ()), *spec["containers"]]
    said = [*_of_the_pod(spec, address, machine)]
    machines = {one["name"]: str(one["hostPath"]["path"]) for one in spec.get("volumes") or () if "hostPath" in one}
    for container in containers:
        said += _of_ports(container, address, machine, opening=not spec.get("hostNetwork"))
        said += _of_proxies(container)
        said += _of_rights(container, machine)
        said += _of_mounts(container, run, machines)
    return tuple(dict.fromkeys(said))


def port_moved(address: str, port: int, number: int) -> str:
    """Of a service whose port an ordinary user may not have."""
    return (
        f"port {port} cannot be listened on by an ordinary user of this machine: Python programs in pods are led to "
        f"{address}:{number}, and others must use that; or give the service a port from 1024 on"
    )


def port_taken(port: int, reason: str) -> str:
    """Of a service whose port somebody else has."""
    return (
        f"port {port} cannot be listened on ({reason}): another program of this machine has it at all addresses. Stop "
        "that, or give the service another port"
    )


def port_not_carried(port: int, protocol: str) -> str:
    """Of a service whose protocol nobody carries, in a cell no more than without one."""
    return (
        f"{protocol} port {port}: only TCP is carried to a service's pods by a local cluster; make the service "
        "headless (clusterIP: None), and its name leads to the pods themselves"
    )


def _of_the_pod(spec: Json, address: str, machine: Machine) -> Iterator[str]:
    if spec.get("hostNetwork"):
        yield f"hostNetwork: pods share this machine, and each has an address of its own nevertheless: {address}"
    if spec.get("hostAliases") or spec.get("dnsConfig") or spec.get("dnsPolicy") == "None":
        yield "hostAliases and DNS settings have no effect on this machine: programs find services by their names alone"
    security: Json = spec.get("securityContext") or {}
    if security.get("sysctls"):
        yield "sysctls are not set: they would be the whole machine's"
    yield from _of_user(security, "the pod", machine)


def _of_user(security: Json, who: str, machine: Machine) -> Iterator[str]:
    user = security.get("runAsUser")
    if user is not None and user != machine.user:
        yield (
            f"{who} runs as user {machine.user}, who runs the cluster, and not as runAsUser {user}: without a cell "
            "nobody can become another user"
        )


def _of_rights(container: Json, machine: Machine) -> Iterator[str]:
    security: Json = container.get("securityContext") or {}
    name = f"container {container['name']}"
    if security.get("privileged") or (security.get("capabilities") or {}).get("add"):
        yield f"{name} gets no more rights than the user has who runs the cluster"
    yield from _of_user(security, name, machine)


def _of_ports(container: Json, address: str, machine: Machine, *, opening: bool) -> Iterator[str]:
    """`opening`: whether its hostPorts are the pod's own wish, not what the host's network makes of all its ports."""
    name, gcs = f"container {container['name']}", _gcs_port(container)
    for port in container.get("ports") or ():
        number, protocol = int(port["containerPort"]), port.get("protocol") or "TCP"
        if protocol != "TCP":
            yield (
                f"{name}: {protocol} port {number} is the whole machine's, and no other pod can have it too: only TCP "
                f"is kept apart. Have the server listen at {address} alone"
            )
            continue
        if number == gcs:
            continue  # it moves
        if number < machine.lowest_port:
            yield (
                f"{name}: port {number} cannot be listened on by an ordinary user of this machine; use one from "
                f"{machine.lowest_port} on"
            )
        elif number in machine.taken:
            yield (
                f"{name}: port {number} is taken: another program of this machine listens on it at all addresses. "
                "Stop that, or use another port"
            )
        if opening and port.get("hostPort") and number >= machine.lowest_port:
            yield f"{name}: hostPort {port['hostPort']} is not opened; on this machine the port is {address}:{number}"


def _of_proxies(container: Json) -> Iterator[str]:
    given = {one["name"]: str(one.get("value") or "") for one in container.get("env") or ()}
    if given.get(HAPROXY, "").lower() not in ("", "0", "false"):
        yield (
            f"container {container['name']}: {HAPROXY}: HAProxy is not Python, and takes the ports of Serve at all "
            "addresses of this machine: no other pod here can serve beside this one; leave the variable out here"
        )


def _gcs_port(container: Json) -> int | None:
    """What a head's GCS is told; another number is really taken (hook/ports.py)."""
    words = " ".join(str(word) for word in (*(container.get("command") or ()), *(container.get("args") or ())))
    if _RAY_START.search(words) is None or "--head" not in words:
        return None
    found = _GCS_PORT.search(words)
    return int(found[1]) if found else 6379


def _of_mounts(container: Json, run: str, machines: Mapping[str, str]) -> Iterator[str]:
    """`machines`: what of the machine is behind each volume that is a hostPath."""
    for one in container.get("volumeMounts") or ():
        where, path = f"container {container['name']}: ", one["mountPath"].rstrip("/") or "/"
        if path != SHM and hides(path, [run]):
            yield (
                f"{where}nothing can be mounted at {one['mountPath']} of a machine that pods share: what they need "
                "themselves is there; mount it elsewhere"
            )
        elif one.get("readOnly") and one["name"] in machines:
            yield (
                f"{where}{one['mountPath']} is not kept read-only without a cell: what is written there is written to "
                f"{machines[one['name']]} of this machine"
            )
