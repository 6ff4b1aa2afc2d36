"""Rules about token auth, network policies and TLS: C50 to C64 (spec admission §2.2, raycluster §6.2.14-16)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from api.v1.rules.model import Block, Context
from api.v1.rules.names import dns1123_problem
from api.v1.rules.reading import Cluster, Found, check, children, env_named, env_path
from api.v1.rules.typed import child, text
from api.v1.version import parse_version

__all__ = ["CHECKS", "TLS_GATE", "k8s_token_auth", "tls_enabled"]

TOKEN_SINCE: Final = (2, 52, 0)  # of Ray
K8S_TOKEN_SINCE: Final = (2, 55, 0)

NETWORK_GATE: Final = "RayClusterNetworkPolicy"
NETWORK: Final = Block("networkPolicy")  # head, worker, group names, then entry by entry (AC-22)
GROUP_NAMES: Final = 2  # the item of the third of these
ENTRIES: Final = 3

TLS_GATE: Final = "RayClusterMTLS"
TLS: Final = Block("tls")  # head, each group, the autoscaler (AC-22)
TLS_VOLUME: Final = "ray-tls"
TLS_PATH: Final = "/etc/ray/tls"
TLS_ENV: Final = ("RAY_USE_TLS", "RAY_TLS_SERVER_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_CA_CERT")


def _auth(cluster: Cluster) -> Mapping[str, Any]:
    return child(cluster.spec, "authOptions")


def _token_mode(cluster: Cluster) -> bool:
    return _auth(cluster).get("mode") == "token"


def k8s_token_auth(cluster: Cluster) -> bool:
    """Is the Kubernetes API to judge tokens?"""
    return _auth(cluster).get("enableK8sTokenAuth") is True


@check("C50")
def token_without_version(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Nothing tells whether this Ray knows tokens."""
    if _token_mode(cluster) and not cluster.ray_version:
        yield Found(
            "rayVersion",
            "authOptions.mode is 'token' but RayVersion was not specified; it needs Ray 2.52.0 or newer",
        )


@check("C51")
def token_version_unreadable(cluster: Cluster, _: Context) -> Iterator[Found]:
    """As above."""
    if _token_mode(cluster) and cluster.ray_version and parse_version(cluster.ray_version) is None:
        yield Found(
            "rayVersion",
            f"authOptions.mode is 'token' but RayVersion format is invalid: {cluster.ray_version}, not a version "
            "number",
            cluster.ray_version,
        )


