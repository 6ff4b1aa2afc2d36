"""From one look at a cluster to a plan."""

from __future__ import annotations

from typing import Any

import pytest

from api.core import PODS
from controller.ray.desired.names import Slot, worker_pod
from controller.ray.options import Gates, Options
from controller.ray.raycluster.decide import kept_ticket
from controller.ray.raycluster.seen import Memory, Rights
from controller.ray.raycluster.writes import Kind, Why
from controller.runtime.plan import Create, Delete, MergePatch, Outcome, Plan, Verdict, ref_of

TRUE = {"reason": "x", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z", "status": "True"}
REPORTED = {"state": "ready"}  # a status that is not empty


def names(plan: Plan, kind: type = Create) -> list[str]:
    return [ref_of(write).name for write in plan.writes if isinstance(write, kind)]


def kinds(plan: Plan) -> list[Kind]:
    return [write.why.kind for write in plan.writes if isinstance(write.why, Why)]


def conditions(*types: str) -> dict[str, Any]:
    return {"conditions": [TRUE | {"type": type_} for type_ in types]}


def ticketed(a: Any, *groups: Any, **more: Any) -> Any:
    return a.body(
        *groups, annotations={"manta.ray.io/ticket": "t"} | more.pop("annotations", {}), status=REPORTED, **more
    )


def running(a: Any, count: int, ticket: str = "t", name: str = "g") -> list[Any]:
    return [
        a.head(ticket=ticket),
        *(a.pod(f"{name}{index}", group=name, index=index, ticket=ticket) for index in range(count)),
    ]


# What is left alone


@pytest.mark.spec("raycluster:E16")
@pytest.mark.parametrize("manager", ["", "kueue.x-k8s.io/multikueue", "somebody"])
def test_what_another_controller_manages_is_left_alone(a: Any, manager: str) -> None:
    body = a.body(a.group(), managedBy="ray.io/kuberay-operator")
    look = a.seen(body, services=())
    look.object["spec"]["managedBy"] = manager

    assert a.plan(look) == Plan()


def test_what_is_managed_by_us_is_not(a: Any) -> None:
    assert names(a.plan(a.seen(a.body(managedBy="ray.io/kuberay-operator"), services=()))) != []


def test_a_cluster_that_is_being_deleted_is_left_to_garbage_collection(a: Any) -> None:
    body = a.body(a.group(), metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})

    assert a.plan(a.seen(body, services=())) == Plan()


@pytest.mark.spec("raycluster:E1", "raycluster:20/invalidrayclustermetadata")
@pytest.mark.parametrize(("name", "fine"), [("r" * 53, True), ("r" * 54, False), ("1r", False)])
def test_a_name_that_is_too_long_or_no_label_is_told_and_nothing_done(a: Any, name: str, fine: bool) -> None:
    plan = a.plan(a.seen(a.body(name=name), services=()))

    assert bool(plan.writes) is fine
    assert [(one.type, one.reason, one.action) for one in plan.events] == (
        [] if fine else [("Warning", "InvalidRayClusterMetadata", "Validate")]
    )
    assert plan.result.error is None


@pytest.mark.spec("raycluster:E2", "raycluster:E3", "raycluster:20/invalidrayclusterspec")
@pytest.mark.parametrize("bad", [{"minReplicas": 5, "maxReplicas": 1}, {"minReplicas": -1}, {"maxReplicas": -1}])
def test_an_invalid_spec_freezes_the_cluster_and_is_told(a: Any, bad: Any) -> None:
    """Nobody retries: only a change of the object can help."""
    plan = a.plan(a.seen(ticketed(a, a.group(5, **bad)), *running(a, 1)))

    assert (plan.writes, plan.result.error, plan.result.requeue_after) == ((), None, None)
    (event,) = plan.events
    assert (event.reason, event.note.startswith("The RayCluster spec is invalid ns/r: ")) == (
        "InvalidRayClusterSpec",
        True,
    )


