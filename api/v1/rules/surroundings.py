"""What rules may know of the operator, the cluster and the request, beside gates and settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Surroundings"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Facts that only the operator has; each default is what is assumed where nobody knows, as offline.

    `None` means that nobody looked: rules that would need it are silent.
    """

    user: str = ""  # who asks
    requested_version: str = ""  # in which version of the API; "" where it is that of the object
    cluster_domain: str = "cluster.local"  # CLUSTER_DOMAIN
    injects_init_container: bool = True  # ENABLE_INIT_CONTAINER_INJECTION
    head_sidecars: tuple[str, ...] = ()  # names of the config file's headSidecarContainers
    worker_sidecars: tuple[str, ...] = ()  # ... and workerSidecarContainers
    priority_classes: frozenset[str] | None = None  # names of those that the cluster has
    multikueue: bool | None = None  # its kinds are served
    selected_cluster: Mapping[str, Any] | None = None  # the RayCluster that a RayJob's clusterSelector names
