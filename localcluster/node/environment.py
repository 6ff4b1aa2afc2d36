"""What a container's environment resolves to, and the files of volumes that come from the API.

Pure but for the two functions handed in: `Fetch` reads a ConfigMap or Secret, `Token` asks for a service account's
token. What is absent and not optional raises `Missing`, in a kubelet's words.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from localcluster.node.interfaces import VolumeContents
from localcluster.quantities import quantity

__all__ = [
    "Fetch",
    "Missing",
    "NodeFacts",
    "Token",
    "environment",
    "expand",
    "mounted_volumes",
    "service_links",
    "volume_contents",
]

Json: TypeAlias = dict[str, Any]
Fetch: TypeAlias = Callable[[str, str, str], Awaitable[Json | None]]  # resource, namespace, name
Token: TypeAlias = Callable[[Json, Json], Awaitable[str]]  # pod, the projected source

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.\-][A-Za-z0-9_.\-]*)\)")
_NAME = re.compile(r"[A-Za-z_.\-][A-Za-z0-9_.\-]*")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


class Missing(Exception):
    """Something that the pod refers to is not there."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What downward API fields need to know of the pod's place, and what a limit is when none is set."""

    host_ip: str
    pod_ip: str
    allocatable: Mapping[str, str]


async def environment(
    pod: Json, container: Json, fetch: Fetch, links: Iterable[tuple[str, str]], facts: NodeFacts
) -> tuple[tuple[str, str], ...]:
    """Name and value in order: service links, envFrom, env; a later one replaces an earlier one. Raises Missing."""
    values: dict[str, str] = dict(links)
    namespace = pod["metadata"].get("namespace", "")
    for source in container.get("envFrom") or ():
        values |= await _from_source(source, namespace, fetch)
    for entry in container.get("env") or ():
        value = await _entry(pod, container, entry, values, fetch, facts)
        if value is not None:
            values[entry["name"]] = value
    return tuple(values.items())


def expand(text: str, values: Mapping[str, str]) -> str:
    """`$(NAME)` becomes its value, unknown names stay as they are, `$$` is one dollar."""
    return _REFERENCE.sub(lambda found: "$" if found[1] is None else values.get(found[1], found[0]), text)


def service_links(services: Iterable[Json], namespace: str, *, own: bool) -> list[tuple[str, str]]:
    """Variables for each service with an address: those of the namespace if `own`, and the API server's always."""
    links: list[tuple[str, str]] = []
    for service in services:
        metadata, spec = service["metadata"], service.get("spec", {})
        is_api = (metadata.get("namespace"), metadata["name"]) == ("default", "kubernetes")
        address = spec.get("clusterIP", "")
        if address in ("", "None") or not (is_api or (own and metadata.get("namespace") == namespace)):
            continue
        links += _links_of(metadata["name"], address, spec.get("ports") or ())
    return links


def _links_of(name: str, address: str, ports: Iterable[Json]) -> list[tuple[str, str]]:
    prefix = name.upper().replace("-", "_")
    links = [(f"{prefix}_SERVICE_HOST", address)]
    for number, port in enumerate(ports):
        protocol = port.get("protocol", "TCP")
        url = f"{protocol.lower()}://{address}:{port['port']}"
        if number == 0:
            links += [(f"{prefix}_SERVICE_PORT", str(port["port"])), (f"{prefix}_PORT", url)]
        if port.get("name"):
            links.append((f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}", str(port["port"])))
        base = f"{prefix}_PORT_{port['port']}_{protocol}"
        links += [
            (base, url),
            (f"{base}_PROTO", protocol.lower()),
            (f"{base}_PORT", str(port["port"])),
            (f"{base}_ADDR", address),
        ]
    return links


async def _from_source(source: Json, namespace: str, fetch: Fetch) -> dict[str, str]:
    resource, reference = ("configmaps", "configMapRef") if "configMapRef" in source else ("secrets", "secretRef")
    found = await _needed(resource, namespace, source[reference], fetch)
    prefix = source.get("prefix", "")
    return {prefix + key: value.decode(errors="replace") for key, value in _data(found).items() if _NAME.fullmatch(key)}


async def _entry(
    pod: Json, container: Json, entry: Json, values: Mapping[str, str], fetch: Fetch, facts: NodeFacts
) -> str | None:
    source = entry.get("valueFrom")
    if not source:
        return expand(str(entry.get("value", "")), values)
    if "fieldRef" in source:
        return field_of(pod, source["fieldRef"]["fieldPath"], facts)
    if "resourceFieldRef" in source:
        return resource_of(container, source["resourceFieldRef"], facts)
    resource, member = ("configmaps", "configMapKeyRef") if "configMapKeyRef" in source else ("secrets", "secretKeyRef")
    reference = source[member]
    namespace = pod["metadata"].get("namespace", "")
    found = await _needed(resource, namespace, reference, fetch)
    data = _data(found)
    if reference["key"] in data:
        return data[reference["key"]].decode(errors="replace")
    if reference.get("optional"):
        return None
    kind = "ConfigMap" if resource == "configmaps" else "Secret"
    raise Missing(f"couldn't find key {reference['key']} in {kind} {namespace}/{reference['name']}")


async def _needed(resource: str, namespace: str, reference: Json, fetch: Fetch) -> Json:
    """The object; an empty one if it is optional and absent."""
    name = reference.get("name", "")
    found = await fetch(resource, namespace, name)
    if found is None and not reference.get("optional"):
        raise Missing(f'{resource.removesuffix("s")} "{name}" not found')
    return found or {}


def _data(item: Json) -> dict[str, bytes]:
    """A ConfigMap's or Secret's entries."""
    if item.get("kind") == "Secret":
        return {key: base64.b64decode(value or "") for key, value in (item.get("data") or {}).items()}
    plain = {key: str(value).encode() for key, value in (item.get("data") or {}).items()}
    return plain | {key: base64.b64decode(value) for key, value in (item.get("binaryData") or {}).items()}


def field_of(pod: Json, path: str, facts: NodeFacts) -> str:
    """The value of a downward API field. Raises Missing for a path that there is not."""
    metadata, spec = pod["metadata"], pod["spec"]
    if found := _SUBSCRIPT.fullmatch(path):
        return str((metadata.get(found[1]) or {}).get(found[2], ""))
    plain: dict[str, Any] = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata.get("namespace", ""),
        "metadata.uid": metadata.get("uid", ""),
        "metadata.labels": _lines(metadata.get("labels")),
        "metadata.annotations": _lines(metadata.get("annotations")),
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": facts.host_ip,
        "status.hostIPs": facts.host_ip,
        "status.podIP": facts.pod_ip,
        "status.podIPs": facts.pod_ip,
    }
    if path not in plain:
        raise Missing(f"unsupported fieldPath: {path}")
    return str(plain[path])


