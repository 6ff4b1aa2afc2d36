"""What a person is told of a RayService: writes of its status in, lines out, and what ends the run."""

from __future__ import annotations

from typing import Any

import pytest

from manta.lines import Line, Verdict
from manta.progress import Progress

Json = dict[str, Any]

PROBLEM = "PUT http://head:8265/api/serve/applications/: 400: applications: Field required"


def a_service(message: str, *, reason: str = "Initializing", ready: str = "False", **roles: Json) -> Json:
    condition = {"type": "Ready", "status": ready, "reason": reason, "message": message}
    parts = {f"{role}ServiceStatus": part for role, part in roles.items()}
    return {"metadata": {"name": "greeter"}, "status": {"conditions": [condition], **parts}}


def a_cluster(name: str = "greeter-abcde", **applications: Json) -> Json:
    return {"rayClusterName": name, "rayClusterStatus": {}, "applicationStatuses": applications}


def an_application(status: str, message: str = "", **deployments: Json) -> Json:
    return {"status": status, "message": message, "serveDeploymentStatuses": deployments}


def told(progress: Progress, body: Json) -> list[Line]:
    return list(progress.object_changed(body))


def test_what_a_service_waits_for_is_told_in_the_operators_sentence() -> None:
    """And again only when that changes: a status is written for other reasons, too."""
    progress = Progress("RayService", "greeter")
    waiting = a_service("waiting for the head of RayCluster greeter-abcde", pending=a_cluster())

    first, again = told(progress, waiting), told(progress, waiting)

    sentence = "Initializing: waiting for the head of RayCluster greeter-abcde"
    assert first == [Line("phase", "RayService greeter", sentence)]
    assert again == []


def test_each_state_of_an_application_is_told_with_its_cluster() -> None:
    """In an upgrade two clusters have the same applications."""
    progress = Progress("RayService", "greeter")
    running = a_cluster(greet=an_application("RUNNING"))
    told(progress, a_service("wait", pending=a_cluster(greet=an_application("DEPLOYING"))))

    lines = told(progress, a_service("wait", active=running))
    upgrading = a_cluster("greeter-fghij", greet=an_application("DEPLOYING"))
    next_ = told(progress, a_service("wait", active=running, pending=upgrading))

    assert lines == [Line("application", "application greet", "RUNNING on greeter-abcde")]
    assert next_ == [Line("application", "application greet", "DEPLOYING on greeter-fghij")]


def test_pods_of_both_clusters_of_an_upgrade_are_followed() -> None:
    """And those of other clusters are not."""
    progress = Progress("RayService", "greeter")
    told(progress, a_service("wait", active=a_cluster(), pending=a_cluster("greeter-fghij")))

    lines = [line for cluster in ("greeter-abcde", "greeter-fghij", "other") for line in of_a_pod(progress, cluster)]

    assert [line.about for line in lines] == ["greeter-abcde-head", "greeter-fghij-head"]


def of_a_pod(progress: Progress, cluster: str) -> list[Line]:
    labels = {"ray.io/cluster": cluster, "ray.io/node-type": "head"}
    pod = {"metadata": {"name": f"{cluster}-head", "labels": labels}, "status": {"phase": "Running"}}
    return list(progress.pod_changed("ADDED", pod))


def test_what_keeps_a_deployment_from_running_is_told_once() -> None:
    """Serve says it in the deployment's message, again and again."""
    progress = Progress("RayService", "greeter")
    why = "1 replica has taken more than 30s to be scheduled"
    starved = a_cluster(greet=an_application("DEPLOYING", Greeter={"status": "UPDATING", "message": why}))
    told(progress, a_service("wait", pending=a_cluster(greet=an_application("DEPLOYING"))))

    first = told(progress, a_service("wait", pending=starved))
    again = told(progress, a_service("wait longer", pending=starved))

    assert first == [Line("trouble", "deployment Greeter of greet", why)]
    assert again == [Line("phase", "RayService greeter", "Initializing: wait longer")]


