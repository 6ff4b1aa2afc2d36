"""What the mutating webhook fills in: D01 to D12 (spec admission §4.10).

Only absent fields are set, and only on create: whoever turns the webhook on later changes no object that exists. Two
fields are chosen by others, `rayVersion` by the head's image and the autoscaler's version by `rayVersion`; those are
recorded in an annotation of ours, so that an update can tell a default from a choice: the first follows a new image,
and both come back when a client that writes whole objects leaves them out, since a RayService would get a new cluster
otherwise. D13 is no default of ours: the schema's stay in the CRD.

Each default is a function that yields the changes it wants; nothing here changes its input.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from api.v1.rules.autoscaling import restart_policy_kept
from api.v1.rules.hardware import Family, Hardware, family_of, hardware_of
from api.v1.rules.images import effective_version, fleet_of, numbers
from api.v1.rules.making import QUEUE_LABEL
from api.v1.rules.model import Context, Subject
from api.v1.rules.places import CLUSTER_PATHS, JOB_PATHS, PlacedCluster, cluster_in
from api.v1.rules.reading import AUTOSCALER_V2_ENV, Cluster, children, env_named, object_or_none
from api.v1.rules.typed import child, mapping, text, whole
from api.v1.version import parse_version

__all__ = ["RECORD", "defaulted"]

RECORD: Final = "ray.io/defaulted"  # annotation: path of a field -> the default that it was given, as JSON
MULTIKUEUE: Final = "kueue.x-k8s.io/multikueue"
RELEASE: Final = 3  # numbers of a version that is one

Json: TypeAlias = Mapping[str, Any]
Steps: TypeAlias = tuple[str | int, ...]


class Change(NamedTuple):
    """A value to put under a path; parents that are missing are made."""

    steps: Steps
    value: Any


def defaulted(kind: str, new: Json, old: Json | None, context: Context) -> Json:
    """The object with its defaults filled in; the very same one where there is nothing to fill in.

    `old` is None on create. Objects in deletion, objects of another cluster and those that a trusted user writes are
    left as they are. Doing it again changes nothing. Never raises, whatever JSON it gets.
    """
    if _left_alone(kind, new, context):
        return new
    filled: Json = new
    for change in _changes(kind, Subject(new), old, context):
        filled = _put(filled, change.steps, change.value)
    return filled


def _left_alone(kind: str, new: Json, context: Context) -> bool:
    user, spec = context.surroundings.user, child(new, "spec")
    managed = text(child(spec, "jobTemplate") if kind == "RayCronJob" else spec, "managedBy")
    trusted = bool(user) and user in context.admission.trusted_users
    return trusted or managed == MULTIKUEUE or bool(child(new, "metadata").get("deletionTimestamp"))


def _changes(kind: str, new: Json, old: Json | None, context: Context) -> Iterator[Change]:
    placed = cluster_in(new)
    if placed is not None:
        yield from _recorded(kind, new, old, placed, context)
        yield from _start_params(kind, placed, old, context)
    if old is not None:
        return
    if placed is not None:
        steps = CLUSTER_PATHS[kind]
        for default in (_groups, _replicas, _head_gpus, _requests, _tolerations):
            yield from (Change((*steps, *one.steps), one.value) for one in default(placed.cluster, context))
    yield from _job(kind, new, context)
    yield from _labels(new, context)


def _recorded(kind: str, new: Json, old: Json | None, placed: PlacedCluster, context: Context) -> Iterator[Change]:
    """D01 and D06, with the annotation that remembers them."""
    before = _record(old) if old is not None else {}
    known = before | _record(new)
    kept = dict(known)
    for steps, value in _chosen(placed.cluster, old is not None, known, placed.path, context):
        path = ".".join((placed.path, *steps))
        if value is None:
            kept.pop(path, None)
        else:
            kept[path] = value
            if _value_at(placed.cluster.spec, steps) != value:
                yield Change((*CLUSTER_PATHS[kind], *steps), value)
    if kept != _record(new):
        yield Change(("metadata", "annotations", RECORD), json.dumps(kept, sort_keys=True, separators=(",", ":")))


def _chosen(
    cluster: Cluster, updating: bool, known: Mapping[str, str], at: str, context: Context
) -> Iterator[tuple[tuple[str, ...], str | None]]:
    """Of each of the two fields its path and the default that it has now; None where it is somebody's choice."""
    version = _ray_version(cluster, updating, known.get(f"{at}.rayVersion"), context)
    yield ("rayVersion",), version
    autoscaler = ("autoscalerOptions", "version")
    yield autoscaler, _autoscaler(cluster, updating, known.get(".".join((at, *autoscaler))), version, context)