def _lines(mapping: Mapping[str, str] | None) -> str:
    """As the files of a downward API volume have it: key="value", sorted."""
    quoted = {key: value.replace("\\", "\\\\").replace('"', '\\"') for key, value in (mapping or {}).items()}
    return "\n".join(f'{key}="{quoted[key]}"' for key in sorted(quoted))


def resource_of(container: Json, reference: Json, facts: NodeFacts) -> str:
    """A limit or request, rounded up in units of its divisor; an absent limit is what the node has."""
    side, _, name = reference["resource"].partition(".")
    resources = container.get("resources") or {}
    given = (resources.get(side) or {}).get(name)
    if given is None:
        given = facts.allocatable.get(name, "0") if side == "limits" else "0"
    divisor = quantity(reference.get("divisor") or "1") or quantity("1")
    return str(math.ceil(quantity(given) / divisor))


# Volumes -----------------------------------------------------------------------------------------------------------


def mounted_volumes(pod: Json) -> list[Json]:
    """The volumes that a container mounts: no others are made, or waited for."""
    spec = pod["spec"]
    containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
    wanted = {mount["name"] for one in containers for mount in one.get("volumeMounts") or ()}
    return [volume for volume in spec.get("volumes") or () if volume["name"] in wanted]


async def volume_contents(pod: Json, fetch: Fetch, token: Token, facts: NodeFacts) -> dict[str, VolumeContents]:
    """The files of each mounted volume that comes from the API, by the volume's name. Raises Missing."""
    contents: dict[str, VolumeContents] = {}
    for volume in mounted_volumes(pod):
        sources = _sources(volume)
        if sources is None:
            continue
        files: dict[str, bytes] = {}
        try:
            for source in sources:
                files |= await _source_files(pod, source, fetch, token, facts)
        except Missing as missing:
            raise Missing(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {missing}') from missing
        contents[volume["name"]] = VolumeContents(files, _mode(volume))
    return contents


def _sources(volume: Json) -> list[Json] | None:
    """What a volume is made of, in the words of a projected one; None if not of API objects."""
    if "projected" in volume:
        return list(volume["projected"].get("sources") or ())
    if "configMap" in volume:
        return [{"configMap": volume["configMap"]}]
    if "secret" in volume:
        return [{"secret": {**volume["secret"], "name": volume["secret"].get("secretName", "")}}]
    if "downwardAPI" in volume:
        return [{"downwardAPI": volume["downwardAPI"]}]
    return None


def _mode(volume: Json) -> int:
    for kind in ("projected", "configMap", "secret", "downwardAPI"):
        if kind in volume:
            mode = volume[kind].get("defaultMode")
            return 0o644 if mode is None else int(mode)
    return 0o644


async def _source_files(pod: Json, source: Json, fetch: Fetch, token: Token, facts: NodeFacts) -> dict[str, bytes]:
    if "serviceAccountToken" in source:
        wanted = source["serviceAccountToken"]
        return {wanted["path"]: (await token(pod, wanted)).encode()}
    if "downwardAPI" in source:
        return {item["path"]: _item(pod, item, facts).encode() for item in source["downwardAPI"].get("items") or ()}
    if "configMap" not in source and "secret" not in source:
        return {}
    kind = "configMap" if "configMap" in source else "secret"
    return await _object_files(pod, kind, source[kind], fetch)


async def _object_files(pod: Json, kind: str, reference: Json, fetch: Fetch) -> dict[str, bytes]:
    namespace = pod["metadata"].get("namespace", "")
    data = _data(await _needed(f"{kind.lower()}s", namespace, reference, fetch))
    items = reference.get("items")
    if not items:
        return data
    absent = [item["key"] for item in items if item["key"] not in data]
    if absent and not reference.get("optional"):
        raise Missing(f"references non-existent {kind.lower()} key: {absent[0]}")
    return {item["path"]: data[item["key"]] for item in items if item["key"] in data}


def _item(pod: Json, item: Json, facts: NodeFacts) -> str:
    if "fieldRef" in item:
        return field_of(pod, item["fieldRef"]["fieldPath"], facts)
    reference = item["resourceFieldRef"]
    named = [one for one in pod["spec"]["containers"] if one["name"] == reference.get("containerName")]
    return resource_of(named[0] if named else {}, reference, facts)
