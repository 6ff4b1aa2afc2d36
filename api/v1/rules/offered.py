"""Rules about what a node tells Ray it has, and what its pod asks for beside accelerators (spec admission §4.4)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

from api.v1.rules.crosscutting import overwrites_command
from api.v1.rules.hardware import GPUS, Hardware, StartResources, expands, family_of, hardware_of, number_of, spoken
from api.v1.rules.making import Job, job_rule
from api.v1.rules.model import Context, Rule, Severity
from api.v1.rules.places import cluster_rule
from api.v1.rules.reading import Cluster, Found, Group, amount
from api.v1.rules.typed import child, number, text

__all__ = ["ANY_NODE", "OF_THEIR_OWN", "RULES", "may_offer"]

NUMBERS: Final = ("num-cpus", "num-gpus", "memory")
OF_THEIR_OWN: Final = ("CPU", "GPU", "memory", "object_store_memory")  # Ray refuses them among custom resources
ANY_NODE: Final = ("node:", "accelerator_type:", "bundle_group")  # names that Ray itself gives
CONTAINER_AMOUNTS: Final = ("cpu", "memory")


@cluster_rule("GPU16")
def no_whole_number(cluster: Cluster, context: Context) -> Iterator[Found]:
    """`ray start` and the autoscaler make an int of each, and fail where it is none."""
    for hardware in hardware_of(cluster, context):
        for name in NUMBERS:
            written = hardware.group.start_params.get(name)
            if written is None:
                continue
            if _misfit(written, autoscaling=cluster.autoscaling):
                yield Found(
                    f"{hardware.group.path}.rayStartParams[{name}]",
                    f"{hardware.group.called}: {name} must be a whole number that is not negative, not {written!r}",
                    written,
                    _in_bytes(written) if name == "memory" else "",
                    severity=_told_to_ray(cluster, hardware.group),
                )


def _in_bytes(written: str) -> str:
    much = amount(written)
    known = much is not None and much.denominator == 1 and much > 0
    return f'in bytes: memory: "{much}"' if known else "in bytes"


def _misfit(written: str, *, autoscaling: bool) -> bool:
    """Is it none? Without an autoscaler a shell may still fill it in."""
    if expands(written):
        return autoscaling
    found = number_of(written)
    return found is None or found < 0 or "." in written


def _told_to_ray(cluster: Cluster, group: Group) -> Severity:
    """What is wrong with a start parameter; without an autoscaler nobody may read it beside a command of the user's."""
    unread = not cluster.autoscaling and overwrites_command(cluster, group)
    return Severity.WARN if unread else Severity.DENY


@cluster_rule("GPU17")
def custom_resources(cluster: Cluster, context: Context) -> Iterator[Found]:
    """A shell reads them first, then Ray; the autoscaler cuts off the first and the last character."""
    for hardware in hardware_of(cluster, context):
        written, told = hardware.group.start_params.get("resources"), hardware.start_resources
        if written is None:
            continue
        path = f"{hardware.group.path}.rayStartParams[resources]"
        problem = told.problem if told is not None else ""
        problem = problem or (_unread_by_autoscaler(written, told) if cluster.autoscaling else "")
        problems = [(problem, _told_to_ray(cluster, hardware.group))] if problem else []
        offered = told.offered if told is not None else {}
        problems += [one for name, much in offered.items() if (one := _odd(name, much, cluster.autoscaling))]
        for problem, severity in problems:
            yield Found(
                path,
                f"{hardware.group.called}: rayStartParams.resources: {problem}",
                written,
                'written like this: \'"{\\"name\\": 1}"\'',
                severity=severity,
            )


def _unread_by_autoscaler(written: str, told: StartResources | None) -> str:
    """It reads the text as it stands, without a shell, and takes its first and last character for quotes."""
    if told is None:
        return "the autoscaler cannot read it, since a shell is to fill it in"
    if told.unquoted or written != written.strip():
        return "the autoscaler cuts off its first and last character, which should be quotes"
    return ""


def _odd(name: Any, much: Any, autoscaling: bool) -> tuple[str, Severity] | None:
    if name in OF_THEIR_OWN:
        return f"{name} has a start parameter of its own", Severity.DENY
    if isinstance(much, bool) or not isinstance(much, int | float) or much < 0:
        return f"{name} must be a number that is not negative", Severity.DENY
    if isinstance(much, float) and autoscaling:
        return f"the autoscaler counts {name} in whole numbers, written without a point", Severity.WARN
    return None


@cluster_rule("GPU18")
def cpus_unknown(cluster: Cluster, context: Context) -> Iterator[Found]:
    """The autoscaler raises, and the head's pod restarts for ever. Of group resources it reads CPU, not cpu."""
    for hardware in hardware_of(cluster, context) if cluster.autoscaling else ():
        group = hardware.group
        told = "num-cpus" in group.start_params or "CPU" in group.resources
        if not told and "cpu" not in group.limits and "cpu" not in group.requests:
            yield Found(
                f"{group.container_path}.resources",
                f"{group.called}: the autoscaler cannot tell how many CPUs it has; set a CPU limit or num-cpus",
            )