@pytest.mark.spec("raycluster:E89")
@pytest.mark.parametrize("maker", ["RayJob", "RayService"])
def test_the_child_of_another_kind_may_not_choose_its_upgrades(a: Any, maker: str) -> None:
    body = a.body(labels={"ray.io/originated-from-crd": maker}, upgradeStrategy={"type": "Recreate"})

    plan = a.plan(a.seen(body, services=()))

    assert plan.writes == ()
    assert plan.events[0].note.startswith("The RayCluster UpgradeStrategy is invalid ns/r: ")


@pytest.mark.parametrize(
    ("spec", "group", "annotations"),
    [
        ({"gcsFaultToleranceOptions": {}}, {}, {}),
        ({}, {}, {"ray.io/ft-enabled": "True"}),
    ],
)
def test_what_is_not_served_yet_is_refused_and_told(a: Any, spec: Any, group: Any, annotations: Any) -> None:
    """Half a service would lose data or open doors; a cluster that is left alone loses nothing."""
    plan = a.plan(a.seen(a.body(a.group(**group), annotations=annotations, **spec), services=()))

    assert plan.writes == ()
    assert "not supported yet" in plan.events[0].note


@pytest.mark.spec("raycluster:E78", "raycluster:20/invalidrayclusterstatus", "admission:AC-21")
def test_a_torn_suspend_is_told_and_tried_again(a: Any) -> None:
    body = a.body(a.group(), status=conditions("RayClusterSuspending", "RayClusterSuspended"))

    plan = a.plan(a.seen(body, a.head()))

    assert (plan.writes, plan.events[0].reason) == ((), "InvalidRayClusterStatus")
    assert plan.events[0].note.startswith("The RayCluster status is invalid ns/r, ")
    assert plan.result.error is not None


@pytest.mark.spec("raycluster:E12")
def test_autoscaler_v1_with_restarting_workers_is_only_warned_of(a: Any) -> None:
    restarting = a.group(template=a.template(restartPolicy="Always"))
    body = a.body(restarting, enableInTreeAutoscaling=True, autoscalerOptions={"version": "v1"})

    plan = a.plan(a.seen(body, services=()))

    assert plan.writes != ()
    assert [one.note.startswith("RayCluster spec warning ns/r: ") for one in plan.events] == [True]


# The first start


@pytest.mark.spec("raycluster:E47")
def test_a_new_cluster_gets_its_service_then_its_head_then_its_workers(a: Any) -> None:
    plan = a.plan(a.seen(a.body(a.group(2)), services=()))

    assert [[lane[0].why.kind for lane in step.lanes] for step in plan.steps] == [
        [Kind.HEAD_SERVICE],
        [Kind.CREATE_HEAD],
        [Kind.CREATE_WORKER],
    ]
    assert len(plan.writes) == 4


def test_a_first_start_needs_no_ticket(a: Any) -> None:
    """While nothing was reported, the cluster's UID stands for it."""
    plan = a.plan(a.seen(a.body(a.group(1)), services=()))

    tickets = {
        write.body["metadata"]["annotations"]["manta.ray.io/slot-ticket"]
        for write in plan.writes
        if isinstance(write, Create) and "annotations" in write.body["metadata"]
    }
    assert (plan.record, tickets) == (None, {"8f2a"})


def test_the_same_look_gives_the_same_plan(a: Any) -> None:
    """A pass that is repeated after a crash asks for the same pods, and the server says that they are there."""
    look = a.seen(a.body(a.group(3)), services=())

    assert names(a.plan(look)) == names(a.plan(look))


def test_after_a_crash_what_is_missing_is_made_under_the_same_names(a: Any) -> None:
    body = a.body(a.group(3))
    all_of_them = names(a.plan(a.seen(body)))
    head, first, *_ = all_of_them
    left = [a.head(head, ticket="8f2a"), a.pod(first, index=0, ticket="8f2a")]

    assert names(a.plan(a.seen(body, *left))) == all_of_them[2:]


