"""Histories: what happens to a pod, one event after the other, and what its node does about it."""

from __future__ import annotations

from typing import Any

import pytest

from localcluster.node import lifecycle, model
from localcluster.node.interfaces import Exit
from localcluster.node.model import Announce, ProbeKind
from localcluster.node.podstatus import status_of

COMPLETED = Exit(0, "Completed")
ERROR = Exit(1, "Error")


def a_pod(*containers: dict[str, Any], inits: tuple[dict[str, Any], ...] = (), **spec: Any) -> dict[str, Any]:
    """A pod of the given containers; one named c without any."""
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u1"},
        "spec": {"containers": list(containers or (a_container(),)), "initContainers": list(inits), **spec},
    }


def a_container(name: str = "c", **more: Any) -> dict[str, Any]:
    """A container of image img."""
    return {"name": name, "image": "img", "imagePullPolicy": "IfNotPresent", **more}


class Told:
    """A pod's life being told: time, state, and the actions of the newest step."""

    def __init__(self, pod: dict[str, Any]) -> None:
        self.pod = pod
        self.now = 1000.0
        self.life = lifecycle.new(model.spec_of(pod))
        self.actions: list[model.Action] = []
        self.said: list[Announce] = []
        self.wake: float | None = None
        self.happens(model.Admitted())

    def happens(self, *events: model.Event) -> Told:
        """Feed events; the actions since this call are kept, announcements for ever."""
        self.actions = []
        for event in events:
            step = lifecycle.step(self.life, event, self.now)
            self.life, self.wake = step.life, step.wake
            self.said += [one for one in step.actions if isinstance(one, Announce)]
            self.actions += [one for one in step.actions if not isinstance(one, Announce)]
        self.pod["status"] = {**self.pod.get("status", {}), **status_of(self.life, self.pod, self.now)}
        return self

    def placed(self) -> Told:
        """The sandbox is there."""
        return self.happens(model.SandboxReady("10.0.0.1", "10.9.9.9"))

    def started(self, *names: str) -> Told:
        """The containers are pulled and run."""
        for name in names or ("c",):
            self.happens(model.Pulled(name, "id")).happens(model.Started(name))
        return self

    def later(self, seconds: float) -> Told:
        """Time passes, and the node comes back as it was asked to, each time."""
        until = self.now + seconds
        kept: list[model.Action] = []
        while self.wake is not None and self.wake <= until:
            self.now = max(self.now, self.wake)
            self.happens(model.Tick())
            kept += self.actions
        self.now = until
        self.actions = kept
        return self

    def reasons(self) -> list[str]:
        """Of all events for the user so far."""
        return [one.reason for one in self.said]

    @property
    def phase(self) -> str:
        return str(self.pod["status"]["phase"])

    def state(self, name: str = "c") -> dict[str, Any]:
        """status.containerStatuses[name].state, or of an init container."""
        return dict(self.status(name)["state"])

    def status(self, name: str = "c") -> dict[str, Any]:
        """The whole container status."""
        status = self.pod["status"]
        every = [*status["containerStatuses"], *status.get("initContainerStatuses", [])]
        return next(one for one in every if one["name"] == name)

    def condition(self, type_: str) -> dict[str, Any]:
        """One condition."""
        return next(one for one in self.pod["status"]["conditions"] if one["type"] == type_)


def test_a_pod_comes_up_in_the_order_sandbox_pull_start_ready() -> None:
    """Each step waits for the answer of the one before, and the status says where it stands."""
    told = Told(a_pod())
    assert told.actions == [model.CreateSandbox()]
    assert told.state() == {"waiting": {"reason": "ContainerCreating"}}
    assert told.phase == "Pending"

    assert told.placed().actions == [model.Pull("c")]
    assert told.happens(model.Pulled("c", "sha")).actions == [model.Start("c", 0)]
    told.happens(model.Started("c"))

    assert told.phase == "Running"
    assert told.state() == {"running": {"startedAt": "1970-01-01T00:16:40Z"}}
    assert told.condition("Ready")["status"] == "True"
    assert told.pod["status"]["podIP"] == "10.0.0.1"
    assert told.reasons() == ["Pulled", "Created", "Started"]
    assert told.wake is None


