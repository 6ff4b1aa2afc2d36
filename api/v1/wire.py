"""Words on the wire: group, labels, annotations, finalizers, ports (spec raycluster §2, rayjob §3).

Keys that start with `manta.ray.io/` are ours; all others are KubeRay's, and tools of users look them up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from api.meta import Resource

__all__ = [
    "ANNOTATION_EXTERNAL_STORAGE_NAMESPACE",
    "ANNOTATION_FT_ENABLED",
    "ANNOTATION_GOAL_GROUPS",
    "ANNOTATION_GOAL_HASH",
    "ANNOTATION_INGRESS_CLASS",
    "ANNOTATION_INITIALIZING_TIMEOUT",
    "ANNOTATION_NO_HEAD_RESTART",
    "ANNOTATION_OPERATOR_VERSION",
    "ANNOTATION_OVERWRITE_COMMAND",
    "ANNOTATION_RECREATE_HASH",
    "ANNOTATION_SERVE_CONFIG",
    "ANNOTATION_SERVE_SERVICE",
    "ANNOTATION_SLOT",
    "ANNOTATION_SLOT_TICKET",
    "ANNOTATION_TICK",
    "ANNOTATION_TICKET",
    "APPLICATION",
    "CREATED_BY",
    "EMPTY_CLUSTER_STATUS",
    "FINALIZER_RAYJOB",
    "FINALIZER_RAYSERVICE",
    "FINALIZER_REDIS_CLEANUP",
    "GROUP",
    "HEAD",
    "HEAD_GROUP",
    "LABEL_APP_NAME",
    "LABEL_CLUSTER",
    "LABEL_CREATED_BY",
    "LABEL_CRON_JOB",
    "LABEL_GROUP",
    "LABEL_HEADLESS_WORKER_SERVICE",
    "LABEL_HOST_INDEX",
    "LABEL_IDENTIFIER",
    "LABEL_IS_RAY_NODE",
    "LABEL_NODE_TYPE",
    "LABEL_ORIGIN_KIND",
    "LABEL_ORIGIN_NAME",
    "LABEL_REPLICA_INDEX",
    "LABEL_REPLICA_NAME",
    "LABEL_SERVE",
    "LABEL_SUBMISSION_MODE",
    "MANAGER",
    "PORT_AGENT",
    "PORT_CLIENT",
    "PORT_DASHBOARD",
    "PORT_GCS",
    "PORT_METRICS",
    "PORT_SERVE",
    "RAY_CLUSTERS",
    "RAY_CRON_JOBS",
    "RAY_JOBS",
    "RAY_SERVICES",
    "SAFE_ALPHABET",
    "WORKER",
]

GROUP: Final = "ray.io"
RAY_CLUSTERS: Final = Resource(GROUP, "v1", "rayclusters", "RayCluster")
RAY_JOBS: Final = Resource(GROUP, "v1", "rayjobs", "RayJob")
RAY_SERVICES: Final = Resource(GROUP, "v1", "rayservices", "RayService")
RAY_CRON_JOBS: Final = Resource(GROUP, "v1", "raycronjobs", "RayCronJob")

MANAGER: Final = "ray.io/kuberay-operator"  # the value of spec.managedBy that is us
CREATED_BY: Final = "kuberay-operator"
APPLICATION: Final = "kuberay"

# Labels
LABEL_CLUSTER: Final = "ray.io/cluster"
LABEL_NODE_TYPE: Final = "ray.io/node-type"
LABEL_GROUP: Final = "ray.io/group"
LABEL_IS_RAY_NODE: Final = "ray.io/is-ray-node"
LABEL_IDENTIFIER: Final = "ray.io/identifier"
LABEL_APP_NAME: Final = "app.kubernetes.io/name"
LABEL_CREATED_BY: Final = "app.kubernetes.io/created-by"
LABEL_SERVE: Final = "ray.io/serve"
LABEL_HEADLESS_WORKER_SERVICE: Final = "ray.io/headless-worker-svc"
LABEL_REPLICA_NAME: Final = "ray.io/worker-group-replica-name"
LABEL_REPLICA_INDEX: Final = "ray.io/worker-group-replica-index"
LABEL_HOST_INDEX: Final = "ray.io/replica-host-index"
LABEL_ORIGIN_KIND: Final = "ray.io/originated-from-crd"
LABEL_ORIGIN_NAME: Final = "ray.io/originated-from-cr-name"
LABEL_SUBMISSION_MODE: Final = "ray.io/job-submission-mode"
LABEL_CRON_JOB: Final = "ray.io/cronjob-name"  # on the RayJobs that a RayCronJob makes

# Annotations
ANNOTATION_FT_ENABLED: Final = "ray.io/ft-enabled"
ANNOTATION_EXTERNAL_STORAGE_NAMESPACE: Final = "ray.io/external-storage-namespace"
ANNOTATION_OVERWRITE_COMMAND: Final = "ray.io/overwrite-container-cmd"
ANNOTATION_SERVE_SERVICE: Final = "ray.io/enable-serve-service"
ANNOTATION_NO_HEAD_RESTART: Final = "ray.io/disable-provisioned-head-restart"
ANNOTATION_RECREATE_HASH: Final = "ray.io/upgrade-strategy-recreate-hash"
ANNOTATION_GOAL_HASH: Final = "ray.io/hash-without-replicas-and-workers-to-delete"  # of a RayService's clusters
ANNOTATION_GOAL_GROUPS: Final = "ray.io/num-worker-groups"
ANNOTATION_OPERATOR_VERSION: Final = "ray.io/kuberay-version"
ANNOTATION_INITIALIZING_TIMEOUT: Final = "ray.io/initializing-timeout"
ANNOTATION_INGRESS_CLASS: Final = "kubernetes.io/ingress.class"
ANNOTATION_TICK: Final = "ray.io/cronjob-scheduled-timestamp"  # on such a RayJob: the tick that it was made for
ANNOTATION_TICKET: Final = (
    "manta.ray.io/ticket"  # on the RayCluster: the ticket under which slots are filled (design W2)
)
ANNOTATION_SLOT: Final = "manta.ray.io/slot"  # on a pod: "<group>/<index>" and ...
ANNOTATION_SLOT_TICKET: Final = "manta.ray.io/slot-ticket"  # ... the ticket it was created under (design W1)

# Finalizers
ANNOTATION_SERVE_CONFIG: Final = "manta.ray.io/serve-config"  # on a RayService's cluster: "sent:<digest>" (design §2)

FINALIZER_RAYJOB: Final = "ray.io/rayjob-finalizer"
FINALIZER_RAYSERVICE: Final = "ray.io/rayservice-finalizer"
FINALIZER_REDIS_CLEANUP: Final = "ray.io/gcs-ft-redis-cleanup-finalizer"

# Values
HEAD: Final = "head"
WORKER: Final = "worker"
HEAD_GROUP: Final = "headgroup"

# Ports (spec raycluster §2.3)
PORT_GCS: Final = 6379
PORT_DASHBOARD: Final = 8265
PORT_CLIENT: Final = 10001
PORT_SERVE: Final = 8000
PORT_METRICS: Final = 8080
PORT_AGENT: Final = 52365

SAFE_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"  # of generated name suffixes

# A RayCluster's status inside another object's: what the reference writes even when there is nothing to say.
EMPTY_CLUSTER_STATUS: Final[Mapping[str, object]] = {
    "desiredCPU": "0",
    "desiredGPU": "0",
    "desiredMemory": "0",
    "desiredTPU": "0",
    "head": {},
}
