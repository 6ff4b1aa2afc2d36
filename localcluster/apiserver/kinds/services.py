"""Services: defaults, cluster addresses, node ports (spec kube-api SVC-1, SVC-2). Pure.

Nothing is booked anywhere: what is taken is what the stored services say.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Final

from localcluster.api import Json
from localcluster.apiserver.kinds.base import FieldReaders, Kind, World, field_text
from localcluster.apiserver.metadata import service_name
from localcluster.apiserver.refusals import Cause, invalid, invalid_value, not_supported, required
from localcluster.resources import BUILT_IN

__all__ = ["ServiceKind"]

_FIRST_PORT: Final = 30_000
_LAST_PORT: Final = 32_767
_SERVICES: Final = next(one for one in BUILT_IN if one.name == "services")
_TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_EXPOSED: Final = frozenset({"NodePort", "LoadBalancer"})
_HEADLESS: Final = "None"


def _node_ports(service: Json) -> str:
    ports = [str(port["nodePort"]) for port in service["spec"].get("ports") or () if port.get("nodePort")]
    return ",".join(ports)


_FIELDS: Final[FieldReaders] = {
    "spec.clusterIP": field_text("spec", "clusterIP"),
    "spec.type": field_text("spec", "type"),
}
_HIDDEN: Final[FieldReaders] = {"node ports": _node_ports}


class ServiceKind(Kind):
    """Services."""

    name_rule = staticmethod(service_name)
    known = frozenset({"spec", "status"})
    create_on_update = True
    fields = _FIELDS
    hidden = _HIDDEN

    def default(self, obj: Json) -> None:
        """Ports, type, policies."""
        spec = obj.setdefault("spec", {})
        kind = spec.setdefault("type", "ClusterIP")
        spec.setdefault("sessionAffinity", "None")
        if spec["sessionAffinity"] == "ClientIP":
            spec.setdefault("sessionAffinityConfig", {"clientIP": {"timeoutSeconds": 10_800}})
        for port in spec.get("ports") or ():
            port.setdefault("protocol", "TCP")
            port.setdefault("targetPort", port.get("port"))
        if kind != "ExternalName":
            spec.setdefault("internalTrafficPolicy", "Cluster")
        if kind in _EXPOSED:
            spec.setdefault("externalTrafficPolicy", "Cluster")
        if kind == "LoadBalancer":
            spec.setdefault("allocateLoadBalancerNodePorts", True)

    def prepare_create(self, obj: Json, world: World) -> None:
        """An address and ports. Raises Refusal when those asked for are not to be had."""
        obj["status"] = {"loadBalancer": {}}
        self._allocate(obj, None, world)

    def prepare_update(self, new: Json, old: Json, world: World) -> None:
        """Addresses stay; a change of type gives or takes them."""
        spec, before = new["spec"], old["spec"]
        if spec["type"] != "ExternalName" and before["type"] != "ExternalName":
            for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                if key in before:
                    spec.setdefault(key, before[key])
        if spec["type"] in _EXPOSED:
            known = {(one["port"], one["protocol"]): one.get("nodePort") for one in before.get("ports") or ()}
            for port in spec.get("ports") or ():
                if kept := known.get((port.get("port"), port.get("protocol"))):
                    port.setdefault("nodePort", kept)
        self._allocate(new, old, world)

    def validate(self, obj: Json, world: World) -> list[Cause]:
        """Ports and type."""
        spec = obj["spec"]
        causes: list[Cause] = []
        if spec["type"] not in _TYPES:
            causes.append(not_supported("spec.type", spec["type"], _TYPES))
        if spec["type"] == "ExternalName":
            if not spec.get("externalName"):
                causes.append(required("spec.externalName"))
            return causes
        ports = spec.get("ports") or []
        if not ports and spec.get("clusterIP") != _HEADLESS:
            causes.append(required("spec.ports"))
        return causes + _port_causes(ports)

    def validate_update(self, new: Json, old: Json) -> list[Cause]:
        """An address once given may not change."""
        address, before = new["spec"].get("clusterIP"), old["spec"].get("clusterIP")
        if not before or address == before or new["spec"]["type"] == "ExternalName":
            return []
        addresses = new["spec"].get("clusterIPs") or [address]
        return [invalid_value("spec.clusterIPs[0]", addresses, "may not change once set")]

    def _allocate(self, obj: Json, old: Json | None, world: World) -> None:
        spec = obj["spec"]
        if spec["type"] == "ExternalName":
            for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                spec.pop(key, None)
            return
        if old is None or old["spec"].get("clusterIP") != spec.get("clusterIP"):
            _set_address(obj, world, changed=old is not None and bool(old["spec"].get("clusterIP")))
        if spec["type"] in _EXPOSED:
            _set_node_ports(obj, old, world)
        else:
            for port in spec.get("ports") or ():
                port.pop("nodePort", None)


def _set_address(obj: Json, world: World, *, changed: bool) -> None:
    spec = obj["spec"]
    address = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or ()), "")
    if changed:
        return  # refused by validate_update
    if address != _HEADLESS:
        taken = {fields["spec.clusterIP"] for fields in world.fields("services")}
        address = _checked_address(obj, address, taken, world) if address else _free_address(world, taken)
    spec["clusterIP"], spec["clusterIPs"] = address, [address]
    if address == _HEADLESS and not spec.get("selector"):
        spec.setdefault("ipFamilies", ["IPv4", "IPv6"])
        spec.setdefault("ipFamilyPolicy", "RequireDualStack")
    else:
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")


def _checked_address(obj: Json, address: str, taken: set[str], world: World) -> str:
    try:
        inside = ipaddress.ip_address(address) in world.services
    except ValueError:
        text = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        causes = [invalid_value("spec.clusterIPs[0]", address, text)]
        raise invalid(_SERVICES, obj["metadata"]["name"], causes) from None
    why = "" if inside else "the provided network does not match the current range"
    if address in taken:
        why = "provided IP is already allocated"
    if why:
        text = f"failed to allocate IP {address}: {why}"
        causes = [invalid_value("spec.clusterIPs", [address], text)]
        raise invalid(_SERVICES, obj["metadata"]["name"], causes)
    return address


def _free_address(world: World, taken: set[str]) -> str:
    """A random one; the first and the last of the range are no addresses of hosts."""
    size = world.services.num_addresses
    start = world.number(size - 2)
    for step in range(size - 2):
        address = str(world.services[1 + (start + step) % (size - 2)])
        if address not in taken:
            return address
    raise RuntimeError(f"all {size} addresses of {world.services} are taken")


def _set_node_ports(obj: Json, old: Json | None, world: World) -> None:
    own = set(_node_ports(old).split(",")) if old is not None else set()
    taken = {port for fields in world.fields("services") for port in fields["node ports"].split(",")} - own
    for index, port in enumerate(obj["spec"].get("ports") or ()):
        asked = port.get("nodePort")
        if asked:
            _check_node_port(obj, index, asked, taken)
        else:
            port["nodePort"] = asked = _free_port(world, taken)
        taken.add(str(asked))


def _check_node_port(obj: Json, index: int, port: Any, taken: set[str]) -> None:
    why = ""
    if not isinstance(port, int) or not _FIRST_PORT <= port <= _LAST_PORT:
        why = f"provided port is not in the valid range. The range of valid ports is {_FIRST_PORT}-{_LAST_PORT}"
    elif str(port) in taken:
        why = "provided port is already allocated"
    if why:
        causes = [invalid_value(f"spec.ports[{index}].nodePort", port, why)]
        raise invalid(_SERVICES, obj["metadata"]["name"], causes)


def _free_port(world: World, taken: set[str]) -> int:
    size = _LAST_PORT - _FIRST_PORT + 1
    start = world.number(size)
    for step in range(size):
        port = _FIRST_PORT + (start + step) % size
        if str(port) not in taken:
            return port
    raise RuntimeError("all node ports are taken")


def _port_causes(ports: list[Json]) -> list[Cause]:
    causes: list[Cause] = []
    names: set[str] = set()
    for index, port in enumerate(ports):
        field = f"spec.ports[{index}]"
        name = port.get("name", "")
        if not name and len(ports) > 1:
            causes.append(required(f"{field}.name"))
        elif name and name in names:
            causes.append(Cause("FieldValueDuplicate", f"{field}.name", f'Duplicate value: "{name}"'))
        names.add(name)
        number = port.get("port")
        if not isinstance(number, int) or not 1 <= number <= 65_535:
            causes.append(invalid_value(f"{field}.port", number or 0, "must be between 1 and 65535, inclusive"))
    return causes
