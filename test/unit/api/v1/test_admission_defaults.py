"""Defaults of admission: what each fills in, what it leaves alone, and that no object that exists is changed."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from api.v1.admission_defaults import RECORD, defaulted
from api.v1.rules.judging import judge
from api.v1.rules.model import Context
from api.v1.rules.places import CLUSTER_PATHS
from api.v1.rules.settings import AdmissionSettings
from controller.ray.desired.hashes import goal_hash
from localcluster.testing.ruled import CONTEXT, Changes, good
from localcluster.testing.shaped import KINDS, shaped_object

Json = dict[str, Any]
UNSET: Changes = {"rayVersion": "-"}
SCALED: Changes = {"enableInTreeAutoscaling": True}
QUEUED = {"kueue.x-k8s.io/queue-name": "team-a"}
ALL = AdmissionSettings(
    default_replicas=True,
    default_head_num_gpus=True,
    default_autoscaler_v2_from="2.48",
    default_shutdown_when_queued=True,
    default_requests=True,
    accelerator_tolerations={"nvidia.com/gpu": [{"key": "nvidia.com/gpu", "operator": "Exists"}]},
    default_labels={"team": "ml"},
)


def held_to(**settings: Any) -> Context:
    return replace(CONTEXT, admission=AdmissionSettings(**settings))


def made(new: Json, old: Json | None = None, context: Context = CONTEXT) -> Mapping[str, Any]:
    return defaulted(new["kind"], new, old, context)


def cluster(object_: Mapping[str, Any]) -> Any:
    node: Any = object_
    for step in CLUSTER_PATHS[object_["kind"]]:
        node = node[step]
    return node


def recorded(object_: Mapping[str, Any]) -> Any:
    return json.loads(object_["metadata"].get("annotations", {}).get(RECORD, "{}"))


@pytest.mark.spec("admission:D13")
@pytest.mark.parametrize("kind", sorted(CLUSTER_PATHS))
def test_what_the_schema_fills_in_the_webhook_leaves_to_it(kind: str) -> None:
    """Also where every default of ours is on: the CRD's are the API server's to write."""
    given = good(kind)
    for group in cluster(given)["workerGroupSpecs"]:
        for field in ("replicas", "minReplicas", "maxReplicas", "numOfHosts", "priority"):
            group.pop(field, None)

    filled = made(given, context=replace(CONTEXT, admission=ALL))

    groups = cluster(filled)["workerGroupSpecs"]
    assert [sorted({"replicas", "maxReplicas", "numOfHosts", "priority"} & group.keys()) for group in groups] == [
        [] for _ in groups
    ]
    assert {"backoffLimit", "ttlSecondsAfterFinished", "submissionMode"} & (
        filled["spec"].keys() - given["spec"].keys()
    ) == set()


@pytest.mark.spec("admission:D01", "admission:D12")
@pytest.mark.parametrize("kind", sorted(CLUSTER_PATHS))
def test_an_unset_version_is_that_of_the_head_image_and_recorded_as_a_default(kind: str) -> None:
    """In every kind, at its path there."""
    filled = made(good(kind, UNSET))

    assert cluster(filled)["rayVersion"] == "2.52.0"
    assert recorded(filled) == {".".join((*CLUSTER_PATHS[kind], "rayVersion")): "2.52.0"}


@pytest.mark.spec("admission:D01")
@pytest.mark.parametrize(
    "changes",
    [
        {"rayVersion": "2.46.0"},
        {**UNSET, "HC.image": "corp/train:2.52.0-py310"},
        {**UNSET, "HC.image": "rayproject/ray:2.52.0rc1"},
        {**UNSET, "HC.image": "rayproject/ray:nightly"},
        {**UNSET, "HC.image": "rayproject/ray:2.52"},
    ],
    ids=["chosen", "not surely Ray's", "pre-release", "floating", "no patch"],
)
def test_only_a_release_that_is_surely_there_is_filled_in(changes: Changes) -> None:
    """A wrong version is worse than none."""
    new = good(changes=changes)

    assert made(new) is new


@pytest.mark.spec("admission:D01")
def test_filling_in_the_version_can_be_turned_off() -> None:
    """RV01 tells then."""
    new = good(changes=UNSET)

    assert made(new, context=held_to(default_ray_version=False)) is new


@pytest.mark.spec("admission:D01")
def test_a_default_follows_a_new_image() -> None:
    """RV02 would stand in the way of a plain upgrade of the image otherwise."""
    old = dict(made(good(changes=UNSET)))
    new = deepcopy(old)
    for group in (cluster(new)["headGroupSpec"], cluster(new)["workerGroupSpecs"][0]):
        group["template"]["spec"]["containers"][0]["image"] = "rayproject/ray:2.53.0"

    filled = made(new, old)

    assert cluster(filled)["rayVersion"] == "2.53.0"
    assert recorded(filled) == {"spec.rayVersion": "2.53.0"}
    assert judge("RayCluster", filled, old, CONTEXT).allowed


@pytest.mark.spec("admission:D01")
def test_a_version_that_somebody_wrote_follows_nothing() -> None:
    """And is no default any more, should it later happen to be the same."""
    old = dict(made(good(changes=UNSET)))
    new = deepcopy(old)
    cluster(new)["rayVersion"] = "2.46.0"

    filled = made(new, old)

    assert cluster(filled)["rayVersion"] == "2.46.0"
    assert recorded(filled) == {}


@pytest.mark.spec("admission:D01")
@pytest.mark.parametrize("keeps_annotation", [True, False])
def test_a_default_that_a_client_leaves_out_comes_back(keeps_annotation: bool) -> None:
    """`kubectl replace` writes the file as it is: a RayService would get a new cluster for it."""
    old = dict(made(good("RayService", UNSET)))
    new = good("RayService", UNSET)
    if keeps_annotation:
        new["metadata"]["annotations"] = old["metadata"]["annotations"]

    filled = made(new, old)

    assert goal_hash(cluster(filled)) == goal_hash(cluster(old))
    assert recorded(filled) == recorded(old)


@pytest.mark.spec("admission:D02")
@pytest.mark.parametrize("kind", sorted(CLUSTER_PATHS))
def test_missing_start_parameters_are_an_empty_map(kind: str) -> None:
    """Older autoscalers crash on the missing key."""
    filled = made(good(kind, {"HEAD.rayStartParams": "-", "W.rayStartParams": None}))

    assert cluster(filled)["headGroupSpec"]["rayStartParams"] == {}
    assert cluster(filled)["workerGroupSpecs"][0]["rayStartParams"] == {}


@pytest.mark.spec("admission:D02")
def test_an_update_fills_in_start_parameters_of_groups_that_it_adds() -> None:
    """And of no others."""
    old = good(changes={"HEAD.rayStartParams": "-", "W.rayStartParams": "-"})
    new = deepcopy(old)
    new["spec"]["workerGroupSpecs"].insert(0, {**deepcopy(cluster(old)["workerGroupSpecs"][0]), "groupName": "more"})

    added, there = cluster(made(new, old))["workerGroupSpecs"]

    assert added["rayStartParams"] == {}
    assert "rayStartParams" not in there


@pytest.mark.spec("admission:D03")
def test_an_autoscaler_gets_a_list_of_groups() -> None:
    """Without one the absence stays."""
    assert cluster(made(good(changes={"workerGroupSpecs": "-", **SCALED})))["workerGroupSpecs"] == []
    without = good(changes={"workerGroupSpecs": "-"})
    assert made(without) is without


@pytest.mark.spec("admission:D04")
def test_replicas_begin_at_their_minimum_where_that_is_wanted() -> None:
    """The operator clamps in any case."""
    few = good(changes={"W.replicas": 0, "W.minReplicas": 2})

    assert cluster(made(few, context=held_to(default_replicas=True)))["workerGroupSpecs"][0]["replicas"] == 2
    assert made(few) is few


@pytest.mark.spec("admission:D05")
def test_a_head_beside_workers_announces_no_gpu_where_that_is_wanted() -> None:
    """One that works alone may need what it sees, and one that says something keeps it."""
    context = held_to(default_head_num_gpus=True)

    assert cluster(made(good(), context=context))["headGroupSpec"]["rayStartParams"] == {"num-gpus": "0"}
    says: list[Changes] = [
        {"workerGroupSpecs": []},
        {"HEAD.rayStartParams.num-gpus": "1"},
        {"HC.resources.limits.nvidia~com/gpu": "1"},
        {"HEAD.resources": {"GPU": "1"}},
    ]
    for changes in says:
        new = good(changes=changes)
        assert made(new, context=context) is new
    assert "num-gpus" not in cluster(made(good()))["headGroupSpec"]["rayStartParams"]


@pytest.mark.spec("admission:D06", "admission:AC-26")
def test_autoscaler_v2_is_chosen_from_a_ray_on_that_the_owner_names() -> None:
    """And recorded, for it hangs on the version."""
    context = held_to(default_autoscaler_v2_from="2.48")

    filled = made(good(changes={**SCALED, **UNSET}), context=context)

    assert cluster(filled)["autoscalerOptions"] == {"version": "v2"}
    assert recorded(filled) == {"spec.autoscalerOptions.version": "v2", "spec.rayVersion": "2.52.0"}
    for changes in (
        {},
        {**SCALED, "rayVersion": "2.47.0"},
        {**SCALED, "autoscalerOptions": {"version": "v1"}},
        {**SCALED, "HC.env": [{"name": "RAY_enable_autoscaler_v2", "value": "0"}]},
        {**SCALED, "W.template.spec.restartPolicy": "Always"},
    ):
        new = good(changes=changes)
        assert made(new, context=context) is new


@pytest.mark.spec("admission:D06")
def test_a_chosen_autoscaler_comes_back_and_goes_with_autoscaling() -> None:
    """As a version does."""
    context = held_to(default_autoscaler_v2_from="2.48")
    old = dict(made(good(changes=SCALED), context=context))

    assert cluster(made(good(changes=SCALED), old))["autoscalerOptions"] == {"version": "v2"}
    assert "autoscalerOptions" not in cluster(made(good(), old))


@pytest.mark.spec("admission:D07", "admission:D12")
@pytest.mark.parametrize("kind", ["RayJob", "RayCronJob"])
def test_a_submitter_that_says_nothing_is_never_restarted(kind: str) -> None:
    """Jobs refuse pods with the policy that Kubernetes would fill in."""
    new = good(kind)
    job = new["spec"] if kind == "RayJob" else new["spec"]["jobTemplate"]
    job["submitterPodTemplate"] = {"spec": {"containers": []}}
    kept = deepcopy(new)
    (kept["spec"] if kind == "RayJob" else kept["spec"]["jobTemplate"])["submitterPodTemplate"]["spec"][
        "restartPolicy"
    ] = "OnFailure"

    spec: Any = made(new)["spec"]
    assert (spec if kind == "RayJob" else spec["jobTemplate"])["submitterPodTemplate"]["spec"][
        "restartPolicy"
    ] == "Never"
    assert made(kept) is kept


@pytest.mark.spec("admission:D08")
def test_a_queued_job_gives_its_cluster_back_where_that_is_wanted() -> None:
    """Kueue takes no other; a job that says how its cluster ends keeps that."""
    context = held_to(default_shutdown_when_queued=True)
    new = good("RayJob", labels=QUEUED)
    del new["spec"]["shutdownAfterJobFinishes"]

    assert made(new, context=context)["spec"]["shutdownAfterJobFinishes"] is True
    assert made(new) is new
    ends: list[Json] = [{"deletionStrategy": {"deletionRules": []}}, {"clusterSelector": {"ray.io/cluster": "x"}}]
    for changes in ends:
        kept = {**new, "spec": {**new["spec"], **changes}}
        assert made(kept, context=context) is kept
    unqueued = {**new, "metadata": {"name": "train"}}
    assert made(unqueued, context=context) is unqueued


@pytest.mark.spec("admission:D09")
def test_requests_of_devices_follow_their_limits_where_that_is_wanted() -> None:
    """Those of CPU and memory mean something else."""
    new = good(changes={"WC.resources": {"limits": {"nvidia.com/gpu": "2", "cpu": "4"}}})

    container = cluster(made(new, context=held_to(default_requests=True)))["workerGroupSpecs"][0]["template"]["spec"]
    assert container["containers"][0]["resources"]["requests"] == {"nvidia.com/gpu": "2"}
    assert made(new) is new


@pytest.mark.spec("admission:D10")
def test_pods_with_devices_tolerate_what_the_owner_lists() -> None:
    """Once; objects in a queue get theirs from Kueue."""
    context = replace(
        CONTEXT, admission=replace(AdmissionSettings(), accelerator_tolerations=ALL.accelerator_tolerations)
    )
    gpu: Changes = {"WC.resources.limits.nvidia~com/gpu": "1", "W.template.spec.tolerations": [{"key": "team"}]}

    filled = made(good(changes=gpu), context=context)

    tolerations = cluster(filled)["workerGroupSpecs"][0]["template"]["spec"]["tolerations"]
    assert tolerations == [{"key": "team"}, {"key": "nvidia.com/gpu", "operator": "Exists"}]
    assert "tolerations" not in cluster(filled)["headGroupSpec"]["template"]["spec"]
    for left in (good(changes=gpu, labels=QUEUED), good(), dict(filled)):
        assert made(left, context=context) is left


@pytest.mark.spec("admission:D11")
def test_labels_of_the_owners_are_added_where_they_are_missing() -> None:
    """A label that is there says more."""
    context = held_to(default_labels={"team": "ml", "cost": "7"})

    assert made(good(labels={"team": "a"}), context=context)["metadata"]["labels"] == {"team": "a", "cost": "7"}


@pytest.mark.parametrize(
    "metadata",
    [{"deletionTimestamp": "2026-01-01T00:00:00Z"}, {}],
    ids=["in deletion", "of another cluster"],
)
def test_what_goes_or_runs_elsewhere_is_left_alone(metadata: Json) -> None:
    """The other cluster has defaults of its own."""
    new = good(changes={**UNSET, **({} if metadata else {"managedBy": "kueue.x-k8s.io/multikueue"})}, **metadata)

    assert made(new) is new


def test_what_the_operator_itself_makes_is_left_as_it_made_it() -> None:
    """A cluster's spec is compared with that of its owner."""
    new = good(changes=UNSET)
    context = replace(held_to(trusted_users=("operator",)), surroundings=replace(CONTEXT.surroundings, user="operator"))

    assert made(new, context=context) is new