def test_an_older_view_asks_for_names_that_exist(a: Any) -> None:
    """Instead of making other pods: the server's 409 is the answer."""
    world = a.world(a.body(a.group(3)))
    old = world.look()
    world.step()

    world.step(old)

    assert len(world.born) == len(world.pods) == 4


@pytest.mark.spec("ray-side:S3-30")
def test_a_name_that_was_to_go_is_not_given_again_by_a_process_that_remembers_nothing(a: Any) -> None:
    """The autoscaler leaves names in the list; they are all that a restart leaves of the dead."""
    dead = worker_pod("r", "8f2a", Slot("g", 0), "t")
    body = ticketed(a, a.group(1, scaleStrategy={"workersToDelete": [dead]}))

    plan = a.plan(a.seen(body, a.head(ticket="t")))

    assert plan.record is not None
    assert plan.record.body["metadata"]["annotations"] == {"manta.ray.io/ticket": "fresh"}
    assert (plan.record.uid, plan.record.resource_version) == ("8f2a", "7"), "a leader that was replaced stores none"


REFUSED = Outcome(Create(PODS, {}), Verdict.REFUSED)
DONE = Outcome(Create(PODS, {}), Verdict.DONE)


@pytest.mark.parametrize(
    ("status", "annotations", "outcome", "kept"),
    [
        (None, {}, REFUSED, True),
        (None, {}, DONE, False),
        (REPORTED, {}, REFUSED, False),
        (None, {"manta.ray.io/ticket": "t"}, REFUSED, False),
    ],
)
def test_a_ticket_is_written_down_before_a_first_status_that_tells_of_a_refusal(
    a: Any, status: Any, annotations: Any, outcome: Outcome, kept: bool
) -> None:
    patch = kept_ticket(a.seen(a.body(status=status, annotations=annotations)), [outcome])

    assert (patch is not None) is kept
    if patch is not None:
        assert patch.body["metadata"]["annotations"] == {"manta.ray.io/ticket": "8f2a"}


def test_only_places_of_the_present_ticket_are_remembered(a: Any) -> None:
    look = a.seen(ticketed(a), a.pod("p", index=0, ticket="t"), a.pod("q", index=1, ticket="s"))

    assert Memory.after(look).filled == {(Slot("g", 0), "t")}


def test_pods_are_there_in_the_first_pass(a: Any) -> None:
    world = a.world(a.body(a.group(1)))

    world.step()

    assert len(world.pods) == 2


# Services and rights


@pytest.mark.spec("raycluster:E62")
def test_a_service_that_is_there_is_never_touched(a: Any) -> None:
    assert a.plan(a.seen(ticketed(a), a.head(ticket="t"))).writes == ()


@pytest.mark.spec("raycluster:E65")
def test_two_services_for_the_head_stop_everything(a: Any) -> None:
    plan = a.plan(a.seen(ticketed(a, a.group(3)), services=(a.service, a.service)))

    assert (plan.writes, plan.record) == ((), None)
    assert "r-head-svc" in str(plan.result.error)


@pytest.mark.spec("raycluster:E65")
def test_no_pod_is_made_in_the_step_of_a_service(a: Any) -> None:
    """So a refused Service keeps pods from being tried."""
    plan = a.plan(a.seen(a.body(), services=()))

    assert [write.resource.kind for write in plan.steps[0].lanes[0]] == ["Service"]
    assert len(plan.steps) == 2


def test_a_serve_service_is_made_where_asked_for(a: Any) -> None:
    plan = a.plan(a.seen(a.body(annotations={"ray.io/enable-serve-service": "true"})))

    assert Kind.SERVE_SERVICE in kinds(plan)


@pytest.mark.spec("raycluster:E62", "raycluster:E65")
def test_a_serve_service_without_a_port_stops_everything(a: Any) -> None:
    pod = a.template()
    pod["spec"]["containers"][0]["ports"] = [{"name": "mine", "containerPort": 1}]
    body = a.body(annotations={"ray.io/enable-serve-service": "true"}, head={"template": pod})

    plan = a.plan(a.seen(body))

    assert (plan.writes, plan.result.error is None) == ((), False)