def test_a_service_that_is_ready_is_asked_before_the_run_is_over() -> None:
    """The verdict comes with the answer (follow.py)."""
    progress = Progress("RayService", "greeter")

    lines = told(progress, a_service("2 pods take requests", ready="True", active=a_cluster()))

    assert lines == [Line("phase", "RayService greeter", "ready: 2 pods take requests")]
    assert progress.can_be_asked
    assert progress.verdict is None


def test_a_service_that_serves_while_its_next_cluster_is_made_is_not_asked_yet() -> None:
    """What would answer is the old one."""
    progress = Progress("RayService", "greeter")

    told(progress, a_service("serves", ready="True", active=a_cluster(), pending=a_cluster("greeter-fghij")))

    assert not progress.can_be_asked


def test_an_application_that_cannot_be_deployed_ends_with_one_and_its_cause() -> None:
    """Serve's message is a traceback: what went wrong stands in its last line, and all of it below."""
    progress = Progress("RayService", "greeter")
    message = (
        "Deploying app 'greet' failed with exception:\nTraceback (most recent call last):\n  File x\nOSError: no\n"
    )

    told(progress, a_service("wait", pending=a_cluster(greet=an_application("DEPLOY_FAILED", message))))

    assert progress.verdict == Verdict(
        1,
        "application greet could not be deployed on greeter-abcde: OSError: no",
        tuple(message.splitlines()),
    )


def test_a_deployment_that_does_not_start_says_why_for_its_application() -> None:
    """The application itself only names its deployments."""
    progress = Progress("RayService", "greeter")
    deployment = {"status": "DEPLOY_FAILED", "message": "The deployment failed to start 3 times in a row."}
    failed = an_application("DEPLOY_FAILED", "Failed to update the deployments ['Greeter'].", Greeter=deployment)

    told(progress, a_service("wait", pending=a_cluster(greet=failed)))

    assert progress.verdict is not None
    assert progress.verdict.text.endswith("greeter-abcde: The deployment failed to start 3 times in a row.")


@pytest.mark.parametrize("reason", ["ValidationFailed", "InitializingTimeout"])
def test_a_service_that_is_given_up_ends_with_one_and_the_operators_sentence(reason: str) -> None:
    """Nothing follows, however long one waits."""
    progress = Progress("RayService", "greeter")

    told(progress, a_service("the name is too long", reason=reason))

    assert progress.verdict == Verdict(1, f"the service failed: {reason}: the name is too long")


def refused() -> Progress:
    """A service whose configuration Serve does not take."""
    progress = Progress("RayService", "greeter")
    told(progress, a_service(f"greeter-abcde does not take the configuration: {PROBLEM}", pending=a_cluster()))
    note = f"Failed to update serve applications to the RayCluster default/greeter-abcde: {PROBLEM}"
    about = {"kind": "RayService", "name": "greeter"}
    event = {"type": "Warning", "reason": "FailedToUpdateServeApplications", "note": note, "regarding": about}
    assert [line.what for line in progress.event_told(event)] == ["event"]
    return progress


def test_a_configuration_that_serve_refuses_is_hopeless() -> None:
    """Nobody changes it in `manta run`, unless it is edited within the patience that such trouble gets."""
    progress = refused()

    assert progress.hopeless
    assert progress.given_up().text.endswith(f"greeter-abcde: {PROBLEM}")


def test_a_configuration_that_arrived_after_all_is_waited_for() -> None:
    """A head that is busy may take the second try."""
    progress = refused()

    told(progress, a_service("waiting for Serve on greeter-abcde", pending=a_cluster()))

    assert not progress.hopeless


def test_a_dashboard_that_does_not_answer_is_waited_for() -> None:
    """Its head got ready first, on a machine that has more to do: the next try will do."""
    progress = refused()
    why = "GET http://head:8265/api/serve/applications/: 400: applications: Field required"

    told(progress, a_service(f"the dashboard of greeter-abcde does not answer: {why}", pending=a_cluster()))

    assert not progress.hopeless
