"""Rules about replicas and scaling (spec admission §4.6; RP01 to RP13).

RP01 is C6 to C9, and RP08 is C65 for a RayCluster: enforced, and said there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from api.v1.raycluster import MAX_REPLICAS
from api.v1.rules.autoscaling import restart_policy_kept
from api.v1.rules.images import effective_version
from api.v1.rules.making import EVERY_KIND, name_of, placed_rule
from api.v1.rules.model import Context, Finding, Rule, Severity
from api.v1.rules.places import PlacedCluster, cluster_in, cluster_rule
from api.v1.rules.reading import AUTOSCALER_V2_ENV, Cluster, Found, Group, env_named
from api.v1.rules.typed import child, is_true, text, texts, whole

__all__ = ["RULES", "desired_pods", "upper_bound"]

V2_SINCE: Final = (2, 47, 0)  # of Ray: unset means autoscaler v2 from here on (AC-26)


def upper_bound(group: Group) -> int:
    """maxReplicas, with the schema's default."""
    most = whole(group.spec, "maxReplicas")
    return MAX_REPLICAS if most is None else most


def _lower_bound(group: Group) -> int:
    return whole(group.spec, "minReplicas") or 0


def desired_pods(group: Group) -> int:
    """How many pods the operator would make of a worker group."""
    if is_true(group.spec, "suspend"):
        return 0
    wanted = min(max(whole(group.spec, "replicas") or 0, _lower_bound(group)), upper_bound(group))
    hosts = whole(group.spec, "numOfHosts")
    return wanted * (1 if hosts is None else hosts)


@cluster_rule("RP02", Severity.WARN)
def replicas_out_of_bounds(cluster: Cluster, _: Context) -> Iterator[Found]:
    """The operator keeps to the bounds. Zero is what the schema writes for nobody's wish, and below no bound."""
    for group in cluster.groups:
        wanted = whole(group.spec, "replicas")
        low, high = _lower_bound(group), upper_bound(group)
        if not wanted or wanted < 0 or low > high or (high == 0 and cluster.autoscaling):  # RP03, C9, RP05
            continue
        if not low <= wanted <= high:
            bound = f"minReplicas {low}" if wanted < low else f"maxReplicas {high}"
            yield Found(
                f"{group.path}.replicas",
                f"replicas {wanted} is beyond {bound}, which counts instead",
                wanted,
                "set replicas between minReplicas and maxReplicas",
                group.index,
            )


@cluster_rule("RP03")
def replicas_negative(cluster: Cluster, _: Context) -> Iterator[Found]:
    """A count of replicas."""
    for group in cluster.groups:
        wanted = whole(group.spec, "replicas")
        if wanted is not None and wanted < 0:
            yield Found(f"{group.path}.replicas", f"replicas cannot be {wanted}", wanted, "", group.index)


@cluster_rule("RP04")
def no_hosts(cluster: Cluster, _: Context) -> Iterator[Found]:
    """A replica of no pods would never be there."""
    for group in cluster.groups:
        hosts = whole(group.spec, "numOfHosts")
        if hosts is not None and hosts < 1:
            hint = "1 is a replica of one pod; replicas: 0 makes none"
            yield Found(f"{group.path}.numOfHosts", f"numOfHosts should be 1 or more, not {hosts}", hosts, hint)


@cluster_rule("RP05", Severity.WARN)
def nothing_allowed(cluster: Cluster, _: Context) -> Iterator[Found]:
    """The autoscaler may never start one of them."""
    for group in cluster.groups:
        wanted = whole(group.spec, "replicas") or 0
        if cluster.autoscaling and upper_bound(group) == 0 and wanted > 0:
            yield Found(
                f"{group.path}.maxReplicas",
                f"maxReplicas is 0, so none of the {wanted} replicas will start",
                0,
                "raise maxReplicas",
                group.index,
            )


@cluster_rule("RP06", Severity.WARN)
def nothing_to_scale(cluster: Cluster, _: Context) -> Iterator[Found]:
    """The autoscaler runs and has no choice."""
    fixed = [_lower_bound(group) == upper_bound(group) for group in cluster.groups]
    if cluster.autoscaling and fixed and all(fixed):
        yield Found(
            "enableInTreeAutoscaling",
            "every worker group has minReplicas equal to maxReplicas: there is nothing to scale",
            True,
            "leave a group room between minReplicas and maxReplicas, or turn autoscaling off",
        )


