"""What is reported, in which words, and what is worth a write."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from api.core import PODS, SERVICES
from api.meta import Ref
from controller.ray.options import Gates, Options
from controller.ray.raycluster.seen import PodView
from controller.ray.raycluster.status import CONFLICT_PAUSE, PREDECESSOR_PAUSE, SETTLING, Report, report
from controller.ray.raycluster.writes import Kind, Why, announcements
from controller.runtime.errors import AlreadyExists, Forbidden, ServerError
from controller.runtime.plan import Create, Delete, Outcome, Plan, Result, Verdict

KEPT_UP = Plan(notes={"reported": True})
AT = "2026-01-01T00:00:00Z"


def said(
    a: Any, look: Any, *outcomes: Outcome, plan: Plan = KEPT_UP, later: float = 0, options: Options | None = None
) -> Report:
    return report(look, plan, outcomes, a.start + timedelta(seconds=later), options or Options())


def status(a: Any, look: Any, *outcomes: Outcome, **more: Any) -> Any:
    found = said(a, look, *outcomes, **more).status
    assert found is not None
    return found


def condition(found: Any, type_: str) -> tuple[str, str, str] | None:
    return next(
        ((one["status"], one["reason"], one["message"]) for one in found.get("conditions", ()) if one["type"] == type_),
        None,
    )


def refused(kind: Kind, *, group: str = "", message: str = "no") -> Outcome:
    body = {"metadata": {"namespace": "ns", "name": "p"}}
    error = Forbidden("create", Ref("Pod", "ns", "p"), code=403, message=message)
    return Outcome(Create(PODS, body, why=Why(kind, group)), Verdict.REFUSED, error=error)


def done(kind: Kind, name: str = "p", *, group: str = "", tail: str = "") -> Outcome:
    body = {"metadata": {"namespace": "ns", "name": name}}
    return Outcome(Create(PODS, body, why=Why(kind, group, tail)), Verdict.DONE)


def up(a: Any, count: int = 1, **pod: Any) -> list[Any]:
    return [a.head(ticket="t"), *(a.pod(f"w{index}", index=index, ticket="t", **pod) for index in range(count))]


def written(a: Any, *groups: Any, pods: Any = None, **more: Any) -> Any:
    """A cluster whose status says what it is."""
    body = a.body(*groups, **more)
    body["status"] = status(a, a.seen(body, *(pods if pods is not None else up(a, 1))))
    return body


# Counts


@pytest.mark.spec("raycluster:19.1/readyworkerreplicas", "raycluster:19.1/availableworkerreplicas")
@pytest.mark.parametrize(
    ("pod", "ready", "available"),
    [
        ({}, 1, 1),
        ({"ready": False}, 0, 1),
        ({"ready": None}, 0, 1),
        ({"phase": "Pending"}, 0, 0),
        ({"phase": "Unknown"}, 0, 0),
    ],
)
def test_workers_are_counted_as_running_and_as_ready(a: Any, pod: Any, ready: int, available: int) -> None:
    found = status(a, a.seen(a.body(a.group(1)), *up(a, 1, **pod)))

    assert (found.get("readyWorkerReplicas", 0), found.get("availableWorkerReplicas", 0)) == (ready, available)


@pytest.mark.spec(
    "raycluster:19.1/desiredworkerreplicas", "raycluster:19.1/minworkerreplicas", "raycluster:19.1/maxworkerreplicas"
)
def test_wanted_workers_are_summed_over_the_groups_that_are_not_suspended(a: Any) -> None:
    groups = [
        a.group(9, "a", minReplicas=1, maxReplicas=4),
        a.group(2, "b", minReplicas=1, maxReplicas=3),
        a.group(5, "c", minReplicas=5, maxReplicas=5, suspend=True),
        a.group(2, "d", minReplicas=1, maxReplicas=3, numOfHosts=4),
    ]

    found = status(a, a.seen(a.body(*groups)))

    assert [found[f"{name}WorkerReplicas"] for name in ("desired", "min", "max")] == [14, 6, 19]


@pytest.mark.spec("raycluster:E71", "raycluster:19.1/maxworkerreplicas")
def test_the_maximum_stays_within_an_int32(a: Any) -> None:
    found = status(a, a.seen(a.body(a.group(1, "a", maxReplicas=2147483647), a.group(1, "b"))))

    assert found["maxWorkerReplicas"] == 2147483647


@pytest.mark.spec("raycluster:E34")
def test_pods_of_a_removed_group_are_counted_and_keep_the_cluster_from_ready(a: Any) -> None:
    found = status(a, a.seen(a.body(a.group(1)), *up(a, 1), a.pod("old", group="gone", index=0)))

    assert (found["availableWorkerReplicas"], "state" in found) == (2, False)


def test_zeros_are_left_out_but_for_the_resources(a: Any) -> None:
    found = status(a, a.seen(a.body(), services=()))

    assert {name: found.get(name) for name in ("desiredCPU", "desiredGPU", "head", "readyWorkerReplicas")} == {
        "desiredCPU": "0",
        "desiredGPU": "0",
        "head": {},
        "readyWorkerReplicas": None,
    }


# State


def test_a_cluster_is_ready_when_all_its_pods_are(a: Any) -> None:
    found = status(a, a.seen(a.body(a.group(1)), *up(a, 1)))

    assert (found["state"], found["stateTransitionTimes"]) == ("ready", {"ready": AT})


@pytest.mark.parametrize(
    "pods",
    [
        lambda a: up(a, 0),
        lambda a: up(a, 2),
        lambda a: up(a, 1, ready=False),
        lambda a: up(a, 1, phase="Pending"),
    ],
)
def test_a_cluster_is_not_ready_with_too_few_too_many_or_unready_pods(a: Any, pods: Any) -> None:
    assert "state" not in status(a, a.seen(a.body(a.group(1)), *pods(a)))


@pytest.mark.spec("raycluster:E70")
def test_pods_that_say_nothing_of_readiness_count_as_ready(a: Any) -> None:
    found = status(a, a.seen(a.body(a.group(1)), a.head(ready=None), a.pod("w", index=0, ready=None)))

    assert (found["state"], condition(found, "RayClusterProvisioned")[0]) == ("ready", "True")  # type: ignore[index]


@pytest.mark.spec("raycluster:E68")
def test_a_cluster_with_a_refused_write_does_not_become_ready(a: Any) -> None:
    found = status(a, a.seen(a.body(a.group(1)), *up(a, 1)), refused(Kind.CREATE_WORKER))

    assert "state" not in found


@pytest.mark.spec("raycluster:E68")
def test_a_ready_cluster_stays_so_when_its_pods_die(a: Any) -> None:
    body = written(a, a.group(1))

    found = status(a, a.seen(body, services=(a.service,)), later=60)

    assert (found["state"], found["stateTransitionTimes"]) == ("ready", {"ready": AT})


# Conditions


@pytest.mark.spec("raycluster:19.3/headpodready")
@pytest.mark.parametrize(
    ("ready", "found"),
    [
        (None, ("False", "Unknown", "")),
        ({"status": "True"}, ("True", "HeadPodRunningAndReady", "")),
        ({"status": "True", "reason": "Mine", "message": "m"}, ("True", "Mine", "m")),
        ({"status": "False"}, ("False", "Unknown", "")),
        ({"status": "Unknown", "reason": "NodeLost", "message": "m"}, ("Unknown", "NodeLost", "m")),
        ({"status": "False", "reason": "ContainersNotReady", "message": "m"}, ("False", "ContainersNotReady", "m")),
    ],
)
def test_the_head_s_condition_is_its_pod_s(a: Any, ready: Any, found: Any) -> None:
    head = a.replace(a.head(), ready=ready)

    assert condition(status(a, a.seen(a.body(), head)), "HeadPodReady") == found


@pytest.mark.spec("raycluster:19.3/headpodready")
def test_a_missing_head_is_said(a: Any) -> None:
    found = status(a, a.seen(a.body()))

    assert condition(found, "HeadPodReady") == ("False", "HeadPodNotFound", "Head Pod not found")


@pytest.mark.spec("raycluster:19.3/headpodready", "raycluster:E74")
@pytest.mark.parametrize(
    ("message", "state", "found"),
    [
        (
            "m",
            {"waiting": {"reason": "ImagePullBackOff", "message": "no image"}},
            ("ImagePullBackOff", "m; ray: no image"),
        ),
        ("", {"waiting": {"reason": "ImagePullBackOff", "message": "no image"}}, ("ImagePullBackOff", "ray: no image")),
        ("m", {"terminated": {"exitCode": 1}}, ("ContainersNotReady", "m; ray: ")),
        ("m", {"running": {}}, ("ContainersNotReady", "m")),
    ],
)
def test_what_holds_a_container_back_is_said_instead(a: Any, message: str, state: Any, found: Any) -> None:
    """An empty reason would make the condition invalid, and the status could never be written again."""
    ready = {"status": "False", "reason": "ContainersNotReady", "message": message}
    statuses = ({"name": "side", "state": {"running": {}}}, {"name": "ray", "state": state})
    head = a.replace(a.head(), ready=ready, statuses=statuses)

    assert condition(status(a, a.seen(a.body(), head)), "HeadPodReady") == ("False", *found)


@pytest.mark.spec("raycluster:19.3/rayclusterprovisioned", "raycluster:E69")
def test_provisioned_needs_no_count(a: Any) -> None:
    """A head alone is enough, while its workers are refused."""
    found = status(a, a.seen(a.body(a.group(3)), a.head()))

    assert condition(found, "RayClusterProvisioned") == (
        "True",
        "AllPodRunningAndReadyFirstTime",
        "All Ray Pods are ready for the first time",
    )


@pytest.mark.spec("raycluster:19.3/rayclusterprovisioned")
def test_not_yet_provisioned_is_said(a: Any) -> None:
    assert condition(status(a, a.seen(a.body())), "RayClusterProvisioned") == (
        "False",
        "RayClusterPodsProvisioning",
        "RayCluster Pods are being provisioned for first time",
    )


@pytest.mark.spec("raycluster:19.3/rayclusterprovisioned")
def test_provisioned_stays_true(a: Any) -> None:
    found = status(a, a.seen(written(a, a.group(1))), later=60)

    assert condition(found, "RayClusterProvisioned")[0] == "True"  # type: ignore[index]


def test_conditions_come_in_the_reference_s_order(a: Any) -> None:
    found = status(a, a.seen(a.body()), refused(Kind.CREATE_HEAD))

    assert [one["type"] for one in found["conditions"]] == [
        "ReplicaFailure",
        "HeadPodReady",
        "RayClusterProvisioned",
        "RayClusterSuspended",
        "RayClusterSuspending",
    ]


def test_without_the_gate_there_are_no_conditions(a: Any) -> None:
    off = Options(gates=Gates(ray_cluster_status_conditions=False))

    assert "conditions" not in status(a, a.seen(a.body()), options=off)


def test_conditions_of_others_stay(a: Any) -> None:
    theirs = {"type": "Mine", "status": "True", "reason": "r", "message": "m", "lastTransitionTime": AT}
    body = a.body(status={"conditions": [theirs]})

    assert theirs in status(a, a.seen(body))["conditions"]


@pytest.mark.spec("raycluster:19.3/replicafailure")
@pytest.mark.parametrize(
    ("kind", "marker"),
    [
        (Kind.CREATE_HEAD, "FailedCreateHeadPod"),
        (Kind.DELETE_HEAD, "FailedDeleteHeadPod"),
        (Kind.CREATE_WORKER, "FailedCreateWorkerPod"),
        (Kind.DELETE_UNHEALTHY, "FailedDeleteWorkerPod"),
        (Kind.DELETE_NAMED, "FailedDeleteWorkerPod"),
        (Kind.DELETE_SURPLUS, "FailedDeleteWorkerPod"),
        (Kind.SUSPEND_GROUP, "FailedDeleteWorkerPod"),
        (Kind.SUSPEND, "FailedDeleteAllPods"),
        (Kind.RECREATE, "FailedDeleteAllPods"),
    ],
)
def test_a_refused_pod_write_is_a_replica_failure_in_the_server_s_words(a: Any, kind: Kind, marker: str) -> None:
    found = status(a, a.seen(a.body()), refused(kind, message="the server's words"))

    assert condition(found, "ReplicaFailure") == ("True", marker, f"{marker}\nthe server's words")


@pytest.mark.parametrize("kind", [Kind.HEAD_SERVICE, Kind.ROLE, Kind.AUTH_SECRET, Kind.SERVE_SERVICE])
def test_other_refused_writes_are_none(a: Any, kind: Kind) -> None:
    assert condition(status(a, a.seen(a.body()), refused(kind)), "ReplicaFailure") is None


@pytest.mark.spec("raycluster:19.3/replicafailure")
@pytest.mark.parametrize(("outcome", "stays"), [(None, False), (refused(Kind.HEAD_SERVICE), True)])
def test_a_replica_failure_ends_with_the_next_clean_pass(a: Any, outcome: Outcome | None, stays: bool) -> None:
    body = a.body(a.group(1), status=status(a, a.seen(a.body(a.group(1))), refused(Kind.CREATE_HEAD)))
    outcomes = [] if outcome is None else [outcome]

    found = status(a, a.seen(body, a.head(), a.pod("w", index=0)), *outcomes)

    assert (condition(found, "ReplicaFailure") is not None) is stays


# Where the head is


@pytest.mark.parametrize(
    ("cluster_ip", "pods", "head"),
    [
        ("None", True, {"podIP": "10.0.0.1", "podName": "h", "serviceIP": "10.0.0.1", "serviceName": "r-head-svc"}),
        ("10.9.9.9", True, {"podIP": "10.0.0.1", "podName": "h", "serviceIP": "10.9.9.9", "serviceName": "r-head-svc"}),
        ("None", False, {"serviceName": "r-head-svc"}),
        ("10.9.9.9", False, {"serviceIP": "10.9.9.9", "serviceName": "r-head-svc"}),
    ],
)
def test_the_head_is_found_by_its_pod_and_its_service(a: Any, cluster_ip: str, pods: bool, head: Any) -> None:
    service = {"metadata": {"name": "r-head-svc"}, "spec": {"clusterIP": cluster_ip}}

    assert status(a, a.seen(a.body(), *([a.head("h")] if pods else []), services=(service,)))["head"] == head


@pytest.mark.parametrize(
    ("port", "found"),
    [
        ({"name": "a", "port": 1, "targetPort": 2, "nodePort": 3}, {"a": "3"}),
        ({"name": "a", "port": 1, "targetPort": 2}, {"a": "2"}),
        ({"name": "a", "port": 1, "targetPort": "web"}, {"a": "web"}),
        ({"port": 1, "targetPort": 2}, {}),
    ],
)
@pytest.mark.spec("raycluster:E75")
def test_endpoints_are_the_ports_of_the_service(a: Any, port: Any, found: Any) -> None:
    service = {"metadata": {"name": "s"}, "spec": {"clusterIP": "None", "ports": [port]}}

    assert status(a, a.seen(a.body(), services=(service,))).get("endpoints", {}) == found


def test_an_endpoint_that_was_told_stays(a: Any) -> None:
    """Keys come and change, and never go (spec raycluster §19.4)."""
    service = {"metadata": {"name": "s"}, "spec": {"clusterIP": "None", "ports": [{"name": "client", "port": 10001}]}}
    body = a.body(status={"endpoints": {"client": "1", "serve": "8000"}})

    assert status(a, a.seen(body, services=(service,)))["endpoints"] == {"client": "10001", "serve": "8000"}


@pytest.mark.spec("raycluster:E64")
def test_a_status_is_written_although_a_foreign_service_has_the_head_s_name(a: Any) -> None:
    """The reference then never writes one."""
    body = {"metadata": {"namespace": "ns", "name": "r-head-svc"}}
    error = AlreadyExists("create", Ref("Service", "ns", "r-head-svc"), code=409, message="it is there already")
    foreign = Outcome(Create(SERVICES, body, why=Why(Kind.HEAD_SERVICE)), Verdict.FOREIGN, error=error)

    found = said(a, a.seen(a.body(), services=()), foreign)

    assert found.status is not None
    assert (found.events[0].reason, found.result.error) == ("FailedToCreateService", error)


# What is worth a write


def test_what_is_as_it_was_is_not_written(a: Any) -> None:
    assert said(a, a.seen(written(a, a.group(1)), *up(a, 1)), later=999).status is None


@pytest.mark.spec("raycluster:E73")
def test_resources_and_generation_are_no_reason_to_write(a: Any) -> None:
    body = written(a, a.group(1))
    body["metadata"]["generation"] = 9
    body["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "4"}}

    assert said(a, a.seen(body, *up(a, 1)), later=999).status is None


@pytest.mark.spec("raycluster:E73")
def test_they_ride_along_with_the_next_write(a: Any) -> None:
    body = written(a, a.group(1))
    body["metadata"]["generation"] = 9
    body["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "4"}}

    found = status(a, a.seen(body, *up(a, 1, ready=False)), later=999)

    assert (found["observedGeneration"], found["desiredCPU"], found["lastUpdateTime"]) == (
        9,
        "4",
        "2026-01-01T00:16:39Z",
    )


@pytest.mark.parametrize("plan", [Plan(), Plan(notes={"reported": False})])
def test_a_pass_that_says_nothing_of_the_cluster_writes_nothing(a: Any, plan: Plan) -> None:
    assert said(a, a.seen(a.body()), plan=plan).status is None


COMING = {"phase": "Pending", "ready": False}


@pytest.mark.parametrize(
    ("later", "waits"), [(0, SETTLING), (5, SETTLING - timedelta(seconds=5)), (20, None), (300, None)]
)
def test_a_count_may_lag_while_pods_come_up(a: Any, later: float, waits: timedelta | None) -> None:
    coming = [a.head(ticket="t"), a.pod("w0", index=0, **COMING), a.pod("w1", index=1, **COMING)]
    body = written(a, a.group(2), pods=coming)

    found = said(a, a.seen(body, coming[0], a.pod("w0", index=0), coming[2]), later=later)

    assert (found.status is None, found.result.requeue_after) == (waits is not None, waits)


def test_the_last_pod_to_come_up_is_reported_at_once(a: Any) -> None:
    body = written(a, a.group(1), pods=up(a, 1, **COMING))

    assert status(a, a.seen(body, *up(a, 1)), later=1)["state"] == "ready"


@pytest.mark.parametrize(
    "change",
    [
        lambda a, body: body["spec"]["workerGroupSpecs"][0].update(replicas=3),
        lambda a, body: body["spec"].update(suspend=True),
        lambda a, body: body["status"]["head"].update(podName="another"),
    ],
)
def test_what_decides_something_does_not_wait(a: Any, change: Any) -> None:
    coming = up(a, 1, **COMING)
    body = written(a, a.group(1), pods=coming)
    change(a, body)

    assert said(a, a.seen(body, *coming), later=1).status is not None


@pytest.mark.parametrize(("was", "is_now", "waits"), [(True, False, False), (False, True, True)])
def test_a_head_that_fails_is_reported_at_once_and_one_that_comes_up_with_its_workers(
    a: Any, was: bool, is_now: bool, waits: bool
) -> None:
    worker = a.pod("w0", index=0, **COMING)
    body = written(a, a.group(1), pods=[a.head(ready=was), worker])

    assert (said(a, a.seen(body, a.head(ready=is_now), worker), later=1).status is None) is waits


def test_a_refusal_does_not_wait(a: Any) -> None:
    coming = up(a, 1, **COMING)
    body = written(a, a.group(2), pods=coming)

    assert said(a, a.seen(body, *coming), refused(Kind.CREATE_WORKER), later=1).status is not None


# When to look again


def test_a_refusal_backs_off(a: Any) -> None:
    first = refused(Kind.CREATE_HEAD)

    assert said(a, a.seen(a.body()), first, refused(Kind.CREATE_WORKER)).result.error is first.error


@pytest.mark.parametrize(
    ("verdict", "pause"),
    [(Verdict.CONFLICT, CONFLICT_PAUSE), (Verdict.WAIT, PREDECESSOR_PAUSE), (Verdict.ALREADY, None)],
)
def test_what_will_pass_is_looked_at_again_soon(a: Any, verdict: Verdict, pause: timedelta | None) -> None:
    outcome = a.replace(done(Kind.CREATE_WORKER), verdict=verdict)

    assert said(a, a.seen(a.body()), outcome).result == Result(requeue_after=pause)


def test_a_plan_s_own_trouble_backs_off(a: Any) -> None:
    trouble = ServerError("get", Ref("Pod", "ns", "p"), code=500, message="m")

    assert said(a, a.seen(a.body()), plan=Plan(result=Result(error=trouble))).result.error is trouble


@pytest.mark.parametrize("requeue", [None, timedelta(seconds=300)])
def test_a_healthy_cluster_is_looked_at_again_only_where_the_user_asks(a: Any, requeue: timedelta | None) -> None:
    found = said(a, a.seen(written(a, a.group(1)), *up(a, 1)), later=99, options=Options(requeue=requeue))

    assert found.result == Result(requeue_after=requeue)


def test_a_suspend_that_was_said_is_done_at_once(a: Any) -> None:
    body = written(a, a.group(1), suspend=False)
    body["spec"]["suspend"] = True

    assert said(a, a.seen(body, *up(a, 1))).result == Result(requeue_after=timedelta(0))


# What the server answered is already part of it


def test_pods_that_were_just_made_are_counted(a: Any) -> None:
    body = a.body(a.group(1))
    pod = a.pod_json("h", group="headgroup", phase="Pending")
    made = Outcome(Create(PODS, pod, why=Why(Kind.CREATE_HEAD)), Verdict.DONE, pod)

    found = status(a, a.seen(body), made)

    assert found["head"]["podName"] == "h"


@pytest.mark.parametrize(("answer", "left"), [(True, 1), (False, 0)])
def test_pods_that_were_just_deleted_count_while_they_terminate(a: Any, answer: bool, left: int) -> None:
    gone = a.pod_json("w", index=0, deleting=True) if answer else None
    outcome = Outcome(Delete(PODS, "ns", "w", "uid-w", why=Why(Kind.DELETE_NAMED)), Verdict.DONE, gone)

    found = status(a, a.seen(a.body(a.group(0)), a.head(), a.pod("w", index=0)), outcome)

    assert found.get("availableWorkerReplicas", 0) == left


def test_a_service_that_was_just_made_is_the_head_s(a: Any) -> None:
    made = Outcome(Create(SERVICES, a.service, why=Why(Kind.HEAD_SERVICE)), Verdict.DONE, a.service)

    assert status(a, a.seen(a.body(), services=()), made)["head"]["serviceName"] == "r-head-svc"


# Events


@pytest.mark.spec("raycluster:20/createdworkerpod-failedtocreateworkerpod")
def test_what_is_alike_within_a_pass_is_one_event(a: Any) -> None:
    outcomes = [done(Kind.CREATE_WORKER, f"w{index}", group=group) for group in "ab" for index in range(2)]

    found = announcements(outcomes, "ns/r")

    assert [(one.reason, one.note) for one in found] == [
        ("CreatedWorkerPod", "Created worker Pod ns/w0 and 1 more: ns/w1"),
        ("CreatedWorkerPod", "Created worker Pod ns/w0 and 1 more: ns/w1"),
    ]


@pytest.mark.spec("raycluster:20/deletedworkerpod", "raycluster:20/deletedheadpod-failedtodeleteheadpod")
@pytest.mark.parametrize(
    ("kind", "reason", "note"),
    [
        (Kind.CREATE_HEAD, "CreatedHeadPod", "Created head Pod ns/p"),
        (Kind.CREATE_WORKER, "CreatedWorkerPod", "Created worker Pod ns/p"),
        (Kind.HEAD_SERVICE, "CreatedService", "Created service ns/p"),
        (Kind.SERVICE_ACCOUNT, "CreatedServiceAccount", "Created service account ns/p"),
        (Kind.ROLE, "CreatedRole", "Created role ns/p"),
        (Kind.ROLE_BINDING, "CreatedRoleBinding", "Created role binding ns/p"),
        (Kind.DELETE_HEAD, "DeletedHeadPod", "Deleted head Pod ns/p; tail"),
        (Kind.DELETE_UNHEALTHY, "DeletedWorkerPod", "Deleted worker Pod ns/p; tail"),
        (Kind.DELETE_NAMED, "DeletedWorkerPod", "Deleted pod ns/p"),
        (Kind.DELETE_SURPLUS, "DeletedWorkerPod", "Deleted Pod ns/p"),
        (Kind.SUSPEND_GROUP, "DeletedWorkerPod", "Deleted all pods for suspended worker group g in RayCluster ns/r"),
        (Kind.SUSPEND, "DeletedPod", "Deleted Pods for RayCluster ns/r due to suspension"),
        (
            Kind.RECREATE,
            "DeletedPod",
            "Deleted all Pods for RayCluster ns/r due to spec change with Recreate upgradeStrategy",
        ),
    ],
)
def test_what_was_done_is_told_in_the_reference_s_words(kind: Kind, reason: str, note: str) -> None:
    tail = "; tail" if "tail" in note else ""

    (found,) = announcements([done(kind, group="g", tail=tail)], "ns/r")

    assert (found.type, found.reason, found.note) == ("Normal", reason, note)


@pytest.mark.spec(
    "raycluster:20/createdservice-failedtocreateservice",
    "raycluster:20/failedtodeleteworkerpod",
    "raycluster:20/failedtodeleteworkerpodcollection",
)
@pytest.mark.parametrize(
    ("kind", "reason", "note"),
    [
        (Kind.HEAD_SERVICE, "FailedToCreateService", "Failed creating service ns/p, no"),
        (Kind.CREATE_HEAD, "FailedToCreateHeadPod", "Failed to create head Pod ns/p, no"),
        (Kind.DELETE_HEAD, "FailedToDeleteHeadPod", "Failed deleting head Pod ns/p, no"),
        (Kind.DELETE_UNHEALTHY, "FailedToDeleteWorkerPod", "Failed deleting worker Pod ns/p, no"),
        (Kind.DELETE_NAMED, "FailedToDeleteWorkerPod", "Failed deleting pod ns/p, no"),
        (Kind.DELETE_SURPLUS, "FailedToDeleteWorkerPod", "Failed deleting Pod ns/p, no"),
        (
            Kind.SUSPEND_GROUP,
            "FailedToDeleteWorkerPodCollection",
            "Failed deleting worker Pods for suspended group g in RayCluster ns/r, no",
        ),
        (
            Kind.SUSPEND,
            "FailedToDeletePodCollection",
            "Failed deleting Pods due to suspension for RayCluster ns/r, no",
        ),
    ],
)
def test_what_was_refused_is_told_in_the_reference_s_words(kind: Kind, reason: str, note: str) -> None:
    (found,) = announcements([refused(kind, group="g")], "ns/r")

    assert (found.type, found.reason, found.note) == ("Warning", reason, note)


@pytest.mark.parametrize("kind", [Kind.AUTH_SECRET, Kind.SERVE_SERVICE, Kind.ADOPT_HEAD])
def test_some_writes_are_nobody_s_news(kind: Kind) -> None:
    assert announcements([done(kind), refused(kind)], "ns/r") == ()


def test_what_was_there_already_is_no_news(a: Any) -> None:
    assert announcements([a.replace(done(Kind.CREATE_HEAD), verdict=Verdict.ALREADY)], "ns/r") == ()


def test_a_note_is_as_long_as_the_server_takes_it() -> None:
    (found,) = announcements([refused(Kind.CREATE_HEAD, message="ä" * 2000)], "ns/r")

    assert 1000 < len(found.note.encode()) <= 1024


# Views


def test_a_pod_made_by_kuberay_is_placed_by_its_label(a: Any) -> None:
    view = PodView.of(a.pod_json("p", index=4))

    assert (str(view.slot), view.ticket) == ("g/4", "")


def test_our_annotation_comes_before_a_label(a: Any) -> None:
    body = a.pod_json("p", index=4, ticket="t")
    body["metadata"]["labels"]["ray.io/worker-group-replica-index"] = "9"

    assert str(PodView.of(body).slot) == "g/4"