@pytest.mark.spec("admission:P11")
@pytest.mark.parametrize("settings", [AdmissionSettings(), ALL], ids=["as shipped", "all on"])
@pytest.mark.parametrize("hostility", [0.0, 0.05])
@pytest.mark.parametrize("kind", KINDS)
def test_twice_is_once_and_what_exists_keeps_its_hash(kind: str, hostility: float, settings: AdmissionSettings) -> None:
    """Of objects at random: filling in again changes nothing, and no update of an older object moves its spec.

    The input is never changed.
    """
    context = replace(CONTEXT, admission=settings)
    chance = random.Random(f"{kind} {hostility}")
    for _ in range(25):
        new = shaped_object(kind, chance, hostility)
        before = repr(new)

        once = defaulted(kind, new, None, context)

        assert defaulted(kind, once, None, context) is once
        assert defaulted(kind, once, once, context) is once
        assert defaulted(kind, new, new, context) is new
        assert repr(new) == before


@pytest.mark.spec("admission:P11")
def test_turning_the_webhook_on_gives_no_service_a_new_cluster() -> None:
    """Whatever else its update changes: of what was there, nothing is filled in."""
    old = good("RayService", {**UNSET, **SCALED, "HEAD.rayStartParams": "-", "W.rayStartParams": "-"})
    new = deepcopy(old)
    new["spec"]["serveConfigV2"] = "applications: []"
    new["metadata"]["labels"] = {"touched": "yes"}

    filled = made(new, old, replace(CONTEXT, admission=ALL))

    assert filled is new
    assert goal_hash(cluster(filled)) == goal_hash(cluster(old))


def test_filling_in_and_kueues_suspension_commute() -> None:
    """Neither reads what the other writes; webhooks run in the order of their names."""

    def suspended(job: Mapping[str, Any]) -> Json:
        return {**job, "spec": {**job["spec"], "suspend": True}}

    new = good("RayJob", UNSET, labels=QUEUED)

    assert made(suspended(new)) == suspended(made(new))