def test_an_idle_pod_without_probes_asks_for_no_wake_up() -> None:
    """40,000 pods must cost nothing while nothing happens."""
    assert Told(a_pod()).placed().started().wake is None


def test_an_event_carries_the_words_of_a_kubelet() -> None:
    """Users search for these texts."""
    told = Told(a_pod()).placed()

    told.happens(model.PullBegan("c"), model.Pulled("c", "id", 1.5), model.Started("c"))

    assert [one.message for one in told.said] == [
        'Pulling image "img"',
        'Successfully pulled image "img" in 1.5s (1.5s including waiting)',
        "Container created",
        "Container started",
    ]
    told = Told(a_pod()).placed().happens(model.Pulled("c", "id"))
    assert told.said[0].message == 'Container image "img" already present on machine and can be accessed by the pod'


def test_init_containers_run_one_after_the_other_before_the_main_ones() -> None:
    """A later one does not start while an earlier one runs."""
    told = Told(a_pod(a_container(), inits=(a_container("i1"), a_container("i2")))).placed()
    assert told.actions == [model.Pull("i1")]
    assert told.condition("Initialized")["message"] == "containers with incomplete status: [i1 i2]"
    assert told.state() == {"waiting": {"reason": "PodInitializing"}}

    told.started("i1").happens(model.Exited("i1", COMPLETED))
    assert told.actions == [model.Pull("i2")]
    told.started("i2").happens(model.Exited("i2", COMPLETED))

    assert told.actions == [model.Pull("c")]
    assert told.condition("Initialized")["status"] == "True"
    assert told.phase == "Pending"


def test_a_failing_init_container_is_tried_again_unless_the_policy_is_never() -> None:
    """With Never the pod has failed; otherwise it waits in back-off, still Pending."""
    forever = Told(a_pod(inits=(a_container("i"),))).placed().started("i")
    assert forever.happens(model.Exited("i", ERROR)).actions == [model.Pull("i")]
    assert forever.phase == "Pending"

    once = Told(a_pod(inits=(a_container("i"),), restartPolicy="Never")).placed().started("i")
    assert once.happens(model.Exited("i", ERROR)).actions == []
    assert once.phase == "Failed"
    assert once.condition("Ready")["reason"] == "PodFailed"


def test_a_sidecar_starts_before_and_outlives_the_main_container() -> None:
    """It holds the next one back until it has started, and is stopped when all main ones have ended."""
    sidecar = a_container("s", restartPolicy="Always")
    told = Told(a_pod(inits=(sidecar,), restartPolicy="Never")).placed()
    assert told.actions == [model.Pull("s")]
    assert told.started("s").actions == [model.Pull("c")]

    told.started("c").happens(model.Exited("c", COMPLETED))
    assert told.actions == [model.Stop("s", 30)]
    assert told.phase == "Running"

    told.happens(model.Exited("s", Exit(137, "Error")))
    assert told.phase == "Succeeded"
    assert told.condition("ContainersReady")["reason"] == "PodCompleted"


@pytest.mark.parametrize(
    ("policy", "exit_", "phase", "again"),
    [
        ("Never", COMPLETED, "Succeeded", False),
        ("Never", ERROR, "Failed", False),
        ("OnFailure", COMPLETED, "Succeeded", False),
        ("OnFailure", ERROR, "Running", True),
        ("Always", COMPLETED, "Running", True),
        ("Always", ERROR, "Running", True),
    ],
)
def test_the_restart_policy_decides_what_an_exit_means(policy: str, exit_: Exit, phase: str, again: bool) -> None:
    """The first restart is at once."""
    told = Told(a_pod(restartPolicy=policy)).placed().started()

    told.happens(model.Exited("c", exit_))

    assert told.phase == phase
    assert told.actions == ([model.Pull("c")] if again else [])


def test_restarts_back_off_from_10_s_doubling_to_5_minutes() -> None:
    """Counted from the end of the last run; the first one takes a second longer, since it must be told before."""
    told = Told(a_pod()).placed().started()
    waits = []
    for _ in range(8):
        told.happens(model.Exited("c", ERROR))
        ended = told.now
        while not told.actions:
            assert told.wake is not None
            told.later(told.wake - told.now)
        waits.append(told.now - ended)
        assert told.actions == [model.Pull("c")]
        told.started()

    assert waits == [0, 11, 20, 40, 80, 160, 300, 300]
    assert told.status()["restartCount"] == 8