def _ray_version(cluster: Cluster, updating: bool, recorded: str | None, context: Context) -> str | None:
    """D01: the head image's release, as long as nobody wrote another version."""
    written = cluster.spec.get("rayVersion")
    if written not in (None, "", recorded):
        return None
    if recorded is None and (updating or not context.admission.default_ray_version):
        return None
    return _implied(cluster, context) or recorded


def _implied(cluster: Cluster, context: Context) -> str:
    """The release that the head's image surely holds; "" for none."""
    head = fleet_of(cluster, context).head
    if not head.of_ray or head.said.prerelease or head.version is None or len(head.version) != RELEASE:
        return ""
    return numbers(head.version)


def _autoscaler(
    cluster: Cluster, updating: bool, recorded: str | None, ray_version: str | None, context: Context
) -> str | None:
    """D06: v2 from a Ray on that the operator's owner names, where nothing else chooses and nothing forbids it."""
    since = parse_version(context.admission.default_autoscaler_v2_from)
    written = cluster.autoscaler.get("version")
    if recorded is not None and written in (None, "", recorded):
        return recorded if cluster.autoscaling else None
    if since is None or updating or written or not cluster.autoscaling:
        return None
    version = parse_version(ray_version or "")
    if version is None and (effective := effective_version(cluster, context)) is not None:
        version = effective.version
    chosen = env_named(cluster.head.env, AUTOSCALER_V2_ENV) is not None
    forbidden = any(restart_policy_kept(group) for group in cluster.all_groups)  # C35, C36
    return "v2" if version is not None and version >= since and not chosen and not forbidden else None


def _record(object_: Json) -> dict[str, str]:
    """What the annotation remembers; nothing where it is none of ours."""
    try:
        found = json.loads(mapping(child(object_, "metadata"), "annotations").get(RECORD, "{}"))
    except (ValueError, RecursionError):
        return {}
    items = found.items() if isinstance(found, dict) else ()
    return {path: value for path, value in items if isinstance(value, str)}


def _value_at(node: Json, steps: Iterable[str]) -> Any:
    *parents, last = steps
    return child(node, *parents).get(last)


def _start_params(kind: str, placed: PlacedCluster, old: Json | None, context: Context) -> Iterator[Change]:
    """D02: for the head and every group; on update only for groups that this request adds."""
    if not context.admission.default_start_params:
        return
    before = cluster_in(old) if old is not None else None
    there = {group.name for group in before.cluster.groups} if before is not None else set()
    for group in placed.cluster.all_groups:
        added = old is None or (before is not None and not group.is_head and group.name not in there)
        if added and group.spec and group.spec.get("rayStartParams") is None:
            inner: Steps = ("headGroupSpec",) if group.is_head else ("workerGroupSpecs", group.index)
            yield Change((*CLUSTER_PATHS[kind], *inner, "rayStartParams"), {})


def _groups(cluster: Cluster, _: Context) -> Iterator[Change]:
    """D03: an autoscaler of some releases stumbles over a missing list."""
    if cluster.autoscaling and cluster.spec.get("workerGroupSpecs") is None:
        yield Change(("workerGroupSpecs",), [])


