"""What the rules about names, ports and replicas are (spec admission §4.5, §4.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from api.v1.rules.entry import Entry

__all__ = ["ELSEWHERE", "ENTRIES"]

ENTRIES: Final[Mapping[str, Entry]] = {
    "NM02": Entry(
        "The name of a RayCronJob is no RFC 1035 label.",
        "Its RayJobs are named after it, and M4 refuses each of them: no tick ever runs.",
        "Use lower case letters, digits and `-`, first a letter, last a letter or digit.",
    ),
    "NM03": Entry(
        "What the API server would make of `generateName` (58 characters of it at most, and five more) is too long "
        "for the kind, or no RFC 1035 label.",
        "The object would be refused when it is created; offline nobody else looks at a name that is not there yet.",
        "Shorten the prefix, and begin it with a small letter.",
    ),
    "NM04": Entry(
        "Two worker groups inside a RayJob, a RayService or a RayCronJob have the same name. In a RayCluster M11 "
        "says so.",
        "The cluster is refused where the webhook stands, and its parent tries for ever; where it does not, the "
        "groups delete each other's pods.",
        "Give each group a name of its own.",
    ),
    "NM05": Entry(
        "The names of two worker groups differ in upper and lower case only.",
        "Pod names and Kueue's pod sets are lower-cased: nobody can tell the pods apart, and Kueue refuses it.",
        "Give one of them another name.",
    ),
    "NM06": Entry(
        "A worker group has no name, one that cannot be a label's value, or (a warning) one with capitals, `_` or `.`.",
        "The name is the value of the label `ray.io/group` and a part of pod names. One with capitals works until a "
        "network policy is wanted.",
        "Use lower case letters, digits and `-`, 63 characters at most.",
    ),
    "NM07": Entry(
        "A worker group is called `headgroup`, or (a warning) `head`, `submitter` or `submittergroup`.",
        "`headgroup` is the head's own group: the autoscaler mistakes one for the other. The other names Kueue "
        "gives to pod sets of its own.",
        "Rename the group.",
    ),
    "NM08": Entry(
        "The names of cluster and group together have more than 50 characters. Clusters inside a RayJob or a "
        "RayService have six characters more than their parent, those of a RayCronJob fifteen.",
        "Pod names keep 50 of them, so that the group can no longer be read from a pod's name, and two groups may "
        "look alike.",
        "Shorten the name of the object, or that of the group.",
    ),
    "NM09": Entry(
        "An object with the label `kueue.x-k8s.io/queue-name` has more than seven worker groups.",
        "Kueue takes eight pod sets at most, the head among them, and refuses the object or never admits it.",
        "Join groups that are alike, or take the label away.",
    ),
    "NM10": Entry(
        "`headService.metadata.name` is no RFC 1035 label, or the name of another Service that the operator makes "
        "for the object.",
        "The head Service cannot be made, or two things fight over one: workers never find the head.",
        "Leave the name out, or choose one that is free.",
    ),
    "NM11": Entry(
        "`serveService.metadata.name` is no RFC 1035 label, or that of the RayService's head Service.",
        "The Service before the applications cannot be made.",
        "Leave the name out, or choose one that is free.",
    ),
    "NM12": Entry(
        "Two ports of the head or of a Service before it have one name, or one number and protocol (also 8080, which "
        "the operator adds as `metrics`); two ports of a worker have one name; a port name has more than 15 "
        "characters. Warnings: a known name (`dashboard`, `client`, `gcs-server`, ...) at another port than Ray "
        "listens at, no port `serve` where a serve Service is expected.",
        "Kubernetes refuses a Service or a pod with such ports, and then nobody finds the head. The others lead to a "
        "port where nobody answers.",
        "Give each port a name and a number of its own, and let start parameters and ports agree.",
    ),
    "NM13": Entry(
        "A pod template sets `ray.io/cluster`, `ray.io/node-type` or `ray.io/group`, or the head's template another "
        "label that the head Service selects by.",
        "The first three are the operator's and overwritten. With another value of the rest the Service finds no head.",
        "Leave these labels out.",
    ),
    "NM14": Entry(
        "The label `volcano.sh/network-topology-highest-tier-allowed` is no integer. Without the label of the "
        "topology mode nobody reads it, and it is a warning.",
        "The batch scheduler's PodGroup cannot be made, and the operator tries for ever.",
        "Write an integer, such as `2`.",
    ),
    "NM15": Entry(
        "A pod template has a container with a name that the operator gives to one of its own: `autoscaler`, "
        "`wait-gcs-ready`, `wait-for-tls-ip-san`, `ray-job-submitter` in SidecarMode, or a sidecar of the "
        "operator's settings; each only while the operator would add it.",
        "A pod cannot have two containers of one name: it is refused.",
        "Rename the container.",
    ),
    "NM16": Entry(
        "The head's address, `<head service>.<namespace>.svc.<cluster domain>`, has more than 253 characters, or "
        "the operator's `CLUSTER_DOMAIN` is no DNS name.",
        "Workers look for the head under this name, and certificates carry it.",
        "Shorten the names, or have `CLUSTER_DOMAIN` put right.",
    ),
    "RP02": Entry(
        "`replicas` of a worker group lies beyond `minReplicas` or `maxReplicas`. Zero is passed over: it is what "
        "the schema writes where nobody said anything.",
        "The operator keeps to the bounds, so the number is not the one that runs.",
        "Choose `replicas` between the two, or move the bound.",
    ),
    "RP03": Entry(
        "`replicas` is negative.",
        "It is a count of pods.",
        "Write 0 or more.",
    ),
    "RP04": Entry(
        "`numOfHosts` is less than 1.",
        "A replica of no pods is never there, and the cluster never ready.",
        "Write 1, or leave it out; `replicas: 0` makes none.",
    ),
    "RP05": Entry(
        "Autoscaling is on, `maxReplicas` of a group is 0, and `replicas` is not.",
        "Not one of them may start.",
        "Raise `maxReplicas`, or set `replicas` to 0.",
    ),
    "RP06": Entry(
        "Autoscaling is on, and every worker group has `minReplicas` equal to `maxReplicas`.",
        "The autoscaler runs beside the head and can do nothing.",
        "Leave a group room between the two, or turn autoscaling off.",
    ),
    "RP07": Entry(
        "Autoscaling is on, and there is no worker group.",
        "There is nothing to scale, and some releases of the autoscaler fail where the list is absent.",
        "Add a worker group, or turn autoscaling off.",
    ),
    "RP08": Entry(
        "Inside a RayJob, a RayService or a RayCronJob: `autoscalerOptions.version` is `v1`, and the "
        "`restartPolicy` of a worker group is not `Never`. In a RayCluster C65 says so.",
        "Kubelet starts again what the autoscaler has ended.",
        "Leave `restartPolicy` out, or set it to `Never`.",
    ),
    "RP09": Entry(
        "Autoscaling is on, nobody chose a version of the autoscaler, Ray is 2.47.0 or newer and so takes v2, and "
        "the `restartPolicy` of a group is not `Never`.",
        "A Ray node that kubelet restarts is a lost one to autoscaler v2, which starts another beside it.",
        "Leave `restartPolicy` out, or set it to `Never`.",
    ),
    "RP11": Entry(
        "Somebody else than the autoscaler writes `scaleStrategy.workersToDelete` while autoscaling is on.",
        "The autoscaler writes the list as a whole: what others put there it takes away, or deletes the wrong workers.",
        "Lower `replicas` or `maxReplicas`, and let the autoscaler choose.",
    ),
    "RP12": Entry(
        "`autoscalerOptions` are given, and `enableInTreeAutoscaling` is not true.",
        "Nobody reads them.",
        "Turn autoscaling on, or leave them out.",
    ),
    "RP13": Entry(
        "The cluster wants more pods than the operator's owner allows (`admission.mostPods`; without that the rule "
        "is off).",
        "One typo in `replicas` can fill a Kubernetes cluster.",
        "Lower `replicas` or `numOfHosts`, or ask for a higher cap.",
    ),
}

ELSEWHERE: Final[Mapping[str, str]] = {
    "NM01": "M1 to M7",
    "RP01": "C6 to C9",
}