def test_the_autoscaler_s_rights_come_before_pods(a: Any) -> None:
    plan = a.plan(a.seen(a.body(enableInTreeAutoscaling=True)))

    assert [lane[0].why.kind for lane in plan.steps[0].lanes] == [
        Kind.SERVICE_ACCOUNT,
        Kind.ROLE,
        Kind.ROLE_BINDING,
    ]
    assert all(lane[0].adopt_foreign for lane in plan.steps[0].lanes)


def test_rights_that_are_there_are_not_made_again(a: Any) -> None:
    look = a.seen(ticketed(a, enableInTreeAutoscaling=True), a.head(ticket="t"), rights=Rights(True, True, True))

    assert a.plan(look).writes == ()


@pytest.mark.spec("raycluster:20/autoscalerserviceaccountnotfound", "raycluster:E65")
def test_a_user_s_account_must_be_there(a: Any) -> None:
    body = a.body(enableInTreeAutoscaling=True, head={"template": a.template(serviceAccountName="mine")})

    plan = a.plan(a.seen(body, rights=Rights(False, True, True)))

    assert (plan.writes, plan.events[0].reason) == ((), "AutoscalerServiceAccountNotFound")
    assert "mine" in plan.events[0].note
    assert plan.result.error is not None


@pytest.mark.spec("raycluster:E14")
def test_a_token_is_made_with_the_head(a: Any) -> None:
    secrets = [
        write.body["stringData"]
        for write in a.plan(a.seen(a.body(authOptions={}))).writes
        if isinstance(write, Create) and write.resource.kind == "Secret"
    ]

    assert secrets == [{"auth_token": "token"}]


@pytest.mark.spec("raycluster:E90")
def test_a_token_is_not_made_beside_a_head_that_may_know_another(a: Any) -> None:
    plan = a.plan(a.seen(ticketed(a, a.group(1), authOptions={}), a.head(ticket="t")))

    assert kinds(plan) == [Kind.CREATE_WORKER]


@pytest.mark.parametrize(
    ("status", "more"),
    [
        (conditions("RayClusterSuspended"), {}),
        (conditions("ReplicaFailure") | {"observedGeneration": 1}, {}),
        (REPORTED, {"predecessors": ("old",)}),
    ],
)
def test_a_token_is_not_asked_for_again_while_no_head_can_be_made(a: Any, status: Any, more: Any) -> None:
    body = a.body(authOptions={}, annotations={"manta.ray.io/ticket": "t"}, status=status)

    assert Kind.AUTH_SECRET not in kinds(a.plan(a.seen(body, **more)))


def test_a_token_that_is_asked_for_while_the_head_is_refused_is_made(a: Any) -> None:
    """The refusal tells of a spec that asked for none; a head without its Secret would never start."""
    told = conditions("ReplicaFailure") | {"observedGeneration": 1}
    body = a.body(authOptions={}, annotations={"manta.ray.io/ticket": "t"}, status=told)
    body["metadata"]["generation"] = 2

    assert Kind.AUTH_SECRET in kinds(a.plan(a.seen(body)))


# The head


@pytest.mark.spec("raycluster:E32")
def test_two_heads_stop_everything_until_one_is_removed(a: Any) -> None:
    plan = a.plan(a.seen(ticketed(a, a.group(3)), a.head("a"), a.head("b")))

    assert (plan.writes, plan.notes) == ((), {"reported": False})
    assert str(plan.result.error) == "more than one head pod: a, b; delete all but one"


@pytest.mark.spec("raycluster:20/deletedheadpod-failedtodeleteheadpod")
def test_what_is_told_of_a_deleted_head_says_how_it_ended(a: Any) -> None:
    head = a.head("h", ticket="t", phase="Running", policy="Never", terminated={"exitCode": 3, "reason": "Error"})

    (write,) = a.plan(a.seen(ticketed(a, a.group(0)), head)).writes

    assert write.why.tail == (
        "; Pod status: Running; Pod restart policy: Never; Ray container terminated status: "
        "&ContainerStateTerminated{ExitCode:3,Signal:0,Reason:Error,Message:,StartedAt:0001-01-01 00:00:00 +0000 UTC,"
        "FinishedAt:0001-01-01 00:00:00 +0000 UTC,ContainerID:,}"
    )