def _replicas(cluster: Cluster, context: Context) -> Iterator[Change]:
    """D04: what the operator would do anyway, for people to see."""
    for group in cluster.groups if context.admission.default_replicas else ():
        least = whole(group.spec, "minReplicas") or 0
        if group.spec.get("replicas") in (None, 0) and least > 0:
            yield Change(("workerGroupSpecs", group.index, "replicas"), least)


def _head_gpus(cluster: Cluster, context: Context) -> Iterator[Change]:
    """D05: the head takes no GPU that happens to be on its node; a head that works alone may need what it sees."""
    heads = [one for one in hardware_of(cluster, context)[:1] if one.group.is_head]
    for head in heads if context.admission.default_head_num_gpus and cluster.groups else ():
        untold = not head.says_gpus and "num-gpus" not in head.group.start_params
        if untold and not (head.accelerated or head.shares or head.claims):
            yield Change(("headGroupSpec", "rayStartParams", "num-gpus"), "0")


def _requests(cluster: Cluster, context: Context) -> Iterator[Change]:
    """D09: what Kubernetes does with limits of pods, done for people to see."""
    for hardware in hardware_of(cluster, context) if context.admission.default_requests else ():
        limits = child(hardware.containers[0].written, "limits")
        requests = child(hardware.containers[0].written, "requests")
        for key in limits:
            if key not in requests and family_of(key, context.admission) is not Family.PLAIN:
                steps: Steps = ("template", "spec", "containers", 0, "resources", "requests", key)
                yield Change((*_inner(hardware), *steps), limits[key])


def _tolerations(cluster: Cluster, context: Context) -> Iterator[Change]:
    """D10: those that the operator's owner lists for a device; in a queue, Kueue brings them."""
    listed = context.admission.accelerator_tolerations
    if not listed or cluster.labels.get(QUEUE_LABEL):
        return
    for hardware in hardware_of(cluster, context):
        there = children(hardware.group.pod_spec, "tolerations")
        keys = {text(one, "key") for one in there}
        wanted = [dict(one) for key in sorted(hardware.group.limits) for one in listed.get(key, ())]
        missing = [one for one in wanted if one.get("key", "") not in keys]
        if missing and hardware.accelerated:
            yield Change((*_inner(hardware), "template", "spec", "tolerations"), [*there, *missing])


def _inner(hardware: Hardware) -> Steps:
    group = hardware.group
    return ("headGroupSpec",) if group.is_head else ("workerGroupSpecs", group.index)


def _job(kind: str, new: Json, context: Context) -> Iterator[Change]:
    """D07 and D08; in a RayCronJob, of its template (D12)."""
    if kind not in JOB_PATHS:
        return
    steps = JOB_PATHS[kind]
    job = child(new, *steps)
    submitter = object_or_none(child(job, "submitterPodTemplate"), "spec")
    if submitter is not None and not submitter.get("restartPolicy"):
        yield Change((*steps, "submitterPodTemplate", "spec", "restartPolicy"), "Never")
    queued = bool(mapping(child(new, "metadata"), "labels").get(QUEUE_LABEL))
    open_end = job.get("shutdownAfterJobFinishes") is None and job.get("deletionStrategy") is None
    if context.admission.default_shutdown_when_queued and queued and open_end and not job.get("clusterSelector"):
        yield Change((*steps, "shutdownAfterJobFinishes"), True)


def _labels(new: Json, context: Context) -> Iterator[Change]:
    """D11: whose object it is, and who pays."""
    given = child(new, "metadata", "labels")
    for key, value in sorted(context.admission.default_labels.items()):
        if key not in given:
            yield Change(("metadata", "labels", key), value)


def _put(node: Any, steps: Steps, value: Any) -> Any:
    """The same with a value under a path; what is not on the way is shared."""
    if not steps:
        return value
    first, rest = steps[0], steps[1:]
    if isinstance(first, int):
        return [_put(one, rest, value) if index == first else one for index, one in enumerate(node)]
    whole_ = node if isinstance(node, dict) else {}
    return {**whole_, first: _put(whole_.get(first), rest, value)}