def test_a_crash_loop_says_how_long_it_waits_and_how_the_last_run_ended() -> None:
    """The words that kubectl and operators read."""
    told = Told(a_pod()).placed().started().happens(model.Exited("c", ERROR)).started()

    told.happens(model.Exited("c", Exit(137, "OOMKilled")))
    assert told.state()["terminated"]["reason"] == "OOMKilled", "for ten seconds, as long as a kubelet looks away"
    told.later(10)

    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container=c pod=p_ns(u1)"}
    assert told.state() == {"waiting": waiting}
    assert told.status()["lastState"]["terminated"]["exitCode"] == 137
    assert told.status()["lastState"]["terminated"]["reason"] == "OOMKilled"
    assert told.said[-1] == Announce(
        "Warning", "BackOff", "Back-off restarting failed container c in pod p_ns(u1)", "c"
    )
    assert told.condition("Ready")["message"] == "containers with unready status: [c]"


def test_a_container_that_runs_again_still_says_how_it_ended_before() -> None:
    """Or nobody could tell why it was restarted."""
    told = Told(a_pod()).placed().started().happens(model.Exited("c", Exit(137, "OOMKilled"))).started()

    assert "running" in told.state()
    assert told.status()["lastState"]["terminated"]["reason"] == "OOMKilled"


def test_a_container_that_ran_well_for_ten_minutes_restarts_at_once() -> None:
    """The back-off is forgotten."""
    told = Told(a_pod()).placed().started()
    for _ in range(3):
        told.happens(model.Exited("c", ERROR))
        told.later(300).started()

    told.later(601).happens(model.Exited("c", ERROR))

    assert told.actions == [model.Pull("c")]


def test_an_image_that_cannot_be_pulled_reads_err_then_backoff_and_is_tried_again() -> None:
    """10 s, then 20 s; the second look says ImagePullBackOff."""
    told = Told(a_pod()).placed().happens(model.PullFailed("c", "ErrImagePull", "no such image"))
    assert told.state() == {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}

    told.later(2)
    assert told.state()["waiting"]["reason"] == "ImagePullBackOff"
    assert told.actions == []
    assert told.later(8).actions == [model.Pull("c")]

    told.happens(model.PullFailed("c", "ErrImagePull", "no such image"))
    assert told.later(19).actions == []
    assert told.later(1).actions == [model.Pull("c")]
    assert told.reasons() == ["Failed", "Failed", "BackOff", "Failed"] * 2


def test_a_container_whose_secret_is_missing_waits_in_CreateContainerConfigError() -> None:  # noqa: N802
    """It counts as no restart."""
    told = Told(a_pod()).placed().happens(model.Pulled("c", "id"))

    told.happens(model.ConfigMissing("c", 'secret "s" not found'))

    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "s" not found'}
    assert told.state() == {"waiting": waiting}
    assert told.later(10).actions == [model.Pull("c")]
    assert told.started().status()["restartCount"] == 0


def test_a_sandbox_that_cannot_be_made_is_tried_again_and_the_pod_stays_creating() -> None:
    """A missing volume is tried sooner than a missing network."""
    told = Told(a_pod()).happens(model.SandboxFailed("FailedMount", "no configmap"))
    assert told.said == [Announce("Warning", "FailedMount", "no configmap")]
    assert told.later(0.5).actions == [model.CreateSandbox()]

    told.happens(model.SandboxFailed("FailedCreatePodSandBox", "no address left"))
    assert told.later(9).actions == []
    assert told.later(1).actions == [model.CreateSandbox()]
    assert told.condition("PodReadyToStartContainers")["status"] == "False"


