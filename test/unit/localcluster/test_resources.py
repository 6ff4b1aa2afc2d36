"""The table of built-in kinds."""

from __future__ import annotations

from collections import Counter

from localcluster.resources import BUILT_IN, VERBS


def test_no_resource_stands_twice_in_the_table() -> None:
    """Group, version and plural are its identity."""
    counted = Counter((one.group, one.version, one.plural) for one in BUILT_IN)

    assert [key for key, count in counted.items() if count > 1] == []


def test_resources_are_named_as_kubectl_names_them() -> None:
    """Short where there is no group."""
    by_kind = {one.kind: one for one in BUILT_IN if one.group != "events.k8s.io"}

    assert (by_kind["Pod"].name, by_kind["Pod"].kind_name, by_kind["Pod"].api_version) == ("pods", "Pod", "v1")
    job = by_kind["Job"]
    assert (job.name, job.kind_name, job.api_version, job.list_kind) == (
        "jobs.batch",
        "Job.batch",
        "batch/v1",
        "JobList",
    )


def test_both_groups_of_events_lie_in_one_store() -> None:
    """An Event shows in either."""
    assert {one.store for one in BUILT_IN if one.kind == "Event"} == {"events"}


def test_verbs_of_built_in_kinds_are_in_alphabetical_order() -> None:
    """As discovery shows them."""
    assert list(VERBS) == sorted(VERBS)
    assert all(list(one.verbs) == sorted(one.verbs) for one in BUILT_IN)


def test_a_status_is_a_subresource_of_its_own_kind() -> None:
    """Asked for by name."""
    (pods,) = [one for one in BUILT_IN if one.name == "pods"]
    status, binding = pods.subresource("status"), pods.subresource("binding")

    assert status is not None
    assert binding is not None
    assert (pods.has_status, status.kind, binding.verbs, pods.subresource("zork")) == (True, "Pod", ("create",), None)
