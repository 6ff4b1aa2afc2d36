"""What the rules about versions of Ray and about images are (spec admission §4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from api.v1.rules.entry import Entry

__all__ = ["ELSEWHERE", "ENTRIES"]

ENTRIES: Final[Mapping[str, Entry]] = {
    "RV01": Entry(
        "`rayVersion` is unset, the head image says which Ray it holds, and the operator was told not to fill it in.",
        "Health probes, submission options and the checks of features go by `rayVersion`; unset, the oldest way is "
        "taken.",
        "Write the version of the image into `rayVersion`.",
    ),
    "RV02": Entry(
        "`rayVersion` and the head image's tag name different releases of Ray. Another patch or a pre-release warns "
        "only, and so does the tag of a repository that is not `rayproject`'s, unless it reads as Ray's own do "
        "(`2.52.0-py311`).",
        "`rayVersion` chooses probes, submission options and checks. A wrong one misleads silently: a healthy pod may "
        "fail "
        "its probes.",
        "Write into `rayVersion` what the image holds, or change the image; where the tag tells no version of Ray, "
        "annotate the head's pod template with `ray.io/image-ray-version`.",
    ),
    "RV03": Entry(
        "The image of a worker group holds another Ray than the head's.",
        "Ray lets no node join whose version differs: the worker's pods restart for ever.",
        "Use one image, or images of one release, in all groups.",
    ),
    "RV04": Entry(
        "The tags of head and worker name different Pythons (`-py310`, `-py311`), or one names a Python that images of "
        "that "
        "Ray without such a suffix do not hold (a warning).",
        "What one Python pickles another cannot read: tasks fail, or the worker does not join.",
        "Give all images the same `-py…` suffix.",
    ),
    "RV05": Entry(
        "`rayVersion` is not a version, or is `nightly` or `latest`.",
        "It counts as unset: features are judged, and probes chosen, as for the oldest Ray.",
        "Write a release, such as `2.52.0`.",
    ),
    "RV06": Entry(
        "Some groups run a release and others a build of the day (`nightly`, `latest`, a commit), or different ones.",
        "They will hold different versions sooner or later, and then workers do not join.",
        "Use one image in all groups.",
    ),
    "RV07": Entry(
        "Groups name different digests of one repository, without tags.",
        "Nothing says that they hold the same Ray.",
        "Name the tag beside the digest (`ray:2.52.0@sha256:…`), or use one digest.",
    ),
    "RV08": Entry(
        "Nothing tells the version of Ray, and something is chosen by it; or an image is a placeholder such as "
        "`$IMAGE` "
        "that nobody has replaced.",
        "The operator must guess: the form of health probes, the version of the autoscaler.",
        "Set `rayVersion`; or put the annotation `ray.io/image-ray-version` on the head's pod template; or let the "
        "operator's owner list the image under `admission.imageVersions`.",
    ),
    "RV09": Entry(
        "`autoscalerOptions.image` holds another Ray than the head's image.",
        "The autoscaler talks to the head in its own version's words, and crashes or misreads the answers.",
        "Leave `autoscalerOptions.image` out: the head's image is used then.",
    ),
    "RV10": Entry(
        "The image of `submitterPodTemplate` holds another minor release of Ray than the head.",
        "Options of the submit command follow `rayVersion`; an older client may not know them.",
        "Use the head's image for the submitter, or leave it out.",
    ),
    "RV11": Entry(
        "As RV10, where `clusterSelector` names a RayCluster that the operator knows.",
        "As RV10.",
        "Use an image of the cluster's release for the submitter.",
    ),
    "RV12": Entry(
        "Several groups use an image whose tag floats (`latest`, `nightly`) with `imagePullPolicy: IfNotPresent`.",
        "Each node keeps the build that it pulled first, so that nodes hold different ones.",
        "Name a release, or set `imagePullPolicy: Always`.",
    ),
    "RV13": Entry(
        "An image was built for another processor than `nodeSelector` asks for, is a CPU build in a container with a "
        "GPU, or "
        "a TPU build in one without. A `ray` image without suffix is a CPU build.",
        "The container does not start, or finds no device.",
        "Use the image with the right suffix: `-gpu`, `-cu…`, `-tpu`, `-aarch64`.",
    ),
    "RV14": Entry(
        "`rayVersion` or an image of a RayService changes while its upgrade strategy rolls nothing out.",
        "The cluster stays as it is: the change shows nowhere.",
        "Set `upgradeStrategy.type: NewCluster`.",
    ),
    "RV15": Entry(
        "The images of some groups of a running RayCluster change, and others stay.",
        "Nothing happens until pods restart, and then the groups run different versions.",
        "Change all groups at once with `upgradeStrategy.type: Recreate`, or make a new cluster.",
    ),
    "MV04": Entry(
        "Autoscaler v2 is chosen, and Ray is older than 2.10 (refused) or 2.46 (a warning).",
        "It does not exist before 2.10, and many mends came until 2.46.",
        "Use a newer Ray, or `autoscalerOptions.version: v1`.",
    ),
    "MV06": Entry(
        "A worker group has `idleTimeoutSeconds`, and Ray is older than 2.10.",
        "Only autoscaler v2 reads it.",
        "Use a newer Ray, or set the time-out for the whole cluster in `autoscalerOptions`.",
    ),
    "MV07": Entry(
        "GCS fault tolerance is asked for, and Ray is older than 2.0.",
        "It has none.",
        "Use a newer Ray.",
    ),
    "MV08": Entry(
        "`gcsFaultToleranceOptions.redisUsername` is set, and Ray is older than 2.41.",
        "It logs in with a password only.",
        "Use a newer Ray, or let Redis accept the default user.",
    ),
    "MV09": Entry(
        "The `rocksdb` backend is chosen, and Ray is older than 2.57.",
        "Such a Ray knows only Redis, and would keep nothing.",
        "Use a newer Ray, or `backend: redis`.",
    ),
    "MV10": Entry(
        "A RayJob has `metadata`, and `rayVersion` is older than 2.6.0, a pre-release or not made of plain numbers. "
        "Only in "
        "K8sJobMode and SidecarMode.",
        "The submit command cannot be built, and the job would wait for ever.",
        "Write a plain release into `rayVersion`, or leave `metadata` out.",
    ),
    "MV11": Entry(
        "A group has no `rayStartParams`, the cluster has an autoscaler, and that is of a Ray before 2.45.",
        "That autoscaler crashes on the missing key.",
        "Write `rayStartParams: {}`. With the mutating webhook that is done for you.",
    ),
    "MV12": Entry(
        "A group has `resources` or `labels` of its own, and the autoscaler is of a Ray before 2.49.",
        "It does not read them, and scales by what the containers ask for.",
        "Use a newer Ray, or say it in `rayStartParams`.",
    ),
    "MV13": Entry(
        "SidecarMode with the gate `SidecarSubmitterRestart`, and Ray is older than 2.54.",
        "A restarted submitter could not find its job again.",
        "Use a newer Ray.",
    ),
    "MV14": Entry(
        "`historyServerOptions` is set, and Ray is older than 2.55.",
        "It sends no events that the collector could keep.",
        "Use a newer Ray.",
    ),
    "MV15": Entry(
        "A RayService has `serveConfigV2`, and Ray is older than 2.4.",
        "Its Serve knows one application only, in another form.",
        "Use a newer Ray.",
    ),
    "MV16": Entry(
        "Ray is older than the oldest one that the operator's owner wants to see (`admission.lowestRay`, 2.9.0).",
        "Nobody tries the operator with older ones.",
        "Use a newer Ray.",
    ),
}

ELSEWHERE: Final[Mapping[str, str]] = {
    "MV01": "C15 says it: the reference enforces it",
    "MV02": "C52 says it: the reference enforces it",
    "MV03": "C53 says it: the reference enforces it",
    "MV05": "which autoscaler runs where `autoscalerOptions.version` is unset goes by the version of Ray (v2 from "
    "2.47.0 on); what breaks by that, a `restartPolicy` that is not `Never`, is RP09",
}