def test_a_pod_is_ready_when_its_readiness_probe_has_passed_and_not_before() -> None:
    """initialDelay, period and thresholds count."""
    probe = {"initialDelaySeconds": 10, "periodSeconds": 5, "failureThreshold": 2, "successThreshold": 2}
    told = Told(a_pod(a_container(readinessProbe=probe))).placed().started()
    assert told.wake == told.now + 10
    asks = model.RunProbe("c", ProbeKind.READINESS, 0)
    assert told.later(10).actions == [asks]

    told.happens(model.Probed("c", ProbeKind.READINESS, 0, True))
    assert told.condition("Ready")["status"] == "False"
    assert told.later(5).actions == [asks]
    told.happens(model.Probed("c", ProbeKind.READINESS, 0, True))
    assert told.condition("Ready")["status"] == "True"

    told.later(5).happens(model.Probed("c", ProbeKind.READINESS, 0, False, "refused"))
    assert told.condition("Ready")["status"] == "True"
    told.later(5).happens(model.Probed("c", ProbeKind.READINESS, 0, False, "refused"))
    assert told.condition("Ready")["reason"] == "ContainersNotReady"
    assert told.said[-1].message == "Readiness probe failed: refused"


def test_a_probe_whose_answer_is_steady_is_not_asked_again_until_it_is_stirred() -> None:
    """Scripted pods answer the same until the story says otherwise; asking on would keep time from jumping."""
    told = Told(a_pod(a_container(readinessProbe={"periodSeconds": 5}))).placed().started()
    told.happens(model.Probed("c", ProbeKind.READINESS, 0, True, steady=True))
    assert told.wake is None

    told.now += 3
    told.happens(model.Stirred("c"))

    assert told.later(2).actions == [model.RunProbe("c", ProbeKind.READINESS, 0)]


def test_liveness_waits_for_startup_and_then_restarts_a_hung_container() -> None:
    """The container is stopped with its grace, and its exit restarts it."""
    probes: dict[str, Any] = {
        "startupProbe": {"periodSeconds": 1, "failureThreshold": 30},
        "livenessProbe": {"periodSeconds": 5, "failureThreshold": 2},
    }
    told = Told(a_pod(a_container(**probes))).placed().started()
    assert told.status()["started"] is False
    assert told.actions == [model.RunProbe("c", ProbeKind.STARTUP, 0)]

    told.happens(model.Probed("c", ProbeKind.STARTUP, 0, True))
    assert told.status()["started"] is True
    assert told.actions == [model.RunProbe("c", ProbeKind.LIVENESS, 0)]
    told.happens(model.Probed("c", ProbeKind.LIVENESS, 0, False, "hung"))
    told.later(5).happens(model.Probed("c", ProbeKind.LIVENESS, 0, False, "hung"))

    assert told.actions == [model.Stop("c", 30)]
    assert told.said[-1].message == "Container c failed liveness probe, will be restarted"
    assert told.happens(model.Exited("c", Exit(137, "Error"))).actions == [model.Pull("c")]


def killed_by_liveness(told: Told) -> Told:
    """The probe fails once, which is enough, and the container is gone."""
    attempt = told.status()["restartCount"]
    told.happens(model.Probed("c", ProbeKind.LIVENESS, attempt, False))
    assert told.actions == [model.Stop("c", 30)]
    return told.happens(model.Exited("c", Exit(137, "Error")))


def test_after_a_liveness_kill_the_first_two_restarts_come_at_once() -> None:
    """A kubelet that kills judges by the end of the run before: there is none, then one without a back-off."""
    told = Told(a_pod(a_container(livenessProbe={"failureThreshold": 1}))).placed().started()

    assert killed_by_liveness(told).actions == [model.Pull("c")]
    assert killed_by_liveness(told.started()).actions == [model.Pull("c")]
    assert killed_by_liveness(told.started()).actions == []
    told.later(10)
    assert told.state()["waiting"]["reason"] == "CrashLoopBackOff"


def test_a_killed_container_has_an_exit_code_and_no_signal() -> None:
    """Container runtimes of today tell none."""
    told = Told(a_pod(restartPolicy="Never")).placed().started().happens(model.Exited("c", Exit(137, "Error")))

    assert told.state()["terminated"]["exitCode"] == 137
    assert "signal" not in told.state()["terminated"]


