"""The head pod and the worker pods, whole (spec raycluster §10).

Each is built on a private copy of the group's template: nothing that is generated finds its way back into the spec,
and N workers of one group differ only in their place. The order of the steps is that of §10.2; it decides the order
of containers, volumes and variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Final

from api.core import PODS
from api.meta import Json
from api.v1 import wire
from controller.ray.desired import autoscaler, env, labels, names, ports, ray_start, rbac, volumes
from controller.ray.desired.auth import authenticate
from controller.ray.desired.facts import Facts, Group
from controller.ray.desired.names import Slot
from controller.ray.desired.probes import missing_probes
from controller.ray.options import Options

__all__ = ["Place", "head", "worker", "workers"]

WAIT_CONTAINER: Final = "wait-gcs-ready"
WAIT_RESOURCES: Final = {"cpu": "200m", "memory": "256Mi"}
HELP: Final = "https://docs.ray.io/en/latest/cluster/kubernetes/troubleshooting/troubleshooting.html"


@dataclass(frozen=True, slots=True)
class Place:
    """Which pod is made: the slot it fills, and the ticket under which it does (design W1)."""

    slot: Slot
    ticket: str


def head(facts: Facts, place: Place, spec_hash: str, options: Options) -> Json:
    """The head pod. A name in its template is used as it is, whatever the place."""
    chosen = (facts.head.template.get("metadata") or {}).get("name")
    pod = _begun(facts, facts.head, chosen or _head_name(facts, place, options), place)
    spec = pod["spec"]
    container = spec["containers"][0]
    params = ray_start.parameters(facts, facts.head)
    if facts.autoscaling:
        autoscaler.choose_version(container, facts)
        spec["serviceAccountName"] = rbac.service_account_name(facts)
        spec["containers"].append(autoscaler.sidecar(facts, spec, login=options.login_shell))
    _finish(pod, facts, facts.head, params, options)
    pod["metadata"]["annotations"] |= {
        wire.ANNOTATION_FT_ENABLED: "true" if facts.fault_tolerant else "false",
        wire.ANNOTATION_RECREATE_HASH: spec_hash,
        wire.ANNOTATION_OPERATOR_VERSION: options.version,
    }
    return pod


def _head_name(facts: Facts, place: Place, options: Options) -> str:
    if options.deterministic_head_name:
        return names.pod_name(facts.name, wire.HEAD)
    return names.head_pod(facts.name, facts.uid, place.ticket)


def worker(facts: Facts, group: Group, place: Place, options: Options) -> Json:
    """A worker pod of the group. A name in its template counts for nothing."""
    pod = _begun(facts, group, names.worker_pod(facts.name, facts.uid, place.slot, place.ticket), place)
    if options.inject_init_container:
        waiting = _wait_for_gcs(facts, pod["spec"]["containers"][0], login=options.login_shell)
        pod["spec"].setdefault("initContainers", []).append(waiting)
    pod["metadata"]["labels"] |= _index_labels(facts, group, place, options)
    _finish(pod, facts, group, ray_start.parameters(facts, group), options)
    return pod


def workers(facts: Facts, group: Group, places: Sequence[Place], options: Options) -> list[Json]:
    """A worker pod of the group for each place, built once: they share what does not depend on it."""
    if not places:
        return []
    first = worker(facts, group, places[0], options)
    return [first, *(_at(place, first, facts, group, options) for place in places[1:])]


def _at(place: Place, pod: Json, facts: Facts, group: Group, options: Options) -> Json:
    """That worker pod, in another place of its group."""
    given = pod["metadata"]
    metadata = given | {
        "name": names.worker_pod(facts.name, facts.uid, place.slot, place.ticket),
        "labels": given["labels"] | _index_labels(facts, group, place, options),
        "annotations": given["annotations"] | _place_annotations(place),
    }
    return pod | {"metadata": metadata}


def _place_annotations(place: Place) -> dict[str, str]:
    return {wire.ANNOTATION_SLOT: str(place.slot), wire.ANNOTATION_SLOT_TICKET: place.ticket}


def _index_labels(facts: Facts, group: Group, place: Place, options: Options) -> dict[str, str]:
    if not options.gates.ray_multi_host_indexing:
        return {}
    found = {wire.LABEL_REPLICA_INDEX: str(place.slot.index)}
    if group.hosts > 1:
        found[wire.LABEL_REPLICA_NAME] = names.replica(facts.uid, place.slot, place.ticket)
        found[wire.LABEL_HOST_INDEX] = str(place.slot.host or 0)
    return found


def _begun(facts: Facts, group: Group, name: str, place: Place) -> Json:
    """The template as a pod, named and labelled."""
    template = deepcopy(group.template)
    given = template.get("metadata") or {}
    annotations = dict(given.get("annotations") or {})
    if facts.annotations.get(wire.ANNOTATION_OVERWRITE_COMMAND, "").lower() == "true":
        annotations[wire.ANNOTATION_OVERWRITE_COMMAND] = "true"
    annotations |= _place_annotations(place)
    metadata: Json = {
        "name": name,
        "namespace": facts.namespace,
        "labels": labels.of_node(facts.name, group),
        "annotations": annotations,
        "ownerReferences": [dict(facts.owner)],
    }
    if given.get("finalizers"):
        metadata["finalizers"] = given["finalizers"]
    return {"apiVersion": PODS.api_version, "kind": PODS.kind, "metadata": metadata, "spec": template["spec"]}


def _finish(pod: Json, facts: Facts, group: Group, params: dict[str, str], options: Options) -> None:
    """The steps that head and workers share."""
    spec, container = pod["spec"], pod["spec"]["containers"][0]
    _expose_metrics(container)
    if autoscaler.never_restart(facts):
        spec["restartPolicy"] = "Never"
    for one in (container, *_named(spec.get("initContainers"), WAIT_CONTAINER)):
        authenticate(one, spec, facts)
    sidecars = options.head_sidecars if group.is_head else options.worker_sidecars
    spec["containers"].extend(deepcopy(dict(one)) for one in sidecars)
    _default_metadata(pod["metadata"], facts, group, options)
    volumes.share_memory(spec, params)
    if group.is_head and facts.autoscaling:
        volumes.share_logs(spec, frozenset({autoscaler.CONTAINER}))
    _start_ray(pod, facts, group, params, options)
    if options.inject_probes:
        container.update(missing_probes(facts, group, params))


def _start_ray(pod: Json, facts: Facts, group: Group, params: dict[str, str], options: Options) -> None:
    spec, container = pod["spec"], pod["spec"]["containers"][0]
    generated = ray_start.render(params, head=group.is_head)
    overwrite = pod["metadata"]["annotations"].get(wire.ANNOTATION_OVERWRITE_COMMAND, "").lower() == "true"
    command = ray_start.command_of(container, generated, overwrite=overwrite, login=options.login_shell)
    container.update(command)
    for one in spec.get("initContainers") or ():
        env.complete_init(one, facts)
    env.complete_ray(container, facts, group, generated, options)


def _expose_metrics(container: Json) -> None:
    port = ports.metrics_container_port(container)
    if port is not None:
        container.setdefault("ports", []).append(port)


def _default_metadata(metadata: Json, facts: Facts, group: Group, options: Options) -> None:
    metadata["labels"] = dict(options.default_pod_labels) | metadata["labels"]
    metadata["annotations"] = dict(options.default_pod_annotations) | metadata["annotations"]
    if facts.of_ray_service:
        metadata["labels"][wire.LABEL_SERVE] = "false" if group.is_head else "true"


def _named(containers: list[Json] | None, name: str) -> list[Json]:
    return [one for one in containers or () if one["name"] == name]


def _wait_for_gcs(facts: Facts, container: Json, *, login: bool) -> Json:
    """An init container that ends when the head answers, and never gives up.

    It has what the user gave the Ray container, for `ray` may need it to talk to the head.
    """
    waiting: Json = {
        "name": WAIT_CONTAINER,
        "command": ray_start.shell(login=login),
        "args": [_wait_script(f"{facts.head_address}:{facts.head_port}")],
        "resources": {"limits": dict(WAIT_RESOURCES), "requests": dict(WAIT_RESOURCES)},
    }
    for name in ("image", "imagePullPolicy", "securityContext", "env", "volumeMounts"):
        if container.get(name):
            waiting[name] = deepcopy(container[name])
    return waiting


def _wait_script(address: str) -> str:
    """Quiet for two minutes, since a head takes its time; then everybody may read why it does not answer."""
    return f"""
ask() {{ ray health-check --address {address}; }}
while true; do
  if [ "$SECONDS" -le 120 ]; then
    ask > /dev/null 2>&1 && break
    echo "The head does not answer yet after $SECONDS seconds."
  else
    ask && break
    echo "The head does not answer after $SECONDS seconds. What to do: {HELP}"
  fi
  sleep 5
done
echo "The head answers."
"""
