"""Rules that cut across: managers, annotations, Services, network, redis, commands, size (spec admission §4.8).

XC01 says that the rules about gates are asked at admission, too: they are, as all enforced rules. XC03 compares the
served CRD with the built-in one when the operator starts, and XC14 is `pod_content`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from api.v1.common import MANAGED_BY
from api.v1.rules.making import EVERY_KIND, Job, job_rule, joined, object_rule, placed_rule, update_rule
from api.v1.rules.model import Context, Finding, Rule, Severity
from api.v1.rules.places import PlacedCluster, cluster_rule
from api.v1.rules.reading import Cluster, Found, Group, children, env_named, env_path
from api.v1.rules.service_ports import declared_ports
from api.v1.rules.typed import child, entries, is_true, mapping, text, texts, whole
from api.v1.wire import (
    ANNOTATION_FT_ENABLED,
    ANNOTATION_NO_HEAD_RESTART,
    ANNOTATION_OVERWRITE_COMMAND,
    ANNOTATION_SERVE_SERVICE,
)

__all__ = ["RULES", "begun", "overwrites_command"]

Json = Mapping[str, Any]

DIRECT: Final = ("RayCluster", "RayJob", "RayService")  # whose own annotations and managedBy count
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
MOST_DROPPED: Final = 10  # findings of lost fields; one typo high up loses many
DEEPEST: Final = 40  # levels of a spec that are compared
FT_DELETION_TIMEOUT: Final = "ray.io/gcs-ft-deletion-timeout"
SERVICE_TYPES: Final = ("ClusterIP", "NodePort", "LoadBalancer")
DNS: Final = 53
LARGEST: Final = 900 * 1024  # bytes; etcd refuses what is larger than some 1.5 MiB
OPTIONS: Final = "gcsFaultToleranceOptions"
SHELLS: Final = ("sh", "bash", "/bin/sh", "/bin/bash", "/usr/bin/bash")
_ENDLESS: Final = re.compile(r"\bsleep (infinity|inf)\b|\btail -[fF]\b", re.ASCII)


# The request and the object as a whole


def _dropped(new: Json, old: Json | None, _: Context) -> Iterator[Finding]:
    """XC02: what kubectl sent and the API server did not keep: its schema does not know the field.

    Only while the note of what was applied is fresh: after others have changed the object it tells nothing.
    """
    note = mapping(new, "metadata", "annotations").get(LAST_APPLIED, "")
    if not note or (old is not None and mapping(old, "metadata", "annotations").get(LAST_APPLIED) == note):
        return
    try:
        applied = json.loads(note)
    except (ValueError, RecursionError):
        return
    for count, (path, key, value) in enumerate(_lost(child(applied, "spec"), child(new, "spec"), "spec", DEEPEST)):
        if count == MOST_DROPPED:
            return
        message = f"{key} was not stored: the installed CRD does not know it there"
        hint = "check the spelling and the indentation, or install newer CRDs"
        yield Finding("XC02", Severity.WARN, path, message, value, hint)


def _lost(applied: Any, stored: Any, path: str, deep: int) -> Iterator[tuple[str, str, Any]]:
    if deep == 0:
        return
    if isinstance(applied, Mapping) and isinstance(stored, Mapping):
        for key, value in applied.items():
            inner = f"{path}.{key}"
            if value is not None and key not in stored:
                yield inner, key, value
            else:
                yield from _lost(value, stored.get(key), inner, deep - 1)
    elif isinstance(applied, list) and isinstance(stored, list) and len(applied) == len(stored):
        for index, (one, other) in enumerate(zip(applied, stored, strict=True)):
            yield from _lost(one, other, f"{path}[{index}]", deep - 1)


@object_rule("XC04", severity=Severity.WARN)
def old_version(new: Json, context: Context) -> Iterator[Found]:
    """It will no longer be served one day."""
    version = context.surroundings.requested_version or text(new, "apiVersion").rpartition("/")[2]
    if version == "v1alpha1":
        yield Found("apiVersion", "ray.io/v1alpha1 is deprecated", "ray.io/v1alpha1", "write apiVersion: ray.io/v1")


def begun(object_: Json) -> bool:
    """Has an operator begun with the object? Its status tells."""
    status = child(object_, "status")
    words = ("state", "jobDeploymentStatus", "rayClusterName", "serviceStatus")
    clusters = (child(status, "activeServiceStatus"), child(status, "pendingServiceStatus"))
    return (
        any(text(status, word) for word in words)
        or any(text(one, "rayClusterName") for one in clusters)
        or bool(status.get("conditions") or child(status, "head") or status.get("observedGeneration"))
    )


@update_rule("XC05", DIRECT, Severity.DENY)
def manager_changed(old: Json, new: Json, _: Context) -> Iterator[Found]:
    """Two would work on it, or nobody. A change from one value to another the schema refuses."""
    before, after = text(child(old, "spec"), "managedBy"), text(child(new, "spec"), "managedBy")
    changed = bool(before) != bool(after) and (before or MANAGED_BY[0]) != (after or MANAGED_BY[0])
    if changed and begun(old):
        message = "managedBy cannot be set or removed once the object is worked on"
        yield Found("spec.managedBy", message, after or None, "delete the object and create it anew")


@object_rule("XC06", DIRECT, Severity.OFF)
def nobody_manages(new: Json, context: Context) -> Iterator[Found]:
    """Off, as MultiKueue may be installed later."""
    if text(child(new, "spec"), "managedBy") == MANAGED_BY[1] and context.surroundings.multikueue is False:
        yield Found("spec.managedBy", "there is no MultiKueue here: nobody looks after the object", MANAGED_BY[1])


@object_rule("XC07", DIRECT, Severity.WARN, of_metadata=True)
def annotations_odd(new: Json, _: Context) -> Iterator[Found]:
    """Other values count as not given. The initializing time-out of a RayService is M8 to M10."""
    annotations = mapping(new, "metadata", "annotations")
    for key in (ANNOTATION_OVERWRITE_COMMAND, ANNOTATION_FT_ENABLED):
        if annotations.get(key, "").lower() not in ("", "true", "false"):
            yield _odd(key, annotations[key], "true or false")
    for key in (ANNOTATION_SERVE_SERVICE, ANNOTATION_NO_HEAD_RESTART):
        if annotations.get(key, "") not in ("", "true", "false"):
            yield _odd(key, annotations[key], "true or false, in small letters")
    seconds = annotations.get(FT_DELETION_TIMEOUT, "")
    if seconds and not (seconds.isascii() and seconds.isdecimal() and int(seconds[:20]) > 0):
        yield _odd(FT_DELETION_TIMEOUT, seconds, "a number of seconds above zero")


def _odd(key: str, value: str, meant: str) -> Found:
    return Found(f"metadata.annotations[{key}]", f"{key} is ignored: it should be {meant}", value)


@object_rule("XC16", severity=Severity.WARN)
def too_large(new: Json, _: Context) -> Iterator[Found]:
    """One more field, and etcd refuses it."""
    try:
        size = len(msgspec.json.encode(new, enc_hook=str))  # a tenth of what the standard library takes
    except (TypeError, ValueError, OverflowError, RecursionError):
        return  # no JSON, or so deep that the API server does not read it
    if size > LARGEST:
        hint = "put large scripts and configurations into an image or a ConfigMap"
        yield Found("", f"the object has {size // 1024} KiB; from about 1.5 MiB on it cannot be stored", size, hint)


# Services and the network


@cluster_rule("XC08")
def service_type_unknown(cluster: Cluster, _: Context) -> Iterator[Found]:
    """The head Service could not be made; one by an external name leads to no pod."""
    head = cluster.head.spec
    types = {
        "headGroupSpec.serviceType": text(head, "serviceType"),
        "headGroupSpec.headService.spec.type": text(child(head, "headService", "spec"), "type"),
    }
    for path, type_ in types.items():
        if type_ and type_ not in SERVICE_TYPES:
            yield Found(path, f"a head Service is one of {', '.join(SERVICE_TYPES)}", type_)


@cluster_rule("XC09", Severity.WARN)
def ingress_odd(cluster: Cluster, _: Context) -> Iterator[Found]:
    """The API server refuses the path; without the host its certificate is for others."""
    head = cluster.head.spec
    options = child(head, "ingressOptions")
    path, host = text(options, "path"), text(options, "host")
    if not is_true(head, "enableIngress"):
        return
    if path and not path.startswith("/"):
        yield Found("headGroupSpec.ingressOptions.path", "an ingress path starts with /", path, f"write /{path}")
    for index, tls in entries(options, "tls"):
        hosts = texts(tls, "hosts")
        if host and hosts and not any(_covers(one, host) for one in hosts):
            message = f"the certificate is not for the ingress host {host}"
            yield Found(f"headGroupSpec.ingressOptions.tls[{index}].hosts", message, list(hosts), f"add {host}")


def _covers(pattern: str, host: str) -> bool:
    first, _, rest = host.partition(".")
    return pattern == host or (bool(first) and pattern == f"*.{rest}")


@cluster_rule("XC10", Severity.WARN)
def names_not_resolved(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Workers look for the head by name, and the operator opens no way to a DNS server."""
    policy = cluster.spec.get("networkPolicy")
    if not isinstance(policy, dict) or text(policy, "mode") == "DenyAllIngress":
        return
    own = {text(one, "groupName"): one for _, one in entries(policy, "workerGroups")}
    parts = [own.get(group.name, child(policy, "worker")) for group in cluster.groups] or [child(policy, "head")]
    if not all(any(_permits_dns(rule) for _, rule in entries(part, "egressRules")) for part in parts):
        yield Found(
            "networkPolicy",
            "no egress rule lets workers ask a DNS server, so they cannot find the head",
            None,
            "add an egress rule for port 53, UDP and TCP",
        )


