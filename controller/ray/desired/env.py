"""Environment of the Ray container and of the init containers (spec raycluster §10.8).

Order is part of the contract: the last of two variables of one name counts, and what is appended here in any case
therefore wins over the user's.
"""

from __future__ import annotations

from api.meta import Json
from api.v1.wire import LABEL_CLUSTER, LABEL_GROUP
from controller.ray.desired.facts import Facts, Group
from controller.ray.options import Options

__all__ = ["add_env", "add_missing_env", "cluster_name", "complete_init", "complete_ray", "field", "has_env", "value"]


def value(name: str, text: str) -> Json:
    """A variable with a literal value."""
    return {"name": name, "value": text}


def field(name: str, path: str) -> Json:
    """A variable that holds a field of the pod."""
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def cluster_name() -> Json:
    """RAY_CLUSTER_NAME, read from the pod's label."""
    return field("RAY_CLUSTER_NAME", f"metadata.labels['{LABEL_CLUSTER}']")


def cluster_namespace() -> Json:
    """RAY_CLUSTER_NAMESPACE."""
    return field("RAY_CLUSTER_NAMESPACE", "metadata.namespace")


def has_env(container: Json, name: str) -> bool:
    """Does the container define the variable?"""
    return any(one.get("name") == name for one in container.get("env") or ())


def add_env(container: Json, *variables: Json) -> None:
    """Append them, whatever is there."""
    if variables:
        container.setdefault("env", []).extend(variables)


def add_missing_env(container: Json, *variables: Json) -> None:
    """Append those that the container does not define."""
    for one in variables:
        if not has_env(container, one["name"]):
            add_env(container, one)


def complete_init(container: Json, facts: Facts) -> None:
    """What every init container is told: where the head is."""
    add_env(container, *_head_address(facts))


def complete_ray(container: Json, facts: Facts, group: Group, generated: str, options: Options) -> None:
    """All that the Ray container is told, after what is there already."""
    add_missing_env(container, *(dict(one) for one in options.default_container_envs))
    if not group.is_head:
        add_env(container, *_head_address(facts))
    add_env(
        container,
        cluster_name(),
        cluster_namespace(),
        field("RAY_CLOUD_INSTANCE_ID", "metadata.name"),
        field("RAY_NODE_TYPE_NAME", f"metadata.labels['{LABEL_GROUP}']"),
        value("KUBERAY_GEN_RAY_START_CMD", generated),
    )
    add_missing_env(container, value("RAY_PORT", facts.head_port))
    if facts.of_ray_service:
        add_missing_env(container, *_quick_fail_over())
    where = "127.0.0.1" if group.is_head else facts.head_address
    add_missing_env(container, value("RAY_ADDRESS", f"{where}:{facts.head_port}"))
    add_missing_env(container, value("RAY_USAGE_STATS_KUBERAY_IN_USE", "1"))
    if group.is_head:
        tags = f"kuberay_version={options.version};kuberay_crd={facts.creator}"
        add_env(container, value("RAY_USAGE_STATS_EXTRA_TAGS", tags))
    add_missing_env(container, value("RAY_DASHBOARD_ENABLE_K8S_DISK_USAGE", "1"))


def _head_address(facts: Facts) -> tuple[Json, Json]:
    return value("FQ_RAY_IP", facts.head_address), value("RAY_IP", facts.head_address.partition(".")[0])


def _quick_fail_over() -> tuple[Json, ...]:
    """A RayService must notice a lost head sooner than Ray's defaults let it."""
    return (
        value("RAY_timeout_ms_task_wait_for_death_info", "0"),
        value("RAY_gcs_server_request_timeout_seconds", "5"),
        value("RAY_SERVE_KV_TIMEOUT_S", "5"),
    )
