"""Pod specs, of pods and of templates: defaults, quantities, checks (spec kube-api POD-1, POD-2). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from localcluster.api import Json
from localcluster.apiserver.kinds.base import DecodeError
from localcluster.apiserver.kinds.quantities import amount, canonical
from localcluster.apiserver.metadata import label_name
from localcluster.apiserver.refusals import Cause, duplicate, invalid_value, not_supported, required

__all__ = ["all_containers", "decode_spec", "default_spec", "spec_causes"]

_CONTAINER_LISTS: Final = ("initContainers", "containers", "ephemeralContainers")
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")
_RESTART_POLICIES: Final = ("Always", "OnFailure", "Never")
_FILE_MODE: Final = 0o644


def all_containers(spec: Json) -> Iterator[tuple[str, int, Json]]:
    """(list, index, container) of all containers of a pod spec."""
    for key in _CONTAINER_LISTS:
        for index, container in enumerate(spec.get(key) or ()):
            yield key, index, container


# -- Decoding


def decode_spec(spec: Any, kind: str) -> None:
    """Check the types that matter, and write quantities as they are stored. Raises DecodeError."""
    if not isinstance(spec, dict):
        raise DecodeError(f"json: cannot unmarshal {_go(spec)} into Go struct field {kind}.spec of type v1.PodSpec")
    for key in _CONTAINER_LISTS:
        containers = spec.get(key)
        if containers is not None and not isinstance(containers, list):
            text = f"json: cannot unmarshal {_go(containers)} into Go struct field PodSpec.spec.{key}"
            raise DecodeError(f"{text} of type []v1.Container")
        for container in containers or ():
            if not isinstance(container, dict):
                text = f"json: cannot unmarshal {_go(container)} into Go struct field PodSpec.spec.{key}"
                raise DecodeError(f"{text} of type v1.Container")
            _decode_resources(container.get("resources"))
    for volume in spec.get("volumes") or ():
        empty = volume.get("emptyDir")
        if isinstance(empty, dict) and "sizeLimit" in empty:
            empty["sizeLimit"] = canonical(empty["sizeLimit"])


def _go(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    names: dict[type, str] = {str: "string", int: "number", float: "number", list: "array"}
    return names.get(type(value), "object")


def _decode_resources(resources: Any) -> None:
    for key in ("requests", "limits"):
        amounts = (resources or {}).get(key) or {}
        for name, quantity in amounts.items():
            amounts[name] = canonical(quantity)


# -- Defaults


def default_spec(spec: Json) -> None:
    """What a pod spec gets wherever it stands, in a pod or in a template."""
    for key, _, container in all_containers(spec):
        _default_container(container, ephemeral=key == "ephemeralContainers")
    for volume in spec.get("volumes") or ():
        _default_volume(volume)
    if spec.get("hostNetwork"):
        for _, _, container in all_containers(spec):
            for port in container.get("ports") or ():
                port.setdefault("hostPort", port.get("containerPort"))
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    if account := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"] = account


def _default_container(container: Json, *, ephemeral: bool) -> None:
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    image = container.get("image")
    if "imagePullPolicy" not in container and isinstance(image, str):
        container["imagePullPolicy"] = "Always" if _latest(image) else "IfNotPresent"
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or ():
        _default_field_ref((variable.get("valueFrom") or {}).get("fieldRef"))
    if ephemeral:
        return
    for key in _PROBES:
        if isinstance(probe := container.get(key), dict):
            _default_probe(probe)
    for hook in (container.get("lifecycle") or {}).values():
        _default_http(hook.get("httpGet"))


def _latest(image: str) -> bool:
    if "@" in image:
        return False
    _, colon, tag = image.rpartition("/")[2].partition(":")
    return not colon or tag == "latest"


def _default_probe(probe: Json) -> None:
    _default_http(probe.get("httpGet"))
    if isinstance(grpc := probe.get("grpc"), dict):
        grpc.setdefault("service", "")
    probe.setdefault("timeoutSeconds", 1)
    probe.setdefault("periodSeconds", 10)
    probe.setdefault("successThreshold", 1)
    probe.setdefault("failureThreshold", 3)


def _default_http(action: Json | None) -> None:
    if action is not None:
        action.setdefault("path", "/")
        action.setdefault("scheme", "HTTP")


def _default_field_ref(reference: Json | None) -> None:
    if reference is not None:
        reference.setdefault("apiVersion", "v1")


def _default_volume(volume: Json) -> None:
    if len(volume) == 1:
        volume["emptyDir"] = {}
    for key in ("secret", "configMap", "downwardAPI", "projected"):
        if isinstance(source := volume.get(key), dict):
            source.setdefault("defaultMode", _FILE_MODE)
    if isinstance(path := volume.get("hostPath"), dict):
        path.setdefault("type", "")
    items = list((volume.get("downwardAPI") or {}).get("items") or ())
    for source in (volume.get("projected") or {}).get("sources") or ():
        if isinstance(token := source.get("serviceAccountToken"), dict):
            token.setdefault("expirationSeconds", 3600)
        items += (source.get("downwardAPI") or {}).get("items") or ()
    for item in items:
        _default_field_ref(item.get("fieldRef"))


# -- Checks


def spec_causes(spec: Json, path: str) -> list[Cause]:
    """What is wrong with a pod spec at that path ("spec", "spec.template.spec")."""
    causes: list[Cause] = []
    if not spec.get("containers"):
        causes.append(required(f"{path}.containers"))
    causes += _volume_causes(spec, path)
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}
    seen: set[str] = set()
    for key, index, container in all_containers(spec):
        causes += _container_causes(container, f"{path}.{key}[{index}]", volumes, seen)
    policy = spec.get("restartPolicy")
    if policy not in _RESTART_POLICIES:
        causes.append(not_supported(f"{path}.restartPolicy", policy, _RESTART_POLICIES))
    return causes


def _volume_causes(spec: Json, path: str) -> list[Cause]:
    causes: list[Cause] = []
    names: set[str] = set()
    for index, volume in enumerate(spec.get("volumes") or ()):
        field, name = f"{path}.volumes[{index}].name", volume.get("name", "")
        if not name:
            causes.append(required(field))
            continue
        causes += [invalid_value(field, name, text) for text in label_name(name, False)]
        if name in names:
            causes.append(duplicate(field, name))
        names.add(name)
    return causes


def _container_causes(container: Json, path: str, volumes: set[Any], seen: set[str]) -> list[Cause]:
    causes: list[Cause] = []
    name = container.get("name", "")
    if not name:
        causes.append(required(f"{path}.name"))
    else:
        causes += [invalid_value(f"{path}.name", name, text) for text in label_name(name, False)]
        if name in seen:
            causes.append(duplicate(f"{path}.name", name))
        seen.add(name)
    if not container.get("image"):
        causes.append(required(f"{path}.image"))
    policy = container.get("imagePullPolicy", "Always")
    if policy not in _PULL_POLICIES:
        causes.append(not_supported(f"{path}.imagePullPolicy", policy, _PULL_POLICIES))
    causes += _mount_causes(container, path, volumes)
    return causes + _resource_causes(container, path) + _env_causes(container, path)


def _mount_causes(container: Json, path: str, volumes: set[Any]) -> list[Cause]:
    causes: list[Cause] = []
    places: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        field = f"{path}.volumeMounts[{index}]"
        name, place = mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            causes.append(required(f"{field}.name"))
        elif name not in volumes:
            causes.append(Cause("FieldValueNotFound", f"{field}.name", f'Not found: "{name}"'))
        if not place:
            causes.append(required(f"{field}.mountPath"))
        elif place in places:
            causes.append(invalid_value(f"{field}.mountPath", place, "must be unique"))
        places.add(place)
    return causes


def _resource_causes(container: Json, path: str) -> list[Cause]:
    resources = container.get("resources") or {}
    limits = resources.get("limits") or {}
    causes = []
    for name, quantity in (resources.get("requests") or {}).items():
        if name in limits and amount(quantity) > amount(limits[name]):
            text = f"must be less than or equal to {name} limit of {limits[name]}"
            causes.append(invalid_value(f"{path}.resources.requests", quantity, text))
    return causes


def _env_causes(container: Json, path: str) -> list[Cause]:
    return [
        required(f"{path}.env[{index}].name")
        for index, variable in enumerate(container.get("env") or ())
        if not variable.get("name")
    ]
