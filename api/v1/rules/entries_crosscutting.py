"""What the rules that cut across, and those about changes, are (spec admission §4.8, §4.9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from api.v1.rules.entry import Entry

__all__ = ["ELSEWHERE", "ENTRIES"]

ENTRIES: Final[Mapping[str, Entry]] = {
    "XC02": Entry(
        "Fields that `kubectl apply` sent are not in the stored object.",
        "The installed CRD does not know them at that place, and the API server drops them in silence: a typo, a "
        "wrong indentation, or CRDs older than the manifest.",
        "Correct the field, install the CRDs that belong to the operator, and apply with `--validate=strict`.",
    ),
    "XC04": Entry(
        "The object is written in `ray.io/v1alpha1`.",
        "That version is deprecated, and will no longer be served one day.",
        "Write `apiVersion: ray.io/v1`.",
    ),
    "XC05": Entry(
        "`managedBy` is set or removed on an object that an operator works on.",
        "Two would work on it, or nobody would. A change from one value to another the API server refuses itself.",
        "Delete the object and create it anew.",
    ),
    "XC06": Entry(
        "`managedBy` names MultiKueue, and its kinds are not served here. Off by itself; and where it is "
        "turned on it is silent yet: the operator does not look for MultiKueue.",
        "Nobody looks after the object, unless MultiKueue is installed later.",
        "Install MultiKueue, or leave `managedBy` out.",
    ),
    "XC07": Entry(
        "An annotation that the operator reads has a value that it does not: `ray.io/overwrite-container-cmd`, "
        "`ray.io/ft-enabled`, `ray.io/enable-serve-service`, `ray.io/disable-provisioned-head-restart`, "
        "`ray.io/gcs-ft-deletion-timeout`.",
        "The annotation counts as not given.",
        'Write `"true"` or `"false"`, and seconds as a number above zero.',
    ),
    "XC08": Entry(
        "`serviceType` or the type of `headService` is none of `ClusterIP`, `NodePort` and `LoadBalancer`.",
        "Kubernetes refuses the head Service; an `ExternalName` leads to no pod.",
        "Write one of the three, or leave it out.",
    ),
    "XC09": Entry(
        "`enableIngress` is true, and `ingressOptions.path` does not begin with `/`, or no entry of its TLS hosts "
        "covers its host.",
        "Kubernetes refuses the Ingress, or browsers its certificate.",
        "Begin the path with `/`, and name the host in `tls`.",
    ),
    "XC10": Entry(
        "A network policy closes what goes out, and no egress rule lets workers reach port 53.",
        "Workers look for the head by its name, and cannot resolve it: they never join.",
        "Add an egress rule for port 53, UDP and TCP.",
    ),
    "XC11": Entry(
        "GCS fault tolerance goes by Redis, and neither `redisAddress` nor the head's `RAY_REDIS_ADDRESS` names one.",
        "The head cannot start. An `envFrom` might bring the variable, so the rule is silent then.",
        "Set `gcsFaultToleranceOptions.redisAddress`.",
    ),
    "XC12": Entry(
        "The password of Redis stands in the object itself.",
        "Whoever may read RayClusters reads it, and so do logs and backups.",
        "Put it into a Secret, and name that in `valueFrom.secretKeyRef`.",
    ),
    "XC13": Entry(
        "The command of a Ray container has `ray start` in it, is a shell with `-c`, or never ends, without the "
        "annotation `ray.io/overwrite-container-cmd`; or the ports of a head whose dashboard the operator needs "
        "lack `dashboard`.",
        "The operator writes the command before its own `ray start`, joined by `&&` and without quotes. Without the "
        "port it cannot submit a job or deploy.",
        'Annotate the object with `ray.io/overwrite-container-cmd: "true"`, or put set-up work into an init '
        "container; declare the port.",
    ),
    "XC14": Entry(
        "A pod template has what Kubernetes would refuse: two containers or volumes of one name, a mount without "
        "its volume, a bad name of a variable or port, a bad quantity, port, label, toleration or `restartPolicy`, a "
        "resource without a domain (`gpu: 1`), no image, security settings that exclude each other.",
        "The pod is never made, and the operator tries for ever.",
        "Write it as Kubernetes takes it.",
    ),
    "XC15": Entry(
        "`priorityClassName` of a pod template names a PriorityClass that the cluster does not have. Silent "
        "yet: the operator takes no right to read PriorityClasses, which are the whole cluster's.",
        "Kubernetes refuses the pod.",
        "Create the PriorityClass, or name one that is there.",
    ),
    "XC16": Entry(
        "The object has more than 900 KiB.",
        "From about 1.5 MiB on it cannot be stored, and every status makes it larger.",
        "Put large scripts and configurations into an image or a ConfigMap.",
    ),
    "XC17": Entry(
        "The object asks for something that the API has and this operator does not do yet: GCS fault tolerance, mutual "
        "TLS, a NetworkPolicy, the history server, `SidecarMode`, `deletionStrategy`, an incremental upgrade.",
        "The operator leaves a cluster or a job alone that it could only serve by half, and says so by an event; a "
        "RayService runs, but an incremental upgrade never begins.",
        "Do without, as the finding says, or turn the rule off where another operator works on the object.",
    ),
    "IM01": Entry(
        "Templates, start parameters or `rayVersion` of a cluster that runs are changed, and its `upgradeStrategy` "
        "is not `Recreate`.",
        "Only pods that are made later follow the change: nothing happens now, and later the cluster is a mixture.",
        "Set `upgradeStrategy.type: Recreate`, or recreate the cluster.",
    ),
    "IM02": Entry(
        "A worker group with pods is removed or renamed while the cluster runs, and its `upgradeStrategy` is not "
        "`Recreate`.",
        "The pods of the former group keep running, nobody looks after them, and a network policy no longer covers "
        "them.",
        "Scale the group to 0 first, then remove it.",
    ),
    "IM03": Entry(
        "`backend` or `externalStorageNamespace` of `gcsFaultToleranceOptions` is changed while the cluster is not "
        "suspended; a warning: the options as a whole are added or removed.",
        "The next head looks for its state where it is not, and jobs and actors are lost.",
        "Suspend the cluster first, or make a new one.",
    ),
    "IM04": Entry(
        "`enableInTreeAutoscaling` is changed while the cluster runs.",
        "The autoscaler is a container of the head pod: nothing changes before that is made anew.",
        "Delete the head pod, or set `upgradeStrategy.type: Recreate`.",
    ),
    "IM05": Entry(
        "`authOptions.mode` or `tlsOptions.enabled` is changed while the cluster runs.",
        "Pods that are made later cannot talk to those that run.",
        "Suspend the cluster, change it, and resume it.",
    ),
    "IM06": Entry(
        "What a RayJob runs, or on which cluster, is changed while it is at work. Kueue's edits together with a "
        "suspension are passed.",
        "The change is ignored until the job is tried again or resumed.",
        "Delete the RayJob and create it anew.",
    ),
    "IM07": Entry(
        "The spec of a RayJob is changed after it has ended, other than how long things are kept.",
        "It does not run again.",
        "Create a new RayJob.",
    ),
    "IM09": Entry(
        "`rayClusterConfig` is changed again while a RayService is being upgraded.",
        "The cluster that is being prepared is given up, and another one made: the upgrade begins anew.",
        "Wait for the condition `UpgradeInProgress` to end.",
    ),
    "IM10": Entry(
        "`upgradeStrategy.type` is changed during an incremental upgrade.",
        "Traffic is split between two clusters, and nobody would move it on.",
        "Wait for the condition `UpgradeInProgress` to end.",
    ),
}

ELSEWHERE: Final[Mapping[str, str]] = {
    "XC01": "C23, C31, C39, C56, C61 and J4: all that the reconcile loop enforces is asked at admission, too",
    "XC03": "about the CRDs that are served, not about an object: the operator compares them when it starts",
    "IM08": "accepted: a RayJob that was refused may be repaired, and starts anew",
    "IM11": "accepted: the next tick is one of the new schedule",
    "IM12": "XC05",
    "P1": "one library of rules is asked by the webhook, by `manta lint` and, of what the reference refuses, by the "
    "reconcile loop",
    "P2": "all that is wrong is told at once, with field, value, rule and the way out; of one rule the first 100",
    "P3": "each rule denies, warns or is off; the profile `compat`, `standard` or `strict` says so for all, and "
    "`admission.rules` or `--rule` for one",
    "P4": "the annotation `ray.io/admission-skip` names rules that the object is not held to, as in `RV02,GPU05`. What "
    "it spares is told, and so is what it cannot: what the reference refuses, an id that there is not, or anything "
    "where the operator's owner does not allow skips. Correct the ids, or take the annotation away when its reason is "
    "gone",
    "P5": "a warning is one line of at most 256 characters, and of more than ten the others are counted",
    "P6": "an object in deletion is asked nothing, and one of which only metadata changed only rules about metadata",
    "P7": "what was wrong before an update and still is only warns",
    "P8": "the operator, the autoscaler and Kueue are never kept from writing",
    "P9": "no rule asks the network: what one says rests on the object, the settings and the operator's caches",
    "P10": "objects that MultiKueue sends elsewhere are not judged by gates and objects of this cluster",
    "P11": "defaults are filled in before rules are asked, only where a field is absent, and never in what exists",
    "P12": "a cluster is judged alike wherever it stands: alone, or in a job, a service or a cron job",
}
