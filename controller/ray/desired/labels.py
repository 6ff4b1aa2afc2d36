"""Labels and selectors (spec raycluster §2.1, §2.5, §7.5, §10.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from api.v1 import wire
from controller.ray.desired import names
from controller.ray.desired.facts import Facts, Group

__all__ = ["head_selector", "headless", "of_node", "of_serve_service", "serve_value"]

FIXED: Final = (wire.LABEL_NODE_TYPE, wire.LABEL_GROUP, wire.LABEL_CLUSTER)  # nobody may override these


def identifier(cluster: str, node_type: str) -> str:
    """Value of ray.io/identifier."""
    return names.check_label(f"{cluster}-{node_type}")


def of_node(cluster: str, group: Group) -> dict[str, str]:
    """A pod's labels out of the spec: ours, the template's over them, the group's own over both, but three are ours."""
    ours = {
        wire.LABEL_IS_RAY_NODE: "yes",
        wire.LABEL_CLUSTER: cluster,
        wire.LABEL_NODE_TYPE: group.node_type,
        wire.LABEL_GROUP: group.name,
        wire.LABEL_IDENTIFIER: identifier(cluster, group.node_type),
        wire.LABEL_APP_NAME: wire.APPLICATION,
        wire.LABEL_CREATED_BY: wire.CREATED_BY,
    }
    template = (group.template.get("metadata") or {}).get("labels") or {}
    fixed = {key: ours[key] for key in FIXED}
    return ours | dict(template) | dict(group.labels) | fixed


def head_selector(facts: Facts) -> dict[str, str]:
    """Selector and base labels of the head Service.

    Of all that a head template may override, only app.kubernetes.io/name is followed: the reference follows no other.
    """
    template: Mapping[str, str] = (facts.head.template.get("metadata") or {}).get("labels") or {}
    return plain_head_selector(facts.name) | {
        wire.LABEL_APP_NAME: template.get(wire.LABEL_APP_NAME, wire.APPLICATION),
    }


def plain_head_selector(cluster: str) -> dict[str, str]:
    """The same without a look at the template: what a RayJob's own head Service selects (spec rayjob §8.4)."""
    return {
        wire.LABEL_CLUSTER: cluster,
        wire.LABEL_NODE_TYPE: wire.HEAD,
        wire.LABEL_IDENTIFIER: identifier(cluster, wire.HEAD),
        wire.LABEL_APP_NAME: wire.APPLICATION,
        wire.LABEL_CREATED_BY: wire.CREATED_BY,
    }


def serve_value(cluster: str) -> str:
    """Value of ray.io/serve on a serve Service."""
    return f"{cluster}-serve"


def of_serve_service(cluster: str) -> dict[str, str]:
    """Labels of a plain cluster's serve Service."""
    return {
        wire.LABEL_ORIGIN_NAME: cluster,
        wire.LABEL_ORIGIN_KIND: "RayCluster",
        wire.LABEL_SERVE: serve_value(cluster),
    }


def headless(cluster: str) -> dict[str, str]:
    """Labels of the headless worker Service, by which it is also found."""
    return {wire.LABEL_HEADLESS_WORKER_SERVICE: cluster}
