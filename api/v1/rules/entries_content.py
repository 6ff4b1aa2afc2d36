"""What the rules about jobs, services and schedules are (spec admission §4.7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from api.v1.rules.entry import Entry

__all__ = ["ELSEWHERE", "ENTRIES"]

ENTRIES: Final[Mapping[str, Entry]] = {
    "JC01": Entry(
        "`entrypoint` is empty, the mode is not InteractiveMode, and no submitter has a command of its own.",
        "There is nothing to submit: the job fails once its cluster stands.",
        "Write the command line of the job.",
    ),
    "JC02": Entry(
        "`submissionMode` is none of `K8sJobMode`, `HTTPMode`, `SidecarMode` and `InteractiveMode`.",
        "The schema takes any word: the cluster is made, nothing is ever submitted, and the job runs until a deadline.",
        "Write `K8sJobMode`, `HTTPMode`, `SidecarMode` or `InteractiveMode`.",
    ),
    "JC03": Entry(
        "`entrypoint` is given in InteractiveMode.",
        "You submit the job yourself then; nobody reads it.",
        "Leave it out, or choose another mode.",
    ),
    "JC04": Entry(
        "`entrypoint` has a shell's control operator (`;`, `&&`, `|`, `&`, a line break) outside of quotes, in "
        "K8sJobMode or SidecarMode.",
        "The submitter's bash reads the line: what follows the operator runs in the submitter's container, not in "
        "the Ray job.",
        "Put all of it into `bash -c '...'`.",
    ),
    "JC05": Entry(
        "`entrypointResources` is no JSON object of numbers that are not negative.",
        "The submission fails.",
        "Write it as `'{\"accelerators\": 1}'`.",
    ),
    "JC06": Entry(
        "`entrypointNumCpus` or `entrypointNumGpus` is negative.",
        "Ray refuses the job.",
        "Write 0 or more.",
    ),
    "JC07": Entry(
        "`runtimeEnvYAML` has a top-level field that Ray does not know.",
        "Ray ignores it, so a misspelt `working_dir` is simply not there.",
        "Check the spelling against Ray's documentation of runtime environments.",
    ),
    "JC08": Entry(
        "`runtimeEnvYAML` has two of `pip`, `conda` and `uv`, or `env_vars` that are no map of texts; warnings: "
        "`working_dir` is a local folder in K8sJobMode, or a URI of no `.zip` or `.whl`.",
        "Ray refuses all but the local folder when the job starts, and looks for that in the submitter's container.",
        "Choose one installer, put numbers in `env_vars` into quotes, and give `working_dir` as a URI of an archive.",
    ),
    "JC09": Entry(
        "`jobId` is given together with `backoffLimit` above 0, and the cluster stores its state under a name of yours "
        "(`externalStorageNamespace`).",
        "Every retry submits under the same id, and its new cluster finds the failed job there.",
        "Leave `jobId` out: the operator chooses one for each try.",
    ),
    "JC10": Entry(
        "`submitterPodTemplate` has no container, or `restartPolicy: Always`.",
        "Kubernetes refuses such a Job, and the operator tries for ever.",
        "Give it a container, and `restartPolicy: Never` or `OnFailure`.",
    ),
    "JC11": Entry(
        "`submitterPodTemplate` or `submitterConfig` is given in HTTPMode or InteractiveMode.",
        "There is no submitter pod: nobody reads them.",
        "Leave them out, or choose K8sJobMode.",
    ),
    "JC13": Entry(
        "A deletion rule would act after a `DeleteSelf` rule for the same outcome. Where the policies have an "
        "order, J18 says so.",
        "The RayJob is gone by then, and nobody acts.",
        "Give `DeleteSelf` the largest `ttlSeconds`.",
    ),
    "JC14": Entry(
        "There are deletion rules for success but none for failure, or the other way round.",
        "After the other outcome the cluster stays, and costs, until somebody sees it.",
        "Add a rule for it: `DeleteNone` if the cluster is meant to stay.",
    ),
    "JC15": Entry(
        "`activeDeadlineSeconds` is not above `preRunningDeadlineSeconds`.",
        "Both count from the same moment, so the second never comes.",
        "Raise `activeDeadlineSeconds`, or lower the other.",
    ),
    "JC16": Entry(
        "`rayClusterSpec` and `clusterSelector` are both given.",
        "The selector wins, and the spec is not used; Kueue refuses both.",
        "Keep one of them.",
    ),
    "JC17": Entry(
        "The cluster inside another object has an `upgradeStrategy`; warnings: `suspend: true`, or another "
        "`managedBy` than the object around it.",
        "A cluster with `upgradeStrategy` that a RayJob or a RayService makes is refused (C68). A suspended one "
        "never starts, and one of another manager nobody looks after.",
        "Leave these fields to the object around the cluster.",
    ),
    "JC18": Entry(
        "`suspend` in InteractiveMode; or the label `kueue.x-k8s.io/queue-name` on a RayJob in InteractiveMode or "
        "without `shutdownAfterJobFinishes: true`.",
        "Who submits by hand does not see that the job is suspended, and Kueue does not admit the others.",
        "Choose another mode, and set `shutdownAfterJobFinishes: true`.",
    ),
    "JC19": Entry(
        "`entrypoint` has more than 64 KiB.",
        "It is an argument of a command, and Ray keeps it with the job: at some length neither works.",
        "Put the script into the image, into a ConfigMap or into `working_dir`.",
    ),
    "JB9": Entry(
        "A RayJob with `clusterSelector` has `shutdownAfterJobFinishes`, or a deletion strategy with `DeleteSelf` "
        "or `DeleteNone`.",
        "A cluster that is not the job's own is never deleted, and neither is the RayJob: the fields have no effect.",
        "Leave them out.",
    ),
    "SV01": Entry(
        "`serveConfigV2` is no YAML mapping.",
        "It is text to the API server: without this rule it fails only when the cluster stands and the applications "
        "are to be deployed.",
        "Check indentation and quotes of the text.",
    ),
    "SV02": Entry(
        "`applications` in `serveConfigV2` is no list, or the older form for one application is used (`import_path` "
        "at the top); a warning: there are no applications.",
        "Serve refuses the configuration, or has nothing to deploy.",
        "List the applications under `applications`.",
    ),
    "SV03": Entry(
        "An application has no `import_path`, or one that cannot be split into `module:attribute` or "
        "`module.attribute`; a warning: it looks like the path of a file.",
        "Serve cannot find the application.",
        "Write it as `module:app`.",
    ),
    "SV04": Entry(
        "Two applications have the same name or the same `route_prefix` (unset, they are `default` and `/`), a name "
        "is empty, or a "
        "`route_prefix` does not begin with `/`, ends with `/`, or has wildcards.",
        "Serve refuses the whole configuration.",
        "Give each application a name and a `route_prefix` of its own.",
    ),
    "SV05": Entry(
        "In a deployment: no name, `num_replicas` beside `autoscaling_config`, `min_replicas` above `max_replicas` "
        "(1 where it is unset), a number that is too small, `memory` with a unit; there or in the application: a "
        "`runtime_env` with a local path. Warnings: a name that another deployment of the application has, a key in "
        "camelCase.",
        "Serve refuses the whole configuration, or the application when it is deployed. Of two deployments of one name "
        "the last one counts.",
        "Correct the deployment; Ray Serve spells its keys `num_replicas`.",
    ),
    "SV06": Entry(
        "A replica wants more GPUs than a node of the largest group has, or an accelerator or a custom resource "
        "that no group offers.",
        "The replica waits for ever, and the service is never ready.",
        "Add a group that offers it, or ask for less.",
    ),
    "SV07": Entry(
        "`http_options.port` is not the head's container port `serve` (8000 where neither is said), or "
        "`proxy_location` leaves only the head a proxy while `excludeHeadPodFromServeSvc` is true; refused: "
        "`proxy_location` is none of Serve's.",
        "The serve Service sends requests where nobody listens.",
        "Let the two ports agree; use `proxy_location: EveryNode`.",
    ),
    "SV08": Entry(
        "`serveConfigV2` has a top-level field that Ray Serve does not know.",
        "It is ignored or refused, depending on the release.",
        "Check the spelling; Ray Serve spells its keys `http_options`.",
    ),
    "SV09": Entry(
        "`target_capacity` is set in `serveConfigV2` while upgrades are incremental.",
        "The operator shifts traffic by it, and overwrites it at each step.",
        "Leave it out.",
    ),
    "SV10": Entry(
        "`upgradeStrategy.type` is `NewClusterWithIncrementalUpgrade`, and the gate `RayServiceIncrementalUpgrade` "
        "is off. V3 to V12 are said by themselves.",
        "It then behaves as `None`: changes that need a new cluster are ignored.",
        "Use `NewCluster`, or have the gate turned on.",
    ),
    "SV11": Entry(
        "`rayClusterConfig.suspend` is true, and Kueue does not manage the object.",
        "The clusters of the service stay suspended, and nobody wakes them.",
        "Use `suspend` of the RayService itself.",
    ),
    "SV12": Entry(
        "No worker group may have a pod, and the head offers no CPU.",
        "No replica can run anywhere.",
        "Raise `maxReplicas` of a group, or `num-cpus` of the head.",
    ),
    "SV13": Entry(
        "`serveConfigV2` has more than 256 KiB or 30,000 values, or more than 32 KiB with anchors, aliases or tags.",
        "Whoever applies it waits while it is read, so none of the rules about its content is asked.",
        "Let Ray Serve judge it, or make several RayServices of it.",
    ),
    "CR02": Entry(
        "The schedule never comes round, as the 30th of February.",
        "No RayJob is ever made.",
        "Correct day and month.",
    ),
    "CR03": Entry(
        "The jobs of a RayCronJob keep their clusters: neither `shutdownAfterJobFinishes` nor a deletion strategy.",
        "Every tick leaves a cluster behind, until the quota is used up.",
        "Set `shutdownAfterJobFinishes: true`, or deletion rules.",
    ),
    "CR04": Entry(
        "The template of a RayCronJob has a `jobId`, and a `clusterSelector` or an `externalStorageNamespace` for its "
        "clusters; warnings: `suspend: true`, or a `clusterSelector` while a run may last until the next one.",
        "All runs under one id on one cluster, or in one storage, are one job to Ray: the second takes over the result "
        "of the first. Suspended jobs pile up, and runs on one cluster get in each other's way.",
        "Leave `jobId` and `suspend` out; set `activeDeadlineSeconds` below the time between two runs.",
    ),
    "CR05": Entry(
        "The operator's gate `RayCronJob` is off.",
        "The object is stored, and nothing happens.",
        "Start the operator with `--feature-gates=RayCronJob=true`.",
    ),
}

ELSEWHERE: Final[Mapping[str, str]] = {
    "JC12": "J1 to J18",
    "CR01": "M7 and N2 to N5, and J1 to J33 for the template",
}
