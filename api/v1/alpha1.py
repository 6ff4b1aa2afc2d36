"""v1alpha1 as a view on v1: served and not stored, on its way out (spec raycluster §1.8, §1.10).

No code reads objects of that version: the API server answers with v1 what was written as v1alpha1. It is no pure
subset: a few fields were required then, and applications told when their health last changed.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from api.crd import Reduced, View
from api.meta import Json
from api.v1.raycluster import (
    AutoscalerOptions,
    HeadGroupSpec,
    HeadInfo,
    RayClusterSpec,
    RayClusterStatus,
    WorkerGroupSpec,
)
from api.v1.rayjob import RayJobSpec, RayJobStatus
from api.v1.rayservice import (
    RayServiceSpec,
    RayServiceStatus,
    RayServiceStatuses,
    ServeApplicationStatus,
    ServeDeploymentStatus,
)

__all__ = ["VIEW", "deprecation_warning"]

_SINCE_V1: Final = frozenset({"managedBy", "upgradeStrategy"})
_HEALTH_TIME: Final[Json] = {"healthLastUpdateTime": {"type": "string", "format": "date-time"}}

VIEW: Final[View] = MappingProxyType(
    {
        RayClusterSpec: Reduced(
            without=_SINCE_V1
            | {"authOptions", "gcsFaultToleranceOptions", "historyServerOptions", "networkPolicy", "tlsOptions"}
        ),
        HeadGroupSpec: Reduced(
            without=frozenset({"ingressOptions", "resources", "labels"}), required=("rayStartParams", "template")
        ),
        WorkerGroupSpec: Reduced(
            without=frozenset({"numOfHosts", "priority", "idleTimeoutSeconds", "suspend", "resources", "labels"}),
            required=("groupName", "maxReplicas", "minReplicas", "rayStartParams", "template"),
        ),
        AutoscalerOptions: Reduced(without=frozenset({"args", "command", "version"})),
        RayClusterStatus: Reduced(without=frozenset({"conditions", "stateTransitionTimes"})),
        HeadInfo: Reduced(without=frozenset({"podName", "serviceName"})),
        RayJobSpec: Reduced(
            without=_SINCE_V1
            | {
                "activeDeadlineSeconds",
                "backoffLimit",
                "deletionStrategy",
                "preRunningDeadlineSeconds",
                "submissionMode",
                "submitterConfig",
            },
            required=("entrypoint",),
        ),
        RayJobStatus: Reduced(
            without=frozenset({"failed", "jobStatusCheckFailureStartTime", "rayJobInfo", "reason", "succeeded"})
        ),
        RayServiceSpec: Reduced(
            without=_SINCE_V1 | {"excludeHeadPodFromServeSvc", "rayClusterDeletionDelaySeconds", "suspend"},
            required=(),
        ),
        RayServiceStatuses: Reduced(without=frozenset({"conditions", "numServeEndpoints"})),
        RayServiceStatus: Reduced(
            without=frozenset({"lastTrafficMigratedTime", "targetCapacity", "trafficRoutedPercent"})
        ),
        ServeApplicationStatus: Reduced(added=_HEALTH_TIME),
        ServeDeploymentStatus: Reduced(added=_HEALTH_TIME),
    }
)


def deprecation_warning(kind: str) -> str:
    """What the API server tells everybody who still uses v1alpha1."""
    return (
        f"ray.io/v1alpha1 {kind} is deprecated; use ray.io/v1 {kind}. "
        "v1alpha1 gets no new fields and is unavailable from KubeRay 1.9 on"
    )