def _permits_dns(rule: Json) -> bool:
    ports = rule.get("ports")
    if not isinstance(ports, list) or not ports:
        return True
    return any(_is_dns(port) for _, port in entries(rule, "ports"))


def _is_dns(port: Json) -> bool:
    if text(port, "protocol") not in ("", "UDP", "TCP"):
        return False
    first = whole(port, "port")
    if first is None:
        return port.get("port") is None or text(port, "port").startswith("dns") or text(port, "port") == str(DNS)
    last = whole(port, "endPort")
    return first <= DNS <= (first if last is None else last)


# Redis


@cluster_rule("XC11", Severity.WARN)
def redis_nowhere(cluster: Cluster, _: Context) -> Iterator[Found]:
    """The head could not start. An envFrom may name it; nobody can tell."""
    options = cluster.spec.get(OPTIONS)
    by_annotation = cluster.annotations.get(ANNOTATION_FT_ENABLED, "").lower() == "true"
    if isinstance(options, dict):
        path = f"{OPTIONS}.redisAddress"
        known = text(options, "backend") == "rocksdb" or bool(text(options, "redisAddress"))
    else:
        path, known = f"metadata.annotations[{ANNOTATION_FT_ENABLED}]", not by_annotation
    head = cluster.head
    if known or env_named(head.env, "RAY_REDIS_ADDRESS") is not None or children(head.ray_container, "envFrom"):
        return
    yield Found(
        path,
        "GCS fault tolerance is on, but no redis address is given: the head cannot start",
        None,
        f"set {OPTIONS}.redisAddress",
    )