@cluster_rule("RP07", Severity.WARN)
def autoscaler_without_groups(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Some releases of it even fail where the list is absent."""
    if cluster.autoscaling and not cluster.groups:
        yield Found(
            "workerGroupSpecs",
            "autoscaling is on, but there is no worker group to scale",
            None,
            "add a worker group, or turn autoscaling off",
        )


@placed_rule("RP08", Severity.WARN, kinds=EVERY_KIND - {"RayCluster"})
def workers_restart_under_v1(_new: Mapping[str, Any], placed: PlacedCluster, _: Context) -> Iterator[Found]:
    """C65 for the clusters inside other kinds."""
    cluster = placed.cluster
    if cluster.autoscaling and text(cluster.autoscaler, "version") == "v1":
        yield from _restarting(cluster.groups, "autoscaler v1")


@cluster_rule("RP09", Severity.WARN)
def pods_restart_under_implicit_v2(cluster: Cluster, context: Context) -> Iterator[Found]:
    """C35 and C36 where v2 is not named but what this Ray takes by itself."""
    named = text(cluster.autoscaler, "version") or env_named(cluster.head.env, AUTOSCALER_V2_ENV) is not None
    if not cluster.autoscaling or named:
        return
    ray = effective_version(cluster, context)
    if ray is not None and not ray.before(V2_SINCE):
        yield from _restarting(cluster.all_groups, f"autoscaler v2, which Ray {ray} takes by itself")


def _restarting(groups: Any, under: str) -> Iterator[Found]:
    for group in groups:
        if restart_policy_kept(group):
            yield Found(
                f"{group.path}.template.spec.restartPolicy",
                f"restartPolicy {group.restart_policy} brings back pods that are to go, under {under}",
                group.restart_policy,
                "set restartPolicy: Never, or leave it out",
                group.index,
            )


def _marked_by_hand(new: Mapping[str, Any], old: Mapping[str, Any] | None, context: Context) -> Iterator[Finding]:
    """The autoscaler writes this list, and takes from it what it did not write.

    On update only what changed counts: everybody who edits something else sends the list along.
    """
    placed, before = cluster_in(new), cluster_in(old) if old is not None else None
    if placed is None or not placed.cluster.autoscaling or _is_autoscaler(new, placed.cluster, context):
        return
    known = {group.name: _marked(group) for group in before.cluster.groups} if before is not None else {}
    for group in placed.cluster.groups:
        names = _marked(group)
        if names and names != known.get(group.name):
            found = Found(
                f"{group.path}.scaleStrategy.workersToDelete",
                f"worker group {group.name}: workersToDelete is the autoscaler's to write while it runs",
                list(names),
                "lower replicas or maxReplicas instead",
                group.index,
            )
            yield placed.finding("RP11", found, Severity.WARN)


def _marked(group: Group) -> tuple[str, ...]:
    return tuple(texts(child(group.spec, "scaleStrategy"), "workersToDelete"))


def _is_autoscaler(new: Mapping[str, Any], cluster: Cluster, context: Context) -> bool:
    """The autoscaler acts as the head pod's service account."""
    account = text(cluster.head.pod_spec, "serviceAccountName") or name_of(new)
    return context.surroundings.user == f"system:serviceaccount:{text(child(new, 'metadata'), 'namespace')}:{account}"


@cluster_rule("RP12", Severity.WARN)
def options_without_autoscaler(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Nobody reads them."""
    given = sorted(name for name, value in cluster.autoscaler.items() if value is not None)
    if given and not cluster.autoscaling:
        yield Found(
            "autoscalerOptions",
            f"autoscalerOptions ({', '.join(given)}) are ignored: enableInTreeAutoscaling is not true",
            None,
            "set enableInTreeAutoscaling: true, or leave the options out",
        )


@cluster_rule("RP13", Severity.WARN)
def too_many_pods(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Where the operator's owner set a cap."""
    most = context.admission.most_pods
    pods = 1 + sum(desired_pods(group) for group in cluster.groups)
    if most and pods > most:
        yield Found("workerGroupSpecs", f"the cluster wants {pods} pods; {most} are allowed here", pods)


RULES: Final[tuple[Rule, ...]] = (
    replicas_out_of_bounds,
    replicas_negative,
    no_hosts,
    nothing_allowed,
    nothing_to_scale,
    autoscaler_without_groups,
    workers_restart_under_v1,
    pods_restart_under_implicit_v2,
    Rule("RP11", Severity.WARN, EVERY_KIND, _marked_by_hand),
    options_without_autoscaler,
    too_many_pods,
)