@pytest.mark.spec("raycluster:E20", "raycluster:E21")
@pytest.mark.parametrize("policy", ["Always", "Never"])
def test_a_failed_head_goes_and_comes_back_when_it_is_gone(a: Any, policy: str) -> None:
    body = ticketed(a, a.group(0))
    failed = a.head("h", ticket="t", phase="Failed", policy=policy)

    first = a.plan(a.seen(body, failed))
    second = a.plan(a.seen(body, a.head("h", ticket="t", phase="Failed", deleting=True)))

    assert (kinds(first), kinds(second), second.record) == ([Kind.DELETE_HEAD], [], None)


def test_a_delete_names_the_very_pod(a: Any) -> None:
    (delete,) = a.plan(a.seen(ticketed(a), a.head("h", phase="Failed"))).writes

    assert isinstance(delete, Delete)
    assert (delete.name, delete.uid) == ("h", "uid-h")


@pytest.mark.spec("raycluster:E44")
@pytest.mark.parametrize(("provisioned", "replaced"), [(True, False), (False, True)])
def test_a_sidecar_job_s_head_is_not_replaced_once_it_was_up(a: Any, provisioned: bool, replaced: bool) -> None:
    status = conditions("RayClusterProvisioned") if provisioned else REPORTED
    body = a.body(
        a.group(2),
        annotations={"ray.io/disable-provisioned-head-restart": "true", "manta.ray.io/ticket": "t"},
        status=status,
    )

    assert bool(a.plan(a.seen(body)).writes) is replaced


def test_a_refused_head_keeps_workers_waiting_but_not_deletions(a: Any) -> None:
    body = ticketed(a, a.group(1, "a"), a.group(1, "b"))
    extra = [a.pod(f"a{index}", group="a", index=index, ticket="t") for index in range(3)]

    plan = a.plan(a.seen(body, *extra))

    assert [sorted({write.why.kind.name for lane in step.lanes for write in lane}) for step in plan.steps] == [
        ["CREATE_HEAD", "DELETE_SURPLUS"],
        ["CREATE_WORKER"],
    ]


@pytest.mark.spec("raycluster:E45")
def test_pods_of_a_deleted_namesake_are_waited_for(a: Any) -> None:
    """The new head would share its name with the old one, and workers might join that."""
    plan = a.plan(a.seen(a.body(a.group(2)), services=(), predecessors=("r-head-old",)))

    assert kinds(plan) == [Kind.HEAD_SERVICE]


# Workers


@pytest.mark.spec("raycluster:E33")
def test_groups_have_lanes_of_their_own(a: Any) -> None:
    """What is refused to one group does not starve the others."""
    plan = a.plan(a.seen(ticketed(a, a.group(2, "a"), a.group(2, "b")), a.head(ticket="t")))

    assert [{write.why.group for write in lane} for lane in plan.steps[0].lanes] == [{"a"}, {"b"}]


@pytest.mark.spec("raycluster:E26")
def test_only_the_group_s_own_pods_can_be_named(a: Any) -> None:
    """The reference deletes any pod of the namespace by that name."""
    doomed = {"workersToDelete": ["r-head-zzzzz", "b0", "somebody-s"]}
    body = ticketed(a, a.group(1, "a", scaleStrategy=doomed), a.group(1, "b"))

    plan = a.plan(a.seen(body, *running(a, 1, name="a"), *running(a, 1, name="b")[1:]))

    assert plan.writes == ()


@pytest.mark.spec("raycluster:E34")
def test_the_pods_of_a_removed_group_are_left_alone(a: Any) -> None:
    plan = a.plan(a.seen(ticketed(a, a.group(1, "b")), *running(a, 3, name="a"), *running(a, 1, name="b")[1:]))

    assert plan.writes == ()