def test_a_command_that_is_not_there_is_told_after_the_container_was_made() -> None:
    """In a kubelet's order: Created, then Failed; the container counts as ended with 128."""
    told = Told(a_pod(restartPolicy="Never")).placed().happens(model.Pulled("c", "id"))

    told.happens(model.StartFailed("c", "StartError", "no such file"))

    assert told.reasons() == ["Pulled", "Created", "Failed"]
    assert told.state()["terminated"]["exitCode"] == 128


def test_status_and_conditions_say_which_generation_of_the_pod_they_are_about() -> None:
    """Since 1.34 a kubelet does."""
    pod = a_pod()
    pod["metadata"]["generation"] = 3

    told = Told(pod).placed().started()

    assert told.pod["status"]["observedGeneration"] == 3
    assert {one["observedGeneration"] for one in told.pod["status"]["conditions"]} == {3}


def test_the_image_of_a_container_that_ran_has_its_whole_name() -> None:
    """Of a waiting one it is as written."""
    told = Told(a_pod(a_container(image="rayproject/ray:2.52.0"))).placed()
    assert told.status()["image"] == "rayproject/ray:2.52.0"

    assert told.started().status()["image"] == "docker.io/rayproject/ray:2.52.0"


def test_a_startup_probe_that_never_passes_restarts_the_container() -> None:
    """After failureThreshold tries."""
    told = Told(a_pod(a_container(startupProbe={"periodSeconds": 1, "failureThreshold": 2}))).placed().started()
    told.happens(model.Probed("c", ProbeKind.STARTUP, 0, False))

    told.later(1).happens(model.Probed("c", ProbeKind.STARTUP, 0, False))

    assert told.actions == [model.Stop("c", 30)]


def test_an_answer_to_a_probe_of_the_start_before_counts_nothing() -> None:
    """It came late; the container has been restarted since."""
    told = Told(a_pod(a_container(livenessProbe={"failureThreshold": 1}))).placed().started()
    told.happens(model.Exited("c", ERROR)).started()

    told.happens(model.Probed("c", ProbeKind.LIVENESS, 0, False))

    assert told.actions == []


def test_a_post_start_hook_holds_the_container_back_and_its_failure_restarts_it() -> None:
    """Until it is done the container does not count as running."""
    told = Told(a_pod(a_container(lifecycle={"postStart": {"exec": {}}}))).placed()
    told.happens(model.Pulled("c", "id"), model.Started("c"))
    assert told.actions == [model.Start("c", 0), model.RunHook("c", "postStart")]
    assert told.phase == "Pending"

    told.happens(model.HookDone("c", "postStart", False))

    assert told.actions == [model.Stop("c", 30)]
    assert told.reasons()[-2:] == ["FailedPostStartHook", "Killing"]


def test_deleting_a_pod_runs_pre_stop_then_terminates_within_what_is_left_of_the_grace() -> None:
    """The hook's time is part of the grace; at the end the object is finished with grace 0."""
    told = Told(a_pod(a_container(lifecycle={"preStop": {"exec": {}}}))).placed().started()
    told.happens(model.Deleted(30))
    assert told.actions == [model.RunHook("c", "preStop", 30)]
    assert told.said[-1] == Announce("Normal", "Killing", "Stopping container c", "c")

    told.now += 12
    assert told.happens(model.HookDone("c", "preStop", True)).actions == [model.Stop("c", 18)]
    told.happens(model.Exited("c", Exit(143, "Error")))

    assert told.actions == [model.RemoveSandbox(), model.FinishDeletion()]
    assert told.phase == "Failed"
    assert told.life.gone


def test_a_hastened_deletion_stops_again_with_less_grace() -> None:
    """A longer one changes nothing."""
    told = Told(a_pod()).placed().started().happens(model.Deleted(30))
    assert told.actions == [model.Stop("c", 30)]

    assert told.happens(model.Deleted(60)).actions == []
    assert told.happens(model.Deleted(5)).actions == [model.Stop("c", 5)]


def test_sidecars_are_stopped_after_the_main_containers_the_last_one_first() -> None:
    """They serve those that start after them, so they go in reverse."""
    sidecars = tuple(a_container(name, restartPolicy="Always") for name in ("s1", "s2"))
    told = Told(a_pod(inits=sidecars)).placed().started("s1").started("s2").started("c")

    assert told.happens(model.Deleted(30)).actions == [model.Stop("c", 30)]
    assert told.happens(model.Exited("c", COMPLETED)).actions == [model.Stop("s2", 30)]
    assert told.happens(model.Exited("s2", COMPLETED)).actions == [model.Stop("s1", 30)]
    assert told.happens(model.Exited("s1", COMPLETED)).actions == [model.RemoveSandbox(), model.FinishDeletion()]
    assert told.phase == "Succeeded"