@check("C52")
def token_version_old(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Older versions of Ray would run without auth."""
    version = parse_version(cluster.ray_version)
    if _token_mode(cluster) and version is not None and version < TOKEN_SINCE:
        yield Found(
            "rayVersion",
            f"authOptions.mode is 'token' but minimum Ray version is 2.52.0, got {cluster.ray_version}",
            cluster.ray_version,
        )


@check("C53")
def k8s_token_version_old(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Older versions of Ray do not ask the Kubernetes API."""
    version = parse_version(cluster.ray_version)
    asked = _token_mode(cluster) and k8s_token_auth(cluster)
    if asked and version is not None and version < K8S_TOKEN_SINCE:
        yield Found(
            "authOptions.enableK8sTokenAuth",
            f"authOptions.enableK8sTokenAuth is set but minimum Ray version is 2.55.0, got {cluster.ray_version}",
            True,
        )


@check("C54")
def k8s_token_with_secret(cluster: Cluster, _: Context) -> Iterator[Found]:
    """There is no shared token then."""
    if _token_mode(cluster) and k8s_token_auth(cluster) and _auth(cluster).get("secretName"):
        yield Found(
            "authOptions.secretName",
            "authOptions.enableK8sTokenAuth is set but authOptions.secretName is also set",
            _auth(cluster)["secretName"],
        )


@check("C55")
def k8s_token_without_mode(cluster: Cluster, _: Context) -> Iterator[Found]:
    """It is a form of token auth."""
    if k8s_token_auth(cluster) and not _token_mode(cluster):
        yield Found(
            "authOptions.enableK8sTokenAuth",
            "authOptions.enableK8sTokenAuth is set but authOptions.mode not set to 'token'",
            True,
        )


@check("C56")
def network_policy_needs_gate(cluster: Cluster, context: Context) -> Iterator[Found]:
    """An alpha feature."""
    if cluster.spec.get("networkPolicy") is not None and not context.gate(NETWORK_GATE):
        yield Found("networkPolicy", f"spec.networkPolicy needs the {NETWORK_GATE} feature gate")


@check("C57", NETWORK)
def ingress_rules_without_effect(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Nothing is closed in that direction."""
    yield from _open_direction(cluster, "DenyAllEgress", "ingressRules")


@check("C58", NETWORK)
def egress_rules_without_effect(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Nothing is closed in that direction."""
    yield from _open_direction(cluster, "DenyAllIngress", "egressRules")


@check("C59", NETWORK)
def group_name_no_label(cluster: Cluster, _: Context) -> Iterator[Found]:
    """It becomes part of the name of a NetworkPolicy."""
    if cluster.spec.get("networkPolicy") is None:
        return
    for group in cluster.groups:
        if problem := dns1123_problem(group.name):
            yield Found(
                f"{group.path}.groupName",
                f'worker group name "{group.name}" should be a valid DNS1123 label when networkPolicy is set: '
                f"{problem}",
                group.name,
                item=GROUP_NAMES,
            )


@check("C60", NETWORK)
def entry_without_group(cluster: Cluster, _: Context) -> Iterator[Found]:
    """A typing error would leave the group without its rules."""
    names = {group.name for group in cluster.groups}
    for index, entry in enumerate(children(cluster.spec, "networkPolicy", "workerGroups")):
        name = text(entry, "groupName")
        if name not in names:
            yield Found(
                f"networkPolicy.workerGroups[{index}].groupName",
                f'networkPolicy.workerGroups["{name}"] has no match in workerGroupSpecs',
                name,
                item=ENTRIES + index,
            )


@check("C61")
def tls_needs_gate(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Presence counts, even with `enabled: false`."""
    if cluster.spec.get("tlsOptions") is not None and not context.gate(TLS_GATE):
        yield Found("tlsOptions", f"spec.tlsOptions needs the {TLS_GATE} feature gate")


def tls_enabled(cluster: Cluster, context: Context) -> bool:
    """Is TLS on? Only with the gate, and only by a literal true (AC-18)."""
    return context.gate(TLS_GATE) and child(cluster.spec, "tlsOptions").get("enabled") is True


@check("C62", TLS)
def tls_env_taken(cluster: Cluster, context: Context) -> Iterator[Found]:
    """The operator sets them."""
    if not tls_enabled(cluster, context):
        return
    for item, group in enumerate((cluster.head, *cluster.groups)):
        where = "head Pod" if group.index < 0 else f'worker group "{group.name}"'
        for name in TLS_ENV:
            if env_named(group.env, name) is not None:
                yield Found(
                    f"{group.container_path}.{env_path(group.env, name)}",
                    f"cannot set {name} environment variable in {where} when tlsOptions is set: the operator sets it",
                    item=item,
                )


@check("C63", TLS)
def tls_mount_taken(cluster: Cluster, context: Context) -> Iterator[Found]:
    """The operator mounts the certificates."""
    if not tls_enabled(cluster, context):
        return
    for item, group in enumerate((cluster.head, *cluster.groups)):
        where = "head Pod" if group.index < 0 else f'worker group "{group.name}"'
        mounts = children(group.ray_container, "volumeMounts")
        for found in _tls_mounts(mounts, f"{group.container_path}.volumeMounts", where):
            yield found._replace(item=item)


@check("C64", TLS)
def tls_autoscaler_taken(cluster: Cluster, context: Context) -> Iterator[Found]:
    """The autoscaler's container gets both as well."""
    if not tls_enabled(cluster, context):
        return
    last = len(cluster.groups) + 1
    variables = children(cluster.spec, "autoscalerOptions", "env")
    for name in TLS_ENV:
        if env_named(variables, name) is not None:
            yield Found(
                f"autoscalerOptions.{env_path(variables, name)}",
                f"cannot set {name} environment variable in autoscalerOptions.env when tlsOptions is set: the "
                "operator sets it",
                item=last,
            )
    where = "autoscalerOptions.volumeMounts"
    for found in _tls_mounts(children(cluster.spec, "autoscalerOptions", "volumeMounts"), where, where):
        yield found._replace(item=last)


CHECKS: Final = (
    token_without_version,
    token_version_unreadable,
    token_version_old,
    k8s_token_version_old,
    k8s_token_with_secret,
    k8s_token_without_mode,
    network_policy_needs_gate,
    ingress_rules_without_effect,
    egress_rules_without_effect,
    group_name_no_label,
    entry_without_group,
    tls_needs_gate,
    tls_env_taken,
    tls_mount_taken,
    tls_autoscaler_taken,
)


def _open_direction(cluster: Cluster, mode: str, field: str) -> Iterator[Found]:
    """A finding for each place with rules for the direction that the mode leaves open."""
    policy = child(cluster.spec, "networkPolicy")
    if policy.get("mode") != mode:
        return
    places = [("head", "head", child(policy, "head")), ("worker", "worker", child(policy, "worker"))]
    for index, entry in enumerate(children(policy, "workerGroups")):
        places.append((f"workerGroups[{index}]", f'workerGroups["{entry.get("groupName") or ""}"]', entry))
    for item, (path, name, rules) in enumerate(places):
        if rules.get(field):
            yield Found(
                f"networkPolicy.{path}.{field}",
                f'networkPolicy.{name}.{field} must not be set when mode is "{mode}": it would have no effect',
                item=item if item < GROUP_NAMES else item + ENTRIES - GROUP_NAMES,
            )


def _tls_mounts(mounts: Sequence[Mapping[str, Any]], path: str, where: str) -> Iterator[Found]:
    for index, mount in enumerate(mounts):
        taken = ""
        if mount.get("name") == TLS_VOLUME:
            taken = f'named "{TLS_VOLUME}"'
        elif mount.get("mountPath") == TLS_PATH:
            taken = f'at path "{TLS_PATH}"'
        if taken:
            yield Found(
                f"{path}[{index}]",
                f"cannot use volume mount {taken} in {where} when tlsOptions is set: the operator mounts it",
                mount.get("name"),
            )