@cluster_rule("XC12", Severity.WARN)
def password_in_the_open(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Whoever may read the object reads it. The value is not repeated here."""
    head, name = cluster.head, "REDIS_PASSWORD"
    written = {
        f"{OPTIONS}.redisPassword.value": text(child(cluster.spec, OPTIONS, "redisPassword"), "value"),
        "headGroupSpec.rayStartParams[redis-password]": head.start_params.get("redis-password", ""),
        f"{head.container_path}.{env_path(head.env, name)}": text(env_named(head.env, name) or {}, "value"),
    }
    for path, value in written.items():
        if value and not value.startswith("$"):
            message = "the redis password stands here for everybody to read"
            yield Found(path, message, None, "take it from a Secret: valueFrom.secretKeyRef")


# Pods


@placed_rule("XC13", Severity.WARN)
def ray_start_undone(new: Json, placed: PlacedCluster, _: Context) -> Iterator[Found]:
    """The operator writes the user's command before its own `ray start`, joined by && and without quotes."""
    cluster = placed.cluster
    for group in cluster.all_groups:
        if not overwrites_command(cluster, group) and (problem := _command_problem(group)):
            field = "command" if texts(group.ray_container, "command") else "args"
            hint = f"annotate the object with {ANNOTATION_OVERWRITE_COMMAND}: 'true' to replace the command"
            words = [*texts(group.ray_container, "command"), *texts(group.ray_container, "args")]
            yield Found(f"{group.container_path}.{field}", problem, words, hint, group.index)
    ports = declared_ports(cluster.head)
    if ports and text(new, "kind") != "RayCluster" and not any(port.name == "dashboard" for port in ports):
        yield Found(
            f"{cluster.head.container_path}.ports",
            "no port is called dashboard, so the operator cannot reach Ray there",
            None,
            "add {name: dashboard, containerPort: 8265}, or leave ports out",
        )


def overwrites_command(cluster: Cluster, group: Group) -> bool:
    """The user's command runs instead of `ray start`, and the start parameters are his to use."""
    own = mapping(group.pod_metadata, "annotations")
    return any(
        annotations.get(ANNOTATION_OVERWRITE_COMMAND, "").lower() == "true"
        for annotations in (cluster.annotations, own)
    )


def _command_problem(group: Group) -> str:
    words = [*texts(group.ray_container, "command"), *texts(group.ray_container, "args")]
    line = " ".join(words)
    if "ray start" in line:
        return "the command starts Ray itself, so rayStartParams do not count"
    if words and words[0] in SHELLS and any(_is_command_flag(word) for word in words[1:3]) and len(words) > 2:
        return "a shell with -c loses its quotes before 'ray start'"
    return "the command never ends, so 'ray start' is not reached" if _ENDLESS.search(line) else ""


def _is_command_flag(word: str) -> bool:
    return word.startswith("-") and not word.startswith("--") and word.endswith("c")


@placed_rule("XC15", Severity.WARN)
def _priority_of_groups(_new: Json, placed: PlacedCluster, context: Context) -> Iterator[Found]:
    for group in placed.cluster.all_groups:
        path = f"{group.path}.template.spec.priorityClassName"
        yield from _priority(group.pod_spec, path, context)


@job_rule("XC15", Severity.WARN)
def _priority_of_submitter(job: Job, context: Context) -> Iterator[Found]:
    pod = child(job.spec, "submitterPodTemplate", "spec")
    yield from _priority(pod, "submitterPodTemplate.spec.priorityClassName", context)


def _priority(pod: Json, path: str, context: Context) -> Iterator[Found]:
    name, known = text(pod, "priorityClassName"), context.surroundings.priority_classes
    if name and known is not None and name not in known:
        yield Found(path, f"there is no PriorityClass {name}: the pod would be refused", name)


RULES: Final[tuple[Rule, ...]] = (
    Rule("XC02", Severity.WARN, EVERY_KIND, _dropped),
    old_version,
    manager_changed,
    nobody_manages,
    annotations_odd,
    service_type_unknown,
    ingress_odd,
    names_not_resolved,
    redis_nowhere,
    password_in_the_open,
    ray_start_undone,
    joined(_priority_of_groups, _priority_of_submitter),
    too_large,
)