@cluster_rule("GPU22")
def group_resources(cluster: Cluster, context: Context) -> Iterator[Found]:
    """The reference skips what it cannot read, and of two GPU keys takes either (AC-9)."""
    for hardware in hardware_of(cluster, context):
        group = hardware.group
        for key, written in group.resources.items():
            if amount(written) is None:
                message = f"{group.called}: {written!r} is no quantity, and {key} would be left out"
                yield Found(f"{group.path}.resources[{key}]", message, written)
        gpus = [key for key in group.resources if family_of(key.lower(), context.admission) in GPUS]
        if len(gpus) > 1:
            message = f"{group.called}: {', '.join(sorted(gpus))} both say how many GPUs there are; keep one"
            yield Found(f"{group.path}.resources", message, sorted(gpus))
            continue
        yield from _contradicted(hardware, gpus)


def _contradicted(hardware: Hardware, gpus: list[str]) -> Iterator[Found]:
    """More than the container's limit, or another number of GPUs; a head may well hide its own."""
    group = hardware.group
    for key, written in group.resources.items():
        told, limit = amount(written), hardware.gpus if key in gpus else group.limits.get(key.lower())
        if told is None or not limit or (group.is_head and told == 0):
            continue
        if told > limit or (key in gpus and told != limit):
            yield Found(
                f"{group.path}.resources[{key}]",
                f"{group.called}: resources say {key} {written}, the container's limit is {spoken(limit)}",
                written,
                severity=Severity.WARN,
            )


@job_rule("GPU23", Severity.WARN)
def entrypoint_fits_nowhere(job: Job, context: Context) -> Iterator[Found]:
    """Ray puts the entrypoint on one node, and waits for one for ever."""
    if job.cluster is None or job.selects:
        return
    nodes = hardware_of(job.cluster, context)
    asked: tuple[tuple[str, str, Callable[[Hardware], Fraction | None]], ...] = (
        ("entrypointNumGpus", "GPUs", lambda node: node.announced_gpus),
        ("entrypointNumCpus", "CPUs", lambda node: node.announced_cpus),
    )
    for field, what, of in asked:
        wanted = number(job.spec, field)
        offers = [of(node) for node in nodes] if wanted else []
        known = [one for one in offers if one is not None]
        if wanted and offers and len(known) == len(offers) and wanted > max(known):
            yield Found(field, f"{field} is {wanted}, and no group has more than {spoken(max(known))} {what}", wanted)
    for name in _wanted_resources(job):
        if not any(may_offer(node, name) for node in nodes):
            yield Found("entrypointResources", f"no group offers {name}: the entrypoint will wait for ever", name)


def _wanted_resources(job: Job) -> Iterator[str]:
    """The names that entrypointResources asks for; what is no JSON object is JC05's."""
    try:
        wanted = json.loads(text(job.spec, "entrypointResources") or "{}")
    except (ValueError, RecursionError):
        return
    for name in wanted if isinstance(wanted, Mapping) else ():
        if not name.startswith(ANY_NODE) and name not in OF_THEIR_OWN:
            yield name


def may_offer(node: Hardware, name: str) -> bool:
    """Does the group offer that custom resource, or may it?"""
    params, told = node.group.start_params, node.start_resources
    if "resources" in params and (told is None or told.problem):
        return True
    given = told.offered if told is not None else {}
    limits = node.group.limits
    mapped = {"TPU": limits.get("google.com/tpu"), "neuron_cores": limits.get("aws.amazon.com/neuroncore")}
    return name in given or name in node.group.resources or bool(mapped.get(name))


@cluster_rule("GPU30")
def limit_below_request(cluster: Cluster, context: Context) -> Iterator[Found]:
    """The API server refuses such a pod."""
    for hardware in hardware_of(cluster, context):
        for container in hardware.containers:
            for key in CONTAINER_AMOUNTS:
                limit, request = container.limits.get(key), container.requests.get(key)
                if limit is not None and request is not None and limit < request:
                    written = child(container.written, "limits")[key]
                    yield Found(
                        f"{container.path}.resources.limits[{key}]",
                        f"{hardware.group.called}: {key} limit {written} is less than its request "
                        f"{child(container.written, 'requests')[key]}: such a pod is refused",
                        written,
                    )


@cluster_rule("GPU31", Severity.WARN)
def asks_for_nothing(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Ray takes the whole node for its own, and Kubernetes puts more pods there."""
    for hardware in hardware_of(cluster, context):
        written = hardware.containers[0].written
        if not any(key in child(written, which) for which in ("limits", "requests") for key in CONTAINER_AMOUNTS):
            yield Found(
                f"{hardware.containers[0].path}.resources",
                f"{hardware.group.called}: the Ray container asks for no CPU and no memory, so Ray takes the "
                "whole node for its own, and Kubernetes puts other pods there",
                hint="set cpu and memory under limits, or under requests and limits",
            )


@cluster_rule("GPU32", Severity.WARN)
def head_without_memory_limit(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Ray then counts the node's memory, and the node ends the head when that is gone."""
    for hardware in hardware_of(cluster, context)[:1]:
        if hardware.group.is_head and "memory" not in child(hardware.containers[0].written, "limits"):
            yield Found(
                f"{hardware.containers[0].path}.resources.limits[memory]",
                "the head has no memory limit: Ray takes the memory of the node for its own",
                hint="8Gi is a good start for a cluster that works",
            )


RULES: Final[tuple[Rule, ...]] = (
    no_whole_number,
    custom_resources,
    cpus_unknown,
    group_resources,
    entrypoint_fits_nowhere,
    limit_below_request,
    asks_for_nothing,
    head_without_memory_limit,
)