@pytest.mark.spec("raycluster:E5")
def test_of_two_groups_with_one_name_the_first_counts(a: Any) -> None:
    """In the reference they take each other's pods away for ever."""
    look = a.seen(ticketed(a, a.group(2), a.group(1)), *running(a, 2))

    plan = a.plan(look)

    assert (plan.writes, "same name" in plan.events[0].note) == ((), True)


@pytest.mark.spec("raycluster:E6")
def test_a_group_may_be_called_headgroup(a: Any) -> None:
    """The head is none of its workers: the reference takes it for one."""
    body = ticketed(a, a.group(1, "headgroup"))
    plan = a.plan(a.seen(body, a.head(ticket="t")))

    assert kinds(plan) == [Kind.CREATE_WORKER]
    assert names(plan)[0].startswith("r-headgroup-worker-")


@pytest.mark.spec("raycluster:E23")
@pytest.mark.parametrize(
    ("autoscaling", "options", "gone"),
    [(False, Options(), 2), (True, Options(), 0), (True, Options(random_pod_delete=True), 2)],
)
def test_with_an_autoscaler_only_it_chooses_who_goes(a: Any, autoscaling: bool, options: Options, gone: int) -> None:
    body = ticketed(a, a.group(3), enableInTreeAutoscaling=autoscaling)

    plan = a.plan(a.seen(body, *running(a, 5), rights=Rights(True, True, True)), options)

    assert (len(names(plan, Delete)), plan.result.error) == (gone, None)


@pytest.mark.spec("raycluster:E48")
def test_a_suspended_group_takes_nobody_else_s_pods(a: Any) -> None:
    body = ticketed(a, a.group(2, "a", suspend=True), a.group(1, "b"))

    plan = a.plan(a.seen(body, *running(a, 2, name="a"), *running(a, 1, name="b")[1:]))

    assert (names(plan, Delete), names(plan)) == (["a0", "a1"], [])


# Pods of another operator


def test_kuberay_s_pods_are_taken_over_as_they_are(a: Any) -> None:
    """Their names are random, and their places stand in a label."""
    theirs = [a.head("r-head-abcde"), a.pod("r-g-worker-fghij", index=0), a.pod("r-g-worker-klmno", index=1)]

    assert a.plan(a.seen(a.body(a.group(2), status=REPORTED), *theirs)).writes == ()


def test_what_is_missing_beside_kuberay_s_pods_is_made_under_a_ticket_of_ours(a: Any) -> None:
    world = a.world(a.body(a.group(3), status=REPORTED))
    for pod in (a.pod_json("h", group="headgroup"), a.pod_json("w0", index=0), a.pod_json("w2", index=2)):
        world.pods[pod["metadata"]["name"]] = pod

    world.settle()

    (made,) = world.born
    assert world.records == 1
    assert world.pods[made]["metadata"]["annotations"]["manta.ray.io/slot"] == "g/1"


def test_pods_without_any_index_are_counted(a: Any) -> None:
    theirs = [a.head("h"), a.pod("w0"), a.pod("w1")]

    assert a.plan(a.seen(ticketed(a, a.group(2)), *theirs)).writes == ()


# Upgrades


def recreated(a: Any, *, version: str | None, stored: str | None, **spec: Any) -> Plan:
    body = ticketed(a, a.group(1), upgradeStrategy={"type": "Recreate"}, **spec)
    head = a.pod_json("h", group="headgroup", ticket="t")
    stamps = {"ray.io/kuberay-version": version, "ray.io/upgrade-strategy-recreate-hash": stored}
    head["metadata"]["annotations"] |= {key: text for key, text in stamps.items() if text is not None}
    view = type(a.head()).of(head)
    plan: Plan = a.plan(a.seen(body, view, a.pod("w", index=0, ticket="t")))
    return plan