def test_a_pod_that_is_deleted_while_it_is_still_creating_goes_at_once() -> None:
    """Nothing runs yet that would need grace."""
    told = Told(a_pod())

    assert told.happens(model.Deleted(30)).actions == [model.RemoveSandbox(), model.FinishDeletion()]


def test_a_container_that_was_just_starting_is_stopped_once_it_runs() -> None:
    """The deletion came between Start and Started."""
    told = Told(a_pod()).placed().happens(model.Pulled("c", "id"), model.Deleted(30))
    assert told.actions == [model.Start("c", 0)]

    assert told.happens(model.Started("c")).actions == [model.Stop("c", 30)]


def test_a_pod_past_its_active_deadline_is_stopped_and_fails() -> None:
    """The phase says so only when nothing runs any more."""
    told = Told(a_pod(activeDeadlineSeconds=60)).placed().started()
    assert told.wake == 1060

    assert told.later(60).actions == [model.Stop("c", 30)]
    assert told.phase == "Running"
    told.happens(model.Exited("c", Exit(137, "Error")))

    assert told.phase == "Failed"
    assert told.pod["status"]["reason"] == "DeadlineExceeded"
    assert told.wake is None


def test_an_evicted_pod_fails_for_good_even_with_restart_policy_always() -> None:
    """The reason is on the status, the containers are not restarted."""
    told = Told(a_pod()).placed().started()

    told.happens(model.Failed("Evicted", "The node was low on resource: memory.", 0))
    assert told.actions == [model.Stop("c", 2)]
    told.happens(model.Exited("c", Exit(137, "Error")))

    assert told.actions == []
    assert (told.phase, told.pod["status"]["reason"]) == ("Failed", "Evicted")


def test_a_container_that_cannot_be_started_counts_as_ended_with_128() -> None:
    """And is tried again with back-off."""
    told = Told(a_pod(restartPolicy="Never")).placed().happens(model.Pulled("c", "id"))

    told.happens(model.StartFailed("c", "StartError", "exec: no such file"))

    assert told.state()["terminated"]["exitCode"] == 128
    assert told.state()["terminated"]["reason"] == "StartError"
    assert told.phase == "Failed"


def test_an_unchanged_condition_keeps_its_time_and_foreign_ones_stay() -> None:
    """PodScheduled is the scheduler's; the node carries it over."""
    pod = a_pod(a_container(readinessProbe={"periodSeconds": 5}))
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "1970-01-01T00:00:00Z"}
    pod["status"] = {"conditions": [scheduled]}
    told = Told(pod).placed().started()

    told.later(100).happens(model.Probed("c", ProbeKind.READINESS, 0, True))

    assert told.condition("PodScheduled") == scheduled
    assert told.condition("Initialized")["lastTransitionTime"] == "1970-01-01T00:16:40Z"
    assert told.condition("Ready")["lastTransitionTime"] == "1970-01-01T00:18:20Z"


def test_a_readiness_gate_keeps_the_pod_unready_while_its_containers_are_ready() -> None:
    """Somebody else sets that condition."""
    told = Told(a_pod(readinessGates=[{"conditionType": "x/y"}])).placed().started()

    assert told.condition("ContainersReady")["status"] == "True"
    assert told.condition("Ready")["reason"] == "ReadinessGatesNotReady"
    message = 'corresponding condition of pod readiness gate "x/y" does not exist.'
    assert told.condition("Ready")["message"] == message


def test_nothing_happens_to_a_pod_that_is_gone() -> None:
    """A late answer of a runtime finds nobody."""
    told = Told(a_pod()).placed().started()
    told.happens(model.Deleted(1)).happens(model.Exited("c", COMPLETED))
    gone = told.life

    assert told.happens(model.Started("c"), model.Tick()).life == gone
    assert told.actions == []
