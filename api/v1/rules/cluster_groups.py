"""Rules about head and worker groups by themselves: C1 to C16 (spec admission §2.2, raycluster §6.2.1-4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from api.v1.raycluster import MAX_REPLICAS
from api.v1.rules.model import Block, Context
from api.v1.rules.names import label_key_problem, label_value_problem
from api.v1.rules.reading import Cluster, Found, Group, check
from api.v1.rules.typed import mapping, whole
from api.v1.version import parse_version

__all__ = ["CHECKS"]

PRIORITY_SINCE: Final = (2, 56, 0)  # of Ray
RESOURCE_PARAMS: Final = ("num-cpus", "num-gpus", "memory", "resources")
GROUPS: Final = Block("groups")  # the reference looks at one group whole before the next (AC-22)


@check("C1")
def head_without_container(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Container 0 runs Ray."""
    if not cluster.head.containers:
        yield Found("headGroupSpec.template.spec.containers", "headGroupSpec should have at least one container")


@check("C2")
def head_resources_twice(cluster: Cluster, _: Context) -> Iterator[Found]:
    """One way to say what the head offers, not two."""
    yield from _resources_twice(cluster.head)


@check("C3")
def head_labels_param(cluster: Cluster, _: Context) -> Iterator[Found]:
    """The start parameter is written from the top-level labels."""
    yield from _labels_param(cluster.head)


@check("C4")
def head_labels_invalid(cluster: Cluster, _: Context) -> Iterator[Found]:
    """They become labels of the pod."""
    yield from _labels_invalid(cluster.head)