@pytest.mark.spec("raycluster:E86")
def test_a_changed_spec_replaces_all_pods_where_asked_for(a: Any) -> None:
    plan = recreated(a, version=Options().version, stored="OTHER")

    assert (kinds(plan), names(plan, Delete)) == ([Kind.RECREATE] * 2, ["w", "h"])
    assert len(plan.steps) == 2, "the head, whose hash tells that the others are outdated, goes once they are gone"


@pytest.mark.spec("raycluster:E86")
@pytest.mark.parametrize("stored", ["", None])
def test_a_head_without_a_hash_is_not_replaced(a: Any, stored: str | None) -> None:
    assert recreated(a, version=Options().version, stored=stored).writes == ()


@pytest.mark.spec("raycluster:E86")
def test_another_operator_s_head_is_stamped_and_kept(a: Any) -> None:
    """A swap of the operator restarts nobody's pods."""
    (stamp,) = recreated(a, version="v1.7.0", stored="THEIRS").writes

    assert isinstance(stamp, MergePatch)
    written = stamp.body["metadata"]["annotations"]
    assert (stamp.name, stamp.uid, written["ray.io/kuberay-version"]) == ("h", "uid-h", Options().version)
    assert written["ray.io/upgrade-strategy-recreate-hash"] not in ("", "THEIRS")


@pytest.mark.spec("raycluster:E87")
def test_only_the_head_is_looked_at(a: Any) -> None:
    body = ticketed(a, a.group(1), upgradeStrategy={"type": "Recreate"})

    plan = a.plan(a.seen(body, a.pod("w", index=0, ticket="t")))

    assert kinds(plan) == [Kind.CREATE_HEAD]


@pytest.mark.spec("raycluster:E88")
def test_while_replaced_pods_terminate_nothing_is_written(a: Any) -> None:
    world = a.world(a.body(a.group(1), upgradeStrategy={"type": "Recreate"}))
    world.settle()
    world.run()
    world.settle()
    world.change(rayVersion="2.53.0")
    world.step()
    told = [one.reason for one in world.events].count("DeletedPod")

    world.step()

    assert (told, [one.reason for one in world.events].count("DeletedPod"), len(world.born)) == (1, 1, 2)


def test_replaced_pods_come_back_under_new_names(a: Any) -> None:
    world = a.world(a.body(a.group(1), upgradeStrategy={"type": "Recreate"}))
    world.settle()
    world.change(rayVersion="2.53.0")
    world.settle()
    world.vanish()

    world.settle()

    assert (len(world.pods), len(set(world.born))) == (2, 4)


# Suspend


def test_without_the_gate_suspend_deletes_at_once(a: Any) -> None:
    off = Options(gates=Gates(ray_cluster_status_conditions=False))

    assert kinds(a.plan(a.seen(ticketed(a, a.group(1), suspend=True), *running(a, 1)), off)) == [Kind.SUSPEND] * 2


def test_suspend_is_first_said_and_then_done(a: Any) -> None:
    said = a.body(a.group(1), suspend=True, status=conditions("RayClusterSuspending"))

    assert a.plan(a.seen(a.body(a.group(1), suspend=True, status=REPORTED), *running(a, 1))).writes == ()
    assert kinds(a.plan(a.seen(said, *running(a, 1)))) == [Kind.SUSPEND] * 2


@pytest.mark.spec("raycluster:E76")
@pytest.mark.parametrize("asked", [{"suspend": True}, {}, {"suspend": False}])
def test_a_suspended_cluster_gets_no_pods_before_its_status_says_that_it_resumes(a: Any, asked: Any) -> None:
    body = a.body(a.group(1), status=conditions("RayClusterSuspended"), **asked)

    assert a.plan(a.seen(body)).writes == ()


def test_children_are_kept_while_suspended(a: Any) -> None:
    body = a.body(a.group(1), suspend=True, status=conditions("RayClusterSuspended"))

    assert kinds(a.plan(a.seen(body, services=()))) == [Kind.HEAD_SERVICE]
