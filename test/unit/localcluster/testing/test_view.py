"""Objects as stories read them."""

from __future__ import annotations

from localcluster.testing.view import View


def test_members_are_read_in_snake_case_and_absent_ones_are_none() -> None:
    """As deep as they go."""
    pod = View(
        {"metadata": {"name": "p", "uid": "u"}, "spec": {"nodeName": "n", "containers": [{"imagePullPolicy": "X"}]}}
    )

    assert (pod.name, pod.uid, pod.spec.node_name) == ("p", "u", "n")
    assert pod.spec.containers[0].image_pull_policy == "X"
    assert pod.spec.no_such_member is None
    assert pod.status.phase is None


def test_a_condition_is_found_by_its_type() -> None:
    """An absent one is empty."""
    job = View({"status": {"conditions": [{"type": "Complete", "status": "True"}]}})

    assert job.condition("Complete").status == "True"
    assert not job.condition("Failed")
    assert job.condition("Failed").reason is None