@check("C5", GROUPS)
def group_without_container(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Container 0 runs Ray."""
    for group in cluster.groups:
        if not group.containers:
            yield Found(
                f"{group.path}.template.spec.containers",
                "workerGroupSpec should have at least one container",
                item=group.index,
            )


@check("C6", GROUPS)
def bounds_missing(cluster: Cluster, _: Context) -> Iterator[Found]:
    """The schema's defaults normally prevent it."""
    for group in cluster.groups:
        missing = [name for name in ("minReplicas", "maxReplicas") if group.spec.get(name) is None]
        if missing and not cluster.autoscaling:
            yield Found(
                f"{group.path}.{missing[0]}",
                f"worker group {group.name} must set both minReplicas and maxReplicas while autoscaling is disabled",
                item=group.index,
            )


@check("C7", GROUPS)
def min_negative(cluster: Cluster, _: Context) -> Iterator[Found]:
    """A count of replicas."""
    yield from _negative(cluster, "minReplicas")


@check("C8", GROUPS)
def max_negative(cluster: Cluster, _: Context) -> Iterator[Found]:
    """A count of replicas."""
    yield from _negative(cluster, "maxReplicas")


@check("C9", GROUPS)
def bounds_crossed(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Absent bounds are 0 and the largest int32."""
    for group in cluster.groups:
        low, high = whole(group.spec, "minReplicas"), whole(group.spec, "maxReplicas")
        low, high = 0 if low is None else low, MAX_REPLICAS if high is None else high
        if low > high:
            yield Found(
                f"{group.path}.minReplicas",
                f"worker group {group.name} has minReplicas {low} greater than maxReplicas {high}",
                low,
                item=group.index,
            )


@check("C10", GROUPS)
def group_like_head(cluster: Cluster, _: Context) -> Iterator[Found]:
    """C2, C3 and C4 for a worker group."""
    for group in cluster.groups:
        for search in (_resources_twice, _labels_param, _labels_invalid):
            for found in search(group):
                yield found._replace(item=group.index)


@check("C11", GROUPS)
def idle_timeout_negative(cluster: Cluster, _: Context) -> Iterator[Found]:
    """A duration in seconds."""
    for group in cluster.groups:
        seconds = whole(group.spec, "idleTimeoutSeconds")
        if seconds is not None and seconds < 0:
            yield Found(
                f"{group.path}.idleTimeoutSeconds",
                f"worker group {group.name}: idleTimeoutSeconds must be non-negative, got {seconds}",
                seconds,
                item=group.index,
            )


@check("C12", GROUPS)
def idle_timeout_needs_v2(cluster: Cluster, _: Context) -> Iterator[Found]:
    """An unset version does not count, although Ray may then take v2."""
    for group in cluster.groups:
        seconds = whole(group.spec, "idleTimeoutSeconds")
        if seconds is not None and not (cluster.v2_by_option or cluster.v2_by_env):
            yield Found(
                f"{group.path}.idleTimeoutSeconds",
                f"worker group {group.name}: idleTimeoutSeconds is set, but autoscaler v2 is not enabled "
                "(autoscalerOptions.version: v2)",
                seconds,
                item=group.index,
            )


@check("C13", GROUPS)
def priority_needs_version(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Nothing tells whether this Ray knows priorities."""
    for group in _with_priority(cluster):
        if not cluster.ray_version:
            yield Found(
                f"{group.path}.priority",
                f"worker group {group.name}: priority is set, but RayVersion was not specified; it needs Ray 2.56.0 "
                "or newer",
                whole(group.spec, "priority"),
                item=group.index,
            )


@check("C14", GROUPS)
def priority_version_unreadable(cluster: Cluster, _: Context) -> Iterator[Found]:
    """As above."""
    for group in _with_priority(cluster):
        if cluster.ray_version and parse_version(cluster.ray_version) is None:
            yield Found(
                f"{group.path}.priority",
                f"worker group {group.name}: priority is set, but RayVersion format is invalid: "
                f"{cluster.ray_version}, not a version number",
                whole(group.spec, "priority"),
                item=group.index,
            )


@check("C15", GROUPS)
def priority_version_old(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Older versions of Ray do not know priorities."""
    version = parse_version(cluster.ray_version)
    for group in _with_priority(cluster):
        if version is not None and version < PRIORITY_SINCE:
            yield Found(
                f"{group.path}.priority",
                f"worker group {group.name}: priority is set, but minimum Ray version is 2.56.0, got "
                f"{cluster.ray_version}",
                whole(group.spec, "priority"),
                item=group.index,
            )


@check("C16", GROUPS)
def priority_needs_v2(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Only that autoscaler reads it."""
    for group in _with_priority(cluster):
        if not (cluster.v2_by_option or cluster.v2_by_env):
            priority = whole(group.spec, "priority")
            yield Found(
                f"{group.path}.priority",
                f"worker group {group.name}: priority is set to {priority}, but autoscaler v2 is not enabled "
                "(autoscalerOptions.version: v2)",
                priority,
                item=group.index,
            )


CHECKS: Final = (
    head_without_container,
    head_resources_twice,
    head_labels_param,
    head_labels_invalid,
    group_without_container,
    bounds_missing,
    min_negative,
    max_negative,
    bounds_crossed,
    group_like_head,
    idle_timeout_negative,
    idle_timeout_needs_v2,
    priority_needs_version,
    priority_version_unreadable,
    priority_version_old,
    priority_needs_v2,
)


def _resources_twice(group: Group) -> Iterator[Found]:
    if group.resources and any(group.start_params.get(name) for name in RESOURCE_PARAMS):
        yield Found(
            f"{group.path}.resources",
            f"resource fields should not be set in both rayStartParams and Resources for {group.name} group; use one "
            "of them",
        )


def _labels_param(group: Group) -> Iterator[Found]:
    if "labels" in group.start_params:
        yield Found(
            f"{group.path}.rayStartParams[labels]",
            f"rayStartParams['labels'] is not supported for {group.name} group; use the top-level Labels field",
            group.start_params["labels"],
        )


def _labels_invalid(group: Group) -> Iterator[Found]:
    """One finding for all labels of the group, at the first that is wrong: the reference joins them."""
    wrong, problems = {}, []
    for key, value in sorted(mapping(group.spec, "labels").items()):
        if problem := label_key_problem(key):
            problems.append(f"invalid label key for {group.name} group: '{key}', error: {problem}")
            wrong[key] = value
        if problem := label_value_problem(value):
            problems.append(f"invalid label value for key '{key}' in {group.name} group: '{value}', error: {problem}")
            wrong[key] = value
    if problems:
        yield Found(f"{group.path}.labels[{next(iter(wrong))}]", "; ".join(problems), wrong)


def _negative(cluster: Cluster, field: str) -> Iterator[Found]:
    for group in cluster.groups:
        value = whole(group.spec, field)
        if value is not None and value < 0:
            yield Found(
                f"{group.path}.{field}",
                f"worker group {group.name} has negative {field} {value}",
                value,
                item=group.index,
            )


def _with_priority(cluster: Cluster) -> list[Group]:
    return [group for group in cluster.groups if whole(group.spec, "priority")]
