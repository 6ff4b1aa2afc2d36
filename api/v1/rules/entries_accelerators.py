"""What the rules about accelerators and resources are (spec admission §4.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from api.v1.rules.entry import Entry

__all__ = ["ELSEWHERE", "ENTRIES"]

ENTRIES: Final[Mapping[str, Entry]] = {
    "GPU01": Entry(
        "A container asks for an accelerator with a request and a limit that differ.",
        "Kubernetes gives out whole devices and refuses such a pod.",
        "Leave the request out: it follows the limit.",
    ),
    "GPU02": Entry(
        "A container has a request for an accelerator, and no limit.",
        "Kubernetes refuses such a pod, and the operator announces limits only.",
        "Write the amount under `limits`.",
    ),
    "GPU04": Entry(
        "An amount of an accelerator is no whole number (`0.5`, `500m`).",
        "Kubernetes counts devices and refuses such a pod.",
        "Ask for whole ones; a Ray task may take a part (`num_gpus=0.5`), or a sharing scheduler may deal them out.",
    ),
    "GPU05": Entry(
        "`num-gpus` is more than the GPU limit of the Ray container; or it is set, and there is no limit (a warning).",
        "Ray schedules more tasks onto GPUs than there are.",
        "Leave `num-gpus` out: it follows the limit. A GPU under another name the operator's owner may list in "
        "`admission.gpuKeys`.",
    ),
    "GPU06": Entry(
        "`num-gpus` is less than the GPU limit of the Ray container, and not 0.",
        "The other GPUs are reserved and never used.",
        "Leave `num-gpus` out, or lower the limit.",
    ),
    "GPU07": Entry(
        "A worker group has a GPU limit, and `num-gpus` is 0.",
        "Its GPUs are reserved, and nothing will be scheduled on them.",
        "Leave `num-gpus` out, or take the limit away.",
    ),
    "GPU08": Entry(
        "The head has a GPU limit and no `num-gpus`, and there are worker groups.",
        "Tasks land on the head and compete with what runs the cluster.",
        'Set `num-gpus: "0"` on the head, or give it no GPU; or `num-gpus` to their number, if tasks are meant to '
        "take them.",
    ),
    "GPU09": Entry(
        "The head has no accelerator limit and no `num-gpus`, and selects or tolerates nodes with GPUs.",
        "Ray counts the GPUs that it sees on the node, and uses what belongs to other pods.",
        'Set `num-gpus: "0"` on the head, or take the selector or toleration away.',
    ),
    "GPU10": Entry(
        "The Ray container has limits for several kinds of GPU or slices, or for both TPU and neuron cores.",
        "Only the first of them is announced to Ray.",
        "Give each kind a worker group of its own.",
    ),
    "GPU11": Entry(
        "A sidecar or init container has a limit for an accelerator, and the Ray container (the first) has none.",
        "Ray gets no device.",
        "Move the limit to the first container.",
    ),
    "GPU13": Entry(
        "Devices come by resource claims, and `num-gpus` is unset.",
        "Ray cannot see them, and announces none.",
        "Set `num-gpus`.",
    ),
    "GPU14": Entry(
        "The Ray container has a limit for MIG slices, and neither `num-gpus` nor group-level `resources` are set. "
        "Where an autoscaler is to start the first node of the group, and not for a custom resource, that is refused.",
        "The autoscaler takes only keys that end in `gpu` for GPUs: it sees none here and never scales the group. "
        "Profiles "
        "with a suffix (`mig-1g.10gb.me`) the operator does not see either.",
        "Set `num-gpus` to the number of slices.",
    ),
    "GPU15": Entry(
        "The Ray container has a limit for memory or cores of a shared GPU, and `num-gpus` is unset.",
        "That is no GPU to Ray, and none is announced.",
        'Set `num-gpus: "1"`.',
    ),
    "GPU16": Entry(
        "`num-cpus`, `num-gpus` or `memory` in `rayStartParams` is no whole number, or negative. Without an autoscaler "
        "shell variables pass, and it only warns where the user's command replaces `ray start`.",
        "The autoscaler crashes on it, or `ray start` refuses it.",
        "Write a whole number; `memory` in bytes.",
    ),
    "GPU17": Entry(
        "`rayStartParams.resources` is not a JSON object of names and numbers inside quotes of its own, names CPU, GPU "
        "or "
        "memory, or counts in fractions while there is an autoscaler (a warning).",
        "The shell, Ray and the autoscaler each read it, and one of them fails.",
        'Write it like this: `resources: \'"{\\"name\\": 1}"\'`.',
    ),
    "GPU18": Entry(
        "There is an autoscaler, and a group has no CPU limit, no CPU request and no `num-cpus`.",
        "The autoscaler raises an error, and the head's pod restarts for ever.",
        "Set a CPU limit, or `num-cpus`.",
    ),
    "GPU19": Entry(
        "`numOfHosts` of a TPU group does not fit its topology; or, with an autoscaler, one of the node selectors "
        "`gke-tpu-accelerator` and `gke-tpu-topology` is missing.",
        "The slice is never complete; without both selectors the autoscaler starts none for a task that asks for a "
        "whole one.",
        "Set `numOfHosts` to the chips of the topology divided by the chips of a pod, and both selectors.",
    ),
    "GPU20": Entry(
        "A pod asks for a number of TPU chips that no machine has.",
        "It will not be scheduled.",
        "Ask for 1, 2, 4 or 8.",
    ),
    "GPU21": Entry(
        "The Ray container has a limit for `aws.amazon.com/neuron`, and nothing names `neuron_cores`.",
        "Only `aws.amazon.com/neuroncore` is announced to Ray.",
        "Ask for `neuroncore`, or name `neuron_cores` in `rayStartParams.resources`.",
    ),
    "GPU22": Entry(
        "Group-level `resources` hold what is no quantity, or two keys for GPUs (both refused), or contradict the "
        "limits of "
        "the Ray container (a warning).",
        "What cannot be read is left out, of two keys either counts, and Ray believes the group rather than the "
        "container.",
        "Write quantities, one key for GPUs, and what the container has.",
    ),
    "GPU23": Entry(
        "`entrypointNumGpus` or `entrypointNumCpus` is more than any group has, or `entrypointResources` names what no "
        "group "
        "offers.",
        "The entrypoint runs on one node, and waits for one that has all of it for ever.",
        "Ask for what one node has, or let the tasks ask for it.",
    ),
    "GPU24": Entry(
        "A group has GPUs and no toleration for the taints that the operator's owner lists (`admission.gpuTaints`).",
        "Its pods will not be scheduled. Objects in a queue of Kueue get their tolerations there.",
        "Add the toleration.",
    ),
    "GPU25": Entry(
        "A group selects or tolerates nodes with GPUs, and asks for no accelerator.",
        "Its pods may fill nodes that others need for their GPUs.",
        "Take the selector or toleration away, or ask for the GPU.",
    ),
    "GPU26": Entry(
        "A node selector names a GPU that is not among the products that the operator's owner lists "
        "(`admission.gpuProducts`).",
        "No node has it: the pods stay pending.",
        "Choose one that there is.",
    ),
    "GPU27": Entry(
        "A worker group with GPUs has no `maxReplicas`, and there is an autoscaler.",
        "Nothing bounds what it may ask for, or what that costs.",
        "Set `maxReplicas`.",
    ),
    "GPU28": Entry(
        "A worker group takes GPUs at once, and no queue is named.",
        "A house rule, for clusters where all GPUs are to be queued for; off unless turned on.",
        "Name a queue (`kueue.x-k8s.io/queue-name`).",
    ),
    "GPU29": Entry(
        "A group has several hosts per replica, and no batch scheduler is named.",
        "Half a replica may be placed and wait for the other half. Off unless turned on.",
        "Name a scheduler that places them together.",
    ),
    "GPU30": Entry(
        "A container's limit for CPU or memory is less than its request.",
        "Kubernetes refuses such a pod.",
        "Raise the limit, or lower the request.",
    ),
    "GPU31": Entry(
        "The Ray container asks for neither CPU nor memory.",
        "Ray counts the whole node as its own, and Kubernetes puts other pods there as well.",
        "Set requests and limits for both.",
    ),
    "GPU32": Entry(
        "The head's Ray container has no memory limit.",
        "Ray takes the memory of the node for its own, and the head ends when the node runs out of it.",
        "Set a memory limit; 8Gi is a good start.",
    ),
}

ELSEWHERE: Final[Mapping[str, str]] = {
    "GPU03": "a limit without a request is right: Kubernetes copies it",
    "GPU12": "a sharing scheduler (KAI, HAMi, time slices) that a pod template asks for by its annotations or labels "
    "deals out parts of a GPU, so GPU05 to GPU09, which compare `num-gpus` with limits, say nothing of it",
}
