"""What the rules are that the reference has as well (spec admission §2): refused at reconcile, with its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from api.v1.rules.entry import Entry

__all__ = ["ELSEWHERE", "ENTRIES"]

_NAME_LENGTH: Final = "Kubernetes names have at most 63 characters, and children append to the name: a suffix must fit."
_NAME_LABEL: Final = "Services are named after it, and their names are RFC 1035 labels."
_LABEL_FORM: Final = "Use lower case letters, digits and `-`, a letter first and no `-` last."
_TIMEOUT: Final = "The time-out could not be kept."
_ONE_PLACE: Final = "Two places would say the same thing, and might contradict each other."
_OPTIONS_SAY: Final = "With `gcsFaultToleranceOptions` the operator sets it itself."
_ALPHA: Final = "The feature is behind a gate that is off."
_TURN_ON: Final = "Leave the field out, or have the operator's owner turn the gate on."
_OPERATORS: Final = "The operator sets it itself."
_COUNT: Final = "It is a count, or a time."
_NOT_NEGATIVE: Final = "Write 0 or more."
_NEEDS_V2: Final = "Only autoscaler v2 reads it."
_TAKE_V2: Final = "Set `autoscalerOptions.version: v2`."
_RESTARTED: Final = "A Ray node that kubelet restarts is a lost one to the autoscaler, which starts another beside it."
_NEVER: Final = "Leave `restartPolicy` out, or set it to `Never`."
_OTHERS_CLUSTER: Final = "A RayJob with `clusterSelector` runs on a cluster that is not its own, and may not delete it."
_TOKENS: Final = "What submits jobs or puts Serve configurations has no Kubernetes token to show."

_METADATA: Final[Mapping[str, Entry]] = {
    "M1": Entry("The name of a RayCluster has more than 53 characters.", _NAME_LENGTH, "Shorten it."),
    "M2": Entry("The name of a RayCluster is no RFC 1035 label.", _NAME_LABEL, _LABEL_FORM),
    "M3": Entry("The name of a RayJob has more than 47 characters.", _NAME_LENGTH, "Shorten it."),
    "M4": Entry("The name of a RayJob is no RFC 1035 label.", _NAME_LABEL, _LABEL_FORM),
    "M5": Entry("The name of a RayService has more than 47 characters.", _NAME_LENGTH, "Shorten it."),
    "M6": Entry("The name of a RayService is no RFC 1035 label.", _NAME_LABEL, _LABEL_FORM),
    "M7": Entry("The name of a RayCronJob has more than 36 characters.", _NAME_LENGTH, "Shorten it."),
    "M8": Entry(
        "The annotation `ray.io/initializing-timeout` is a duration of zero or less.",
        _TIMEOUT,
        "Write a positive duration, such as `5m`.",
    ),
    "M9": Entry(
        "The annotation `ray.io/initializing-timeout` is a number of seconds of zero or less.",
        _TIMEOUT,
        "Write a positive number of seconds.",
    ),
    "M10": Entry(
        "The annotation `ray.io/initializing-timeout` is neither a duration nor a number of seconds.",
        _TIMEOUT,
        "Write `30s`, `5m`, `1h30m`, or a number of seconds.",
    ),
    "M11": Entry(
        "Two worker groups have the same name.",
        "Their pods cannot be told apart: the operator starts and deletes them in turn.",
        "Give each group a name of its own.",
    ),
}

_GROUPS: Final[Mapping[str, Entry]] = {
    "C1": Entry("The head's pod template has no container.", "The first container runs Ray.", "Add one."),
    "C2": Entry(
        "The head has group-level `resources` and also `num-cpus`, `num-gpus`, `memory` or `resources` in "
        "`rayStartParams`.",
        _ONE_PLACE,
        "Keep one of them.",
    ),
    "C3": Entry(
        "`rayStartParams` of the head has the key `labels`.",
        "The parameter is made of the group's field `labels`.",
        "Use `headGroupSpec.labels`.",
    ),
    "C4": Entry(
        "A key or a value in `labels` of the head is none that Kubernetes accepts.",
        "They become labels of the pod, which would be refused.",
        "Use letters, digits, `-`, `_` and `.`, 63 characters at most.",
    ),
    "C5": Entry("A worker group's pod template has no container.", "The first container runs Ray.", "Add one."),
    "C6": Entry(
        "A worker group lacks `minReplicas` or `maxReplicas`, and there is no autoscaler.",
        "The number of pods could not be bounded. The schema fills both in, so only odd clients meet this.",
        "Set both `minReplicas` and `maxReplicas`.",
    ),
    "C7": Entry("`minReplicas` is negative.", _COUNT, _NOT_NEGATIVE),
    "C8": Entry("`maxReplicas` is negative.", _COUNT, _NOT_NEGATIVE),
    "C9": Entry("`minReplicas` is more than `maxReplicas`.", "No number fits.", "Exchange or mend them."),
    "C10": Entry(
        "C2, C3 or C4 for a worker group.", "As there.", "Say it in one place, and labels in the group's `labels`."
    ),
    "C11": Entry("`idleTimeoutSeconds` of a worker group is negative.", _COUNT, _NOT_NEGATIVE),
    "C12": Entry("A worker group has `idleTimeoutSeconds`, and autoscaler v2 is not chosen.", _NEEDS_V2, _TAKE_V2),
    "C13": Entry(
        "A worker group has a `priority`, and `rayVersion` is unset.",
        "Only Ray 2.56.0 and newer know priorities, and nothing tells which Ray this is.",
        "Set `rayVersion`.",
    ),
    "C14": Entry(
        "A worker group has a `priority`, and `rayVersion` is no version.",
        "Only Ray 2.56.0 and newer know priorities, and nothing tells which Ray this is.",
        "Write a release into `rayVersion`.",
    ),
    "C15": Entry(
        "A worker group has a `priority`, and Ray is older than 2.56.0.",
        "Such a Ray does not know priorities.",
        "Use a newer Ray, or leave `priority` out.",
    ),
    "C16": Entry("A worker group has a `priority`, and autoscaler v2 is not chosen.", _NEEDS_V2, _TAKE_V2),
    "C31": Entry(
        "A worker group is suspended, and the gate `RayJobDeletionPolicy` is off.",
        "Only the deletion rules of a RayJob suspend groups.",
        "Set `replicas: 0` instead.",
    ),
    "C33": Entry(
        "A worker group is suspended, and there is an autoscaler.",
        "The autoscaler would start its pods again.",
        "Set `maxReplicas: 0` instead, or turn the autoscaler off.",
    ),
}

_FAULT_TOLERANCE: Final[Mapping[str, Entry]] = {
    "C17": Entry(
        "The annotation `ray.io/ft-enabled` stands beside `gcsFaultToleranceOptions`.",
        _ONE_PLACE,
        "Use the options only.",
    ),
    "C18": Entry(
        "The head's environment has `RAY_REDIS_ADDRESS`, and fault tolerance is not asked for.",
        "Ray would turn fault tolerance on, and the operator would neither know nor clean up.",
        "Set `gcsFaultToleranceOptions.redisAddress`.",
    ),
    "C19": Entry(
        "`rayStartParams` has `redis-password` beside `gcsFaultToleranceOptions`.",
        _OPTIONS_SAY,
        "Use `gcsFaultToleranceOptions.redisPassword`.",
    ),
    "C20": Entry(
        "The head's environment has `REDIS_PASSWORD` beside `gcsFaultToleranceOptions`.",
        _OPTIONS_SAY,
        "Use `gcsFaultToleranceOptions.redisPassword`.",
    ),
    "C21": Entry(
        "The head's environment has `RAY_REDIS_ADDRESS` beside `gcsFaultToleranceOptions`.",
        _OPTIONS_SAY,
        "Use `gcsFaultToleranceOptions.redisAddress`.",
    ),
    "C22": Entry(
        "The annotation `ray.io/external-storage-namespace` stands beside `gcsFaultToleranceOptions`.",
        _OPTIONS_SAY,
        "Use `gcsFaultToleranceOptions.externalStorageNamespace`.",
    ),
    "C23": Entry("The backend is `rocksdb`, and the gate `GCSFaultToleranceEmbeddedStorage` is off.", _ALPHA, _TURN_ON),
    "C24": Entry(
        "The backend is `rocksdb`, and fields of Redis are set.", "They would have no effect.", "Leave them out."
    ),
    "C25": Entry(
        "`storage.claimName` stands beside `size`, `storageClassName` or `accessModes`.",
        "A claim that exists has all of these already.",
        "Keep the name, or the recipe of a new claim.",
    ),
    "C26": Entry(
        "The backend is `rocksdb`, and the head's environment has `RAY_gcs_storage` or `RAY_gcs_storage_path`.",
        _OPERATORS,
        "Leave the variable out.",
    ),
    "C27": Entry(
        "The backend is `rocksdb`, and the head has a volume mount named `gcs-storage` or at `/data/gcs`.",
        "The operator mounts its own there.",
        "Use another name and another path.",
    ),
    "C28": Entry(
        "The backend is `rocksdb`, and the head has a volume named `gcs-storage`.",
        "The operator adds its own of that name.",
        "Use another name.",
    ),
    "C29": Entry(
        "The backend is Redis, and `storage` is set.",
        "Redis brings its own storage.",
        "Leave `storage` out, or set `backend: rocksdb`.",
    ),
    "C30": Entry(
        "`redis-username` stands in `rayStartParams`, or `REDIS_USERNAME` in the head's environment.",
        _ONE_PLACE,
        "Use `gcsFaultToleranceOptions.redisUsername`.",
    ),
}

_AUTOSCALER: Final[Mapping[str, Entry]] = {
    "C32": Entry(
        "The head's environment turns autoscaler v2 on, and `enableInTreeAutoscaling` is not true.",
        "The head would wait for an autoscaler that nobody starts.",
        "Set `enableInTreeAutoscaling: true`, or leave the variable out.",
    ),
    "C34": Entry(
        "`autoscalerOptions.version` is set, and the head's environment has `RAY_enable_autoscaler_v2`.",
        _ONE_PLACE,
        "Keep `autoscalerOptions.version`.",
    ),
    "C35": Entry("With autoscaler v2, `restartPolicy` of the head is not `Never`.", _RESTARTED, _NEVER),
    "C36": Entry("With autoscaler v2, `restartPolicy` of a worker group is not `Never`.", _RESTARTED, _NEVER),
    "C37": Entry("`autoscalerOptions.idleTimeoutSeconds` is negative.", _COUNT, _NOT_NEGATIVE),
    "C38": Entry(
        "`autoscalerOptions.env` has `KUBERAY_GEN_AUTOSCALER_START_CMD`.", _OPERATORS, "Leave the variable out."
    ),
    "C65": Entry(
        "With autoscaler v1 chosen, `restartPolicy` of a worker group is not `Never`. A warning only.",
        _RESTARTED,
        _NEVER,
    ),
}

_HISTORY: Final[Mapping[str, Entry]] = {
    "C39": Entry("`historyServerOptions` is set, and the gate `RayClusterHistoryServer` is off.", _ALPHA, _TURN_ON),
    "C40": Entry(
        "`historyServerOptions` has no `collectorOptions`.", "Nothing else is in it.", "Set `collectorOptions`."
    ),
    "C41": Entry("The collector has no image.", "There is no default.", "Set `collectorOptions.image`."),
    "C42": Entry(
        "`collectorOptions.env` has a variable that the operator sets, such as `RAY_CLUSTER_NAME`.",
        _OPERATORS,
        "Leave the variable out.",
    ),
    "C43": Entry(
        "`collectorOptions.env` has no `STORAGE_BACKEND` with a literal value.",
        "The operator reads it to know what else is needed.",
        "Set it to `S3`, `GCS`, `AZUREBLOB`, `ALIYUNOSS` or what your collector knows.",
    ),
    "C44": Entry("The backend is `GCS`, and `GCS_BUCKET` is missing.", "Nothing could be kept.", "Set the variable."),
    "C45": Entry("The backend is `S3`, and `S3_REGION` is missing.", "Nothing could be kept.", "Set the variable."),
    "C46": Entry(
        "The backend is `AZUREBLOB`, and what its way of authentication needs is missing: a connection string, or an "
        "account URL.",
        "Nothing could be kept.",
        "Set `AZURE_STORAGE_CONNECTION_STRING` or `AZURE_STORAGE_ACCOUNT_URL`.",
    ),
    "C47": Entry(
        "The backend is `ALIYUNOSS`, and `OSS_BUCKET`, `OSS_ENDPOINT` or `OSS_REGION` is missing.",
        "Nothing could be kept.",
        "Set the variable.",
    ),
    "C49": Entry(
        "With `historyServerOptions`, a pod template has a container named `ray-history-collector`.",
        "The operator adds one of that name.",
        "Use another name.",
    ),
}

_SECURITY: Final[Mapping[str, Entry]] = {
    "C50": Entry(
        "`authOptions.mode` is `token`, and `rayVersion` is unset.",
        "Only Ray 2.52.0 and newer know tokens: an older one would run open to everybody.",
        "Set `rayVersion`.",
    ),
    "C51": Entry(
        "`authOptions.mode` is `token`, and `rayVersion` is no version.",
        "Only Ray 2.52.0 and newer know tokens: an older one would run open to everybody.",
        "Write a release into `rayVersion`.",
    ),
    "C52": Entry(
        "`authOptions.mode` is `token`, and Ray is older than 2.52.0.",
        "Such a Ray would run open to everybody.",
        "Use a newer Ray.",
    ),
    "C53": Entry(
        "`enableK8sTokenAuth` is set, and Ray is older than 2.55.0.",
        "Such a Ray does not ask the Kubernetes API.",
        "Use a newer Ray, or the shared token.",
    ),
    "C54": Entry(
        "`enableK8sTokenAuth` stands beside `secretName`.", "There is no shared token then.", "Keep one of them."
    ),
    "C55": Entry(
        "`enableK8sTokenAuth` is set, and `mode` is not `token`.", "It is a form of token auth.", "Set `mode: token`."
    ),
    "C56": Entry("`networkPolicy` is set, and the gate `RayClusterNetworkPolicy` is off.", _ALPHA, _TURN_ON),
    "C57": Entry(
        "`ingressRules` stand under the mode `DenyAllEgress`.", "Ingress is open in that mode.", "Use `DenyAll`."
    ),
    "C58": Entry(
        "`egressRules` stand under the mode `DenyAllIngress`.", "Egress is open in that mode.", "Use `DenyAll`."
    ),
    "C59": Entry(
        "With `networkPolicy`, the name of a worker group is no RFC 1123 label.",
        "It becomes part of a NetworkPolicy's name.",
        "Use lower case letters, digits and `-`.",
    ),
    "C60": Entry(
        "`networkPolicy.workerGroups` names a group that there is not.",
        "Its rules would go nowhere.",
        "Name a group of `workerGroupSpecs`.",
    ),
    "C61": Entry(
        "`tlsOptions` is set, even to `enabled: false`, and the gate `RayClusterMTLS` is off.", _ALPHA, _TURN_ON
    ),
    "C62": Entry(
        "With TLS, a Ray container has `RAY_USE_TLS` or a variable of Ray's certificates.",
        _OPERATORS,
        "Leave the variable out.",
    ),
    "C63": Entry(
        "With TLS, a Ray container has a volume mount named `ray-tls` or at `/etc/ray/tls`.",
        "The operator mounts the certificates there.",
        "Use another name and another path.",
    ),
    "C64": Entry("C62 or C63 for the autoscaler's container.", "As there.", "Leave it out."),
    "C66": Entry(
        "TLS is on, and the cluster does not serve `cert-manager.io/v1`.",
        "Nobody would make the certificates.",
        "Install cert-manager, or turn TLS off.",
    ),
}

_WHOLE_CLUSTER: Final[Mapping[str, Entry]] = {
    "C67": Entry(
        "`upgradeStrategy.type` of a RayCluster is neither `Recreate` nor `None`.",
        "There are no others.",
        "Use one of them.",
    ),
    "C68": Entry(
        "A RayCluster that a RayJob or RayService made has an `upgradeStrategy.type`.",
        "Its owner decides when it is replaced.",
        "Set the strategy of the owner.",
    ),
    "C69": Entry(
        "The status says that a RayCluster is being suspended and is suspended.",
        "Nothing that the operator writes.",
        "Remove one of the two conditions.",
    ),
}

_JOB: Final[Mapping[str, Entry]] = {
    "J1": Entry(
        "A RayJob is suspended, and `shutdownAfterJobFinishes` is false.",
        "Suspending deletes the cluster, and the job asked to keep it.",
        "Set `shutdownAfterJobFinishes: true`.",
    ),
    "J2": Entry("`ttlSecondsAfterFinished` is negative.", _COUNT, _NOT_NEGATIVE),
    "J3": Entry(
        "`ttlSecondsAfterFinished` is set, and `shutdownAfterJobFinishes` is false.",
        "It would have no effect.",
        "Set `shutdownAfterJobFinishes: true`.",
    ),
    "J4": Entry("`deletionStrategy` is set, and the gate `RayJobDeletionPolicy` is off.", _ALPHA, _TURN_ON),
    "J5": Entry("`deletionRules` stand beside `shutdownAfterJobFinishes: true`.", _ONE_PLACE, "Keep the rules."),
    "J6": Entry("`deletionRules` stand beside `onSuccess` or `onFailure`.", _ONE_PLACE, "Keep the rules."),
    "J7": Entry("`deletionStrategy` is empty.", "It says nothing.", "Give it rules, or leave it out."),
    "J8": Entry(
        "One of `onSuccess` and `onFailure` is missing.",
        "Both outcomes need an answer.",
        "Set both `onSuccess` and `onFailure`.",
    ),
    "J9": Entry("`onSuccess` or `onFailure` has no `policy`.", "It says nothing.", "Set the policy."),
    "J10": Entry(
        "A policy deletes the cluster or its workers, and `clusterSelector` is set.",
        _OTHERS_CLUSTER,
        "Use `DeleteSelf` or `DeleteNone`.",
    ),
    "J11": Entry(
        "The policy is `DeleteWorkers`, and the cluster has an autoscaler.",
        "The autoscaler would start them again.",
        "Use `DeleteCluster`.",
    ),
    "J12": Entry(
        "The policy is `DeleteNone`, and `shutdownAfterJobFinishes` is true.", _ONE_PLACE, "Keep one of them."
    ),
    "J13": Entry(
        "The condition of a deletion rule names both `jobStatus` and `jobDeploymentStatus`, or neither.",
        "It would never, or twice, be met.",
        "Name one; write two rules for two conditions.",
    ),
    "J14": Entry("`ttlSeconds` of a deletion rule is negative.", _COUNT, _NOT_NEGATIVE),
    "J15": Entry(
        "A deletion rule deletes the cluster or its workers, and `clusterSelector` is set.",
        _OTHERS_CLUSTER,
        "Use `DeleteSelf` or `DeleteNone`.",
    ),
    "J16": Entry(
        "A deletion rule has the policy `DeleteWorkers`, and the cluster has an autoscaler.",
        "The autoscaler would start them again.",
        "Use `DeleteCluster`.",
    ),
    "J17": Entry("Two deletion rules have the same condition and policy.", _ONE_PLACE, "Keep one of them."),
    "J18": Entry(
        "Of one condition, workers are to go after the cluster, or the cluster after the RayJob.",
        "What is deleted with the whole cannot be deleted after it.",
        "Order the times: `DeleteWorkers`, `DeleteCluster`, `DeleteSelf`.",
    ),
    "J19": Entry(
        "A RayJob with `clusterSelector` is suspended.",
        "The cluster, which is not its own, would stay.",
        "Do not suspend it.",
    ),
    "J20": Entry(
        "A RayJob has neither `rayClusterSpec` nor `clusterSelector`.", "It has nowhere to run.", "Set one of them."
    ),
    "J21": Entry(
        "`clusterSelector` has no `ray.io/cluster`.",
        "That label's value is the name that is looked for.",
        "Set `ray.io/cluster` to the name of the RayCluster.",
    ),
    "J22": Entry(
        "SidecarMode with `clusterSelector`.",
        "The submitter is a container of the head, which is there already.",
        "Use K8sJobMode or HTTPMode.",
    ),
    "J23": Entry("`backoffLimit` with `clusterSelector`.", "A retry makes a new cluster.", "Leave `backoffLimit` out."),
    "J24": Entry(
        "`backoffLimit` in InteractiveMode.", "Nobody would submit the job again.", "Leave `backoffLimit` out."
    ),
    "J25": Entry("SidecarMode with `submitterPodTemplate`.", "There is no submitter pod.", "Leave it out."),
    "J26": Entry("SidecarMode with `submitterConfig`.", "There is no submitter Job.", "Leave it out."),
    "J27": Entry(
        "SidecarMode, and `restartPolicy` of the head is not `Never`.", "A restarted head would submit again.", _NEVER
    ),
    "J28": Entry("A RayJob's cluster has `enableK8sTokenAuth`.", _TOKENS, "Use the shared token."),
    "J30": Entry(
        "`runtimeEnvYAML` is no YAML mapping.",
        "It is sent to Ray as one.",
        "Write a mapping, such as `pip: [requests]`.",
    ),
    "J31": Entry("`activeDeadlineSeconds` is not positive.", "The job would have no time.", "Write 1 or more."),
    "J32": Entry("`preRunningDeadlineSeconds` is not positive.", "The job would have no time.", "Write 1 or more."),
    "J33": Entry("`backoffLimit` is negative.", _COUNT, _NOT_NEGATIVE),
    "J34": Entry(
        "A RayJob waits for its user (`Waiting`), and its mode is not InteractiveMode.",
        "The mode was changed while it waited.",
        "Set `submissionMode: InteractiveMode` again.",
    ),
}

_SERVICE: Final[Mapping[str, Entry]] = {
    "V1": Entry("A RayService's cluster has `enableK8sTokenAuth`.", _TOKENS, "Use the shared token."),
    "V3": Entry(
        "`headService.metadata.name` is set in a RayService.",
        "Two clusters stand side by side during an upgrade, and would share it.",
        "Leave the name out.",
    ),
    "V4": Entry(
        "`upgradeStrategy.type` is none of `NewCluster`, `NewClusterWithIncrementalUpgrade` and `None`.",
        "There are no others.",
        "Use one of them.",
    ),
    "V5": Entry("`rayClusterDeletionDelaySeconds` is negative.", _COUNT, _NOT_NEGATIVE),
    "V6": Entry(
        "An incremental upgrade without an autoscaler.",
        "The new cluster grows as the traffic moves.",
        "Set `enableInTreeAutoscaling: true`.",
    ),
    "V7": Entry(
        "An incremental upgrade without `clusterUpgradeOptions`.",
        "Nothing says how far, how fast and through which Gateway.",
        "Set `gatewayClassName`, `stepSizePercent` and `intervalSeconds`.",
    ),
    "V8": Entry(
        "`maxSurgePercent` is not between 0 and 100.", "It is a share of the cluster.", "Write a number from 0 to 100."
    ),
    "V9": Entry(
        "`stepSizePercent` is missing, or not between 0 and 100.",
        "It is a share of the traffic.",
        "Write a number from 0 to 100.",
    ),
    "V10": Entry(
        "`stepSizePercent` is more than `maxSurgePercent`.", "Traffic would outrun capacity.", "Lower the step."
    ),
    "V11": Entry(
        "`intervalSeconds` is missing, or not positive.", "It is the time between two steps.", "Write 1 or more."
    ),
    "V12": Entry("`gatewayClassName` is empty.", "Traffic moves through a Gateway.", "Name the class."),
}

_CRON: Final[Mapping[str, Entry]] = {
    "N2": Entry("`schedule` names a time zone.", "There is a field for it.", "Use `timeZone`."),
    "N3": Entry(
        "`schedule` is no cron expression of five fields, and no descriptor such as `@daily`.",
        "Nothing says when to run.",
        "Write minute, hour, day of month, month and day of week: `30 6 * * mon-fri`.",
    ),
    "N4": Entry("`timeZone` is empty.", "It names no zone.", "Name one, or leave the field out."),
    "N5": Entry(
        "`timeZone` is not in the IANA database.", "Nothing says when to run.", "Write a name such as `Europe/Berlin`."
    ),
}

ENTRIES: Final[Mapping[str, Entry]] = {
    **_METADATA,
    **_GROUPS,
    **_FAULT_TOLERANCE,
    **_AUTOSCALER,
    **_HISTORY,
    **_SECURITY,
    **_WHOLE_CLUSTER,
    **_JOB,
    **_SERVICE,
    **_CRON,
}

ELSEWHERE: Final[Mapping[str, str]] = {
    "C48": "any other word in `STORAGE_BACKEND` is accepted: the collector may know it",
    "J29": "the rules C1 to C64, for the cluster inside a RayJob; they keep their ids",
    "J35": "accepted: JC16 warns",
    "V2": "the rules C1 to C64, for the cluster inside a RayService; they keep their ids",
    "V13": "accepted: RV14 and SV10 warn",
    "N1": "M7",
    "N6": "the rules J1 to J33, for the template of a RayCronJob; they keep their ids",
}
